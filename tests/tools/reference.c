/* SPDX-License-Identifier: Apache-2.0
 *
 * reference: writes the reference pages that come from the tables in the code.
 *
 *     reference model|resources|defaults|reasons        one page to standard output
 *
 * `make docs` writes docs/reference/NAME.md of each; a test fails when one is out of date.
 */
#include "controller/kube/schema.h"
#include "controller/kube/table.h"
#include "lib/model.h"
#include "proxy/http/reason.h"

#include <stdio.h>
#include <string.h>

/* ---- model ---- */

static const struct model_struct *const parts[] = {
#define E(number, NAME, word)
#define ENUM(name, doc, words)
#define PART(name, doc, fields) &model_struct_##name,
#define KIND(number, name, doc, fields)
#include "lib/model.def"
#undef PART
#undef KIND
};
static const struct model_struct *const kinds[] = {
#define PART(name, doc, fields)
#define KIND(number, name, doc, fields) &model_struct_##name,
#include "lib/model.def"
#undef PART
#undef KIND
#undef ENUM
};
static const struct model_words *const words[] = {
#define ENUM(name, doc, list) &model_words_##name,
#define PART(name, doc, fields)
#define KIND(number, name, doc, fields)
#include "lib/model.def"
#undef E
#undef ENUM
#undef PART
#undef KIND
};

static void print_type(const struct model_field *f) {
    static const char *const names[] = {
        [MODEL_T_BOOL] = "bool", [MODEL_T_UINT] = "uint",   [MODEL_T_TEXT] = "text",
        [MODEL_T_DATA] = "data", [MODEL_T_HIDE] = "secret", [MODEL_T_TEXTS] = "list of text",
    };
    if (f->type == MODEL_T_WORD)
        printf("[%s](#%s)", f->words->name, f->words->name);
    else if (f->type == MODEL_T_ONE)
        printf("[%s](#%s)", f->part->name, f->part->name);
    else if (f->type == MODEL_T_MANY)
        printf("list of [%s](#%s)", f->part->name, f->part->name);
    else
        fputs(names[f->type], stdout);
}

static void print_struct(const struct model_struct *s) {
    size_t n;
    const struct model_field *f = s->fields(&n);
    printf("\n### %s\n\n%s\n\n| | field | type | |\n|---|---|---|---|\n", s->name, s->doc);
    for (size_t i = 0; i < n; i++) {
        printf("| %u | `%s` | ", f[i].number, f[i].name);
        print_type(&f[i]);
        printf(" | %s |\n", f[i].doc);
    }
}

static void print_words(const struct model_words *w) {
    printf("\n### %s\n\n%s", w->name, w->doc);
    for (const struct model_word *one = w->words; one->word != NULL; one++)
        printf("%s `%s`", one == w->words ? "" : ",", one->word[0] != 0 ? one->word : "(none)");
    printf(".\n");
}

static void model(void) {
    printf(
        "# The model\n\n"
        "Every object that a controller tells a proxy. Made from `lib/model.def` by `make docs`.\n"
        "A field that holds its default (false, 0, empty) is not encoded; fields that a reader "
        "does\n"
        "not know are passed over. Times are milliseconds where the name ends in `_ms`; 0 is "
        "\"not\n"
        "set\", %u \"no limit\".\n\n## Objects\n",
        MODEL_NEVER);
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        print_struct(kinds[i]);
    printf("\n## Parts\n");
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        print_struct(parts[i]);
    printf("\n## Words\n");
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        print_words(words[i]);
}

/* ---- resources ---- */

static const char *const rules[KUBE_RULES] = {
    [KUBE_ANY] = "text",
    [KUBE_SHORT] = "text, at most 256 bytes",
    [KUBE_NAME] = "name",
    [KUBE_SECTION] = "name, at most 63 bytes",
    [KUBE_GROUP] = "API group",
    [KUBE_KIND] = "kind",
    [KUBE_HEADER] = "header name",
    [KUBE_HEADER_VALUE] = "header value",
    [KUBE_METHOD] = "method",
    [KUBE_HOSTNAME] = "host name",
    [KUBE_CIDR] = "range of addresses",
    [KUBE_URI] = "address (http or https)",
    [KUBE_CLOCK] = "time of day",
};

static void print_picks(const char *picks) {
    struct str word;
    for (size_t i = 0; (word = kube_pick(picks, i)).p; i++)
        printf("%s`%.*s`", i > 0 ? ", " : "", STR_FMT(word));
}

static void print_allowed(const struct kube_field *f) {
    const char *comma = "";
    for (const struct model_word *w = f->words->words; w->word; w++)
        if (f->type == KUBE_T_WORD || w->number != 0) {
            printf("%s`%s`", comma, w->word);
            comma = ", ";
        }
}

static void print_resource_type(const struct kube_field *f) {
    switch ((enum kube_type)f->type) {
    case KUBE_T_TEXT:
        fputs(rules[f->rule], stdout);
        break;
    case KUBE_T_PICK:
        print_picks(f->picks);
        break;
    case KUBE_T_WORD:
    case KUBE_T_CHOICE:
        print_allowed(f);
        break;
    case KUBE_T_BOOL:
    case KUBE_T_MAYBE:
        fputs("true or false", stdout);
        break;
    case KUBE_T_INT:
        printf("%lld to %lld", (long long)f->low, (long long)f->high);
        break;
    case KUBE_T_SPAN:
        fputs("duration", stdout);
        break;
    case KUBE_T_SIZE:
        fputs("size", stdout);
        break;
    case KUBE_T_TEXTS:
        printf("list of %s", rules[f->rule]);
        break;
    case KUBE_T_PICKS:
        fputs("list of ", stdout);
        print_picks(f->picks);
        break;
    case KUBE_T_INTS:
        printf("list of %lld to %lld", (long long)f->low, (long long)f->high);
        break;
    case KUBE_T_ONE:
        printf("[%s](#%s)", f->part->name, f->part->name);
        break;
    case KUBE_T_MANY:
        printf("list of [%s](#%s)", f->part->name, f->part->name);
        break;
    case KUBE_T_PAIRS:
        fputs("map of text", stdout);
        break;
    case KUBE_T_SECRETS:
        fputs("map of secrets", stdout);
        break;
    case KUBE_T_PORT:
        fputs("port, by number or name", stdout);
        break;
    case KUBE_T_END:
    case KUBE_T_REQUIRED:
    case KUBE_T_FILLED:
    case KUBE_T_LATER:
    case KUBE_T_RULE:
    case KUBE_T_COLUMN:
        break;
    }
    if (f->most > 0 && f->most < KUBE_LIST_MAX && f->type != KUBE_T_PICKS)
        printf(", at most %u", f->most);
}

static void print_absent(const struct kube_field *f, const struct kube_marks *marks) {
    if (marks->required)
        fputs("required", stdout);
    else if (f->type == KUBE_T_WORD)
        printf("`%s`", model_word(f->words, (uint32_t)f->low));
    else if (f->type == KUBE_T_PICK && f->def[0])
        printf("`%s`", f->def);
    else if (f->type == KUBE_T_BOOL)
        printf("`%s`", f->low ? "true" : "false");
}

/* In a cell of a table a bar and a star need care. */
static void print_cell(const char *text) {
    for (; *text; text++) {
        if (strchr("|*_", *text))
            putchar('\\');
        putchar(*text);
    }
}

static void print_fields(const struct kube_part *part) {
    struct kube_marks marks;
    const struct kube_field *f = part->fields();
    if (!kube_field_at(f, &marks))
        return;
    printf("\n| field | what | without it | |\n|---|---|---|---|\n");
    for (; (f = kube_field_at(f, &marks)); f++) {
        printf("| `%s` | ", f->path);
        print_resource_type(f);
        fputs(" | ", stdout);
        print_absent(f, &marks);
        fputs(" | ", stdout);
        print_cell(f->doc);
        printf("%s |\n", marks.later ? " **Not yet: refused.**" : "");
    }
    const char *head = "\nRefused in these words:\n\n";
    for (f = part->fields(); f->type != KUBE_T_END; f++)
        if (f->type == KUBE_T_RULE) {
            printf("%s- %s\n", head, f->what);
            head = "";
        }
}

static void print_kind(enum kube_kind k) {
    const struct kube_kind_info *kind = &kube_kinds[k];
    printf("\n### %s\n\n`%s%s%s`, %s", kind->kind, kind->group, kind->group[0] ? "/" : "",
           kind->version, kind->scope == KUBE_CLUSTER ? "of the cluster" : "in a namespace");
    if (kind->brief[0])
        printf(", short `%s`", kind->brief);
    printf(". %s\n", kind->doc);
    print_fields(kube_part_of(k));
}

static void resources(void) {
    printf(
        "# Resources\n\n"
        "Every field that the controller reads, as `kubectl explain` tells them too. Made from\n"
        "`controller/kube/kinds.def` by `make docs`, as are the CRDs in `crds/` by `make crds`.\n\n"
        "Durations are those of the Gateway API: `1h30m`, `250ms`; no fractions. Sizes are\n"
        "quantities of Kubernetes: `64k`, `1Mi`. In our own kinds a field that is not here is\n"
        "refused; in those of Kubernetes it is passed over. *Not yet* is what is known and not\n"
        "built: such a field is refused in words, or what it would protect is closed.\n\n"
        "## Our own kinds\n");
    for (enum kube_kind k = KUBE_NONE + 1; k < KUBE_KINDS; k++)
        if (kube_schema_is_ours(k))
            print_kind(k);
    printf("\n## Kinds of Kubernetes and of the Gateway API\n");
    for (enum kube_kind k = KUBE_NONE + 1; k < KUBE_KINDS; k++)
        if (!kube_schema_is_ours(k))
            print_kind(k);
    printf("\n## Parts\n");
    for (const struct kube_part *const *p = kube_parts; *p; p++) {
        printf("\n### %s\n\n%s\n", (*p)->name, (*p)->doc);
        print_fields(*p);
    }
}

/* ---- the others ---- */

static void defaults(void) {
    printf(
        "# Defaults\n\nWhat holds where nobody has said anything. Made from\n"
        "`proxy/route/defaults.def` by `make docs`.\n\n| setting | default | |\n|---|---|---|\n");
#define DEFAULT(NAME, value, setting, unit)                                                        \
    printf("| `%s` | %lu | %s |\n", setting, (unsigned long)(value), unit);
#include "proxy/route/defaults.def"
#undef DEFAULT
}

static void reason_table(void) {
    static const char *const origins[] = {"", "client", "gateway", "auth", "upstream"};
    printf(
        "# Reasons\n\nWhy Sluice answered by itself, and whose fault it was: the same name in the\n"
        "access log, the metric, the header `sluice-reason` and `sluicectl explain`. Made from\n"
        "`proxy/http/reason.def` by `make docs`. The names never change. Each leads to its section "
        "of\n"
        "the [runbook](../runbook.md).\n\n"
        "| reason | origin | status | |\n|---|---|---|---|\n");
#define REASON(NAME, name, origin, status, text)                                                   \
    printf("| [`%s`](../runbook.md#%s) | %s | %d | %s |\n", name, name, origins[ORIGIN_##origin],  \
           status, text);
#include "proxy/http/reason.def"
#undef REASON
}

int main(int argc, char **argv) {
    const char *what = argc == 2 ? argv[1] : "";
    if (strcmp(what, "model") == 0)
        model();
    else if (strcmp(what, "resources") == 0)
        resources();
    else if (strcmp(what, "defaults") == 0)
        defaults();
    else if (strcmp(what, "reasons") == 0)
        reason_table();
    else
        return fprintf(stderr, "usage: reference model|resources|defaults|reasons\n"), 2;
    return 0;
}
