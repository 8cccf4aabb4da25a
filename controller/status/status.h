/* SPDX-License-Identifier: Apache-2.0
 *
 * status: what every resource is told about itself (wanted.h), as JSON for sluicectl and as rows of
 * the metric. Computed when somebody asks; nothing is kept. What is written to the API server is
 * writer.h.
 */
#ifndef SLUICE_CONTROLLER_STATUS_STATUS_H
#define SLUICE_CONTROLLER_STATUS_STATUS_H

#include "controller/status/wanted.h"

/* What main knows of the proxies: push_serving() and push_version(). */
struct status_fleet {
    struct status_served (*serving)(void *arg, struct object *const *objects, size_t n,
                                    uint64_t since);
    /* That everything compiled so far is published in; 0: something is not. */
    uint64_t (*version)(void *arg);
    void *arg;
};

/* One resource:
 *   {"kind":"Route","namespace":"shop","name":"shop","file":...,"line":...,
 *    "conditions":[{"type":"Accepted","status":"False","reason":"Invalid","message":"spec..."}],
 *    "warnings":["..."],"held":true,"revision":"16 hex",
 *    "proxies":{"summary":"3/3","ready":3,"current":3,"behind":0}}
 * What is not there is left out. Without a fleet there is no Programmed and no proxies. */
void status_json_one(const struct compiler *c, const struct resource *r,
                     const struct status_fleet *fleet, struct out *o);
/* An array of all that have a status, and of whatever else could not be read; in order of kind,
 * namespace, name. n == 0: any kind, namespace, name. A little at a time, with turns of the loop
 * between: each as it is when its turn comes. */
struct status_lines;
struct status_lines *status_lines_new(struct store *s, const struct compiler *c,
                                      const struct status_fleet *fleet, struct str kind,
                                      struct str ns, struct str name);
bool status_lines_more(void *lines, struct out *o); /* false: that was all */
void status_lines_free(void *lines);
/* The same at once. */
void status_json(struct store *s, const struct compiler *c, const struct status_fleet *fleet,
                 struct str kind, struct str ns, struct str name, struct out *o);

/* Calls each() with every resource that is not accepted, and the reason. */
void status_refused(const struct store *s, const struct compiler *c,
                    void (*each)(void *arg, const struct resource *r, const char *reason),
                    void *arg);

#endif
