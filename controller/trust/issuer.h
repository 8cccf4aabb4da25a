/* SPDX-License-Identifier: Apache-2.0
 *
 * issuer: who signs this cluster's service account tokens, and with which keys: what proxies need
 * to judge each other's tokens while nobody else can be asked.
 *
 *     GET /.well-known/openid-configuration ─► issuer
 *     GET /openid/v1/jwks                   ─► keys            every ten minutes or so
 *
 * Every service account may read both, unless the cluster's administrator has taken it away. What
 * cannot be read keeps its last value. The loop's thread.
 */
#ifndef SLUICE_CONTROLLER_TRUST_ISSUER_H
#define SLUICE_CONTROLLER_TRUST_ISSUER_H

#include "controller/kube/client.h"

struct event_base;
struct issuer;

/* changed: both are known, and one is another than before. */
struct issuer *issuer_new(struct event_base *base, struct kube_client *client,
                          void (*changed)(void *arg), void *arg);
void issuer_free(struct issuer *i);             /* NULL is fine */
struct str issuer_name(const struct issuer *i); /* n == 0: not known yet */
struct str issuer_keys(const struct issuer *i); /* JSON Web Key Set */

#endif
