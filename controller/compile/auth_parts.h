/* SPDX-License-Identifier: Apache-2.0
 *
 * auth_parts: what the methods of an AuthPolicy have in common, and the methods themselves, each in
 * a file of its own (auth_jwt.c, ...). Private to auth*.c.
 *
 * All that return bool: false when it was refused, or closed, in words.
 */
#ifndef SLUICE_CONTROLLER_COMPILE_AUTH_PARTS_H
#define SLUICE_CONTROLLER_COMPILE_AUTH_PARTS_H

#include "controller/compile/class.h"

/* Refuses: "what is not supported yet; remove it". False. */
bool auth_not_yet(struct making *m, const struct at *at, const char *what);

/* Where a credential is; otherwise: where, when k is empty. */
struct model_value_source *auth_sources(struct making *m, const struct kube_value_source *k,
                                        uint32_t n, const struct model_value_source *otherwise,
                                        uint32_t *n_made);
bool auth_sources_are_good(struct making *m, const struct at *at, const struct kube_value_source *k,
                           uint32_t n);
/* Local time of a rule, from the time zone database. */
bool auth_zone_make(struct making *m, const struct at *at, struct str name,
                    struct model_auth_rule *o);
/* Consumers that count: k may be NULL, for those of the policy's own namespace. */
struct model_consumer_scope *auth_scope(struct making *m, const struct at *at,
                                        const struct kube_consumer_scope *k);
/* NULL: refused. */
struct model_claim_match *auth_claims(struct making *m, const struct at *at, const char *name,
                                      const struct kube_claim_match *k, uint32_t n);

/* The name as proxies compare it; n == 0: it is not as its type says, and *why says what is wrong.
 */
struct str auth_san(struct making *m, const struct kube_client_san *k, const char **why);
/* Warns while no listener asks clients for certificates: what needs one lets nobody pass. judged:
 * one that judges them by authorities of its own is meant. */
void auth_needs_certificates(struct making *m, const struct at *at, bool judged);

/* ---- keys that are fetched: auth_jwt.c ---- */

struct auth_fetching {
    const struct at *at, *ca_at; /* of the address, of ca */
    const struct kube_ca_ref *ca;
    struct str method; /* its name */
    struct str url;
    struct str issuer;          /* n > 0: url is a discovery document's, of this issuer */
    int64_t refresh, max_stale; /* milliseconds; not above 0: as usual */
    bool service;               /* url is a Service's; its endpoints alone are asked */
    struct str *endpoints;      /* as keyset_want has them */
    uint32_t n_endpoints;
};
/* Keys and times into o. discovery: the document, until compile_run() ends; n == 0: none. */
bool auth_keys_fetched(struct making *m, const struct auth_fetching *f, struct model_key_set *o,
                       struct str *discovery);
struct str auth_key_set_id(struct making *m, struct str method);

/* ---- methods ---- */

bool auth_basic_make(struct making *m, const struct at *at, const struct kube_basic *k,
                     struct model_auth_method_config *o);
bool auth_certificate_make(struct making *m, const struct at *at,
                           const struct kube_client_certificate *k,
                           struct model_auth_method_config *o);
/* A Service that is asked while a request waits: the id of its backend, which is wanted from now
 * on. n == 0: it cannot be asked; refused, or closed. */
struct str auth_service(struct making *m, const struct at *at, const struct kube_object_ref *k);
/* A path, and perhaps a query, as a request says it. */
bool auth_path_is_good(struct making *m, const struct at *at, struct str path);

/* ---- methods ---- */

bool auth_external_make(struct making *m, const struct at *at, const struct kube_external *k,
                        struct model_auth_method_config *o);
bool auth_introspection_make(struct making *m, const struct at *at,
                             const struct kube_introspection *k,
                             struct model_auth_method_config *o);
bool auth_oidc_make(struct making *m, const struct at *at, const struct kube_oidc *k,
                    struct model_auth_method_config *o);
bool auth_jwt_make(struct making *m, const struct at *at, const struct kube_jwt *k,
                   struct model_auth_method_config *o);
bool auth_hmac_make(struct making *m, const struct at *at, const struct kube_hmac *k,
                    struct model_auth_method_config *o);

/* ---- what the backend gets ---- */

/* identity->headers are made. */
bool auth_token_make(struct making *m, const struct at *at, const struct kube_token_issue *k,
                     struct model_identity *identity);
/* The backend gets one Authorization: the gateway's token, or that of a login. */
bool auth_token_is_alone(struct making *m, const struct at *spec, const struct kube_AuthPolicy *k);

#endif
