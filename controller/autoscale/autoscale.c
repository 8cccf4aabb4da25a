/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/autoscale/autoscale.h"

#include "controller/autoscale/caller.h"
#include "controller/autoscale/service.h"
#include "controller/kube/backoff.h"
#include "lib/hash.h"
#include "lib/list.h"
#include "lib/log.h"
#include "lib/map.h"
#include "lib/mem.h"

#include <event2/event.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <time.h>

enum {
    RULES_EVERY_MS = 60000,
    DECISION_MS = 10000, /* an authorisation is remembered for so long */
    DECISIONS = 256,
    REPORT_MAX_MS = 30000, /* an older report says nothing */
    NAMES_MAX = 1 << 16,
};

struct decision {
    uint64_t key; /* hash of the question; 0: free */
    uint64_t until_ms;
    bool allowed;
};

enum fault { FAULT_RULES, FAULT_REVIEW, FAULT_PODS, FAULT_SERVICE, FAULTS };

struct autoscale {
    struct kube_client *client;
    struct autoscale_options o;
    struct autoscale_host host;
    struct httpd *server;
    struct service *service;
    struct caller_rules *rules;
    struct kube_request *rules_call;
    struct event *rules_due;
    struct backoff rules_backoff;
    struct prng prng;
    struct list asks;
    struct decision decisions[DECISIONS];
    struct why fault[FAULTS]; /* set: does not work now */
    struct why shown[FAULTS]; /* those that are set, for autoscale_faults() */
};

/* One request on its way. */
struct ask {
    struct autoscale *a;
    struct list link;
    struct httpd_later *later;
    struct kube_request *call;
    char *path, *room; /* as asked; the strings of query */
    struct query query;
    char *selector;
    cJSON *user;
    uint64_t key; /* of the decision */
};

static uint64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void set_fault(struct autoscale *a, enum fault f, const struct kube_answer *answer) {
    struct why *w = &a->fault[f];
    bool was = why_set(w);
    why_clear(w);
    if (!answer)
        return;
    why_object(w, "%s", answer->why.object);
    why_text(w, "%s", answer->why.text);
    if (!was)
        log_warn("autoscale", "%s: %s", w->object, w->text);
}

/* ---- answering ---- */

static void ask_free(struct ask *k) {
    list_del(&k->link);
    kube_cancel(k->call);
    cJSON_Delete(k->user);
    mem_free(k->path);
    mem_free(k->room);
    mem_free(k->selector);
    mem_free(k);
}

static void finish(struct ask *k, struct httpd_answer *answer) {
    answer->content_type = "application/json";
    httpd_finish(k->later, answer);
    ask_free(k);
}

static void refuse(struct ask *k, int code, const char *reason, const char *message) {
    struct httpd_answer answer = httpd_answer();
    answer.status = code;
    query_write_failure(&answer.body, code, reason, message);
    finish(k, &answer);
}

static void refuse_metric(struct ask *k) {
    char room[512];
    struct out o = out_fixed(room, sizeof(room) - 1);
    out_fmt(&o, "there is no metric %.*s of pods in namespace %.*s",
            (int)size_min(k->query.metric_name.n, 128), k->query.metric_name.p,
            (int)size_min(k->query.namespace.n, 128), k->query.namespace.p);
    room[o.n] = 0;
    refuse(k, 404, "NotFound", room);
}

struct writing {
    struct ask *k;
    struct out *o;
    const struct map *names; /* pods that the selector matches; NULL: the one that was named */
    int64_t now_ms;
    bool first;
};

static void write_one(void *to, const struct autoscale_pod *p) {
    struct writing *w = to;
    bool wanted = w->names ? map_get(w->names, p->name) != NULL : str_eq(p->name, w->k->query.pod);
    if (!wanted || p->reported_ms == 0 || w->now_ms - p->reported_ms > REPORT_MAX_MS)
        return;
    query_write_pod(w->o, &w->k->query, p, w->first);
    w->first = false;
}

static void answer_pods(struct ask *k, const struct map *names) {
    struct httpd_answer answer = httpd_answer();
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    struct writing w = {k, &answer.body, names, (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000,
                        true};
    query_write_open(&answer.body);
    k->a->host.pods(k->a->host.pods_arg, write_one, &w);
    query_write_close(&answer.body);
    finish(k, &answer);
}

/* ---- which pods ---- */

static void on_pods(void *arg, const struct kube_answer *answer) {
    struct ask *k = arg;
    struct why why = {0};
    k->call = NULL;
    if (why_set(&answer->why)) {
        set_fault(k->a, FAULT_PODS, answer);
        refuse(k, 503, "ServiceUnavailable", answer->why.text);
        return;
    }
    set_fault(k->a, FAULT_PODS, NULL);
    cJSON *list = json_parse(answer->body, &why), *pod;
    struct map names;
    map_init(&names);
    cJSON_ArrayForEach(pod, json_get(list, "items")) {
        struct str name = json_text(json_get(pod, "metadata"), "name");
        if (name.n > 0 && names.n < NAMES_MAX)
            map_put(&names, name, pod);
    }
    answer_pods(k, &names);
    map_fini(&names);
    cJSON_Delete(list);
}

static void list_pods(struct ask *k) {
    struct out path = out_heap(KUBE_ANSWER_MAX);
    kube_path(&path, "", "v1", "pods", k->query.namespace, STR_NONE, STR_NONE);
    if (k->selector)
        kube_path_param(&path, "labelSelector", str_of(k->selector));
    kube_path_param(&path, "resourceVersion", STR("0")); /* any recent state will do */
    k->call =
        kube_call(k->a->client,
                  &(struct kube_call){
                      .method = "GET",
                      .path = out_done(&path),
                      .accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
                      .on_end = on_pods,
                      .arg = k});
    out_fini(&path);
}

static void answer(struct ask *k) {
    struct query *q = &k->query;
    if (q->kind != QUERY_PODS) {
        struct httpd_answer a = httpd_answer();
        query_write_discovery(q->kind, &a.body);
        finish(k, &a);
    } else if (q->metric == AUTOSCALE_METRICS || !str_eq(q->namespace, k->a->o.namespace)) {
        refuse_metric(k);
    } else if (str_eq(q->pod, STR("*"))) {
        list_pods(k);
    } else {
        answer_pods(k, NULL);
    }
}

/* ---- may he ---- */

static struct decision *decision_of(struct autoscale *a, uint64_t key) {
    return &a->decisions[key % DECISIONS];
}

static void decided(struct ask *k, bool allowed) {
    if (allowed)
        answer(k);
    else
        refuse(k, 403, "Forbidden", "the caller may not read this metric");
}

static void on_review(void *arg, const struct kube_answer *answer) {
    struct ask *k = arg;
    struct why why = {0};
    k->call = NULL;
    if (why_set(&answer->why)) {
        set_fault(k->a, FAULT_REVIEW, answer);
        refuse(k, 503, "ServiceUnavailable", "the caller's rights cannot be checked now");
        return;
    }
    set_fault(k->a, FAULT_REVIEW, NULL);
    cJSON *review = json_parse(answer->body, &why);
    bool allowed = cJSON_IsTrue(json_get(json_get(review, "status"), "allowed"));
    cJSON_Delete(review);
    *decision_of(k->a, k->key) = (struct decision){k->key, now_ms() + DECISION_MS, allowed};
    decided(k, allowed);
}

static void add_text(cJSON *to, const char *name, struct str s) {
    char *copy = str_dup(s);
    cJSON_AddStringToObject(to, name, copy);
    mem_free(copy);
}

static cJSON *review_of(const struct ask *k) {
    cJSON *review = cJSON_CreateObject();
    cJSON_AddStringToObject(review, "apiVersion", "authorization.k8s.io/v1");
    cJSON_AddStringToObject(review, "kind", "SubjectAccessReview");
    cJSON *spec = cJSON_Duplicate(k->user, true), *what;
    cJSON_AddItemToObject(review, "spec", spec);
    what = cJSON_AddObjectToObject(spec, "resourceAttributes");
    cJSON_AddStringToObject(what, "group", AUTOSCALE_GROUP);
    cJSON_AddStringToObject(what, "version", AUTOSCALE_VERSION);
    add_text(what, "namespace", k->query.namespace);
    cJSON_AddStringToObject(what, "resource", "pods");
    add_text(what, "subresource", k->query.metric_name);
    add_text(what, "name", k->query.pod);
    cJSON_AddStringToObject(what, "verb", "get");
    return review;
}

/* What there is to read is told to whoever is known: the aggregator asks for it in the name of a
 * user without any group, who has no rights. system:masters may do everything without a question,
 * as with the API server. */
static bool needs_no_review(const struct ask *k) {
    return k->query.kind != QUERY_PODS || caller_is_in_group(k->user, "system:masters");
}

static void authorise(struct ask *k) {
    if (needs_no_review(k)) {
        answer(k);
        return;
    }
    cJSON *review = review_of(k);
    char *text = cJSON_PrintUnformatted(review);
    k->key = hash_keyed(str_of(text)) | 1;
    const struct decision *d = decision_of(k->a, k->key);
    if (d->key == k->key && now_ms() < d->until_ms)
        decided(k, d->allowed);
    else
        k->call = kube_call(
            k->a->client,
            &(struct kube_call){.method = "POST",
                                .path = STR("/apis/authorization.k8s.io/v1/subjectaccessreviews"),
                                .body = str_of(text),
                                .on_end = on_review,
                                .arg = k});
    cJSON_free(text);
    cJSON_Delete(review);
}

/* ---- who ---- */

static void on_token(void *arg, const struct kube_answer *answer) {
    struct ask *k = arg;
    struct why why = {0};
    k->call = NULL;
    if (why_set(&answer->why)) {
        set_fault(k->a, FAULT_REVIEW, answer);
        refuse(k, 503, "ServiceUnavailable", "the caller's token cannot be checked now");
        return;
    }
    cJSON *review = json_parse(answer->body, &why);
    const cJSON *status = json_get(review, "status");
    if (cJSON_IsTrue(json_get(status, "authenticated")))
        k->user = caller_of_review(json_get(status, "user"));
    cJSON_Delete(review);
    if (k->user)
        authorise(k);
    else
        refuse(k, 401, "Unauthorized", "the token is not valid");
}

static void review_token(struct ask *k, struct str token) {
    cJSON *review = cJSON_CreateObject();
    cJSON_AddStringToObject(review, "apiVersion", "authentication.k8s.io/v1");
    cJSON_AddStringToObject(review, "kind", "TokenReview");
    add_text(cJSON_AddObjectToObject(review, "spec"), "token", token);
    char *text = cJSON_PrintUnformatted(review);
    k->call =
        kube_call(k->a->client,
                  &(struct kube_call){.method = "POST",
                                      .path = STR("/apis/authentication.k8s.io/v1/tokenreviews"),
                                      .body = str_of(text),
                                      .on_end = on_token,
                                      .arg = k});
    cJSON_free(text);
    cJSON_Delete(review);
}

static void on_request(void *arg, const struct httpd_request *rq, struct httpd_answer *unused) {
    struct autoscale *a = arg;
    struct ask *k = mem_zalloc(sizeof(*k));
    struct str selector = httpd_param(rq, "labelSelector"), token;
    (void)unused;
    k->a = a;
    k->later = httpd_defer(rq);
    k->path = str_dup(rq->path);
    k->room = mem_alloc(rq->path.n + 1);
    k->query = query_parse(str_of(k->path), k->room);
    k->selector = selector.n > 0 ? str_dup(selector) : NULL;
    list_push(&a->asks, &k->link);
    if (k->query.kind == QUERY_NOTHING) {
        refuse(k, 404, "NotFound", "there is nothing here");
        return;
    }
    switch (caller_find(a->rules, rq, &k->user, &token)) {
    case CALLER_NAMED:
        authorise(k);
        break;
    case CALLER_TOKEN:
        review_token(k, token);
        break;
    case CALLER_NOBODY:
        refuse(k, 401, "Unauthorized", "neither a certificate nor a token says who asks");
        break;
    }
}

/* ---- the rules ---- */

static void rules_in(struct autoscale *a, uint64_t ms) {
    struct timeval tv = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};
    evtimer_add(a->rules_due, &tv);
}

static void on_rules(void *arg, const struct kube_answer *answer) {
    struct autoscale *a = arg;
    struct kube_answer bad = *answer;
    a->rules_call = NULL;
    cJSON *map = why_set(&bad.why) ? NULL : json_parse(answer->body, &bad.why);
    struct caller_rules *rules = map ? caller_rules_new(map, &bad.why) : NULL;
    cJSON_Delete(map);
    if (!rules) { /* the last good ones go on */
        set_fault(a, FAULT_RULES, &bad);
        rules_in(a, backoff_next(&a->rules_backoff, &a->prng, answer->retry_after_ms));
        return;
    }
    set_fault(a, FAULT_RULES, NULL);
    backoff_reset(&a->rules_backoff);
    caller_rules_free(a->rules);
    a->rules = rules;
    rules_in(a, RULES_EVERY_MS / 2 + prng_below(&a->prng, RULES_EVERY_MS / 2));
}

static void on_rules_due(evutil_socket_t fd, short what, void *arg) {
    struct autoscale *a = arg;
    (void)fd, (void)what;
    a->rules_call =
        kube_call(a->client, &(struct kube_call){.method = "GET",
                                                 .path = STR("/api/v1/namespaces/kube-system/"
                                                             "configmaps/extension-apiserver-"
                                                             "authentication"),
                                                 .on_end = on_rules,
                                                 .arg = a});
}

/* ---- the certificate ---- */

/* Who a client is, is looked at when it has asked (caller.c): here it may show anything. */
static int any_certificate(int ok, X509_STORE_CTX *ctx) {
    (void)ok, (void)ctx;
    return 1;
}

static bool use_chain(SSL_CTX *tls, struct str pem) {
    BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    X509 *leaf = PEM_read_bio_X509(bio, NULL, NULL, NULL), *next;
    bool ok = leaf && SSL_CTX_use_certificate(tls, leaf) == 1;
    X509_free(leaf);
    while (ok && (next = PEM_read_bio_X509(bio, NULL, NULL, NULL)))
        ok = SSL_CTX_add_extra_chain_cert(tls, next) == 1; /* takes it */
    BIO_free(bio);
    return ok;
}

static bool use_key(SSL_CTX *tls, struct str pem) {
    BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    bool ok = key && SSL_CTX_use_PrivateKey(tls, key) == 1;
    EVP_PKEY_free(key);
    BIO_free(bio);
    return ok;
}

void autoscale_set_certificate(struct autoscale *a, struct str ca, struct str chain,
                               struct str key) {
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    must(tls);
    SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION);
    SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_options(tls, SSL_OP_NO_TICKET);
    SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, any_certificate);
    if (use_chain(tls, chain) && use_key(tls, key)) {
        httpd_set_tls(a->server, tls);
        service_set_ca(a->service, ca);
    } else {
        log_error("autoscale", "the certificate cannot be used; the one before it stays");
    }
    SSL_CTX_free(tls);
}

/* ---- life ---- */

struct autoscale *autoscale_new(struct event_base *base, struct kube_client *client,
                                const struct autoscale_options *o,
                                const struct autoscale_host *host, struct why *why) {
    struct autoscale *a = mem_zalloc(sizeof(*a));
    const struct httpd_route routes[] = {{"/apis", on_request, a}, {"/apis/*", on_request, a}};
    a->client = client;
    a->o = *o;
    a->host = *host;
    list_init(&a->asks);
    prng_init(&a->prng);
    a->server = httpd_new(base, o->address, routes, ARRAY_LEN(routes), HTTPD_TLS, why);
    if (!a->server) {
        mem_free(a);
        return NULL;
    }
    a->service = service_new(base, client, o, host, &a->fault[FAULT_SERVICE]);
    a->rules_due = evtimer_new(base, on_rules_due, a);
    must(a->rules_due);
    rules_in(a, 0);
    return a;
}

void autoscale_free(struct autoscale *a) {
    if (!a)
        return;
    httpd_free(a->server);
    while (!list_empty(&a->asks))
        refuse(list_entry(a->asks.next, struct ask, link), 503, "ServiceUnavailable", "ending");
    kube_cancel(a->rules_call);
    event_free(a->rules_due);
    service_free(a->service);
    caller_rules_free(a->rules);
    mem_free(a);
}

const struct why *autoscale_faults(struct autoscale *a, size_t *n) {
    *n = 0;
    for (size_t i = 0; i < FAULTS; i++)
        if (why_set(&a->fault[i]))
            a->shown[(*n)++] = a->fault[i];
    return a->shown;
}

uint16_t autoscale_port(const struct autoscale *a) { return httpd_port(a->server); }
