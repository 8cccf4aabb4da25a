/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/limit/ratestore.h"

#include "lib/hash.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "proxy/limit/ratestore_script.h"
#include "proxy/limit/resp.h"
#include "proxy/upstream/aside.h"

#include <openssl/evp.h>

enum {
    SETS = 1024, /* of WAYS entries */
    WAYS = 4,
    AHEAD_MS = 20, /* what is asked for in so long is fetched at once */
    AHEAD_MAX = 256,
    SLICE_MS = 100,  /* in which is counted how often a count is asked for */
    KEEP_MS = 100,   /* what is left here of a count that nobody asks for any more */
    BEGIN_MS = 1000, /* for the connection, with all that comes before the first question */
    RETRY_MIN_MS = 100,
    RETRY_MAX_MS = 2000,
    SLOW_MS = 1000, /* for answers that are late; then the connection is given up */
    LINES = 6,      /* of the log, in ... */
    LINES_SECONDS = 60,
    QUERIES_MAX = 1024, /* on their way */
    KEY_BYTES = 16,
    SHA_BYTES = 40,
    QUERY_BYTES = 256 + LIMITS_ASKED * 160, /* of one command */
};

/* One count that was asked for. */
struct entry {
    uint64_t count; /* 0: free */
    uint64_t refused_until_ms, last_ms;
    uint64_t slice_ms;            /* when the slice began */
    uint32_t asked, asked_before; /* in this slice and the one before */
    uint32_t credits;             /* taken in the store, and not used yet */
    uint32_t left, full_ms;       /* as it was said last */
    bool fetching;
    char key[KEY_BYTES];
    struct limit_rate rate;
    struct list link; /* store.held, while there are credits */
};

/* Until it is answered it is in store.queries; until its request goes on, in its errands. Freed by
 * the last of the two. */
struct query {
    struct errand errand; /* first; home == NULL: it is nobody's */
    struct ratestore *store;
    struct list link; /* store.queries, in the order in which they were sent; alone: answered */
    uint64_t sent_ms;
    bool waits; /* a request does, for errand_done() */
    unsigned n;
    struct {
        uint64_t count;
        struct limit_count said;
        bool taken;
    } v[LIMITS_ASKED];
};

enum state {
    OFF,
    DOWN,
    CONNECTING,
    GREETING,
    UP,
    SLOW, /* an answer is late: nobody asks until all that were asked for are there */
};

struct ratestore {
    struct aside aside; /* first: the owner of its connection */
    struct loop *loop;
    struct upstreams *upstreams;
    const struct snapshot *law;
    const struct model_rate_store *model; /* NULL: there is none */
    uint64_t identity;                    /* of all that says how it is reached */
    enum state state;
    struct upstream *up;
    unsigned greetings; /* answers that are awaited before it is up */
    char sha[SHA_BYTES];
    EVP_MD_CTX *digest;
    const EVP_MD *sha256;
    struct list queries;
    uint32_t n_queries;
    struct timer timer;   /* the next try; the greeting; the oldest question */
    struct timer keeping; /* while there are credits */
    uint32_t retry_ms;
    struct entry *entries; /* SETS * WAYS; NULL: there is no store */
    struct list held;
    char words[128]; /* why it is down; "": it is not, or was not said */
    struct log_limit lines;
    uint64_t is_up, n_asked, n_local; /* metrics */
    uint64_t n_failed[5];             /* by enum failure */
};

enum failure { FAILED_CONNECT, FAILED_TIMEOUT, FAILED_AUTH, FAILED_ERROR, FAILED_PROTOCOL };

static void dial(struct ratestore *s);

/* ---- entries ---- */

static struct entry *set_of(struct ratestore *s, uint64_t count) {
    return &s->entries[count % SETS * WAYS];
}

static struct entry *find(struct ratestore *s, uint64_t count) {
    struct entry *set = set_of(s, count);
    for (unsigned i = 0; i < WAYS; i++)
        if (set[i].count == count)
            return &set[i];
    return NULL;
}

/* Of those without credits the one that was not needed for longest. NULL: all have some. */
static struct entry *take_place(struct ratestore *s, uint64_t count) {
    struct entry *set = set_of(s, count), *oldest = NULL;
    for (unsigned i = 0; i < WAYS; i++)
        if (set[i].credits == 0 && (!oldest || set[i].last_ms < oldest->last_ms))
            oldest = &set[i];
    return oldest;
}

static void set_credits(struct ratestore *s, struct entry *e, uint32_t credits) {
    if (e->credits == 0 && credits > 0)
        list_append(&s->held, &e->link);
    else if (e->credits > 0 && credits == 0)
        list_del(&e->link);
    e->credits = credits;
    if (credits > 0 && !timer_is_set(&s->keeping))
        timer_set(s->loop->wheel, &s->keeping, s->loop->now_ms + KEEP_MS);
}

static void forget_all(struct ratestore *s) {
    for (unsigned i = 0; s->entries && i < SETS * WAYS; i++)
        s->entries[i] = (struct entry){0};
    list_init(&s->held);
    timer_unset(&s->keeping);
}

static void count_asked(struct entry *e, uint64_t now) {
    uint64_t gone = now - e->slice_ms;
    if (gone >= SLICE_MS) {
        e->asked_before = gone < 2 * (uint64_t)SLICE_MS ? e->asked : 0;
        e->asked = 0;
        e->slice_ms = now;
    }
    e->asked++;
    e->last_ms = now;
}

/* What would be good to have here. */
static uint32_t ahead_of(const struct entry *e) {
    uint32_t most = e->left / 8 < AHEAD_MAX ? e->left / 8 : AHEAD_MAX;
    uint32_t soon = e->asked_before * AHEAD_MS / SLICE_MS;
    return soon < most ? soon : most;
}

/* The name of a count in the store, which nobody can make another one's of. */
static uint64_t name_it(const struct ratestore *s, const struct limit_asked *one,
                        char key[KEY_BYTES]) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    uint64_t count, identity = one->law->identity;
    must(EVP_DigestInit_ex(s->digest, s->sha256, NULL) == 1 &&
         EVP_DigestUpdate(s->digest, &identity, sizeof(identity)) == 1 &&
         EVP_DigestUpdate(s->digest, one->apart.p ? one->apart.p : "", one->apart.n) == 1 &&
         EVP_DigestFinal_ex(s->digest, digest, NULL) == 1);
    memcpy(key, digest, KEY_BYTES);
    memcpy(&count, digest, sizeof(count));
    return count != 0 ? count : 1;
}

/* NULL: there is no place for it. */
static struct entry *entry_of(struct ratestore *s, const struct limit_asked *one) {
    char key[KEY_BYTES];
    uint64_t count = name_it(s, one, key);
    struct entry *e = find(s, count);
    if (!e) {
        e = take_place(s, count);
        if (!e)
            return NULL;
        *e = (struct entry){.count = count};
        memcpy(e->key, key, KEY_BYTES);
    }
    e->rate = one->law->rate;
    count_asked(e, s->loop->now_ms);
    return e;
}

/* ---- failures ---- */

static void query_free(struct query *q) { slab_give(&q->store->loop->slabs, SLAB_2K, q); }

static void say(struct ratestore *s, const char *words) {
    unsigned unsaid;
    int64_t now = (int64_t)(s->loop->now_ms / 1000);
    bool again = strncmp(words, s->words, sizeof(s->words) - 1) == 0;
    if (again || !log_limited(&s->lines, now, LINES, LINES_SECONDS, &unsaid))
        return;
    strncpy(s->words, words, sizeof(s->words) - 1);
    log_warn("limit",
             "the store of rate limits cannot be asked, and onError of each limit counts: %s "
             "store=%.*s unsaid=%u",
             words, STR_FMT(s->model->backend), unsaid);
}

static void is_well(struct ratestore *s) {
    s->state = UP;
    metric_set(&s->is_up, 1);
    if (s->words[0])
        log_info("limit", "the store of rate limits answers again store=%.*s",
                 STR_FMT(s->model->backend));
    s->words[0] = 0;
}

static void try_later(struct ratestore *s) {
    s->state = DOWN;
    metric_set(&s->is_up, 0);
    timer_set(s->loop->wheel, &s->timer, s->loop->now_ms + s->retry_ms);
    s->retry_ms = s->retry_ms * 2 < RETRY_MAX_MS ? s->retry_ms * 2 : RETRY_MAX_MS;
}

/* It is not in the list any more. */
static void query_end(struct query *q, enum reason reason) {
    bool waits = q->waits;
    q->waits = false;
    if (waits)
        errand_done(&q->errand, reason);
    else if (!q->errand.home)
        query_free(q);
}

/* Those who wait go on without it. */
static void end_queries(struct ratestore *s) {
    while (!list_empty(&s->queries)) {
        struct query *q = list_entry(s->queries.next, struct query, link);
        list_del(&q->link);
        list_init(&q->link);
        s->n_queries--;
        query_end(q, REASON_UPSTREAM_CLOSED);
    }
}

static void hang_up(struct ratestore *s) {
    if (s->up)
        upstream_release(s->up, NULL, false);
    s->up = NULL;
    timer_unset(&s->timer);
    forget_all(s);
}

static void lose(struct ratestore *s, enum failure why, const char *words) {
    metric_add(&s->n_failed[why], 1);
    hang_up(s);
    say(s, words);
    try_later(s);
    end_queries(s);
}

/* ---- writing ---- */

static char *room(struct ratestore *s, size_t n) { return conn_room(upstream_conn(s->up), n); }

static void put_key(struct out *o, const char key[KEY_BYTES]) {
    char text[8 + 2 * KEY_BYTES];
    struct out name = out_fixed(text, sizeof(text));
    out_lit(&name, "sluice:");
    for (unsigned i = 0; i < KEY_BYTES; i++)
        out_hex(&name, (unsigned char)key[i], 2);
    resp_put(o, out_done(&name));
}

static void put_rate(struct out *o, const struct limit_rate *r, bool dry) {
    resp_put_int(o, (int64_t)r->requests);
    resp_put_int(o, (int64_t)r->per_ms * 1000);
    resp_put_int(o, r->window ? 0 : (int64_t)r->burst);
    resp_put_int(o, dry);
}

struct asked_key {
    struct entry *entry;
    bool dry;
};

/* False: the connection takes no more. */
static bool write_query(struct ratestore *s, const struct asked_key *keys, unsigned n,
                        int64_t want) {
    char *p = room(s, QUERY_BYTES);
    if (!p)
        return false;
    struct out o = out_fixed(p, QUERY_BYTES);
    resp_begin(&o, 4 + 5 * n);
    resp_put(&o, STR("EVALSHA"));
    resp_put(&o, str_mk(s->sha, SHA_BYTES));
    resp_put_int(&o, n);
    for (unsigned i = 0; i < n; i++)
        put_key(&o, keys[i].entry->key);
    resp_put_int(&o, want);
    for (unsigned i = 0; i < n; i++)
        put_rate(&o, &keys[i].entry->rate, keys[i].dry);
    must(!o.over);
    conn_wrote(upstream_conn(s->up), o.n);
    return true;
}

/* ---- questions ---- */

/* NULL: too many are on their way. */
static struct query *ask_for(struct ratestore *s, const struct asked_key *keys, unsigned n,
                             int64_t want) {
    _Static_assert(sizeof(struct query) <= 2048, "a query is in a small slab");
    if (s->n_queries >= QUERIES_MAX)
        return NULL;
    struct query *q = slab_take(&s->loop->slabs, SLAB_2K);
    if (!q)
        return NULL;
    if (!write_query(s, keys, n, want)) {
        slab_give(&s->loop->slabs, SLAB_2K, q);
        return NULL;
    }
    *q = (struct query){.store = s, .n = n, .sent_ms = s->loop->now_ms};
    for (unsigned i = 0; i < n; i++)
        q->v[i].count = keys[i].entry->count;
    if (list_empty(&s->queries))
        timer_set(s->loop->wheel, &s->timer, s->loop->now_ms + s->model->timeout_ms);
    list_append(&s->queries, &q->link);
    s->n_queries++;
    metric_add(&s->n_asked, 1);
    return q;
}

static void fetch(struct ratestore *s, struct entry *e, int64_t want) {
    const struct asked_key key = {e, false};
    if (ask_for(s, &key, 1, want))
        e->fetching = want > 0;
}

static void on_keeping(struct timer *t) {
    struct ratestore *s = container_of(t, struct ratestore, keeping);
    list_each_safe(link, &s->held) {
        struct entry *e = list_entry(link, struct entry, link);
        if (s->loop->now_ms - e->last_ms < KEEP_MS)
            continue;
        fetch(s, e, -(int64_t)e->credits);
        set_credits(s, e, 0);
    }
    if (!list_empty(&s->held))
        timer_set(s->loop->wheel, &s->keeping, s->loop->now_ms + KEEP_MS);
}

/* ---- answers ---- */

static uint32_t to_u32(int64_t v) { return v < 0 ? 0 : v > UINT32_MAX ? UINT32_MAX : (uint32_t)v; }

/* took, left, wait, full of the i-th count. */
static void hear(struct ratestore *s, struct query *q, unsigned i, const int64_t *said) {
    struct entry *e = find(s, q->v[i].count);
    uint32_t took = to_u32(said[0]), left = to_u32(said[1]), wait = to_u32(said[2]);
    q->v[i].taken = took > 0;
    q->v[i].said = (struct limit_count){.allowed = took > 0 || left > 0,
                                        .left = left,
                                        .wait_ms = wait > 0 ? wait : 1,
                                        .full_ms = to_u32(said[3])};
    if (!e)
        return;
    e->fetching = false;
    e->left = left;
    e->full_ms = to_u32(said[3]);
    e->refused_until_ms = said[0] == 0 && left == 0 ? s->loop->now_ms + wait : 0;
    uint32_t own = q->waits && took > 0 ? 1 : 0;
    if (took > own)
        set_credits(s, e, e->credits + took - own);
    q->v[i].said.left += e->credits;
}

static struct query *next_query(struct ratestore *s) {
    if (list_empty(&s->queries))
        return NULL;
    struct query *q = list_entry(s->queries.next, struct query, link);
    list_del(&q->link);
    list_init(&q->link);
    s->n_queries--;
    if (list_empty(&s->queries))
        timer_unset(&s->timer);
    else if (s->state == UP)
        timer_set(s->loop->wheel, &s->timer,
                  list_entry(s->queries.next, struct query, link)->sent_ms + s->model->timeout_ms);
    if (s->state == SLOW && list_empty(&s->queries))
        is_well(s);
    return q;
}

static void answered(struct ratestore *s, const struct resp_reply *r) {
    struct query *q = next_query(s);
    if (!q || r->n != 1 + 4 * q->n) {
        if (q) {
            list_push(&s->queries, &q->link);
            s->n_queries++;
        }
        lose(s, FAILED_PROTOCOL, "it has answered something that was not asked");
        return;
    }
    for (unsigned i = 0; i < q->n; i++)
        hear(s, q, i, &r->v[1 + 4 * i]);
    query_end(q, REASON_NONE);
}

static void refused(struct ratestore *s, struct str error) {
    char words[256];
    struct shown shown;
    struct out o = out_fixed(words, sizeof(words) - 1);
    bool password = str_starts(error, STR("WRONGPASS")) || str_starts(error, STR("NOAUTH")) ||
                    str_starts(error, STR("ERR AUTH")) ||
                    str_starts(error, STR("ERR invalid password"));
    bool rights = str_starts(error, STR("NOPERM"));
    if (password)
        out_lit(&o, "it does not accept the password; look at passwordRef and username of "
                    "GatewayConfig spec.rateLimitStore: ");
    else if (rights)
        out_lit(&o, "the user may not do what is needed; allow it +eval +evalsha +script and the "
                    "commands get, set, time, pexpire and of hashes on keys sluice:*: ");
    else if (str_starts(error, STR("READONLY")))
        out_lit(&o, "it is a replica; rateLimitStore.address must lead to the primary: ");
    else
        out_lit(&o, "it refuses: ");
    out_str(&o, str_of(why_show(str_mk(error.p, size_min(error.n, 80)), &shown)));
    words[o.over ? sizeof(words) - 1 : o.n] = 0;
    lose(s, password || rights ? FAILED_AUTH : FAILED_ERROR, words);
}

static void greeted(struct ratestore *s, const struct resp_reply *r) {
    if (--s->greetings > 0)
        return; /* the password was accepted */
    if (r->kind != RESP_TEXT || r->text.n != SHA_BYTES) {
        lose(s, FAILED_PROTOCOL, "it has not taken the script");
        return;
    }
    memcpy(s->sha, r->text.p, SHA_BYTES);
    s->retry_ms = RETRY_MIN_MS;
    timer_unset(&s->timer);
    is_well(s);
}

/* False: the connection is not there any more. */
static bool take_reply(struct ratestore *s, const struct resp_reply *r) {
    const struct upstream *before = s->up;
    if (r->kind == RESP_ERROR)
        refused(s, r->text);
    else if (s->state == GREETING)
        greeted(s, r);
    else if (r->kind == RESP_NUMBERS)
        answered(s, r);
    else
        lose(s, FAILED_PROTOCOL, "it has answered something that was not asked");
    return s->up == before;
}

/* ---- the connection ---- */

static void on_readable(struct upstream *u) {
    struct ratestore *s = u->owner;
    for (;;) {
        struct conn *c = upstream_conn(s->up);
        struct resp_reply r;
        size_t used = 0;
        enum resp got = resp_read(conn_unread(c), &r, &used);
        if (got == RESP_BAD) {
            lose(s, FAILED_PROTOCOL, "what it answers is no RESP; is it a Redis or Valkey server?");
            return;
        }
        if (got == RESP_DONE) {
            if (!take_reply(s, &r))
                return;
            conn_consume(upstream_conn(s->up), used);
            continue;
        }
        enum io io = conn_read(c);
        if (io == IO_AGAIN)
            return;
        if (io != IO_OK) {
            lose(s, FAILED_CONNECT, "the connection is lost");
            return;
        }
    }
}

static void on_ready(struct upstream *u) {
    struct ratestore *s = u->owner;
    const struct model_rate_store *m = s->model;
    size_t n = sizeof(RATESTORE_SCRIPT) + m->username.n + m->password.n + 256;
    char *p = room(s, n);
    if (!p) {
        lose(s, FAILED_CONNECT, "there is no memory for its connection");
        return;
    }
    struct out o = out_fixed(p, n);
    s->greetings = m->password.n > 0 ? 2 : 1;
    if (m->password.n > 0) {
        resp_begin(&o, m->username.n > 0 ? 3 : 2);
        resp_put(&o, STR("AUTH"));
        if (m->username.n > 0)
            resp_put(&o, m->username);
        resp_put(&o, m->password);
    }
    resp_begin(&o, 3);
    resp_put(&o, STR("SCRIPT"));
    resp_put(&o, STR("LOAD"));
    resp_put(&o, STR(RATESTORE_SCRIPT));
    must(!o.over);
    conn_wrote(upstream_conn(s->up), o.n);
    s->state = GREETING;
}

static void on_sent(struct upstream *u, size_t lent, bool all) { (void)u, (void)lent, (void)all; }

static void on_broken(struct upstream *u, enum conn_end why) {
    struct ratestore *s = u->owner;
    if (why == CONN_INSECURE) {
        char words[256];
        struct out o = out_fixed(words, sizeof(words) - 1);
        out_fmt(&o, "TLS with it fails: %s", tls_client_words());
        words[o.over ? sizeof(words) - 1 : o.n] = 0;
        lose(s, FAILED_CONNECT, words);
    } else {
        lose(s, FAILED_CONNECT,
             s->state == CONNECTING ? "nobody listens at its address" : "the connection is lost");
    }
}

static void on_timeout(struct upstream *u) {
    lose(u->owner, FAILED_TIMEOUT, "it cannot be connected to in time");
}

static void on_turn(struct waiter *w) { (void)w; /* it never waits: see dial() */ }

static const struct upstream_ops ops = {
    .ready = on_ready,
    .readable = on_readable,
    .sent = on_sent,
    .broken = on_broken,
    .timeout = on_timeout,
    .turn = on_turn,
};

/* Requests do not wait for it again before it has shown that it is fast enough. */
static void is_slow(struct ratestore *s) {
    s->state = SLOW;
    metric_set(&s->is_up, 0);
    metric_add(&s->n_failed[FAILED_TIMEOUT], 1);
    say(s, "it has not answered within the timeout");
    timer_set(s->loop->wheel, &s->timer, s->loop->now_ms + SLOW_MS);
    list_each_safe(link, &s->queries) {
        struct query *q = list_entry(link, struct query, link);
        if (!q->waits)
            continue;
        q->waits = false;
        errand_done(&q->errand, REASON_UPSTREAM_TIMEOUT);
    }
}

static void on_timer(struct timer *t) {
    struct ratestore *s = container_of(t, struct ratestore, timer);
    if (s->state == DOWN)
        dial(s);
    else if (s->state == UP)
        is_slow(s);
    else
        lose(s, FAILED_TIMEOUT, "it accepts a connection, and does not answer");
}

static void dial(struct ratestore *s) {
    const struct backend *b =
        s->law->rate_store != UINT32_MAX ? snapshot_backend(s->law, s->law->rate_store) : NULL;
    const struct tries tries = {.n = 0};
    const struct endpoint *e = b ? upstream_pick(s->upstreams, b, &tries) : NULL;
    if (!e || s->model->closed) {
        metric_add(&s->n_failed[FAILED_CONNECT], 1);
        say(s, s->model->closed ? "something that it needs is not there; its GatewayConfig's "
                                  "status says what"
                                : "its name has no address");
        try_later(s);
        return;
    }
    s->state = CONNECTING;
    enum upstream_got got =
        upstream_get(s->upstreams, b, e, false, true, s, &s->aside.waiter, &s->up);
    if (got == UPSTREAM_REUSED || got == UPSTREAM_CONNECTING) {
        timer_set(s->loop->wheel, &s->timer, s->loop->now_ms + BEGIN_MS);
        if (got == UPSTREAM_REUSED)
            on_ready(s->up);
        return;
    }
    upstream_unwait(&s->aside.waiter);
    s->up = NULL;
    metric_add(&s->n_failed[FAILED_CONNECT], 1);
    say(s, "it cannot be connected to");
    try_later(s);
}

/* ---- what is asked ---- */

/* The errand's owner goes: its answer will be for those to come. */
static void drop(struct errand *errand) {
    struct query *q = (struct query *)errand;
    q->errand.home = NULL;
    q->waits = false;
    if (list_empty(&q->link))
        query_free(q);
}

static void from_query(struct limits_asked *a, const unsigned *at, unsigned n,
                       const struct query *q) {
    for (unsigned i = 0; i < n && i < q->n; i++) {
        a->v[at[i]].by_store = true;
        a->v[at[i]].taken = q->v[i].taken;
        a->v[at[i]].count = q->v[i].said;
    }
}

static void from_entry(struct ratestore *s, struct limit_asked *one, struct entry *e, bool take) {
    uint64_t now = s->loop->now_ms;
    bool is_refused = e->credits == 0 && e->refused_until_ms > now;
    one->by_store = true;
    one->taken = take && !is_refused;
    if (one->taken)
        set_credits(s, e, e->credits - 1);
    one->count = (struct limit_count){.allowed = !is_refused,
                                      .left = (uint64_t)e->left + e->credits,
                                      .wait_ms = is_refused ? e->refused_until_ms - now : 0,
                                      .full_ms = e->full_ms};
}

enum here { HERE_NO, HERE_TAKE, HERE_REFUSED };

/* Whether what is known here decides. */
static enum here look_here(const struct ratestore *s, const struct limits_asked *a,
                           const unsigned *at, const struct asked_key *keys, unsigned n) {
    bool all = true;
    for (unsigned i = 0; i < n; i++) {
        const struct entry *e = keys[i].entry;
        bool is_refused = e->credits == 0 && e->refused_until_ms > s->loop->now_ms;
        if (is_refused && !a->v[at[i]].law->dry_run)
            return HERE_REFUSED;
        all = all && (e->credits > 0 || is_refused);
    }
    return all ? HERE_TAKE : HERE_NO;
}

static uint32_t ahead_of_all(const struct asked_key *keys, unsigned n) {
    uint32_t least = AHEAD_MAX;
    for (unsigned i = 0; i < n; i++)
        least = ahead_of(keys[i].entry) < least ? ahead_of(keys[i].entry) : least;
    return least;
}

static void decide_here(struct ratestore *s, struct limits_asked *a, const unsigned *at,
                        const struct asked_key *keys, unsigned n, bool take) {
    for (unsigned i = 0; i < n; i++) {
        struct entry *e = keys[i].entry;
        uint32_t ahead = ahead_of(e);
        from_entry(s, &a->v[at[i]], e, take);
        if (take && !e->fetching && ahead > 0 && e->credits < ahead / 2)
            fetch(s, e, ahead);
    }
    metric_add(&s->n_local, 1);
}

static unsigned its_own(struct limits_asked *a, unsigned at[LIMITS_ASKED]) {
    unsigned n = 0;
    for (unsigned i = 0; i < a->n; i++)
        if (a->v[i].law->fleet)
            at[n++] = i;
    return n;
}

enum ratestore_says ratestore_ask(struct ratestore *s, struct limits_asked *a,
                                  struct errands *errands) {
    unsigned at[LIMITS_ASKED];
    struct asked_key keys[LIMITS_ASKED];
    unsigned n = s->model ? its_own(a, at) : 0;
    if (n == 0)
        return RATESTORE_NONE;
    struct errand *sent = errand_about(errands, s);
    if (sent && !sent->is_done)
        return RATESTORE_WAITS;
    if (sent && sent->reason == REASON_NONE) {
        from_query(a, at, n, (struct query *)sent);
        return RATESTORE_SAID;
    }
    if (sent || s->state != UP)
        return RATESTORE_DOWN;
    for (unsigned i = 0; i < n; i++) {
        keys[i] = (struct asked_key){entry_of(s, &a->v[at[i]]), a->v[at[i]].law->dry_run};
        if (!keys[i].entry)
            return RATESTORE_DOWN;
    }
    enum here here = look_here(s, a, at, keys, n);
    if (here != HERE_NO) {
        decide_here(s, a, at, keys, n, here == HERE_TAKE);
        return RATESTORE_SAID;
    }
    struct query *q = ask_for(s, keys, n, 1 + (int64_t)ahead_of_all(keys, n));
    if (!q)
        return RATESTORE_DOWN;
    errand_begin(errands, &q->errand, s, drop);
    q->waits = true;
    return RATESTORE_WAITS;
}

void ratestore_untake(struct ratestore *s, const struct limits_asked *a) {
    for (unsigned i = 0; s->entries && i < a->n; i++) {
        char key[KEY_BYTES];
        if (!a->v[i].by_store || !a->v[i].taken)
            continue;
        struct entry *e = find(s, name_it(s, &a->v[i], key));
        if (e && s->state == UP)
            set_credits(s, e, e->credits + 1);
    }
}

/* ---- life ---- */

struct ratestore *ratestore_new(struct loop *l, struct upstreams *upstreams) {
    struct ratestore *s = mem_zalloc(sizeof(*s));
    s->aside.ops = &ops;
    s->loop = l;
    s->upstreams = upstreams;
    s->retry_ms = RETRY_MIN_MS;
    s->digest = EVP_MD_CTX_new();
    s->sha256 = EVP_sha256();
    must(s->digest);
    list_init(&s->queries);
    list_init(&s->held);
    timer_init(&s->timer, on_timer);
    timer_init(&s->keeping, on_keeping);
    return s;
}

static uint64_t identity_of(const struct snapshot *law) {
    const struct model_rate_store *m = law->gateway->rate_limit_store;
    const struct backend *b =
        law->rate_store != UINT32_MAX ? snapshot_backend(law, law->rate_store) : NULL;
    if (!m)
        return 0;
    uint64_t h = hash_mix(hash_content(m->backend), hash_content(m->username));
    h = hash_mix(h, hash_content(m->password));
    h = hash_mix(h, m->timeout_ms * 2 + m->closed);
    return hash_mix(h, b ? b->version : 0) | 1;
}

void ratestore_adopt(struct ratestore *s, const struct snapshot *law) {
    uint64_t identity = identity_of(law);
    s->law = law;
    s->model = law->gateway->rate_limit_store;
    if (identity == s->identity)
        return;
    s->identity = identity;
    s->words[0] = 0;
    s->lines = (struct log_limit){0};
    s->state = OFF;
    metric_set(&s->is_up, 0);
    hang_up(s);
    end_queries(s);
    s->retry_ms = RETRY_MIN_MS;
    if (s->model && !s->entries)
        s->entries = mem_zalloc(SETS * WAYS * sizeof(*s->entries));
    if (s->model)
        dial(s);
}

void ratestore_free(struct ratestore *s) {
    if (!s)
        return;
    hang_up(s);
    while (!list_empty(&s->queries)) {
        struct query *q = list_entry(s->queries.next, struct query, link);
        list_del(&q->link);
        query_free(q);
    }
    timer_fini(&s->timer);
    timer_fini(&s->keeping);
    EVP_MD_CTX_free(s->digest);
    mem_free(s->entries);
    mem_free(s);
}

/* ---- metrics ---- */

void ratestore_metrics(const struct ratestore *const *stores, unsigned n, struct metric_text *t) {
    static const char *const words[] = {"reason=\"connection\"", "reason=\"timeout\"",
                                        "reason=\"auth\"", "reason=\"refused\"",
                                        "reason=\"protocol\""};
    uint64_t up = 0, asked = 0, local = 0, failed[ARRAY_LEN(words)] = {0};
    for (unsigned i = 0; i < n; i++) {
        up += metric_get(&stores[i]->is_up);
        asked += metric_get(&stores[i]->n_asked);
        local += metric_get(&stores[i]->n_local);
        for (size_t k = 0; k < ARRAY_LEN(words); k++)
            failed[k] += metric_get(&stores[i]->n_failed[k]);
    }
    metric_family(t, METRIC_GAUGE, "sluice_rate_limit_store_up",
                  "Workers whose connection to the store of rate limits works.");
    metric_count(t, STR_NONE, up);
    metric_family(t, METRIC_COUNTER, "sluice_rate_limit_store_questions",
                  "Questions to the store of rate limits.");
    metric_count(t, STR_NONE, asked);
    metric_family(t, METRIC_COUNTER, "sluice_rate_limit_store_spared",
                  "Requests for which the store need not be asked: some were fetched ahead, or it "
                  "has said for how long none is left.");
    metric_count(t, STR_NONE, local);
    metric_family(t, METRIC_COUNTER, "sluice_rate_limit_store_failures",
                  "Why the store of rate limits was given up.");
    for (size_t k = 0; k < ARRAY_LEN(words); k++)
        metric_count(t, str_of(words[k]), failed[k]);
}
