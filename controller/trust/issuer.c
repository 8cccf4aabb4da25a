/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/trust/issuer.h"

#include "controller/kube/backoff.h"
#include "lib/json.h"
#include "lib/jwt_keys.h"
#include "lib/log.h"
#include "lib/mem.h"

#include <event2/event.h>

enum { EVERY_MIN_MS = 480000, EVERY_MAX_MS = 720000, ISSUER_MAX = 2048 };

struct issuer {
    struct kube_client *client;
    struct event *due;
    struct kube_request *request;
    struct prng prng;
    struct backoff backoff;
    char *name, *keys;
    bool failing;
    void (*changed)(void *arg);
    void *arg;
};

struct str issuer_name(const struct issuer *i) {
    return str_of(i->name);
}
struct str issuer_keys(const struct issuer *i) {
    return str_of(i->keys);
}

static void look_in(struct issuer *i, uint64_t ms) {
    struct timeval tv = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};
    evtimer_add(i->due, &tv);
}

static void failed(struct issuer *i, const struct why *why, uint64_t retry_after_ms) {
    char room[600];
    struct out o = out_fixed(room, sizeof(room));
    why_print(why, &o);
    if (!i->failing)
        log_warn("trust",
                 "the cluster's token keys cannot be read, so that new proxies will find "
                 "no peer without a controller: %.*s",
                 STR_FMT(out_done(&o)));
    i->failing = true;
    look_in(i, backoff_next(&i->backoff, &i->prng, retry_after_ms));
}

static void get(struct issuer *i, struct str path, const char *accept,
                void (*on_end)(void *arg, const struct kube_answer *a)) {
    const struct kube_call what = {
        .method = "GET", .path = path, .accept = accept, .on_end = on_end, .arg = i};
    i->request = kube_call(i->client, &what);
}

/* True if it is another text now. */
static bool take(char **to, struct str text) {
    if (str_eq(str_of(*to), text))
        return false;
    mem_free(*to);
    *to = str_dup(text);
    return true;
}

static void on_keys(void *arg, const struct kube_answer *a) {
    struct issuer *i = arg;
    struct why why = a->why;
    i->request = NULL;
    struct jwt_keys *keys = why_set(&why) ? NULL : jwt_keys_new(a->body, &why);
    if (!keys) {
        why_object(&why, "GET /openid/v1/jwks");
        failed(i, &why, a->retry_after_ms);
        return;
    }
    jwt_keys_free(keys);
    i->failing = false;
    backoff_reset(&i->backoff);
    look_in(i, EVERY_MIN_MS + prng_below(&i->prng, EVERY_MAX_MS - EVERY_MIN_MS));
    if (take(&i->keys, a->body))
        i->changed(i->arg);
}

static void on_configuration(void *arg, const struct kube_answer *a) {
    struct issuer *i = arg;
    struct why why = a->why;
    i->request = NULL;
    cJSON *json = why_set(&why) ? NULL : json_parse(a->body, &why);
    struct str name = json_text(json, "issuer");
    if (name.n == 0 || name.n > ISSUER_MAX) {
        why_text(&why, "it names no issuer");
        failed(i, &why, a->retry_after_ms);
    } else {
        if (take(&i->name, name))
            take(&i->keys, STR_NONE); /* of another issuer */
        get(i, STR("/openid/v1/jwks"), "application/jwk-set+json", on_keys);
    }
    cJSON_Delete(json);
}

static void on_due(evutil_socket_t fd, short what, void *arg) {
    struct issuer *i = arg;
    (void)fd, (void)what;
    get(i, STR("/.well-known/openid-configuration"), NULL, on_configuration);
}

struct issuer *issuer_new(struct event_base *base, struct kube_client *client,
                          void (*changed)(void *arg), void *arg) {
    struct issuer *i = mem_zalloc(sizeof(*i));
    i->client = client;
    i->changed = changed;
    i->arg = arg;
    prng_init(&i->prng);
    i->due = evtimer_new(base, on_due, i);
    must(i->due);
    look_in(i, 0);
    return i;
}

void issuer_free(struct issuer *i) {
    if (!i)
        return;
    kube_cancel(i->request);
    event_free(i->due);
    mem_free(i->name);
    mem_free(i->keys);
    mem_free(i);
}
