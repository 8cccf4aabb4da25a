/* SPDX-License-Identifier: Apache-2.0
 *
 * reference: writes the reference pages that come from the tables in the code.
 *
 *     reference model|defaults|reasons        one page to standard output
 *
 * `make docs` writes docs/reference/NAME.md of each; a test fails when one is out of date.
 */
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
    printf("# The model\n\n"
           "Every object that a controller tells a proxy. Made from `lib/model.def` by `make docs`.\n"
           "A field that holds its default (false, 0, empty) is not encoded; fields that a reader does\n"
           "not know are passed over. Times are milliseconds where the name ends in `_ms`; 0 is \"not\n"
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

/* ---- the others ---- */

static void defaults(void) {
    printf("# Defaults\n\nWhat holds where nobody has said anything. Made from\n"
           "`proxy/route/defaults.def` by `make docs`.\n\n| setting | default | |\n|---|---|---|\n");
#define DEFAULT(NAME, value, setting, unit)                                                        \
    printf("| `%s` | %lu | %s |\n", setting, (unsigned long)(value), unit);
#include "proxy/route/defaults.def"
#undef DEFAULT
}

static void reason_table(void) {
    static const char *const origins[] = {"", "client", "gateway", "auth", "upstream"};
    printf("# Reasons\n\nWhy Sluice answered by itself, and whose fault it was: the same name in the\n"
           "access log, the metric, the header `sluice-reason` and `sluicectl explain`. Made from\n"
           "`proxy/http/reason.def` by `make docs`. The names never change.\n\n"
           "| reason | origin | status | |\n|---|---|---|---|\n");
#define REASON(NAME, name, origin, status, text)                                                   \
    printf("| `%s` | %s | %d | %s |\n", name, origins[ORIGIN_##origin], status, text);
#include "proxy/http/reason.def"
#undef REASON
}

int main(int argc, char **argv) {
    const char *what = argc == 2 ? argv[1] : "";
    if (strcmp(what, "model") == 0)
        model();
    else if (strcmp(what, "defaults") == 0)
        defaults();
    else if (strcmp(what, "reasons") == 0)
        reason_table();
    else
        return fprintf(stderr, "usage: reference model|defaults|reasons\n"), 2;
    return 0;
}
