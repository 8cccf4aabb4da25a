/* SPDX-License-Identifier: Apache-2.0
 *
 * ws_conn: connections of either end, on the private thread.
 */
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/wire.h"
#include "lib/ws_room.h"

enum {
    EVENT_COST = 256,   /* of an event without its bytes */
    WRITES_A_TURN = 64, /* frames of one connection before another gets its turn */
    CLOSE_WITHIN_S = 5, /* when the other end does not take our reason */
};

static struct str id_key(const uint64_t *id) { return str_mk((const char *)id, sizeof(*id)); }

/* ---- events ---- */

static unsigned tell(struct ws *w, struct ws_conn *c, enum ws_event_type type, struct str bytes) {
    struct ws_event *e = mem_zalloc(sizeof(*e));
    e->type = type;
    e->conn = c->id;
    e->target = c->dial ? c->dial->number : 0;
    e->bytes = bytes;
    e->mail.cost = EVENT_COST + bytes.n;
    if (type == WS_SENT) {
        e->cost = c->sent;
        c->sent = 0;
    }
    if (type == WS_OPEN)
        lws_get_peer_simple(c->wsi, e->address, sizeof(e->address));
    unsigned state = mailbox_put(&w->events, &e->mail);
    if (state & MAILBOX_WAS_EMPTY)
        wakeup_ring(w->fd);
    return state;
}

/* ---- life ---- */

static struct ws_conn *conn_new(struct lws *wsi) {
    struct ws_conn *c = mem_zalloc(sizeof(*c));
    c->wsi = wsi;
    c->rx = out_heap(1 + WIRE_MESSAGE_MAX);
    list_init(&c->tx);
    lws_set_opaque_user_data(wsi, c);
    return c;
}

/* The bearer token of the upgrade; STR_NONE when there is none. False: it is no such thing. */
static bool take_token(struct lws *wsi, struct str *token) {
    static const char scheme[] = "Bearer ";
    enum { SCHEME = sizeof(scheme) - 1 };
    *token = STR_NONE;
    int n = lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_AUTHORIZATION);
    if (n <= 0)
        return true;
    if (n <= SCHEME || n > SCHEME + WS_TOKEN_MAX)
        return false;
    char *room = mem_alloc((size_t)n + 1);
    bool good = lws_hdr_copy(wsi, room, n + 1, WSI_TOKEN_HTTP_AUTHORIZATION) == n &&
                str_eq_nocase(str_mk(room, SCHEME), str_mk(scheme, SCHEME));
    if (good)
        *token = str_mk(mem_dup(room + SCHEME, (size_t)n - SCHEME), (size_t)n - SCHEME);
    mem_free(room);
    return good;
}

/* Browsers name the page's origin; no page has business here. */
int ws_conn_admit(struct ws *w, struct lws *wsi) {
    struct str token;
    (void)w;
    if (lws_hdr_total_length(wsi, WSI_TOKEN_PROTOCOL) <= 0 ||
        lws_hdr_total_length(wsi, WSI_TOKEN_ORIGIN) > 0 || !take_token(wsi, &token))
        return -1;
    conn_new(wsi)->token = token;
    return 0;
}

void ws_conn_open(struct ws *w, struct lws *wsi, struct ws_dial *d) {
    struct ws_conn *c = d ? conn_new(wsi) : lws_get_opaque_user_data(wsi);
    c->id = ++w->last_id;
    c->dial = d;
    c->open = true;
    map_put(&w->conns, id_key(&c->id), c);
    struct str token = c->token;
    c->token = STR_NONE;
    tell(w, c, WS_OPEN, token);
}

void ws_conn_free(struct ws_conn *c) {
    lws_set_opaque_user_data(c->wsi, NULL);
    for (struct list *link; (link = list_pop(&c->tx));)
        ws_order_free((struct ws_order *)(void *)list_entry(link, struct mail, link));
    out_fini(&c->rx);
    mem_free((void *)(uintptr_t)c->token.p);
    mem_free(c->reason);
    mem_free(c);
}

void ws_conn_closed(struct ws *w, struct ws_conn *c) {
    tell(w, c, WS_CLOSED, STR_NONE);
    map_del(&w->conns, id_key(&c->id));
    ws_conn_free(c);
}

/* ---- receiving ---- */

int ws_conn_receive(struct ws *w, struct ws_conn *c, const char *p, size_t n) {
    if (c->closing)
        return 0;
    if (!lws_frame_is_binary(c->wsi)) {
        log_warn("ws", "closed: a text message on %s", WIRE_PROTOCOL);
        return -1;
    }
    out_bytes(&c->rx, p, n);
    if (c->rx.over) {
        log_warn("ws", "closed: a message of more than %d bytes", WIRE_MESSAGE_MAX);
        return -1;
    }
    if (!lws_is_final_fragment(c->wsi) || lws_remaining_packet_payload(c->wsi) > 0)
        return 0;
    struct str message = out_done(&c->rx);
    c->rx = out_heap(1 + WIRE_MESSAGE_MAX);
    if (tell(w, c, WS_MESSAGE, message) & MAILBOX_FULL && !c->paused) {
        c->paused = true;
        lws_rx_flow_control(c->wsi, 0);
    }
    return 0;
}

void ws_conn_resume(struct ws *w) {
    for (struct map_slot *s = NULL; (s = map_next(&w->conns, s));) {
        struct ws_conn *c = s->value;
        if (c->paused) {
            c->paused = false;
            lws_rx_flow_control(c->wsi, 1);
        }
    }
}

/* ---- sending ---- */

void ws_conn_send(struct ws *w, struct ws_order *o) {
    struct ws_conn *c = map_get(&w->conns, id_key(&o->number));
    if (!c || c->closing) {
        ws_order_free(o);
        return;
    }
    list_append(&c->tx, &o->mail.link);
    lws_callback_on_writable(c->wsi);
}

/* One frame of the oldest message. */
static int write_frame(struct ws_conn *c) {
    struct ws_order *o = (struct ws_order *)(void *)list_entry(c->tx.next, struct mail, link);
    size_t n = size_min(o->n - o->at, WIRE_FRAME_MAX);
    int flags = lws_write_ws_flags(LWS_WRITE_BINARY, o->at == 0, o->at + n == o->n);
    /* The header goes in front of the bytes, over LWS_PRE or over what has already left. */
    unsigned char *from = (unsigned char *)o->room + LWS_PRE + o->at;
    if (lws_write(c->wsi, from, n, (enum lws_write_protocol)flags) < (int)n)
        return -1;
    o->at += n;
    if (o->at == o->n) {
        c->sent += o->n;
        list_del(&o->mail.link);
        ws_order_free(o);
    }
    return 0;
}

int ws_conn_writable(struct ws *w, struct ws_conn *c) {
    if (c->closing) {
        lws_close_reason(c->wsi, LWS_CLOSE_STATUS_POLICY_VIOLATION, (unsigned char *)c->reason,
                         strlen(c->reason));
        return -1;
    }
    for (int i = 0; i < WRITES_A_TURN && !list_empty(&c->tx); i++) {
        if (i > 0 && lws_send_pipe_choked(c->wsi))
            break;
        if (write_frame(c) != 0)
            return -1;
    }
    if (c->sent > 0)
        tell(w, c, WS_SENT, STR_NONE);
    if (!list_empty(&c->tx))
        lws_callback_on_writable(c->wsi);
    return 0;
}

/* With a reason it is said first, without one it is over at once. */
void ws_conn_close(struct ws *w, struct ws_order *o) {
    struct ws_conn *c = map_get(&w->conns, id_key(&o->number));
    if (!c || c->closing)
        return;
    if (!o->room) {
        lws_set_timeout(c->wsi, PENDING_TIMEOUT_CLOSE_SEND, LWS_TO_KILL_ASYNC);
        return;
    }
    c->closing = true;
    c->reason = o->room;
    o->room = NULL;
    lws_set_timeout(c->wsi, PENDING_TIMEOUT_CLOSE_SEND, CLOSE_WITHIN_S);
    lws_callback_on_writable(c->wsi);
}
