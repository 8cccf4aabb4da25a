/* SPDX-License-Identifier: Apache-2.0
 *
 * compile: resources in, model objects and wanted statuses out. Pure: no I/O, no clock, no threads;
 * the same resources give the same bytes on every controller. Only dirty units are compiled.
 *
 *     unit                        reads                                   makes
 *     Class/NAME                  IngressClass, GatewayConfig             gateway, listeners
 *     Route/NS/NAME               class, hosts' owners, grants, Services, route (one per rule)
 *                                 policies that target it
 *     Ingress/NS/NAME             the same                                route (one per path)
 *     Host/CLASS/HOSTNAME         the objects that claim it               host; who owns it
 *     Backend/NS/SERVICE/PORT     Service, EndpointSlices, policy         backend, endpoints
 *     TrafficPolicy/NS/NAME       its targets                             traffic
 *
 * The result of a unit is what it made the last time against what it makes now: only objects that
 * differ come out. A resource that is refused makes nothing new: what it made when it was last good
 * stays (`held` tells that it does). When there was no last good version in this process its ids are
 * to be asked for from the fleet: `lost`.
 */
#ifndef SLUICE_CONTROLLER_COMPILE_H
#define SLUICE_CONTROLLER_COMPILE_H

#include "controller/store/store.h"
#include "lib/model.h"

struct compiler;

/* Who is told what came out of compile_run(). Called in order, from inside it. */
struct compile_sink {
    void (*put)(void *arg, struct object *o);      /* takes the count */
    void (*del)(void *arg, struct str id);
    /* Ids that begin with prefix belong to a resource that is refused and was never good here. */
    void (*lost)(void *arg, struct str prefix);
    void (*found)(void *arg, struct str prefix);   /* lost no more */
    /* The wanted status of a resource changed; see compile_status(). */
    void (*status)(void *arg, const struct resource *r);
    void *arg;
};

struct compiler *compile_new(struct store *s, const struct compile_sink *sink);
void compile_free(struct compiler *c);

/* Compiles all dirty units. The number of units compiled. */
size_t compile_run(struct compiler *c);

/* A proxy could not use these objects (nack): their owners are refused with that sentence until they
 * change; what they made when they were last good and not nacked comes back. */
void compile_quarantine(struct compiler *c, struct str id, const char *text);

/* Objects of a resource that was lost, as the fleet had them; they are put out again as they are,
 * and stay until the resource compiles. Borrowed. */
void compile_restore(struct compiler *c, struct str prefix, struct object *const *objects, size_t n);

/* ---- statuses ---- */

enum condition_type { CONDITION_ACCEPTED, CONDITION_RESOLVED_REFS, CONDITION_TYPES };

struct condition {
    bool set, value;
    const char *reason;  /* constant: Accepted, InvalidField, BackendNotFound, RefNotPermitted, Conflicted ... */
    struct why why;      /* the sentence, when value is false or there is a warning */
};

struct compile_status {
    struct condition conditions[CONDITION_TYPES];
    struct why *warnings;     /* served, but worth saying: foreign annotations ... */
    size_t n_warnings;
    const struct object *const *objects; /* what it made that is live now, in order of ids */
    size_t n_objects;
    uint64_t revision;        /* of these objects */
    bool ours;                /* false: of a foreign class; it has no status */
};
/* NULL if the resource is not one that compiles. Lives until the next compile_run(). */
const struct compile_status *compile_status(const struct compiler *c, const struct resource *r);

/* After a host lost its owner it stays reserved for releaseAfter. compile keeps no clock: main asks
 * which are waiting and since when they have been told, and releases them. */
size_t compile_reserved(const struct compiler *c, struct str *hosts, uint64_t *release_after_ms, size_t max);
void compile_release(struct compiler *c, struct str host);

#endif
