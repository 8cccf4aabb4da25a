/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/main_turn.h"

#include "controller/source/source.h"
#include "controller/trust/trust.h"
#include "lib/log.h"
#include "lib/map.h"
#include "lib/mem.h"

#include <event2/event.h>
#include <stdio.h>
#include <time.h>

enum {
    QUIET_MS = 10,           /* so long without a change: the next one is compiled at once */
    DEBOUNCE_MS = 10,        /* else: so long after the last one */
    DEBOUNCE_MAX_MS = 200,   /* but not later than that after the first */
    FIRST_WAIT_MS = 1000,    /* for proxies that may remember what is lost */
    SECRETS_WAIT_MS = 10000, /* for what is read one by one */
    CLOCK_MS = 60000,        /* between looks at the time: certificates expire */
    SETTLE_MS = 100,         /* what comes may wait once or twice as long for what it names */
    RESERVED_MAX = 1024,
    ASKS_MAX = 256,
    RECALLS_MAX = 2,
    ASK_KEY_MAX = MODEL_ID_MAX + 32,
};

struct reservation {
    char *host;
    uint64_t until_ms;
};

struct ask { /* a question to the fleet */
    uint64_t number;
    struct object **v;
    size_t n, cap;
};

struct turn {
    struct store *store;
    struct compiler *compiler;
    struct push *push;
    struct trust *trust; /* NULL: the link is plain */
    struct event *compile, *first, *release, *secrets, *clock, *settle, *recall_end;
    struct turn_numbers numbers;

    bool pending, debounced;
    uint64_t first_change_ms, last_change_ms;
    bool compiled, committed, first_waited, secrets_waited;
    const struct source *source;
    struct map fosters; /* ids (owned) that the compiler did not make → themselves */
    bool changed;       /* something came out that is not committed yet */

    struct news {
        void (*status)(void *arg, const struct resource *r);
        void (*fleet)(void *arg);
        void *arg;
    } news;
    struct {
        void (*call)(void *arg);
        void *arg;
    } on_compiled;
    struct {
        void (*before)(void *arg), (*after)(void *arg);
        void *arg;
    } on_commit;
    bool waits; /* see turn_wait() */
    struct {
        void (*call)(void *arg, const struct str *sources, size_t n);
        void *arg;
    } on_unknown_keys;
    struct {
        void (*call)(void *arg, uint64_t proxy, const struct wire_demand *d);
        void (*gone)(void *arg, uint64_t proxy);
        void *arg;
    } on_demand;
    struct {
        void (*call)(void *arg, uint64_t proxy, const struct wire_live *m);
        void (*gone)(void *arg, uint64_t proxy);
        void *arg;
    } on_live;

    struct recall { /* what is asked for */
        const char *id;
        void (*call)(void *arg, const struct object *o);
        void *arg;
    } recalls[RECALLS_MAX];
    size_t n_recalls;

    uint64_t change_ns; /* of the commit that is on its way to the fleet; 0: none */
    struct map lost;    /* prefix (owned) → itself */
    struct ask ask;     /* number == 0: none is under way */
    struct map asked;   /* "prefix@proxy" (owned) → itself */
    uint64_t refusers;  /* the youngest link when a proxy last refused an object; 0: none has */
    struct reservation reserved[RESERVED_MAX];
    size_t n_reserved;
};

static uint64_t now_ns(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}
static uint64_t now_ms(void) { return now_ns() / 1000000; }

static void arm(struct event *ev, uint64_t ms) {
    struct timeval tv = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};
    evtimer_add(ev, &tv);
}

/* ---- sets of owned strings ---- */

static bool set_add(struct map *m, struct str s) {
    if (map_get(m, s))
        return false;
    char *copy = str_dup(s);
    map_put(m, str_mk(copy, s.n), copy);
    return true;
}
static void set_del(struct map *m, struct str s) { mem_free(map_del(m, s)); }
static void set_clear(struct map *m) {
    for (struct map_slot *s = NULL; (s = map_next(m, s));)
        mem_free(s->value);
    map_fini(m);
    map_init(m);
}

/* ---- when ---- */

void turn_wake(struct turn *t) {
    uint64_t now = now_ms();
    if (!t->pending) {
        t->pending = true;
        t->debounced = now - t->last_change_ms <= QUIET_MS;
        t->first_change_ms = now;
        arm(t->compile, t->debounced ? DEBOUNCE_MS : 0);
    } else if (t->debounced && now + DEBOUNCE_MS < t->first_change_ms + DEBOUNCE_MAX_MS) {
        arm(t->compile, DEBOUNCE_MS);
    }
    t->last_change_ms = now;
}

static void on_store_change(void *arg) { turn_wake(arg); }

/* ---- what comes out of the compiler ---- */

static void put(void *arg, struct object *o) {
    struct turn *t = arg;
    t->numbers.puts++;
    t->changed = true;
    set_del(&t->fosters, object_id(o));
    push_put(t->push, o);
}

static void del(void *arg, struct str id) {
    struct turn *t = arg;
    t->numbers.dels++;
    t->changed = true;
    push_del(t->push, id);
}

static void lost(void *arg, struct str prefix) {
    struct turn *t = arg;
    set_add(&t->lost, prefix);
    t->changed = true;
    push_hold(t->push, prefix);
}

static void found(void *arg, struct str prefix) {
    struct turn *t = arg;
    set_del(&t->lost, prefix);
    t->changed = true;
    push_unhold(t->push, prefix);
}

static void say(const struct resource *r, const char *what, const char *reason,
                const struct why *why) {
    char room[1024];
    struct out o = out_fixed(room, sizeof(room) - 1);
    if (why)
        why_print(why, &o);
    if (r->from.file.n > 0)
        log_warn("compile", "%s reason=%s file=%.*s line=%u: %.*s", what, reason,
                 STR_FMT(r->from.file), r->from.line, STR_FMT(out_done(&o)));
    else
        log_warn("compile", "%s reason=%s: %.*s", what, reason, STR_FMT(out_done(&o)));
}

static void status(void *arg, const struct resource *r) {
    struct turn *t = arg;
    const struct compile_status *s = compile_status(t->compiler, r);
    for (size_t i = 0; i < CONDITION_TYPES; i++)
        if (s->conditions[i].set && !s->conditions[i].value)
            say(r,
                i != CONDITION_ACCEPTED ? "unresolved"
                : s->held               ? "refused, its last good version serves"
                                        : "refused",
                s->conditions[i].reason, s->conditions[i].why);
    for (size_t i = 0; i < s->n_warnings; i++)
        say(r, "warning", "Warning", &s->warnings[i]);
    if (t->news.status)
        t->news.status(t->news.arg, r);
}

/* ---- reserved hosts ---- */

static void look_at_reserved(struct turn *t) {
    static struct str hosts[RESERVED_MAX];
    static uint64_t after[RESERVED_MAX];
    size_t n = compile_reserved(t->compiler, hosts, after, RESERVED_MAX), kept = 0;
    uint64_t now = now_ms(), next = UINT64_MAX;
    for (size_t i = 0; i < t->n_reserved; i++) { /* those that are reserved no more */
        bool still = false;
        for (size_t k = 0; k < n && !still; k++)
            still = str_eq(hosts[k], str_of(t->reserved[i].host));
        if (still)
            t->reserved[kept++] = t->reserved[i];
        else
            mem_free(t->reserved[i].host);
    }
    t->n_reserved = kept;
    for (size_t k = 0; k < n; k++) {
        bool known = false;
        for (size_t i = 0; i < kept && !known; i++)
            known = str_eq(hosts[k], str_of(t->reserved[i].host));
        if (!known && t->n_reserved < RESERVED_MAX)
            t->reserved[t->n_reserved++] = (struct reservation){str_dup(hosts[k]), now + after[k]};
    }
    for (size_t i = 0; i < t->n_reserved; i++)
        next = t->reserved[i].until_ms < next ? t->reserved[i].until_ms : next;
    if (next != UINT64_MAX)
        arm(t->release, next > now ? next - now : 0);
}

static void on_release(evutil_socket_t fd, short what, void *arg) {
    struct turn *t = arg;
    uint64_t now = now_ms();
    (void)fd, (void)what;
    for (size_t i = 0; i < t->n_reserved; i++)
        if (t->reserved[i].until_ms <= now)
            compile_release(t->compiler, str_of(t->reserved[i].host));
    turn_wake(t);
}

/* ---- asking the fleet for what is lost ---- */

struct fleet {
    size_t linked, ready;
};
static void count_proxy(void *arg, const struct push_proxy *p) {
    struct fleet *f = arg;
    f->linked++;
    f->ready += p->ready ? 1 : 0;
}
static struct fleet fleet(const struct turn *t) {
    struct fleet f = {0};
    push_each(t->push, count_proxy, &f);
    return f;
}

struct asking {
    struct turn *t;
    bool done;
};

/* Whether objects that only the fleet knows are to be kept: something was not read at the start. */
static bool unread(const struct turn *t) {
    return t->source && t->source->verbs->unread(t->source);
}
static bool fostering(const struct turn *t) { return !t->committed && unread(t); }

static struct str ask_key(char room[ASK_KEY_MAX], struct str what, uint64_t proxy) {
    struct out o = out_fixed(room, ASK_KEY_MAX);
    out_fmt(&o, "%.*s@%llu", STR_FMT(what), (unsigned long long)proxy);
    must(!o.over);
    return out_done(&o);
}

static bool ask_once(struct turn *t, struct str what, uint64_t proxy) {
    char room[ASK_KEY_MAX];
    return set_add(&t->asked, ask_key(room, what, proxy));
}

/* Asks a proxy for those of the lost prefixes that it was not asked for yet. */
static void ask_proxy(void *arg, const struct push_proxy *p) {
    struct asking *a = arg;
    struct turn *t = a->t;
    struct str ids[ASKS_MAX];
    char kinds[MODEL_KINDS][32]; /* "route/": all of a kind */
    size_t n = 0;
    if (a->done || !p->ready)
        return;
    for (size_t i = 0; i < t->n_recalls; i++)
        if (ask_once(t, str_of(t->recalls[i].id), p->id))
            ids[n++] = str_of(t->recalls[i].id);
    if (fostering(t) && ask_once(t, STR("*"), p->id))
        for (unsigned k = 1; k < MODEL_KINDS; k++, n++) {
            snprintf(kinds[k], sizeof(kinds[k]), "%s/", model_kind_name((enum model_kind)k));
            ids[n] = str_of(kinds[k]);
        }
    for (struct map_slot *s = NULL; n < ASKS_MAX && (s = map_next(&t->lost, s));) {
        if (ask_once(t, s->key, p->id))
            ids[n++] = s->key;
    }
    if (n == 0)
        return;
    t->ask.number = push_get(t->push, p->id, ids, n);
    a->done = t->ask.number != 0;
}

static void ask(struct turn *t) {
    struct asking a = {t, false};
    if (t->lost.n == 0 && !fostering(t) && t->n_recalls == 0)
        set_clear(&t->asked);
    else if (t->ask.number == 0)
        push_each(t->push, ask_proxy, &a);
}

static void on_have(void *arg, uint64_t proxy, uint64_t number, struct object *o) {
    struct turn *t = arg;
    struct ask *k = &t->ask;
    (void)proxy;
    if (number != k->number) {
        object_drop(o);
        return;
    }
    if (k->n == k->cap) {
        k->cap = k->cap ? 2 * k->cap : 16;
        k->v = mem_realloc(k->v, k->cap * sizeof(struct object *));
    }
    k->v[k->n++] = o;
}

static bool belongs(const struct object *o, struct str prefix) {
    bool whole = prefix.p[prefix.n - 1] != '/';
    return whole ? str_eq(object_id(o), prefix) : str_starts(object_id(o), prefix);
}

/* Whether that proxy was asked, by the question that it has answered now or by one before. */
static bool was_asked(const struct turn *t, struct str what, uint64_t proxy) {
    char room[ASK_KEY_MAX];
    return map_get(&t->asked, ask_key(room, what, proxy)) != NULL;
}

/* none: a proxy that was asked for it has said all, so that nothing is an answer too. */
static void restore(struct turn *t, struct str prefix, bool none) {
    struct object **mine = mem_array(t->ask.n + 1, sizeof(*mine));
    size_t n = 0;
    for (size_t i = 0; i < t->ask.n; i++)
        if (belongs(t->ask.v[i], prefix))
            mine[n++] = t->ask.v[i];
    if (n > 0) {
        log_info("compile", "restored prefix=%.*s objects=%zu: as the fleet had it",
                 STR_FMT(prefix), n);
        t->numbers.restored += n;
        compile_restore(t->compiler, prefix, mine, n);
        push_unhold(t->push, prefix);
        t->changed = true;
    } else if (none) {
        compile_restore(t->compiler, prefix, NULL, 0);
    }
    mem_free(mine);
}

static bool is_keys(const struct object *o) {
    return o->kind == MODEL_KIND_ticket_keys || o->kind == MODEL_KIND_signing_keys;
}

/* What nobody here has made, and a file that cannot be read may say. */
static void foster(struct turn *t) {
    for (size_t i = 0; i < t->ask.n; i++) {
        struct object *o = t->ask.v[i];
        if (is_keys(o) || compile_object(t->compiler, object_id(o)) ||
            !set_add(&t->fosters, object_id(o)))
            continue;
        t->changed = true;
        push_put(t->push, object_hold(o));
    }
    if (t->fosters.n > 0)
        log_warn("compile",
                 "objects=%zu are kept as the fleet has them, until everything can be read",
                 t->fosters.n);
}

static void end_fostering(struct turn *t) {
    if (t->fosters.n == 0 || unread(t))
        return;
    for (struct map_slot *s = NULL; (s = map_next(&t->fosters, s));)
        if (!compile_object(t->compiler, s->key))
            push_del(t->push, s->key);
    set_clear(&t->fosters);
    t->changed = true;
}

static void forget_answer(struct turn *t) {
    for (size_t i = 0; i < t->ask.n; i++)
        object_drop(t->ask.v[i]);
    mem_free(t->ask.v);
    t->ask = (struct ask){0};
}

static void end_recall(struct turn *t, size_t i, const struct object *o) {
    struct recall r = t->recalls[i];
    t->recalls[i] = t->recalls[--t->n_recalls];
    if (t->n_recalls == 0)
        evtimer_del(t->recall_end);
    r.call(r.arg, o);
    push_unhold(t->push, str_of(r.id));
}

static const struct object *answered(const struct turn *t, const char *id) {
    for (size_t i = 0; i < t->ask.n; i++)
        if (str_eq(object_id(t->ask.v[i]), str_of(id)))
            return t->ask.v[i];
    return NULL;
}

static void recall(struct turn *t) {
    for (size_t i = t->n_recalls; i-- > 0;) {
        const struct object *o = answered(t, t->recalls[i].id);
        if (o)
            end_recall(t, i, o);
    }
}

static void on_recall_end(evutil_socket_t fd, short what, void *arg) {
    struct turn *t = arg;
    (void)fd, (void)what;
    while (t->n_recalls > 0)
        end_recall(t, t->n_recalls - 1, NULL);
}

static void on_have_end(void *arg, uint64_t proxy, uint64_t number, bool complete) {
    struct turn *t = arg;
    if (number != t->ask.number)
        return;
    for (struct map_slot *s = NULL; (s = map_next(&t->lost, s));)
        restore(t, s->key, complete && was_asked(t, s->key, proxy));
    if (fostering(t))
        foster(t);
    recall(t);
    forget_answer(t);
    ask(t);
    turn_wake(t);
}

/* ---- the turn ---- */

static void tell_fleet(struct turn *t) {
    if (t->news.fleet)
        t->news.fleet(t->news.arg);
}

/* Whether the first commit still waits for what the fleet remembers. */
static bool first_waits(struct turn *t) {
    if (t->committed || (t->lost.n == 0 && !fostering(t)))
        return false;
    ask(t);
    if (t->ask.number != 0)
        return true;
    if (fleet(t).linked == 0)
        return true; /* nobody to send to either */
    if (!t->first_waited) {
        t->first_waited = true;
        arm(t->first, FIRST_WAIT_MS);
        return true;
    }
    return fleet(t).ready == 0 && evtimer_pending(t->first, NULL);
}

/* Whether the first commit still waits for Secrets. What is not known by then is asked for from the
 * fleet, as what is lost. */
static bool secrets_wait(struct turn *t) {
    size_t unknown = store_n_unknown(t->store);
    if (t->committed || unknown == 0)
        return false;
    if (!t->secrets_waited) {
        t->secrets_waited = true;
        arm(t->secrets, SECRETS_WAIT_MS);
    }
    return evtimer_pending(t->secrets, NULL);
}

static void commit(struct turn *t) {
    if (!store_is_synced(t->store) || secrets_wait(t) || first_waits(t) ||
        (t->waits && !t->committed) || (t->committed && !t->changed))
        return;
    uint64_t before = now_ns(), revision = push_revision(t->push);
    if (t->on_commit.before)
        t->on_commit.before(t->on_commit.arg);
    push_commit(t->push);
    if (t->on_commit.after)
        t->on_commit.after(t->on_commit.arg);
    t->committed = true;
    t->changed = false;
    t->numbers.commits++;
    histogram_add(&t->numbers.push, &histogram_gateway, now_ns() - before);
    if (t->change_ns == 0 && revision != push_revision(t->push))
        t->change_ns = t->first_change_ms * 1000000;
    tell_fleet(t);
}

static void on_turn(evutil_socket_t fd, short what, void *arg) {
    struct turn *t = arg;
    (void)fd, (void)what;
    t->pending = false;
    if (!store_is_synced(t->store))
        return;
    uint64_t before = now_ns();
    size_t units = compile_run(t->compiler);
    if (units > 0) {
        uint64_t took = now_ns() - before;
        t->numbers.runs++;
        t->numbers.units += units;
        histogram_add(&t->numbers.compile, &histogram_gateway, took);
        log_debug("compile", "compiled units=%zu us=%llu", units,
                  (unsigned long long)(took / 1000));
    }
    t->compiled = true;
    if (t->on_compiled.call)
        t->on_compiled.call(t->on_compiled.arg);
    end_fostering(t);
    ask(t);
    commit(t);
    look_at_reserved(t);
    if (compile_is_late(t->compiler) && !evtimer_pending(t->settle, NULL))
        arm(t->settle, SETTLE_MS);
}

static void on_settle(evutil_socket_t fd, short what, void *arg) {
    struct turn *t = arg;
    (void)fd, (void)what;
    if (compile_settle(t->compiler))
        arm(t->settle, SETTLE_MS);
}

static void on_first(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    commit(arg);
}

static void on_secrets(evutil_socket_t fd, short what, void *arg) {
    struct turn *t = arg;
    (void)fd, (void)what;
    if (!t->committed)
        log_warn("compile", "secrets=%zu are not known yet; the others go out without them",
                 store_n_unknown(t->store));
    commit(t);
}

static void on_clock(evutil_socket_t fd, short what, void *arg) {
    struct turn *t = arg;
    (void)fd, (void)what;
    compile_clock(t->compiler, (uint64_t)time(NULL));
    arm(t->clock, CLOCK_MS);
}

/* ---- what the fleet says ---- */

static void all_current(void *arg, const struct push_proxy *p) {
    bool *all = arg;
    if (p->ready && !p->current && !p->behind)
        *all = false;
}

/* Links, which are numbered as they come. */
struct ages {
    uint64_t oldest, youngest;
};
static void look_at_age(void *arg, const struct push_proxy *p) {
    struct ages *a = arg;
    a->oldest = a->oldest == 0 || p->id < a->oldest ? p->id : a->oldest;
    a->youngest = p->id > a->youngest ? p->id : a->youngest;
}
static struct ages ages(const struct turn *t) {
    struct ages a = {0};
    push_each(t->push, look_at_age, &a);
    return a;
}

/* None is left of those that were there when an object was refused: the others may be of another
 * version, and know what to do with it. */
static void forgive(struct turn *t) {
    if (t->refusers == 0 || ages(t).oldest <= t->refusers)
        return;
    t->refusers = 0;
    compile_forgive(t->compiler);
    turn_wake(t);
}

static void on_change(void *arg) {
    struct turn *t = arg;
    forgive(t);
    if (t->n_recalls > 0 && fleet(t).linked > 0 && !evtimer_pending(t->recall_end, NULL))
        arm(t->recall_end, FIRST_WAIT_MS);
    ask(t);
    if (t->compiled && !t->committed)
        commit(t);
    tell_fleet(t);
}

static void on_ack(void *arg, const struct push_proxy *p) {
    struct turn *t = arg;
    bool all = !t->changed;
    (void)p;
    push_each(t->push, all_current, &all);
    if (!all)
        return;
    compile_proven(t->compiler);
    if (t->change_ns != 0)
        histogram_add(&t->numbers.propagation, &histogram_gateway, now_ns() - t->change_ns);
    t->change_ns = 0;
}

static void on_nack(void *arg, const struct push_proxy *p, const struct push_fault *faults,
                    size_t n) {
    struct turn *t = arg;
    t->numbers.nacks++;
    t->refusers = ages(t).youngest;
    for (size_t i = 0; i < n; i++) {
        log_warn("compile", "a proxy could not use an object proxy=%s id=%.*s: %.*s", p->name,
                 STR_FMT(faults[i].id), STR_FMT(faults[i].reason));
        if (faults[i].id.n == 0)
            continue;
        char *text = str_dup(faults[i].reason);
        compile_quarantine(t->compiler, faults[i].id, faults[i].hash, text);
        mem_free(text);
    }
    turn_wake(t);
}

static void on_unknown_keys(void *arg, const struct str *sources, size_t n) {
    struct turn *t = arg;
    if (t->on_unknown_keys.call)
        t->on_unknown_keys.call(t->on_unknown_keys.arg, sources, n);
}

static void on_demand(void *arg, uint64_t proxy, const struct wire_demand *d) {
    struct turn *t = arg;
    if (t->on_demand.call)
        t->on_demand.call(t->on_demand.arg, proxy, d);
}

static void on_live(void *arg, uint64_t proxy, const struct wire_live *m) {
    struct turn *t = arg;
    if (t->on_live.call)
        t->on_live.call(t->on_live.arg, proxy, m);
}

/* ---- who may link ---- */

static void on_token(void *arg, uint64_t proxy, struct str token, const char *address) {
    struct turn *t = arg;
    trust_token(t->trust, proxy, token, address);
}

static void on_gone(void *arg, uint64_t proxy) {
    struct turn *t = arg;
    if (t->on_demand.gone)
        t->on_demand.gone(t->on_demand.arg, proxy);
    if (t->on_live.gone)
        t->on_live.gone(t->on_live.arg, proxy);
    if (t->trust)
        trust_gone(t->trust, proxy);
}

/* ---- life ---- */

struct turn *turn_new(struct event_base *base, struct store *store, const char *link, bool secure,
                      struct why *why) {
    static const struct push_events events = {.on_change = on_change,
                                              .on_ack = on_ack,
                                              .on_nack = on_nack,
                                              .on_have = on_have,
                                              .on_have_end = on_have_end,
                                              .on_unknown_keys = on_unknown_keys,
                                              .on_demand = on_demand,
                                              .on_live = on_live,
                                              .on_token = on_token,
                                              .on_gone = on_gone};
    struct turn *t = mem_zalloc(sizeof(*t));
    const struct compile_sink sink = {
        .put = put, .del = del, .lost = lost, .found = found, .status = status, .arg = t};
    t->store = store;
    map_init(&t->fosters);
    map_init(&t->lost);
    map_init(&t->asked);
    t->compile = evtimer_new(base, on_turn, t);
    t->first = evtimer_new(base, on_first, t);
    t->release = evtimer_new(base, on_release, t);
    t->secrets = evtimer_new(base, on_secrets, t);
    t->clock = evtimer_new(base, on_clock, t);
    t->settle = evtimer_new(base, on_settle, t);
    t->recall_end = evtimer_new(base, on_recall_end, t);
    t->push = push_new(base, link, secure, &events, t, why);
    if (!t->push) {
        turn_free(t);
        return NULL;
    }
    t->compiler = compile_new(store, &sink);
    store_on_change(store, on_store_change, t);
    on_clock(-1, 0, t);
    return t;
}

void turn_free(struct turn *t) {
    store_on_change(t->store, NULL, NULL);
    if (t->compiler)
        compile_free(t->compiler);
    if (t->push)
        push_free(t->push);
    struct event *const timers[] = {t->compile, t->first,  t->release,   t->secrets,
                                    t->clock,   t->settle, t->recall_end};
    for (size_t i = 0; i < ARRAY_LEN(timers); i++)
        event_free(timers[i]);
    forget_answer(t);
    set_clear(&t->lost);
    set_clear(&t->asked);
    set_clear(&t->fosters);
    for (size_t i = 0; i < t->n_reserved; i++)
        mem_free(t->reserved[i].host);
    mem_free(t);
}

void turn_trust(struct turn *t, struct trust *trust) { t->trust = trust; }
void turn_source(struct turn *t, const struct source *source) { t->source = source; }

struct compiler *turn_compiler(struct turn *t) {
    return t->compiler;
}
struct push *turn_push(struct turn *t) {
    return t->push;
}
void turn_on_news(struct turn *t, void (*on_status)(void *arg, const struct resource *r),
                  void (*on_fleet)(void *arg), void *arg) {
    t->news = (struct news){on_status, on_fleet, arg};
}
void turn_keys(struct turn *t, struct object *keys) {
    put(t, keys);
    turn_wake(t);
}

void turn_recall(struct turn *t, const char *id,
                 void (*recalled)(void *arg, const struct object *o), void *arg) {
    must(t->n_recalls < RECALLS_MAX);
    t->recalls[t->n_recalls++] = (struct recall){id, recalled, arg};
    push_hold(t->push, str_of(id));
}
void turn_on_compiled(struct turn *t, void (*compiled)(void *arg), void *arg) {
    t->on_compiled.call = compiled;
    t->on_compiled.arg = arg;
}

void turn_on_commit(struct turn *t, void (*before)(void *arg), void (*after)(void *arg),
                    void *arg) {
    t->on_commit.before = before;
    t->on_commit.after = after;
    t->on_commit.arg = arg;
}

void turn_wait(struct turn *t, bool wait) {
    t->waits = wait;
    turn_wake(t);
}

void turn_on_unknown_keys(struct turn *t,
                          void (*unknown)(void *arg, const struct str *sources, size_t n),
                          void *arg) {
    t->on_unknown_keys.call = unknown;
    t->on_unknown_keys.arg = arg;
}

void turn_on_demand(struct turn *t,
                    void (*demand)(void *arg, uint64_t proxy, const struct wire_demand *d),
                    void (*gone)(void *arg, uint64_t proxy), void *arg) {
    t->on_demand.call = demand;
    t->on_demand.gone = gone;
    t->on_demand.arg = arg;
}

void turn_on_live(struct turn *t,
                  void (*live)(void *arg, uint64_t proxy, const struct wire_live *m),
                  void (*gone)(void *arg, uint64_t proxy), void *arg) {
    t->on_live.call = live;
    t->on_live.gone = gone;
    t->on_live.arg = arg;
}

uint64_t turn_published(const struct turn *t) {
    return t->committed && !t->changed ? push_version(t->push) : 0;
}

const struct turn_numbers *turn_numbers(const struct turn *t) { return &t->numbers; }
bool turn_is_ready(const struct turn *t) { return t->compiled; }
