/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/certificate.h"
#include "ctl/explain.h"
#include "ctl/table.h"

#include <string.h>

static void print_place(struct ctl *c, const cJSON *j) {
    const char *place = doc_get(j, "place");
    fprintf(c->out, "%s%s %s%s%s%s\n", tone_on(c, TONE_DIM), doc_get(j, "object"),
            doc_get(j, "field"), place[0] ? "  " : "", place, tone_off(c));
}

static void print_backend(struct ctl *c, const cJSON *b) {
    const cJSON *e;
    const char *reason = doc_get(b, "reason"), *name = doc_get(b, "backend");
    fprintf(c->out, "    %5.1f %%  %-28s", doc_number(b, "percent"), name[0] ? name : "(none)");
    cJSON_ArrayForEach(e, doc_each(b, "endpoints")) {
        bool ready = strcmp(doc_get(e, "state"), "ready") == 0;
        fprintf(c->out, "  %s %s%s%s", doc_get(e, "address"),
                tone_on(c, ready ? TONE_GOOD : TONE_WARN), doc_get(e, "state"), tone_off(c));
    }
    if (reason[0])
        fprintf(c->out, "  %sanswers %.0f %s%s", tone_on(c, TONE_BAD), doc_number(b, "status"),
                reason, tone_off(c));
    fputc('\n', c->out);
}

/* "policy    shop/customers: any of workforce (jwt), partners (apiKey); then 2 rules" */
static void print_policy_head(struct ctl *c, const cJSON *p) {
    const cJSON *methods = doc_each(p, "methods"), *m;
    int rules = cJSON_GetArraySize(doc_each(p, "rules"));
    const char *closed = doc_get(p, "closed"), *comma = "";
    bool dry = strcmp(doc_get(p, "mode"), "DryRun") == 0;
    fprintf(c->out, "  policy    %s%s: ", doc_get(p, "policy"), dry ? " (DryRun)" : "");
    if (closed[0]) {
        fprintf(c->out, "lets nobody pass, 503 %s\n", closed);
        return;
    }
    if (cJSON_GetArraySize(methods) == 0)
        fputs("nobody is asked", c->out);
    else
        fputs(strcmp(doc_get(p, "require"), "All") == 0 ? "all of " : "any of ", c->out);
    cJSON_ArrayForEach(m, methods) {
        fprintf(c->out, "%s%s (%s)", comma, doc_get(m, "name"), doc_get(m, "type"));
        comma = ", ";
    }
    if (rules > 0)
        fprintf(c->out, "; then %d rule%s", rules, rules == 1 ? "" : "s");
    fputs("\n", c->out);
}

static enum tone tone_of(const char *outcome) {
    static const struct {
        const char *word;
        enum tone tone;
    } tones[] = {{"accepted", TONE_GOOD}, {"allow", TONE_GOOD},   {"refused", TONE_BAD},
                 {"failed", TONE_BAD},    {"deny", TONE_BAD},     {"unknown", TONE_WARN},
                 {"passed", TONE_WARN},   {"dryDeny", TONE_WARN}, {"notAsked", TONE_DIM}};
    for (size_t i = 0; i < ARRAY_LEN(tones); i++)
        if (strcmp(outcome, tones[i].word) == 0)
            return tones[i].tone;
    return TONE_PLAIN;
}

/* "    method    workforce     refused: it has expired 3600 s ago" */
static void print_said(struct ctl *c, const char *what, const char *name, const char *outcome,
                       const char *detail) {
    bool asked = strcmp(outcome, "notAsked") != 0;
    fprintf(c->out, "    %-10s%-18s%s%s%s%s%s\n", what, name, tone_on(c, tone_of(outcome)),
            asked ? outcome : "not asked", tone_off(c), detail[0] ? ": " : "", detail);
}

static void print_rules(struct ctl *c, const cJSON *p) {
    const cJSON *r;
    char name[300];
    unsigned i = 0;
    cJSON_ArrayForEach(r, doc_each(p, "rules")) {
        if (strcmp(doc_get(r, "outcome"), "notAsked") == 0)
            return; /* nor are those behind it */
        bool matches = strcmp(doc_get(r, "outcome"), "matches") == 0;
        snprintf(name, sizeof(name), "%u %s", i++, doc_get(r, "name"));
        print_said(c, "rule", name, matches ? doc_get(r, "action") : doc_get(r, "outcome"),
                   doc_get(r, "unmet"));
    }
}

static void print_caller(struct ctl *c, const cJSON *p) {
    static const char *const parts[][2] = {
        {"subject", "subject"}, {"consumer", "Consumer"}, {"method", "by"}};
    const char *comma = "    caller    ";
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        if (!doc_get(p, parts[i][0])[0])
            continue;
        fprintf(c->out, "%s%s %s", comma, parts[i][1], doc_get(p, parts[i][0]));
        comma = ", ";
    }
    if (comma[0] == ',')
        fputc('\n', c->out);
}

static void print_backend_sees(struct ctl *c, const cJSON *p) {
    const cJSON *j;
    cJSON_ArrayForEach(j, doc_each(p, "identity"))
        fprintf(c->out, "    backend   sees %s: %s\n", doc_get(j, "name"), doc_get(j, "value"));
    cJSON_ArrayForEach(j, doc_each(p, "credentials")) {
        if (strcmp(doc_get(j, "from"), "address") == 0)
            continue; /* the connection's certificate stays where it is */
        fprintf(c->out, "    backend   %s %s %s\n", doc_true(j, "kept") ? "sees" : "does not see",
                doc_get(j, "from"), doc_get(j, "name"));
    }
}

static void print_policy(struct ctl *c, const cJSON *p) {
    const cJSON *m;
    const char *decision = doc_get(p, "decision");
    print_policy_head(c, p);
    const char *version = doc_get(p, "version");
    fprintf(c->out, "    %s%s  %s%s%s%s\n", tone_on(c, TONE_DIM), doc_get(p, "object"),
            doc_get(p, "place"), version[0] ? "  version " : "", version, tone_off(c));
    if (!decision[0]) {
        fprintf(c->out, "    not asked: %s\n", doc_get(p, "notAsked"));
        return;
    }
    cJSON_ArrayForEach(m, doc_each(p, "methods"))
        print_said(c, "method", doc_get(m, "name"), doc_get(m, "outcome"), doc_get(m, "detail"));
    print_rules(c, p);
    print_said(c, "decision", doc_get(doc_each(p, "rule"), "name"), decision, doc_get(p, "detail"));
    print_caller(c, p);
    print_backend_sees(c, p);
}

static void print_winner(struct ctl *c, const cJSON *w) {
    const cJSON *j;
    fprintf(c->out, "\n%srule %s%s  ", tone_on(c, TONE_HEAD), doc_get(w, "rule"), tone_off(c));
    print_place(c, w);
    fprintf(c->out, "  because   host %s, %s\n", doc_get(w, "hostname"), doc_get(w, "match"));
    certificate_print(c, doc_each(w, "tls"));
    cJSON_ArrayForEach(j, doc_each(w, "policies")) print_policy(c, j);
    cJSON_ArrayForEach(j, doc_each(w, "filters")) {
        char *text = cJSON_PrintUnformatted(j);
        fprintf(c->out, "  filter    %s\n", text);
        cJSON_free(text);
    }
    if (cJSON_GetArraySize(doc_each(w, "backends")) > 0)
        fputs("  backends\n", c->out);
    cJSON_ArrayForEach(j, doc_each(w, "backends")) print_backend(c, j);
}

static void print_others(struct ctl *c, const cJSON *list, const char *title) {
    static const char *const heads[] = {"  RULE", "MATCH", "BECAUSE", "FROM"};
    struct table t;
    const cJSON *j;
    if (cJSON_GetArraySize(list) == 0)
        return;
    fprintf(c->out, "\n%s\n", title);
    table_init(&t, heads, ARRAY_LEN(heads));
    cJSON_ArrayForEach(j, list) {
        const char *place = doc_get(j, "place");
        table_cell(&t, TONE_PLAIN, "  %s", doc_get(j, "rule"));
        table_cell(&t, TONE_PLAIN, "%s", doc_get(j, "match"));
        table_cell(&t, TONE_PLAIN, "%s", doc_get(j, "because"));
        table_cell(&t, TONE_DIM, "%s %s%s%s", doc_get(j, "object"), doc_get(j, "field"),
                   place[0] ? " " : "", place);
    }
    table_print(&t, c);
}

static void make_harmless(cJSON *j) {
    for (cJSON *k = j->child; k; k = k->next)
        make_harmless(k);
    if (cJSON_IsString(j))
        harmless(j->valuestring, strlen(j->valuestring));
}

void explain_print(struct ctl *c, cJSON *doc) {
    make_harmless(doc);
    const cJSON *request = doc_each(doc, "request"), *answer = doc_each(doc, "answer");
    fprintf(c->out, "%s %s\n  host %s, path %s\n", doc_get(request, "method"),
            doc_get(request, "url"), doc_get(request, "host"), doc_get(request, "path"));
    if (answer)
        fprintf(c->out, "\n%sanswers %.0f %s%s (%s): %s\n", tone_on(c, TONE_BAD),
                doc_number(answer, "status"), doc_get(answer, "reason"), tone_off(c),
                doc_get(answer, "origin"), doc_get(answer, "text"));
    if (doc_get(doc, "unknown")[0])
        fprintf(c->out, "\n%snobody can say here%s: %s\n", tone_on(c, TONE_WARN), tone_off(c),
                doc_get(doc, "unknown"));
    if (doc_each(doc, "winner"))
        print_winner(c, doc_each(doc, "winner"));
    print_others(c, doc_each(doc, "losing"), "also matching, and why they come later:");
    print_others(c, doc_each(doc, "notMatching"), "on this host, not matching:");
    cJSON_Delete(doc);
}
