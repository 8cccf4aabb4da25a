/* SPDX-License-Identifier: Apache-2.0
 *
 * ws: WebSocket connections that carry whole binary messages, served by a thread of their own with
 * libwebsockets; both ends of the link stand on it.
 *
 *      owner's thread                         private thread
 *      ws_send ws_close ──── mailbox ───────► lws_write when writable, ≤ 256 kB a frame
 *                        lws_cancel_service
 *      ws_next  ◄─────────── mailbox ──────── messages put together, ≤ WIRE_MESSAGE_MAX
 *      ws_fd readable         eventfd         reading stops while the owner's mailbox is full
 *
 * A listener serves connections that proxies open; a dialler keeps one connection to each of its
 * addresses and opens it again, after a random 0.2 s to at most 5 s, whenever it is lost.
 *
 * All functions are for the owner's thread. libwebsockets is told nothing from there but
 * lws_cancel_service, the one call that it allows. Nothing here knows what a message means.
 */
#ifndef SLUICE_LIB_WS_H
#define SLUICE_LIB_WS_H

#include "lib/thread.h"
#include "lib/why.h"

struct ws;

/* Both NULL with *why. Plain WebSocket is for loopback addresses alone: what travels on it holds
 * private keys. */
struct ws *ws_listen(const char *address /* "127.0.0.1:7400", "[::1]:7400" */, struct why *why);
/* urls: "ws://127.0.0.1:7400". They may be empty. */
struct ws *ws_dial(const char *const *urls, size_t n, struct why *why);
void ws_free(struct ws *w); /* closes every connection, ends the thread */

uint16_t ws_port(const struct ws *w); /* of a listener, port 0 resolved */

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
    size_t peer;      /* of a dialler: index of the url */
    char address[72]; /* WS_OPEN: of the other end */
    size_t cost;      /* WS_SENT: bytes, as given to ws_send */
    struct str bytes; /* WS_MESSAGE */
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
void ws_close(struct ws *w, uint64_t conn); /* WS_CLOSED follows */

#endif
