/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/words.h"

struct str words_rule(struct arena *a, const struct model_route *r) {
    return arena_fmt(a, "%.*s/%.*s/%.*s", STR_FMT(r->namespace), STR_FMT(r->name),
                     STR_FMT(r->rule));
}

struct str words_origin(struct arena *a, const struct model_origin *o) {
    if (!o)
        return STR("");
    return arena_fmt(a, "%.*s %.*s%s%.*s", STR_FMT(o->kind), STR_FMT(o->namespace),
                     o->namespace.n > 0 ? "/" : "", STR_FMT(o->name));
}

static void add_values(struct out *o, const char *what, const struct model_value_match *v,
                       uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        if (v[i].type == MODEL_MATCH_EXACT || v[i].type == MODEL_MATCH_REGEX)
            out_fmt(o, ", %s %.*s%s%.*s", what, STR_FMT(v[i].name),
                    v[i].type == MODEL_MATCH_REGEX ? "~" : "=", STR_FMT(v[i].value));
        else
            out_fmt(o, ", %s %.*s %s", what, STR_FMT(v[i].name),
                    model_word(&model_words_match_type, v[i].type));
}

struct str words_match(struct arena *a, const struct model_match *m) {
    static const struct model_match every;
    struct out o = out_heap(1 << 20);
    m = m ? m : &every;
    out_fmt(&o, "%s %.*s", model_word(&model_words_path_type, m->path_type),
            m->path.n > 0 ? (int)m->path.n : 1, m->path.n > 0 ? m->path.p : "/");
    if (m->method.n > 0)
        out_fmt(&o, ", method %.*s", STR_FMT(m->method));
    add_values(&o, "header", m->headers, m->n_headers);
    add_values(&o, "query", m->query, m->n_query);
    add_values(&o, "cookie", m->cookies, m->n_cookies);
    struct str s = arena_str(a, out_done(&o));
    out_fini(&o);
    return s;
}

struct str words_host(struct arena *a, struct str hostname) {
    return hostname.n > 0 ? arena_str(a, hostname) : STR("*");
}

struct str words_backend(struct arena *a, struct str id) {
    if (id.n == 0)
        return STR("");
    struct str kind, ns, service,
        port = str_cut(str_cut(str_cut(id, '/', &kind), '/', &ns), '/', &service);
    return arena_fmt(a, "%.*s/%.*s:%.*s", STR_FMT(ns), STR_FMT(service), STR_FMT(port));
}

static void add_shares(struct arena *a, struct out *o, const struct model_route *r) {
    uint64_t total = 0;
    bool first = true;
    for (uint32_t i = 0; i < r->n_backends; i++)
        total += r->backends[i].weight;
    for (uint32_t i = 0; i < r->n_backends; i++) {
        const struct model_backend_ref *b = &r->backends[i];
        if (b->weight == 0)
            continue;
        if (!first)
            out_lit(o, ", ");
        first = false;
        if (b->backend.n > 0)
            out_str(o, words_backend(a, b->backend));
        else
            out_fmt(o, "%u no_backend", (unsigned)b->status);
        if (b->weight != total)
            out_fmt(o, " %.3g%%", 100.0 * (double)b->weight / (double)total);
    }
    if (first)
        out_lit(o, "500 no_backend");
}

/* Whether the gateway answers itself. */
static bool add_answer(struct out *o, const struct model_route *m) {
    for (uint32_t i = 0; i < m->n_filters; i++) {
        const struct model_filter *f = &m->filters[i];
        if (f->type == MODEL_FILTER_REDIRECT && f->redirect)
            out_fmt(o, "redirect %u", (unsigned)f->redirect->status);
        else if (f->type == MODEL_FILTER_DIRECT && f->direct)
            out_fmt(o, "answer %u", (unsigned)f->direct->status);
        else
            continue;
        return true;
    }
    return false;
}

struct str words_shares(struct arena *a, const struct model_route *r) {
    struct out o = out_heap(1 << 20);
    if (!add_answer(&o, r))
        add_shares(a, &o, r);
    struct str s = arena_str(a, out_done(&o));
    out_fini(&o);
    return s;
}

struct str words_target(struct arena *a, const struct rule *r) {
    if (r->refusal != REASON_NONE)
        return arena_fmt(a, "%u %s", reasons[r->refusal].status, reasons[r->refusal].name);
    return words_shares(a, r->model);
}
