/* SPDX-License-Identifier: Apache-2.0
 *
 * ws: WebSocket connections that carry whole binary messages, served by a thread of their own with
 * libwebsockets; both ends of the link stand on it.
 *
 *      owner's thread                         private thread
 *      ws_send ws_close ──── mailbox ───────► lws_write when writable, ≤ 256 kB a frame
 *      ws_dial ws_trust   lws_cancel_service
 *      ws_next  ◄─────────── mailbox ──────── messages put together, ≤ WIRE_MESSAGE_MAX
 *      ws_fd readable         eventfd         reading stops while the owner's mailbox is full
 *
 * A listener serves connections that others open; a dialler keeps one connection to each of its
 * targets and opens it again, after a random 0.2 s to at most 5 s, whenever it is lost.
 *
 * Plain WebSocket is for loopback addresses alone: what travels here holds private keys. With TLS
 * the dialler believes the CAs that ws_trust() names and demands the target's name; before that is
 * so it says nothing, its token least of all. What the listener thinks of the token is its owner's
 * business: WS_OPEN hands it over. Leaf, CAs and token change at any time, for handshakes from then
 * on; connections that are open stay.
 *
 * All functions are for the owner's thread. libwebsockets is told nothing from there but
 * lws_cancel_service, the one call that it allows. Nothing here knows what a message means.
 */
#ifndef SLUICE_LIB_WS_H
#define SLUICE_LIB_WS_H

#include "lib/thread.h"
#include "lib/why.h"
#include "lib/ws_address.h"

struct ws;

enum {
    WS_TOKEN_MAX = 8 << 10, /* bytes; a longer one is not admitted */
    WS_REASON_MAX = 120,    /* of ws_close */
};

/* A certificate (the leaf, then its chain) and its key, as PEM. */
struct ws_identity {
    struct str cert, key;
};

/* NULL with *why. id NULL: plain, "127.0.0.1:7400" or "[::1]:7400"; else TLS on any address,
 * ":7400" being all of them. */
struct ws *ws_listen(const char *address, const struct ws_identity *id, struct why *why);
uint16_t ws_port(const struct ws *w); /* port 0 resolved */
/* -1 with *why: the listener keeps what it had. */
int ws_identify(struct ws *w, const struct ws_identity *id, struct why *why) MUST_USE;

/* A dialler; it has no target yet. NULL with *why. */
struct ws *ws_dialler(struct why *why);
struct ws_target {
    struct ws_address at;
    char name[WS_NAME_MAX + 1]; /* that the certificate must bear; "" = plain */
};
/* The number of the target, never used twice. */
uint64_t ws_dial(struct ws *w, const struct ws_target *to);
void ws_undial(struct ws *w, uint64_t target); /* closes its connection: WS_CLOSED follows */
int ws_trust(struct ws *w, struct str pem, struct why *why) MUST_USE; /* -1: as before */
void ws_show(struct ws *w, struct str token); /* as bearer, over TLS alone; n == 0: none */

void ws_free(struct ws *w); /* closes every connection, ends the thread */

enum ws_event_type {
    WS_OPEN,    /* a new connection */
    WS_MESSAGE, /* one whole message */
    WS_SENT,    /* a message of ours has left; cost says how much */
    WS_CLOSED,  /* the last event of this connection */
};

struct ws_event {
    struct mail mail; /* first: it travels in a mailbox */
    enum ws_event_type type;
    uint64_t conn;    /* number of the connection, never used twice */
    uint64_t target;  /* of a dialler */
    char address[72]; /* WS_OPEN: of the other end */
    size_t cost;      /* WS_SENT: bytes, as given to ws_send */
    struct str bytes; /* WS_MESSAGE; WS_OPEN of a listener: the bearer token, n == 0: none */
};

int ws_fd(const struct ws *w);          /* readable: call ws_next until NULL */
struct ws_event *ws_next(struct ws *w); /* the caller's; NULL if there is none now */
void ws_again(struct ws *w);            /* makes ws_fd readable: the caller stopped before NULL */
void ws_event_free(struct ws_event *e);

/* A message is written into an out that ws_message() has started. ws_send takes its memory, also
 * when the connection is gone. Returns its size, the cost of the WS_SENT that will follow unless
 * the connection closes first. */
struct out ws_message(void);
size_t ws_send(struct ws *w, uint64_t conn, struct out *message);
/* WS_CLOSED follows. reason: what the other end is told, and logs; NULL: nothing. */
void ws_close(struct ws *w, uint64_t conn, const char *reason);

#endif
