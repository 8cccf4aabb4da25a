/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/session/secure.h"

#include "lib/log.h"
#include "lib/mem.h"
#include "proxy/session/session.h"

#include <time.h>

enum { PORTS_MAX = 16, LINES = 10, LINES_SECONDS = 10 };

struct pair {
    struct list link; /* secure.pairs, the last used first */
    uint32_t slot;
    uint64_t id_hash, version;
    struct keypair keys;
};

struct port {
    uint16_t number;
    struct tls_policy policy;
    struct tls_server *server;
};

struct secure {
    struct loop *loop;
    struct tls_server_ops ops;
    const struct snapshot *law;
    struct port ports[PORTS_MAX];
    uint32_t n_ports;
    struct pair **by_slot;
    uint32_t n_slots, n_pairs;
    struct list pairs;
    struct issuers *issuers;
    const char *refused; /* why, of the handshake that is on the stack */
    struct log_limit lines;
    struct secure_counts counts;
};

static struct visitor *visitor_of(struct conn *c) {
    return &container_of(c, struct session, conn)->visitor;
}

/* ---- parsed pairs ---- */

static void pair_free(struct secure *s, struct pair *p) {
    s->by_slot[p->slot] = NULL;
    s->n_pairs--;
    list_del(&p->link);
    keypair_free(&p->keys);
    mem_free(p);
}

static bool is_current(const struct pair *p, const struct certificate_law *c) {
    return c != NULL && p->id_hash == c->id_hash && p->version == c->version;
}

/* A name whose pair is not kept costs a parse in each handshake. */
static size_t pairs_max(const struct secure *s) {
    size_t n = s->loop->slabs.limit / 16 / SECURE_PAIR_BYTES;
    return n < SECURE_PAIRS_LEAST ? SECURE_PAIRS_LEAST : size_min(n, SECURE_PAIRS_MOST);
}

static struct pair *pair_new(struct secure *s, const struct certificate_law *c) {
    struct why why = {0};
    struct pair *p = mem_zalloc(sizeof(*p));
    *p = (struct pair){.slot = c->slot, .id_hash = c->id_hash, .version = c->version};
    if (keypair_load(&p->keys, s->issuers, c->model->chain, c->model->key, &why) != 0) {
        log_error("tls", "a certificate cannot be used id=%.*s reason=%s", STR_FMT(c->id),
                  why.text); /* it could when it was taken */
        mem_free(p);
        return NULL;
    }
    while (s->n_pairs >= pairs_max(s))
        pair_free(s, list_entry(s->pairs.prev, struct pair, link));
    s->by_slot[c->slot] = p;
    s->n_pairs++;
    list_push(&s->pairs, &p->link);
    return p;
}

static const struct pair *pair_of(struct secure *s, const struct certificate_law *c) {
    struct pair *p = s->by_slot[c->slot];
    if (p == NULL || !is_current(p, c)) {
        if (p != NULL)
            pair_free(s, p);
        return pair_new(s, c);
    }
    list_del(&p->link);
    list_push(&s->pairs, &p->link);
    return p;
}

/* Keys that nobody may use any more are not kept. */
static void drop_old_pairs(struct secure *s) {
    list_each_safe(it, &s->pairs) {
        struct pair *p = list_entry(it, struct pair, link);
        if (!is_current(p, snapshot_certificate(s->law, p->slot)))
            pair_free(s, p);
    }
}

/* ---- a handshake ---- */

static const struct listener_law *listener_of(const struct secure *s, struct conn *c) {
    return snapshot_listener(s->law, visitor_of(c)->port);
}

static uint32_t certificates(const struct secure *s, struct conn *c, struct str name,
                             const struct certificate_law *list[CERTIFICATES_MAX]) {
    const struct listener_law *l = listener_of(s, c);
    return l != NULL ? snapshot_certificates(s->law, l, name, list) : 0;
}

static bool on_named(void *arg, struct conn *c, struct str name) {
    struct secure *s = arg;
    const struct certificate_law *list[CERTIFICATES_MAX];
    s->refused = NULL;
    const struct listener_law *l = listener_of(s, c);
    if (l && l->closed) {
        s->refused = "the listener is closed: what clients show cannot be judged";
        return false;
    }
    if (certificates(s, c, name, list) > 0)
        return true;
    s->refused = name.n > 0 ? "no certificate for the name that the client asks for"
                            : "the client names no host, and there is no default certificate";
    return false;
}

static bool on_show(void *arg, struct conn *c, struct str name) {
    struct secure *s = arg;
    const struct certificate_law *list[CERTIFICATES_MAX];
    uint32_t n = certificates(s, c, name, list);
    for (uint32_t i = 0; i < n; i++) {
        const struct pair *p = pair_of(s, list[i]);
        if (p != NULL)
            tls_show(c, &p->keys);
    }
    return n > 0;
}

/* It was used just now, so it is near the front. NULL: none was shown. */
static const struct pair *shown_pair(const struct secure *s, const struct conn *c) {
    const X509 *leaf = tls_shown(c);
    list_each(it, &s->pairs) {
        const struct pair *p = list_entry(it, struct pair, link);
        if (p->keys.leaf == leaf)
            return p;
    }
    return NULL;
}

/* One that has ended is worse than none, to a client that believes it. */
static struct str on_staple(void *arg, const struct conn *c) {
    const struct secure *s = arg;
    const struct pair *p = shown_pair(s, c);
    const struct certificate_law *law = p != NULL ? snapshot_certificate(s->law, p->slot) : NULL;
    if (law == NULL || !is_current(p, law) || (uint64_t)time(NULL) >= law->model->ocsp_until)
        return STR_NONE;
    return law->model->ocsp;
}

static uint64_t on_mark(void *arg, const struct conn *c) {
    const struct pair *p = shown_pair(arg, c);
    return p != NULL ? p->id_hash : 0;
}

static void tell(struct secure *s, const struct visitor *by, const char *reason) {
    unsigned unsaid;
    if (log_on(LOG_LEVEL_DEBUG) &&
        log_limited(&s->lines, (int64_t)(s->loop->now_ms / 1000), LINES, LINES_SECONDS, &unsaid))
        log_debug("tls", "a handshake failed client=%.*s port=%u reason=\"%s\" unsaid=%u",
                  STR_FMT(str_mk(by->text, by->text_n)), by->port, reason, unsaid);
}

static void on_over(void *arg, struct conn *c, const char *reason) {
    struct secure *s = arg;
    struct visitor *by = visitor_of(c);
    if (reason == NULL) {
        bool resumed = tls_resumed(c, &by->certificate);
        if (!resumed)
            by->certificate = on_mark(s, c);
        by->arrival = resumed ? ARRIVAL_RESUMED : ARRIVAL_SECURE;
        counter_add(resumed ? &s->counts.resumed : &s->counts.done, 1);
        return;
    }
    counter_add(s->refused != NULL      ? &s->counts.no_certificate
                : tls_client_refused(c) ? &s->counts.client_refused
                                        : &s->counts.failed,
                1);
    tell(s, by, s->refused != NULL ? s->refused : reason);
    s->refused = NULL;
}

void secure_timeout(struct secure *s, const struct visitor *by) {
    counter_add(&s->counts.timeout, 1);
    tell(s, by, "it took too long");
}

void secure_shed(struct secure *s, const struct visitor *by) {
    counter_add(&s->counts.shed, 1);
    if (by != NULL)
        tell(s, by, "too many handshakes at once");
}

void secure_broken(struct secure *s, const struct visitor *by) {
    counter_add(&s->counts.failed, 1);
    tell(s, by, "the client closed the connection");
}

/* ---- requests ---- */

bool secure_serves(const struct secure *s, const struct visitor *by, struct str host) {
    const struct certificate_law *list[CERTIFICATES_MAX];
    if (likely(tls_asked_for(by->secure, host)))
        return true;
    const struct listener_law *l = snapshot_listener(s->law, by->port);
    uint32_t n = l != NULL ? snapshot_certificates(s->law, l, host, list) : 0;
    for (uint32_t i = 0; i < n; i++)
        if (list[i]->id_hash == by->certificate)
            return true;
    return false;
}

/* ---- listeners ---- */

static void hash_part(EVP_MD_CTX *x, struct str s) {
    uint64_t n = s.n;
    must(EVP_DigestUpdate(x, &n, sizeof(n)) == 1 && EVP_DigestUpdate(x, s.p, s.n) == 1);
}

/* Of what makes sessions of one listener no business of another's (S38). */
static void set_scope(struct tls_policy *p, const struct model_listener *l) {
    static const char label[] = "sluice listener 1";
    EVP_MD_CTX *x = EVP_MD_CTX_new();
    must(x && EVP_DigestInit_ex2(x, EVP_sha256(), NULL) == 1);
    hash_part(x, STR(label));
    hash_part(x, l->gateway);
    hash_part(x, str_mk((const char *)&l->port, sizeof(l->port)));
    hash_part(x, str_mk((const char *)&p->min_version, sizeof(p->min_version)));
    hash_part(x, str_mk((const char *)&p->clients, sizeof(p->clients)));
    hash_part(x, p->client_ca);
    hash_part(x, p->client_crl);
    must(EVP_DigestFinal_ex(x, p->scope, NULL) == 1);
    EVP_MD_CTX_free(x);
}

static struct tls_policy policy_of(const struct listener_law *law) {
    const struct model_listener *l = law->model;
    bool only_13 = l->tls != NULL && l->tls->min_version == MODEL_TLS13;
    struct tls_policy p = {.min_version = only_13 ? TLS1_3_VERSION : TLS1_2_VERSION,
                           .protocols = "\x02h2\x08http/1.1",
                           .tickets = l->tls == NULL || !l->tls->no_tickets};
    if (l->tls != NULL && !law->closed && l->tls->client_validation != MODEL_CLIENT_NONE) {
        p.clients = l->tls->client_validation == MODEL_CLIENT_REQUEST    ? TLS_CLIENTS_REQUESTED
                    : l->tls->client_validation == MODEL_CLIENT_OPTIONAL ? TLS_CLIENTS_OPTIONAL
                                                                         : TLS_CLIENTS_REQUIRED;
        p.client_ca = l->tls->client_ca;
        p.client_crl = l->tls->client_crl;
    }
    set_scope(&p, l);
    return p;
}

static bool same_policy(const struct tls_policy *a, const struct tls_policy *b) {
    return a->tickets == b->tickets && memcmp(a->scope, b->scope, sizeof(a->scope)) == 0;
}

static void add_port(struct secure *s, const struct listener_law *l, struct port *old,
                     uint32_t n_old) {
    struct port *p = &s->ports[s->n_ports++];
    *p = (struct port){.number = l->port, .policy = policy_of(l)};
    for (uint32_t i = 0; i < n_old; i++) {
        if (old[i].number != l->port || !same_policy(&old[i].policy, &p->policy))
            continue;
        p->server = old[i].server;
        old[i].server = NULL;
    }
    if (p->server == NULL)
        p->server = tls_server_new(&p->policy, &s->ops);
    p->policy.client_ca = p->policy.client_crl = STR_NONE; /* they go with the snapshot */
    tls_server_keys(p->server, s->law->tickets);
}

static void set_ports(struct secure *s) {
    struct port old[PORTS_MAX];
    uint32_t n_old = s->n_ports;
    memcpy(old, s->ports, sizeof(old));
    s->n_ports = 0;
    for (uint32_t i = 0; i < s->law->n_listeners && s->n_ports < PORTS_MAX; i++)
        if (s->law->listeners[i].model->protocol == MODEL_HTTPS)
            add_port(s, &s->law->listeners[i], old, n_old);
    for (uint32_t i = 0; i < n_old; i++)
        tls_server_free(old[i].server);
}

struct tls_server *secure_server(const struct secure *s, uint16_t port) {
    for (uint32_t i = 0; i < s->n_ports; i++)
        if (s->ports[i].number == port)
            return s->ports[i].server;
    return NULL;
}

void secure_adopt(struct secure *s, const struct snapshot *law) {
    s->law = law;
    set_ports(s);
    drop_old_pairs(s);
    if (law->certificate_slots <= s->n_slots)
        return;
    uint32_t n = law->certificate_slots;
    s->by_slot = mem_realloc(s->by_slot, n * sizeof(struct pair *));
    memset(s->by_slot + s->n_slots, 0, (n - s->n_slots) * sizeof(struct pair *));
    s->n_slots = n;
}

/* ---- life ---- */

struct secure *secure_new(struct loop *l) {
    struct secure *s = mem_zalloc(sizeof(*s));
    s->loop = l;
    s->ops = (struct tls_server_ops){.arg = s,
                                     .named = on_named,
                                     .show = on_show,
                                     .staple = on_staple,
                                     .mark = on_mark,
                                     .over = on_over};
    list_init(&s->pairs);
    s->issuers = issuers_new();
    return s;
}

void secure_free(struct secure *s) {
    while (!list_empty(&s->pairs))
        pair_free(s, list_entry(s->pairs.next, struct pair, link));
    for (uint32_t i = 0; i < s->n_ports; i++)
        tls_server_free(s->ports[i].server);
    issuers_free(s->issuers);
    mem_free(s->by_slot);
    mem_free(s);
}

struct secure_counts secure_counts(const struct secure *s) {
    return (struct secure_counts){.done = counter_get(&s->counts.done),
                                  .resumed = counter_get(&s->counts.resumed),
                                  .no_certificate = counter_get(&s->counts.no_certificate),
                                  .client_refused = counter_get(&s->counts.client_refused),
                                  .shed = counter_get(&s->counts.shed),
                                  .timeout = counter_get(&s->counts.timeout),
                                  .failed = counter_get(&s->counts.failed)};
}
