/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/trust/keeper.h"

#include "controller/kube/backoff.h"
#include "lib/log.h"
#include "lib/mem.h"

#include <event2/event.h>
#include <stdio.h>

enum {
    EVERY_MIN_MS = 45000,
    EVERY_MAX_MS = 75000,
    BODY_MAX = 1 << 20,
    OWNER_MAX = 1 << 10,
};

struct keeper {
    struct keeper_options o;
    struct event *due;
    struct kube_request *request; /* NULL: none is under way */
    struct prng prng;
    struct backoff backoff;
    struct link_secret now, next; /* in use; being written */
    bool known, published;
    char version[64]; /* resourceVersion of what is patched; "" = it is not there */
    char uid[64];     /* of the Secret that `now` was read from */
    struct out owner; /* JSON of an ownerReference; n == 0: none */
    char problem[600];
};

const struct link_secret *keeper_secret(const struct keeper *k) {
    return k->known ? &k->now : NULL;
}
const char *keeper_problem(const struct keeper *k) { return k->problem; }

/* ---- when ---- */

static void look_in(struct keeper *k, uint64_t ms) {
    struct timeval tv = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};
    evtimer_add(k->due, &tv);
}

static void done(struct keeper *k) {
    if (k->problem[0])
        log_info("trust", "the link's Secret and ConfigMap can be kept again");
    k->problem[0] = 0;
    backoff_reset(&k->backoff);
    look_in(k, EVERY_MIN_MS + prng_below(&k->prng, EVERY_MAX_MS - EVERY_MIN_MS));
}

/* What is in use stays. The same words are logged once. */
static void failed(struct keeper *k, const struct why *why, uint64_t retry_after_ms) {
    char room[sizeof(k->problem)];
    struct out o = out_fixed(room, sizeof(room) - 1);
    why_print(why, &o);
    room[o.n] = 0;
    if (strcmp(room, k->problem) != 0)
        log_warn("trust", "%s%s", room, k->known ? "; what is known stays in use" : "");
    memcpy(k->problem, room, o.n + 1);
    look_in(k, backoff_next(&k->backoff, &k->prng, retry_after_ms));
}

/* Somebody else was first: read what they wrote. */
static void again(struct keeper *k) { look_in(k, 100 + prng_below(&k->prng, 400)); }

/* ---- requests ---- */

static void call(struct keeper *k, const char *method, const char *group, const char *plural,
                 struct str name, const struct out *body,
                 void (*on_end)(void *arg, const struct kube_answer *a)) {
    struct out path = out_heap(1 << 10);
    kube_path(&path, group, "v1", plural, k->o.namespace, name, STR_NONE);
    bool patch = strcmp(method, "PATCH") == 0;
    k->request = kube_call(k->o.client, &(struct kube_call){
                                            .method = method,
                                            .path = out_done(&path),
                                            .body = body ? out_done(body) : STR_NONE,
                                            .type = patch ? "application/merge-patch+json" : NULL,
                                            .on_end = on_end,
                                            .arg = k,
                                        });
    out_fini(&path);
}

static void remember_version(struct keeper *k, const cJSON *object) {
    struct str v = json_text(json_get(object, "metadata"), "resourceVersion");
    snprintf(k->version, sizeof(k->version), "%.*s", STR_FMT(v));
}

/* An object to be created, or a patch of one that is there: up to its data. */
static void put_head(struct keeper *k, struct out *o, const char *kind, const char *name) {
    if (k->version[0]) {
        out_lit(o, "{\"metadata\":{\"resourceVersion\":");
        out_json(o, str_of(k->version));
    } else {
        out_fmt(o, "{\"apiVersion\":\"v1\",\"kind\":\"%s\",\"metadata\":{\"name\":", kind);
        out_json(o, str_of(name));
        out_lit(o, ",\"labels\":{\"app.kubernetes.io/managed-by\":\"sluice-controller\"}");
        if (k->owner.n > 0) {
            out_lit(o, ",\"ownerReferences\":[");
            out_str(o, out_done(&k->owner));
            out_char(o, ']');
        }
    }
    out_lit(o, "},\"data\":");
}

static void put(struct keeper *k, const char *plural, const char *name, const struct out *body,
                void (*on_end)(void *arg, const struct kube_answer *a)) {
    if (k->version[0])
        call(k, "PATCH", "", plural, str_of(name), body, on_end);
    else
        call(k, "POST", "", plural, STR_NONE, body, on_end);
}

/* ---- the ConfigMap ---- */

static void on_configmap_written(void *arg, const struct kube_answer *a) {
    struct keeper *k = arg;
    k->request = NULL;
    if (a->status == 409) {
        again(k);
        return;
    }
    if (why_set(&a->why)) {
        failed(k, &a->why, a->retry_after_ms);
        return;
    }
    log_info("trust", "the link's CA was published configmap=%s", k->o.configmap);
    k->published = true;
    done(k);
}

static void publish(struct keeper *k, struct str cas) {
    struct out body = out_heap(BODY_MAX);
    put_head(k, &body, "ConfigMap", k->o.configmap);
    out_lit(&body, "{\"ca.crt\":");
    out_json(&body, cas);
    out_lit(&body, "}}");
    k->published = false;
    put(k, "configmaps", k->o.configmap, &body, on_configmap_written);
    out_fini(&body);
}

static void on_configmap(void *arg, const struct kube_answer *a) {
    struct keeper *k = arg;
    struct why why = {0};
    k->request = NULL;
    if (why_set(&a->why) && a->status != 404) {
        failed(k, &a->why, a->retry_after_ms);
        return;
    }
    struct out cas = out_heap(PEM_BYTES_MAX);
    link_secret_cas(&k->now, &cas);
    cJSON *object = a->status == 404 ? NULL : json_parse(a->body, &why);
    k->version[0] = 0;
    remember_version(k, object);
    k->published = str_eq(json_text(json_get(object, "data"), "ca.crt"), out_done(&cas));
    if (k->published)
        done(k);
    else
        publish(k, out_done(&cas));
    cJSON_Delete(object);
    out_fini(&cas);
}

/* ---- the Secret ---- */

/* k->next is written, or was read: from now on it counts. */
static void use(struct keeper *k) {
    struct link_secret before = k->now;
    bool same = k->known && before.leaf.cert && X509_cmp(before.leaf.cert, k->next.leaf.cert) == 0;
    k->now = k->next;
    k->next = (struct link_secret){0};
    k->known = true;
    if (!same)
        log_info("trust", "the link's certificate is ready%s",
                 k->now.foreign ? ", it is not of our own CA" : "");
    k->o.changed(k->o.arg, &k->now);
    link_secret_fini(&before);
    if (k->o.configmap)
        call(k, "GET", "", "configmaps", str_of(k->o.configmap), NULL, on_configmap);
    else
        done(k);
}

static void on_secret_written(void *arg, const struct kube_answer *a) {
    struct keeper *k = arg;
    k->request = NULL;
    if (!why_set(&a->why)) {
        use(k);
        return;
    }
    link_secret_fini(&k->next);
    if (a->status == 409)
        again(k);
    else
        failed(k, &a->why, a->retry_after_ms);
}

static void renew(struct keeper *k) {
    bool changed = link_secret_renew(&k->next, k->o.now(k->o.arg), k->published, k->o.names,
                                     k->o.n_names, k->o.ticket_s, k->o.signing_s);
    if (!changed) {
        use(k);
        return;
    }
    struct out body = out_heap(BODY_MAX);
    put_head(k, &body, "Secret", k->o.secret);
    link_secret_data(&k->next, k->version[0] != 0, &body);
    out_char(&body, '}');
    must(!body.over);
    put(k, "secrets", k->o.secret, &body, on_secret_written);
    OPENSSL_cleanse(body.p, body.n);
    out_fini(&body);
}

/* ---- whose are we ---- */

/* The owner that controls an object, of a kind; NULL: there is none. */
static const cJSON *owner_of(const cJSON *object, const char *kind) {
    const cJSON *one;
    cJSON_ArrayForEach(one, json_get(json_get(object, "metadata"), "ownerReferences")) {
        if (cJSON_IsTrue(json_get(one, "controller")) &&
            str_eq(json_text(one, "kind"), str_of(kind)))
            return one;
    }
    return NULL;
}

static void put_owner(struct keeper *k, const cJSON *owner) {
    struct out *o = &k->owner;
    out_lit(o, "{\"apiVersion\":");
    out_json(o, json_text(owner, "apiVersion"));
    out_lit(o, ",\"kind\":\"Deployment\",\"name\":");
    out_json(o, json_text(owner, "name"));
    out_lit(o, ",\"uid\":");
    out_json(o, json_text(owner, "uid"));
    out_char(o, '}');
}

static void on_replicaset(void *arg, const struct kube_answer *a) {
    struct keeper *k = arg;
    k->request = NULL;
    cJSON *object = why_set(&a->why) ? NULL : json_parse(a->body, NULL);
    const cJSON *owner = owner_of(object, "Deployment");
    if (owner)
        put_owner(k, owner);
    else
        log_info("trust", "the link's Secret will have no owner, and stay when we are removed");
    cJSON_Delete(object);
    renew(k);
}

static void on_pod(void *arg, const struct kube_answer *a) {
    struct keeper *k = arg;
    k->request = NULL;
    cJSON *object = why_set(&a->why) ? NULL : json_parse(a->body, NULL);
    struct str name = json_text(owner_of(object, "ReplicaSet"), "name");
    if (name.n > 0)
        call(k, "GET", "apps", "replicasets", name, NULL, on_replicaset);
    else
        renew(k);
    cJSON_Delete(object);
}

static void create(struct keeper *k) {
    k->next = (struct link_secret){0};
    out_fini(&k->owner);
    k->owner = out_heap(OWNER_MAX);
    if (k->o.pod.n > 0)
        call(k, "GET", "", "pods", k->o.pod, NULL, on_pod);
    else
        renew(k);
}

/* ---- looking ---- */

/* A Secret that was deleted and made again by somebody: nothing of it was published before. */
static void remember_uid(struct keeper *k, const cJSON *object) {
    struct str uid = json_text(json_get(object, "metadata"), "uid");
    if (!str_eq(uid, str_of(k->uid)))
        k->published = false;
    snprintf(k->uid, sizeof(k->uid), "%.*s", STR_FMT(uid));
}

static void on_secret(void *arg, const struct kube_answer *a) {
    struct keeper *k = arg;
    struct why why = {0};
    k->request = NULL;
    k->version[0] = 0;
    if (a->status == 404) {
        create(k);
        return;
    }
    if (why_set(&a->why)) {
        failed(k, &a->why, a->retry_after_ms);
        return;
    }
    cJSON *object = json_parse(a->body, &why);
    remember_version(k, object);
    remember_uid(k, object);
    int bad = object ? link_secret_read(&k->next, object, &why) : -1;
    cJSON_Delete(object);
    if (!bad) {
        renew(k);
        return;
    }
    why_object(&why, "Secret %.*s/%s", STR_FMT(k->o.namespace), k->o.secret);
    failed(k, &why, 0);
}

static void on_due(evutil_socket_t fd, short what, void *arg) {
    struct keeper *k = arg;
    (void)fd, (void)what;
    if (!k->request)
        call(k, "GET", "", "secrets", str_of(k->o.secret), NULL, on_secret);
}

void keeper_look(struct keeper *k) { look_in(k, 0); }

struct keeper *keeper_new(struct event_base *base, const struct keeper_options *o) {
    struct keeper *k = mem_zalloc(sizeof(*k));
    k->o = *o;
    prng_init(&k->prng);
    k->due = evtimer_new(base, on_due, k);
    must(k->due);
    keeper_look(k);
    return k;
}

void keeper_free(struct keeper *k) {
    if (!k)
        return;
    kube_cancel(k->request);
    event_free(k->due);
    link_secret_fini(&k->now);
    link_secret_fini(&k->next);
    out_fini(&k->owner);
    mem_free(k);
}
