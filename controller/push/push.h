/* SPDX-License-Identifier: Apache-2.0
 *
 * push: keeps every proxy at the wanted set of objects. The wanted set changes by transactions of
 * its own (put, del, hold, then commit); each commit that changes something makes a new version.
 *
 *   recent   entries ordered by the version that last changed them   ... 41 42 42 43
 *   gone     ids that were removed, in the same order                ... 40 43
 *                                                                          ▲
 *   proxy a  has version 42: its next transaction is what lies behind it ──┘
 *   proxy b  has version 17, is slow: one transaction in flight, nothing waits for it
 *
 * So what a proxy lacks is never stored: it is the tail of two lists. A proxy that says hello with
 * digests of its own gets the differing buckets replaced whole; one that has everything gets
 * nothing. A slow proxy costs the objects of its one transaction in flight and no more.
 *
 * Held ids (push_hold) are those that could not be compiled and whose last good objects are not
 * known here: they are left alone by every transaction and are outside the digest on both sides.
 *
 * Nothing is sent before the first commit: a controller that has not compiled yet empties nobody.
 *
 * On a secure link (TLS) a proxy waits first: on_token hands over what it has shown, and until
 * push_admit() nothing is sent to it, nothing that it says is believed, and it is in no list:
 *
 *     upgrade ─► on_token ─► ... ─► push_admit ─► hello ─► as ever
 *                   ▲         └───► push_refuse ─► closed, with the reason
 *                   └── it renewed its token
 *
 * It listens from the first push_identify() on.
 *
 * All of it on the controller's main thread; callbacks are called from the event loop, and may call
 * anything here but push_free.
 */
#ifndef SLUICE_CONTROLLER_PUSH_H
#define SLUICE_CONTROLLER_PUSH_H

#include "lib/wire.h"
#include "lib/ws.h"

struct event_base;
struct push;

/* One proxy, for status. Strings live until the callback returns. */
struct push_proxy {
    uint64_t id; /* number of its connection */
    const char *name, *address;
    const char *version;         /* of its program; "" = it is too old to say */
    bool follows;                /* takes transactions from this controller */
    bool ready;                  /* serves a configuration */
    bool current;                /* serves the wanted set */
    bool behind;                 /* has been neither current nor acking for 10 s */
    uint64_t revision;           /* what it serves, 0 = unknown */
    int64_t linked_ms, acked_ms; /* Unix time; 0 = never */
    uint64_t waits_ms;           /* how long the wanted set has been another one; 0 = it is not */
    size_t pending;              /* objects of the transaction in flight that are not sent yet */
    bool in_flight;
    uint64_t connections, active_requests, requests_total, memory_bytes; /* its last report */
    uint64_t requests_milli, gateway_p99_us; /* of it too: over 15 s, see lib/wire.def */
    int64_t reported_ms;
    const char *nack; /* last refusal, "" = none since the last ack */
    int64_t nacked_ms;
};

struct push_fault {
    struct str id;     /* "" = the transaction as a whole */
    struct str reason; /* the sentence */
    uint64_t hash;     /* of the object; 0: the proxy does not say */
};

/* Any of them may be NULL. */
struct push_events {
    void (*on_change)(void *arg); /* a proxy came, went, or reads differently in push_each */
    void (*on_ack)(void *arg, const struct push_proxy *p);
    /* The proxy keeps its last good state; nothing is sent to it until the next commit. Replace
     * or remove the named objects and commit. */
    void (*on_nack)(void *arg, const struct push_proxy *p, const struct push_fault *faults,
                    size_t n);
    /* Answers to push_get. The object is the receiver's (object_drop). */
    void (*on_have)(void *arg, uint64_t proxy, uint64_t ask, struct object *o);
    void (*on_have_end)(void *arg, uint64_t proxy, uint64_t ask, bool complete);
    /* Tokens named keys that are not in these sets (key_set.source). */
    void (*on_unknown_keys)(void *arg, const struct str *sources, size_t n);
    /* What it is asked for of limits over the fleet; only until the callback returns. */
    void (*on_demand)(void *arg, uint64_t proxy, const struct wire_demand *d);
    /* What it counted since the last of these, while it is watched; likewise. */
    void (*on_live)(void *arg, uint64_t proxy, const struct wire_live *m);
    /* Secure links: who is this? token.n == 0: it has shown none. The answer may come at once, also
     * from inside, or never. proxy: the number of its connection. */
    void (*on_token)(void *arg, uint64_t proxy, struct str token, const char *address);
    void (*on_gone)(void *arg, uint64_t proxy); /* its link is lost: nothing needs to be answered */
};

/* NULL with *why. listen: "127.0.0.1:7400". Plain is for loopback alone. */
struct push *push_new(struct event_base *base, const char *listen, bool secure,
                      const struct push_events *events, void *arg, struct why *why);
void push_free(struct push *p);           /* closes every link, joins the thread */
uint16_t push_port(const struct push *p); /* 0: it does not listen yet */

/* ---- secure links ---- */

/* The certificate of handshakes from now on; links that are open stay. -1 with *why: as before. */
int push_identify(struct push *p, const struct ws_identity *id, struct why *why) MUST_USE;
/* pod: the name that its token is bound to, and so the only one that it may call itself; n == 0:
 * its token says none. Of one that is gone: nothing. */
void push_admit(struct push *p, uint64_t proxy, struct str pod);
void push_refuse(struct push *p, uint64_t proxy, const char *reason);
/* What every proxy that follows is told, now and when it comes. Copied. */
void push_fleet(struct push *p, const struct wire_fleet *fleet);
/* To one proxy; of one that is gone: nothing. */
void push_shares(struct push *p, uint64_t proxy, const struct wire_shares *s);
void push_watch(struct push *p, uint64_t proxy, const struct wire_watch *w); /* likewise */
/* Whether what the controller compiles from is heard. Not for so long as makes a proxy behind:
 * every proxy is told, and goes to another controller if one is better off. */
void push_heard(struct push *p, bool yes);
size_t push_waiting(const struct push *p); /* links that are not admitted yet */

/* ---- the wanted set ---- */

void push_put(struct push *p, struct object *o); /* takes the count of o; an equal one is nothing */
void push_del(struct push *p, struct str id);    /* unknown: nothing */
/* An id, or a prefix that ends in '/'. */
void push_hold(struct push *p, struct str id);
void push_unhold(struct push *p, struct str id);
/* What the next commit will change: was == NULL: new; now == NULL: gone. Borrowed. */
void push_pending(const struct push *p,
                  void (*each)(void *arg, const struct object *was, const struct object *now),
                  void *arg);
/* Publishes all that was said since the last time as one new wanted state. */
void push_commit(struct push *p);

uint64_t push_revision(const struct push *p); /* digest of the published set; 0 before the first */
size_t push_count(const struct push *p);      /* objects in it */

/* ---- who serves what ---- */

/* Of the ready proxies: those that serve exactly these objects, and nothing older than the version
 * `since` (0: any); those that do not, but are given up on as behind; ready is all but the latter.
 * As published: what is not committed yet is served by nobody. */
struct push_served {
    size_t ready, current, behind;
};
struct push_served push_serving(const struct push *p, struct object *const *objects, size_t n,
                                uint64_t since);
/* Counts commits that changed something: the newest version; 0 before the first. */
uint64_t push_version(const struct push *p);
uint64_t push_sent_bytes(const struct push *p); /* of messages, to all proxies, since the start */
void push_each(const struct push *p, void (*cb)(void *arg, const struct push_proxy *proxy),
               void *arg);
/* Asks one ready proxy, or the proxy of that id, for objects by id or prefix. The number of the
 * question, or 0: there is nobody to ask. on_have and on_have_end follow, also if the link dies. */
uint64_t push_get(struct push *p, uint64_t proxy /* 0 = any */, const struct str *ids, size_t n);

/* ---- for tests: time without waiting ---- */
void push_set_behind_ms(struct push *p, uint32_t ms); /* instead of 10 s */

#endif
