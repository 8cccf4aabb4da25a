/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/reasons.h"

/* ---- the order (docs/reference: Order of matches) ---- */

static const char *by_path(const struct model_match *a, const struct model_match *b) {
    if (a->path_type != b->path_type)
        return b->path_type == MODEL_PATH_PREFIX
                   ? "a prefix comes after exact paths and expressions"
               : b->path_type == MODEL_PATH_REGEX ? "a regular expression comes after an exact path"
                                                  : "an Ingress's longest path comes first";
    if (a->path.n != b->path.n)
        return "its path is shorter";
    return NULL;
}

const char *reasons_later(const struct match_result *a, const struct match_result *b) {
    const struct model_route *ra = a->rule->model, *rb = b->rule->model;
    if (!str_eq(a->hostname, b->hostname))
        return "its host is less specific";
    if (rb->fallback && !ra->fallback)
        return "it is a default backend, for what nothing else matches";
    const char *path = by_path(a->match, b->match);
    if (path)
        return path;
    if (a->match->method.n > 0 && b->match->method.n == 0)
        return "it names no method";
    if (a->match->n_headers != b->match->n_headers)
        return "it has fewer header conditions";
    if (a->match->n_query != b->match->n_query)
        return "it has fewer query conditions";
    if (a->match->n_cookies != b->match->n_cookies)
        return "it has fewer cookie conditions";
    if (ra->created != rb->created)
        return "its object is younger";
    if (!str_eq(ra->namespace, rb->namespace) || !str_eq(ra->name, rb->name))
        return "its object's name comes later";
    return "it stands later in its object";
}

/* ---- what does not match ---- */

/* Whether the router takes the request for a rule that has this match alone, on the rule's hosts.
 */
static bool probe(const struct world *w, const struct rule *rule, struct model_match m,
                  const struct route_request *rq) {
    struct model_route r = *rule->model;
    struct match_result result;
    r.matches = &m, r.n_matches = 1;
    r.n_filters = r.n_backends = 0;
    r.traffic = r.auth = STR_NONE;
    struct builder *b = builder_new();
    builder_redacted(b); /* it has been looked at before */
    builder_begin(b);
    for (size_t i = 0; i < w->n_objects; i++)
        if (w->objects[i]->kind == MODEL_KIND_host)
            builder_put(b, object_hold(w->objects[i]));
    builder_put(b, object_new(MODEL_KIND_route, rule->id, &r));
    struct snapshot *s = builder_commit(b, 1, world_ignore, NULL);
    struct route_scratch *scratch = route_scratch_new();
    bool found = s && snapshot_route(s, rq, scratch, &result);
    route_scratch_free(scratch);
    builder_free(b);
    snapshot_drop(s);
    return found;
}

enum step { STEP_HOST, STEP_PATH, STEP_METHOD, STEP_HEADERS, STEP_QUERY, STEP_COOKIES, STEPS };

/* The conditions of m up to a step. */
static struct model_match only(const struct model_match *m, enum step upto) {
    struct model_match k = *m;
    if (upto < STEP_COOKIES)
        k.n_cookies = 0;
    if (upto < STEP_QUERY)
        k.n_query = 0;
    if (upto < STEP_HEADERS)
        k.n_headers = 0;
    if (upto < STEP_METHOD)
        k.method = STR_NONE;
    if (upto < STEP_PATH)
        k = (struct model_match){.path_type = MODEL_PATH_PREFIX};
    return k;
}

/* The first step that fails; STEPS: none does. */
static enum step fails_at(const struct world *w, const struct rule *rule,
                          const struct model_match *m, const struct route_request *rq) {
    for (enum step s = STEP_HOST; s < STEPS; s++)
        if (!probe(w, rule, only(m, s), rq))
            return s;
    return STEPS;
}

const char *reasons_not(const struct world *w, const struct rule *rule,
                        const struct route_request *rq, const struct model_match **nearest) {
    static const char *const words[STEPS + 1] = {
        [STEP_HOST] = NULL,
        [STEP_PATH] = "the path is another",
        [STEP_METHOD] = "the method is another",
        [STEP_HEADERS] = "a header is missing or has another value",
        [STEP_QUERY] = "a query parameter is missing or has another value",
        [STEP_COOKIES] = "a cookie is missing or has another value",
        [STEPS] = NULL,
    };
    static const struct model_match every;
    const struct model_route *r = rule->model;
    enum step best = STEP_HOST;
    *nearest = r->n_matches > 0 ? &r->matches[0] : &every;
    for (uint32_t i = 0; i < r->n_matches; i++) {
        enum step s = fails_at(w, rule, &r->matches[i], rq);
        if (s > best) {
            best = s;
            *nearest = &r->matches[i];
        }
        if (s == STEP_HOST)
            break; /* so it will for the others */
    }
    return words[best];
}
