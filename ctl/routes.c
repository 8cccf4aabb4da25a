/* SPDX-License-Identifier: Apache-2.0
 *
 * routes: every host and path, and where it goes.
 */
#include "ctl/table.h"
#include "ctl/words.h"

#include "lib/mem.h"

#include <stdlib.h>
#include <string.h>

struct line {
    struct str host, match;
    const struct rule *rule;
};

static int line_cmp(const void *x, const void *y) {
    const struct line *a = x, *b = y;
    int c = str_cmp(a->host, b->host);
    c = c ? c : str_cmp(a->match, b->match);
    return c ? c : str_cmp(a->rule->id, b->rule->id);
}

/* "host/sluice/shop.example.com" */
static struct str hostname_of(struct arena *a, struct str host_id) {
    struct str kind, class;
    return words_host(a, str_cut(str_cut(host_id, '/', &kind), '/', &class));
}

static size_t lines_of(struct world *w, const struct rule *r, struct line *to) {
    size_t n = 0;
    uint32_t matches = r->model->n_matches;
    for (uint32_t h = 0; h < r->model->n_hosts; h++)
        for (uint32_t m = 0; m < (matches ? matches : 1); m++, n++)
            if (to)
                to[n] = (struct line){
                    hostname_of(&w->arena, r->model->hosts[h]),
                    words_match(&w->arena, matches ? &r->model->matches[m] : NULL), r};
    return n;
}

static struct line *all_lines(struct world *w, size_t *n) {
    *n = 0;
    for (uint32_t slot = 0; slot < w->snapshot->rule_slots; slot++) {
        const struct rule *r = snapshot_rule(w->snapshot, slot);
        *n += r ? lines_of(w, r, NULL) : 0;
    }
    struct line *lines = mem_array(*n + 1, sizeof(*lines));
    size_t at = 0;
    for (uint32_t slot = 0; slot < w->snapshot->rule_slots; slot++) {
        const struct rule *r = snapshot_rule(w->snapshot, slot);
        at += r ? lines_of(w, r, lines + at) : 0;
    }
    qsort(lines, *n, sizeof(*lines), line_cmp);
    return lines;
}

static struct str source(struct world *w, const struct rule *r) {
    const struct model_origin *from = rule_origin(r, &w->arena);
    struct str place = world_place(w, from);
    return arena_fmt(&w->arena, "%.*s%s%.*s", STR_FMT(words_origin(&w->arena, from)),
                     place.n > 0 ? " " : "", STR_FMT(place));
}

static void as_table(struct ctl *c, struct world *w, const struct line *lines, size_t n) {
    static const char *const heads[] = {"HOST", "PATH", "RULE", "BACKENDS", "SOURCE"};
    struct table t;
    table_init(&t, heads, ARRAY_LEN(heads));
    for (size_t i = 0; i < n; i++) {
        const struct rule *r = lines[i].rule;
        bool bad = r->refusal != REASON_NONE;
        table_cell(&t, TONE_PLAIN, "%.*s", STR_FMT(lines[i].host));
        table_cell(&t, TONE_PLAIN, "%.*s", STR_FMT(lines[i].match));
        table_cell(&t, TONE_PLAIN, "%.*s", STR_FMT(words_rule(&w->arena, r->model)));
        table_cell(&t, bad ? TONE_BAD : TONE_PLAIN, "%.*s", STR_FMT(words_target(&w->arena, r)));
        table_cell(&t, TONE_DIM, "%.*s", STR_FMT(source(w, r)));
    }
    if (n == 0)
        fputs("no routes\n", c->out);
    table_print(&t, c);
}

static void as_document(struct ctl *c, struct world *w, const struct line *lines, size_t n) {
    cJSON *doc = cJSON_CreateObject();
    cJSON *list = doc_list(doc, "routes");
    for (size_t i = 0; i < n; i++) {
        const struct rule *r = lines[i].rule;
        cJSON *j = doc_item(list);
        doc_text(j, "host", lines[i].host);
        doc_text(j, "match", lines[i].match);
        doc_text(j, "rule", words_rule(&w->arena, r->model));
        doc_text(j, "target", words_target(&w->arena, r));
        cJSON *backends = doc_list(j, "backends");
        for (uint32_t b = 0; b < r->model->n_backends; b++) {
            cJSON *k = doc_item(backends);
            doc_text(k, "backend", words_backend(&w->arena, r->model->backends[b].backend));
            cJSON_AddNumberToObject(k, "weight", (double)r->model->backends[b].weight);
        }
        const struct model_origin *from = rule_origin(r, &w->arena);
        doc_text(j, "object", words_origin(&w->arena, from));
        doc_text(j, "field", from ? from->field : STR_NONE);
        doc_text(j, "place", world_place(w, from));
    }
    doc_print(c, doc);
}

enum ctl_exit ctl_routes(struct ctl *c) {
    struct world w;
    enum ctl_exit code = world_open(c, &w);
    if (code == CTL_OK && w.snapshot) {
        size_t n;
        struct line *lines = all_lines(&w, &n);
        if (c->format == CTL_TABLE)
            as_table(c, &w, lines, n);
        else
            as_document(c, &w, lines, n);
        mem_free(lines);
    }
    for (size_t i = 0; i < w.n_findings; i++)
        world_print_finding(c, c->err, &w.findings[i]);
    if (code == CTL_OK && w.n_refused > 0)
        code = CTL_PROBLEMS;
    world_close(&w);
    return code;
}
