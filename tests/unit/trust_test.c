/* SPDX-License-Identifier: Apache-2.0
 *
 * The room of trust against an API server that is played here (tests/unit/fake_api.h), with a clock
 * that the test turns: CA and leaf through all their lives, two replicas at once, who is admitted,
 * and what happens while nobody answers.
 */
#include "controller/trust/link_secret.h"
#include "controller/trust/trust.h"
#include "lib/log.h"
#include "tests/unit/fake_api.h"

#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { REPLICAS = 2, WITHIN_S = 20, LINKS = 64, DAY = 86400 };
#define SECRET    "/api/v1/namespaces/sluice/secrets/sluice-link"
#define CONFIGMAP "/api/v1/namespaces/sluice/configmaps/sluice-link-ca"

enum fate { UNDECIDED, ADMITTED, REFUSED };

static struct event_base *base;
static int64_t clock_s;
static int log_file;
static struct trust *replicas[REPLICAS];
static struct kube_client *client;

/* What each replica was told. */
static struct told {
    unsigned identities, fleets, rotations, signings;
    struct tickets tickets, sessions;
    struct signing signing;
    char *cert, *key, *fleet_cert, *fleet_keys, *fleet_account;
    enum fate fate[LINKS]; /* by number of the link */
    char text[LINKS][200]; /* pod, or reason */
} told[REPLICAS];

/* ---- the world ---- */

static int64_t now(void) { return clock_s; }

static void turn(void) {
    struct timeval soon = {0, 5000};
    event_base_loopexit(base, &soon);
    event_base_loop(base, EVLOOP_ONCE);
}

#define until(condition)                                                                           \
    do {                                                                                           \
        time_t end = time(NULL) + WITHIN_S;                                                        \
        while (!(condition)) {                                                                     \
            if (time(NULL) > end)                                                                  \
                fail_msg("line %d: never true: %s", __LINE__, #condition);                         \
            turn();                                                                                \
        }                                                                                          \
    } while (0)

static void keep(char **to, struct str s) {
    mem_free(*to);
    *to = str_dup(s);
}

static void on_identity(void *arg, const struct ws_identity *id, struct str cas) {
    struct told *t = arg;
    assert_true(str_starts(cas, STR("-----BEGIN CERTIFICATE-----")));
    t->identities++;
    keep(&t->cert, id->cert);
    keep(&t->key, id->key);
}

static void on_fleet(void *arg, const struct wire_fleet *f) {
    struct told *t = arg;
    t->fleets++;
    keep(&t->fleet_cert, f->cert);
    keep(&t->fleet_keys, f->keys);
    keep(&t->fleet_account, f->accounts[0]);
    assert_true(str_eq(f->issuer, STR("https://cluster")));
    assert_true(f->key.n > 0);
}

static void on_tickets(void *arg, const struct tickets *t) {
    struct told *to = arg;
    to->rotations++;
    to->tickets = *t;
}

static void on_signing(void *arg, const struct signing *s) {
    struct told *to = arg;
    to->signings++;
    to->signing = *s;
}

static void on_sessions(void *arg, const struct tickets *t) { ((struct told *)arg)->sessions = *t; }

static void on_admit(void *arg, uint64_t proxy, struct str pod) {
    struct told *t = arg;
    t->fate[proxy] = ADMITTED;
    snprintf(t->text[proxy], 200, "%.*s", STR_FMT(pod));
}

static void on_refuse(void *arg, uint64_t proxy, const char *reason) {
    struct told *t = arg;
    t->fate[proxy] = REFUSED;
    snprintf(t->text[proxy], 200, "%s", reason);
}

static void start(int i) {
    static const struct trust_events events = {on_identity, on_fleet,  on_tickets, on_sessions,
                                               on_admit,    on_refuse, on_signing};
    const struct trust_options o = {.client = client,
                                    .namespace = STR("sluice"),
                                    .pod = STR("controller-1"),
                                    .secret = "sluice-link",
                                    .configmap = "sluice-link-ca",
                                    .service = "sluice-controller",
                                    .accounts = "sluice/sluice-proxy,other/proxy",
                                    .ticket_s = 8 * 3600,
                                    .signing_s = DAY,
                                    .now = now};
    struct why why = {0};
    replicas[i] = trust_new(base, &o, &events, &told[i], &why);
    assert_non_null(replicas[i]);
}

static void stop(int i) {
    trust_free(replicas[i]);
    replicas[i] = NULL;
    mem_free(told[i].cert);
    mem_free(told[i].key);
    mem_free(told[i].fleet_cert);
    mem_free(told[i].fleet_keys);
    mem_free(told[i].fleet_account);
    memset(&told[i], 0, sizeof(told[i]));
}

/* A key set that is one. */
static const char *jwks(int which) {
    static char room[600];
    snprintf(room, sizeof(room),
             "{\"which\":%d,\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"k\",\"x\":"
             "\"04N0xi21hshyvBp7I167sbE_bXqyqkAPfefdklMO7wY\",\"y\":"
             "\"UI8exy-C06a7DUnjIdENkxeFtHM4-l_41LqEw9nVgmw\"}]}",
             which);
    return room;
}

static const char *say_yes(const char *token);

static int setup(void **state) {
    (void)state;
    base = event_base_new();
    client = api_new(base);
    clock_s = time(NULL);
    api.review = say_yes;
    api_put_text("/.well-known/openid-configuration", "{\"issuer\":\"https://cluster\"}");
    api_put_text("/openid/v1/jwks", jwks(1));
    log_file = memfd_create("log", 0);
    log_fd(getenv("LOG") ? 2 : log_file);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    for (int i = 0; i < REPLICAS; i++)
        stop(i);
    for (int i = 0; i < 10; i++) /* what was cancelled ends */
        turn();
    api_free();
    event_base_free(base);
    log_fd(2);
    close(log_file);
    return 0;
}

static unsigned logged(const char *text) {
    static char room[1 << 20];
    ssize_t n = pread(log_file, room, sizeof(room) - 1, 0);
    unsigned count = 0;
    room[n > 0 ? n : 0] = 0;
    for (const char *p = room; (p = strstr(p, text)); p++)
        count++;
    return count;
}

/* ---- certificates ---- */

static const char *data(const char *path, const char *key) {
    return cJSON_GetStringValue(
        cJSON_GetObjectItem(cJSON_GetObjectItem(api_get(path), "data"), key));
}

static int cas_published(void) {
    const char *text = data(CONFIGMAP, "ca.crt");
    STACK_OF(X509) *certs = text ? pem_certs(str_of(text), NULL) : NULL;
    int n = certs ? sk_X509_num(certs) : 0;
    sk_X509_pop_free(certs, X509_free);
    return n;
}

/* Whether a proxy that has read the ConfigMap believes this leaf, for this name, at this time. */
static bool believed(const char *leaf, const char *name) {
    STACK_OF(X509) *cas = pem_certs(str_of(data(CONFIGMAP, "ca.crt")), NULL);
    STACK_OF(X509) *certs = pem_certs(str_of(leaf), NULL);
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    for (int i = 0; i < sk_X509_num(cas); i++)
        X509_STORE_add_cert(store, sk_X509_value(cas, i));
    must(X509_STORE_CTX_init(ctx, store, sk_X509_value(certs, 0), NULL) == 1);
    X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);
    X509_STORE_CTX_set_default(ctx, "ssl_server");
    X509_VERIFY_PARAM_set1_host(param, name, 0);
    X509_VERIFY_PARAM_set_time(param, clock_s);
    bool good = X509_verify_cert(ctx) == 1;
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    sk_X509_pop_free(certs, X509_free);
    sk_X509_pop_free(cas, X509_free);
    return good;
}

#define OUR_NAME "sluice-controller.sluice.svc"

/* The replica has looked at everything once more. */
static void look(int i) {
    until(api.in_flight == 0);
    unsigned gets = api.gets;
    trust_look(replicas[i]);
    until(api.gets > gets && api.in_flight == 0);
}

static void note_problem(void *arg, struct str problem) {
    out_str(arg, problem);
    out_char(arg, '\n');
}

static bool has_problem(const char *text) {
    struct out o = out_heap(4096);
    trust_problems(replicas[0], note_problem, &o);
    out_char(&o, 0);
    bool found = strstr(o.p, text) != NULL;
    out_fini(&o);
    return found;
}

static void a_first_start_makes_everything(void **state) {
    (void)state;
    api_put_text("/api/v1/namespaces/sluice/pods/controller-1",
                 "{\"metadata\":{\"ownerReferences\":[{\"kind\":\"ReplicaSet\",\"name\":\"rs-1\","
                 "\"controller\":true}]}}");
    api_put_text(
        "/apis/apps/v1/namespaces/sluice/replicasets/rs-1",
        "{\"metadata\":{\"ownerReferences\":[{\"apiVersion\":\"apps/v1\",\"kind\":"
        "\"Deployment\",\"name\":\"sluice-controller\",\"uid\":\"u-7\",\"controller\":true}"
        "]}}");
    start(0);
    assert_false(trust_ready(replicas[0]));
    until(told[0].identities == 1 && cas_published() == 1);
    assert_true(trust_ready(replicas[0]));
    static const char *const names[] = {OUR_NAME, "sluice-controller", "sluice-controller.sluice",
                                        "sluice-controller.sluice.svc.cluster.local",
                                        "10-0-0-1.sluice-controller.sluice.svc"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        assert_true(believed(told[0].cert, names[i]));
    assert_false(believed(told[0].cert, "sluice-proxy.sluice.svc"));
    assert_false(believed(told[0].cert, WIRE_PEER_NAME));
    const cJSON *meta = cJSON_GetObjectItem(api_get(SECRET), "metadata");
    assert_true(str_eq(json_text(json_get(meta, "labels"), "app.kubernetes.io/managed-by"),
                       STR("sluice-controller")));
    const cJSON *owner = cJSON_GetArrayItem(json_get(meta, "ownerReferences"), 0);
    assert_true(str_eq(json_text(owner, "uid"), STR("u-7")));
    assert_non_null(data(SECRET, "ca.key"));
    assert_null(data(SECRET, "ca-next.crt"));
    assert_null(data(CONFIGMAP, "ca.key"));
    assert_null(strstr(data(CONFIGMAP, "ca.crt"), "PRIVATE"));
    unsigned version = api.version; /* and then nothing is written any more */
    look(0);
    look(0);
    assert_int_equal(api.version, version);
    assert_int_equal(told[0].identities, 1);
}

static void two_replicas_at_once_agree(void **state) {
    (void)state;
    start(0);
    start(1);
    until(told[0].identities >= 1 && told[1].identities >= 1);
    until(cas_published() == 1);
    look(0);
    look(1);
    assert_string_equal(told[0].cert, told[1].cert);
    assert_string_equal(told[0].key, told[1].key);
    assert_true(believed(told[0].cert, OUR_NAME));
    unsigned posts = api.posts;
    assert_in_range(posts, 3, 4); /* both have tried; one was first */
    stop(0);
    start(0); /* a restart reads what is there */
    until(told[0].identities == 1);
    assert_string_equal(told[0].cert, told[1].cert);
    assert_int_equal(api.posts, posts);
}

static void the_leaf_is_renewed_when_two_thirds_are_over(void **state) {
    (void)state;
    start(0);
    start(1);
    until(told[0].identities == 1 && told[1].identities == 1 && cas_published() == 1);
    char *ca = str_dup(str_of(data(CONFIGMAP, "ca.crt")));
    clock_s += 59 * DAY;
    look(0);
    assert_int_equal(told[0].identities, 1);
    clock_s += 2 * DAY;
    trust_look(replicas[0]);
    trust_look(replicas[1]); /* both find it due: one writes, the other reads */
    until(told[0].identities == 2 && told[1].identities == 2);
    assert_string_equal(told[0].cert, told[1].cert);
    assert_true(believed(told[0].cert, OUR_NAME));
    assert_string_equal(ca, data(CONFIGMAP, "ca.crt"));
    clock_s += 60 * DAY;
    assert_true(believed(told[0].cert, OUR_NAME)); /* another ninety days */
    mem_free(ca);
}

static void two_cas_overlap(void **state) {
    (void)state;
    start(0);
    until(told[0].identities == 1 && cas_published() == 1);
    clock_s += LINK_CA_S / 3 * 2 + DAY;
    look(0);
    until(cas_published() == 2 && told[0].identities == 2); /* of the old CA, the leaf was due */
    char *leaf = str_dup(str_of(told[0].cert));
    clock_s += DAY - 600;
    look(0);
    assert_int_equal(told[0].identities, 2); /* not published for a day yet */
    assert_int_equal(cas_published(), 2);
    clock_s += 1200;
    look(0);
    until(told[0].identities == 3);
    assert_true(believed(told[0].cert, OUR_NAME));
    assert_true(believed(leaf, OUR_NAME)); /* of a replica that has not looked yet */
    assert_int_equal(cas_published(), 2);
    clock_s += 2 * DAY + 600;
    look(0);
    until(cas_published() == 1);
    assert_true(believed(told[0].cert, OUR_NAME));
    assert_false(believed(leaf, OUR_NAME));
    assert_int_equal(told[0].identities, 3);
    assert_null(data(SECRET, "ca-old.crt"));
    assert_null(data(SECRET, "ca-next.key"));
    mem_free(leaf);
}

static void a_ca_that_cannot_be_published_does_not_sign(void **state) {
    (void)state;
    start(0);
    until(told[0].identities == 1 && cas_published() == 1);
    api.fail_path = CONFIGMAP;
    api.fail = 403;
    clock_s += LINK_CA_S / 3 * 2 + DAY;
    trust_look(replicas[0]);
    until(told[0].identities == 2 && data(SECRET, "ca-next.crt"));
    clock_s += 10 * DAY;
    look(0);
    assert_true(believed(told[0].cert, OUR_NAME));
    assert_true(has_problem("configmaps/sluice-link-ca: 403"));
    api.fail_path = NULL;
    look(0);
    until(cas_published() == 2);
    look(0);
    until(told[0].identities == 3);
    assert_true(believed(told[0].cert, OUR_NAME));
}

static void base64(const struct out *pem, char *room) {
    EVP_EncodeBlock((unsigned char *)room, (const unsigned char *)pem->p, (int)pem->n);
}

/* A Secret as cert-manager makes it. */
static void put_foreign(const char *ca_name) {
    static char text[20000], cert[4000], key[4000], ca_cert[4000];
    static const char *const names[] = {OUR_NAME};
    struct pki_pair ca = pki_ca(clock_s, 100 * DAY), leaf = pki_leaf(&ca, clock_s, DAY, names, 1);
    struct out o = out_heap(4000);
    pem_put_cert(&o, leaf.cert);
    base64(&o, cert);
    o.n = 0;
    pem_put_key(&o, leaf.key);
    base64(&o, key);
    o.n = 0;
    pem_put_cert(&o, ca.cert);
    base64(&o, ca_cert);
    out_fini(&o);
    snprintf(text, sizeof(text),
             "{\"type\":\"kubernetes.io/tls\",\"metadata\":{\"name\":\"sluice-link\"},\"data\":{"
             "\"tls.crt\":\"%s\",\"tls.key\":\"%s\",\"%s\":\"%s\"}}",
             cert, key, ca_name, ca_cert);
    api_put_text(SECRET, text);
    pki_fini(&ca);
    pki_fini(&leaf);
}

static void a_foreign_secret_is_used_and_never_written(void **state) {
    (void)state;
    put_foreign("ca.crt");
    start(0);
    until(told[0].identities == 1 && cas_published() == 1);
    assert_true(believed(told[0].cert, OUR_NAME));
    clock_s += 10 * DAY; /* not ours to renew */
    look(0);
    assert_int_equal(api.patches, 0);
    assert_int_equal(told[0].identities, 1);
    put_foreign("ca.crt"); /* its owner does */
    look(0);
    until(told[0].identities == 2);
    until(believed(told[0].cert, OUR_NAME));
    assert_int_equal(told[0].fleets, 0); /* no key of a CA, no peers */
    put_foreign("other.crt");
    look(0);
    assert_int_equal(told[0].identities, 2); /* what is known stays */
    assert_int_equal(logged("ca.crt: is missing"), 1);
}

/* ---- keys of session tickets ---- */

static bool same_tickets(void) {
    return tickets_equal(&told[0].tickets, &told[1].tickets) &&
           tickets_equal(&told[0].sessions, &told[1].sessions);
}

static void keys_of_tickets_are_in_the_secret(void **state) {
    (void)state;
    enum { PERIOD = 8 * 3600 };
    start(0);
    start(1);
    until(told[0].rotations > 0 && told[1].rotations > 0 && cas_published() == 1);
    look(0);
    look(1);
    assert_true(same_tickets());
    assert_non_null(data(SECRET, "tickets"));
    assert_non_null(data(SECRET, "sessions"));
    assert_int_equal(told[0].sessions.n, 2); /* keys of their own */
    assert_memory_not_equal(told[0].sessions.v[0].secret, told[0].tickets.v[0].secret,
                            TICKET_SECRET);
    assert_null(data(CONFIGMAP, "tickets"));
    struct tickets before = told[0].tickets;
    assert_int_equal(before.n, 2);
    assert_int_equal(before.v[0].from, clock_s);
    assert_int_equal(before.v[1].from, clock_s + PERIOD);
    for (int i = 1; i < 10; i++) {
        until(api.in_flight == 0);
        clock_s += PERIOD;
        trust_look(replicas[0]);
        trust_look(replicas[1]); /* both find it due: one writes, the other reads */
        until(told[0].tickets.v[told[0].tickets.n - 1].from == clock_s + PERIOD && same_tickets());
        const struct tickets *now = &told[0].tickets;
        assert_int_equal(now->n, 3);
        assert_memory_equal(&now->v[1], &before.v[before.n - 1], sizeof(now->v[1]));
        before = *now;
    }
    stop(1);
    start(1); /* a restart reads what is there */
    until(told[1].rotations > 0);
    assert_true(same_tickets());
    clock_s += 10 * DAY; /* nobody was there: all of them are over */
    look(0);
    until(told[0].tickets.n == 2);
    assert_int_equal(told[0].tickets.v[0].from, clock_s);
}

static void keys_of_tickets_that_were_edited_are_made_anew(void **state) {
    (void)state;
    start(0);
    until(told[0].rotations == 1 && cas_published() == 1);
    cJSON *d = cJSON_GetObjectItem(api_get(SECRET), "data");
    cJSON_ReplaceItemInObject(d, "tickets", cJSON_CreateString("bm9uc2Vuc2U="));
    look(0);
    until(told[0].rotations == 2);
    assert_int_equal(told[0].tickets.n, 2);
    assert_int_equal(told[0].identities, 1);
}

static void keys_of_tickets_from_a_foreign_secret(void **state) {
    (void)state;
    put_foreign("ca.crt");
    start(0);
    start(1);
    until(told[0].rotations == 1 && told[1].rotations == 1);
    assert_int_equal(told[0].tickets.n, 3);
    assert_int_equal(told[0].sessions.n, 3);
    assert_memory_not_equal(told[0].sessions.v[0].secret, told[0].tickets.v[0].secret,
                            TICKET_SECRET);
    assert_true(same_tickets());
    struct tickets before = told[0].tickets;
    clock_s += 8 * 3600;
    look(0);
    look(1);
    assert_true(same_tickets());
    assert_memory_equal(&told[0].tickets.v[0], &before.v[1], 2 * sizeof(before.v[0]));
    assert_int_equal(api.patches, 0);
}

/* ---- keys of internal tokens ---- */

static bool same_signing(void) { return signing_equal(&told[0].signing, &told[1].signing); }

static void keys_of_tokens_are_in_the_secret(void **state) {
    (void)state;
    start(0);
    start(1);
    until(told[0].signings > 0 && told[1].signings > 0 && cas_published() == 1);
    look(0);
    look(1);
    assert_true(same_signing());
    assert_non_null(data(SECRET, "signing"));
    assert_null(data(CONFIGMAP, "signing"));
    struct signing before = told[0].signing;
    assert_int_equal(before.n, 2);
    for (int i = 1; i < 5; i++) {
        until(api.in_flight == 0);
        clock_s += DAY;
        trust_look(replicas[0]);
        trust_look(replicas[1]); /* both find it due: one writes, the other reads */
        until(told[0].signing.v[told[0].signing.n - 1].from == clock_s + DAY && same_signing());
        const struct signing *now = &told[0].signing;
        assert_int_equal(now->n, 3);
        assert_memory_equal(&now->v[1], &before.v[before.n - 1], sizeof(now->v[1]));
        before = *now;
    }
    stop(1);
    start(1); /* a restart reads what is there */
    until(told[1].signings > 0);
    assert_true(same_signing());
    until(api.in_flight == 0);
    cJSON *d = cJSON_GetObjectItem(api_get(SECRET), "data");
    cJSON_ReplaceItemInObject(d, "signing", cJSON_CreateString("bm9uc2Vuc2U="));
    look(0); /* what was edited is made anew */
    until(!same_signing());
    assert_int_equal(told[0].signing.n, 2);
    look(1);
    until(same_signing());
}

static void a_foreign_secret_has_no_keys_of_tokens(void **state) {
    (void)state;
    put_foreign("ca.crt");
    start(0);
    until(told[0].signings == 1);
    assert_int_equal(told[0].signing.n, 0);
    clock_s += DAY;
    look(0);
    assert_int_equal(told[0].signings, 1);
    assert_int_equal(api.patches, 0);
}

static void what_cannot_be_read_is_named_and_what_is_known_stays(void **state) {
    (void)state;
    api.fail_path = SECRET;
    api.fail = 403;
    start(0);
    until(logged("GET " SECRET ": 403 of the test") == 1);
    assert_false(trust_ready(replicas[0]));
    api.fail_path = NULL;
    trust_look(replicas[0]);
    until(told[0].identities == 1);
    until(logged("can be kept again") == 1);
    cJSON *d = cJSON_GetObjectItem(api_get(SECRET), "data");
    cJSON_ReplaceItemInObject(d, "ca.key", cJSON_CreateString("bm9uc2Vuc2U="));
    look(0);
    until(logged("Secret sluice/sluice-link: ca.crt: the private key cannot be read") == 1);
    assert_int_equal(told[0].identities, 1);
    assert_int_equal(api.patches, 0);
    api_delete(SECRET); /* as the sentence in docs/link.md says */
    trust_look(replicas[0]);
    until(told[0].identities == 2);
    until(believed(told[0].cert, OUR_NAME));
}

/* ---- the fleet ---- */

static void the_fleet_is_told_what_peers_need(void **state) {
    (void)state;
    start(0);
    until(told[0].fleets == 1 && cas_published() == 1);
    assert_true(believed(told[0].fleet_cert, WIRE_PEER_NAME));
    assert_false(believed(told[0].fleet_cert, OUR_NAME));
    assert_string_equal(told[0].fleet_account, "sluice/sluice-proxy");
    assert_non_null(strstr(told[0].fleet_keys, "\"which\":1"));
    look(0);
    assert_int_equal(told[0].fleets, 1);
    clock_s += 5 * DAY;
    char *before = str_dup(str_of(told[0].fleet_cert));
    look(0);
    until(told[0].fleets == 2);
    assert_string_not_equal(before, told[0].fleet_cert);
    assert_true(believed(told[0].fleet_cert, WIRE_PEER_NAME));
    mem_free(before);
}

static void without_token_keys_there_are_no_peers(void **state) {
    (void)state;
    api.fail_path = "/openid";
    api.fail = 403;
    start(0);
    until(told[0].identities == 1 && logged("the cluster's token keys cannot be read") == 1);
    assert_int_equal(told[0].fleets, 0);
    api.fail_path = NULL;
    until(told[0].fleets == 1);
}

/* ---- who may link ---- */

static char tokens[8][1000];

/* An unsigned token: what the gate looks at before it asks. */
static const char *token(int i, const char *account, const char *audience, int64_t expires) {
    char claims[400];
    unsigned char body[800];
    snprintf(claims, sizeof(claims),
             "{\"sub\":\"system:serviceaccount:%s\",\"aud\":[\"%s\"],\"exp\":%lld}", account,
             audience, (long long)expires);
    int n = EVP_EncodeBlock(body, (const unsigned char *)claims, (int)strlen(claims));
    while (n > 0 && body[n - 1] == '=')
        n--;
    body[n] = 0;
    for (int k = 0; k < n; k++)
        body[k] = body[k] == '+' ? '-' : body[k] == '/' ? '_' : body[k];
    snprintf(tokens[i], sizeof(tokens[i]), "eyJhbGciOiJFUzI1NiJ9.%s.c2ln", (char *)body);
    return tokens[i];
}

static const char *good_token(int i) {
    char account[60];
    snprintf(account, sizeof(account), "sluice:sluice-proxy");
    return token(i, account, "sluice-controller", clock_s + 3600 + i);
}

#define USER(account, audience)                                                                    \
    "{\"authenticated\":true,\"audiences\":[\"" audience "\"],\"user\":{\"username\":"             \
    "\"system:serviceaccount:" account "\",\"extra\":{\"authentication.kubernetes.io/pod-name\":"  \
    "[\"proxy-1\"]}}}"

static const char *say_yes(const char *text) {
    (void)text;
    return USER("sluice:sluice-proxy", "sluice-controller");
}
static const char *say_no(const char *text) {
    (void)text;
    return "{\"authenticated\":false,\"error\":\"[invalid bearer token, \\u001b[31m]\"}";
}
static const char *say_other_account(const char *text) {
    (void)text;
    return USER("sluice:default", "sluice-controller");
}
static const char *say_other_audience(const char *text) {
    (void)text;
    return USER("sluice:sluice-proxy", "https://kubernetes");
}

static void show(uint64_t link, const char *text) {
    trust_token(replicas[0], link, str_of(text), "10.0.0.9");
}
static enum fate fate(uint64_t link) { return told[0].fate[link]; }

static void a_good_token_is_admitted_and_remembered(void **state) {
    (void)state;
    start(0);
    show(1, good_token(0));
    assert_int_equal(fate(1), UNDECIDED);
    until(fate(1) == ADMITTED);
    assert_string_equal(told[0].text[1], "proxy-1");
    show(2, good_token(0)); /* known */
    assert_int_equal(fate(2), ADMITTED);
    assert_string_equal(told[0].text[2], "proxy-1");
    assert_int_equal(api.reviews, 1);
    show(3, good_token(1)); /* another one */
    until(fate(3) == ADMITTED);
    assert_int_equal(api.reviews, 2);
    /* it is asked about once more after ten minutes */
    trust_gone(replicas[0], 1);
    trust_gone(replicas[0], 2);
    clock_s += 601;
    show(4, tokens[0]);
    assert_int_equal(fate(4), UNDECIDED);
    until(fate(4) == ADMITTED);
}

static void what_is_no_good_is_refused_without_a_question(void **state) {
    (void)state;
    start(0);
    const struct {
        const char *token, *reason, *metric;
    } cases[] = {
        {"", "no token was shown", "no_token"},
        {"nonsense", "the token cannot be read", "malformed"},
        {token(0, "sluice:sluice-proxy", "https://kubernetes", clock_s + 600),
         "the token is not for the audience sluice-controller", "audience"},
        {token(1, "sluice:default", "sluice-controller", clock_s + 600),
         "the token's service account may not link", "account"},
        {token(2, "sluice:sluice-proxy:x", "sluice-controller", clock_s + 600),
         "the token's service account may not link", "account"},
        {token(3, "sluice:sluice-proxy", "sluice-controller", clock_s - 61),
         "the token has expired", "expired"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        show(i, cases[i].token);
        assert_int_equal(fate(i), REFUSED);
        assert_string_equal(told[0].text[i], cases[i].reason);
    }
    assert_int_equal(api.reviews, 0);
    assert_int_equal(logged("a proxy is refused address=10.0.0.9 account=sluice/default "
                            "reason=account: the token's service account may not link"),
                     1);
    assert_int_equal(logged("eyJ"), 0); /* nothing of a token */
    struct out o = out_heap(64 << 10);
    struct metric_text m;
    metric_begin(&m, &o, false);
    trust_metrics(replicas[0], &m);
    out_char(&o, 0);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char row[100];
        snprintf(row, sizeof(row), "sluice_controller_link_refused_total{reason=\"%s\"} %d\n",
                 cases[i].metric, strcmp(cases[i].metric, "account") == 0 ? 2 : 1);
        if (!strstr(o.p, row))
            fail_msg("no %s in %s", row, o.p);
    }
    out_fini(&o);
}

static void the_api_server_decides(void **state) {
    (void)state;
    start(0);
    api.review = say_no;
    show(1, good_token(0));
    until(fate(1) == REFUSED);
    assert_string_equal(told[0].text[1], "the API server does not know the token");
    show(2, tokens[0]); /* a no is remembered for ten seconds */
    assert_int_equal(fate(2), REFUSED);
    assert_int_equal(api.reviews, 1);
    clock_s += 11;
    api.review = say_yes;
    show(3, tokens[0]);
    until(fate(3) == ADMITTED);
    api.review = say_other_account;
    show(4, good_token(1));
    until(fate(4) == REFUSED);
    assert_string_equal(told[0].text[4], "the token's service account may not link");
    api.review = say_other_audience; /* a server that does not know audiences */
    show(5, good_token(2));
    until(fate(5) == REFUSED);
    assert_string_equal(told[0].text[5], "the token is not for the audience sluice-controller");
}

static void silence_of_the_api_server_is_not_a_no(void **state) {
    (void)state;
    start(0);
    show(1, good_token(0));
    until(fate(1) == ADMITTED);
    api.fail_path = "/apis/authentication.k8s.io";
    api.fail = 0;
    show(2, good_token(1)); /* not known: it waits */
    until(logged("tokens cannot be reviewed, proxies that are not known yet wait") == 1);
    unsigned reviews = api.reviews;
    clock_s += 60;
    until(api.reviews > reviews); /* asked again */
    assert_int_equal(fate(2), UNDECIDED);
    show(3, tokens[0]); /* known and fresh */
    assert_int_equal(fate(3), ADMITTED);
    clock_s += 700; /* known, not fresh */
    show(4, tokens[0]);
    assert_int_equal(fate(4), UNDECIDED);
    until(fate(4) == ADMITTED);
    clock_s += 3600; /* known, and over */
    show(5, tokens[0]);
    assert_int_equal(fate(5), REFUSED);
    assert_int_equal(fate(1), ADMITTED); /* links that are open stay */
    assert_true(has_problem("tokenreviews: no answer"));
    api.fail_path = NULL;
    clock_s += 60;
    until(fate(2) == ADMITTED); /* this one had shown it in time: the API server judges */
    assert_int_equal(logged("tokens are reviewed again"), 1);
}

static void a_revoked_token_ends_its_link(void **state) {
    (void)state;
    start(0);
    show(1, good_token(0));
    until(fate(1) == ADMITTED);
    api.review = say_no; /* its pod was deleted */
    clock_s += 601;
    until(fate(1) == REFUSED); /* asked by itself */
    assert_string_equal(told[0].text[1], "the API server does not know the token");
    trust_gone(replicas[0], 1);
}

static void a_renewed_token_replaces_the_old_one(void **state) {
    (void)state;
    start(0);
    show(1, good_token(0));
    until(fate(1) == ADMITTED);
    told[0].fate[1] = UNDECIDED;
    show(1, good_token(1));
    until(fate(1) == ADMITTED);
    assert_int_equal(api.reviews, 2);
    show(1, token(2, "sluice:default", "sluice-controller", clock_s + 600));
    assert_int_equal(fate(1), REFUSED);
}

static void many_at_once_are_asked_for_in_turn(void **state) {
    (void)state;
    start(0);
    until(told[0].identities == 1);
    api.hold = true;
    for (uint64_t i = 0; i < 40; i++) { /* forty links, twenty tokens */
        static char text[1000];

        snprintf(
            text, sizeof(text), "%s",
            token(0, "sluice:sluice-proxy", "sluice-controller", clock_s + 600 + (int64_t)i / 2));
        show(i, text);
    }
    for (int i = 0; i < 10; i++)
        turn();
    assert_int_equal(api.reviews, 8);
    trust_gone(replicas[0], 39); /* one goes while it waits */
    api.hold = false;
    for (uint64_t i = 0; i < 39; i++)
        until(fate(i) == ADMITTED);
    assert_int_equal(fate(39), UNDECIDED);
    assert_int_equal(api.reviews, 20);
    assert_int_equal(api.most_at_once, 8);
}

static void refusals_are_not_a_flood_of_lines(void **state) {
    (void)state;
    start(0);
    for (int i = 0; i < 1000; i++) {
        show(1, "nonsense");
        trust_gone(replicas[0], 1);
    }
    assert_int_equal(logged("a proxy is refused"), 10);
    clock_s += 11;
    show(1, "nonsense");
    assert_int_equal(logged("a proxy is refused"), 11);
    assert_int_equal(logged("further links were refused, not named here count=990"), 1);
}

static void options_that_are_refused(void **state) {
    (void)state;
    static const struct trust_events events = {on_identity, on_fleet,  on_tickets, on_sessions,
                                               on_admit,    on_refuse, on_signing};
    static const struct {
        const char *service, *accounts, *why;
    } cases[] = {
        {"sluice-controller", "sluice-proxy", "is not a service account"},
        {"sluice-controller", "", "is not a service account"},
        {"sluice-controller", "a/b,", "is not a service account"},
        {"sluice-controller", "a/b/c", "is not a service account"},
        {"a,DNS:evil", "a/b", "is not a DNS name"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct trust_options o = {.client = client,
                                        .namespace = STR("sluice"),
                                        .secret = "sluice-link",
                                        .service = cases[i].service,
                                        .accounts = cases[i].accounts};
        struct why why = {0};
        assert_null(trust_new(base, &o, &events, &told[0], &why));
        if (!strstr(why.text, cases[i].why))
            fail_msg("%s: %s", cases[i].accounts, why.text);
    }
}

int main(void) {
    log_level(LOG_LEVEL_INFO);
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_first_start_makes_everything),
        T(two_replicas_at_once_agree),
        T(the_leaf_is_renewed_when_two_thirds_are_over),
        T(two_cas_overlap),
        T(a_ca_that_cannot_be_published_does_not_sign),
        T(a_foreign_secret_is_used_and_never_written),
        T(keys_of_tickets_are_in_the_secret),
        T(keys_of_tickets_that_were_edited_are_made_anew),
        T(keys_of_tickets_from_a_foreign_secret),
        T(keys_of_tokens_are_in_the_secret),
        T(a_foreign_secret_has_no_keys_of_tokens),
        T(what_cannot_be_read_is_named_and_what_is_known_stays),
        T(the_fleet_is_told_what_peers_need),
        T(without_token_keys_there_are_no_peers),
        T(a_good_token_is_admitted_and_remembered),
        T(what_is_no_good_is_refused_without_a_question),
        T(the_api_server_decides),
        T(silence_of_the_api_server_is_not_a_no),
        T(a_revoked_token_ends_its_link),
        T(a_renewed_token_replaces_the_old_one),
        T(many_at_once_are_asked_for_in_turn),
        T(refusals_are_not_a_flood_of_lines),
        T(options_that_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
