/* SPDX-License-Identifier: Apache-2.0
 *
 * auth_hmac: signed requests. What must be covered is written as RFC 9421 names it, for both
 * profiles; of Kong's only some of it can be said.
 */
#include "controller/compile/auth_parts.h"

#include "lib/chars.h"

static const char *const derived[] = {"@method", "@target-uri", "@authority",     "@scheme",
                                      "@path",   "@query",      "@request-target"};

static bool is_derived(struct str name) {
    for (size_t i = 0; i < ARRAY_LEN(derived); i++)
        if (str_eq(name, str_of(derived[i])))
            return true;
    return false;
}

static bool is_field(struct str name) {
    return name.n > 0 && chars_skip(name.p, name.p + name.n, CHAR_TOKEN) == name.p + name.n;
}

static bool has(const struct model_auth_hmac *o, struct str name) {
    for (uint32_t i = 0; i < o->n_components; i++)
        if (str_eq(o->components[i], name))
            return true;
    return false;
}

static void put(struct model_auth_hmac *o, struct str name) {
    if (!has(o, name))
        o->components[o->n_components++] = name;
}

/* As Kong's clients list it in `headers`: their request line is method, path and query at once. */
static void put_for_kong(struct model_auth_hmac *o, struct str name) {
    bool whole = str_eq(name, STR("@target-uri"));
    if (whole || str_eq(name, STR("@authority")))
        put(o, STR("host"));
    if (whole || str_eq(name, STR("@method")) || str_eq(name, STR("@path")) ||
        str_eq(name, STR("@query")) || str_eq(name, STR("@request-target")))
        put(o, STR("request-line"));
    if (name.p[0] != '@')
        put(o, str_eq(name, STR("content-digest")) ? STR("digest") : name);
}

static bool component(struct making *m, const struct at *at, struct str said,
                      struct model_auth_hmac *o) {
    struct shown shown;
    bool kong = o->profile == MODEL_HMAC_KONG;
    struct str name = lower(&m->a, said);
    if (!is_derived(name) && !is_field(name)) {
        refuse(m, at,
               "%s is nothing that a signature can be asked to cover; write the name of a header, "
               "or @method, @target-uri, @authority, @scheme, @path, @query or @request-target",
               why_show(said, &shown));
        return false;
    }
    if (kong && str_eq(name, STR("@scheme"))) {
        refuse(m, at, "the profile Kong never covers @scheme; remove it");
        return false;
    }
    if (kong)
        put_for_kong(o, name);
    else
        put(o, name);
    return true;
}

static bool components(struct making *m, const struct at *at, const struct kube_hmac *k,
                       struct model_auth_hmac *o) {
    static const struct str usual[] = {
        {"@method", 7}, {"@authority", 10}, {"@path", 5}, {"@query", 6}};
    const struct str *said = k->n_components > 0 ? k->components : usual;
    uint32_t n = k->n_components > 0 ? k->n_components : ARRAY_LEN(usual);
    o->components = arena_array(&m->a, 2 * (size_t)n, sizeof(struct str));
    for (uint32_t i = 0; i < n; i++)
        if (!component(m, AT_I(at, "components", i), said[i], o))
            return false;
    return true;
}

/* One signature must be good for one request. Kong's clients sign what they always did. */
static bool is_enough(struct making *m, const struct at *at, const struct model_auth_hmac *o) {
    const struct at *there = AT(at, "components");
    bool uri = has(o, STR("@target-uri")), target = has(o, STR("@request-target"));
    if (o->profile == MODEL_HMAC_KONG) {
        if (!has(o, STR("request-line")))
            warn(m, there,
                 "without @method or @path a signature is good for every method and path until it "
                 "is too old");
        return true;
    }
    if (!has(o, STR("@method")) ||
        !(uri || (has(o, STR("@authority")) && (target || has(o, STR("@path")))))) {
        refuse(m, there,
               "must have @method, and @target-uri or both @authority and @path: else a signature "
               "is good for other requests too");
        return false;
    }
    if (!uri && !target && !has(o, STR("@query")))
        warn(m, there, "without @query anybody can change the query of a request that is signed");
    return true;
}

static bool algorithms_are_good(struct making *m, const struct at *at,
                                const struct model_auth_hmac *o) {
    for (uint32_t i = 0; i < o->n_algorithms && o->profile != MODEL_HMAC_KONG; i++)
        if (str_eq(o->algorithms[i], STR("hmac-sha1"))) {
            refuse(m, AT_I(at, "algorithms", i),
                   "hmac-sha1 is for clients that the profile Kong has; write hmac-sha256");
            return false;
        }
    return true;
}

static bool tag_is_good(struct making *m, const struct at *at, const struct kube_hmac *k) {
    if (k->tag.n > 0 && str_eq(k->profile, STR("Kong"))) {
        refuse(m, AT(at, "tag"), "the profile Kong has no tags; remove it");
        return false;
    }
    for (size_t i = 0; i < k->tag.n; i++)
        if (k->tag.p[i] < ' ' || k->tag.p[i] > '~' || k->tag.p[i] == '"' || k->tag.p[i] == '\\') {
            refuse(m, AT(at, "tag"),
                   "a tag is printable ASCII without quotation marks and backslashes");
            return false;
        }
    return true;
}

static enum model_body_digest digest_of(struct str word) {
    return str_eq(word, STR("Require"))  ? MODEL_DIGEST_REQUIRE
           : str_eq(word, STR("Ignore")) ? MODEL_DIGEST_IGNORE
                                         : MODEL_DIGEST_VERIFY;
}

bool auth_hmac_make(struct making *m, const struct at *at, const struct kube_hmac *k,
                    struct model_auth_method_config *o) {
    static struct str usual = {"hmac-sha256", 11};
    struct model_auth_hmac *h = o->hmac = arena_zalloc(&m->a, sizeof(*h));
    *h = (struct model_auth_hmac){.profile = str_eq(k->profile, STR("Kong")) ? MODEL_HMAC_KONG
                                                                             : MODEL_HMAC_MESSAGE,
                                  .algorithms = k->n_algorithms > 0 ? k->algorithms : &usual,
                                  .n_algorithms = k->n_algorithms > 0 ? k->n_algorithms : 1,
                                  .tag = k->tag,
                                  .clock_skew_ms = k->clock_skew > 0 ? (uint64_t)k->clock_skew : 0,
                                  .digest = digest_of(k->digest)};
    o->consumers = auth_scope(m, at, k->consumers);
    return tag_is_good(m, at, k) && algorithms_are_good(m, at, h) && components(m, at, k, h) &&
           is_enough(m, at, h);
}
