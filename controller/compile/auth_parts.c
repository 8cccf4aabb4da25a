/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/compile/auth_parts.h"

#include "controller/compile/ref.h"
#include "lib/regex.h"

bool auth_not_yet(struct making *m, const struct at *at, const char *what) {
    refuse_as(m, "NotSupported", at, "%s is not supported yet; remove it", what);
    return false;
}

struct model_value_source *auth_sources(struct making *m, const struct kube_value_source *k,
                                        uint32_t n, const struct model_value_source *otherwise,
                                        uint32_t *n_made) {
    if (n == 0) {
        struct model_value_source *one = arena_alloc(&m->a, sizeof(*one));
        *one = *otherwise;
        *n_made = 1;
        return one;
    }
    struct model_value_source *list = arena_array(&m->a, n, sizeof(*list));
    for (uint32_t i = 0; i < n; i++) {
        list[i].from = k[i].header.n > 0   ? MODEL_FROM_HEADER
                       : k[i].cookie.n > 0 ? MODEL_FROM_COOKIE
                                           : MODEL_FROM_QUERY;
        list[i].name = k[i].header.n > 0   ? lower(&m->a, k[i].header)
                       : k[i].cookie.n > 0 ? k[i].cookie
                                           : k[i].query;
        list[i].prefix = k[i].prefix;
    }
    *n_made = n;
    return list;
}

bool auth_sources_are_good(struct making *m, const struct at *at, const struct kube_value_source *k,
                           uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        if ((k[i].header.n > 0) + (k[i].cookie.n > 0) + (k[i].query.n > 0) != 1 ||
            (k[i].prefix.n > 0 && k[i].header.n == 0)) {
            refuse(m, AT_I(at, "from", i),
                   "write exactly one of header, cookie and query; prefix belongs to header");
            return false;
        }
    return true;
}

/* Other namespaces count where they allow it. Labels must all be there. */
struct model_consumer_scope *auth_scope(struct making *m, const struct at *at,
                                        const struct kube_consumer_scope *k) {
    struct model_consumer_scope *o = arena_zalloc(&m->a, sizeof(*o));
    struct str own = m->r->meta.namespace;
    uint32_t n = k ? k->n_namespaces : 0;
    o->namespaces = arena_array(&m->a, n + 1, sizeof(struct str));
    if (n == 0)
        o->namespaces[o->n_namespaces++] = own;
    for (uint32_t i = 0; i < n; i++) {
        struct str ns = k->namespaces[i];
        if (str_eq(ns, own) || granted(m, m->r, STR("sluice.dev"), STR("Consumer"), ns, STR_NONE))
            o->namespaces[o->n_namespaces++] = ns;
        else
            unresolved(m, "RefNotPermitted", AT_I(AT(at, "consumers"), "namespaces", i),
                       "no ReferenceGrant in namespace %.*s allows this policy its Consumers, so "
                       "they do not count",
                       STR_FMT(ns));
    }
    if (!k || !k->selector)
        return o;
    o->n_labels = k->selector->n_match_labels;
    o->labels = arena_array(&m->a, o->n_labels, sizeof(*o->labels));
    for (uint32_t i = 0; i < o->n_labels; i++)
        o->labels[i] = (struct model_label){k->selector->match_labels[i].key,
                                            k->selector->match_labels[i].value};
    return o;
}

static enum model_claim_type claim_type(struct str word) {
    return str_eq(word, STR("Contains"))            ? MODEL_CLAIM_CONTAINS
           : str_eq(word, STR("RegularExpression")) ? MODEL_CLAIM_REGEX
                                                    : MODEL_CLAIM_EXACT;
}

struct model_claim_match *auth_claims(struct making *m, const struct at *at, const char *name,
                                      const struct kube_claim_match *k, uint32_t n) {
    struct model_claim_match *list = arena_array(&m->a, n, sizeof(*list));
    for (uint32_t i = 0; i < n; i++) {
        const struct at *one = AT_I(at, name, i);
        list[i] = (struct model_claim_match){.path = k[i].path,
                                             .n_path = k[i].n_path,
                                             .values = k[i].values,
                                             .n_values = k[i].n_values,
                                             .type = claim_type(k[i].type)};
        for (uint32_t v = 0; list[i].type == MODEL_CLAIM_REGEX && v < k[i].n_values; v++) {
            struct why why = {0};
            struct regex *re = regex_new(k[i].values[v], &why);
            if (!re) {
                refuse(m, AT_I(one, "values", v), "%s", why.text);
                return NULL;
            }
            regex_free(re);
        }
    }
    return list;
}

struct str auth_service(struct making *m, const struct at *at, const struct kube_object_ref *k) {
    bool service = k->kind.n == 0 || str_eq(k->kind, STR("Service"));
    if (k->port < 0 && service) {
        refuse(m, AT(at, "port"), "a Service needs a port; write its number");
        return STR_NONE;
    }
    const struct ref ref = {.group = k->group,
                            .kind = k->kind,
                            .namespace = k->namespace,
                            .name = k->name,
                            .port = {.number = k->port < 0 ? 0 : (uint16_t)k->port}};
    struct str id = ref_resolve(m, at, &ref);
    if (id.n == 0)
        close_as(m, "ServiceUnavailable", at,
                 "the service that must be asked is not there or cannot be referred to, so "
                 "everything that this policy targets is answered with 503 policy_unavailable");
    return id;
}

bool auth_path_is_good(struct making *m, const struct at *at, struct str path) {
    bool good = path.n > 0 && path.n <= 1024 && path.p[0] == '/';
    for (size_t i = 0; i < path.n; i++)
        good = good && path.p[i] > 0x20 && path.p[i] < 0x7f && path.p[i] != '#';
    if (!good)
        refuse(m, at,
               "write it as a request does: from the first slash on, percent-encoded, at most 1024 "
               "bytes");
    return good;
}
