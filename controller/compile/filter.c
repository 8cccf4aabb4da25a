/* SPDX-License-Identifier: Apache-2.0
 *
 * filter: what is done on the way, in the shapes and with the rules of the Gateway API.
 */
#include "controller/compile/editable.h"
#include "controller/compile/route.h"
#include "lib/chars.h"
#include "lib/path.h"

/* Everything that the functions below need to know of where they are. */
struct filtering {
    struct making *m;
    const struct kube_route_rule *rule;
    bool of_backend;
};

/* ---- header modifiers ---- */

static const char *not_editable(const struct making *m, struct str name, bool request, bool set) {
    if (request && set && identity_header(m->class, name))
        return "is an identity header (GatewayConfig spec.identityHeaders); only an AuthPolicy may "
               "set it";
    return header_not_editable(name, request, set);
}

static int edit_list(struct filtering *f, const struct at *up, const char *list, bool request,
                     const struct kube_header *k, uint32_t n, struct model_header_value **o) {
    struct making *m = f->m;
    struct shown shown;
    *o = n > 0 ? arena_array(&m->a, n, sizeof(**o)) : NULL;
    for (uint32_t i = 0; i < n; i++) {
        const struct at *at = AT_I(up, list, i);
        const char *no = not_editable(m, k[i].name, request, true);
        if (no)
            return refuse(m, AT(at, "name"), "%s %s", why_show(k[i].name, &shown), no);
        (*o)[i] = (struct model_header_value){lower(&m->a, k[i].name), k[i].value};
        for (uint32_t t = 0; t < i; t++)
            if (str_eq((*o)[t].name, (*o)[i].name))
                return refuse(m, AT(at, "name"), "%s is there twice", why_show(k[i].name, &shown));
    }
    return 0;
}

static int edit_make(struct filtering *f, const struct at *at, bool request,
                     const struct kube_header_filter *k, struct model_header_edit **o) {
    struct making *m = f->m;
    struct model_header_edit *e = *o = arena_zalloc(&m->a, sizeof(*e));
    struct shown shown;
    if (k->n_set + k->n_add + k->n_remove > EDIT_HEADERS_MAX)
        return refuse(m, at, "more than %d headers are changed", EDIT_HEADERS_MAX);
    if (k->n_set + k->n_add + k->n_remove == 0)
        return refuse(m, at, "neither set, add nor remove names a header");
    e->n_set = k->n_set;
    e->n_add = k->n_add;
    e->n_remove = k->n_remove;
    if (edit_list(f, at, "set", request, k->set, k->n_set, &e->set) != 0 ||
        edit_list(f, at, "add", request, k->add, k->n_add, &e->add) != 0)
        return -1;
    e->remove = k->n_remove > 0 ? arena_array(&m->a, k->n_remove, sizeof(struct str)) : NULL;
    for (uint32_t i = 0; i < k->n_remove; i++) {
        const char *no = not_editable(m, k->remove[i], request, false);
        if (no)
            return refuse(m, AT_I(at, "remove", i), "%s %s", why_show(k->remove[i], &shown), no);
        e->remove[i] = lower(&m->a, k->remove[i]);
    }
    return 0;
}

/* ---- paths ---- */

/* ReplacePrefixMatch replaces what a PathPrefix has matched: each match must be one. */
static bool only_prefixes(const struct kube_route_rule *rule) {
    for (uint32_t i = 0; i < rule->n_matches; i++)
        if (rule->matches[i].path && rule->matches[i].path->type != MODEL_PATH_PREFIX)
            return false;
    return true;
}

static int path_edit(struct filtering *f, const struct at *at, const struct kube_path_edit *k,
                     enum model_path_edit *edit, struct str *path) {
    struct making *m = f->m;
    *edit = MODEL_PATH_KEEP;
    if (!k)
        return 0;
    bool full = k->type == MODEL_PATH_REPLACE_FULL;
    if (full ? k->replace_prefix_match.n > 0 : k->replace_full_path.n > 0)
        return refuse(m, AT(at, full ? "replacePrefixMatch" : "replaceFullPath"),
                      "does not belong to type %s; remove it",
                      model_word(&model_words_path_edit, k->type));
    *edit = k->type;
    *path = full ? k->replace_full_path : k->replace_prefix_match;
    const struct at *value = AT(at, full ? "replaceFullPath" : "replacePrefixMatch");
    if (!full && !only_prefixes(f->rule))
        return refuse(m, value,
                      "only what a PathPrefix matched can be replaced; make every match of this "
                      "rule a PathPrefix, or use ReplaceFullPath");
    if (!full && path->n == 0)
        return 0; /* the prefix is cut off */
    return path_check(m, value, *path);
}

/* ---- the types ---- */

static int redirect_make(struct filtering *f, const struct at *at, const void *part,
                         struct model_filter *o) {
    const struct kube_redirect *k = part;
    struct making *m = f->m;
    struct model_redirect *r = o->redirect = arena_zalloc(&m->a, sizeof(*r));
    int64_t status = k->status_code < 0 ? 302 : k->status_code;
    if (f->rule->n_backend_refs > 0)
        return refuse(m, at,
                      "a rule that redirects sends nothing to its backendRefs; remove one of "
                      "the two");
    if (str_starts(k->hostname, STR("*")))
        return refuse(m, AT(at, "hostname"), "nobody can be sent to a wildcard; write one name");
    if (status != 301 && status != 302 && status != 303 && status != 307 && status != 308)
        return refuse(m, AT(at, "statusCode"), "%lld is not 301, 302, 303, 307 or 308",
                      (long long)status);
    r->scheme = k->scheme;
    r->hostname = k->hostname;
    r->port = k->port < 0 ? 0 : (uint64_t)k->port;
    r->status = (uint64_t)status;
    return path_edit(f, AT(at, "path"), k->path, &r->path_edit, &r->path);
}

static int rewrite_make(struct filtering *f, const struct at *at, const void *part,
                        struct model_filter *o) {
    const struct kube_rewrite *k = part;
    struct model_rewrite *r = o->rewrite = arena_zalloc(&f->m->a, sizeof(*r));
    if (str_starts(k->hostname, STR("*")))
        return refuse(f->m, AT(at, "hostname"), "a Host cannot be a wildcard; write one name");
    if (k->hostname.n == 0 && !k->path)
        return refuse(f->m, at, "neither hostname nor path is rewritten");
    r->hostname = k->hostname;
    return path_edit(f, AT(at, "path"), k->path, &r->path_edit, &r->path);
}

static int mirror_make(struct filtering *f, const struct at *at, const void *part,
                       struct model_filter *o) {
    const struct kube_mirror *k = part;
    struct making *m = f->m;
    struct model_mirror *r = o->mirror = arena_zalloc(&m->a, sizeof(*r));
    if (k->percent >= 0 && k->fraction)
        return refuse(m, at, "percent and fraction at once; keep one");
    if (k->percent >= 0) {
        r->numerator = (uint64_t)k->percent;
        r->denominator = 100;
    } else if (k->fraction) {
        r->numerator = (uint64_t)k->fraction->numerator;
        r->denominator = k->fraction->denominator < 0 ? 100 : (uint64_t)k->fraction->denominator;
        if (r->numerator > r->denominator)
            return refuse(m, AT(AT(at, "fraction"), "numerator"),
                          "more than the denominator, that is more than all requests");
    }
    const struct kube_object_ref *b = k->backend_ref;
    const struct at *ref_at = AT(at, "backendRef");
    if (b->port < 0)
        return refuse(m, AT(ref_at, "port"), "a Service needs a port; write its number");
    struct ref ref = {.group = b->group,
                      .kind = b->kind,
                      .namespace = b->namespace,
                      .name = b->name,
                      .port = {.number = (uint16_t)b->port}};
    r->backend = ref_resolve(m, ref_at, &ref);
    return 0;
}

/* A star, https with a name and perhaps a port, or with *. before the name. */
static bool is_origin(struct str s) {
    if (str_eq(s, STR("*")))
        return true;
    if (str_starts(s, STR("https://")))
        s = str_skip(s, 8);
    else if (str_starts(s, STR("http://")))
        s = str_skip(s, 7);
    else
        return false;
    struct str host, port = str_cut(s, ':', &host);
    uint64_t number;
    if (port.p && (!str_to_u64(port, 65535, &number) || number == 0))
        return false;
    if (str_starts(host, STR("*.")))
        host = str_skip(host, 2);
    if (host.n == 0 || host.n > 253 || host.p[0] == '.' || host.p[host.n - 1] == '.')
        return false;
    return chars_skip(host.p, host.p + host.n, CHAR_HOST) == host.p + host.n;
}

static bool is_token_or_star(struct str s) {
    return s.n > 0 && s.n <= 256 && chars_skip(s.p, s.p + s.n, CHAR_TOKEN) == s.p + s.n;
}

static int cors_list(struct making *m, const struct at *up, const char *name, const struct str *k,
                     uint32_t n, bool fold, struct str **o) {
    struct shown shown;
    *o = n > 0 ? arena_array(&m->a, n, sizeof(struct str)) : NULL;
    for (uint32_t i = 0; i < n; i++) {
        if (!is_token_or_star(k[i]))
            return refuse(m, AT_I(up, name, i), "%s is neither a name nor *",
                          why_show(k[i], &shown));
        if (str_eq(k[i], STR("*")) && n > 1)
            return refuse(m, AT_I(up, name, i), "* says all; remove the others");
        (*o)[i] = fold ? lower(&m->a, k[i]) : k[i];
    }
    return 0;
}

static int cors_make(struct filtering *f, const struct at *at, const void *part,
                     struct model_filter *o) {
    const struct kube_cors *k = part;
    struct making *m = f->m;
    struct model_cors *c = o->cors = arena_zalloc(&m->a, sizeof(*c));
    struct shown shown;
    c->allow_origins = arena_array(&m->a, k->n_allow_origins, sizeof(struct str));
    c->n_allow_origins = k->n_allow_origins;
    for (uint32_t i = 0; i < k->n_allow_origins; i++) {
        c->allow_origins[i] = lower(&m->a, k->allow_origins[i]);
        if (!is_origin(c->allow_origins[i]))
            return refuse(m, AT_I(at, "allowOrigins", i),
                          "%s is no origin; write *, https://shop.example.com or "
                          "https://*.example.com, with a port if need be and without a path",
                          why_show(k->allow_origins[i], &shown));
    }
    c->n_allow_methods = k->n_allow_methods;
    c->n_allow_headers = k->n_allow_headers;
    c->n_expose_headers = k->n_expose_headers;
    c->allow_credentials = k->allow_credentials;
    c->max_age_s = k->max_age < 0 ? 0 : (uint64_t)k->max_age;
    if (cors_list(m, at, "allowMethods", k->allow_methods, k->n_allow_methods, false,
                  &c->allow_methods) != 0 ||
        cors_list(m, at, "allowHeaders", k->allow_headers, k->n_allow_headers, true,
                  &c->allow_headers) != 0)
        return -1;
    return cors_list(m, at, "exposeHeaders", k->expose_headers, k->n_expose_headers, true,
                     &c->expose_headers);
}

static int direct_make(struct filtering *f, const struct at *at, const void *part,
                       struct model_filter *o) {
    const struct kube_direct_response *k = part;
    struct making *m = f->m;
    struct model_direct *d = o->direct = arena_zalloc(&m->a, sizeof(*d));
    if (f->rule->n_backend_refs > 0)
        return refuse(m, at,
                      "a rule that answers itself sends nothing to its backendRefs; remove "
                      "one of the two");
    if (k->body.n > 64 << 10)
        return refuse(m, AT(at, "body"), "%zu bytes are more than the limit of 64Ki", k->body.n);
    if (k->body.n > 0 && (k->status_code == 204 || k->status_code == 304))
        return refuse(m, AT(at, "body"), "an answer with status %lld has no body",
                      (long long)k->status_code);
    d->status = (uint64_t)k->status_code;
    d->content_type = k->content_type;
    d->body = k->body;
    return 0;
}

/* ---- cookies ---- */

static int cookies_make(struct filtering *f, const struct at *at, const void *part,
                        struct model_filter *o) {
    const struct kube_cookie_rewrite *k = part;
    struct making *m = f->m;
    if (k->domain.n == 0 && k->path.n == 0)
        return refuse(m, at, "changes nothing; write domain, path or both");
    if (str_starts(k->domain, STR("*")))
        return refuse(m, AT(at, "domain"),
                      "a cookie's domain has no wildcard; it covers the names "
                      "below it anyway");
    if (k->path.n > 0 && path_check(m, AT(at, "path"), k->path) != 0)
        return -1;
    o->cookies = arena_zalloc(&m->a, sizeof(*o->cookies));
    *o->cookies = (struct model_cookie_rewrite){k->domain, k->path};
    return 0;
}

/* ---- one filter, and all of them ---- */

static int request_headers(struct filtering *f, const struct at *at, const void *k,
                           struct model_filter *o) {
    return edit_make(f, at, true, k, &o->headers);
}
static int response_headers(struct filtering *f, const struct at *at, const void *k,
                            struct model_filter *o) {
    return edit_make(f, at, false, k, &o->headers);
}

/* A type's own part of a filter: its name, where it is, and who makes the model's of it. */
static const struct {
    const char *name;
    size_t offset; /* of the pointer, in struct kube_filter */
    int (*make)(struct filtering *f, const struct at *at, const void *part, struct model_filter *o);
} types[] = {
#define TYPE(TYPE, name, field, make)                                                              \
    [MODEL_FILTER_##TYPE] = {name, offsetof(struct kube_filter, field), make}
    TYPE(REQUEST_HEADERS, "requestHeaderModifier", request_header_modifier, request_headers),
    TYPE(RESPONSE_HEADERS, "responseHeaderModifier", response_header_modifier, response_headers),
    TYPE(REDIRECT, "requestRedirect", request_redirect, redirect_make),
    TYPE(REWRITE, "urlRewrite", url_rewrite, rewrite_make),
    TYPE(MIRROR, "requestMirror", request_mirror, mirror_make),
    TYPE(CORS, "cors", cors, cors_make),
    TYPE(DIRECT, "directResponse", direct_response, direct_make),
    TYPE(COOKIES, "cookieRewrite", cookie_rewrite, cookies_make),
#undef TYPE
};

static const void *part_of(const struct kube_filter *k, unsigned type) {
    const void *part;
    memcpy(&part, (const char *)k + types[type].offset, sizeof(part));
    return part;
}

/* The decoder lets no filter through that has no type. */
static int filter_make(struct filtering *f, const struct at *at, const struct kube_filter *k,
                       struct model_filter *o) {
    struct making *m = f->m;
    const char *word = model_word(&model_words_filter_type, k->type);
    o->type = k->type;
    for (unsigned t = 1; t < ARRAY_LEN(types); t++)
        if (t != k->type && part_of(k, t))
            return refuse(m, AT(at, types[t].name), "does not belong to type %s; remove it", word);
    const struct at *part = AT(at, types[k->type].name);
    if (!part_of(k, k->type))
        return refuse(m, part, "is missing; type %s needs it", word);
    return types[k->type].make(f, part, part_of(k, k->type), o);
}

static int check_together(struct filtering *f, const struct at *at, unsigned type,
                          const unsigned *seen) {
    const char *word = model_word(&model_words_filter_type, type);
    if (f->of_backend && type != MODEL_FILTER_REQUEST_HEADERS &&
        type != MODEL_FILTER_RESPONSE_HEADERS)
        return refuse(f->m, AT(at, "type"),
                      "%s is not supported on a single backend; move it to the rule", word);
    if (seen[type] > 0 && type != MODEL_FILTER_MIRROR)
        return refuse(f->m, AT(at, "type"), "a second %s; a rule has at most one", word);
    static const unsigned apart[][2] = {{MODEL_FILTER_REDIRECT, MODEL_FILTER_REWRITE},
                                        {MODEL_FILTER_REDIRECT, MODEL_FILTER_DIRECT},
                                        {MODEL_FILTER_REWRITE, MODEL_FILTER_DIRECT}};
    for (size_t i = 0; i < ARRAY_LEN(apart); i++) {
        unsigned other = apart[i][0] == type ? apart[i][1] : apart[i][1] == type ? apart[i][0] : 0;
        if (other != 0 && seen[other] > 0)
            return refuse(f->m, AT(at, "type"), "%s and %s exclude each other; keep one",
                          model_word(&model_words_filter_type, other), word);
    }
    return 0;
}

int filters_make(struct making *m, const struct at *up, const struct kube_route_rule *rule,
                 const struct kube_filter *k, uint32_t n, bool of_backend,
                 struct model_filter **filters, uint32_t *n_filters) {
    struct filtering f = {m, rule, of_backend};
    unsigned seen[ARRAY_LEN(types)] = {0};
    struct model_filter *o = n > 0 ? arena_array(&m->a, n, sizeof(*o)) : NULL;
    *filters = o;
    *n_filters = 0;
    for (uint32_t i = 0; i < n; i++) {
        const struct at *at = AT_I(up, "filters", i);
        if (check_together(&f, at, k[i].type, seen) != 0 || filter_make(&f, at, &k[i], o) != 0)
            return -1;
        seen[k[i].type]++;
        if (k[i].type == MODEL_FILTER_MIRROR && o->mirror->backend.n == 0) {
            memset(o, 0, sizeof(*o)); /* nobody to mirror to; the status says so */
            continue;
        }
        o++;
        ++*n_filters;
    }
    return 0;
}
