/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/status/publish.h"

#include "controller/kube/backoff.h"
#include "controller/kube/split.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/units.h"

#include <arpa/inet.h>
#include <event2/event.h>

enum {
    SILENCE_MS = 660000, /* a watch ends by itself after ten minutes */
    PAUSE_MS = 1000,     /* from the end of one watch to the next list */
};

struct publish {
    struct publish_config c;
    struct prng prng;
    struct backoff backoff;
    struct event *timer;
    struct kube_request *request;
    struct split split;
};

/* ---- addresses ---- */

static bool is_ip(struct str s) {
    char room[INET6_ADDRSTRLEN];
    unsigned char out[16];
    if (s.n == 0 || s.n >= sizeof(room))
        return false;
    memcpy(room, s.p, s.n);
    room[s.n] = 0;
    return inet_pton(AF_INET, room, out) == 1 || inet_pton(AF_INET6, room, out) == 1;
}

static void add(struct addresses *a, struct str text) {
    struct address new =
        is_ip(text) ? (struct address){.ip = text} : (struct address){.hostname = text};
    if (a->n == ADDRESSES_MAX || (new.ip.n == 0 && unit_dns_name(text, NULL) != 0))
        return;
    for (size_t i = 0; i < a->n; i++)
        if (str_eq(a->v[i].ip, new.ip) && str_eq(a->v[i].hostname, new.hostname))
            return;
    a->v[a->n++] = new;
}

static void add_balancer(const cJSON *service, struct addresses *a) {
    const cJSON *balancer = json_get(json_get(service, "status"), "loadBalancer");
    const cJSON *e, *all = json_get(balancer, "ingress");
    cJSON_ArrayForEach(e, all) {
        struct str ip = json_text(e, "ip");
        add(a, ip.n > 0 ? ip : json_text(e, "hostname"));
    }
}

static void add_external(const cJSON *spec, struct addresses *a) {
    const cJSON *e, *all = json_get(spec, "externalIPs");
    cJSON_ArrayForEach(e, all) if (cJSON_IsString(e)) add(a, str_of(e->valuestring));
}

void publish_of_service(const cJSON *service, struct addresses *a) {
    const cJSON *spec = json_get(service, "spec");
    struct str type = json_text(spec, "type");
    bool balanced = str_eq(type, STR("LoadBalancer"));
    *a = (struct addresses){0};
    if (str_eq(type, STR("ExternalName"))) {
        add(a, json_text(spec, "externalName"));
        return;
    }
    if (balanced)
        add_balancer(service, a);
    if (balanced || str_eq(type, STR("NodePort")))
        add_external(spec, a);
    struct str cluster_ip = json_text(spec, "clusterIP");
    if (!balanced && a->n == 0 && is_ip(cluster_ip)) /* not "None" */
        add(a, cluster_ip);
}

int publish_parse(struct str list, struct addresses *a, struct why *why) {
    struct str one, rest = list;
    *a = (struct addresses){0};
    do {
        size_t before = a->n;
        struct shown shown;
        rest = str_cut(rest, ',', &one);
        one = str_trim(one);
        add(a, one);
        if (a->n == before)
            return why_text(why, "%s is not an address or name, is there twice, or is one too many",
                            why_show(one, &shown));
    } while (rest.p);
    return 0;
}

/* ---- list and watch ---- */

static void wait(struct publish *p, uint64_t ms) {
    struct timeval tv = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};
    evtimer_add(p->timer, &tv);
}

static void tell(struct publish *p, const cJSON *service) {
    struct addresses a;
    if (service)
        publish_of_service(service, &a);
    p->c.on_addresses(p->c.arg, service ? &a : NULL);
}

static struct kube_request *call(struct publish *p, struct str version,
                                 const struct kube_call *what) {
    char room[2048], field[300];
    struct out path = out_fixed(room, sizeof(room)), selector = out_fixed(field, sizeof(field));
    struct kube_call k = *what;
    out_fmt(&selector, "metadata.name=%.*s", STR_FMT(p->c.name));
    kube_path(&path, "", "v1", "services", p->c.ns, STR_NONE, STR_NONE);
    kube_path_param(&path, "fieldSelector", out_done(&selector));
    if (version.n > 0) {
        kube_path_param(&path, "watch", STR("1"));
        kube_path_param(&path, "resourceVersion", version);
        kube_path_param(&path, "timeoutSeconds", STR("600"));
    }
    k.method = "GET";
    k.path = out_done(&path);
    k.arg = p;
    return kube_call(p->c.client, &k);
}

/* False: the watch is of no more use. */
static bool on_object(struct publish *p, struct str text) {
    cJSON *json = json_parse(text, NULL);
    struct str type = json_text(json, "type");
    const cJSON *object = json_get(json, "object");
    bool gone = str_eq(type, STR("DELETED"));
    bool there = str_eq(type, STR("ADDED")) || str_eq(type, STR("MODIFIED"));
    if (gone || (there && object))
        tell(p, gone ? NULL : object);
    cJSON_Delete(json);
    return gone || there || str_eq(type, STR("BOOKMARK"));
}

static bool on_bytes(void *arg, struct str bytes) {
    struct publish *p = arg;
    struct str object;
    struct why why = {0};
    enum split_got got;
    while ((got = split_next(&p->split, &bytes, &object, &why)) == SPLIT_OBJECT)
        if (!on_object(p, object))
            return false;
    return got == SPLIT_MORE;
}

static void failed(struct publish *p, const struct kube_answer *a) {
    if (a->status == 403)
        fault_set(p->c.faults, "publish", "Ingresses are told no address", &a->why);
    log_debug("status", "publish service: %s: %s", a->why.object, a->why.text);
    wait(p, backoff_next(&p->backoff, &p->prng, a->retry_after_ms));
}

static void on_watched(void *arg, const struct kube_answer *a) {
    struct publish *p = arg;
    p->request = NULL;
    split_fini(&p->split);
    if (a->status != 0 && a->status != 200)
        failed(p, a);
    else
        wait(p, PAUSE_MS);
}

static void on_listed(void *arg, const struct kube_answer *a) {
    struct publish *p = arg;
    p->request = NULL;
    cJSON *json = a->status == 200 ? json_parse(a->body, NULL) : NULL;
    struct str version = json_text(json_get(json, "metadata"), "resourceVersion");
    if (version.n == 0) {
        cJSON_Delete(json);
        failed(p, a);
        return;
    }
    backoff_reset(&p->backoff);
    fault_clear(p->c.faults, "publish");
    tell(p, cJSON_GetArrayItem(json_get(json, "items"), 0));
    split_init(&p->split, SPLIT_STREAM, SPLIT_OBJECT_MAX);
    p->request = call(p, version,
                      &(struct kube_call){.timeout_ms = KUBE_STREAM,
                                          .silence_ms = SILENCE_MS,
                                          .on_bytes = on_bytes,
                                          .on_end = on_watched});
    cJSON_Delete(json);
}

static void on_timer(evutil_socket_t fd, short what, void *arg) {
    struct publish *p = arg;
    (void)fd, (void)what;
    p->request = call(p, STR_NONE, &(struct kube_call){.on_end = on_listed});
}

/* ---- life ---- */

struct publish *publish_new(const struct publish_config *config) {
    struct publish *p = mem_zalloc(sizeof(*p));
    p->c = *config;
    prng_init(&p->prng);
    p->timer = evtimer_new(config->base, on_timer, p);
    split_init(&p->split, SPLIT_STREAM, SPLIT_OBJECT_MAX);
    wait(p, 0);
    return p;
}

void publish_free(struct publish *p) {
    if (!p)
        return;
    kube_cancel(p->request);
    split_fini(&p->split);
    event_free(p->timer);
    mem_free(p);
}
