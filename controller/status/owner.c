/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/status/owner.h"

#include "lib/json.h"
#include "lib/mem.h"

#include <stdio.h>

struct owner {
    struct kube_client *client;
    struct str ns;
    const char *name;
    struct faults *faults;
    struct kube_request *request;
    char uid[64];
    void (*done)(void *arg, bool known, bool lives);
    void *arg;
};

enum { ASK_MS = 3000 };

struct owner *owner_new(struct kube_client *client, struct str ns, const char *name,
                        struct faults *faults) {
    struct owner *o = mem_zalloc(sizeof(*o));
    o->client = client;
    o->ns = ns;
    o->name = name;
    o->faults = faults;
    return o;
}

void owner_free(struct owner *o) {
    if (!o)
        return;
    kube_cancel(o->request);
    mem_free(o);
}

static bool learn(struct owner *o, struct str body, bool *lives) {
    cJSON *json = json_parse(body, NULL);
    const cJSON *meta = json_get(json, "metadata");
    struct str uid = json_text(meta, "uid");
    bool known = uid.n > 0 && uid.n < sizeof(o->uid);
    *lives = known && !json_get(meta, "deletionTimestamp");
    if (known)
        snprintf(o->uid, sizeof(o->uid), "%.*s", STR_FMT(uid));
    cJSON_Delete(json);
    return known;
}

static void on_end(void *arg, const struct kube_answer *a) {
    struct owner *o = arg;
    bool lives = false, gone = a->status == 404;
    bool known = a->status == 200 && learn(o, a->body, &lives);
    o->request = NULL;
    if (known || gone)
        fault_clear(o->faults, "owner");
    else
        fault_set(o->faults, "owner", "what is created here has no owner", &a->why);
    o->done(o->arg, known || gone, lives);
}

void owner_ask(struct owner *o, void (*done)(void *arg, bool known, bool lives), void *arg) {
    char room[1024];
    struct out path = out_fixed(room, sizeof(room));
    kube_cancel(o->request);
    o->done = done;
    o->arg = arg;
    kube_path(&path, "apps", "v1", "deployments", o->ns, str_of(o->name), STR_NONE);
    o->request = kube_call(o->client, &(struct kube_call){.method = "GET",
                                                          .path = out_done(&path),
                                                          .timeout_ms = ASK_MS,
                                                          .on_end = on_end,
                                                          .arg = o});
}

void owner_print(const struct owner *o, struct out *out) {
    if (!o || !o->uid[0])
        return;
    out_lit(out, ",\"ownerReferences\":[{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\","
                 "\"name\":");
    out_json(out, str_of(o->name));
    out_lit(out, ",\"uid\":");
    out_json(out, str_of(o->uid));
    out_lit(out, "}]");
}
