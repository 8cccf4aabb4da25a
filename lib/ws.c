/* SPDX-License-Identifier: Apache-2.0
 *
 * ws: everything between "owner's thread" and the end of the file runs on the private thread.
 */
#include "lib/ws.h"

#include "lib/hash.h"
#include "lib/log.h"
#include "lib/map.h"
#include "lib/mem.h"
#include "lib/wire.h"
#include "lib/ws_address.h"

#include <libwebsockets.h>
#include <stdatomic.h>
#include <unistd.h>

enum {
    INBOX_LIMIT = 8 << 20, /* bytes for the owner, then reading stops */
    EVENT_COST = 256,      /* of an event without its bytes */
    WRITES_A_TURN = 64,    /* frames of one connection before another gets its turn */
    RETRY_MIN_MS = 200,
    RETRY_FIRST_MS = 500, /* upper end of the first wait; it doubles */
    RETRY_MAX_MS = 5000,
    CONNECT_TIMEOUT_S = 10,
    CONNECTIONS_MAX = 4096, /* descriptors of one context */
    READ_SIZE = 32 << 10,
};

/* A ping when nothing was heard for 10 s, the end after 25. */
static const lws_retry_bo_t liveness = {.secs_since_valid_ping = 10, .secs_since_valid_hangup = 25};

/* What the owner wants: a message to send, or a connection to close. */
struct order {
    struct mail mail; /* first */
    uint64_t conn;
    bool close;
    char *room;   /* LWS_PRE bytes, then the message */
    size_t n, at; /* bytes of the message, sent */
};

struct conn {
    uint64_t id;
    struct lws *wsi;
    size_t peer;
    struct out rx;  /* message that is being received */
    struct list tx; /* orders */
    size_t sent;    /* cost of what has left, not told yet */
    bool paused;
};

struct dial { /* one address of a dialler */
    lws_sorted_usec_list_t retry;
    struct ws *ws;
    size_t peer;
    struct ws_address to;
    uint32_t wait_ms; /* upper end of the next wait */
    bool waiting, failing, open;
};

struct ws {
    struct lws_context *context;
    struct lws_protocols protocols[2];
    pthread_t thread;
    atomic_bool stop;
    struct mailbox orders, events;
    int fd;
    /* private thread */
    struct map conns; /* bytes of conn.id → struct conn */
    uint64_t last_id;
    struct prng prng;
    struct dial *dials;
    size_t n_dials;
};

/* ---- owner's thread ---- */

int ws_fd(const struct ws *w) { return w->fd; }
void ws_again(struct ws *w) { wakeup_ring(w->fd); }

struct ws_event *ws_next(struct ws *w) {
    bool resume = false;
    struct mail *mail = mailbox_take(&w->events, &resume);
    if (!mail) {
        wakeup_clear(w->fd);
        mail = mailbox_take(&w->events, &resume);
    }
    if (resume)
        lws_cancel_service(w->context);
    return (struct ws_event *)(void *)mail;
}

void ws_event_free(struct ws_event *e) {
    if (e)
        mem_free((void *)(uintptr_t)e->bytes.p);
    mem_free(e);
}

struct out ws_message(void) {
    struct out o = out_heap(LWS_PRE + 1 + WIRE_MESSAGE_MAX);
    out_take(&o, LWS_PRE);
    return o;
}

static void order_free(struct order *o) {
    mem_free(o->room);
    mem_free(o);
}

static void give_order(struct ws *w, struct order *o) {
    o->mail.cost = sizeof(*o) + o->n;
    if (mailbox_put(&w->orders, &o->mail) & MAILBOX_WAS_EMPTY)
        lws_cancel_service(w->context);
}

size_t ws_send(struct ws *w, uint64_t conn, struct out *message) {
    must(!message->over && message->n > LWS_PRE);
    struct order *o = mem_zalloc(sizeof(*o));
    o->conn = conn;
    o->room = message->p;
    o->n = message->n - LWS_PRE;
    *message = (struct out){0};
    size_t cost = o->n;
    give_order(w, o);
    return cost;
}

void ws_close(struct ws *w, uint64_t conn) {
    struct order *o = mem_zalloc(sizeof(*o));
    o->conn = conn;
    o->close = true;
    give_order(w, o);
}

/* ---- events ---- */

static unsigned tell(struct ws *w, struct conn *c, enum ws_event_type type, struct str bytes) {
    struct ws_event *e = mem_zalloc(sizeof(*e));
    e->type = type;
    e->conn = c->id;
    e->peer = c->peer;
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

/* ---- connections ---- */

static struct str id_key(const uint64_t *id) { return str_mk((const char *)id, sizeof(*id)); }

static void conn_open(struct ws *w, struct lws *wsi, size_t peer) {
    struct conn *c = mem_zalloc(sizeof(*c));
    c->id = ++w->last_id;
    c->wsi = wsi;
    c->peer = peer;
    c->rx = out_heap(1 + WIRE_MESSAGE_MAX);
    list_init(&c->tx);
    map_put(&w->conns, id_key(&c->id), c);
    lws_set_opaque_user_data(wsi, c);
    tell(w, c, WS_OPEN, STR_NONE);
}

static void conn_closed(struct ws *w, struct conn *c) {
    tell(w, c, WS_CLOSED, STR_NONE);
    map_del(&w->conns, id_key(&c->id));
    for (struct list *link; (link = list_pop(&c->tx));)
        order_free((struct order *)(void *)list_entry(link, struct mail, link));
    out_fini(&c->rx);
    mem_free(c);
}

static int conn_receive(struct ws *w, struct conn *c, const char *p, size_t n) {
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

/* One frame of the oldest message. */
static int write_frame(struct conn *c) {
    struct order *o = (struct order *)(void *)list_entry(c->tx.next, struct mail, link);
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
        order_free(o);
    }
    return 0;
}

static int conn_writable(struct ws *w, struct conn *c) {
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

/* ---- orders ---- */

static void take_orders(struct ws *w) {
    bool resume;
    for (struct mail *mail; (mail = mailbox_take(&w->orders, &resume));) {
        struct order *o = (struct order *)(void *)mail;
        struct conn *c = map_get(&w->conns, id_key(&o->conn));
        if (!c) {
            order_free(o);
        } else if (o->close) {
            lws_set_timeout(c->wsi, PENDING_TIMEOUT_CLOSE_SEND, LWS_TO_KILL_ASYNC);
            order_free(o);
        } else {
            list_append(&c->tx, &o->mail.link);
            lws_callback_on_writable(c->wsi);
        }
    }
}

static void resume_reading(struct ws *w) {
    for (struct map_slot *s = NULL; (s = map_next(&w->conns, s));) {
        struct conn *c = s->value;
        if (c->paused) {
            c->paused = false;
            lws_rx_flow_control(c->wsi, 1);
        }
    }
}

/* ---- dialling ---- */

static void dial_now(lws_sorted_usec_list_t *sul);

static void dial_later(struct dial *d) {
    uint32_t wait = RETRY_MIN_MS + prng_below(&d->ws->prng, d->wait_ms - RETRY_MIN_MS + 1);
    d->wait_ms = (uint32_t)size_min(d->wait_ms * 2, RETRY_MAX_MS);
    d->waiting = true;
    lws_sul_schedule(d->ws->context, 0, &d->retry, dial_now, (lws_usec_t)wait * 1000);
}

static void dial_failed(struct dial *d, const char *text) {
    if (d->waiting)
        return; /* one failure may be told twice */
    if (!d->failing)
        log_warn("link", "cannot connect, trying again address=%s:%u error=%s", d->to.host,
                 d->to.port, text ? text : "unknown");
    d->failing = true;
    dial_later(d);
}

static void dial_now(lws_sorted_usec_list_t *sul) {
    struct dial *d = container_of(sul, struct dial, retry);
    struct lws_client_connect_info i = {
        .context = d->ws->context,
        .address = d->to.host,
        .host = d->to.host,
        .port = d->to.port,
        .path = "/",
        .protocol = WIRE_PROTOCOL,
        .local_protocol_name = WIRE_PROTOCOL,
        .ietf_version_or_minus_one = -1,
        .userdata = d,
        .retry_and_idle_policy = &liveness,
    };
    d->waiting = false;
    if (!lws_client_connect_via_info(&i))
        dial_failed(d, "no connection was started");
}

/* ---- libwebsockets ---- */

/* Whether a client may speak to us at all. Browsers name the page's origin; no page has business
 * here. TLS: the proxy's token is checked from here on too. */
static int admit(struct lws *wsi) {
    return lws_hdr_total_length(wsi, WSI_TOKEN_PROTOCOL) > 0 &&
                   lws_hdr_total_length(wsi, WSI_TOKEN_ORIGIN) == 0
               ? 0
               : -1;
}

static void client_open(struct ws *w, struct lws *wsi, struct dial *d) {
    d->wait_ms = RETRY_FIRST_MS;
    d->failing = false;
    d->open = true;
    conn_open(w, wsi, d->peer);
}

static void client_closed(struct ws *w, struct conn *c) {
    struct dial *d = &w->dials[c->peer];
    conn_closed(w, c);
    d->open = false;
    if (!atomic_load(&w->stop))
        dial_later(d);
}

/* The last word about a connection of ours. One that ends inside the handshake may have neither
 * failed nor closed before. */
static void dial_ended(struct ws *w, struct dial *d) {
    if (!atomic_load(&w->stop) && !d->open)
        dial_failed(d, "the connection ended before it was open");
}

static int callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                    size_t n) {
    struct ws *w = lws_context_user(lws_get_context(wsi));
    struct conn *c = lws_get_opaque_user_data(wsi); /* NULL until it is open */
    switch ((int)reason) {
    case LWS_CALLBACK_EVENT_WAIT_CANCELLED:
        take_orders(w);
        resume_reading(w);
        return 0;
    case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
        return admit(wsi);
    case LWS_CALLBACK_ESTABLISHED:
        conn_open(w, wsi, 0);
        return 0;
    case LWS_CALLBACK_CLIENT_ESTABLISHED:
        client_open(w, wsi, user); /* what dial_now gave */
        return 0;
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
        if (!atomic_load(&w->stop))
            dial_failed(user, in);
        return 0;
    case LWS_CALLBACK_RECEIVE:
    case LWS_CALLBACK_CLIENT_RECEIVE:
        return conn_receive(w, c, in, n);
    case LWS_CALLBACK_SERVER_WRITEABLE:
    case LWS_CALLBACK_CLIENT_WRITEABLE:
        return conn_writable(w, c);
    case LWS_CALLBACK_CLOSED:
        if (c) /* one that was not admitted is closed too */
            conn_closed(w, c);
        return 0;
    case LWS_CALLBACK_CLIENT_CLOSED:
        if (c)
            client_closed(w, c);
        return 0;
    case LWS_CALLBACK_WSI_DESTROY:
        if (user && w->n_dials > 0)
            dial_ended(w, user);
        return 0;
    default:
        return lws_callback_http_dummy(wsi, reason, user, in, n);
    }
}

static void *run(void *arg) {
    struct ws *w = arg;
    for (size_t i = 0; i < w->n_dials; i++)
        dial_now(&w->dials[i].retry);
    while (!atomic_load(&w->stop) && lws_service(w->context, 0) >= 0)
        ;
    return NULL;
}

/* ---- owner's thread: the beginning and the end ---- */

static __thread char last_error[160]; /* what libwebsockets said last on this thread */

static void on_log(int level, const char *line) {
    struct str s = str_of(line);
    while (s.n > 0 && s.p[s.n - 1] == '\n')
        s.n--;
    struct out o = out_fixed(last_error, sizeof(last_error) - 1);
    out_bytes(&o, s.p, size_min(s.n, o.cap));
    last_error[o.n] = 0;
    log_debug("lws", "%s%.*s", level == LLL_ERR ? "error: " : "", STR_FMT(s));
}

static void log_once(void) { lws_set_log_level(LLL_ERR | LLL_WARN, on_log); }

static struct ws *start(struct ws *w, struct lws_context_creation_info *info, struct why *why) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, log_once);
    w->protocols[0] = (struct lws_protocols){
        .name = WIRE_PROTOCOL, .callback = callback, .rx_buffer_size = READ_SIZE};
    info->protocols = w->protocols;
    info->user = w;
    info->fd_limit_per_thread = CONNECTIONS_MAX;
    info->pt_serv_buf_size = READ_SIZE;
    info->timeout_secs = CONNECT_TIMEOUT_S;
    info->retry_and_idle_policy = &liveness;
    info->http_proxy_address = ""; /* or the environment's would be used, for loopback too */
    info->options |= LWS_SERVER_OPTION_FAIL_UPON_UNABLE_TO_BIND;
    prng_init(&w->prng);
    map_init(&w->conns);
    mailbox_init(&w->orders, SIZE_MAX);
    mailbox_init(&w->events, INBOX_LIMIT);
    w->fd = wakeup_new();
    last_error[0] = 0;
    w->context = lws_create_context(info);
    if (!w->context) {
        why_text(why, "libwebsockets does not start: %s", last_error);
        ws_free(w);
        return NULL;
    }
    thread_start(&w->thread, "link", run, w);
    return w;
}

struct ws *ws_listen(const char *address, struct why *why) {
    struct ws_address at;
    if (ws_address_parse(str_of(address), &at, why) != 0)
        return NULL;
    int error = ws_address_free(&at);
    if (error) {
        why_text(why, "cannot listen on %s: %s", address, strerror(error));
        return NULL;
    }
    struct lws_context_creation_info info = {
        .iface = at.host, .port = at.port, .options = at.v6 ? 0 : LWS_SERVER_OPTION_DISABLE_IPV6};
    return start(mem_zalloc(sizeof(struct ws)), &info, why);
}

struct ws *ws_dial(const char *const *urls, size_t n, struct why *why) {
    struct ws *w = mem_zalloc(sizeof(*w));
    w->dials = mem_array(n, sizeof(*w->dials));
    w->n_dials = n;
    for (size_t i = 0; i < n; i++) {
        w->dials[i].ws = w;
        w->dials[i].peer = i;
        w->dials[i].wait_ms = RETRY_FIRST_MS;
        if (ws_url_parse(str_of(urls[i]), &w->dials[i].to, why) != 0) {
            mem_free(w->dials);
            mem_free(w);
            return NULL;
        }
    }
    struct lws_context_creation_info info = {.port = CONTEXT_PORT_NO_LISTEN};
    return start(w, &info, why);
}

uint16_t ws_port(const struct ws *w) {
    return (uint16_t)lws_get_vhost_listen_port(lws_get_vhost_by_name(w->context, "default"));
}

void ws_free(struct ws *w) {
    if (!w)
        return;
    bool resume;
    if (w->context) {
        atomic_store(&w->stop, true);
        lws_cancel_service(w->context);
        pthread_join(w->thread, NULL);
        lws_context_destroy(w->context); /* here, or lws_cancel_service might meet the end */
    }
    for (struct mail *mail; (mail = mailbox_take(&w->orders, &resume));)
        order_free((struct order *)(void *)mail);
    for (struct mail *mail; (mail = mailbox_take(&w->events, &resume));)
        ws_event_free((struct ws_event *)(void *)mail);
    mailbox_fini(&w->orders);
    mailbox_fini(&w->events);
    map_fini(&w->conns);
    close(w->fd);
    mem_free(w->dials);
    mem_free(w);
}
