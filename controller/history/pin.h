/* SPDX-License-Identifier: Apache-2.0
 *
 * pin: the fleet stays at a revision although the resources say something else. A pin is a
 * ConfigMap, so that it is where the resources are: it outlives every controller, all of them read
 * it, and who may write it may pin. It goes with its owner, the controllers' Deployment.
 *
 *     data:
 *       revision: 3fb2c1d0a4e59b77
 *       since: 2026-11-26T18:00:00Z
 *       by: anna
 *       reason: checkout answers 503
 *       Route.shop.shop: '{"apiVersion":"sluice.dev/v1alpha1",...}'   counts as it was
 *       Route.shop.new: ""                                           was not there
 *
 * While there is one the store is frozen (store.h): of the kinds that say where traffic goes and
 * who may, nothing counts that was written after it. Endpoints, certificates, keys, Secrets,
 * Consumers and grants are as they are. The text of a resource holds no secret: those are in
 * Secrets.
 */
#ifndef SLUICE_CONTROLLER_HISTORY_PIN_H
#define SLUICE_CONTROLLER_HISTORY_PIN_H

#include "controller/history/history.h"

struct cJSON;

enum { PIN_BYTES = 900 << 10 }; /* of a ConfigMap: 1 MiB is its end */

struct pin {
    bool on;
    char revision[17], since[32], by[128], reason[256];
};

/* The pin that this ConfigMap says counts: the store is frozen, and what it names put back. NULL:
 * there is none, and all counts again. The one that is in force already is not read again. -1 with
 * *why: it cannot be read, and everything stays as it is. *news: whether anything is different.
 * held: what pin_write_held() wrote, as an object, perhaps of another pin; NULL: there is none. */
int pin_take(struct pin *p, struct store *s, const struct resource *config,
             const struct cJSON *held, bool *news, struct why *why) MUST_USE;
/* "the fleet is pinned to revision ... since ... by ...: reason; `sluicectl resume` ends it" */
void pin_sentence(const struct pin *p, struct out *o);

/* {"revision":...,"Route.shop.shop":"...",...}: the data of a pin to that revision, as JSON. -1
 * with *why: it cannot be done, for that reason. */
int pin_write(const struct history *h, const struct revision *r, struct out *o,
              struct why *why) MUST_USE;
/* The data of the pin in force, with all that is held back now: what a controller that starts needs
 * to hold back what was written after the pin. */
void pin_write_held(const struct pin *p, const struct store *s, struct out *o);
/* "Route.shop.shop" */
void pin_key(const struct resource *r, struct out *o);

#endif
