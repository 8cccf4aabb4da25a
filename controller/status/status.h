/* SPDX-License-Identifier: Apache-2.0
 *
 * status: what every resource is told about itself: the conditions of the compiler, and Programmed:
 * whether every ready proxy serves what it made. Computed when somebody asks; nothing is kept.
 */
#ifndef SLUICE_CONTROLLER_STATUS_STATUS_H
#define SLUICE_CONTROLLER_STATUS_STATUS_H

#include "controller/compile/compile.h"

/* How many ready proxies serve exactly that object, of how many: push_serving(). */
struct status_fleet {
    void (*serving)(void *arg, struct str id, uint64_t hash, size_t *n_current, size_t *n_ready);
    void *arg;
};

/* One resource:
 *   {"kind":"Route","namespace":"shop","name":"shop","file":...,"line":...,
 *    "conditions":[{"type":"Accepted","status":"False","reason":"Invalid","message":"spec..."}],
 *    "warnings":["..."],"held":true,"revision":"16 hex",
 *    "proxies":{"summary":"3/3","ready":3,"current":3}}
 * What is not there is left out. Without a fleet there is no Programmed and no proxies. */
void status_json_one(const struct compiler *c, const struct resource *r,
                     const struct status_fleet *fleet, struct out *o);
/* An array of all that have a status, and of whatever else could not be read; in order of kind,
 * namespace, name. n == 0: any kind, namespace, name. */
void status_json(const struct store *s, const struct compiler *c, const struct status_fleet *fleet,
                 struct str kind, struct str ns, struct str name, struct out *o);

/* Calls each() with every resource that is not accepted, and the reason. */
void status_refused(const struct store *s, const struct compiler *c,
                    void (*each)(void *arg, const struct resource *r, const char *reason),
                    void *arg);

#endif
