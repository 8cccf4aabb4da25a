/* SPDX-License-Identifier: Apache-2.0
 *
 * peer: one proxy, from its hello to its last ack.
 *
 *              hello               ack
 *     PEER_NEW ─────► PEER_TOLD ──────────► PEER_SYNCED ⟲ ack
 *        ▲            differing buckets     what changed since `base`
 *        └──────────── nack without a fault (digests differ), a fresh hello follows
 *
 * A nack with faults changes no state: the proxy has what it had. The next version is tried from
 * there.
 */
#include "controller/push/room.h"

#include "lib/log.h"
#include "lib/mem.h"

#include <stdio.h>

enum {
    WINDOW = 1 << 20, /* bytes on their way to one proxy */
    HELLO_WITHIN_MS = 10000,
    MISMATCH_WAIT_MS = 100, /* doubled with each one, from the second on */
    MISMATCH_WAIT_MAX_MS = 5000,
    NAME_MAX_BYTES = 253, /* of a pod */
    STASH_MAX = 64 << 10, /* bytes of one that is not admitted */
};

struct peer *peer_new(struct push *p, uint64_t conn, const char *address) {
    struct peer *r = mem_zalloc(sizeof(*r));
    r->push = p;
    r->conn = conn;
    r->name = mem_dup("", 0);
    r->address = str_dup(str_of(address));
    r->opened_at = push_now_ms();
    r->linked_ms = push_unix_ms();
    list_init(&r->asks);
    list_init(&r->stash);
    return r;
}

static void tx_end(struct peer *r) {
    wanted_batch_fini(&r->tx.batch);
    r->tx = (struct tx){0};
}

static void ask_end(struct peer *r, struct ask *a, bool complete) {
    uint64_t number = a->number;
    list_del(&a->link);
    mem_free(a);
    if (r->push->events.on_have_end)
        r->push->events.on_have_end(r->push->arg, r->conn, number, complete);
}

static void unstash(struct peer *r, struct stashed *s) {
    list_del(&s->link);
    r->stashed -= s->bytes.n;
    mem_free((void *)(uintptr_t)s->bytes.p);
    mem_free(s);
}

static struct stashed *stash_first(struct peer *r) {
    return list_empty(&r->stash) ? NULL : list_entry(r->stash.next, struct stashed, link);
}

void peer_free(struct peer *r) {
    while (!list_empty(&r->asks))
        ask_end(r, list_entry(r->asks.next, struct ask, link), false);
    for (struct stashed *s; (s = stash_first(r));)
        unstash(r, s);
    tx_end(r);
    mem_free(r->pod);
    mem_free(r->name);
    mem_free(r->address);
    mem_free(r);
}

bool peer_current(const struct peer *r) {
    return r->base != 0 && r->base == r->push->wanted.version;
}

uint64_t peer_floor(const struct peer *r) {
    if (r->state == PEER_SYNCED && r->follows)
        return r->base;
    return r->tx.number ? r->tx.version : UINT64_MAX;
}

struct push_proxy peer_view(const struct peer *r) {
    return (struct push_proxy){
        .id = r->conn,
        .name = r->name,
        .address = r->address,
        .version = r->version,
        .follows = r->follows,
        .ready = r->ready,
        .current = peer_current(r),
        .behind = r->behind,
        .revision = r->revision,
        .linked_ms = r->linked_ms,
        .acked_ms = r->acked_ms,
        .waits_ms =
            r->waiting_since != 0 && !peer_current(r) ? push_now_ms() - r->waiting_since : 0,
        .pending = r->tx.batch.n - r->tx.at,
        .in_flight = r->tx.number != 0,
        .connections = r->report.connections,
        .active_requests = r->report.active_requests,
        .requests_total = r->report.requests_total,
        .memory_bytes = r->report.memory_bytes,
        .requests_milli = r->report.requests_milli,
        .gateway_p99_us = r->report.gateway_p99_us,
        .reported_ms = r->reported_ms,
        .nack = r->nack,
        .nacked_ms = r->nacked_ms,
    };
}

/* ---- sending ---- */

static void give(struct peer *r, struct out *message) {
    size_t n = ws_send(r->push->ws, r->conn, message);
    r->window += n;
    r->push->sent_bytes += n;
}

static void send(struct peer *r, enum wire_type type, const void *value) {
    struct out o = ws_message();
    wire_encode(type, value, &o);
    give(r, &o);
}

void peer_fleet(struct peer *r) {
    const struct out *fleet = &r->push->fleet;
    if (!r->follows || fleet->n == 0)
        return;
    struct out o = ws_message();
    out_str(&o, out_done(fleet));
    give(r, &o);
}

void peer_standing(struct peer *r) {
    send(r, WIRE_standing, &(struct wire_standing){.blind = r->push->blind});
}

void peer_shares(struct peer *r, const struct wire_shares *s) { send(r, WIRE_shares, s); }

void peer_watch(struct peer *r, const struct wire_watch *w) { send(r, WIRE_watch, w); }

/* Sends the names of a set in as many messages as they need. */
static void send_holds(struct peer *r) {
    const struct wire_ids *held = &r->push->wanted.held;
    struct str *ids = mem_array(held->map.n, sizeof(*ids));
    struct wire_hold m = {.ids = ids};
    size_t bytes = 0;
    for (struct map_slot *s = NULL; (s = map_next(&held->map, s));) {
        ids[m.n_ids++] = s->key;
        bytes += s->key.n;
        if (bytes < WIRE_BATCH)
            continue;
        send(r, WIRE_hold, &m);
        m.n_ids = 0;
        bytes = 0;
    }
    if (m.n_ids > 0)
        send(r, WIRE_hold, &m);
    mem_free(ids);
}

static void send_object(struct peer *r, const struct object *o) {
    if (o->kind == TOMBSTONE)
        send(r, WIRE_del, &(struct wire_del){.id = object_id(o)});
    else
        send(r, WIRE_put,
             &(struct wire_put){.kind = o->kind, .id = object_id(o), .bytes = object_bytes(o)});
}

static void tx_feed(struct peer *r) {
    struct tx *tx = &r->tx;
    while (tx->at < tx->batch.n && r->window < WINDOW)
        send_object(r, tx->batch.objects[tx->at++]);
    if (tx->at < tx->batch.n || tx->committed)
        return;
    send(r, WIRE_commit, &(struct wire_commit){.tx = tx->number, .digest = tx->total});
    tx->committed = true;
    wanted_batch_fini(&tx->batch);
    tx->at = 0;
}

static void tx_begin(struct peer *r, struct str buckets) {
    struct push *p = r->push;
    r->tx.number = ++p->last_tx;
    r->tx.version = p->wanted.version;
    r->tx.total = wanted_total(&p->wanted);
    send(r, WIRE_begin, &(struct wire_begin){.tx = r->tx.number, .buckets = buckets});
    send_holds(r);
    tx_feed(r);
}

/* Which buckets differ from what the proxy says that it has. After two vain tries: all. */
static bool differing(const struct peer *r, char room[WIRE_BUCKETS_BYTES]) {
    bool any = false;
    memset(room, 0, WIRE_BUCKETS_BYTES);
    for (unsigned i = 0; i < MODEL_BUCKETS; i++) {
        if (r->mismatches < 2 && r->has.bucket[i] == r->push->wanted.digest.bucket[i])
            continue;
        room[i / 8] = (char)(room[i / 8] | 1 << (i % 8));
        any = true;
    }
    return any;
}

static void start_from_hello(struct peer *r) {
    struct wanted *w = &r->push->wanted;
    char room[WIRE_BUCKETS_BYTES];
    bool any = differing(r, room);
    if (!any &&
        r->ready) { /* it has everything; one that has nothing learns that there is nothing */
        r->state = PEER_SYNCED;
        r->base = w->version;
        r->total = wanted_total(w);
        r->push->changed = true;
        return;
    }
    struct str buckets = any ? str_mk(room, sizeof(room)) : STR_NONE;
    wanted_buckets(w, buckets, &r->tx.batch);
    tx_begin(r, buckets);
}

static void start(struct peer *r) {
    struct wanted *w = &r->push->wanted;
    if (w->version == r->refused || push_now_ms() < r->not_before)
        return;
    if (r->state == PEER_TOLD) {
        start_from_hello(r);
    } else if (r->base != w->version) {
        wanted_since(w, r->base, &r->tx.batch);
        tx_begin(r, STR_NONE);
    }
}

void peer_pump(struct peer *r) {
    struct wanted *w = &r->push->wanted;
    if (w->version == 0 || r->state == PEER_NEW || r->closing)
        return;
    if (!r->follows) {
        uint64_t version = wanted_version_of(w, r->total);
        r->push->changed |= version != r->base;
        r->base = version;
    } else if (r->tx.number) {
        tx_feed(r);
    } else {
        start(r);
    }
    if (!peer_current(r) && r->waiting_since == 0)
        r->waiting_since = push_now_ms();
}

void peer_sent(struct peer *r, size_t cost) {
    r->window -= size_min(cost, r->window);
    peer_pump(r);
}

/* Whether it changed. */
static bool set_behind(struct peer *r, bool behind) {
    if (behind == r->behind)
        return false;
    r->behind = behind;
    log_warn("push", "proxy is %s proxy=%s address=%s", behind ? "behind" : "behind no more",
             r->name, r->address);
    return true;
}

/* What it has is another controller's, who hears while we do not: it is we who are behind. */
static bool is_ahead(const struct peer *r) { return !r->follows && r->push->deaf_since > 0; }

bool peer_tick(struct peer *r) {
    uint64_t now = push_now_ms();
    if (r->state == PEER_NEW && now - r->opened_at > HELLO_WITHIN_MS && !r->closing) {
        log_warn("push", "closed: no hello within %d s address=%s", HELLO_WITHIN_MS / 1000,
                 r->address);
        r->closing = true;
        ws_close(r->push->ws, r->conn, NULL);
    }
    peer_pump(r);
    if (peer_current(r) || is_ahead(r))
        r->waiting_since = 0;
    return set_behind(r, r->waiting_since != 0 && now - r->waiting_since >= r->push->behind_ms);
}

/* ---- receiving ---- */

static int on_hello(struct peer *r, const struct wire_hello *m, struct why *why) {
    struct digest has;
    if (m->name.n > NAME_MAX_BYTES || memchr(m->name.p ? m->name.p : "", 0, m->name.n))
        return why_text(why, "hello.name is not a name");
    if (r->pod && !str_eq(m->name, str_of(r->pod)))
        return why_text(why, "it calls itself %.*s, and its token is of pod %s", STR_FMT(m->name),
                        r->pod);
    if (wire_digest_unpack(m->digest, &has, why) != 0)
        return -1;
    mem_free(r->name);
    r->name = mem_dup(m->name.p, m->name.n);
    snprintf(r->version, sizeof(r->version), "%.*s", STR_FMT(m->version));
    r->greeted = true;
    tx_end(r);
    r->state = PEER_TOLD;
    r->has = has;
    r->base = 0;
    r->ready = m->ready;
    r->follows = m->follow;
    r->revision = r->total = m->revision;
    r->waiting_since = 0;
    r->push->changed = true;
    log_info("push", "hello proxy=%s address=%s revision=%016llx ready=%d follows=%d", r->name,
             r->address, (unsigned long long)m->revision, m->ready, m->follow);
    peer_fleet(r);
    if (r->push->blind)
        peer_standing(r);
    peer_pump(r);
    return 0;
}

static int on_ack(struct peer *r, const struct wire_ack *m, struct why *why) {
    if (r->follows) {
        if (r->tx.number == 0 || m->tx != r->tx.number)
            return 0; /* of a transaction that we have given up, or another controller's */
        if (!r->tx.committed || m->digest != r->tx.total)
            return why_text(why, "ack of transaction %llu with another digest",
                            (unsigned long long)m->tx);
        r->base = r->tx.version;
        r->state = PEER_SYNCED;
        tx_end(r);
    }
    r->total = m->digest;
    r->revision = m->revision;
    r->ready = true;
    r->refused = 0;
    r->mismatches = 0;
    r->nack[0] = 0;
    r->acked_ms = push_unix_ms();
    peer_pump(r);
    set_behind(r, false);
    r->waiting_since = peer_current(r) ? 0 : push_now_ms();
    r->push->changed = true;
    struct push_proxy view = peer_view(r);
    if (r->push->events.on_ack)
        r->push->events.on_ack(r->push->arg, &view);
    return 0;
}

static void mismatch(struct peer *r) {
    unsigned n = ++r->mismatches;
    uint64_t wait = n < 2 ? 0 : (uint64_t)MISMATCH_WAIT_MS << (n < 8 ? n : 8);
    r->not_before = push_now_ms() + (wait < MISMATCH_WAIT_MAX_MS ? wait : MISMATCH_WAIT_MAX_MS);
    r->opened_at = push_now_ms();
    r->state = PEER_NEW;
    r->base = 0;
    log_warn("push", "digests differ, sending it anew proxy=%s times=%u", r->name, n);
}

static void on_nack(struct peer *r, const struct wire_nack *m) {
    if (r->follows) {
        if (r->tx.number == 0 || m->tx != r->tx.number)
            return;
        if (m->n_faults > 0)
            r->refused = r->tx.version;
        else
            mismatch(r);
        tx_end(r);
    }
    r->nacked_ms = push_unix_ms();
    struct str id = m->n_faults > 0 ? m->faults[0].id : STR_NONE;
    struct str text = m->n_faults > 0 ? m->faults[0].reason : STR("the digests differ");
    snprintf(r->nack, sizeof(r->nack), "%.*s%s%.*s", STR_FMT(id), id.n ? ": " : "", STR_FMT(text));
    log_warn("push", "refused proxy=%s faults=%u first=%s", r->name, m->n_faults, r->nack);
    r->push->changed = true;
    if (!r->push->events.on_nack || m->n_faults == 0)
        return;
    struct push_fault *faults = mem_array(m->n_faults, sizeof(*faults));
    for (uint32_t i = 0; i < m->n_faults; i++)
        faults[i] = (struct push_fault){m->faults[i].id, m->faults[i].reason, m->faults[i].hash};
    struct push_proxy view = peer_view(r);
    r->push->events.on_nack(r->push->arg, &view, faults, m->n_faults);
    mem_free(faults);
}

static void on_report(struct peer *r, const struct wire_report *m) {
    if (m->n_unknown_keys > 0 && r->push->events.on_unknown_keys)
        r->push->events.on_unknown_keys(r->push->arg, m->unknown_keys, m->n_unknown_keys);
    r->report = *m;
    r->report.unknown_keys = NULL; /* the message's */
    r->report.n_unknown_keys = 0;
    r->reported_ms = push_unix_ms();
    r->push->changed = true;
}

static struct ask *ask_of(struct peer *r, uint64_t number) {
    list_each(link, &r->asks) {
        struct ask *a = list_entry(link, struct ask, link);
        if (a->number == number)
            return a;
    }
    return NULL;
}

static int on_have(struct peer *r, const struct wire_have *m, struct why *why) {
    struct ask *a = ask_of(r, m->ask);
    if (!a)
        return 0;
    for (uint32_t i = 0; i < m->n_objects; i++) {
        const struct wire_object *w = &m->objects[i];
        if (w->kind > UINT32_MAX)
            return why_text(why, "have.objects[%u].kind is out of range", i);
        struct object *o = object_from_bytes((uint32_t)w->kind, w->id, w->bytes, why);
        if (!o)
            return -1;
        if (r->push->events.on_have)
            r->push->events.on_have(r->push->arg, r->conn, m->ask, o);
        else
            object_drop(o);
    }
    if (m->last && --a->parts == 0)
        ask_end(r, a, true);
    return 0;
}

static int handle(struct peer *r, const struct wire_message *m, struct why *why) {
    if (!r->greeted && m->type != WIRE_hello && m->type != WIRE_UNKNOWN)
        return why_text(why, "the first message is not a hello");
    switch (m->type) {
    case WIRE_hello:
        return on_hello(r, &m->hello, why);
    case WIRE_ack:
        return on_ack(r, &m->ack, why);
    case WIRE_nack:
        on_nack(r, &m->nack);
        return 0;
    case WIRE_report:
        on_report(r, &m->report);
        return 0;
    case WIRE_demand:
        if (r->push->events.on_demand)
            r->push->events.on_demand(r->push->arg, r->conn, &m->demand);
        return 0;
    case WIRE_live:
        if (r->push->events.on_live)
            r->push->events.on_live(r->push->arg, r->conn, &m->live);
        return 0;
    case WIRE_have:
        return on_have(r, &m->have, why);
    case WIRE_token:
        if (r->push->secure && r->push->events.on_token)
            r->push->events.on_token(r->push->arg, r->conn, m->token.token, r->address);
        return 0;
    default:
        return 0; /* a newer proxy's, or one that only controllers send */
    }
}

int peer_message(struct peer *r, struct str bytes, struct why *why) {
    if (r->closing)
        return 0;
    struct arena a;
    struct wire_message m;
    arena_init(&a);
    int bad = wire_decode(bytes, &a, &m, why);
    if (bad == 0)
        bad = handle(r, &m, why);
    arena_fini(&a);
    r->closing = bad != 0;
    return bad;
}

/* ---- before it is admitted ---- */

/* Of reports and demands only the last one counts. */
static void forget_earlier(struct peer *r, char type) {
    list_each(link, &r->stash) {
        struct stashed *s = list_entry(link, struct stashed, link);
        if (s->bytes.p[0] != type)
            continue;
        unstash(r, s);
        return;
    }
}

int peer_stash(struct peer *r, struct str bytes, struct why *why) {
    if (bytes.n > 0 && (bytes.p[0] == WIRE_report || bytes.p[0] == WIRE_demand))
        forget_earlier(r, bytes.p[0]);
    if (bytes.n == 0 || r->stashed + bytes.n > STASH_MAX) {
        mem_free((void *)(uintptr_t)bytes.p);
        return why_text(why, "it says too much before it is admitted");
    }
    struct stashed *s = mem_zalloc(sizeof(*s));
    s->bytes = bytes;
    r->stashed += bytes.n;
    list_append(&r->stash, &s->link);
    return 0;
}

int peer_admit(struct peer *r, struct str pod, struct why *why) {
    int bad = 0;
    mem_free(r->pod);
    r->pod = pod.n > 0 ? str_dup(pod) : NULL;
    r->opened_at = push_now_ms();
    for (struct stashed *s; (s = stash_first(r));) {
        bad = bad ? bad : peer_message(r, s->bytes, why);
        unstash(r, s);
    }
    return bad;
}

/* ---- asking ---- */

void peer_get(struct peer *r, uint64_t number, const struct str *ids, size_t n) {
    struct ask *a = mem_zalloc(sizeof(*a));
    a->number = number;
    list_append(&r->asks, &a->link);
    struct wire_get m = {.ask = number, .ids = (struct str *)(uintptr_t)ids};
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++) {
        m.n_ids++;
        bytes += ids[i].n;
        if (bytes < WIRE_BATCH && i + 1 < n)
            continue;
        send(r, WIRE_get, &m);
        a->parts++;
        m.ids += m.n_ids;
        m.n_ids = 0;
        bytes = 0;
    }
}
