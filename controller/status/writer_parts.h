/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of the writer share: writer_item.c (an object and its place), writer_sight.c (what
 * stands at the server against what should), writer_send.c (requests and their answers), writer.c
 * (the whole).
 */
#ifndef SLUICE_CONTROLLER_STATUS_WRITER_PARTS_H
#define SLUICE_CONTROLLER_STATUS_WRITER_PARTS_H

#include "controller/kube/backoff.h"
#include "controller/status/clock.h"
#include "controller/status/when.h"
#include "controller/status/writer.h"
#include "lib/map.h"

struct event;

enum {
    WRITES_A_SECOND = 50,
    WRITES_BURST = 100,
    IN_FLIGHT_MAX = 8,
    LOOKS_A_TURN = 128, /* each some microseconds */
    CALL_MS = 4000,     /* it is over before anybody else can lead (lease_rule.h) */
    REPAIR_MS = 10000,
    CONFLICT_MS = 500, /* so long for the store to hear what was faster */
    DENIED_MS = 60000,
    BODY_MAX = 256 << 10,
};

enum place {
    IDLE,    /* as it should be, as far as is known */
    LOOK,    /* to be compared */
    WAITING, /* until `when`, or an ack */
    DUE,     /* to be written */
    BUSY,    /* a request is under way */
};

/* What we have heard from the server ourselves, until the store's version is another one. */
struct heard {
    char *instead_of;       /* resourceVersion in the store; NULL: nothing was heard */
    char *version, *status; /* status: JSON, or NULL */
};

struct item {
    struct list link; /* of its place */
    enum place place;
    struct status_writer *writer;
    struct str key, ns, name; /* in the bytes behind the struct; key: of the map */
    enum kube_kind kind;

    uint64_t since;   /* of its change that is not written yet; 0: none */
    uint64_t version; /* of push, that its change is in; 0: any */
    bool unpublished; /* it is in none yet */
    uint64_t when;    /* WAITING: until then */

    struct kube_request *request;
    char *asked_at;   /* resourceVersion in the store when it was sent */
    uint64_t sending; /* hash of what is on its way */
    bool again;       /* something happened meanwhile */
    bool mine;        /* it is, or was a moment ago, of our class */
    bool cleared;     /* what was ours is taken away, or was not there */
    bool gone;        /* the store has it no more: deleted, or of a class that is not read */

    uint64_t wrote;     /* hash of what we wrote last */
    uint64_t repair_at; /* what somebody else wrote over it is put right then; 0: nobody did */
    bool repaired, given_up;
    struct heard heard;
    char *conflict; /* the store's resourceVersion that was too old; NULL: none */
};

struct denied { /* a kind in a namespace that we may not write */
    char *key;  /* "Route/shop" */
    uint64_t until;
};

struct status_writer {
    struct writer_config c;
    struct map items, denied;
    struct list places[BUSY + 1];
    size_t n[BUSY + 1]; /* items in each place */
    size_t n_given_up;
    struct when_fleet fleet;
    struct when_bucket bucket;
    struct backoff backoff; /* of the server as a whole */
    uint64_t not_before;
    struct prng prng;
    struct event *timer;
    bool leading, leaving;
    struct addresses addresses; /* the last that were known */
    char *address_texts[ADDRESSES_MAX];
    bool addresses_known;
    struct event *leave_timer;
    void (*left)(void *arg);
    void *left_arg;
    struct writer_counters counters;
};

/* ---- writer_item.c ---- */

void writer_wake(struct status_writer *w); /* it looks again, soon */
struct item *writer_first(struct status_writer *w, enum place place);

struct item *item_find(struct status_writer *w, const struct resource *r); /* or NULL */
struct item *item_get(struct status_writer *w, const struct resource *r);  /* made if need be */
void item_free(struct item *it); /* what it has asked for is cancelled */
void items_clear(struct status_writer *w);
void item_put(struct item *it, enum place place);
void item_wait(struct item *it, uint64_t when);
void item_look(struct item *it); /* something happened to it */
/* What stands there is somebody else's, until there is something new to say. */
void item_give_up(struct item *it, bool yes);
void heard_clear(struct heard *h);

/* ---- writer_sight.c ---- */

enum deed {
    NOTHING,
    TELL,  /* write what is wanted */
    CLEAR, /* take away what is ours */
    DROP,  /* it is not ours, or not there */
    LATER, /* the compiler is still to see this version */
    FIND,  /* ask the server whether it is still there, with something of ours in it */
};

struct sight {
    enum deed deed;
    const struct resource *r;
    struct arena a;
    cJSON *have;
    struct str version; /* resourceVersion that have is of */
    struct status_wanted want;
    struct addresses addresses; /* Ingress: what it is to have */
    struct body_look look;
    enum when_acks acks;
    uint64_t hash; /* of what is wanted */
};

void sight_see(struct item *it, struct sight *s);
void sight_fini(struct sight *s);
/* The moment to write it: now or earlier, later, or WHEN_NEVER. */
uint64_t sight_when(struct item *it, const struct sight *s, uint64_t now);
/* Whether what the store has was too old when we last wrote, and it has heard nothing since. */
bool item_conflicts(struct item *it, const struct sight *s);
/* Events for what is refused; lasts: event_say(). */
void sight_say(struct status_writer *w, const struct sight *s, bool lasts);

/* ---- writer_send.c ---- */

/* When its kind may be tried again in its namespace, after a 403; 0: now. */
uint64_t item_denied_until(const struct item *it);
/* Its turn has come: what is to be written is seen now, and may have changed. */
void item_write(struct item *it, uint64_t now);

#endif
