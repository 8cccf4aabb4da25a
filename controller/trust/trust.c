/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/trust/trust.h"

#include "controller/trust/gate.h"
#include "controller/trust/issuer.h"
#include "controller/trust/keeper.h"
#include "lib/mem.h"
#include "lib/units.h"

#include <event2/event.h>
#include <time.h>

enum {
    ACCOUNTS_MAX = 32,
    NAMES = 6, /* of the link's Service */
    NAMES_MAX = NAMES + 1,
    NAME_ROOM = 400,
    FLEET_S = 7 * 86400,
    FLEET_LOOK_S = 600,
};

struct trust {
    struct keeper *keeper;
    struct gate *gate;
    struct issuer *issuer;
    struct event *fleet_due;
    char *namespace, *pod, *secret, *configmap;
    char *accounts[ACCOUNTS_MAX];
    size_t n_accounts;
    char names[NAMES_MAX][NAME_ROOM];
    const char *name_list[NAMES_MAX];
    size_t n_names;
    struct pki_pair fleet; /* leaf of all proxies */
    X509 *fleet_ca;        /* that has signed it, held */
    struct out cert, key;  /* as last told */
    struct tickets tickets, sessions;
    struct signing signing;
    bool signing_told;
    int64_t (*clock)(void);
    struct trust_events events;
    void *arg;
};

static int64_t now(void *arg) {
    const struct trust *t = arg;
    return t->clock ? t->clock() : (int64_t)time(NULL);
}

/* ---- what proxies need to help each other ---- */

static void tell_fleet(struct trust *t) {
    if (!t->fleet.cert || issuer_keys(t->issuer).n == 0)
        return;
    struct out cert = out_heap(PEM_BYTES_MAX), key = out_heap(PEM_BYTES_MAX);
    struct str accounts[ACCOUNTS_MAX];
    pem_put_cert(&cert, t->fleet.cert);
    pem_put_key(&key, t->fleet.key);
    for (size_t i = 0; i < t->n_accounts; i++)
        accounts[i] = str_of(t->accounts[i]);
    const struct wire_fleet m = {
        .cert = out_done(&cert),
        .key = out_done(&key),
        .keys = issuer_keys(t->issuer),
        .issuer = issuer_name(t->issuer),
        .audience = STR(GATE_AUDIENCE),
        .accounts = accounts,
        .n_accounts = (uint32_t)t->n_accounts,
    };
    t->events.fleet(t->arg, &m);
    OPENSSL_cleanse(key.p, key.n);
    out_fini(&cert);
    out_fini(&key);
}

static void renew_fleet(struct trust *t) {
    static const char *const name[] = {WIRE_PEER_NAME};
    const struct link_secret *s = keeper_secret(t->keeper);
    if (!s || !s->ca.key)
        return;
    bool same_ca = t->fleet_ca && X509_cmp(t->fleet_ca, s->ca.cert) == 0;
    if (t->fleet.cert && same_ca && !pki_is_due(t->fleet.cert, now(t)))
        return;
    pki_fini(&t->fleet);
    X509_free(t->fleet_ca);
    t->fleet = pki_leaf(&s->ca, now(t), FLEET_S, name, 1);
    t->fleet_ca = s->ca.cert;
    X509_up_ref(t->fleet_ca);
    tell_fleet(t);
}

static void on_fleet_due(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    renew_fleet(arg);
}

static void on_issuer(void *arg) { tell_fleet(arg); }

/* ---- our own ---- */

static void on_secret(void *arg, const struct link_secret *s) {
    struct trust *t = arg;
    struct out cert = out_heap(PEM_BYTES_MAX), key = out_heap(PEM_BYTES_MAX);
    link_secret_cert(s, &cert);
    link_secret_key(s, &key);
    bool same =
        str_eq(out_done(&cert), out_done(&t->cert)) && str_eq(out_done(&key), out_done(&t->key));
    if (!same) {
        out_fini(&t->cert);
        out_fini(&t->key);
        t->cert = cert;
        t->key = key;
        const struct ws_identity id = {out_done(&cert), out_done(&key)};
        struct out cas = out_heap(PEM_BYTES_MAX);
        link_secret_cas(s, &cas);
        t->events.identity(t->arg, &id, out_done(&cas));
        out_fini(&cas);
    } else {
        out_fini(&cert);
        out_fini(&key);
    }
    renew_fleet(t);
    if (!tickets_equal(&t->tickets, &s->tickets)) {
        t->tickets = s->tickets;
        t->events.tickets(t->arg, &t->tickets);
    }
    if (!tickets_equal(&t->sessions, &s->sessions)) {
        t->sessions = s->sessions;
        t->events.sessions(t->arg, &t->sessions);
    }
    if (!t->signing_told || !signing_equal(&t->signing, &s->signing)) {
        t->signing = s->signing;
        t->signing_told = true;
        t->events.signing(t->arg, &t->signing);
    }
}

/* ---- links ---- */

static void on_admit(void *arg, uint64_t proxy, struct str pod) {
    struct trust *t = arg;
    t->events.admit(t->arg, proxy, pod);
}

static void on_refuse(void *arg, uint64_t proxy, const char *reason) {
    struct trust *t = arg;
    t->events.refuse(t->arg, proxy, reason);
}

void trust_token(struct trust *t, uint64_t proxy, struct str token, const char *address) {
    gate_check(t->gate, proxy, token, address);
}
void trust_gone(struct trust *t, uint64_t proxy) { gate_forget(t->gate, proxy); }

/* ---- life ---- */

static int read_accounts(struct trust *t, const char *list, struct why *why) {
    struct shown shown;
    struct str rest = str_of(list), one, ns;
    while (rest.p) {
        rest = str_cut(rest, ',', &one);
        struct str name = str_cut(one, '/', &ns);
        if (ns.n == 0 || name.n == 0 || str_find(name, '/', 0) < name.n)
            return why_text(why, "%s is not a service account; write it as NAMESPACE/NAME",
                            why_show(one, &shown));
        if (t->n_accounts == ACCOUNTS_MAX)
            return why_text(why, "more than %d service accounts", ACCOUNTS_MAX);
        t->accounts[t->n_accounts++] = str_dup(one);
    }
    return 0;
}

/* Every way to write the Service, and its pods, as a wildcard. */
static int set_names(struct trust *t, struct str service, struct str ns, struct why *why) {
    static const struct {
        const char *before, *dot, *after;
    } forms[NAMES] = {{"", "", ""},        {"", ".", ""},
                      {"", ".", ".svc"},   {"", ".", ".svc.cluster.local"},
                      {"*.", ".", ".svc"}, {"*.", ".", ".svc.cluster.local"}};
    if (unit_dns_name(service, why) != 0 || unit_dns_name(ns, why) != 0)
        return -1;
    for (size_t i = 0; i < NAMES; i++) {
        struct out o = out_fixed(t->names[i], NAME_ROOM);
        struct str in = forms[i].dot[0] ? ns : STR_NONE;
        out_fmt(&o, "%s%.*s%s%.*s%s", forms[i].before, STR_FMT(service), forms[i].dot, STR_FMT(in),
                forms[i].after);
        out_char(&o, 0);
        if (o.over)
            return why_text(why, "the names of the Service are too long");
        t->name_list[i] = t->names[i];
    }
    t->n_names = NAMES;
    return 0;
}

/* The API server asks for no other name than this one. */
static int add_metrics(struct trust *t, const char *service, struct str ns, struct why *why) {
    if (!service)
        return 0;
    if (unit_dns_name(str_of(service), why) != 0)
        return -1;
    struct out o = out_fixed(t->names[NAMES], NAME_ROOM);
    out_fmt(&o, "%s.%.*s.svc", service, STR_FMT(ns));
    out_char(&o, 0);
    t->name_list[t->n_names++] = t->names[NAMES];
    return o.over ? why_text(why, "the name of the Service is too long") : 0;
}

static void open_all(struct trust *t, struct event_base *base, const struct trust_options *o) {
    struct timeval every = {FLEET_LOOK_S, 0};
    const struct gate_options g = {.client = o->client,
                                   .accounts = (const char *const *)t->accounts,
                                   .n_accounts = t->n_accounts,
                                   .now = now,
                                   .admit = on_admit,
                                   .refuse = on_refuse,
                                   .arg = t};
    const struct keeper_options k = {.client = o->client,
                                     .namespace = str_of(t->namespace),
                                     .pod = str_of(t->pod),
                                     .secret = t->secret,
                                     .configmap = t->configmap,
                                     .names = t->name_list,
                                     .n_names = t->n_names,
                                     .ticket_s = o->ticket_s,
                                     .signing_s = o->signing_s,
                                     .now = now,
                                     .changed = on_secret,
                                     .arg = t};
    t->gate = gate_new(base, &g);
    t->issuer = issuer_new(base, o->client, on_issuer, t);
    t->keeper = keeper_new(base, &k);
    t->fleet_due = event_new(base, -1, EV_PERSIST, on_fleet_due, t);
    must(t->fleet_due);
    event_add(t->fleet_due, &every);
}

struct trust *trust_new(struct event_base *base, const struct trust_options *o,
                        const struct trust_events *events, void *arg, struct why *why) {
    struct trust *t = mem_zalloc(sizeof(*t));
    t->clock = o->now;
    t->events = *events;
    t->arg = arg;
    t->namespace = str_dup(o->namespace);
    t->pod = str_dup(o->pod);
    t->secret = str_dup(str_of(o->secret));
    t->configmap = o->configmap ? str_dup(str_of(o->configmap)) : NULL;
    if (set_names(t, str_of(o->service), o->namespace, why) != 0 ||
        add_metrics(t, o->metrics, o->namespace, why) != 0 ||
        read_accounts(t, o->accounts, why) != 0) {
        trust_free(t);
        return NULL;
    }
    open_all(t, base, o);
    return t;
}

void trust_free(struct trust *t) {
    if (!t)
        return;
    if (t->fleet_due)
        event_free(t->fleet_due);
    keeper_free(t->keeper);
    issuer_free(t->issuer);
    gate_free(t->gate);
    pki_fini(&t->fleet);
    X509_free(t->fleet_ca);
    tickets_fini(&t->tickets);
    signing_fini(&t->signing);
    tickets_fini(&t->sessions);
    OPENSSL_cleanse(t->key.p, t->key.n);
    out_fini(&t->cert);
    out_fini(&t->key);
    for (size_t i = 0; i < t->n_accounts; i++)
        mem_free(t->accounts[i]);
    mem_free(t->namespace);
    mem_free(t->pod);
    mem_free(t->secret);
    mem_free(t->configmap);
    mem_free(t);
}

/* ---- what is known ---- */

bool trust_ready(const struct trust *t) { return keeper_secret(t->keeper) != NULL; }
void trust_look(struct trust *t) { keeper_look(t->keeper); }

void trust_problems(const struct trust *t, void (*each)(void *arg, struct str problem), void *arg) {
    const char *const all[] = {keeper_problem(t->keeper), gate_problem(t->gate)};
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        if (*all[i])
            each(arg, str_of(all[i]));
}

void trust_json(const struct trust *t, struct out *o) {
    const struct link_secret *s = keeper_secret(t->keeper);
    out_fmt(o, "{\"ready\":%s,\"own_ca\":%s", s ? "true" : "false",
            s && !s->foreign ? "true" : "false");
    if (s)
        out_fmt(o, ",\"expires_ms\":%lld", (long long)pki_not_after(s->leaf.cert) * 1000);
    out_lit(o, ",\"secret\":");
    out_json(o, str_of(keeper_problem(t->keeper)));
    out_fmt(o, ",\"peers\":%s,", t->fleet.cert && issuer_keys(t->issuer).n > 0 ? "true" : "false");
    gate_json(t->gate, o);
    out_char(o, '}');
}

static void expiry(const char *secret, const char *what, const X509 *cert, struct metric_text *m) {
    char room[400];
    struct out labels = out_fixed(room, sizeof(room));
    if (!cert)
        return;
    metric_label(&labels, "secret", str_of(secret));
    metric_label(&labels, "certificate", str_of(what));
    metric_count(m, out_done(&labels), (uint64_t)pki_not_after(cert));
}

void trust_metrics(const struct trust *t, struct metric_text *m) {
    const struct link_secret *s = keeper_secret(t->keeper);
    gate_metrics(t->gate, m);
    metric_family(m, METRIC_GAUGE, "sluice_controller_link_certificate_expiry_timestamp_seconds",
                  "When the certificates of the link end, in Unix time.");
    if (!s)
        return;
    expiry(t->secret, "ca", s->ca.cert, m);
    expiry(t->secret, "leaf", s->leaf.cert, m);
}
