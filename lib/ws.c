/* SPDX-License-Identifier: Apache-2.0
 *
 * ws: the owner's side, and how the two threads meet. What libwebsockets calls is in ws_conn.c and
 * ws_dial.c.
 */
#include "lib/ws.h"

#include "lib/log.h"
#include "lib/mem.h"
#include "lib/wire.h"
#include "lib/ws_room.h"

#include <time.h>
#include <unistd.h>

enum {
    INBOX_LIMIT = 8 << 20,  /* bytes for the owner, then reading stops */
    CONNECTIONS_MAX = 4096, /* descriptors of one context */
    READ_SIZE = 32 << 10,
    HEAD_MAX = WS_TOKEN_MAX + (4 << 10), /* bytes of a request */
};

const lws_retry_bo_t ws_liveness = {.secs_since_valid_ping = 10, .secs_since_valid_hangup = 25};

uint64_t ws_now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- owner's thread: events ---- */

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

/* ---- owner's thread: orders ---- */

static struct ws_order *order_new(enum order_type type, uint64_t number) {
    struct ws_order *o = mem_zalloc(sizeof(*o));
    o->type = type;
    o->number = number;
    return o;
}

void ws_order_free(struct ws_order *o) {
    mem_free(o->room);
    mem_free(o->dial);
    ws_leaf_free(o->leaf);
    X509_STORE_free(o->store);
    mem_free(o);
}

static void give_order(struct ws *w, struct ws_order *o) {
    o->mail.cost = sizeof(*o) + o->n;
    if (mailbox_put(&w->orders, &o->mail) & MAILBOX_WAS_EMPTY)
        lws_cancel_service(w->context);
}

struct out ws_message(void) {
    struct out o = out_heap(LWS_PRE + 1 + WIRE_MESSAGE_MAX);
    out_take(&o, LWS_PRE);
    return o;
}

size_t ws_send(struct ws *w, uint64_t conn, struct out *message) {
    must(!message->over && message->n > LWS_PRE);
    struct ws_order *o = order_new(ORDER_SEND, conn);
    o->room = message->p;
    o->n = message->n - LWS_PRE;
    *message = (struct out){0};
    size_t cost = o->n;
    give_order(w, o);
    return cost;
}

void ws_close(struct ws *w, uint64_t conn, const char *reason) {
    struct ws_order *o = order_new(ORDER_CLOSE, conn);
    if (reason)
        o->room = mem_dup(reason, size_min(strlen(reason), WS_REASON_MAX));
    give_order(w, o);
}

int ws_identify(struct ws *w, const struct ws_identity *id, struct why *why) {
    struct ws_leaf *leaf = ws_leaf_new(id->cert, id->key, why);
    if (!leaf)
        return -1;
    struct ws_order *o = order_new(ORDER_IDENTIFY, 0);
    o->leaf = leaf;
    give_order(w, o);
    return 0;
}

int ws_trust(struct ws *w, struct str pem, struct why *why) {
    X509_STORE *store = ws_store_new(pem, why);
    if (!store)
        return -1;
    struct ws_order *o = order_new(ORDER_TRUST, 0);
    o->store = store;
    give_order(w, o);
    return 0;
}

void ws_show(struct ws *w, struct str token) {
    struct ws_order *o = order_new(ORDER_SHOW, 0);
    if (token.n > 0)
        o->room = str_dup(token);
    give_order(w, o);
}

uint64_t ws_dial(struct ws *w, const struct ws_target *to) {
    must(w->dials);
    struct ws_order *o = order_new(ORDER_DIAL, ++w->last_target);
    o->dial = mem_zalloc(sizeof(*o->dial));
    o->dial->number = o->number;
    o->dial->to = *to;
    give_order(w, o);
    return w->last_target;
}

void ws_undial(struct ws *w, uint64_t target) { give_order(w, order_new(ORDER_UNDIAL, target)); }

/* ---- private thread ---- */

/* Handshakes from now on; each SSL has its own copy. */
static void use_leaf(struct ws *w, struct ws_order *o) {
    ws_tls_use_leaf(w->listening, o->leaf);
    log_info("link", "the listener's certificate was changed");
}

static void use_store(struct ws *w, struct ws_order *o) {
    SSL_CTX_set_cert_store(w->dialling, o->store);
    o->store = NULL;
    w->trusts = true;
}

static void take_order(struct ws *w, struct ws_order *o) {
    switch (o->type) {
    case ORDER_SEND:
        ws_conn_send(w, o);
        return;
    case ORDER_CLOSE:
        ws_conn_close(w, o);
        break;
    case ORDER_IDENTIFY:
        use_leaf(w, o);
        break;
    case ORDER_TRUST:
        use_store(w, o);
        break;
    case ORDER_SHOW:
        mem_free(w->token);
        w->token = o->room;
        o->room = NULL;
        break;
    case ORDER_DIAL:
        ws_dial_add(w, o->dial);
        o->dial = NULL;
        break;
    case ORDER_UNDIAL:
        ws_dial_drop(w, o->number);
        break;
    }
    ws_order_free(o);
}

static void take_orders(struct ws *w) {
    bool resume;
    for (struct mail *mail; (mail = mailbox_take(&w->orders, &resume));)
        take_order(w, (struct ws_order *)(void *)mail);
}

/* in: two bytes of code, then the reason. */
static void told_why(struct ws_conn *c, const char *in, size_t n) {
    if (c && n > 2)
        log_warn("link", "the other end closes: %.*s address=%s", (int)(n - 2), in + 2,
                 c->dial ? c->dial->to.at.host : "-");
}

static void tls_begins(struct ws *w, SSL_CTX *ctx) {
    w->listening = ctx;
    ws_tls_strict(ctx);
    ws_tls_use_leaf(ctx, w->leaf);
}

static int callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                    size_t n) {
    struct ws *w = lws_context_user(lws_get_context(wsi));
    struct ws_conn *c; /* NULL until it is admitted (a listener's) or open (a dialler's) */
    switch ((int)reason) {
    case LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS: /* of no connection */
        tls_begins(w, user);
        return 0;
    case LWS_CALLBACK_EVENT_WAIT_CANCELLED:
        take_orders(w);
        ws_conn_resume(w);
        return 0;
    case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
        return ws_conn_admit(w, wsi);
    case LWS_CALLBACK_ESTABLISHED:
        ws_conn_open(w, wsi, NULL);
        return 0;
    case LWS_CALLBACK_OPENSSL_PERFORM_SERVER_CERT_VERIFICATION:
        ws_dial_verified(lws_wsi_user(wsi), user, n != 0);
        return 0;
    case LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER:
        return ws_dial_handshake(w, wsi, user, in, n);
    case LWS_CALLBACK_CLIENT_ESTABLISHED:
        ws_dial_opened(w, wsi, user); /* what dial_now gave */
        return 0;
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
        if (!atomic_load(&w->stop))
            ws_dial_failed(user, in);
        return 0;
    case LWS_CALLBACK_RECEIVE:
        return ws_conn_receive(w, lws_get_opaque_user_data(wsi), in, n);
    case LWS_CALLBACK_CLIENT_RECEIVE:
        ((struct ws_dial *)user)->heard = true;
        return ws_conn_receive(w, lws_get_opaque_user_data(wsi), in, n);
    case LWS_CALLBACK_SERVER_WRITEABLE:
    case LWS_CALLBACK_CLIENT_WRITEABLE:
        return ws_conn_writable(w, lws_get_opaque_user_data(wsi));
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        told_why(lws_get_opaque_user_data(wsi), in, n);
        return 0;
    case LWS_CALLBACK_CLOSED:
    case LWS_CALLBACK_CLIENT_CLOSED:
        c = lws_get_opaque_user_data(wsi);
        if (c && c->dial)
            ws_dial_closed(w, c);
        else if (c && c->open) /* one that was not admitted is closed too */
            ws_conn_closed(w, c);
        return 0;
    case LWS_CALLBACK_WSI_DESTROY:
        c = lws_get_opaque_user_data(wsi);
        if (c)
            ws_conn_free(c);
        if (user && w->dials)
            ws_dial_ended(w, user);
        return 0;
    default:
        return lws_callback_http_dummy(wsi, reason, user, in, n);
    }
}

static void *run(void *arg) {
    struct ws *w = arg;
    while (!atomic_load(&w->stop) && lws_service(w->context, 0) >= 0)
        ;
    return NULL;
}

/* ---- owner's thread: the beginning and the end ---- */

static __thread char last_error[160]; /* what libwebsockets said last on this thread */

/* Errors only: the library writes what it says into one buffer of all threads. */
static void on_log(int level, const char *line) {
    (void)level;
    struct str s = str_of(line);
    while (s.n > 0 && s.p[s.n - 1] == '\n')
        s.n--;
    struct out o = out_fixed(last_error, sizeof(last_error) - 1);
    out_bytes(&o, s.p, size_min(s.n, o.cap));
    last_error[o.n] = 0;
    log_debug("lws", "%.*s", STR_FMT(s));
}

static void log_once(void) { lws_set_log_level(LLL_ERR, on_log); }

static struct ws *start(struct ws *w, struct lws_context_creation_info *info, struct why *why) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, log_once);
    w->protocols[0] = (struct lws_protocols){
        .name = WIRE_PROTOCOL, .callback = callback, .rx_buffer_size = READ_SIZE};
    info->protocols = w->protocols;
    info->user = w;
    info->fd_limit_per_thread = CONNECTIONS_MAX;
    info->max_http_header_data2 = HEAD_MAX;
    info->alpn = "http/1.1";
    info->pt_serv_buf_size = READ_SIZE;
    info->timeout_secs = CONNECT_TIMEOUT_S;
    info->retry_and_idle_policy = &ws_liveness;
    info->http_proxy_address = ":0"; /* none; or the environment's would be used, for loopback too */
    info->options |=
        LWS_SERVER_OPTION_FAIL_UPON_UNABLE_TO_BIND | LWS_SERVER_OPTION_DISABLE_OS_CA_CERTS;
    prng_init(&w->prng);
    map_init(&w->conns);
    list_init(&w->targets);
    mailbox_init(&w->orders, SIZE_MAX);
    mailbox_init(&w->events, INBOX_LIMIT);
    w->fd = wakeup_new();
    if (info->options & LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT)
        info->provided_client_ssl_ctx = w->dialling = ws_tls_dialler();
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

/* Whether this kernel has IPv6 at all: then one socket serves both families. */
static bool has_v6(void) {
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

struct ws *ws_listen(const char *address, const struct ws_identity *id, struct why *why) {
    struct ws_address at;
    if (ws_address_parse(str_of(address), id != NULL, &at, why) != 0)
        return NULL;
    int error = ws_address_free(&at);
    if (error) {
        why_text(why, "cannot listen on %s: %s", address, strerror(error));
        return NULL;
    }
    struct ws_leaf *leaf = id ? ws_leaf_new(id->cert, id->key, why) : NULL;
    if (id && !leaf)
        return NULL;
    struct lws_context_creation_info info = {.iface = at.host[0] ? at.host : NULL, .port = at.port};
    if (at.host[0] ? !at.v6 : !has_v6())
        info.options |= LWS_SERVER_OPTION_DISABLE_IPV6;
    if (id)
        info.options |=
            LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT | LWS_SERVER_OPTION_CREATE_VHOST_SSL_CTX;
    struct ws *w = mem_zalloc(sizeof(*w));
    w->leaf = leaf;
    return start(w, &info, why);
}

struct ws *ws_dialler(struct why *why) {
    struct ws *w = mem_zalloc(sizeof(*w));
    w->dials = true;
    struct lws_context_creation_info info = {.port = CONTEXT_PORT_NO_LISTEN,
                                             .options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT};
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
        ws_order_free((struct ws_order *)(void *)mail);
    for (struct mail *mail; (mail = mailbox_take(&w->events, &resume));)
        ws_event_free((struct ws_event *)(void *)mail);
    mailbox_fini(&w->orders);
    mailbox_fini(&w->events);
    map_fini(&w->conns);
    close(w->fd);
    ws_dial_all_free(w);
    SSL_CTX_free(w->dialling);
    ws_leaf_free(w->leaf);
    mem_free(w->token);
    mem_free(w);
}
