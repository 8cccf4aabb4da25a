/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/status/leave.h"

#include "lib/json.h"
#include "lib/log.h"
#include "lib/mem.h"

enum { CALL_MS = 2000, PATCH_MAX = 4096 };

struct leave {
    struct kube_client *client;
    struct str root, rest; /* the last path; the others that are still to be done */
    struct out patch;      /* that makes something the root's dependent */
    struct kube_request *request;
    void (*done)(void *arg);
    void *arg;
};

static void next(struct leave *l);

static void ask(struct leave *l, const char *method, struct str path, struct str body,
                void (*on_end)(void *arg, const struct kube_answer *a)) {
    l->request = kube_call(
        l->client, &(struct kube_call){.method = method,
                                       .path = path,
                                       .body = body,
                                       .type = body.n > 0 ? "application/merge-patch+json" : NULL,
                                       .timeout_ms = CALL_MS,
                                       .on_end = on_end,
                                       .arg = l});
}

static bool ended(struct leave *l, const struct kube_answer *a) {
    l->request = NULL;
    bool well = a->status / 100 == 2;
    if (!well && a->status != 404)
        log_warn("status", "not taken away: %s: %s", a->why.object, a->why.text);
    return well;
}

static void on_deleted(void *arg, const struct kube_answer *a) {
    struct leave *l = arg;
    ended(l, a);
    l->done(l->arg);
}

static void on_patched(void *arg, const struct kube_answer *a) {
    ended(arg, a);
    next(arg);
}

static void next(struct leave *l) {
    struct str path;
    if (l->rest.n == 0) {
        ask(l, "DELETE", l->root, STR_NONE, on_deleted);
        return;
    }
    l->rest = str_cut(l->rest, ',', &path);
    ask(l, "PATCH", path, out_done(&l->patch), on_patched);
}

static void print_owner(struct leave *l, const cJSON *root) {
    const cJSON *meta = json_get(root, "metadata");
    struct out *o = &l->patch;
    out_lit(o, "{\"metadata\":{\"ownerReferences\":[{\"apiVersion\":");
    out_json(o, json_text(root, "apiVersion"));
    out_lit(o, ",\"kind\":");
    out_json(o, json_text(root, "kind"));
    out_lit(o, ",\"name\":");
    out_json(o, json_text(meta, "name"));
    out_lit(o, ",\"uid\":");
    out_json(o, json_text(meta, "uid"));
    out_lit(o, "}]}}");
}

static void on_root(void *arg, const struct kube_answer *a) {
    struct leave *l = arg;
    cJSON *json = ended(l, a) ? json_parse(a->body, NULL) : NULL;
    if (json) {
        print_owner(l, json);
        next(l);
    } else {
        l->done(l->arg);
    }
    cJSON_Delete(json);
}

struct leave *leave_begin(struct kube_client *client, struct str paths, void (*done)(void *arg),
                          void *arg) {
    struct leave *l = mem_zalloc(sizeof(*l));
    size_t comma = 0;
    l->client = client;
    l->done = done;
    l->arg = arg;
    l->patch = out_heap(PATCH_MAX);
    for (size_t i = 0; i < paths.n; i++)
        comma = paths.p[i] == ',' ? i : comma;
    l->rest = str_mk(paths.p, comma);
    l->root = comma > 0 ? str_skip(paths, comma + 1) : paths;
    ask(l, "GET", l->root, STR_NONE, on_root);
    return l;
}

void leave_free(struct leave *l) {
    if (!l)
        return;
    kube_cancel(l->request);
    out_fini(&l->patch);
    mem_free(l);
}
