/* SPDX-License-Identifier: Apache-2.0
 *
 * cors: cross-origin answers (Fetch standard 3.2). An origin that is not allowed gets no CORS
 * headers, and its browser refuses the answer; the request itself is served as any other.
 */
#include "proxy/policy/policy.h"

/* Pattern: an origin, or one with a star in it, as in "https://" "*.example.com". Browsers send
 * origins in lower case; the pattern is. */
static bool origin_matches(struct str pattern, struct str origin) {
    if (pattern.n == 1 && pattern.p[0] == '*')
        return true;
    size_t star = str_find(pattern, '*', 0);
    if (star == pattern.n)
        return str_eq_nocase(pattern, origin);
    struct str head = str_mk(pattern.p, star), tail = str_skip(pattern, star + 1);
    return origin.n > head.n + tail.n && str_eq_nocase(head, str_mk(origin.p, head.n)) &&
           str_eq_nocase(tail, str_mk(origin.p + origin.n - tail.n, tail.n));
}

bool policy_cors_allows(const struct model_cors *c, struct str origin) {
    for (uint32_t i = 0; i < c->n_allow_origins; i++)
        if (origin_matches(c->allow_origins[i], origin))
            return true;
    return false;
}

static bool any(const struct str *list, uint32_t n) {
    return n == 1 && list[0].n == 1 && list[0].p[0] == '*';
}

static void write_list(const char *name, const struct str *list, uint32_t n, struct out *o) {
    if (n == 0)
        return;
    out_str(o, str_of(name));
    for (uint32_t i = 0; i < n; i++) {
        if (i > 0)
            out_lit(o, ", ");
        out_str(o, list[i]);
    }
    out_lit(o, "\r\n");
}

static void write_origin(const struct model_cors *c, struct str origin, struct out *o) {
    bool star = any(c->allow_origins, c->n_allow_origins) && !c->allow_credentials;
    out_lit(o, "access-control-allow-origin: ");
    out_str(o, star ? STR("*") : origin);
    out_lit(o, "\r\n");
    if (c->allow_credentials)
        out_lit(o, "access-control-allow-credentials: true\r\n");
    if (!star)
        out_lit(o, "vary: origin\r\n");
}

void policy_write_cors(const struct exchange *x, struct out *o) {
    const struct model_filter *f = policy_find(x, MODEL_FILTER_CORS);
    if (f == NULL || f->cors == NULL || !policy_cors_allows(f->cors, x->origin))
        return;
    write_origin(f->cors, x->origin, o);
    write_list("access-control-expose-headers: ", f->cors->expose_headers,
               f->cors->n_expose_headers, o);
}

/* With credentials '*' has no meaning to a browser: what was asked for is named. */
static void write_preflight_list(const char *name, const struct str *list, uint32_t n, bool named,
                                 struct str asked, struct out *o) {
    if (named && any(list, n))
        write_list(name, &asked, asked.n > 0 ? 1 : 0, o);
    else
        write_list(name, list, n, o);
}

void policy_write_preflight(const struct exchange *x, const struct answer *a, struct out *o) {
    const struct model_cors *c = a->cors;
    write_origin(c, x->origin, o);
    write_preflight_list("access-control-allow-methods: ", c->allow_methods, c->n_allow_methods,
                         c->allow_credentials, a->allow_method, o);
    write_preflight_list("access-control-allow-headers: ", c->allow_headers, c->n_allow_headers,
                         c->allow_credentials, a->allow_headers, o);
    out_lit(o, "access-control-max-age: ");
    out_u64(o, c->max_age_s > 0 ? c->max_age_s : 5);
    out_lit(o, "\r\n");
}
