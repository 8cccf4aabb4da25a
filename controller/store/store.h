/* SPDX-License-Identifier: Apache-2.0
 *
 * store: every resource that was read, by kind and name and by index key; and for each unit of
 * compilation the keys that it read the last time. An edge exists because it was read: there is no
 * hand-written list of who depends on whom.
 *
 *     source ── upsert, delete ──► resources ──► keys ──► units that read one of them ──► dirty
 *                                                 ▲                                        │
 *     compile ◄── next dirty unit ────────────────┼────────────────────────────────────────┘
 *        └── reads while it compiles: recorded ───┘
 *
 * A key is a string. Two sorts:
 *
 *     "Service/shop/catalog"             a resource by its name: store_read()
 *     "EndpointSlice/of/shop/catalog"    an index (listed below): store_read_all()
 *
 * A resource that comes, changes or goes touches its own key and every index key that it has or
 * had. Keys of facts that compile derives itself ("host-owner/shop.example.com") are touched by
 * store_touch(). A key may be read that no resource has: its coming will be noticed.
 *
 * An upsert of a resource whose hash is the stored one takes its place (its resourceVersion and
 * status are newer) and touches nothing. A refused version (no fields) keeps the index keys of the
 * version before it, beside those that its labels give. One thread.
 */
#ifndef SLUICE_CONTROLLER_STORE_H
#define SLUICE_CONTROLLER_STORE_H

#include "controller/kube/kinds.h"
#include "lib/list.h"

struct store;

struct store *store_new(void);
void store_free(struct store *s);

/* ---- sources: kube or a directory ---- */

/* Takes the count of r. True if anything changed. */
bool store_upsert(struct store *s, struct resource *r);
bool store_delete(struct store *s, enum kube_kind kind, struct str ns, struct str name);
/* The source has told all that there was at its start: until then nothing is compiled. */
void store_synced(struct store *s);
bool store_is_synced(const struct store *s);

/* Called after each change that made a unit dirty or brought a resource without a unit; main's
 * debounce hangs here. */
void store_on_change(struct store *s, void (*changed)(void *arg), void *arg);
/* Every upsert that changed something and every delete is told here before store_upsert() returns:
 * compile makes and ends units so. now: NULL = deleted; was: NULL = new. */
void store_on_resource(struct store *s,
                       void (*resource)(void *arg, const struct resource *was,
                                        const struct resource *now),
                       void *arg);
/* The same, and also told of an upsert that changed nothing but what nobody reads (resourceVersion,
 * status): for who writes it. After store_on_resource. */
void store_on_version(struct store *s,
                      void (*version)(void *arg, const struct resource *was,
                                      const struct resource *now),
                      void *arg);

/* As store_on_resource, for who remembers; told before it. */
void store_on_history(struct store *s,
                      void (*history)(void *arg, const struct resource *was,
                                      const struct resource *now),
                      void *arg);

/* ---- sources: what is read one by one, by name ---- */

/* Secrets and the like are not watched as a whole: a source fetches those that some unit reads.
 * asked() hears, from inside store_read(), of every such read; from the first on the resource is
 * unknown until the source has upserted it or said that it is absent. The name is remembered until
 * store_forget(). Without a call of this (a directory) everything is known once the store is
 * synced. */
void store_ask(struct store *s, enum kube_kind kind,
               void (*asked)(void *arg, enum kube_kind kind, struct str ns, struct str name),
               void *arg);
/* The answer, where it is not an upsert: it does not exist, or (why, copied) may not be read. */
void store_absent(struct store *s, enum kube_kind kind, struct str ns, struct str name,
                  const struct why *why);
/* If no unit reads it any more: it goes, and what was known of it. True if it went. */
bool store_forget(struct store *s, enum kube_kind kind, struct str ns, struct str name);
/* Of a resource that store_read() has just given as NULL: whether the source has still to say; else
 * *why, if it is absent for a reason (NULL: it simply does not exist). */
bool store_is_unknown(const struct store *s, enum kube_kind kind, struct str ns, struct str name,
                      const struct why **why);
size_t store_n_unknown(const struct store *s); /* names that were asked for and not answered */

/* ---- looking, without a record: status, admin, tests ---- */

const struct resource *store_get(const struct store *s, enum kube_kind kind, struct str ns,
                                 struct str name);
size_t store_count(const struct store *s, enum kube_kind kind);
/* for (r = NULL; (r = store_next(s, kind, r));) in order of namespace and name */
const struct resource *store_next(const struct store *s, enum kube_kind kind,
                                  const struct resource *r);

/* What is not accepted by itself (resource.refused), in no order. */
void store_each_refused(const struct store *s, void (*each)(void *arg, const struct resource *r),
                        void *arg);

/* A walk over what counts, a step at a time with turns of the loop between: in order of kind,
 * namespace and name, over the kinds whose bits are set. as_it_was: everything as it was when the
 * walk began, and what changes meanwhile is held until the walk has passed it. Else each is as it
 * is when its turn comes; what is there all the time is told once. */
struct store_walk;
struct store_walk *store_walk_begin(struct store *s, uint64_t kinds, bool as_it_was);
/* Borrowed until the next call; NULL: that was all. */
const struct resource *store_walk_next(struct store_walk *w);
void store_walk_end(struct store_walk *w); /* before the store's end; NULL is fine */

/* ---- held back: what users wrote counts as it was, see controller/history/pin.h ---- */

/* Kinds that are held back: what users write that says where traffic goes and who may. Not what
 * follows by itself (endpoints), nor what takes rights away (Secrets, Consumers, grants). */
bool store_holds_back(enum kube_kind kind);
/* From now on what comes, changes or goes of those kinds is kept beside what counts, for this
 * reason (copied). NULL: all of it counts, now. */
void store_freeze(struct store *s, const char *why);
const char *store_is_frozen(const struct store *s); /* why; NULL: it is not */
/* While it is frozen: this version counts (takes its count), or none of that name. What the source
 * has said stays beside it. */
void store_put_back(struct store *s, struct resource *r);
void store_take_back(struct store *s, enum kube_kind kind, struct str ns, struct str name);
/* What the source said last, whether it counts or not; NULL: it is gone. */
const struct resource *store_said(const struct store *s, enum kube_kind kind, struct str ns,
                                  struct str name);
/* One more, or fewer, or another version of it is held back. */
void store_on_held_back(struct store *s, void (*changed)(void *arg), void *arg);
/* Whether that is not what counts. */
bool store_is_held_back(const struct store *s, enum kube_kind kind, struct str ns, struct str name);
size_t store_n_held_back(const struct store *s);
/* Those, in no order: what the source said, or what counts and it says no more. */
void store_each_held_back(const struct store *s,
                          void (*each)(void *arg, const struct resource *counts,
                                       const struct resource *said),
                          void *arg);
/* All that the source has said of a kind, in no order; nothing may be changed meanwhile. */
void store_each_said(const struct store *s, enum kube_kind kind,
                     void (*each)(void *arg, const struct resource *r), void *arg);

/* ---- units ---- */

/* What is compiled as one: "Route/shop/shop", "Backend/shop/catalog/80", "Host/sluice/a.example".
 */
struct store_unit {
    struct str id; /* owned by the unit */
    void *data;    /* compile's own */
    bool dirty;
    struct list dirty_link;
    struct list reads; /* store's own */
};

struct store_unit *store_unit(struct store *s, struct str id); /* made, dirty, if it is not there */
struct store_unit *store_unit_find(struct store *s, struct str id); /* or NULL */
void store_unit_end(struct store *s, struct store_unit *u); /* frees it; data is compile's */
void store_unit_dirty(struct store *s, struct store_unit *u);

/* The next dirty unit, now clean and with no reads recorded; NULL: all are clean. In the order in
 * which they became dirty. A unit may make others dirty while it compiles. */
struct store_unit *store_next_dirty(struct store *s);
size_t store_n_dirty(const struct store *s);

/* Recorded reads, while u compiles. */
const struct resource *store_read(struct store *s, struct store_unit *u, enum kube_kind kind,
                                  struct str ns, struct str name);
/* All resources that have the index key, in order of kind, namespace and name; *n of them. The
 * array lives until the next call that changes the store. */
const struct resource *const *store_read_all(struct store *s, struct store_unit *u, struct str key,
                                             size_t *n);
void store_read_key(struct store *s, struct store_unit *u, struct str key); /* of a derived fact */
void store_touch(struct store *s, struct str key); /* every unit that read it becomes dirty */
bool store_is_read(const struct store *s, struct str key); /* by a unit, when it last compiled */

/* The index keys (index.c), made for each resource when it comes:
 *     EndpointSlice/of/NS/SERVICE       by label kubernetes.io/service-name
 *     host/HOSTNAME                     Routes and Ingresses that name it ("*": any host, none
 * named, and Ingresses with a default backend) class/NAME                        Routes and
 * Ingresses by class name ("" = none named) IngressClass/all                  every IngressClass
 *     parameters/KIND/NAME              IngressClasses by their spec.parameters
 *     ReferenceGrant/in/NS              grants of a namespace
 *     policy/KIND/NS/NAME               TrafficPolicies and AuthPolicies by each of their
 * targetRefs Service/used-by/NS/NAME           Routes and Ingresses that name a Service
 */

#endif
