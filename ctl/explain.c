/* SPDX-License-Identifier: Apache-2.0
 *
 * explain: one request through the proxy's own router. Which rules lose is found by taking the
 * winner away and asking again.
 */
#include "ctl/explain.h"

#include "ctl/certificate.h"
#include "ctl/explain_auth.h"
#include "ctl/reasons.h"
#include "lib/signing.h"

#include <arpa/inet.h>

enum { LOSERS_MAX = 10, NOT_MATCHING_MAX = 10 };

/* ---- parts of the document ---- */

static void add_rule(struct world *w, cJSON *to, const struct rule *r,
                     const struct model_match *m) {
    doc_text(to, "rule", words_rule(&w->arena, r->model));
    doc_text(to, "match", words_match(&w->arena, m));
    const struct model_origin *from = rule_origin(r, &w->arena);
    doc_text(to, "object", words_origin(&w->arena, from));
    doc_text(to, "field", from ? from->field : STR_NONE);
    doc_text(to, "place", world_place(w, from));
}

static struct str address_of(struct world *w, const struct endpoint *e) {
    char room[INET6_ADDRSTRLEN] = "";
    bool v4 = e->family == 4;
    inet_ntop(v4 ? AF_INET : AF_INET6, e->address, room, sizeof(room));
    return arena_fmt(&w->arena, v4 ? "%s:%u" : "[%s]:%u", room, e->port);
}

static void add_endpoints(struct world *w, cJSON *to, const struct backend *b) {
    static const char *const states[] = {[ENDPOINT_READY] = "ready",
                                         [ENDPOINT_SERVING] = "terminating",
                                         [ENDPOINT_DOWN] = "unready"};
    cJSON *list = doc_list(to, "endpoints");
    for (uint32_t i = 0; i < b->n_endpoints; i++) {
        cJSON *e = doc_item(list);
        doc_text(e, "address", address_of(w, &b->endpoints[i]));
        cJSON_AddStringToObject(e, "state", states[b->endpoints[i].state]);
    }
}

static void add_backends(struct world *w, cJSON *to, const struct rule *r) {
    cJSON *list = doc_list(to, "backends");
    uint64_t before = 0;
    for (uint32_t i = 0; i < r->n_shares; i++) {
        const struct share *s = &r->shares[i];
        const struct backend *b =
            s->backend == UINT32_MAX ? NULL : snapshot_backend(w->snapshot, s->backend);
        cJSON *j = doc_item(list);
        if (b)
            doc_text(j, "backend", b->name);
        cJSON_AddNumberToObject(j, "weight", (double)(s->upto - before));
        cJSON_AddNumberToObject(
            j, "percent",
            r->total_weight > 0 ? 100.0 * (double)(s->upto - before) / (double)r->total_weight : 0);
        before = s->upto;
        if (b)
            add_endpoints(w, j, b);
        if (!b) {
            cJSON_AddNumberToObject(j, "status", s->status);
            cJSON_AddStringToObject(j, "reason", reasons[REASON_NO_BACKEND].name);
        } else if (b->n_usable == 0) {
            cJSON_AddNumberToObject(j, "status", reasons[REASON_NO_ENDPOINT].status);
            cJSON_AddStringToObject(j, "reason", reasons[REASON_NO_ENDPOINT].name);
        }
    }
}

static void add_filters(cJSON *to, const struct model_route *m) {
    cJSON *list = doc_list(to, "filters");
    for (uint32_t i = 0; i < m->n_filters; i++)
        cJSON_AddItemToArray(list, doc_of_part(&model_struct_filter, &m->filters[i]));
}

/* status 0: the reason's own */
static void add_answer(cJSON *doc, enum reason reason, unsigned status, const char *detail) {
    cJSON *j = cJSON_AddObjectToObject(doc, "answer");
    cJSON_AddNumberToObject(j, "status", status ? status : reasons[reason].status);
    cJSON_AddStringToObject(j, "reason", reasons[reason].name);
    cJSON_AddStringToObject(j, "origin", origin_names[reasons[reason].origin]);
    cJSON_AddStringToObject(j, "text", detail ? detail : reasons[reason].text);
}

/* The gateway itself answers, and nothing is wrong. */
static void add_own_answer(cJSON *doc, unsigned status, const char *what, const char *text) {
    cJSON *j = cJSON_AddObjectToObject(doc, "answer");
    cJSON_AddNumberToObject(j, "status", status);
    cJSON_AddStringToObject(j, "reason", what);
    cJSON_AddStringToObject(j, "origin", origin_names[ORIGIN_GATEWAY]);
    cJSON_AddStringToObject(j, "text", text);
}

/* ---- the others ---- */

/* Rules that match too, in the order in which they would win. They are taken away from the world.
 */
static void add_losers(struct world *w, cJSON *doc, const struct route_request *rq,
                       struct route_scratch *scratch, const struct match_result *winner) {
    cJSON *list = doc_list(doc, "losing");
    struct match_result last = *winner;
    last.hostname = arena_str(&w->arena, last.hostname);
    struct snapshot *held[LOSERS_MAX + 1]; /* what `last` points into */
    unsigned n = 0;
    held[n++] = snapshot_hold(w->snapshot);
    while (n <= LOSERS_MAX) {
        struct match_result next;
        builder_begin(w->builder);
        builder_del(w->builder, last.rule->id);
        struct snapshot *s = builder_commit(w->builder, 1, world_ignore, NULL);
        if (!s)
            break;
        held[n++] = s;
        if (!snapshot_route(s, rq, scratch, &next))
            break;
        cJSON *j = doc_item(list);
        add_rule(w, j, next.rule, next.match);
        cJSON_AddStringToObject(j, "because", reasons_later(&last, &next));
        last = next;
    }
    while (n > 0)
        snapshot_drop(held[--n]);
}

static bool is_named(const cJSON *list, struct str rule) {
    const cJSON *j;
    cJSON_ArrayForEach(j, list) if (str_eq(str_of(doc_get(j, "rule")), rule)) return true;
    return false;
}

static void add_not_matching(struct world *w, cJSON *doc, const struct route_request *rq,
                             const struct rule *winner) {
    cJSON *list = doc_list(doc, "notMatching");
    must(w->snapshot != NULL);
    for (uint32_t slot = 0; slot < w->snapshot->rule_slots; slot++) {
        const struct rule *r = snapshot_rule(w->snapshot, slot);
        const struct model_match *nearest;
        if (!r || r == winner || is_named(doc_each(doc, "losing"), words_rule(&w->arena, r->model)))
            continue;
        const char *why = reasons_not(w, r, rq, &nearest);
        if (!why)
            continue;
        cJSON *j = doc_item(list);
        add_rule(w, j, r, nearest);
        cJSON_AddStringToObject(j, "because", why);
        if (cJSON_GetArraySize(list) == NOT_MATCHING_MAX)
            break;
    }
}

/* ---- the whole ---- */

static void add_request(cJSON *doc, const struct request *r, struct ctl *c) {
    cJSON *j = cJSON_AddObjectToObject(doc, "request");
    cJSON_AddStringToObject(j, "method", c->words[0]);
    cJSON_AddStringToObject(j, "url", c->words[1]);
    doc_text(j, "host", r->host);
    doc_text(j, "path", r->path);
}

/* False: it is refused, or nobody can say here. */
static bool add_judgement(struct world *w, cJSON *doc, cJSON *winner, const struct request *r,
                          const struct match_result *m, const struct caller_asked *who) {
    struct judged judged;
    explain_hide(w, cJSON_GetObjectItemCaseSensitive(doc, "request"), r, m->rule);
    explain_auth(w, winner, r, m, who, &judged);
    const char *detail = judged.detail.n > 0 ? judged.detail.p : NULL;
    if (judged.unknown)
        doc_text(doc, "unknown", judged.detail);
    else if (judged.refused && judged.reason == REASON_NONE)
        add_own_answer(doc, judged.status, "login", detail);
    else if (judged.refused)
        add_answer(doc, judged.reason, judged.status, detail);
    return !judged.unknown && !judged.refused;
}

static enum ctl_exit routed(struct world *w, cJSON *doc, const struct request *r,
                            const struct caller_asked *who) {
    struct route_request rq = {.host = r->host, .path = r->path, .head = &r->head, .port = r->port};
    struct route_scratch *scratch = route_scratch_new();
    struct match_result m = {0};
    bool found = snapshot_route(w->snapshot, &rq, scratch, &m);
    enum ctl_exit code = CTL_OK;
    if (found) {
        cJSON *j = cJSON_AddObjectToObject(doc, "winner");
        add_rule(w, j, m.rule, m.match);
        doc_text(j, "hostname", words_host(&w->arena, m.hostname));
        certificate_tls(w, j, m.rule->model, m.hostname);
        if (m.rule->guarded && !add_judgement(w, doc, j, r, &m, who))
            code = CTL_PROBLEMS;
        add_filters(j, m.rule->model);
        add_backends(w, j, m.rule);
        if (m.rule->refusal != REASON_NONE) {
            bool share = m.rule->refusal == REASON_NO_BACKEND && m.rule->n_shares > 0;
            add_answer(doc, m.rule->refusal, share ? m.rule->shares[0].status : 0, NULL);
            code = CTL_PROBLEMS;
        }
        add_losers(w, doc, &rq, scratch, &m);
    } else {
        add_answer(doc, REASON_NO_ROUTE, 0, NULL);
        code = CTL_PROBLEMS;
    }
    add_not_matching(w, doc, &rq, m.rule);
    route_scratch_free(scratch);
    return code;
}

enum ctl_exit ctl_explain(struct ctl *c) {
    struct world w = {0};
    struct request r;
    struct caller_asked who;
    enum ctl_exit code = request_read(c, c->words[0], c->words[1], &r);
    if (code == CTL_OK)
        code = caller_read(c, &who);
    if (code == CTL_OK) {
        code = world_open_keys(c, &w);
        for (size_t i = 0; i < w.n_findings; i++) /* what is missing here may be missed above */
            if (w.findings[i].severity == SEVERITY_REFUSED)
                world_print_finding(c, c->err, &w.findings[i]);
    }
    if (code == CTL_OK && !w.snapshot)
        code = ctl_fail(c, CTL_PROBLEMS, "a proxy could not use these objects");
    if (code == CTL_OK) {
        cJSON *doc = cJSON_CreateObject();
        add_request(doc, &r, c);
        if (r.reason != REASON_NONE) {
            add_answer(doc, r.reason, 0, r.detail);
            code = CTL_PROBLEMS;
        } else if (str_eq(r.path, STR(JWKS_PATH))) {
            add_own_answer(doc, 200, "keys", "the public keys of internal tokens, on every host");
        } else {
            code = routed(&w, doc, &r, &who);
        }
        if (c->format == CTL_TABLE)
            explain_print(c, doc);
        else
            doc_print(c, doc);
    }
    world_close(&w);
    request_fini(&r);
    return code;
}
