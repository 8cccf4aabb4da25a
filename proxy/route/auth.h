/* SPDX-License-Identifier: Apache-2.0
 *
 * auth: AuthPolicies as workers see them: what the model says, with its keys, expressions and
 * networks ready to be used. Part of the snapshot; never changed.
 *
 *     rule.auth ──► struct auth_law ──► methods ──► keys of the issuer
 *                        └────────────► rules
 *     gateway.override_policy ──► another one, which must agree as well
 */
#ifndef SLUICE_PROXY_ROUTE_AUTH_H
#define SLUICE_PROXY_ROUTE_AUTH_H

#include "proxy/route/consumers.h"
#include "proxy/route/limit.h"
#include "proxy/route/snapshot.h"

struct claim_match; /* lib/claims.h */
struct jwt_keys;
struct regex;

enum { AUTH_METHODS_MAX = 16 }; /* of a policy */

struct method_law {
    const struct model_auth_method_config *model;
    const struct jwt_keys *keys; /* jwt, oidc; NULL: there are none, and tokens cannot be judged */
    struct str source;           /* of these keys; n == 0: nobody fetches them */
    uint64_t stale_after;        /* of these keys; seconds since 1970; 0 = no end */
    struct terms terms;          /* clientCertificate; ca.n == 0: the listener's authorities */
    uint64_t version;            /* of the policy and its keys: what was verified under it counts */
    uint32_t algorithms;         /* that are accepted: a mask of enum jwt_alg; hmac: of enum mac */
    uint64_t place;              /* of the method, whatever it says; never 0 */
    struct str policy;           /* id of the policy */
    uint32_t backend;            /* that is asked: its slot; UINT32_MAX: it is not there */
    struct claim_match *const *claims; /* as many as the model has */
};

struct auth_rule_law {
    const struct model_auth_rule *model;
    struct claim_match *const *claims;
    struct regex *const *paths; /* expressions of those paths that are one, in their order */
    const struct cidr *cidrs;
    uint64_t methods; /* names of methods: bit n for the policy's n-th */
};

struct auth_law {
    uint32_t slot;
    struct str id, name; /* auth/NS/NAME, NS/NAME */
    uint64_t identity;   /* of the id */
    uint64_t version;    /* hash of its object */
    const struct model_auth *model;
    enum reason refusal; /* REASON_NONE, or the answer to every request */
    uint32_t n_methods, n_rules;
    const struct method_law *methods;
    const struct auth_rule_law *rules;
    const struct limit_law *failures; /* of client addresses; NULL: none count */
};

/* NULL: nothing is there, and the request is refused. */
const struct auth_law *snapshot_auth(const struct snapshot *s, uint32_t slot);
const struct consumers *snapshot_consumers(const struct snapshot *s);
/* By name; empty unless a method needs it. */
const struct consumers *snapshot_consumer_names(const struct snapshot *s);

#endif
