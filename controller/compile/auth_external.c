/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/compile/auth_parts.h"

#include "controller/compile/route.h"

enum { CACHE_MAX_MS = 60 * 60 * 1000, BODY_DEFAULT = 8 << 10, BODY_MAX = 1 << 20 };

/* Fields of one connection, and those that say how long a body is: nobody else writes them. */
static bool is_framing(struct str name) {
    static const char *const names[] = {"connection", "content-length",    "host",
                                        "keep-alive", "proxy-connection",  "te",
                                        "trailer",    "transfer-encoding", "upgrade"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq(name, str_of(names[i])))
            return true;
    return false;
}

static struct str *names_make(struct making *m, const struct at *at, const char *field,
                              const struct str *k, uint32_t n) {
    struct str *list = arena_array(&m->a, n, sizeof(*list));
    struct shown shown;
    for (uint32_t i = 0; i < n; i++) {
        list[i] = lower(&m->a, k[i]);
        if (!is_framing(list[i]))
            continue;
        refuse(m, AT_I(at, field, i), "%s belongs to one connection and is never passed on",
               why_show(k[i], &shown));
        return NULL;
    }
    return list;
}

static bool identity_only(struct making *m, const struct at *at, const struct str *names,
                          uint32_t n) {
    struct shown shown;
    for (uint32_t i = 0; i < n; i++)
        if (!class_identity(m, names[i])) {
            refuse(m, AT_I(at, "headersToBackend", i),
                   "%s is not an identity header, so clients could set it as well; use one that "
                   "GatewayConfig spec.identityHeaders covers (x-user*, x-consumer*, x-auth* by "
                   "default)",
                   why_show(names[i], &shown));
            return false;
        }
    return true;
}

static bool cache_make(struct making *m, const struct at *at, const struct kube_answer_cache *k,
                       struct model_auth_external *o) {
    if (!k)
        return true;
    if (!auth_sources_are_good(m, at, k->key, k->n_key))
        return false;
    if (k->ttl > CACHE_MAX_MS) {
        refuse(m, AT(at, "ttl"), "more than 1h");
        return false;
    }
    o->cache_key = auth_sources(m, k->key, k->n_key, NULL, &o->n_cache_key);
    return span_make(m, at, "ttl", k->ttl, false, &o->cache_ms) == 0;
}

static bool body_make(struct making *m, const struct at *at, const struct kube_forward_body *k,
                      struct model_auth_external *o) {
    if (!k)
        return true;
    o->body_max = k->max_size < 0 ? BODY_DEFAULT : (uint64_t)k->max_size;
    if (o->body_max > 0 && o->body_max <= BODY_MAX)
        return true;
    refuse(m, AT(at, "maxSize"), "a body is read whole before the service is asked: 1 byte to 1Mi");
    return false;
}

/* What a client says in a header of that name goes nowhere, so it must be none of those that say
 * who it is. */
static bool consumer_make(struct making *m, const struct at *at, const struct kube_external *k,
                          struct model_auth_method_config *o) {
    struct shown shown;
    if (k->consumer_header.n == 0 && !k->consumers)
        return true;
    if (k->consumer_header.n == 0) {
        refuse(m, AT(at, "consumers"), "belongs to consumerHeader; write that as well");
        return false;
    }
    struct str name = o->external->consumer_header = lower(&m->a, k->consumer_header);
    o->consumers = auth_scope(m, at, k->consumers);
    if (!is_framing(name) && !str_eq(name, STR("authorization")) && !str_eq(name, STR("cookie")))
        return true;
    refuse(m, AT(at, "consumerHeader"),
           "%s is a header of connections or of clients; let the service write a Consumer's name "
           "into one of its own",
           why_show(k->consumer_header, &shown));
    return false;
}

bool auth_external_make(struct making *m, const struct at *at, const struct kube_external *k,
                        struct model_auth_method_config *o) {
    struct model_auth_external *e = o->external = arena_zalloc(&m->a, sizeof(*e));
    *e = (struct model_auth_external){.grpc = str_eq(k->protocol, STR("GRPC")),
                                      .path = k->path,
                                      .n_allowed_headers = k->n_allowed_headers,
                                      .n_headers_to_backend = k->n_headers_to_backend,
                                      .n_headers_to_client = k->n_headers_to_client,
                                      .max_concurrent =
                                          k->max_concurrent < 0 ? 0 : (uint64_t)k->max_concurrent,
                                      .allow_on_error = str_eq(k->on_error, STR("Allow"))};
    e->allowed_headers =
        names_make(m, at, "allowedHeaders", k->allowed_headers, k->n_allowed_headers);
    e->headers_to_backend =
        names_make(m, at, "headersToBackend", k->headers_to_backend, k->n_headers_to_backend);
    e->headers_to_client =
        names_make(m, at, "headersToClient", k->headers_to_client, k->n_headers_to_client);
    if (!e->allowed_headers || !e->headers_to_backend || !e->headers_to_client ||
        !identity_only(m, at, e->headers_to_backend, e->n_headers_to_backend))
        return false;
    if (e->grpc && k->path.n > 0) {
        refuse(m, AT(at, "path"), "is for protocol HTTP; with GRPC there is one method to call");
        return false;
    }
    if (k->path.n > 0 && !auth_path_is_good(m, AT(at, "path"), k->path))
        return false;
    if (!consumer_make(m, at, k, o) || !body_make(m, AT(at, "forwardBody"), k->forward_body, e) ||
        !cache_make(m, AT(at, "cache"), k->cache, e) ||
        span_make(m, at, "timeout", k->timeout, false, &e->timeout_ms) != 0)
        return false;
    e->backend = auth_service(m, AT(at, "backendRef"), k->backend_ref);
    return e->backend.n > 0;
}
