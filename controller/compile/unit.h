/* SPDX-License-Identifier: Apache-2.0
 *
 * unit: what is compiled as one, and its life. Private to compile/.
 *
 *     resource comes ─► unit, dirty ─► made: struct making ─► unit_take(): put and del what differs
 *                          ▲                  │ wants                        │
 *                          │                  ▼                              ▼
 *            a key that it read changed   Backend, Certificate, Host   objects: live
 *                                         (live while wanted)          proven:  live before that,
 * until every proxy serves
 *
 * A unit owns its live objects. No two units make the same id.
 */
#ifndef SLUICE_CONTROLLER_COMPILE_UNIT_H
#define SLUICE_CONTROLLER_COMPILE_UNIT_H

#include "controller/compile/compile.h"
#include "lib/map.h"

enum unit_kind {
    UNIT_DEFAULT_CLASS,
    UNIT_CLASS,
    UNIT_CONFIG,
    UNIT_ROUTE,
    UNIT_INGRESS,
    UNIT_HOST,
    UNIT_BACKEND,
    UNIT_CERTIFICATE,
    UNIT_TRAFFIC,
    UNIT_AUTH,
    UNIT_CONSUMER,
    UNIT_WATCH, /* see compile_watch() */
    UNIT_KINDS
};

struct objects { /* sorted by id, a count each */
    struct object **v;
    size_t n;
};

struct host;   /* host.h */
struct class_; /* class.h */

enum policy_state {
    POLICY_GOOD,       /* as it says, or said when it was last good */
    POLICY_REMEMBERED, /* refused since the controller started; it is as the fleet has it */
    POLICY_CLOSED,     /* refused, and nobody knows a good version: what it targets is closed */
};

/* What readers take from a policy beside its id. */
struct policy_terms {
    enum policy_state state;
    bool blind;       /* closed, and nobody knows whom it is about: everything in its namespace */
    int64_t limit;    /* TrafficPolicy: bodyLimit; -1: none */
    uint64_t created; /* the older of two counts */
};

/* One name of a policy's targetRefs, in the list of those who target the same. */
struct attachment {
    struct list link; /* in struct target */
    struct target *target;
    struct unit *policy;
    struct str section; /* n == 0: the whole */
};

/* Whether the fleet is to say what a backend was, whose policy is POLICY_REMEMBERED. */
enum recall { RECALL_NOT, RECALL_ASKED, RECALL_FOUND, RECALL_NOTHING };

struct unit {
    struct store_unit *su;
    enum unit_kind kind;
    struct list all;     /* in compiler.units */
    struct list refused; /* in compiler.refused, while it is not accepted */
    struct str ns, name; /* of the resource; Host: class and hostname; Backend: of the Service */
    struct str part;     /* Backend: the port */
    uint32_t wanted;     /* Backend, Certificate, Host: by so many units; ends at 0 */

    struct objects objects; /* live */
    struct objects proven;  /* what a nack goes back to, while unproven */
    bool unproven;
    struct list unproven_link;
    uint64_t nacked; /* revision that a proxy could not use; 0 = none */
    struct why *nack;
    struct list nacked_link; /* in compiler.nacked, while nacked */
    uint64_t changed_run;

    struct resource *good; /* the last version that compiled; a count */
    bool lost, restored;
    bool fresh; /* what the resource names may still be on its way; see compile_settle() */
    bool late;  /* it was, at the last call of that */
    struct list late_link;
    struct unit **wants; /* sorted by address, each once */
    size_t n_wants;

    struct compile_status status;
    struct why *whys; /* of the conditions and warnings */
    uint64_t status_hash;

    struct class_ *class; /* UNIT_CLASS: the last good settings */
    uint64_t fact;        /* UNIT_CLASS, UNIT_CERTIFICATE, UNIT_TRAFFIC: hash of what readers see */
    bool closed;          /* UNIT_AUTH: it lets nobody pass */
    uint8_t recall;       /* UNIT_BACKEND: enum recall */
    struct host *host;    /* UNIT_HOST */
    uint8_t certificate;  /* UNIT_CERTIFICATE: enum certificate_state */
    uint64_t expires; /* what it was made of: a certificate, the years of a time zone; 0: never */
    struct list certificate_link;
    struct attachment *attached; /* policies */
    size_t n_attached;
    struct policy_terms terms;
    struct list claims; /* Route, Ingress: struct host_claim by unit_link */
    struct list said;   /* Route, Ingress: see twice.h */
    struct list holds;  /* Consumer: its credentials, see consumer.c */
};

struct compiler {
    struct store *store;
    struct compile_sink sink;
    struct map targets;                 /* "Route/shop/shop" → struct target */
    struct map sayings;                 /* see twice.h */
    struct map credentials;             /* digest → struct held, see consumer.c */
    struct credential_scratch *digests; /* NULL: not used yet */
    struct map owners;                  /* object id → unit */
    struct map lost;                    /* prefix (owned) → unit */
    struct str default_class;           /* owned; n == 0: none */
    bool outdated[KUBE_KINDS];          /* see compile_outdated() */
    bool keyless;                       /* see compile_keyless() */
    uint16_t exposed[COMPILE_PORTS_MAX];
    size_t n_exposed;
    struct str own_namespace; /* owned; where the controller runs */
    struct list units; /* oldest first, and the places of walks (kind: UNIT_KINDS) */
    size_t n_units;
    struct list refused;
    struct list unproven;
    struct list nacked;
    struct list foreseen; /* see compile_quarantine() */
    size_t n_foreseen;
    struct list reserved; /* hosts that wait for compile_release() */
    struct list certificates;
    struct list late;   /* units that wait for what their resource names */
    uint64_t now;       /* see compile_clock() */
    compile_zone zones; /* NULL: there are none */
    uint64_t runs;
    struct fetches *fetches; /* see fetched.h */
    struct compile_watch watch;
    struct unit *watching; /* NULL: see compile_watch() */
};

/* ---- one compile of one unit ---- */

/* Where in the resource: a chain on the stack, printed only when there is something to say. */
struct at {
    const struct at *up;
    const char *name; /* NULL: an index alone */
    int64_t index;    /* -1: none */
};
#define AT(up, name)      (&(const struct at){(up), (name), -1})
#define AT_I(up, name, i) (&(const struct at){(up), (name), (int64_t)(i)})

struct making {
    struct compiler *c;
    struct unit *u;
    const struct resource *r; /* the version that is compiled; NULL for Host and Backend; of a
                                 Certificate the Secret */
    const struct class_ *class;
    struct arena a;
    struct objects objects;
    size_t cap;
    bool keep;          /* what it reads cannot be read: its objects stay as they are */
    bool fails;         /* what it reads could never be had: what the fleet has of it stays */
    bool wait;          /* a fact is still to be compiled: the unit steps back */
    bool late;          /* what the resource names is not there, and may be on its way */
    bool foreign;       /* the resource is another controller's */
    bool refers;        /* a GatewayConfig that names Services, or ports of ours */
    bool claimed;       /* its claims on hosts were told */
    bool gone;          /* refused in a way that takes its objects away: no class, no host */
    const char *reason; /* of why; NULL: Invalid */
    struct why why;     /* refused */
    struct why closed;  /* not accepted, and yet it counts: what it should guard is closed */
    const char *closed_reason; /* NULL: PolicyUnavailable */
    const char *unresolved_reason;
    struct why unresolved;
    struct why *warnings;
    size_t n_warnings, cap_warnings;
    struct unit **wants;
    size_t n_wants, cap_wants;
    struct str *hosts; /* claimed, before the owners are asked; lower case, "" = any host */
    size_t n_hosts;
    struct model_route_tls **tls; /* of each of them; NULL: none */
};

enum { WARNINGS_MAX = 16 };

void making_init(struct making *m, struct compiler *c, struct unit *u, const struct resource *r);
void making_fini(struct making *m);

/* All return -1. The first sentence stays. */
int refuse(struct making *m, const struct at *at, const char *fmt, ...) PRINTF_LIKE(3, 4);
int refuse_as(struct making *m, const char *reason, const struct at *at, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
void close_all(struct making *m, const struct at *at, const char *fmt, ...) PRINTF_LIKE(3, 4);
void close_as(struct making *m, const char *reason, const struct at *at, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
void unresolved(struct making *m, const char *reason, const struct at *at, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
void warn(struct making *m, const struct at *at, const char *fmt, ...) PRINTF_LIKE(3, 4);
struct str at_print(struct arena *a, const struct at *at); /* "spec.rules[0].matches[2].path" */

/* The origin of an object of m->r; NUL-free strings that borrow from the resource. */
struct model_origin *origin_of(struct making *m, const struct resource *r, const struct at *at);
/* Adds an object; its plain value may end after the call. -1 when it would be too large. */
int make(struct making *m, enum model_kind kind, struct str id, const void *value);
void make_again(struct making *m, struct object *o); /* adds one that there is */
void want(struct making *m, struct unit *u);
struct str lower(struct arena *a, struct str s); /* ASCII; s itself if it is lower case already */

/* ---- units ---- */

struct unit *unit_get(struct compiler *c, enum unit_kind kind, struct str ns, struct str name,
                      struct str part); /* made, dirty, if it is not there */
struct unit *unit_find(const struct compiler *c, enum unit_kind kind, struct str ns,
                       struct str name, struct str part);
void unit_end(struct compiler *c, struct unit *u); /* its objects go */
/* Ends units that only what others want keeps alive, when nobody wants u any more. */
void unit_release(struct compiler *c, struct unit *u);

/* What was made becomes live; the arrays of m are taken. */
void unit_take(struct making *m);
void unit_take_wants(struct making *m);
/* What is out and has been refused before it was steps back; true: something has, its unit is dirty. */
bool unit_meet_foreseen(struct compiler *c);
void unit_forget_foreseen(struct compiler *c);
/* The unit steps back, or stays as it is: what it has just asked for is wanted as well, so that it
 * is there when the unit comes again. */
void unit_add_wants(struct making *m);
/* What the routes and policies of u name is wanted, and nothing else. */
void unit_restore_wants(struct compiler *c, struct unit *u);
uint64_t objects_sorted_revision(struct objects *o); /* sorts them first */
uint64_t objects_revision(const struct objects *o);
void objects_fini(struct objects *o);
void unit_replace(struct compiler *c, struct unit *u, struct objects *now);

/* The resource kind that a unit kind stands for; KUBE_NONE for Host, Backend, Certificate,
 * DefaultClass, Watch. */
enum kube_kind unit_resource_kind(enum unit_kind kind);
void unit_lost(struct compiler *c, struct unit *u, bool lost);
struct str unit_prefix(struct arena *a, const struct unit *u,
                       unsigned i); /* i-th; n == 0: no more */

#endif
