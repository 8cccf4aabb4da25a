/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of ws share: ws.c (the owner's side, the beginning and the end), ws_conn.c
 * (connections) and ws_dial.c (targets of a dialler). All but ws.c's part runs on the private
 * thread.
 */
#ifndef SLUICE_LIB_WS_ROOM_H
#define SLUICE_LIB_WS_ROOM_H

#include "lib/hash.h"
#include "lib/map.h"
#include "lib/ws.h"
#include "lib/ws_tls.h"

#include <libwebsockets.h>
#include <stdatomic.h>

enum { CONNECT_TIMEOUT_S = 10 };

/* A ping when nothing was heard for 10 s, the end after 25. */
extern const lws_retry_bo_t ws_liveness;

enum order_type {
    ORDER_SEND,
    ORDER_CLOSE,
    ORDER_IDENTIFY,
    ORDER_TRUST,
    ORDER_SHOW,
    ORDER_DIAL,
    ORDER_UNDIAL,
};

/* What the owner wants. */
struct ws_order {
    struct mail mail; /* first */
    enum order_type type;
    uint64_t number; /* of the connection or target */
    char *room;      /* SEND: LWS_PRE bytes, then the message; CLOSE: reason; SHOW: token */
    size_t n, at;    /* SEND: bytes of the message, sent */
    struct ws_leaf *leaf;
    X509_STORE *store;
    struct ws_dial *dial;
};
void ws_order_free(struct ws_order *o); /* with what was not taken out of it */

struct ws_conn {
    uint64_t id;
    struct lws *wsi;
    struct ws_dial *dial; /* of a dialler */
    struct str token;     /* of a listener, until WS_OPEN takes it */
    struct out rx;        /* message that is being received */
    struct list tx;       /* orders */
    size_t sent;          /* cost of what has left, not told yet */
    bool open, paused, closing;
    char *reason; /* of closing */
};

struct ws_dial { /* one target */
    struct list link;
    lws_sorted_usec_list_t retry;
    struct ws *ws;
    uint64_t number;
    struct ws_target to;
    struct lws *wsi;      /* from the attempt to its end */
    uint32_t wait_ms;     /* upper end of the next wait */
    const char *distrust; /* why the certificate of this attempt is no good; NULL: it is */
    uint64_t opened_ms;
    bool waiting, failing, open, heard;
    bool dropped; /* freed as soon as libwebsockets has let go of it */
};

struct ws {
    struct lws_context *context;
    struct lws_protocols protocols[2];
    pthread_t thread;
    atomic_bool stop;
    struct mailbox orders, events;
    int fd;
    uint64_t last_target; /* owner */
    bool dials;
    /* before the start, then private thread */
    struct map conns; /* bytes of conn.id → struct ws_conn */
    uint64_t last_id;
    struct prng prng;
    struct list targets;
    SSL_CTX *dialling;    /* ours. A listener has one too: libwebsockets would leak its own */
    SSL_CTX *listening;   /* libwebsockets' */
    struct ws_leaf *leaf; /* a listener's */
    char *token;          /* a dialler's; NULL: none */
    bool trusts;          /* a CA is known */
};

/* ---- ws_conn.c ---- */

int ws_conn_admit(struct ws *w, struct lws *wsi); /* a listener's: -1 = not at all */
void ws_conn_open(struct ws *w, struct lws *wsi, struct ws_dial *d);
void ws_conn_closed(struct ws *w, struct ws_conn *c);
void ws_conn_free(struct ws_conn *c);
int ws_conn_receive(struct ws *w, struct ws_conn *c, const char *p, size_t n);
int ws_conn_writable(struct ws *w, struct ws_conn *c);
void ws_conn_send(struct ws *w, struct ws_order *o);  /* takes it */
void ws_conn_close(struct ws *w, struct ws_order *o); /* takes its reason */
void ws_conn_resume(struct ws *w);                    /* those that were not read */

/* ---- ws_dial.c ---- */

void ws_dial_add(struct ws *w, struct ws_dial *d); /* takes it */
void ws_dial_drop(struct ws *w, uint64_t number);
void ws_dial_all_free(struct ws *w); /* after the context is gone */
/* OpenSSL has looked at one certificate of the chain; its verdict stands. */
void ws_dial_verified(struct ws_dial *d, X509_STORE_CTX *x, bool good);
int ws_dial_handshake(struct ws *w, struct lws *wsi, struct ws_dial *d, unsigned char **at,
                      size_t room);
void ws_dial_opened(struct ws *w, struct lws *wsi, struct ws_dial *d);
void ws_dial_closed(struct ws *w, struct ws_conn *c);
void ws_dial_failed(struct ws_dial *d, const char *text);
void ws_dial_ended(struct ws *w, struct ws_dial *d); /* the last word about its wsi */

uint64_t ws_now_ms(void); /* monotonic */

#endif
