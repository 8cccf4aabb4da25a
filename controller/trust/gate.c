/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/trust/gate.h"

#include "controller/kube/backoff.h"
#include "lib/json.h"
#include "lib/jwt.h"
#include "lib/list.h"
#include "lib/log.h"
#include "lib/map.h"
#include "lib/mem.h"

#include <event2/event.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>

enum {
    FRESH_S = 600,
    FRESH_JITTER_S = 60,
    REFUSED_S = 10,
    UNANSWERED_S = 60, /* until an old yes is asked about again */
    TICK_MS = 5000,
    REVIEWS_AT_ONCE = 8,
    REVIEW_TIMEOUT_MS = 10000,
    KNOWN_MAX = 4096, /* verdicts */
    HASH = 32,
    LOGGED_A_WINDOW = 10,
    LOG_WINDOW_S = 10,
    POD_MAX = 253,
};

/* Why somebody was refused; the metric's label. */
enum reason { NO_TOKEN, MALFORMED, AUDIENCE, ACCOUNT, EXPIRED, NOT_AUTHENTICATED, REASONS };
static const char *const reasons[REASONS] = {"no_token", "malformed", "audience",
                                             "account",  "expired",   "not_authenticated"};

struct verdict { /* of one token */
    char hash[HASH];
    bool good;
    int64_t fresh_until, expires; /* Unix seconds */
    char account[320];            /* "namespace/name" */
    char pod[POD_MAX + 1];
    char text[200]; /* why not */
};

struct review { /* a question to the API server */
    struct list link;
    struct gate *gate;
    char hash[HASH];
    char *token;
    int64_t expires;
    struct kube_request *request; /* NULL: it waits */
    struct backoff backoff;
    int64_t not_before_ms; /* the next try */
};

struct guest { /* a link */
    struct list link;
    uint64_t proxy;
    char address[72];
    char *token;
    char hash[HASH];
    int64_t expires;        /* of the token, as it says */
    bool admitted, waiting; /* waiting: for a review of its token */
    int64_t ask_again;      /* Unix seconds */
};

struct gate {
    struct gate_options o;
    struct event *tick;
    struct map known; /* hash → verdict */
    struct list reviews, guests;
    unsigned asked; /* reviews under way */
    struct prng prng;
    struct jwt_scratch *scratch;
    char problem[600];
    struct log_limit limit;                 /* of lines about refusals */
    uint64_t refused[REASONS], reviewed[3]; /* yes, no, no answer */
};

static struct guest *guest_at(struct list *l) { return list_entry(l, struct guest, link); }
static struct review *review_at(struct list *l) { return list_entry(l, struct review, link); }
static int64_t now(const struct gate *g) { return g->o.now(g->o.arg); }

static struct str hash_str(const char hash[HASH]) { return str_mk(hash, HASH); }

static void hash_of(struct str token, char hash[HASH]) {
    must(EVP_Digest(token.p, token.n, (unsigned char *)hash, NULL, EVP_sha256(), NULL) == 1);
}

static void forget_token(char **token) {
    if (*token)
        OPENSSL_cleanse(*token, strlen(*token));
    mem_free(*token);
    *token = NULL;
}

/* ---- saying no ---- */

static void refuse(struct gate *g, struct guest *q, enum reason reason, const char *account,
                   const char *text) {
    unsigned unsaid;
    g->refused[reason]++;
    bool say = log_limited(&g->limit, now(g), LOGGED_A_WINDOW, LOG_WINDOW_S, &unsaid);
    if (unsaid > 0)
        log_warn("trust", "further links were refused, not named here count=%u", unsaid);
    if (say)
        log_warn("trust", "a proxy is refused address=%s account=%s reason=%s: %s", q->address,
                 account && *account ? account : "-", reasons[reason], text);
    q->waiting = false;
    uint64_t proxy = q->proxy;
    g->o.refuse(g->o.arg, proxy, text);
}

/* ---- what a token says of itself ---- */

static const char prefix[] = "system:serviceaccount:";

/* "namespace/name" of a service account's user name; false: it is no such. */
static bool account_of(struct str user, char *room, size_t size) {
    struct str ns;
    if (!str_starts(user, STR("system:serviceaccount:")))
        return false;
    struct str name = str_cut(str_skip(user, sizeof(prefix) - 1), ':', &ns);
    struct out o = out_fixed(room, size);
    out_fmt(&o, "%.*s/%.*s", STR_FMT(ns), STR_FMT(name));
    out_char(&o, 0);
    return ns.n > 0 && name.n > 0 && !o.over;
}

static bool is_listed(const struct gate *g, const char *account) {
    for (size_t i = 0; i < g->o.n_accounts; i++)
        if (strcmp(g->o.accounts[i], account) == 0)
            return true;
    return false;
}

/* False: refused without a question. */
static bool plausible(struct gate *g, struct guest *q) {
    struct jwt t;
    struct why why = {0};
    char account[320] = "";
    if (!q->token) {
        refuse(g, q, NO_TOKEN, NULL, "no token was shown");
        return false;
    }
    if (jwt_read(&t, str_of(q->token), g->scratch, &why) != 0) {
        refuse(g, q, MALFORMED, NULL, "the token cannot be read");
        return false;
    }
    bool good = false;
    bool named = account_of(t.subject, account, sizeof(account));
    q->expires = t.expires;
    if (!jwt_is_for(&t, STR(GATE_AUDIENCE)))
        refuse(g, q, AUDIENCE, account, "the token is not for the audience " GATE_AUDIENCE);
    else if (!named || !is_listed(g, account))
        refuse(g, q, ACCOUNT, account, "the token's service account may not link");
    else if (t.expires + JWT_SKEW_S <= now(g))
        refuse(g, q, EXPIRED, account, "the token has expired");
    else
        good = true;
    return good;
}

/* ---- verdicts ---- */

static struct verdict *known(const struct gate *g, const char hash[HASH]) {
    return map_get(&g->known, hash_str(hash));
}

static void forget_verdict(struct gate *g, struct verdict *v) {
    map_del(&g->known, hash_str(v->hash));
    mem_free(v);
}

/* Makes room: what is over, and if that is not enough, anything. */
static void tidy(struct gate *g) {
    for (struct map_slot *s = NULL; (s = map_next(&g->known, s));) {
        struct verdict *v = s->value;
        if ((v->good ? v->expires : v->fresh_until) >= now(g))
            continue;
        forget_verdict(g, v);
        s = NULL; /* the map has changed */
    }
    while (g->known.n >= KNOWN_MAX)
        forget_verdict(g, map_next(&g->known, NULL)->value);
}

static struct verdict *remember(struct gate *g, const char hash[HASH], int64_t expires) {
    struct verdict *v = known(g, hash);
    if (!v) {
        if (g->known.n >= KNOWN_MAX)
            tidy(g);
        v = mem_alloc(sizeof(*v));
        memcpy(v->hash, hash, HASH);
        map_put(&g->known, hash_str(v->hash), v);
    }
    char copy[HASH];
    memcpy(copy, hash, HASH); /* hash may be the verdict's own */
    *v = (struct verdict){.expires = expires};
    memcpy(v->hash, copy, HASH);
    return v;
}

static void admit(struct gate *g, struct guest *q, const struct verdict *v) {
    q->waiting = false;
    q->ask_again = v->fresh_until;
    if (!q->admitted)
        log_info("trust", "a proxy is admitted address=%s account=%s pod=%s", q->address,
                 v->account, v->pod[0] ? v->pod : "-");
    q->admitted = true;
    g->o.admit(g->o.arg, q->proxy, str_of(v->pod));
}

static void apply(struct gate *g, struct guest *q, const struct verdict *v) {
    if (v->good)
        admit(g, q, v);
    else
        refuse(g, q, is_listed(g, v->account) || !v->account[0] ? NOT_AUTHENTICATED : ACCOUNT,
               v->account, v->text);
}

/* All that wait for this token. Refusing may end a link, and gate_forget() come meanwhile. */
static void apply_to_waiting(struct gate *g, const struct verdict *v) {
    struct verdict copy = *v;
    list_each_safe(link, &g->guests) {
        struct guest *q = guest_at(link);
        if (q->waiting && memcmp(q->hash, copy.hash, HASH) == 0)
            apply(g, q, &copy);
    }
}

/* ---- reviews ---- */

static void start_reviews(struct gate *g);

static void review_free(struct review *r) {
    kube_cancel(r->request);
    list_del(&r->link);
    forget_token(&r->token);
    mem_free(r);
}

static void read_pod(const cJSON *user, struct verdict *v) {
    const cJSON *list = json_get(json_get(user, "extra"), "authentication.kubernetes.io/pod-name");
    const char *pod = cJSON_GetStringValue(cJSON_GetArrayItem(list, 0));
    if (pod && strlen(pod) <= POD_MAX)
        snprintf(v->pod, sizeof(v->pod), "%s", pod);
}

static bool has_audience(const cJSON *status) {
    const cJSON *one;
    cJSON_ArrayForEach(one, json_get(status, "audiences")) {
        if (cJSON_IsString(one) && strcmp(one->valuestring, GATE_AUDIENCE) == 0)
            return true;
    }
    return false;
}

/* The API server's word. An old one that knows no audiences would say yes to any token: a yes
 * without ours in it is a no. */
static void read_status(struct gate *g, const cJSON *status, struct verdict *v) {
    const cJSON *user = json_get(status, "user");
    bool named = account_of(json_text(user, "username"), v->account, sizeof(v->account));
    if (!cJSON_IsTrue(json_get(status, "authenticated"))) {
        v->account[0] = 0;
        snprintf(v->text, sizeof(v->text), "the API server does not know the token");
    } else if (!has_audience(status)) {
        snprintf(v->text, sizeof(v->text), "the token is not for the audience %s", GATE_AUDIENCE);
    } else if (!named || !is_listed(g, v->account)) {
        snprintf(v->text, sizeof(v->text), "the token's service account may not link");
    } else {
        v->good = true;
        read_pod(user, v);
    }
}

static void answered(struct gate *g, struct review *r, const cJSON *status) {
    struct verdict *v = remember(g, r->hash, r->expires);
    read_status(g, status, v);
    int64_t fresh = v->good ? FRESH_S - prng_below(&g->prng, FRESH_JITTER_S) : REFUSED_S;
    v->fresh_until = now(g) + fresh;
    if (v->good && v->fresh_until > v->expires)
        v->fresh_until = v->expires;
    g->reviewed[v->good ? 0 : 1]++;
    if (g->problem[0])
        log_info("trust", "tokens are reviewed again");
    g->problem[0] = 0;
    review_free(r);
    apply_to_waiting(g, v);
}

/* No answer is not a no. Who was admitted with this token before is so again, until it ends. */
static void unanswered(struct gate *g, struct review *r, const struct kube_answer *a,
                       const struct why *why) {
    char room[sizeof(g->problem)];
    struct out o = out_fixed(room, sizeof(room) - 1);
    why_print(why, &o);
    room[o.n] = 0;
    if (!g->problem[0])
        log_warn("trust", "tokens cannot be reviewed, proxies that are not known yet wait: %s",
                 room);
    memcpy(g->problem, room, o.n + 1);
    g->reviewed[2]++;
    r->not_before_ms =
        now(g) * 1000 + (int64_t)backoff_next(&r->backoff, &g->prng, a->retry_after_ms);
    struct verdict *v = known(g, r->hash);
    if (!v || !v->good || v->expires <= now(g))
        return;
    v->fresh_until = now(g) + UNANSWERED_S < v->expires ? now(g) + UNANSWERED_S : v->expires;
    apply_to_waiting(g, v);
}

static void on_review(void *arg, const struct kube_answer *a) {
    struct review *r = arg;
    struct gate *g = r->gate;
    struct why why = a->why;
    r->request = NULL;
    g->asked--;
    cJSON *json = why_set(&why) ? NULL : json_parse(a->body, &why);
    const cJSON *status = json_get(json, "status");
    if (cJSON_IsObject(status))
        answered(g, r, status);
    else
        unanswered(g, r, a, &why);
    cJSON_Delete(json);
    start_reviews(g);
}

static void ask(struct gate *g, struct review *r) {
    struct out path = out_heap(1 << 10), body = out_heap(JWT_TOKEN_MAX * 2);
    kube_path(&path, "authentication.k8s.io", "v1", "tokenreviews", STR_NONE, STR_NONE, STR_NONE);
    out_lit(&body, "{\"apiVersion\":\"authentication.k8s.io/v1\",\"kind\":\"TokenReview\","
                   "\"spec\":{\"audiences\":[\"" GATE_AUDIENCE "\"],\"token\":");
    out_json(&body, str_of(r->token));
    out_lit(&body, "}}");
    r->request = kube_call(g->o.client, &(struct kube_call){.method = "POST",
                                                            .path = out_done(&path),
                                                            .body = out_done(&body),
                                                            .timeout_ms = REVIEW_TIMEOUT_MS,
                                                            .on_end = on_review,
                                                            .arg = r});
    g->asked++;
    OPENSSL_cleanse(body.p, body.n);
    out_fini(&body);
    out_fini(&path);
}

static void start_reviews(struct gate *g) {
    list_each(link, &g->reviews) {
        struct review *r = review_at(link);
        if (g->asked >= REVIEWS_AT_ONCE)
            return;
        if (!r->request && r->not_before_ms <= now(g) * 1000)
            ask(g, r);
    }
}

static void review(struct gate *g, struct guest *q) {
    q->waiting = true;
    list_each(link, &g->reviews) {
        if (memcmp(review_at(link)->hash, q->hash, HASH) == 0)
            return;
    }
    struct review *r = mem_zalloc(sizeof(*r));
    r->gate = g;
    memcpy(r->hash, q->hash, HASH);
    r->token = str_dup(str_of(q->token));
    r->expires = q->expires;
    list_append(&g->reviews, &r->link);
    start_reviews(g);
}

/* ---- links ---- */

static struct guest *guest_of(struct gate *g, uint64_t proxy) {
    list_each(link, &g->guests) {
        if (guest_at(link)->proxy == proxy)
            return guest_at(link);
    }
    struct guest *q = mem_zalloc(sizeof(*q));
    q->proxy = proxy;
    list_append(&g->guests, &q->link);
    return q;
}

void gate_check(struct gate *g, uint64_t proxy, struct str token, const char *address) {
    struct guest *q = guest_of(g, proxy);
    forget_token(&q->token);
    snprintf(q->address, sizeof(q->address), "%s", address);
    if (token.n > 0)
        q->token = str_dup(token);
    if (!plausible(g, q))
        return;
    hash_of(token, q->hash);
    struct verdict *v = known(g, q->hash);
    if (v && v->fresh_until > now(g))
        apply(g, q, v);
    else
        review(g, q);
}

static void guest_free(struct guest *q) {
    list_del(&q->link);
    forget_token(&q->token);
    mem_free(q);
}

/* Whether anybody still wants to know. */
static bool is_wanted(const struct gate *g, const struct review *r) {
    list_each(link, &g->guests) {
        if (guest_at(link)->waiting && memcmp(guest_at(link)->hash, r->hash, HASH) == 0)
            return true;
    }
    return false;
}

void gate_forget(struct gate *g, uint64_t proxy) {
    list_each_safe(link, &g->guests) {
        if (guest_at(link)->proxy == proxy)
            guest_free(guest_at(link));
    }
}

/* Questions that failed and that nobody waits for are given up. */
static void drop_reviews(struct gate *g) {
    list_each_safe(link, &g->reviews) {
        struct review *r = review_at(link);
        if (!r->request && !is_wanted(g, r))
            review_free(r);
    }
}

static void on_tick(evutil_socket_t fd, short what, void *arg) {
    struct gate *g = arg;
    (void)fd, (void)what;
    list_each(link, &g->guests) {
        struct guest *q = guest_at(link);
        if (q->admitted && !q->waiting && q->ask_again <= now(g))
            review(g, q);
    }
    drop_reviews(g);
    start_reviews(g);
}

/* ---- life ---- */

struct gate *gate_new(struct event_base *base, const struct gate_options *o) {
    struct gate *g = mem_zalloc(sizeof(*g));
    struct timeval every = {TICK_MS / 1000, 0};
    g->o = *o;
    list_init(&g->reviews);
    list_init(&g->guests);
    prng_init(&g->prng);
    g->scratch = jwt_scratch_new();
    g->tick = event_new(base, -1, EV_PERSIST, on_tick, g);
    must(g->tick);
    event_add(g->tick, &every);
    return g;
}

void gate_free(struct gate *g) {
    if (!g)
        return;
    event_free(g->tick);
    while (!list_empty(&g->reviews))
        review_free(review_at(g->reviews.next));
    while (!list_empty(&g->guests))
        guest_free(guest_at(g->guests.next));
    for (struct map_slot *s = NULL; (s = map_next(&g->known, s));)
        mem_free(s->value);
    map_fini(&g->known);
    jwt_scratch_free(g->scratch);
    mem_free(g);
}

/* ---- what is known ---- */

static uint64_t waiting(const struct gate *g) {
    uint64_t n = 0;
    list_each(link, &g->guests)
        n += guest_at(link)->waiting && !guest_at(link)->admitted;
    return n;
}

const char *gate_problem(const struct gate *g) { return g->problem; }

void gate_json(const struct gate *g, struct out *o) {
    uint64_t refused = 0;
    for (size_t i = 0; i < REASONS; i++)
        refused += g->refused[i];
    out_fmt(o,
            "\"waiting\":%llu,\"refused\":%llu,\"reviews\":{\"good\":%llu,\"bad\":%llu,\"failed\":"
            "%llu},\"tokens\":",
            (unsigned long long)waiting(g), (unsigned long long)refused,
            (unsigned long long)g->reviewed[0], (unsigned long long)g->reviewed[1],
            (unsigned long long)g->reviewed[2]);
    out_json(o, str_of(g->problem));
}

static void rows(struct metric_text *t, const char *name, const char *const *values, size_t n,
                 const uint64_t *counts) {
    for (size_t i = 0; i < n; i++) {
        char room[64];
        struct out labels = out_fixed(room, sizeof(room));
        metric_label(&labels, name, str_of(values[i]));
        metric_count(t, out_done(&labels), counts[i]);
    }
}

void gate_metrics(const struct gate *g, struct metric_text *t) {
    static const char *const results[] = {"good", "bad", "failed"};
    metric_family(t, METRIC_COUNTER, "sluice_controller_link_refused",
                  "Links that were refused, by reason.");
    rows(t, "reason", reasons, REASONS, g->refused);
    metric_family(t, METRIC_COUNTER, "sluice_controller_link_reviews",
                  "Tokens of proxies that the API server was asked about, by its answer.");
    rows(t, "result", results, ARRAY_LEN(results), g->reviewed);
    metric_family(t, METRIC_GAUGE, "sluice_controller_link_waiting",
                  "Links that are not admitted yet.");
    metric_count(t, STR_NONE, waiting(g));
}
