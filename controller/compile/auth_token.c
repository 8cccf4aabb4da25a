/* SPDX-License-Identifier: Apache-2.0
 *
 * auth_token: identity.token of an AuthPolicy.
 */
#include "controller/compile/auth_parts.h"
#include "controller/compile/unit.h"
#include "lib/signing.h"

/* What the gateway says itself: whoever is called so by a client is not believed. */
static const char *const own[] = {"iss", "aud", "exp", "nbf", "iat", "jti", "method", "consumer"};

static bool header_make(struct making *m, const struct at *at, struct str header,
                        const struct model_identity *identity, struct model_identity_token *o) {
    struct shown shown;
    if (header.n == 0)
        return true;
    o->header = lower(&m->a, header);
    if (str_eq(o->header, STR("authorization"))) {
        o->header = STR_NONE;
        return true;
    }
    if (!class_identity(m, o->header)) {
        refuse(m, at,
               "%s is neither Authorization nor an identity header, so clients could set it as "
               "well; use one that GatewayConfig spec.identityHeaders covers (x-user*, "
               "x-consumer*, x-auth* by default)",
               why_show(header, &shown));
        return false;
    }
    for (uint32_t i = 0; i < identity->n_headers; i++)
        if (str_eq(identity->headers[i].name, o->header)) {
            refuse(m, at, "%s is one of identity.headers already; write another one",
                   why_show(header, &shown));
            return false;
        }
    return true;
}

static bool claims_make(struct making *m, const struct at *at, const struct kube_token_issue *k,
                        struct model_identity_token *o) {
    struct shown shown;
    for (uint32_t i = 0; i < k->n_claims; i++) {
        for (size_t n = 0; n < ARRAY_LEN(own); n++)
            if (str_eq(k->claims[i], str_of(own[n]))) {
                refuse(m, AT_I(at, "claims", i),
                       "%s is the gateway's own claim and cannot be taken over; leave it out",
                       why_show(k->claims[i], &shown));
                return false;
            }
        for (uint32_t n = 0; n < i; n++)
            if (str_eq(k->claims[i], k->claims[n])) {
                refuse(m, AT_I(at, "claims", i), "%s is there twice; leave one out",
                       why_show(k->claims[i], &shown));
                return false;
            }
    }
    o->claims = k->claims;
    o->n_claims = k->n_claims;
    return true;
}

bool auth_token_is_alone(struct making *m, const struct at *spec, const struct kube_AuthPolicy *k) {
    const struct kube_token_issue *t =
        k->identity && k->identity->token ? k->identity->token->issue : NULL;
    struct shown shown;
    if (!t || (t->header.n > 0 && !str_eq(lower(&m->a, t->header), STR("authorization"))))
        return true;
    for (uint32_t i = 0; i < k->n_methods; i++)
        if (k->methods[i].oidc && k->methods[i].oidc->access_token_to_backend) {
            refuse(m, AT_I(spec, "methods", i),
                   "identity.token is in Authorization, where %s would put its access token; write "
                   "another header there, or leave out accessTokenToBackend",
                   why_show(k->methods[i].name, &shown));
            return false;
        }
    return true;
}

static const struct str keyless_key = {"keyless", 7};

void compile_keyless(struct compiler *c, bool keyless) {
    if (c->keyless == keyless)
        return;
    c->keyless = keyless;
    store_touch(c->store, keyless_key);
}

bool auth_token_make(struct making *m, const struct at *at, const struct kube_token_issue *k,
                     struct model_identity *identity) {
    struct model_identity_token *o = identity->token = arena_zalloc(&m->a, sizeof(*o));
    store_read_key(m->c->store, m->u->su, keyless_key);
    if (m->c->keyless) {
        refuse_as(m, "NotSupported", at,
                  "this controller has no place for the keys that sign internal tokens; start it "
                  "with --link-secret, and with a Secret that it makes itself");
        return false;
    }
    o->audience = k->audience;
    o->ttl_ms = k->ttl > 0 ? (uint64_t)k->ttl : 0;
    if (k->ttl >= 0 && (k->ttl < 1000 || k->ttl > SIGNING_TTL_MAX_S * 1000LL || k->ttl % 1000)) {
        refuse(m, AT(at, "ttl"), "write whole seconds, from 1s to 1h");
        return false;
    }
    return header_make(m, AT(at, "header"), k->header, identity, o) && claims_make(m, at, k, o);
}
