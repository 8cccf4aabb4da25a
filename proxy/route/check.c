/* SPDX-License-Identifier: Apache-2.0
 *
 * check: whether an object is good, looked at alone. The controller has said all of this to the
 * user before; here is the last line, and it is strict: what is let through is never looked at
 * again.
 */
#include "lib/authority.h"
#include "lib/certificate.h"
#include "lib/jwt_keys.h"
#include "lib/mac.h"
#include "lib/pem.h"
#include "lib/ticket.h"
#include "lib/units.h"
#include "lib/ws_tls.h"
#include "lib/zone.h"
#include "proxy/http/chars.h"
#include "proxy/http/path.h"
#include "proxy/route/build.h"

enum {
    PATH_MAX_BYTES = 8192,
    MATCHES_MAX = 1024,
    WEIGHT_MAX = 1000000,
    UPSTREAM_NAMES_MAX = 64,
};

/* ---- where in the user's object ---- */

static void at_object(struct why *why, const struct model_origin *o) {
    if (!o)
        return;
    if (o->namespace.n > 0)
        why_object(why, "%.*s %.*s/%.*s", STR_FMT(o->kind), STR_FMT(o->namespace),
                   STR_FMT(o->name));
    else
        why_object(why, "%.*s %.*s", STR_FMT(o->kind), STR_FMT(o->name));
    why_field(why, "%.*s", STR_FMT(o->field));
}

static void at_field(struct why *why, const struct model_origin *o, const char *sub) {
    if (o && o->field.n > 0)
        why_field(why, "%.*s.%s", STR_FMT(o->field), sub);
    else
        why_field(why, "%s", sub);
}

static int at_match(struct why *why, const struct model_route *r, uint32_t i, const char *what) {
    char sub[64];
    struct out o = out_fixed(sub, sizeof(sub) - 1);
    out_fmt(&o, "matches[%u].%s", i, what);
    sub[o.n] = 0;
    at_field(why, r->origin, sub);
    return -1;
}

/* ---- small checks ---- */

static bool is_name(struct str s) { /* of a field, lower case */
    const char *end = s.p + s.n;
    if (s.n == 0 || chars_skip(s.p, end, CHAR_TOKEN) != end)
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] != char_lower(s.p[i]))
            return false;
    return true;
}

static bool is_value(struct str s) { return s.n == 0 || chars_value(s.p, s.p + s.n) == s.p + s.n; }

static bool is_status(uint64_t v, uint64_t low, uint64_t high) { return v >= low && v <= high; }

/* ---- route ---- */

static int check_path(struct model_match *m, struct why *why) {
    struct shown shown;
    if (m->path_type == MODEL_PATH_REGEX)
        return m->path.n > 0 ? 0 : why_text(why, "an empty regular expression matches no path");
    if (m->path_type == MODEL_PATH_PREFIX && m->path.n > 0 && m->path.p[m->path.n - 1] == '/')
        m->path.n--;
    size_t max = m->path_type == MODEL_PATH_PREFIX ? PREFIX_MAX : PATH_MAX_BYTES;
    if (m->path.n > max)
        return why_text(why, "the path has %zu bytes; at most %zu are allowed", m->path.n, max);
    if (m->path_type == MODEL_PATH_PREFIX && m->path.n == 0)
        return 0;
    if (m->path.n == 0 || m->path.p[0] != '/' || !path_is_canonical(m->path))
        return why_text(why,
                        "%s is not a canonical path: it must begin with \"/\" and have no dot "
                        "segments, encoded slashes or needless escapes",
                        why_show(m->path, &shown));
    return 0;
}

static int check_values(const struct model_value_match *list, uint32_t n, bool header,
                        struct why *why) {
    struct shown shown;
    for (uint32_t i = 0; i < n; i++)
        if (list[i].name.n == 0 || (header && !is_name(list[i].name)))
            return why_text(why, "%s is not a name to match%s", why_show(list[i].name, &shown),
                            header ? "; write header names in lower case" : "");
    return 0;
}

static int check_match(const struct model_route *r, uint32_t i, struct why *why) {
    struct model_match *m = &r->matches[i];
    struct shown shown;
    if (check_path(m, why) != 0)
        return at_match(why, r, i, "path.value");
    if (m->method.n > 0 && chars_skip(m->method.p, m->method.p + m->method.n, CHAR_TOKEN) !=
                               m->method.p + m->method.n) {
        why_text(why, "%s is not a method", why_show(m->method, &shown));
        return at_match(why, r, i, "method");
    }
    if (check_values(m->headers, m->n_headers, true, why) != 0)
        return at_match(why, r, i, "headers");
    if (check_values(m->query, m->n_query, false, why) != 0)
        return at_match(why, r, i, "queryParams");
    if (check_values(m->cookies, m->n_cookies, false, why) != 0)
        return at_match(why, r, i, "cookies");
    return 0;
}

static int check_header_edit(const struct model_header_edit *e, struct why *why) {
    struct shown shown;
    for (uint32_t i = 0; i < e->n_set + e->n_add; i++) {
        const struct model_header_value *h = i < e->n_set ? &e->set[i] : &e->add[i - e->n_set];
        if (!is_name(h->name))
            return why_text(why, "%s is not a header name in lower case",
                            why_show(h->name, &shown));
        if (!is_value(h->value))
            return why_text(why, "%s has characters that no header value may have",
                            why_show(h->value, &shown));
    }
    for (uint32_t i = 0; i < e->n_remove; i++)
        if (!is_name(e->remove[i]))
            return why_text(why, "%s is not a header name in lower case",
                            why_show(e->remove[i], &shown));
    return 0;
}

static bool is_path_edit(enum model_path_edit edit, struct str path) {
    return edit == MODEL_PATH_KEEP || (edit == MODEL_PATH_REPLACE_PREFIX && path.n == 0) ||
           (path.n > 0 && path.p[0] == '/' && path.n <= PATH_MAX_BYTES && path_is_canonical(path));
}

static int check_filter(const struct model_filter *f, struct why *why) {
    struct shown shown;
    const void *part[] = {[MODEL_FILTER_NONE] = NULL,
                          [MODEL_FILTER_REQUEST_HEADERS] = f->headers,
                          [MODEL_FILTER_RESPONSE_HEADERS] = f->headers,
                          [MODEL_FILTER_REDIRECT] = f->redirect,
                          [MODEL_FILTER_REWRITE] = f->rewrite,
                          [MODEL_FILTER_MIRROR] = f->mirror,
                          [MODEL_FILTER_CORS] = f->cors,
                          [MODEL_FILTER_DIRECT] = f->direct,
                          [MODEL_FILTER_COOKIES] = f->cookies};
    if (f->type != MODEL_FILTER_NONE && !part[f->type])
        return why_text(why, "a filter of type %s has no %s part",
                        model_word(&model_words_filter_type, f->type),
                        model_word(&model_words_filter_type, f->type));
    if (f->headers && check_header_edit(f->headers, why) != 0)
        return -1;
    if (f->redirect && !is_path_edit(f->redirect->path_edit, f->redirect->path))
        return why_text(why, "%s is not a canonical path", why_show(f->redirect->path, &shown));
    if (f->redirect && f->redirect->status != 0 && !is_status(f->redirect->status, 301, 308))
        return why_text(why, "%llu is not a status that redirects; use 301, 302, 303, 307 or 308",
                        (unsigned long long)f->redirect->status);
    if (f->rewrite && !is_path_edit(f->rewrite->path_edit, f->rewrite->path))
        return why_text(why, "%s is not a canonical path", why_show(f->rewrite->path, &shown));
    if (f->direct && !is_status(f->direct->status, 200, 599))
        return why_text(why, "%llu is not a status from 200 to 599",
                        (unsigned long long)f->direct->status);
    if (f->direct && !is_value(f->direct->content_type))
        return why_text(why, "%s is not a content type", why_show(f->direct->content_type, &shown));
    return 0;
}

static int check_filters(const struct model_filter *list, uint32_t n,
                         const struct model_origin *origin, struct why *why) {
    for (uint32_t i = 0; i < n; i++)
        if (check_filter(&list[i], why) != 0) {
            at_field(why, origin, "filters");
            return -1;
        }
    return 0;
}

static int check_retry(const struct model_retry *r, const struct model_origin *origin,
                       struct why *why) {
    if (!r)
        return 0;
    bool good = r->codes.n % 2 == 0 && r->codes.n / 2 <= 16;
    for (size_t i = 0; good && i < r->codes.n; i += 2) {
        const unsigned char *p = (const unsigned char *)r->codes.p + i;
        good = is_status((uint64_t)p[0] << 8 | p[1], 400, 599);
    }
    if (good && r->budget_percent <= 100)
        return 0;
    at_field(why, origin, "retry");
    return why_text(why, good ? "a budget of more than 100 %%"
                              : "codes must be at most 16 numbers from 400 to 599");
}

static int check_shares(const struct model_route *r, struct why *why) {
    for (uint32_t i = 0; i < r->n_backends; i++) {
        const struct model_backend_ref *b = &r->backends[i];
        at_field(why, r->origin, "backendRefs");
        if (b->weight > WEIGHT_MAX)
            return why_text(why, "weight %llu is more than %d", (unsigned long long)b->weight,
                            WEIGHT_MAX);
        if (b->status != 0 && !is_status(b->status, 400, 599))
            return why_text(why, "%llu is not a status from 400 to 599",
                            (unsigned long long)b->status);
        if (check_filters(b->filters, b->n_filters, r->origin, why) != 0)
            return -1;
    }
    if (r->n_backends > 4096)
        return why_text(why, "more than 4096 backends");
    return 0;
}

static int check_route(struct model_route *r, struct why *why) {
    at_object(why, r->origin);
    if (r->n_matches > MATCHES_MAX) {
        at_field(why, r->origin, "matches");
        return why_text(why, "%u matches; at most %d are allowed", r->n_matches, MATCHES_MAX);
    }
    for (uint32_t i = 0; i < r->n_matches; i++)
        if (check_match(r, i, why) != 0)
            return -1;
    if (check_filters(r->filters, r->n_filters, r->origin, why) != 0)
        return -1;
    if (check_retry(r->retry, r->origin, why) != 0)
        return -1;
    return check_shares(r, why);
}

/* ---- regular expressions of a route ---- */

static void regexes_free(struct rule_regexes *r) {
    if (!r)
        return;
    for (uint32_t i = 0; i < r->n; i++)
        regex_free(r->list[i]);
    mem_free(r->list);
    mem_free(r->first);
    mem_free(r);
}

static int add_regex(struct rule_regexes *to, struct str pattern, struct why *why) {
    struct regex *re = regex_new(pattern, why);
    if (!re)
        return -1;
    to->list = mem_realloc(to->list, (to->n + 1) * sizeof(struct regex *));
    to->list[to->n++] = re;
    return 0;
}

static int add_values(struct rule_regexes *to, const struct model_value_match *list, uint32_t n,
                      struct why *why) {
    for (uint32_t i = 0; i < n; i++)
        if (list[i].type == MODEL_MATCH_REGEX && add_regex(to, list[i].value, why) != 0)
            return -1;
    return 0;
}

/* NULL without *why: there are none. */
static struct rule_regexes *regexes_new(const struct model_route *r, struct why *why) {
    struct rule_regexes *to = mem_zalloc(sizeof(*to));
    to->first = mem_array(r->n_matches, sizeof(*to->first));
    int bad = 0;
    for (uint32_t i = 0; i < r->n_matches && !bad; i++) {
        const struct model_match *m = &r->matches[i];
        to->first[i] = to->n;
        if (m->path_type == MODEL_PATH_REGEX && (bad = add_regex(to, m->path, why)) != 0)
            at_match(why, r, i, "path.value");
        else if ((bad = add_values(to, m->headers, m->n_headers, why)) != 0)
            at_match(why, r, i, "headers");
        else if ((bad = add_values(to, m->query, m->n_query, why)) != 0)
            at_match(why, r, i, "queryParams");
        else if ((bad = add_values(to, m->cookies, m->n_cookies, why)) != 0)
            at_match(why, r, i, "cookies");
    }
    if (to->n > 0 && !bad)
        return to;
    regexes_free(to);
    return NULL;
}

/* ---- rate limits ---- */

enum { LIMITS_MAX_OF_POLICY = 16, LIMIT_KEYS_MAX = 4 };

static int check_limit_keys(const struct model_rate_limit *m, struct why *why) {
    struct shown shown;
    if (m->n_keys > LIMIT_KEYS_MAX)
        return why_text(why, "more than %d keys", LIMIT_KEYS_MAX);
    for (uint32_t i = 0; i < m->n_keys; i++) {
        const struct model_rate_key *k = &m->keys[i];
        bool header = k->by == MODEL_FROM_HEADER;
        bool named = header || k->by == MODEL_FROM_COOKIE || k->by == MODEL_FROM_QUERY;
        if (named && (k->name.n == 0 || (header && !is_name(k->name))))
            return why_text(why, "%s is not the name of a place", why_show(k->name, &shown));
        if (k->by == MODEL_FROM_CLAIM && k->n_path == 0)
            return why_text(why, "a claim without a name");
    }
    return 0;
}

/* NULL is fine. */
static int check_limit(const struct model_rate_limit *m, struct why *why) {
    struct shown shown;
    if (!m)
        return 0;
    bool good = m->requests >= 1 && m->requests <= INT32_MAX && m->burst <= INT32_MAX &&
                m->per_ms >= 1 && m->per_ms <= LIMIT_PER_MAX_MS && !(m->window && m->burst > 0);
    if (!good)
        return why_text(why, "a limit of %llu requests in %llu ms, and %llu at once",
                        (unsigned long long)m->requests, (unsigned long long)m->per_ms,
                        (unsigned long long)m->burst);
    if (m->name.n > 63)
        return why_text(why, "%s is no name of a limit", why_show(m->name, &shown));
    for (size_t i = 0; i < m->name.n; i++)
        if (!char_is(m->name.p[i], CHAR_TOKEN)) /* it stands between quotes in a field */
            return why_text(why, "%s is no name of a limit", why_show(m->name, &shown));
    return check_limit_keys(m, why);
}

/* ---- AuthPolicies ---- */

static int check_sources(const struct model_value_source *list, uint32_t n, struct why *why) {
    struct shown shown;
    for (uint32_t i = 0; i < n; i++) {
        bool header = list[i].from == MODEL_FROM_HEADER;
        if (!header && list[i].from != MODEL_FROM_COOKIE && list[i].from != MODEL_FROM_QUERY)
            return why_text(why, "a credential is taken from a header, a cookie or the query");
        if (list[i].name.n == 0 || (header && !is_name(list[i].name)))
            return why_text(why, "%s is not the name of a place", why_show(list[i].name, &shown));
    }
    return 0;
}

static int check_jwt(const struct model_auth_jwt *m, struct why *why) {
    struct shown shown;
    enum jwt_alg alg;
    if (m->issuer.n == 0 || m->n_algorithms == 0)
        return why_text(why, "issuer and algorithms must be said");
    for (uint32_t i = 0; i < m->n_algorithms; i++)
        if (!jwt_alg_named(m->algorithms[i], &alg))
            return why_text(why, "%s is not an algorithm", why_show(m->algorithms[i], &shown));
    return 0;
}

/* A name is looked for by halves. */
static int check_basic(const struct model_auth_method_config *m, struct why *why) {
    const struct model_auth_basic *b = m->basic;
    struct shown shown;
    if (!b || !m->consumers)
        return why_text(why, "nothing is said of its users, or of Consumers");
    for (size_t i = 0; i < b->realm.n; i++)
        if ((unsigned char)b->realm.p[i] < 0x20 || b->realm.p[i] == 0x7f)
            return why_text(why, "realm %s cannot be in a header", why_show(b->realm, &shown));
    for (uint32_t i = 1; i < b->n_users; i++)
        if (str_cmp(b->users[i - 1].name, b->users[i].name) >= 0)
            return why_text(why, "user %s is not in order", why_show(b->users[i].name, &shown));
    return 0;
}

static int check_hmac_algorithms(const struct model_auth_hmac *h, struct why *why) {
    struct shown shown;
    for (uint32_t i = 0; i < h->n_algorithms; i++) {
        enum mac mac = mac_named(h->algorithms[i]);
        if (mac == MAC_NONE)
            return why_text(why, "%s is not an algorithm", why_show(h->algorithms[i], &shown));
        if (mac == MAC_SHA1 && h->profile != MODEL_HMAC_KONG)
            return why_text(why, "hmac-sha1 is for the profile Kong alone");
    }
    return h->n_algorithms > 0 ? 0 : why_text(why, "algorithms must be said");
}

static bool is_tag(struct str tag) {
    for (size_t i = 0; i < tag.n; i++)
        if (tag.p[i] < ' ' || tag.p[i] > '~' || tag.p[i] == '"' || tag.p[i] == '\\')
            return false;
    return true;
}

static int check_hmac(const struct model_auth_method_config *m, struct why *why) {
    const struct model_auth_hmac *h = m->hmac;
    struct shown shown;
    if (!h || !m->consumers)
        return why_text(why, "signatures are of Consumers, and none are named");
    for (uint32_t i = 0; i < h->n_components; i++) {
        struct str name = h->components[i];
        if (!is_name(str_starts(name, STR("@")) ? str_skip(name, 1) : name))
            return why_text(why, "%s is nothing that a signature covers", why_show(name, &shown));
    }
    if (!is_tag(h->tag))
        return why_text(why, "%s cannot be a tag", why_show(h->tag, &shown));
    return check_hmac_algorithms(h, why);
}

/* Read as workers will read it. */
static int check_terms(const struct model_auth_certificate *m, struct why *why) {
    struct authority a;
    if (m->ca.n > 0) {
        if (authority_load(&a, m->ca, m->crl, why) != 0)
            return -1;
        authority_fini(&a);
        return 0;
    }
    STACK_OF(X509_CRL) *lists = m->crl.n > 0 ? pem_crls(m->crl, why) : NULL;
    sk_X509_CRL_pop_free(lists, X509_CRL_free);
    return why_set(why) ? -1 : 0;
}

static int check_names(const struct str *names, uint32_t n, struct why *why) {
    struct shown shown;
    for (uint32_t i = 0; i < n; i++)
        if (!is_name(names[i]))
            return why_text(why, "%s is not a header name in lower case",
                            why_show(names[i], &shown));
    return 0;
}

static int check_asked(struct str backend, struct str path, struct why *why) {
    struct shown shown;
    if (backend.n == 0)
        return why_text(why, "nobody is named who could be asked");
    for (size_t i = 0; i < path.n; i++)
        if (path.p[0] != '/' || path.p[i] <= 0x20 || path.p[i] >= 0x7f)
            return why_text(why, "%s is not a path", why_show(path, &shown));
    return 0;
}

static int check_external(const struct model_auth_method_config *of, struct why *why) {
    const struct model_auth_external *m = of->external;
    if (!m)
        return why_text(why, "nothing is said of its service");
    if (m->consumer_header.n > 0 && !of->consumers)
        return why_text(why, "its service names Consumers, and none are for it");
    if (check_asked(m->backend, m->path, why) != 0 ||
        check_names(m->allowed_headers, m->n_allowed_headers, why) != 0 ||
        check_names(m->headers_to_backend, m->n_headers_to_backend, why) != 0 ||
        check_names(m->headers_to_client, m->n_headers_to_client, why) != 0 ||
        check_names(&m->consumer_header, m->consumer_header.n > 0, why) != 0 ||
        check_sources(m->cache_key, m->n_cache_key, why) != 0)
        return -1;
    return 0;
}

static bool is_plain(struct str s, const char *without) {
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= ' ' || s.p[i] > '~' || strchr(without, s.p[i]))
            return false;
    return true;
}

static int check_introspection(const struct model_auth_introspection *m, struct why *why) {
    struct shown shown;
    if (!is_plain(m->host, ""))
        return why_text(why, "%s is no host", why_show(m->host, &shown));
    return check_asked(m->backend, m->path, why);
}

/* All of it becomes part of heads: of questions, and of answers to browsers. */
static int check_oidc(const struct model_auth_method_config *m, struct why *why) {
    const struct model_auth_oidc *o = m->oidc;
    bool path = o->redirect_path.n > 0 && o->redirect_path.p[0] == '/';
    if (o->issuer.n == 0 || o->client_id.n == 0 || !path || m->n_from != 1)
        return why_text(why, "issuer, client_id, redirect_path and a cookie must be said");
    if (o->cookie.n == 0 || o->cookie.n > 64 || !is_plain(o->cookie, "()<>@,;:\\\"/[]?={}") ||
        !is_plain(o->cookie_domain, ";,") || !is_plain(o->cookie_path, ";,"))
        return why_text(why, "a cookie that no browser would keep");
    if (!str_starts(o->authorize, STR("https://")) || !str_starts(o->token_path, STR("/")) ||
        o->token_host.n == 0)
        return why_text(why, "authorize, token_host and token_path must be said");
    const struct str parts[] = {o->authorize,     o->token_host,   o->token_path, o->end_session,
                                o->redirect_path, o->redirect_uri, o->logout_uri, o->logout_path};
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        if (!is_plain(parts[i], ""))
            return why_text(why, "an address with a character that no header may have");
    return m->name.n <= 255 ? 0 : why_text(why, "the method's name is longer than 255 bytes");
}

static int check_method(const struct model_auth_method_config *m, struct why *why) {
    if (m->name.n == 0)
        return why_text(why, "a method without a name");
    if (check_sources(m->from, m->n_from, why) != 0)
        return -1;
    switch (m->type) {
    case MODEL_AUTH_JWT:
        return m->jwt ? check_jwt(m->jwt, why) : why_text(why, "nothing is said of its tokens");
    case MODEL_AUTH_API_KEY:
        return m->consumers ? 0 : why_text(why, "keys are for Consumers, and none are named");
    case MODEL_AUTH_BASIC:
        return check_basic(m, why);
    case MODEL_AUTH_HMAC:
        return check_hmac(m, why);
    case MODEL_AUTH_CLIENT_CERTIFICATE:
        return m->certificate ? check_terms(m->certificate, why)
                              : why_text(why, "nothing is said of its certificates");
    case MODEL_AUTH_EXTERNAL:
        return check_external(m, why);
    case MODEL_AUTH_INTROSPECTION:
        return m->introspection ? check_introspection(m->introspection, why)
                                : why_text(why, "nothing is said of its server");
    case MODEL_AUTH_OIDC:
        return m->oidc ? check_oidc(m, why) : why_text(why, "nothing is said of its provider");
    case MODEL_AUTH_ANONYMOUS:
        return 0;
    default:
        return why_text(why, "methods of type %s are not supported by this proxy",
                        model_word(&model_words_auth_method, m->type));
    }
}

static bool zone_is_good(const struct model_auth_rule *r) {
    for (uint32_t i = 0; i < r->n_zone; i++)
        if (r->zone[i].minutes > 2 * ZONE_SHIFT || r->zone[i].from > INT64_MAX ||
            (i > 0 && r->zone[i].from <= r->zone[i - 1].from))
            return false;
    return r->n_zone <= ZONE_CHANGES_MAX;
}

static int check_auth_rule(const struct model_auth_rule *r, struct why *why) {
    struct shown shown;
    struct cidr cidr;
    for (uint32_t i = 0; i < r->n_cidrs; i++)
        if (!cidr_parse(r->cidrs[i], &cidr))
            return why_text(why, "%s is not a network", why_show(r->cidrs[i], &shown));
    return r->from_minute <= 1440 && r->to_minute <= 1440 && r->days < 128 && zone_is_good(r)
               ? 0
               : why_text(why, "a time that is none");
}

static int check_identity(const struct model_identity *m, struct why *why) {
    struct shown shown;
    for (uint32_t i = 0; m && i < m->n_headers; i++)
        if (!is_name(m->headers[i].name))
            return why_text(why, "%s is not a header name in lower case",
                            why_show(m->headers[i].name, &shown));
    return 0;
}

static int check_auth(const struct model_auth *m, struct why *why) {
    at_object(why, m->origin);
    if (m->n_methods > AUTH_METHODS_MAX)
        return why_text(why, "more than %d methods", AUTH_METHODS_MAX);
    for (uint32_t i = 0; i < m->n_methods; i++)
        if (check_method(&m->methods[i], why) != 0) {
            at_field(why, m->origin, "spec.methods");
            return -1;
        }
    for (uint32_t i = 0; i < m->n_rules; i++)
        if (check_auth_rule(&m->rules[i], why) != 0) {
            at_field(why, m->origin, "spec.authorize");
            return -1;
        }
    if (check_identity(m->identity, why) != 0) {
        at_field(why, m->origin, "spec.identity.headers");
        return -1;
    }
    if (check_limit(m->failure_limit, why) != 0) {
        at_field(why, m->origin, "spec.failureLimit");
        return -1;
    }
    auth_patterns_free(auth_patterns_new(m, why));
    return why_set(why) ? -1 : 0;
}

static int check_consumer(const struct model_consumer *m, struct why *why) {
    for (uint32_t i = 0; i < m->n_credentials; i++)
        if (m->credentials[i].digest.n != 0 && m->credentials[i].digest.n != CREDENTIAL_DIGEST)
            return why_text(why, "a credential that cannot be found");
    return check_limit(m->rate_limit, why);
}

/* NULL with *why, or without: a set without keys, which verifies nothing. */
static struct jwt_keys *keys_new(const struct model_key_set *m, struct why *why) {
    struct jwt_key keys[JWT_KEYS_MAX];
    struct shown shown;
    at_object(why, m->origin);
    if (m->n_keys > JWT_KEYS_MAX) {
        why_text(why, "more than %d keys", JWT_KEYS_MAX);
        return NULL;
    }
    for (uint32_t i = 0; i < m->n_keys; i++) {
        keys[i] = (struct jwt_key){.kid = m->keys[i].kid, .der = m->keys[i].der};
        if (!jwt_alg_named(m->keys[i].algorithm, &keys[i].alg)) {
            why_text(why, "%s is not an algorithm", why_show(m->keys[i].algorithm, &shown));
            return NULL;
        }
    }
    return m->n_keys > 0 ? jwt_keys_of(keys, m->n_keys, why) : NULL;
}

/* ---- the other kinds ---- */

static int check_host(const struct model_host *h, struct why *why) {
    struct shown shown;
    at_object(why, h->origin);
    struct str name = str_starts(h->hostname, STR("*.")) ? str_skip(h->hostname, 2) : h->hostname;
    bool good = h->hostname.n <= HOST_MAX && (name.n > 0 || h->hostname.n == 0);
    for (size_t i = 0; good && i < name.n; i++)
        good = (char_is(name.p[i], CHAR_HOST) || name.p[i] == ':' || name.p[i] == '[' ||
                name.p[i] == ']') &&
               name.p[i] == char_lower(name.p[i]);
    if (good && (name.n == 0 || (name.p[0] != '.' && name.p[name.n - 1] != '.')))
        return 0;
    return why_text(why,
                    "%s is not a host name: write it in lower case, as shop.example.com or "
                    "*.example.com",
                    why_show(h->hostname, &shown));
}

static int check_endpoints(const struct model_endpoints *e, struct why *why) {
    at_object(why, e->origin);
    for (uint32_t i = 0; i < e->n_endpoints; i++) {
        const struct model_endpoint *p = &e->endpoints[i];
        if (p->address.n != 4 && p->address.n != 16)
            return why_text(why, "endpoint %u has an address of %zu bytes; it must be 4 or 16", i,
                            p->address.n);
        if (p->port == 0 || p->port > 65535)
            return why_text(why, "endpoint %u has port %llu; it must be 1 to 65535", i,
                            (unsigned long long)p->port);
    }
    return 0;
}

/* Everything is read as a handshake will read it. */
static int check_tls(const struct model_upstream_tls *m, const struct checking *how,
                     struct why *why) {
    struct keypair pair;
    if (m->n_hosts + m->n_uris > UPSTREAM_NAMES_MAX)
        return why_text(why, "more than %d names", UPSTREAM_NAMES_MAX);
    if (!m->insecure_skip_verify && m->n_hosts + m->n_uris == 0)
        return why_text(why, "TLS without a name that could be verified");
    if (m->sni.n > 0 && unit_dns_name(m->sni, why) != 0)
        return -1;
    for (uint32_t i = 0; i < m->n_uris; i++)
        if (m->uris[i].n == 0)
            return why_text(why, "a URI that is empty");
    if (m->ca.n > 0) {
        X509_STORE *store = ws_store_new(m->ca, why);
        if (!store)
            return -1;
        X509_STORE_free(store);
    }
    if (m->client_chain.n == 0)
        return 0;
    if (how->redacted)
        return 0;
    if (keypair_load(&pair, NULL, m->client_chain, m->client_key, why) != 0)
        return -1;
    keypair_free(&pair);
    return 0;
}

static int check_backend(const struct model_backend *m, const struct checking *how,
                         struct why *why) {
    at_object(why, m->origin);
    if (m->external_name.n > 0 && unit_dns_name(m->external_name, why) != 0) {
        at_field(why, m->origin, "spec.externalName");
        return -1;
    }
    if (m->tls && check_tls(m->tls, how, why) != 0)
        return -1;
    return m->service.n > 0 ? 0 : why_text(why, "a backend without the name of its Service");
}

static int check_traffic(const struct model_traffic *m, struct why *why) {
    at_object(why, m->origin);
    if (m->passive_health && m->passive_health->max_ejected_percent > 100)
        return why_text(why, "more than 100 %% of the endpoints cannot be ejected");
    if (m->n_rate_limits > LIMITS_MAX_OF_POLICY)
        return why_text(why, "more than %d rate limits", LIMITS_MAX_OF_POLICY);
    for (uint32_t i = 0; i < m->n_rate_limits; i++)
        if (m->rate_limits[i].name.n == 0 || check_limit(&m->rate_limits[i], why) != 0) {
            at_field(why, m->origin, "spec.rateLimits");
            return why_set(why) ? -1 : why_text(why, "a limit without a name");
        }
    return check_retry(m->retry, m->origin, why);
}

enum { STORE_TIMEOUT_MAX_MS = 60000, STORE_SECRET_MAX = 4096 };

static int check_store(const struct model_rate_store *m, struct why *why) {
    if (m->timeout_ms == 0 || m->timeout_ms > STORE_TIMEOUT_MAX_MS)
        return why_text(why, "rateLimitStore.timeout is not between 1ms and 1m");
    if (m->username.n > STORE_SECRET_MAX || m->password.n > STORE_SECRET_MAX)
        return why_text(why, "rateLimitStore: a name or password of more than %d bytes",
                        STORE_SECRET_MAX);
    return 0;
}

enum { TRACING_TIMEOUT_MAX_MS = 60000, TRACING_HEADERS_MAX = 8, TRACING_TEXT_MAX = 4096 };

static int check_tracing(const struct model_tracing *m, struct why *why) {
    if (m->denominator == 0 || m->denominator > INT32_MAX || m->numerator > m->denominator)
        return why_text(why, "tracing.fraction is not between 0 and 1");
    if (m->timeout_ms == 0 || m->timeout_ms > TRACING_TIMEOUT_MAX_MS)
        return why_text(why, "tracing.timeout is not between 1ms and 1m");
    bool large = m->n_headers > TRACING_HEADERS_MAX || m->host.n > TRACING_TEXT_MAX ||
                 m->path.n > TRACING_TEXT_MAX || m->service_name.n > TRACING_TEXT_MAX;
    for (uint32_t i = 0; !large && i < m->n_headers; i++)
        large = m->headers[i].name.n > TRACING_TEXT_MAX || m->headers[i].value.n > TRACING_TEXT_MAX;
    if (large)
        return why_text(why, "tracing: more than %d headers, or a text of more than %d bytes",
                        TRACING_HEADERS_MAX, TRACING_TEXT_MAX);
    return 0;
}

static int check_gateway(const struct model_gateway *g, struct why *why) {
    struct shown shown;
    struct cidr cidr;
    at_object(why, g->origin);
    for (uint32_t i = 0; i < g->n_trusted_cidrs; i++)
        if (!cidr_parse(g->trusted_cidrs[i], &cidr)) {
            at_field(why, g->origin, "trustedProxies.cidrs");
            return why_text(why, "%s is not a network; write it as 10.0.0.0/8 or fd00::/8",
                            why_show(g->trusted_cidrs[i], &shown));
        }
    if (g->limits && g->limits->header_bytes > HEAD_BYTES_MAX)
        return why_text(why, "limits.headerBytes is %llu; at most %d are possible",
                        (unsigned long long)g->limits->header_bytes, HEAD_BYTES_MAX);
    if (g->limits && g->limits->header_count > HEAD_FIELDS_MAX - DEFAULT_COOKIE_COUNT)
        return why_text(why, "limits.headerCount is %llu; at most %d are possible",
                        (unsigned long long)g->limits->header_count,
                        HEAD_FIELDS_MAX - (int)DEFAULT_COOKIE_COUNT);
    if (g->rate_limit_store && check_store(g->rate_limit_store, why) != 0)
        return -1;
    return g->tracing ? check_tracing(g->tracing, why) : 0;
}

/* Read as handshakes will go by it. */
static int check_clients(const struct model_listener *m, struct why *why) {
    struct authority a;
    if (!m->tls || m->tls->closed || m->tls->client_validation == MODEL_CLIENT_NONE ||
        m->tls->client_validation == MODEL_CLIENT_REQUEST)
        return 0;
    at_field(why, m->origin, "tls.clientValidation");
    if (authority_load(&a, m->tls->client_ca, m->tls->client_crl, why) != 0)
        return -1;
    authority_fini(&a);
    return 0;
}

static int check_listener(const struct model_listener *m, struct why *why) {
    at_object(why, m->origin);
    if (m->port >= 1 && m->port <= 65535)
        return check_clients(m, why);
    at_field(why, m->origin, "port");
    return why_text(why, "%llu is not a port; it must be 1 to 65535", (unsigned long long)m->port);
}

/* The pair is read as a handshake will read it. */
static int check_certificate(const struct model_certificate *m, const struct checking *how,
                             struct why *why) {
    struct keypair pair;
    at_object(why, m->origin);
    if (m->n_names > CERTIFICATE_NAMES_MAX)
        return why_text(why, "more than %d names", CERTIFICATE_NAMES_MAX);
    if (how->redacted)
        return 0;
    if (keypair_load(&pair, how->issuers, m->chain, m->key, why) != 0)
        return -1;
    keypair_free(&pair);
    return 0;
}

static int check(uint32_t kind, void *model, const struct checking *how, struct why *why) {
    switch (kind) {
    case MODEL_KIND_route:
        return check_route(model, why);
    case MODEL_KIND_host:
        return check_host(model, why);
    case MODEL_KIND_backend:
        return check_backend(model, how, why);
    case MODEL_KIND_endpoints:
        return check_endpoints(model, why);
    case MODEL_KIND_traffic:
        return check_traffic(model, why);
    case MODEL_KIND_gateway:
        return check_gateway(model, why);
    case MODEL_KIND_listener:
        return check_listener(model, why);
    case MODEL_KIND_certificate:
        return check_certificate(model, how, why);
    case MODEL_KIND_ticket_keys:
        return how->redacted ? 0 : ticket_keys_check(model, why);
    case MODEL_KIND_signing_keys:
        return how->redacted ? 0 : signing_keys_check(model, why);
    case MODEL_KIND_session_keys:
        return how->redacted ? 0 : session_keys_check(model, why);
    case MODEL_KIND_auth:
        return check_auth(model, why);
    case MODEL_KIND_consumer:
        return check_consumer(model, why);
    default:
        return 0;
    }
}

/* ---- parsed ---- */

/* Kinds whose decoded form the law points at. Hosts, endpoints and Consumers are decoded again when
 * needed. */
static bool is_kept(uint32_t kind) {
    return kind == MODEL_KIND_route || kind == MODEL_KIND_backend || kind == MODEL_KIND_traffic ||
           kind == MODEL_KIND_gateway || kind == MODEL_KIND_listener ||
           kind == MODEL_KIND_certificate || kind == MODEL_KIND_ticket_keys ||
           kind == MODEL_KIND_session_keys || kind == MODEL_KIND_signing_keys ||
           kind == MODEL_KIND_auth || kind == MODEL_KIND_key_set;
}

/* The encoding without its first field, the origin. Every kind has it there, and it is for the
 * sentences that have been said by now: 80 bytes a route. */
static struct str without_origin(struct str bytes) {
    enum { ORIGIN = 1 << 1 | 1 };
    size_t n = 0, at = 1;
    if (bytes.n == 0 || bytes.p[0] != ORIGIN)
        return bytes;
    for (unsigned shift = 0;; shift += 7) {
        unsigned char c = (unsigned char)bytes.p[at++];
        n |= (size_t)(c & 0x7f) << shift;
        if (c < 0x80)
            return str_skip(bytes, at + n);
    }
}

/* Decodes once more, now that the size is known (all of it, the origin too), into one block of just
 * the size that is needed. */
static struct parsed *keep(struct keeper *k, struct object *o, size_t size) {
    const struct model_struct *s = model_struct_of((enum model_kind)o->kind);
    struct str bytes = without_origin(object_bytes(o));
    if (bytes.n < object_bytes(o).n)
        size -= sizeof(struct model_origin);
    struct parsed *p = part_new(k, PART_PARSED, sizeof(*p) + size);
    char *room = (char *)(p + 1);
    struct arena a = {.at = room, .end = room + size};
    p->object = object_hold(o);
    p->model = arena_zalloc(&a, s->size);
    must(model_decode(s, bytes, &a, p->model, &p->newer, NULL) == 0);
    must(!a.chunks);
    return p;
}

static int check_id(const struct object *o, struct why *why) {
    struct shown shown;
    struct str kind = str_of(model_kind_name((enum model_kind)o->kind));
    if (str_starts(object_id(o), kind) && object_id(o).n > kind.n && object_id(o).p[kind.n] == '/')
        return 0;
    return why_text(why, "%s is not the id of a %.*s", why_show(object_id(o), &shown),
                    STR_FMT(kind));
}

/* What is made of it once, beside the model. */
static int add_more(struct parsed *p, const struct checking *how, struct why *why) {
    switch (p->object->kind) {
    case MODEL_KIND_route:
        check(MODEL_KIND_route, p->model, how, why); /* once more, for it cuts the slashes */
        break;
    case MODEL_KIND_auth:
        p->patterns = auth_patterns_new(p->model, why);
        break;
    case MODEL_KIND_key_set:
        p->keys = keys_new(p->model, why);
        break;
    case MODEL_KIND_signing_keys:
        if (!how->redacted)
            p->signing = signing_law_new(p->model, p->object->hash, why);
        break;
    default:
        break;
    }
    return why_set(why) ? -1 : 0;
}

struct parsed *parsed_new(struct keeper *k, const struct checking *how, struct object *o,
                          struct why *why) {
    if (!model_struct_of((enum model_kind)o->kind) || check_id(o, why) != 0)
        return NULL;
    struct arena a;
    arena_init(&a);
    void *model = object_decode(o, &a, NULL);
    int bad = check(o->kind, model, how, why);
    struct rule_regexes *regexes = NULL;
    if (!bad && o->kind == MODEL_KIND_route)
        regexes = regexes_new(model, why);
    struct parsed *p = NULL;
    if (!why_set(why) && is_kept(o->kind)) {
        p = keep(k, o, a.used);
        p->regexes = regexes;
    }
    arena_fini(&a);
    if (p && add_more(p, how, why) != 0) {
        parsed_free(k, p);
        return NULL;
    }
    return p;
}

void parsed_free(struct keeper *k, struct parsed *p) {
    switch (p->object->kind) {
    case MODEL_KIND_route:
        regexes_free(p->regexes);
        break;
    case MODEL_KIND_auth:
        auth_patterns_free(p->patterns);
        break;
    case MODEL_KIND_key_set:
        jwt_keys_free(p->keys);
        break;
    case MODEL_KIND_signing_keys:
        signing_law_free(p->signing);
        break;
    default:
        break;
    }
    object_drop(p->object);
    part_give_back(k, &p->part);
}

/* A kept model lies right behind its struct parsed. */
const struct model_origin *rule_origin(const struct rule *r, struct arena *a) {
    const struct parsed *p = (const struct parsed *)(const void *)r->model - 1;
    must(p->model == r->model);
    return ((const struct model_route *)object_decode(p->object, a, NULL))->origin;
}
