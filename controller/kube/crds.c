/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/kube/crds.h"

#include "controller/kube/client.h"
#include "lib/json.h"
#include "lib/mem.h"

#include <event2/event.h>

enum { CALM_S = 300, WORRIED_S = 5 }; /* until they are read again */

struct crd {
    struct crds *all;
    enum kube_kind kind;
    enum schema_verdict verdict;
    bool answered, again;         /* again: somebody asked while it was under way */
    struct why why;               /* what is wrong */
    struct kube_request *request; /* under way */
};

struct crds {
    struct kube_client *client;
    struct event *timer;
    void (*on_change)(void *arg);
    void *arg;
    struct crd crd[KUBE_KINDS]; /* of our own kinds; the others stay zero */
};

static struct crd *next(const struct crds *c, struct crd *crd) {
    struct crd *all = (struct crd *)(uintptr_t)c->crd;
    for (crd = crd ? crd + 1 : all; crd < all + KUBE_KINDS; crd++)
        if (crd->all)
            return crd;
    return NULL;
}

static void arm(struct crds *c) {
    bool worried = false;
    for (struct crd *crd = NULL; (crd = next(c, crd));)
        worried |= why_set(&crd->why);
    const struct timeval in = {.tv_sec = worried ? WORRIED_S : CALM_S};
    evtimer_add(c->timer, &in);
}

/* The last one to be answered sets the timer. */
static void take(struct crd *crd, enum schema_verdict verdict, const struct why *why) {
    struct crds *c = crd->all;
    bool differs = !crd->answered || verdict != crd->verdict ||
                   !str_eq(str_of(why->text), str_of(crd->why.text));
    crd->answered = true;
    crd->verdict = verdict;
    crd->why = *why;
    bool busy = false;
    for (struct crd *one = NULL; (one = next(c, one));)
        busy |= one->request != NULL;
    if (!busy)
        arm(c);
    if (differs)
        c->on_change(c->arg);
}

static void ask(struct crd *crd);

static void on_end(void *arg, const struct kube_answer *a) {
    struct crd *crd = arg;
    struct why why = {0};
    enum schema_verdict verdict = crd->verdict;
    crd->request = NULL;
    if (crd->again)
        ask(crd);
    if (a->status == 404) {
        verdict = kube_schema_judge(crd->kind, NULL, &why);
    } else if (why_set(&a->why)) {
        why_object(&why, "CustomResourceDefinition %s.%s", kube_kinds[crd->kind].plural,
                   kube_kinds[crd->kind].group);
        why_text(&why, "cannot be read, so that nobody knows whether it is current: %s",
                 a->why.text);
    } else {
        cJSON *json = json_parse(a->body, &why);
        if (json) {
            verdict = kube_schema_judge(crd->kind, json, &why);
            if (verdict == SCHEMA_FITS)
                why_clear(&why);
        }
        cJSON_Delete(json);
    }
    take(crd, verdict, &why);
}

static void ask(struct crd *crd) {
    char path[256], name[128];
    struct out p = out_fixed(path, sizeof(path)), n = out_fixed(name, sizeof(name));
    kube_schema_name(crd->kind, &n);
    kube_path(&p, "apiextensions.k8s.io", "v1", "customresourcedefinitions", STR_NONE, out_done(&n),
              STR_NONE);
    /* metadata alone: the schemas are long */
    const struct kube_call call = {
        .method = "GET",
        .path = out_done(&p),
        .accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
        .on_end = on_end,
        .arg = crd};
    crd->again = false;
    crd->request = kube_call(crd->all->client, &call);
}

void crds_read(struct crds *c) {
    evtimer_del(c->timer);
    for (struct crd *crd = NULL; (crd = next(c, crd));)
        if (crd->request)
            crd->again = true;
        else
            ask(crd);
}

static void on_timer(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    crds_read(arg);
}

struct crds *crds_new(struct event_base *base, struct kube_client *client,
                      void (*on_change)(void *arg), void *arg) {
    struct crds *c = mem_zalloc(sizeof(*c));
    c->client = client;
    c->on_change = on_change;
    c->arg = arg;
    c->timer = evtimer_new(base, on_timer, c);
    for (enum kube_kind k = KUBE_NONE + 1; k < KUBE_KINDS; k++)
        if (kube_schema_is_ours(k))
            c->crd[k] = (struct crd){.all = c, .kind = k};
    return c;
}

void crds_free(struct crds *c) {
    if (!c)
        return;
    for (struct crd *crd = NULL; (crd = next(c, crd));)
        kube_cancel(crd->request);
    event_free(c->timer);
    mem_free(c);
}

/* ---- asking ---- */

bool crds_are_known(const struct crds *c) {
    for (struct crd *crd = NULL; (crd = next(c, crd));)
        if (!crd->answered)
            return false;
    return true;
}

enum schema_verdict crds_verdict(const struct crds *c, enum kube_kind kind) {
    return c->crd[kind].verdict;
}

bool crds_may_lose(const struct crds *c, enum kube_kind kind) {
    return c->crd[kind].verdict == SCHEMA_OLD || !c->crd[kind].answered;
}

size_t crds_faults(const struct crds *c, const struct why *faults[KUBE_KINDS]) {
    size_t n = 0;
    for (struct crd *crd = NULL; (crd = next(c, crd));)
        if (why_set(&crd->why))
            faults[n++] = &crd->why;
    return n;
}
