/* SPDX-License-Identifier: Apache-2.0
 *
 *     due ─► queue ─► start ─► on_document ─┬─► succeed ─┬─► rest: told, and due again
 *                       ▲                   ├─► fail ────┘
 *                       └── its jwks_uri ◄──┘ a discovery document
 */
#include "controller/fetch/keysets.h"

#include "controller/fetch/discovery.h"
#include "controller/fetch/fetch.h"
#include "lib/hash.h"
#include "lib/jwt_keys.h"
#include "lib/list.h"
#include "lib/log.h"
#include "lib/map.h"
#include "lib/mem.h"

#include <event2/event.h>
#include <time.h>

enum { STALE_PARTS = 8 }; /* of max_stale, to which times are rounded */

enum result { RESULT_GOOD, RESULT_BAD, RESULT_FAILED, RESULTS };

struct keysets {
    struct keysets_options o;
    struct event_base *base;
    struct fetcher *fetcher;
    struct map sources; /* key → struct source */
    struct list queue;  /* due, and waiting for their turn */
    unsigned n_running;
    bool pumping;
    uint64_t round; /* of keysets_want() */
    struct prng prng;
    uint64_t results[RESULTS];
};

struct source {
    struct keysets *k;
    struct arena a; /* of want */
    struct keyset_want want;
    uint64_t hash;        /* of want */
    uint64_t round;       /* the keysets_want() that had it last */
    struct keyset now;    /* document and discovery are ours */
    uint64_t read;        /* when the document came; seconds since 1970 */
    struct out discovery; /* of the fetch under way */
    struct event *due, *stale;
    struct list queue_link;
    struct fetch *fetch; /* NULL: none is under way */
    uint64_t asked_ms;   /* when the last one began */
    uint64_t due_ms;
    unsigned failures; /* in a row */
    uint32_t endpoint; /* the next one */
    uint64_t told;     /* hash of what was; 0: nothing */
};

static uint64_t now_ms(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void arm(struct event *ev, uint64_t ms) {
    struct timeval tv = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};
    evtimer_add(ev, &tv);
}

static void replace(struct str *to, struct str s) {
    mem_free((char *)(uintptr_t)to->p);
    *to = s.n > 0 ? str_mk(str_dup(s), s.n) : STR_NONE;
}

static uint64_t refresh_ms(const struct source *s) {
    return keyset_refresh_ms(&s->want, s->k->o.refresh_min_ms);
}
static uint64_t max_stale_ms(const struct source *s) {
    return keyset_max_stale_ms(&s->want, s->k->o.refresh_min_ms);
}

/* ---- telling ---- */

static uint64_t said_hash(const struct keyset *n) {
    uint64_t h = hash_mix(n->state + 1U, hash_content(n->document));
    h = hash_mix(hash_mix(h, hash_content(n->discovery)), hash_content(str_of(n->why.text)));
    return hash_mix(h, n->stale_after) | 1;
}

static void tell(struct source *s) {
    const struct keysets_options *o = &s->k->o;
    uint64_t said = said_hash(&s->now);
    if (said == s->told)
        return;
    s->told = said;
    o->changed(o->arg, s->want.key, &s->now);
}

/* Of what has just been read, or is to be as old as that now. */
static void age(struct source *s) {
    uint64_t now = (uint64_t)time(NULL), most = max_stale_ms(s) / 1000;
    uint64_t part = most < STALE_PARTS ? 1 : most / STALE_PARTS;
    s->now.stale_after = (s->read + most) / part * part;
    s->now.fetched = s->now.stale_after - most;
    arm(s->stale, s->now.stale_after > now ? (s->now.stale_after - now) * 1000 : 0);
}

static void say_failed(const struct source *s) {
    const struct keyset *n = &s->now;
    log_warn("keysets", "keys cannot be read, %s key=%.*s: %s: %s",
             n->state == KEYSET_GOOD ? "the last ones are used" : "there are none",
             STR_FMT(s->want.key), n->why.object, n->why.text);
}

/* ---- one fetch ---- */

static void pump(struct keysets *k);

static void due_in(struct source *s, uint64_t ms) {
    s->due_ms = now_ms() + ms;
    arm(s->due, ms);
}

/* A source has its answer, or there is none. */
static void rest(struct source *s, uint64_t wait_ms) {
    struct keysets *k = s->k;
    out_fini(&s->discovery);
    due_in(s, keyset_spread_ms(wait_ms, (uint32_t)prng_next(&k->prng)));
    k->n_running--;
    tell(s);
    pump(k);
}

static void fail(struct source *s, enum result result, const struct why *why) {
    struct keysets *k = s->k;
    bool news = strcmp(why->text, s->now.why.text) != 0;
    k->results[result]++;
    s->failures++;
    s->now.why = *why;
    if (s->now.state == KEYSET_PENDING)
        s->now.state = KEYSET_FAILED;
    if (news)
        say_failed(s);
    rest(s, keyset_backoff_ms(s->failures, k->o.retry_ms, refresh_ms(s)));
}

static void fail_document(struct source *s, const struct why *from, const struct why *fault) {
    struct why why = *from;
    why_text(&why, "%s", fault->text);
    fail(s, RESULT_BAD, &why);
}

static void succeed(struct source *s, struct str document, size_t keys) {
    struct keyset *n = &s->now;
    bool news = n->state != KEYSET_GOOD || s->failures > 0 || !str_eq(n->document, document);
    s->k->results[RESULT_GOOD]++;
    s->failures = 0;
    n->state = KEYSET_GOOD;
    replace(&n->document, document);
    replace(&n->discovery, out_done(&s->discovery));
    n->why = (struct why){0};
    s->read = (uint64_t)time(NULL);
    age(s);
    if (news)
        log_info("keysets", "keys were read key=%.*s keys=%zu bytes=%zu", STR_FMT(s->want.key),
                 keys, document.n);
    rest(s, refresh_ms(s));
}

static void on_keys(void *arg, const struct fetch_answer *a) {
    struct source *s = arg;
    struct why fault = {0};
    s->fetch = NULL;
    if (why_set(&a->why)) {
        fail(s, RESULT_FAILED, &a->why);
        return;
    }
    struct jwt_keys *keys = jwt_keys_new(a->body, &fault);
    if (!keys) {
        struct why why = {0};
        why_text(&why, "it is no key set that can be used: %s", fault.text);
        fail_document(s, &a->why, &why);
        return;
    }
    size_t n = jwt_keys_count(keys);
    jwt_keys_free(keys);
    succeed(s, a->body, n);
}

static void ask(struct source *s, struct str url, const char *accept,
                void (*done)(void *arg, const struct fetch_answer *a)) {
    const struct keyset_want *w = &s->want;
    struct fetch_what what = {.url = url,
                              .ca = w->ca,
                              .allowed = w->allowed,
                              .n_allowed = w->n_allowed,
                              .accept = accept,
                              .done = done,
                              .arg = s};
    if (w->backend)
        what.connect = w->endpoints[s->endpoint++ % w->n_endpoints];
    s->fetch = fetch_start(s->k->fetcher, &what);
}

#define KEYS_ACCEPTED "application/jwk-set+json, application/json"

static void on_discovery(void *arg, const struct fetch_answer *a) {
    struct source *s = arg;
    struct why fault = {0};
    struct out uri = out_heap(FETCH_URL_MAX);
    s->fetch = NULL;
    if (why_set(&a->why)) {
        fail(s, RESULT_FAILED, &a->why);
    } else if (discovery_read(a->body, s->want.issuer, &uri, &fault) != 0) {
        fail_document(s, &a->why, &fault);
    } else {
        s->discovery = out_heap(FETCH_BODY_MAX);
        out_str(&s->discovery, a->body);
        ask(s, out_done(&uri), KEYS_ACCEPTED, on_keys);
    }
    out_fini(&uri);
}

static void start(struct source *s) {
    const struct keyset_want *w = &s->want;
    s->k->n_running++;
    s->asked_ms = now_ms();
    if (w->backend && w->n_endpoints == 0) {
        struct why why = {0};
        why_object(&why, "GET %.*s", STR_FMT(w->url));
        why_text(&why, "its Service has no endpoint that is ready");
        fail(s, RESULT_FAILED, &why);
    } else if (w->issuer.n > 0) {
        ask(s, w->url, "application/json", on_discovery);
    } else {
        ask(s, w->url, KEYS_ACCEPTED, on_keys);
    }
}

static void pump(struct keysets *k) {
    struct list *l;
    if (k->pumping) /* one of those that it starts has ended at once */
        return;
    k->pumping = true;
    while (k->n_running < KEYSETS_AT_ONCE && (l = list_pop(&k->queue)))
        start(list_entry(l, struct source, queue_link));
    k->pumping = false;
}

static void on_due(evutil_socket_t fd, short what, void *arg) {
    struct source *s = arg;
    (void)fd, (void)what;
    list_append(&s->k->queue, &s->queue_link);
    pump(s->k);
}

static void on_stale(evutil_socket_t fd, short what, void *arg) {
    struct source *s = arg;
    (void)fd, (void)what;
    s->now.state = KEYSET_STALE;
    replace(&s->now.document, STR_NONE);
    replace(&s->now.discovery, STR_NONE);
    log_warn("keysets", "the last keys are older than maxStale and are not used any more key=%.*s",
             STR_FMT(s->want.key));
    tell(s);
}

/* ---- what is wanted ---- */

static void cancel(struct source *s) {
    if (s->fetch) {
        fetch_cancel(s->fetch);
        s->fetch = NULL;
        s->k->n_running--;
    }
    out_fini(&s->discovery);
    list_del(&s->queue_link);
}

static void source_free(struct source *s) {
    cancel(s);
    replace(&s->now.document, STR_NONE);
    replace(&s->now.discovery, STR_NONE);
    event_free(s->due);
    event_free(s->stale);
    map_del(&s->k->sources, s->want.key);
    arena_fini(&s->a);
    mem_free(s);
}

static struct source *source_new(struct keysets *k) {
    struct source *s = mem_zalloc(sizeof(*s));
    s->k = k;
    arena_init(&s->a);
    list_init(&s->queue_link);
    s->due = evtimer_new(k->base, on_due, s);
    s->stale = evtimer_new(k->base, on_stale, s);
    must(s->due && s->stale);
    return s;
}

/* Pods come and go: the next time is soon enough for a Service that has just answered. */
static bool can_wait(const struct source *s, const struct keyset_want *w) {
    return s->now.state == KEYSET_GOOD && s->failures == 0 &&
           keyset_source_hash(&s->want) == keyset_source_hash(w);
}

static void take(struct source *s, const struct keyset_want *w, uint64_t hash) {
    struct arena was = s->a;
    bool waits = can_wait(s, w);
    if (s->want.key.n > 0)
        map_del(&s->k->sources, s->want.key);
    if (!waits)
        cancel(s);
    arena_init(&s->a);
    s->want = keyset_want_copy(&s->a, w);
    s->hash = hash;
    arena_fini(&was);
    map_put(&s->k->sources, s->want.key, s);
    if (waits)
        return;
    s->failures = 0;
    if (s->now.state == KEYSET_GOOD)
        age(s); /* max_stale may be another one now */
    due_in(s, 0);
}

static void want_one(struct keysets *k, const struct keyset_want *w, uint64_t round) {
    struct source *s = map_get(&k->sources, w->key);
    uint64_t hash = keyset_want_hash(w);
    must(w->key.n > 0);
    if (!s)
        take(s = source_new(k), w, hash);
    else if (s->hash != hash)
        take(s, w, hash);
    s->round = round;
}

static struct source *not_of(const struct keysets *k, uint64_t round) {
    for (struct map_slot *m = NULL; (m = map_next(&k->sources, m));)
        if (((struct source *)m->value)->round != round)
            return m->value;
    return NULL;
}

void keysets_want(struct keysets *k, const struct keyset_want *wants, size_t n) {
    struct source *gone;
    k->round++;
    for (size_t i = 0; i < n; i++)
        want_one(k, &wants[i], k->round);
    while ((gone = not_of(k, k->round)))
        source_free(gone);
    pump(k);
}

void keysets_unknown_kid(struct keysets *k, struct str key) {
    struct source *s = map_get(&k->sources, key);
    uint64_t now = now_ms();
    if (!s || s->fetch || !list_empty(&s->queue_link))
        return;
    uint64_t at = keyset_kid_at_ms(now, s->asked_ms, s->due_ms, refresh_ms(s), k->o.kid_ms);
    if (at < s->due_ms)
        due_in(s, at - now);
}

/* ---- looking ---- */

const struct keyset *keysets_get(const struct keysets *k, struct str key) {
    const struct source *s = map_get(&k->sources, key);
    return s ? &s->now : NULL;
}

static size_t count(const struct keysets *k, enum keyset_state state) {
    size_t n = 0;
    for (struct map_slot *m = NULL; (m = map_next(&k->sources, m));)
        n += ((const struct source *)m->value)->now.state == state;
    return n;
}

void keysets_faults(const struct keysets *k, void (*each)(void *arg, struct str fault), void *arg) {
    for (struct map_slot *m = NULL; (m = map_next(&k->sources, m));) {
        const struct source *s = m->value;
        char room[1024];
        struct out o = out_fixed(room, sizeof(room));
        if (!why_set(&s->now.why))
            continue;
        out_fmt(&o, "key set %.*s: ", STR_FMT(s->want.key));
        why_print(&s->now.why, &o);
        each(arg, out_done(&o));
    }
}

static void metric_states(const struct keysets *k, struct metric_text *t) {
    static const char *const names[KEYSET_STATES] = {"pending", "good", "failed", "stale"};
    metric_family(t, METRIC_GAUGE, "sluice_controller_keysets",
                  "Sources of public keys by state: good ones are used, of pending ones nobody "
                  "knows yet, failed ones never were good, stale ones are older than maxStale.");
    for (unsigned i = 0; i < KEYSET_STATES; i++) {
        char room[64];
        struct out labels = out_fixed(room, sizeof(room));
        metric_label(&labels, "state", str_of(names[i]));
        metric_count(t, out_done(&labels), count(k, (enum keyset_state)i));
    }
}

void keysets_metrics(const struct keysets *k, struct metric_text *t) {
    static const char *const names[RESULTS] = {"good", "bad", "failed"};
    uint64_t now = (uint64_t)time(NULL), oldest = now;
    metric_states(k, t);
    metric_family(t, METRIC_COUNTER, "sluice_controller_keyset_fetches",
                  "Fetches of public keys: good, bad (no key set that can be used), failed (no "
                  "answer, or one that was refused).");
    for (unsigned i = 0; i < RESULTS; i++) {
        char room[64];
        struct out labels = out_fixed(room, sizeof(room));
        metric_label(&labels, "result", str_of(names[i]));
        metric_count(t, out_done(&labels), k->results[i]);
    }
    for (struct map_slot *m = NULL; (m = map_next(&k->sources, m));) {
        const struct source *s = m->value;
        if (s->now.state == KEYSET_GOOD && s->read < oldest)
            oldest = s->read;
    }
    metric_family(t, METRIC_GAUGE, "sluice_controller_keyset_age_seconds",
                  "Since the oldest of the key sets in use was read.");
    metric_count(t, STR_NONE, now - oldest);
}

/* ---- life ---- */

struct keysets *keysets_new(struct event_base *base, const struct keysets_options *o) {
    struct keysets *k = mem_zalloc(sizeof(*k));
    must(o->changed);
    k->o = *o;
    k->o.refresh_min_ms = o->refresh_min_ms > 0 ? o->refresh_min_ms : KEYSETS_REFRESH_MIN_MS;
    k->o.kid_ms = o->kid_ms > 0 ? o->kid_ms : KEYSETS_KID_MS;
    k->o.retry_ms = o->retry_ms > 0 ? o->retry_ms : KEYSETS_RETRY_MS;
    k->base = base;
    k->fetcher = fetcher_new(base);
    fetcher_patience(k->fetcher, o->connect_ms > 0 ? o->connect_ms : FETCH_CONNECT_MS,
                     o->whole_ms > 0 ? o->whole_ms : FETCH_WHOLE_MS);
    map_init(&k->sources);
    list_init(&k->queue);
    prng_init(&k->prng);
    return k;
}

void keysets_free(struct keysets *k) {
    struct source *s;
    if (!k)
        return;
    while ((s = not_of(k, UINT64_MAX)))
        source_free(s);
    fetcher_free(k->fetcher);
    map_fini(&k->sources);
    mem_free(k);
}
