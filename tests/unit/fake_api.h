/* SPDX-License-Identifier: Apache-2.0
 *
 * An API server inside the test: it stands in for controller/kube/client.h, and keeps objects with
 * resource versions as the real one does. Included by one test program, which is then linked
 * without the real client. Answers come from the loop.
 *
 *     api.fail        status of every answer to a path that begins with api.fail_path
 *     api.review      what a TokenReview is answered with
 */
#ifndef SLUICE_TESTS_FAKE_API_H
#define SLUICE_TESTS_FAKE_API_H

#include "controller/kube/client.h"
#include "lib/json.h"
#include "lib/map.h"
#include "lib/mem.h"

#include <event2/event.h>
#include <stdio.h>
#include <string.h>

struct kube_client {
    int unused;
};

struct kube_request {
    struct kube_call what; /* path and body are ours */
    bool cancelled;
};

static struct {
    struct event_base *base;
    struct map objects; /* path → cJSON */
    unsigned version, uid;
    unsigned in_flight, gets, posts, patches, reviews, at_once, most_at_once;
    const char *fail_path;                    /* NULL: none */
    int fail;                                 /* HTTP status; 0: no answer at all */
    bool hold;                                /* TokenReviews are not answered */
    const char *(*review)(const char *token); /* JSON of status */
} api;

static inline struct kube_client *api_new(struct event_base *base) {
    static struct kube_client client;
    memset(&api, 0, sizeof(api));
    api.base = base;
    return &client;
}

static inline void api_delete(const char *path) {
    struct map_slot *s = NULL;
    while ((s = map_next(&api.objects, s)) && !str_eq(s->key, str_of(path)))
        ;
    if (!s)
        return;
    char *key = (char *)(uintptr_t)s->key.p;
    cJSON_Delete(map_del(&api.objects, str_of(path)));
    mem_free(key);
}

static inline void api_free(void) {
    for (struct map_slot *s; (s = map_next(&api.objects, NULL));) {
        char *key = str_dup(s->key);
        api_delete(key);
        mem_free(key);
    }
    map_fini(&api.objects);
}

static inline cJSON *api_get(const char *path) { return map_get(&api.objects, str_of(path)); }

static inline void api_stamp(cJSON *object) {
    char version[20];
    cJSON *meta = cJSON_GetObjectItem(object, "metadata");
    snprintf(version, sizeof(version), "%u", ++api.version);
    cJSON_DeleteItemFromObject(meta, "resourceVersion");
    cJSON_AddStringToObject(meta, "resourceVersion", version);
}

/* Takes the object. */
static inline void api_put(const char *path, cJSON *object) {
    char uid[20];
    must(object);
    api_delete(path);
    cJSON *meta = cJSON_GetObjectItem(object, "metadata");
    if (!meta)
        meta = cJSON_AddObjectToObject(object, "metadata");
    snprintf(uid, sizeof(uid), "uid-%u", ++api.uid);
    if (!cJSON_GetObjectItem(meta, "uid"))
        cJSON_AddStringToObject(meta, "uid", uid);
    api_stamp(object);
    char *key = str_dup(str_of(path));
    map_put(&api.objects, str_of(key), object);
}

static inline void api_put_text(const char *path, const char *json) {
    api_put(path, cJSON_Parse(json));
}

/* RFC 7386 */
static inline void api_merge(cJSON *to, const cJSON *patch) {
    const cJSON *p;
    cJSON_ArrayForEach(p, patch) {
        cJSON *had = cJSON_GetObjectItem(to, p->string);
        if (cJSON_IsObject(p) && cJSON_IsObject(had)) {
            api_merge(had, p);
            continue;
        }
        cJSON_DeleteItemFromObject(to, p->string);
        if (!cJSON_IsNull(p))
            cJSON_AddItemToObject(to, p->string, cJSON_Duplicate(p, true));
    }
}

static inline int api_create(const char *path, cJSON *object) {
    char full[400];
    struct str name = json_text(cJSON_GetObjectItem(object, "metadata"), "name");
    snprintf(full, sizeof(full), "%s/%.*s", path, STR_FMT(name));
    if (api_get(full)) {
        cJSON_Delete(object);
        return 409;
    }
    api_put(full, object);
    return 201;
}

static inline int api_patch(const char *path, cJSON *patch) {
    cJSON *object = api_get(path);
    struct str want = json_text(cJSON_GetObjectItem(patch, "metadata"), "resourceVersion");
    struct str have = json_text(cJSON_GetObjectItem(object, "metadata"), "resourceVersion");
    int status = !object ? 404 : want.n > 0 && !str_eq(want, have) ? 409 : 200;
    if (status == 200) {
        api_merge(object, patch);
        api_stamp(object);
    }
    cJSON_Delete(patch);
    return status;
}

static inline void api_answer(struct kube_request *r, int status, const char *body) {
    struct kube_answer a = {.status = status, .body = str_of(body)};
    if (status < 200 || status > 299) {
        why_object(&a.why, "%s %.*s", r->what.method, STR_FMT(r->what.path));
        why_text(&a.why, status ? "%d of the test" : "no answer", status);
    }
    r->what.on_end(r->what.arg, &a);
}

static inline void api_review(struct kube_request *r, cJSON *body) {
    char answer[4000];
    char *token = str_dup(json_text(cJSON_GetObjectItem(body, "spec"), "token"));
    snprintf(answer, sizeof(answer), "{\"kind\":\"TokenReview\",\"status\":%s}", api.review(token));
    mem_free(token);
    cJSON_Delete(body);
    api_answer(r, 201, answer);
}

static inline void api_do(struct kube_request *r) {
    char *path = str_dup(r->what.path);
    cJSON *body = r->what.body.n > 0 ? json_parse(r->what.body, NULL) : NULL;
    must(r->what.body.n == 0 || body);
    bool fails = api.fail_path && strncmp(path, api.fail_path, strlen(api.fail_path)) == 0;
    if (fails) {
        cJSON_Delete(body);
        api_answer(r, api.fail, "{}");
    } else if (strstr(path, "tokenreviews")) {
        api_review(r, body);
    } else if (strcmp(r->what.method, "GET") == 0) {
        char *text = api_get(path) ? cJSON_PrintUnformatted(api_get(path)) : NULL;
        api_answer(r, text ? 200 : 404, text ? text : "{}");
        cJSON_free(text);
    } else {
        bool post = strcmp(r->what.method, "POST") == 0;
        api_answer(r, post ? api_create(path, body) : api_patch(path, body), "{}");
    }
    mem_free(path);
}

static inline void api_end(struct kube_request *r) {
    mem_free((void *)(uintptr_t)r->what.path.p);
    mem_free((void *)(uintptr_t)r->what.body.p);
    mem_free(r);
}

static inline void api_due(evutil_socket_t fd, short what, void *arg) {
    struct kube_request *r = arg;
    const struct timeval later = {0, 5000};
    bool review = strstr(r->what.path.p, "tokenreviews") != NULL;
    (void)fd, (void)what;
    if (!r->cancelled && review && api.hold) {
        event_base_once(api.base, -1, EV_TIMEOUT, api_due, r, &later);
        return;
    }
    api.at_once -= review;
    api.in_flight--;
    if (!r->cancelled)
        api_do(r);
    api_end(r);
}

struct kube_request *kube_call(struct kube_client *c, const struct kube_call *what) {
    struct kube_request *r = mem_zalloc(sizeof(*r));
    const struct timeval soon = {0, 1000};
    (void)c;
    r->what = *what;
    r->what.path.p = str_dup(what->path);
    if (what->body.n > 0)
        r->what.body.p = str_dup(what->body);
    bool review = strstr(r->what.path.p, "tokenreviews") != NULL;
    api.in_flight++;
    api.reviews += review;
    api.at_once += review;
    api.most_at_once = api.at_once > api.most_at_once ? api.at_once : api.most_at_once;
    api.gets += strcmp(what->method, "GET") == 0;
    api.posts += strcmp(what->method, "POST") == 0 && !review;
    api.patches += strcmp(what->method, "PATCH") == 0;
    event_base_once(api.base, -1, EV_TIMEOUT, api_due, r, &soon);
    return r;
}

void kube_cancel(struct kube_request *r) {
    if (r)
        r->cancelled = true;
}

#endif
