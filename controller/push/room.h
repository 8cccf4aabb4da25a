/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of this room share: wanted.c (the set and its versions), peer.c (one proxy),
 * push.c (the whole).
 */
#ifndef SLUICE_CONTROLLER_PUSH_ROOM_H
#define SLUICE_CONTROLLER_PUSH_ROOM_H

#include "controller/push/push.h"
#include "lib/list.h"
#include "lib/wire.h"
#include "lib/ws.h"

/* ---- wanted.c ---- */

enum { HISTORY = 64, TOMBSTONE = MODEL_KIND_NONE };

/* An id of the published set; of kind TOMBSTONE when it is gone and some proxy may still have it.
 */
struct entry {
    struct object *o; /* held */
    uint64_t version; /* that last changed it */
    struct list link; /* wanted.recent or wanted.gone */
};

struct wanted {
    struct map entries; /* id → entry */
    struct map changes; /* id → object, not committed; a TOMBSTONE removes */
    struct list recent, gone;
    struct wire_ids held, next_held; /* published, and what the next commit makes of it */
    bool holds_changed;
    struct digest digest; /* of what is not held */
    uint64_t version;     /* 0 = nothing published yet */
    size_t count;
    struct {
        uint64_t version, total;
    } history[HISTORY]; /* digests of the last versions, by version % HISTORY */
};

void wanted_init(struct wanted *w);
void wanted_fini(struct wanted *w);
void wanted_put(struct wanted *w, struct object *o); /* takes it */
void wanted_del(struct wanted *w, struct str id);
void wanted_hold(struct wanted *w, struct str id, bool on);
void wanted_pending(const struct wanted *w,
                    void (*each)(void *arg, const struct object *was, const struct object *now),
                    void *arg);
bool wanted_commit(struct wanted *w); /* whether there is a new version */
uint64_t wanted_total(const struct wanted *w);
uint64_t wanted_version_of(const struct wanted *w, uint64_t total); /* 0 = not one of ours */
/* Forgets removed ids that every proxy has heard of: those up to this version. */
void wanted_forget(struct wanted *w, uint64_t version);

/* Objects (each held) to send: prefixes to remove first, then removals, then objects. */
struct batch {
    struct object **objects;
    size_t n, cap;
};
/* What changed after that version. */
void wanted_since(const struct wanted *w, uint64_t version, struct batch *b);
/* All of those buckets. */
void wanted_buckets(const struct wanted *w, struct str buckets, struct batch *b);
void wanted_batch_fini(struct batch *b);

/* ---- peer.c ---- */

struct tx {          /* the transaction in flight */
    uint64_t number; /* 0 = none */
    uint64_t version, total;
    struct batch batch;
    size_t at;      /* next of batch */
    bool committed; /* all was handed over, the answer is awaited */
};

struct ask {
    struct list link;
    uint64_t number;
    unsigned parts; /* messages that are not answered whole yet */
};

struct stashed { /* a message of one that is not admitted yet */
    struct list link;
    struct str bytes;
};

enum { VERSION_MAX = 63 };

enum peer_state {
    PEER_NEW,    /* no hello yet, or a fresh one is awaited */
    PEER_TOLD,   /* hello came; `has` is what it serves */
    PEER_SYNCED, /* serves version `base` */
};

struct peer {
    struct list link;
    struct push *push;
    uint64_t conn;
    char *name, *address;
    char version[VERSION_MAX + 1];
    enum peer_state state;
    struct digest has;
    uint64_t base;       /* PEER_SYNCED: version that it serves; 0 = none of ours */
    uint64_t refused;    /* version that it refused; 0 = none */
    unsigned mismatches; /* refusals without a fault in a row */
    struct tx tx;
    size_t window; /* bytes handed to ws that have not left */
    bool greeted, follows, ready, behind, closing;
    uint64_t revision;                             /* of all that it serves */
    uint64_t total;                                /* the same without what is held */
    uint64_t opened_at, waiting_since, not_before; /* monotonic ms */
    int64_t linked_ms, acked_ms, reported_ms, nacked_ms;
    struct wire_report report;
    char nack[512];
    struct list asks;
    char *pod; /* the only name that it may have; NULL: any */
    struct list stash;
    size_t stashed; /* bytes */
};

struct peer *peer_new(struct push *p, uint64_t conn, const char *address);
void peer_free(struct peer *r);
/* -1 with *why: the link must be closed. */
int peer_message(struct peer *r, struct str bytes, struct why *why);
/* Keeps a message (taken) until peer_admit(). -1 with *why: the link must be closed. */
int peer_stash(struct peer *r, struct str bytes, struct why *why);
int peer_admit(struct peer *r, struct str pod, struct why *why); /* as peer_message */
void peer_standing(struct peer *r);
void peer_fleet(struct peer *r); /* tells it, if it follows and there is something to tell */
void peer_shares(struct peer *r, const struct wire_shares *s);
void peer_watch(struct peer *r, const struct wire_watch *w);
void peer_sent(struct peer *r, size_t cost);
void peer_pump(struct peer *r); /* starts and feeds a transaction if there is something to say */
bool peer_tick(struct peer *r); /* whether it reads differently now */
bool peer_current(const struct peer *r);
/* The version that its next transaction will start from; UINT64_MAX if that is not known. */
uint64_t peer_floor(const struct peer *r);
struct push_proxy peer_view(const struct peer *r);
void peer_get(struct peer *r, uint64_t ask, const struct str *ids, size_t n);

/* ---- push.c ---- */

struct push {
    struct wanted wanted;
    struct event_base *base;
    char *listen;
    bool secure;
    struct ws *ws;          /* NULL: it does not listen yet */
    struct event *readable; /* of ws */
    struct event *tick;
    struct list peers, waiting; /* admitted; not yet */
    struct out fleet;           /* the encoded message; n == 0: none */
    uint64_t last_tx, last_ask;
    uint64_t sent_bytes; /* of messages, to all proxies */
    uint32_t behind_ms;
    uint64_t deaf_since; /* 0: what it compiles from is heard */
    bool blind;          /* it has not been for behind_ms, and all are told */
    struct push_events events;
    void *arg;
    bool changed; /* on_change is due at the end of this turn */
};

uint64_t push_now_ms(void); /* monotonic */
int64_t push_unix_ms(void);

#endif
