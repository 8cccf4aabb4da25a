/* SPDX-License-Identifier: Apache-2.0
 *
 * kube_parts: what the files of source/kube share.
 *
 *     kube.c           life, which kinds, the clock        kube_take.c     objects into the store
 *     kube_reflect.c   lists and watches of one kind       kube_names.c    what is read by name
 *     kube_report.c    faults and metrics
 *
 * There is one timer for all of it: whatever is to be done later has a due_ms, and source_wake()
 * says when the next one is.
 */
#ifndef SLUICE_CONTROLLER_SOURCE_KUBE_PARTS_H
#define SLUICE_CONTROLLER_SOURCE_KUBE_PARTS_H

#include "controller/kube/backoff.h"
#include "controller/kube/split.h"
#include "controller/source/kube.h"
#include "lib/map.h"

struct event;

#define NEVER UINT64_MAX /* as due_ms */

/* ---- what is watched ---- */

struct reflector;

struct watched {
    enum kube_kind kind;               /* as the store has it; KUBE_NONE: it has not */
    const struct kube_kind_info *info; /* where the API server has it */
    const char *selector, *selected;   /* "fieldSelector", "type=kubernetes.io/tls"; NULL: none */
    bool metadata;                     /* only that is asked for */
    bool crd;                          /* comes and goes with its definition */
    bool missing;                      /* that it does not exist is no fault */
    bool optional;                     /* nor that it may not be read */
    bool root; /* what proxies serve begins here: unread, nobody knows what they should */
    /* An object of a list or an event; may be changed. */
    void (*object)(struct reflector *r, cJSON *object, bool gone, const struct why *refused);
    void (*listed)(struct reflector *r); /* what has another `seen` than r->list is gone; or NULL */
};

enum reflect_stage { REFLECT_IDLE, REFLECT_LISTING, REFLECT_STREAMING, REFLECT_WATCHING };

/* What was found in the bytes that ends a request before its time. */
enum reflect_cut {
    CUT_NOT,
    CUT_EXPIRED, /* the resource version is too old */
    CUT_REFUSED, /* an ERROR event */
    CUT_BROKEN,  /* bytes that cannot be read */
};

struct reflect_counters {
    uint64_t events, lists, bytes, failures;
    uint64_t foreign; /* objects dropped at the door */
};

/* One kind, everywhere or in one namespace. */
struct reflector {
    struct kube_source *s;
    struct list link; /* kube_source.reflectors */
    const struct watched *what;
    struct str ns; /* n == 0: all of them; owned */

    enum reflect_stage stage;
    struct kube_request *request;
    struct split split; /* while there is a request */
    enum reflect_cut cut;
    struct why cut_why;
    struct out version; /* resourceVersion to go on from; n == 0: list */
    struct out next;    /* continue token of the next page */
    uint64_t began_ms;  /* the request */
    uint64_t heard_ms;  /* the last byte, of any request; 0: none yet */
    uint64_t first_ms;  /* the first of the refusals in a row; 0: none */
    uint64_t due_ms;
    struct backoff backoff;
    uint32_t list;      /* number of the list that is under way, or was last */
    uint64_t n_foreign; /* dropped since that began */
    bool again;         /* all of it is to be listed */
    bool plain;         /* lists are not streamed: after a 403, until a watch is good */
    bool expired;       /* once already since a watch was good */
    bool counts;        /* it was listed, or does not have to be waited for */
    bool read;          /* it was listed */
    bool undefined;     /* its definition is known to be gone */
    char *fault;        /* owned; NULL: none */
    struct reflect_counters n;
};

/* ---- what is read by name ---- */

struct name {
    struct str key; /* "Secret/shop/tls", of kube_source.names; owned */
    enum kube_kind kind;
    struct str ns, name; /* parts of key */
    struct list waiting; /* in kube_source.waiting: to be got as soon as fewer are under way */
    struct kube_source *s;
    struct kube_request *request;
    struct backoff backoff;
    uint64_t due_ms, read_ms;
    bool told;    /* the store, just now: its readers are compiled for that */
    bool watched; /* a watch tells of its changes */
    char *fault;
};

struct names_counters {
    uint64_t reads, failures;
};

/* ---- all of it ---- */

struct kube_source {
    struct source base;
    struct event_base *loop;
    struct store *store;
    struct kube_client *client;
    struct event *clock;
    uint64_t clock_ms; /* when it rings; NEVER: not */
    struct prng prng;
    struct str *namespaces; /* owned */
    size_t n_namespaces;
    bool watch_secrets;
    struct watched pin; /* the ConfigMap that pins the fleet, by its name */
    char pin_selected[300];
    void (*defined)(void *arg);
    void *arg; /* of defined() */
    void (*reached)(void *arg, bool yes);
    void *reached_arg;

    struct list reflectors;
    bool begun; /* beyond the IngressClasses */
    bool synced;
    bool no_streams;   /* the server refused to stream a list */
    char *unreachable; /* why there is no answer at all; owned */

    struct map names; /* key → struct name */
    struct list waiting;
    size_t n_gets;
    uint64_t names_ms; /* the earliest due_ms among names, or earlier */
    struct names_counters n_names;

    uint64_t upserted, deleted;
};

/* ---- kube.c ---- */

uint64_t source_now(void); /* monotonic ms */
void source_wake(struct kube_source *s, uint64_t due_ms);
void source_progress(struct kube_source *s); /* a reflector counts now */
/* The API server answered (NULL), or did not. */
void source_reached(struct kube_source *s, const struct why *why);
/* The reflectors of a kind, one after the other; r == NULL: the first. NULL at the end. */
struct reflector *source_next(struct kube_source *s, enum kube_kind kind, struct reflector *r);
/* Of Namespaces, begun if need be; NULL: they are not to be read. */
struct reflector *source_namespaces(struct kube_source *s);
/* Sets or ends (text.p == NULL) a fault and says so in the log, if it is news. */
void source_fault(char **fault, struct str text);

/* ---- kube_reflect.c ---- */

struct reflector *reflector_new(struct kube_source *s, const struct watched *what, struct str ns);
void reflector_free(struct reflector *r);
void reflector_begin(struct reflector *r);  /* makes it due */
void reflector_relist(struct reflector *r); /* the same, for all of it anew */
void reflector_turn(struct reflector *r);   /* it is due */
/* Its definition came, changed or went. */
void reflector_defined(struct reflector *r, bool there);

/* ---- kube_take.c ---- */

/* watched.object: into the store; into what is known of definitions. */
void take_object(struct reflector *r, cJSON *object, bool gone, const struct why *refused);
void take_definition(struct reflector *r, cJSON *object, bool gone, const struct why *refused);
void take_listed(struct reflector *r); /* watched.listed */
/* What the text of an object says, without \u0000: NULL with *why. Where that was in it, *why is
 * set as well, and the object is to be refused. */
cJSON *take_parse(struct str text, struct why *why);
/* The resource of a kind from an object, which is told its kind; NULL with *why. refused: why it
 * cannot be used although it can be named; NULL: nothing speaks against it. */
struct resource *take_resource(enum kube_kind kind, cJSON *object, const struct why *refused,
                               struct why *why);

/* ---- kube_names.c ---- */

void names_init(struct kube_source *s);
void names_fini(struct kube_source *s);
void names_turn(struct kube_source *s, uint64_t now);
/* watched.object of what is read by name all the same: it changed. */
void names_changed(struct reflector *r, cJSON *object, bool gone, const struct why *refused);
/* Remembers a name of a kind that is watched as a whole; names_settle(): that whole is known, or
 * why it is not, so those that are not in it are absent. */
void names_want(struct kube_source *s, enum kube_kind kind, struct str ns, struct str name);
void names_settle(struct kube_source *s, enum kube_kind kind, const char *fault);
/* It is not in the store; fault: since it cannot be read, NULL: since it does not exist. */
void names_absent(struct kube_source *s, enum kube_kind kind, struct str ns, struct str name,
                  const char *fault);

/* ---- kube_report.c ---- */

extern const struct source_verbs kube_source_verbs;
/* "cannot list routes.sluice.dev in namespace shop: 403 ...; grant ..."; verb: "list". */
void report_refusal(const struct reflector *r, const char *verb, const struct kube_answer *a,
                    struct out *o);
void report_grant(const char *verb, const struct kube_answer *a, struct out *o);
void kube_source_free(struct source *s); /* kube.c */

#endif
