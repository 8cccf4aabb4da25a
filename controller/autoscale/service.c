/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/autoscale/service.h"

#include "controller/kube/backoff.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/mem.h"

#include <event2/event.h>
#include <openssl/evp.h>

enum {
    LOOK_EVERY_MS = 60000,
    NOT_LEADING_MS = 5000, /* until it is looked whether we lead by now */
    BODY_MAX = 1 << 20,
};

#define NAME     AUTOSCALE_VERSION "." AUTOSCALE_GROUP
#define PATH     "/apis/apiregistration.k8s.io/v1/apiservices"
#define MANAGED  "app.kubernetes.io/managed-by"
#define INSTANCE "sluice.dev/instance"

struct service {
    struct kube_client *client;
    struct autoscale_options o;
    struct autoscale_host host;
    struct why *fault;
    struct event *due;
    struct kube_request *call;
    struct backoff backoff;
    struct prng prng;
    char *ca;
    cJSON *owner;
    bool made; /* said once that it is there */
};

/* ---- what it must be ---- */

static struct str base64(struct str s) {
    char *room = mem_alloc(s.n / 3 * 4 + 8);
    int n = EVP_EncodeBlock((unsigned char *)room, (const unsigned char *)s.p, (int)s.n);
    return str_mk(room, (size_t)n);
}

static cJSON *spec_of(const struct autoscale_options *o, struct str ca) {
    cJSON *spec = cJSON_CreateObject();
    struct str bundle = base64(ca);
    cJSON_AddStringToObject(spec, "group", AUTOSCALE_GROUP);
    cJSON_AddStringToObject(spec, "version", AUTOSCALE_VERSION);
    cJSON_AddNumberToObject(spec, "groupPriorityMinimum", 100);
    cJSON_AddNumberToObject(spec, "versionPriority", 200);
    cJSON_AddStringToObject(spec, "caBundle", bundle.p);
    cJSON *service = cJSON_AddObjectToObject(spec, "service");
    char *ns = str_dup(o->namespace);
    cJSON_AddStringToObject(service, "namespace", ns);
    mem_free(ns);
    cJSON_AddStringToObject(service, "name", o->service);
    cJSON_AddNumberToObject(service, "port", 443);
    mem_free((char *)(uintptr_t)bundle.p);
    return spec;
}

static void instance_of(const struct autoscale_options *o, char room[64]) {
    struct out w = out_fixed(room, 63); /* a label's value has at most 63 bytes */
    out_fmt(&w, "%.*s.%s", STR_FMT(o->namespace), o->service);
    room[w.n] = 0;
}

static cJSON *whole(const struct autoscale_options *o, struct str ca, const cJSON *owner) {
    char instance[64];
    cJSON *j = cJSON_CreateObject(), *meta;
    instance_of(o, instance);
    cJSON_AddStringToObject(j, "apiVersion", "apiregistration.k8s.io/v1");
    cJSON_AddStringToObject(j, "kind", "APIService");
    meta = cJSON_AddObjectToObject(j, "metadata");
    cJSON_AddStringToObject(meta, "name", NAME);
    cJSON *labels = cJSON_AddObjectToObject(meta, "labels");
    cJSON_AddStringToObject(labels, MANAGED, "sluice-controller");
    cJSON_AddStringToObject(labels, INSTANCE, instance);
    const cJSON *who = json_get(owner, "metadata");
    if (json_text(who, "uid").n > 0) {
        cJSON *ref = cJSON_CreateObject();
        cJSON_AddStringToObject(ref, "apiVersion", "rbac.authorization.k8s.io/v1");
        cJSON_AddStringToObject(ref, "kind", "ClusterRole");
        cJSON_AddStringToObject(ref, "name", json_text(who, "name").p);
        cJSON_AddStringToObject(ref, "uid", json_text(who, "uid").p);
        cJSON_AddItemToArray(cJSON_AddArrayToObject(meta, "ownerReferences"), ref);
    }
    cJSON_AddItemToObject(j, "spec", spec_of(o, ca));
    return j;
}

static bool is_ours(const struct autoscale_options *o, const cJSON *there) {
    const cJSON *labels = json_get(json_get(there, "metadata"), "labels");
    char instance[64];
    instance_of(o, instance);
    return str_eq(json_text(labels, MANAGED), STR("sluice-controller")) &&
           str_eq(json_text(labels, INSTANCE), str_of(instance));
}

/* Whether all that we want stands there; the server adds fields of its own. */
static bool has_all(const cJSON *there, const cJSON *wanted) {
    if (!cJSON_IsObject(wanted))
        return cJSON_Compare(there, wanted, true);
    const cJSON *one;
    cJSON_ArrayForEach(one, wanted) {
        if (!has_all(cJSON_GetObjectItemCaseSensitive(there, one->string), one))
            return false;
    }
    return true;
}

enum service_action service_plan(const struct autoscale_options *o, struct str ca,
                                 const cJSON *there, const cJSON *owner, cJSON **body) {
    *body = NULL;
    if (!there) {
        *body = whole(o, ca, owner);
        return SERVICE_CREATE;
    }
    if (!is_ours(o, there))
        return SERVICE_FOREIGN;
    cJSON *spec = spec_of(o, ca);
    if (has_all(json_get(there, "spec"), spec)) {
        cJSON_Delete(spec);
        return SERVICE_KEEP;
    }
    *body = cJSON_CreateObject();
    const cJSON *version = json_get(json_get(there, "metadata"), "resourceVersion");
    cJSON *meta = cJSON_AddObjectToObject(*body, "metadata");
    if (version) /* whoever was faster wins */
        cJSON_AddItemToObject(meta, "resourceVersion", cJSON_Duplicate(version, true));
    cJSON_AddItemToObject(*body, "spec", spec);
    return SERVICE_UPDATE;
}

/* ---- asking and writing ---- */

static void look_in(struct service *s, uint64_t ms) {
    struct timeval tv = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};
    evtimer_add(s->due, &tv);
}

static void failed(struct service *s, const struct kube_answer *a) {
    why_clear(s->fault);
    why_object(s->fault, "APIService " NAME);
    why_text(s->fault, "autoscaling by its metrics does not work: %s", a->why.text);
    look_in(s, backoff_next(&s->backoff, &s->prng, a->retry_after_ms));
}

static void done(struct service *s) {
    why_clear(s->fault);
    backoff_reset(&s->backoff);
    if (!s->made)
        log_info("autoscale", "APIService " NAME " leads to %.*s/%s", STR_FMT(s->o.namespace),
                 s->o.service);
    s->made = true;
    look_in(s, LOOK_EVERY_MS / 2 + prng_below(&s->prng, LOOK_EVERY_MS / 2));
}

static void on_written(void *arg, const struct kube_answer *a) {
    struct service *s = arg;
    s->call = NULL;
    if (a->status == 409) /* somebody was faster: look again */
        look_in(s, backoff_next(&s->backoff, &s->prng, 0));
    else if (why_set(&a->why))
        failed(s, a);
    else
        done(s);
}

static void foreign(struct service *s, const cJSON *there) {
    const cJSON *to = json_get(json_get(there, "spec"), "service");
    struct str ns = json_text(to, "namespace"), name = json_text(to, "name");
    why_clear(s->fault);
    why_object(s->fault, "APIService " NAME);
    why_text(s->fault,
             "it belongs to another server (%.*s/%.*s) and is left alone; remove it, or switch "
             "autoscaling.customMetrics off",
             STR_FMT(ns), STR_FMT(name));
    look_in(s, LOOK_EVERY_MS);
}

static void act(struct service *s, const cJSON *there) {
    cJSON *body;
    struct str ca = str_of(s->ca);
    enum service_action action = service_plan(&s->o, ca, there, s->owner, &body);
    if (action == SERVICE_KEEP) {
        done(s);
        return;
    }
    if (action == SERVICE_FOREIGN) {
        foreign(s, there);
        return;
    }
    char *text = cJSON_PrintUnformatted(body);
    bool create = action == SERVICE_CREATE;
    s->call = kube_call(s->client,
                        &(struct kube_call){.method = create ? "POST" : "PATCH",
                                            .type = create ? NULL : "application/merge-patch+json",
                                            .path = create ? STR(PATH) : STR(PATH "/" NAME),
                                            .body = str_of(text),
                                            .on_end = on_written,
                                            .arg = s});
    cJSON_free(text);
    cJSON_Delete(body);
}

static void on_read(void *arg, const struct kube_answer *a) {
    struct service *s = arg;
    struct why why = {0};
    s->call = NULL;
    if (a->status == 404) {
        act(s, NULL);
        return;
    }
    if (why_set(&a->why)) {
        failed(s, a);
        return;
    }
    cJSON *there = json_parse(a->body, &why);
    if (there)
        act(s, there);
    else
        failed(s, &(struct kube_answer){.why = why});
    cJSON_Delete(there);
}

static void read_service(struct service *s) {
    s->call = kube_call(
        s->client, &(struct kube_call){
                       .method = "GET", .path = STR(PATH "/" NAME), .on_end = on_read, .arg = s});
}

/* Without an owner it is made all the same: then it stays when all else goes. */
static void on_owner(void *arg, const struct kube_answer *a) {
    struct service *s = arg;
    struct why why = {0};
    s->call = NULL;
    if (!why_set(&a->why))
        s->owner = json_parse(a->body, &why);
    else
        log_warn("autoscale", "the APIService will have no owner: %s", a->why.text);
    read_service(s);
}

static void read_owner(struct service *s) {
    char room[400];
    struct out path = out_fixed(room, sizeof(room));
    kube_path(&path, "rbac.authorization.k8s.io", "v1", "clusterroles", STR_NONE,
              str_of(s->o.owner), STR_NONE);
    s->call = kube_call(
        s->client, &(struct kube_call){
                       .method = "GET", .path = out_done(&path), .on_end = on_owner, .arg = s});
}

static void on_due(evutil_socket_t fd, short what, void *arg) {
    struct service *s = arg;
    (void)fd, (void)what;
    if (s->call || !s->ca)
        return;
    if (!s->host.leads(s->host.leads_arg)) {
        why_clear(s->fault);
        look_in(s, NOT_LEADING_MS);
    } else if (s->o.owner && !s->owner) {
        read_owner(s);
    } else {
        read_service(s);
    }
}

/* ---- life ---- */

struct service *service_new(struct event_base *base, struct kube_client *client,
                            const struct autoscale_options *o, const struct autoscale_host *host,
                            struct why *fault) {
    struct service *s = mem_zalloc(sizeof(*s));
    s->client = client;
    s->o = *o;
    s->host = *host;
    s->fault = fault;
    prng_init(&s->prng);
    s->due = evtimer_new(base, on_due, s);
    must(s->due);
    return s;
}

void service_free(struct service *s) {
    if (!s)
        return;
    kube_cancel(s->call);
    event_free(s->due);
    cJSON_Delete(s->owner);
    mem_free(s->ca);
    mem_free(s);
}

void service_set_ca(struct service *s, struct str pem) {
    mem_free(s->ca);
    s->ca = str_dup(pem);
    look_in(s, 0);
}
