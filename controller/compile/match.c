/* SPDX-License-Identifier: Apache-2.0
 *
 * match: the conditions of a Route's rule.
 */
#include "controller/compile/route.h"
#include "lib/chars.h"
#include "lib/path.h"
#include "lib/regex.h"
#include "lib/signing.h"

int path_check(struct making *m, const struct at *at, struct str path) {
    struct shown shown;
    if (path.n > PATH_MAX_BYTES)
        return refuse(m, at, "%zu bytes are more than the limit of %d for a path", path.n,
                      PATH_MAX_BYTES);
    if (path.n == 0 || path.p[0] != '/')
        return refuse(m, at, "%s does not begin with /", why_show(path, &shown));
    if (path_is_canonical(path))
        return 0;
    char room[PATH_MAX_BYTES];
    struct shown better;
    struct str canonical;
    if (path_canonicalise(path, room, &canonical))
        return refuse(m, at, "%s can never match: requests arrive as %s; write that",
                      why_show(path, &shown), why_show(canonical, &better));
    return refuse(m, at,
                  "%s can never match: a request with such a path is refused as ambiguous. Write "
                  "it without ?, #, %%2F, %%5C, backslashes, dot segments and bytes above 0x7f",
                  why_show(path, &shown));
}

int path_check_free(struct making *m, const struct at *at, struct str path) {
    if (!str_eq(path, STR(JWKS_PATH)))
        return 0;
    return refuse(m, at,
                  "%s is answered by the gateway itself, with the public keys of internal tokens "
                  "(identity.token of an AuthPolicy); use another path",
                  JWKS_PATH);
}

struct str path_prefix(struct str path) {
    return path.n > 0 && path.p[path.n - 1] == '/' ? str_mk(path.p, path.n - 1) : path;
}

static int check_regex(struct making *m, const struct at *at, struct str pattern) {
    struct why why = {0};
    struct regex *re = regex_new(pattern, &why);
    if (!re)
        return refuse(m, at, "%s", why.text);
    regex_free(re);
    return 0;
}

int match_path(struct making *m, const struct at *at, const struct kube_path_match *k,
               struct model_match *o) {
    o->path_type = k->type;
    o->path = k->value.n > 0 ? k->value : STR("/");
    if (k->type == MODEL_PATH_REGEX)
        return check_regex(m, AT(at, "value"), o->path);
    if (path_check(m, AT(at, "value"), o->path) != 0)
        return -1;
    if (k->type == MODEL_PATH_PREFIX)
        o->path = path_prefix(o->path);
    return 0;
}

static bool is_token(struct str s) {
    return s.n > 0 && s.n <= 256 && chars_skip(s.p, s.p + s.n, CHAR_TOKEN) == s.p + s.n;
}

/* Whether a comparison makes sense, by its type. */
static int value_check(struct making *m, const struct at *at, const struct kube_value_match *k) {
    const struct at *value = AT(at, "value");
    if (k->value.n > 4096)
        return refuse(m, value, "%zu bytes are more than the limit of 4096", k->value.n);
    switch (k->type) {
    case MODEL_MATCH_EXACT:
        return k->value.p ? 0 : refuse(m, value, "is missing");
    case MODEL_MATCH_REGEX:
        return k->value.p ? check_regex(m, value, k->value) : refuse(m, value, "is missing");
    case MODEL_MATCH_PRESENT:
        return k->value.p ? refuse(m, value, "type Present has no value; remove it") : 0;
    }
    return -1;
}

enum value_kind { HEADERS, QUERY, COOKIES };

static int values_make(struct making *m, const struct at *up, enum value_kind kind,
                       const struct kube_value_match *k, uint32_t n, struct model_value_match **o) {
    static const char *const names[] = {"headers", "queryParams", "cookies"};
    struct shown shown;
    *o = n > 0 ? arena_array(&m->a, n, sizeof(**o)) : NULL;
    for (uint32_t i = 0; i < n; i++) {
        const struct at *at = AT_I(up, names[kind], i);
        struct str name = kind == HEADERS ? lower(&m->a, k[i].name) : k[i].name;
        if (kind != QUERY && !is_token(name))
            return refuse(m, AT(at, "name"), "%s is no name of a %s", why_show(k[i].name, &shown),
                          kind == HEADERS ? "header" : "cookie");
        for (uint32_t t = 0; t < i; t++)
            if (str_eq((*o)[t].name, name))
                return refuse(m, AT(at, "name"), "%s is there twice in one match",
                              why_show(name, &shown));
        if (value_check(m, at, &k[i]) != 0)
            return -1;
        (*o)[i] = (struct model_value_match){k[i].type, name, k[i].value};
    }
    return 0;
}

int match_make(struct making *m, const struct at *at, const struct kube_route_match *k,
               struct model_match *o) {
    const struct at *path = AT(at, "path");
    if (k->path && (match_path(m, path, k->path, o) != 0 ||
                    path_check_free(m, AT(path, "value"), o->path) != 0))
        return -1;
    o->method = k->method;
    o->n_headers = k->n_headers;
    o->n_query = k->n_query_params;
    o->n_cookies = k->n_cookies;
    if (values_make(m, at, HEADERS, k->headers, k->n_headers, &o->headers) != 0 ||
        values_make(m, at, QUERY, k->query_params, k->n_query_params, &o->query) != 0)
        return -1;
    return values_make(m, at, COOKIES, k->cookies, k->n_cookies, &o->cookies);
}
