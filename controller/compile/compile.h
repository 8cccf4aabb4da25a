/* SPDX-License-Identifier: Apache-2.0
 *
 * compile: resources in, model objects and wanted statuses out. Pure: no I/O, no clock (it is
 * told the time), no threads; the same resources give the same bytes on every controller. Only
 * dirty units are compiled.
 *
 *     unit                        reads                                   makes
 *     DefaultClass                IngressClasses                          which class is the
 * default Class/NAME                  IngressClass, GatewayConfig             gateway, listeners
 *     GatewayConfig/NAME          itself                                  only a status
 *     Route/NS/NAME               class, hosts' owners, grants, Services, route (one per rule)
 *                                 policies that target it
 *     Ingress/NS/NAME             the same                                route (one per path)
 *     Host/CLASS/HOSTNAME         the objects that claim it               host; who owns it
 *     Backend/NS/SERVICE/PORT     Service, EndpointSlices, policy         backend, endpoints
 *     Certificate/NS/SECRET       Secret                                  certificate
 *     TrafficPolicy/NS/NAME       its targets                             traffic
 *     AuthPolicy, Consumer        itself                                  only a status
 *
 * The result of a unit is what it made the last time against what it makes now: only objects that
 * differ come out. A resource that is refused goes on as its last good version, compiled anew
 * against the world of today (endpoints change, a withdrawn grant counts). When there was no last
 * good version in this process its ids are to be asked for from the fleet: `lost`. Of a policy the
 * targets are closed meanwhile, and stay so when the fleet has none.
 */
#ifndef SLUICE_CONTROLLER_COMPILE_H
#define SLUICE_CONTROLLER_COMPILE_H

#include "controller/store/store.h"
#include "lib/model.h"

struct compiler;
struct keyset;
struct keyset_want;

/* Who is told what came out of compile_run(), compile_quarantine() and compile_restore(). Called in
 * order, from inside them. NULL members are not called. */
struct compile_sink {
    void (*put)(void *arg, struct object *o); /* takes the count */
    void (*del)(void *arg, struct str id);
    /* Both in one, borrowed; was == NULL: it is new; now == NULL: it is gone. An id that goes from
     * one unit to another is told twice. */
    void (*moved)(void *arg, const struct object *was, const struct object *now);
    /* A resource is refused and was never good here. Its ids are those that begin with prefix when
     * that ends in '/', else prefix is the whole id. */
    void (*lost)(void *arg, struct str prefix);
    void (*found)(void *arg, struct str prefix); /* lost no more */
    /* The wanted status of a resource changed; see compile_status(). */
    void (*status)(void *arg, const struct resource *r);
    void *arg;
};

struct compiler *compile_new(struct store *s, const struct compile_sink *sink);
void compile_free(struct compiler *c); /* before the store */

/* Compiles all dirty units once the store is synced. The number of units compiled. */
size_t compile_run(struct compiler *c);
/* Tells the time, in seconds since 1970: the units of certificates that have expired since the last
 * call are dirty now, for the warning, and those of policies with time zones every five years; no
 * other object depends on it. */
void compile_clock(struct compiler *c, uint64_t seconds);
/* Where files of time zones come from (lib/zone.h, zone_file), before anything is compiled. Without
 * a call there are none. Of a zone counts what it says for the ten to fifteen years after now: what
 * is made changes every five years, or with the database. */
typedef int (*compile_zone)(struct str name, struct out *to, struct why *why);
void compile_zones(struct compiler *c, compile_zone file);
/* A resource may come before what it names, since each kind is watched in a stream of its own. Of
 * one that is `fresh` a missing Service, grant or first EndpointSlice is not said at once: the unit
 * stays as it is (a new Route: not there) until it comes, or until the second of these calls. True:
 * some wait still. */
bool compile_settle(struct compiler *c);
bool compile_is_late(const struct compiler *c); /* some wait: compile_settle() is to be called */
/* A proxy could not use this object (nack): the owner is refused with that sentence until it makes
 * something else; what it made when it was last good and not nacked comes back. hash is the
 * object's, or 0 where the proxy does not say: then it is what is out now. A proxy that follows
 * another controller may have seen what is not made here yet: that is remembered until it is, of an
 * object without hash for ten seconds; the newest COMPILE_FORESEEN_MAX. */
enum { COMPILE_FORESEEN_MAX = 256 };
void compile_quarantine(struct compiler *c, struct str id, uint64_t hash, const char *text);
/* Those who said so have gone: all that was refused is tried again. */
void compile_forgive(struct compiler *c);
/* Everything that came out so far is served by every ready proxy: it is what a nack goes back to.
 */
void compile_proven(struct compiler *c);

/* Objects of a resource that was lost, as the fleet had them; they are put out again as they are,
 * and stay until the resource compiles. Borrowed. n == 0: a proxy that was asked has none. */
void compile_restore(struct compiler *c, struct str prefix, struct object *const *objects,
                     size_t n);

/* Whether the API server may have lost fields of this kind's objects (controller/kube/schema.h).
 * While it is so, policies of the kind are not accepted, with reason CRDOutdated: what an
 * AuthPolicy targets is closed; of a TrafficPolicy counts what is left. Other kinds are not asked:
 * to refuse every Route would be worse than what it prevents. */
void compile_outdated(struct compiler *c, enum kube_kind kind, bool outdated);

/* Ports that clients can reach; before anything is compiled. A listener on another one is told
 * NotExposed. n == 0, and without a call: nobody knows. */
enum { COMPILE_PORTS_MAX = 64 };
void compile_exposed(struct compiler *c, const uint16_t *ports, size_t n);
/* There is no place for keys of internal tokens: policies that ask for one are refused. Without a
 * call there is one. */
void compile_keyless(struct compiler *c, bool keyless);

/* Where the controller runs: Secrets that a GatewayConfig names without namespace are there. Before
 * anything is compiled; without a call: "default". */
void compile_own_namespace(struct compiler *c, struct str ns);

/* A ConfigMap that compiles to nothing is read, and told each time that it changes, from inside
 * compile_run(), before what compile_run() makes is out: NULL: it is not there, or (unknown) the
 * source has not said yet, or (fault) it may not be read. Once, before anything is compiled. */
struct compile_watch {
    void (*told)(void *arg, const struct resource *config, bool unknown, const struct why *fault);
    void *arg;
};
void compile_watch(struct compiler *c, struct str ns, struct str name,
                   const struct compile_watch *watch);

/* What is to be fetched for the units that were compiled, in order of keys, borrowed until the next
 * compile_run(). The number changes whenever this does. See fetched.h. */
uint64_t compile_wants(struct compiler *c, const struct keyset_want **wants, size_t *n);
/* What came of one of them; copied. The units that read it are dirty now. */
void compile_fetched(struct compiler *c, struct str key, const struct keyset *k);

/* ---- statuses ---- */

enum condition_type { CONDITION_ACCEPTED, CONDITION_RESOLVED_REFS, CONDITION_TYPES };

struct condition {
    bool set, value;
    const char *reason;    /* constant: Accepted, Invalid, BackendNotFound, RefNotPermitted ... */
    const struct why *why; /* the sentence; NULL when value is true */
};

struct compile_status {
    struct condition conditions[CONDITION_TYPES];
    const struct why *warnings; /* served, but worth saying: foreign annotations ... */
    size_t n_warnings;
    struct object *const *objects; /* what it made that is live now, in order of ids */
    size_t n_objects;
    uint64_t revision; /* of these objects; 0 = none */
    uint64_t run;      /* the compile_runs() in which these objects last changed */
    uint64_t of;       /* hash of the version of the resource that all of this is about */
    bool ours;         /* false: of a foreign class; it has no status */
    bool held;         /* refused, and its last good version still serves */
};
/* NULL if the resource is not one that compiles, or was not compiled yet. For a Service: of the
 * ports that something refers to, the first with something to say. For a Secret: of its
 * certificate, if something refers to it. Lives until the next call that compiles. */
const struct compile_status *compile_status(const struct compiler *c, const struct resource *r);
/* Resources of which a unit is not accepted, in no order, one of several units more than once. */
void compile_each_refused(const struct compiler *c,
                          void (*each)(void *arg, const struct resource *r), void *arg);
/* Counts compile_run() calls that had something to do. */
uint64_t compile_runs(const struct compiler *c);

/* Everything that is live, in order of ids: the first max of them to v (may be NULL). How many
 * there are. Borrowed until the next call that compiles. */
size_t compile_objects(const struct compiler *c, const struct object **v, size_t max);
const struct object *compile_object(const struct compiler *c, struct str id); /* or NULL */

/* The same a few at a time, with turns of the loop between, in order of the units that make them:
 * each as it is when its turn comes. What is live all the time is told once. */
struct compile_walk;
struct compile_walk *compile_walk_begin(struct compiler *c);
/* Those of one unit, maybe none, borrowed until the next call that compiles; false: that was all.
 */
bool compile_walk_next(struct compile_walk *w, struct object *const **v, size_t *n);
void compile_walk_end(struct compile_walk *w); /* before the compiler's end */

/* After a host lost its owner it stays reserved for releaseAfter. compile keeps no clock: main asks
 * which are waiting, and releases them when their time is over. Names borrow from the compiler. */
size_t compile_reserved(const struct compiler *c, struct str *hosts, uint64_t *release_after_ms,
                        size_t max);
void compile_release(struct compiler *c, struct str host);

#endif
