/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/status/writer_parts.h"

#include "lib/log.h"
#include "lib/mem.h"

#include <stdio.h>

/* ---- requests ---- */

static void print_path(const struct item *it, struct str sub, struct out *o) {
    const struct kube_kind_info *k = &kube_kinds[it->kind];
    kube_path(o, k->group, k->version, k->plural, it->ns, it->name, sub);
}

/* If the store has moved since the request, it knows as much, or more. */
static void hear(struct item *it, struct str body) {
    cJSON *json = json_parse(body, NULL);
    struct str version = json_text(json_get(json, "metadata"), "resourceVersion");
    const cJSON *status = json_get(json, "status");
    char *text = status ? cJSON_PrintUnformatted(status) : NULL;
    heard_clear(&it->heard);
    if (it->asked_at && version.n > 0) {
        it->heard.instead_of = it->asked_at;
        it->asked_at = NULL;
        it->heard.version = str_dup(version);
        it->heard.status = text ? str_dup(str_of(text)) : NULL;
    }
    cJSON_free(text);
    cJSON_Delete(json);
}

static void fault_key(const struct item *it, char key[80]) {
    snprintf(key, 80, "write %s %.*s", kube_kinds[it->kind].kind, STR_FMT(it->ns));
}

static void denied_key(const struct item *it, struct out *o) {
    out_fmt(o, "%s/%.*s", kube_kinds[it->kind].kind, STR_FMT(it->ns));
}

static void deny(struct item *it, uint64_t until) {
    struct status_writer *w = it->writer;
    char room[512];
    struct out o = out_fixed(room, sizeof(room));
    denied_key(it, &o);
    struct denied *d = map_get(&w->denied, out_done(&o));
    if (!d) {
        d = mem_zalloc(sizeof(*d));
        d->key = str_dup(out_done(&o));
        map_put(&w->denied, str_of(d->key), d);
    }
    d->until = until;
}

uint64_t item_denied_until(const struct item *it) {
    char room[512];
    struct out o = out_fixed(room, sizeof(room));
    denied_key(it, &o);
    const struct denied *d = map_get(&it->writer->denied, out_done(&o));
    return d ? d->until : 0;
}

static void allow(struct item *it) {
    struct status_writer *w = it->writer;
    char room[512], key[80];
    struct out o = out_fixed(room, sizeof(room));
    denied_key(it, &o);
    struct denied *d = map_del(&w->denied, out_done(&o));
    fault_key(it, key);
    fault_clear(w->c.faults, key);
    if (d)
        mem_free(d->key);
    mem_free(d);
}

static void refused(struct item *it, const struct kube_answer *a, uint64_t now) {
    char key[80], what[160];
    fault_key(it, key);
    snprintf(what, sizeof(what), "the status of %s%s%.*s is not written",
             kube_kinds[it->kind].plural, it->ns.n > 0 ? " in namespace " : "", STR_FMT(it->ns));
    fault_set(it->writer->c.faults, key, what, &a->why);
    if (a->status == 403)
        deny(it, now + DENIED_MS);
    item_wait(it, now + DENIED_MS);
}

static void written(struct item *it, const struct kube_answer *a) {
    struct status_writer *w = it->writer;
    w->counters.writes[it->kind]++;
    backoff_reset(&w->backoff);
    allow(it);
    hear(it, a->body);
    it->repaired = it->sending == it->wrote;
    it->wrote = it->sending;
    it->repair_at = 0;
    it->since = it->again ? it->since : 0;
    it->cleared = it->sending == 0;
    item_put(it, LOOK);
}

static void conflicted(struct item *it, uint64_t now) {
    struct status_writer *w = it->writer;
    w->counters.conflicts++;
    mem_free(it->conflict);
    it->conflict = it->asked_at;
    it->asked_at = NULL;
    heard_clear(&it->heard);
    item_wait(it, now + CONFLICT_MS);
    if (it->again)
        item_put(it, LOOK);
}

/* Nobody answers, or the server is not well: all wait. */
static void ill(struct item *it, const struct kube_answer *a, uint64_t now) {
    struct status_writer *w = it->writer;
    w->not_before = now + backoff_next(&w->backoff, &w->prng, a->retry_after_ms);
    log_info("status", "a status was not written, all wait: %s: %s", a->why.object, a->why.text);
    item_put(it, DUE);
}

/* Deleted, as the store has heard or will. */
static void not_there(struct item *it, uint64_t now) {
    it->gone = false;
    item_wait(it, now + DENIED_MS);
    if (it->again)
        item_put(it, LOOK);
}

static void on_written(void *arg, const struct kube_answer *a) {
    struct item *it = arg;
    struct status_writer *w = it->writer;
    uint64_t now = status_now_ms();
    it->request = NULL;
    if (a->status / 100 != 2 && a->status != 409)
        w->counters.failures++;
    if (a->status / 100 == 2)
        written(it, a);
    else if (a->status == 409)
        conflicted(it, now);
    else if (a->status == 404)
        not_there(it, now);
    else if (a->status >= 400 && a->status < 500 && a->status != 401 && a->status != 408 &&
             a->status != 429)
        refused(it, a, now);
    else
        ill(it, a, now);
    writer_wake(w);
}

static void on_reread(void *arg, const struct kube_answer *a) {
    struct item *it = arg;
    it->request = NULL;
    mem_free(it->conflict);
    it->conflict = NULL;
    if (a->status == 200)
        hear(it, a->body);
    else if (a->status != 404)
        ill(it, a, status_now_ms());
    item_put(it, LOOK);
    writer_wake(it->writer);
}

static void call(struct item *it, const char *method, struct str sub, struct str body,
                 void (*on_end)(void *arg, const struct kube_answer *a)) {
    char room[1024];
    struct out path = out_fixed(room, sizeof(room));
    const struct resource *r = store_said(it->writer->c.store, it->kind, it->ns, it->name);
    print_path(it, sub, &path);
    mem_free(it->asked_at);
    it->asked_at = r ? str_dup(r->meta.resource_version) : NULL;
    it->again = false;
    item_put(it, BUSY);
    it->request =
        kube_call(it->writer->c.client,
                  &(struct kube_call){.method = method,
                                      .path = out_done(&path),
                                      .body = body,
                                      .type = body.n > 0 ? "application/merge-patch+json" : NULL,
                                      .timeout_ms = CALL_MS,
                                      .on_end = on_end,
                                      .arg = it});
}

/* ---- what left our class and is not read any more ---- */

/* Whatever came of it: it is somebody else's, or gone. */
static void on_cleared(void *arg, const struct kube_answer *a) {
    struct item *it = arg;
    struct status_writer *w = it->writer;
    it->request = NULL;
    w->counters.writes[it->kind] += a->status / 100 == 2;
    w->counters.conflicts += a->status == 409;
    it->mine = it->gone = a->status == 409;
    item_put(it, LOOK);
    writer_wake(w);
}

static bool print_clear(const struct item *it, const cJSON *have, uint64_t generation,
                        struct out *o) {
    return it->kind == KUBE_Ingress ? ingress_clear(have, &it->writer->addresses, o)
                                    : body_clear(have, generation, o);
}

static bool print_found(const struct item *it, const cJSON *json, struct out *o) {
    const cJSON *meta = json_get(json, "metadata"), *generation = json_get(meta, "generation");
    if (!json || json_get(meta, "deletionTimestamp"))
        return false;
    out_lit(o, "{\"metadata\":{\"resourceVersion\":");
    out_json(o, json_text(meta, "resourceVersion"));
    out_lit(o, "},\"status\":");
    bool any = print_clear(it, json_get(json, "status"),
                           cJSON_IsNumber(generation) && generation->valuedouble > 0
                               ? (uint64_t)generation->valuedouble
                               : 0,
                           o);
    out_char(o, '}');
    return any && !o->over;
}

static void on_found(void *arg, const struct kube_answer *a) {
    struct item *it = arg;
    struct out o = out_heap(BODY_MAX);
    cJSON *json = a->status == 200 ? json_parse(a->body, NULL) : NULL;
    it->request = NULL;
    if (print_found(it, json, &o) && it->writer->c.leads(it->writer->c.arg)) {
        call(it, "PATCH", STR("status"), out_done(&o), on_cleared);
    } else {
        it->mine = it->gone = false;
        item_put(it, LOOK);
        writer_wake(it->writer);
    }
    out_fini(&o);
    cJSON_Delete(json);
}

/* ---- writing ---- */

static bool print_status(struct item *it, const struct sight *s, struct out *o) {
    if (s->deed == CLEAR)
        return print_clear(it, s->have, s->r->meta.generation, o);
    if (it->kind == KUBE_Ingress)
        ingress_write(&s->addresses, o);
    else
        body_write(s->have, &s->want, status_unix_s(), o);
    return true;
}

static bool print_patch(struct item *it, const struct sight *s, struct out *o) {
    out_lit(o, "{\"metadata\":{\"resourceVersion\":");
    out_json(o, s->version);
    out_lit(o, "},\"status\":");
    bool any = print_status(it, s, o);
    out_char(o, '}');
    return any && !o->over;
}

static void send_status(struct item *it, const struct sight *s) {
    struct status_writer *w = it->writer;
    struct out o = out_heap(BODY_MAX);
    if (print_patch(it, s, &o)) {
        it->sending = s->deed == CLEAR ? 0 : s->hash;
        if (s->deed == TELL && s->look.flipped && kube_is_ours(it->kind))
            sight_say(w, s, false);
        call(it, "PATCH", STR("status"), out_done(&o), on_written);
    } else {
        it->cleared = true; /* nothing of ours is there */
        item_put(it, LOOK);
        writer_wake(w);
    }
    out_fini(&o);
}

void item_write(struct item *it, uint64_t now) {
    struct sight s;
    uint64_t denied = it->writer->leaving ? 0 : item_denied_until(it);
    sight_see(it, &s);
    if (s.deed == DROP)
        item_free(it);
    else if (denied > now)
        item_wait(it, denied);
    else if (s.deed == LATER || sight_when(it, &s, now) > now)
        item_put(it, LOOK);
    else if (s.deed == FIND)
        call(it, "GET", STR_NONE, STR_NONE, on_found);
    else if (item_conflicts(it, &s))
        call(it, "GET", STR_NONE, STR_NONE, on_reread);
    else if (when_take(&it->writer->bucket, now) || it->writer->leaving)
        send_status(it, &s);
    sight_fini(&s);
}
