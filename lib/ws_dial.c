/* SPDX-License-Identifier: Apache-2.0
 *
 * ws_dial: the targets of a dialler, on the private thread.
 *
 *     add ──► attempt ──► open ──► closed ──┐
 *                ▲  └──────── failed ───────┤
 *                └── a random wait ◄────────┘     dropped: freed when its last wsi has ended
 */
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/wire.h"
#include "lib/ws_room.h"

enum {
    RETRY_MIN_MS = 200,
    RETRY_FIRST_MS = 500, /* upper end of the first wait; it doubles */
    RETRY_MAX_MS = 5000,
    LASTED_MS =
        10000, /* a link that lived so long, or on which something was said, was a good one */
};

static void dial_now(lws_sorted_usec_list_t *sul);

static struct ws_dial *dial_at(struct list *link) { return list_entry(link, struct ws_dial, link); }

static void dial_free(struct ws_dial *d) {
    list_del(&d->link);
    mem_free(d);
}

/* ---- when ---- */

static void dial_later(struct ws_dial *d) {
    uint32_t wait = RETRY_MIN_MS + prng_below(&d->ws->prng, d->wait_ms - RETRY_MIN_MS + 1);
    d->wait_ms = (uint32_t)size_min(d->wait_ms * 2, RETRY_MAX_MS);
    d->waiting = true;
    lws_sul_schedule(d->ws->context, 0, &d->retry, dial_now, (lws_usec_t)wait * 1000);
}

void ws_dial_failed(struct ws_dial *d, const char *text) {
    if (d->waiting || d->dropped)
        return; /* one failure may be told twice */
    if (!d->failing)
        log_warn("link", "cannot connect, trying again address=%s:%u error=%s", d->to.at.host,
                 d->to.at.port,
                 d->distrust ? d->distrust
                 : text      ? text
                             : "unknown");
    d->failing = true;
    dial_later(d);
}

static void dial_now(lws_sorted_usec_list_t *sul) {
    struct ws_dial *d = container_of(sul, struct ws_dial, retry);
    bool secure = d->to.name[0] != 0;
    struct lws_client_connect_info i = {
        .context = d->ws->context,
        .address = d->to.at.host,
        .host = secure ? d->to.name : d->to.at.host,
        .port = d->to.at.port,
        .ssl_connection = LCCSCF_HTTP_NO_FOLLOW_REDIRECT | (secure ? LCCSCF_USE_SSL : 0),
        .path = "/",
        .protocol = WIRE_PROTOCOL,
        .local_protocol_name = WIRE_PROTOCOL,
        .alpn = "http/1.1",
        .ietf_version_or_minus_one = -1,
        .userdata = d,
        .pwsi = &d->wsi,
        .retry_and_idle_policy = &ws_liveness,
    };
    d->waiting = false;
    d->distrust = NULL;
    if (secure && !d->ws->trusts)
        ws_dial_failed(d, "no CA is known yet");
    else if (!lws_client_connect_via_info(&i))
        ws_dial_failed(d, "no connection was started");
}

/* ---- life ---- */

void ws_dial_add(struct ws *w, struct ws_dial *d) {
    d->ws = w;
    d->wait_ms = RETRY_FIRST_MS;
    list_append(&w->targets, &d->link);
    dial_now(&d->retry);
}

void ws_dial_drop(struct ws *w, uint64_t number) {
    list_each_safe(link, &w->targets) {
        struct ws_dial *d = dial_at(link);
        if (d->number != number)
            continue;
        d->dropped = true;
        lws_sul_cancel(&d->retry);
        if (d->wsi)
            lws_set_timeout(d->wsi, PENDING_TIMEOUT_CLOSE_SEND, LWS_TO_KILL_ASYNC);
        else
            dial_free(d);
        return;
    }
}

void ws_dial_all_free(struct ws *w) {
    while (!list_empty(&w->targets))
        dial_free(dial_at(w->targets.next));
}

/* ---- what libwebsockets says ---- */

/* libwebsockets itself says only that there was an error. */
void ws_dial_verified(struct ws_dial *d, X509_STORE_CTX *x, bool good) {
    if (!good)
        d->distrust = X509_verify_cert_error_string(X509_STORE_CTX_get_error(x));
}

/* The request is being written: TLS is up, nothing was said yet. */
int ws_dial_handshake(struct ws *w, struct lws *wsi, struct ws_dial *d, unsigned char **at,
                      size_t room) {
    if (d->to.name[0] == 0)
        return 0;
    d->distrust = ws_tls_distrust(lws_get_ssl(wsi), d->to.name);
    if (d->distrust)
        return -1;
    if (!w->token)
        return 0;
    struct out value = out_heap(WS_TOKEN_MAX + 8);
    out_fmt(&value, "Bearer %s", w->token);
    int bad = lws_add_http_header_by_token(wsi, WSI_TOKEN_HTTP_AUTHORIZATION,
                                           (unsigned char *)value.p, (int)value.n, at, *at + room);
    out_fini(&value);
    return bad ? -1 : 0;
}

void ws_dial_opened(struct ws *w, struct lws *wsi, struct ws_dial *d) {
    d->failing = false;
    d->open = true;
    d->heard = false;
    d->opened_ms = ws_now_ms();
    ws_conn_open(w, wsi, d);
}

/* One that refuses us at once is not asked again at once. */
void ws_dial_closed(struct ws *w, struct ws_conn *c) {
    struct ws_dial *d = c->dial;
    ws_conn_closed(w, c);
    d->open = false;
    if (d->heard || ws_now_ms() - d->opened_ms >= LASTED_MS)
        d->wait_ms = RETRY_FIRST_MS;
    if (!atomic_load(&w->stop) && !d->dropped)
        dial_later(d);
}

/* One that ends inside the handshake may have neither failed nor closed before. */
void ws_dial_ended(struct ws *w, struct ws_dial *d) {
    d->wsi = NULL;
    if (atomic_load(&w->stop))
        return;
    if (d->dropped)
        dial_free(d);
    else if (!d->open)
        ws_dial_failed(d, "the connection ended before it was open");
}
