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
static void print_policy(struct ctl *c, const cJSON *p) {
    const cJSON *methods = doc_each(p, "methods"), *m;
    int rules = cJSON_GetArraySize(doc_each(p, "rules"));
    const char *closed = doc_get(p, "reason"), *comma = "";
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
    if (doc_each(doc, "winner"))
        print_winner(c, doc_each(doc, "winner"));
    print_others(c, doc_each(doc, "losing"), "also matching, and why they come later:");
    print_others(c, doc_each(doc, "notMatching"), "on this host, not matching:");
    cJSON_Delete(doc);
}
