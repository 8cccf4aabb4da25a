/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/status/event.h"

#include "controller/status/clock.h"
#include "controller/status/when.h"
#include "lib/hash.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/map.h"
#include "lib/mem.h"
#include "lib/units.h"

#include <event2/event.h>
#include <stdio.h>

enum {
    RENEW_MS = 30 * 60 * 1000,
    AGAIN_MS = 60 * 1000, /* what came back sooner was never gone */
    NOTE_MAX = 1024,
    FIELD_MAX = 128,
    NAME_MAX_BYTES = 200, /* of the object's name in that of its Event */
    EVENTS_A_SECOND = 5,
    EVENTS_BURST = 25,
    CALL_MS = 10000,
    BODY_MAX = 16 << 10,
    TICK_MS = 60 * 1000,
};

struct saying {
    struct list link; /* of due, or of said */
    char *key;        /* "Route/shop/shop/Accepted" */
    enum kube_kind kind;
    char *ns, *name, *uid, *note;
    const char *reason;
    char event[280]; /* metadata.name */
    bool lasts, over, known;
    uint64_t count, last_ms;
};

struct events {
    struct events_config c;
    struct map all;        /* key → saying */
    struct list due, said; /* said: oldest first */
    struct when_bucket bucket;
    struct event *timer;
    struct saying *busy; /* whose request is under way; in neither list */
    bool forgotten;      /* it was said while busy: to be freed when the answer comes */
    struct kube_request *request;
    uint64_t sent;
};

static void pump(struct events *e);

/* ---- sayings ---- */

static void saying_free(struct events *e, struct saying *s) {
    list_del(&s->link);
    map_del(&e->all, str_of(s->key));
    mem_free(s->key);
    mem_free(s->ns);
    mem_free(s->name);
    mem_free(s->uid);
    mem_free(s->note);
    mem_free(s);
}

static char *key_of(const struct resource *r, const char *topic) {
    struct out o = out_heap(1024);
    out_fmt(&o, "%s/%.*s/%.*s/%s", kube_kinds[r->kind].kind, STR_FMT(r->meta.namespace),
            STR_FMT(r->meta.name), topic);
    char *key = str_dup(out_done(&o));
    out_fini(&o);
    return key;
}

/* At most max bytes, not in the middle of a character. */
static struct str cut(struct str s, size_t max) {
    if (s.n <= max)
        return s;
    while (max > 0 && ((unsigned char)s.p[max] & 0xc0) == 0x80)
        max--;
    return str_mk(s.p, max);
}

static void name_event(struct saying *s, const char *topic) {
    uint64_t h = hash_content(str_of(s->uid));
    h = hash_mix(hash_mix(h, hash_content(str_of(topic))), hash_content(str_of(s->reason)));
    h = hash_mix(h, hash_content(str_of(s->note)));
    struct str name = cut(str_of(s->name), NAME_MAX_BYTES);
    while (name.n > 1 && (name.p[name.n - 1] == '.' || name.p[name.n - 1] == '-'))
        name.n--;
    snprintf(s->event, sizeof(s->event), "%.*s.%016llx", STR_FMT(name), (unsigned long long)h);
}

static bool same(const struct saying *s, const struct resource *r, const char *reason,
                 struct str note) {
    return strcmp(s->reason, reason) == 0 && str_eq(str_of(s->note), note) &&
           str_eq(str_of(s->uid), r->meta.uid);
}

/* What was said before under this topic and is not the same is over for good. */
static void replace(struct events *e, struct saying *s) {
    if (s == e->busy) {
        map_del(&e->all, str_of(s->key));
        s->key[0] = 0; /* no longer the map's */
        e->forgotten = true;
    } else {
        saying_free(e, s);
    }
}

static struct saying *saying_new(struct events *e, const struct resource *r, const char *topic,
                                 const char *reason, struct str note) {
    struct saying *s = mem_zalloc(sizeof(*s));
    list_init(&s->link);
    s->key = key_of(r, topic);
    s->kind = r->kind;
    s->ns = str_dup(r->meta.namespace);
    s->name = str_dup(r->meta.name);
    s->uid = str_dup(r->meta.uid);
    s->note = str_dup(note);
    s->reason = reason;
    name_event(s, topic);
    map_put(&e->all, str_of(s->key), s);
    return s;
}

void event_say(struct events *e, const struct resource *r, const char *topic, const char *reason,
               struct str note, bool lasts) {
    char *key = key_of(r, topic);
    struct saying *s = map_get(&e->all, str_of(key));
    mem_free(key);
    note = cut(note, NOTE_MAX);
    if (s && same(s, r, reason, note)) {
        bool again = !lasts || s->over;
        s->over = !lasts;
        if (!again || s == e->busy || s->last_ms == 0 || status_now_ms() < s->last_ms + AGAIN_MS)
            return;
    } else {
        if (s)
            replace(e, s);
        s = saying_new(e, r, topic, reason, note);
        s->lasts = lasts;
        s->over = !lasts;
    }
    list_del(&s->link);
    list_append(&e->due, &s->link);
    pump(e);
}

void event_over(struct events *e, const struct resource *r, const char *topic) {
    char *key = key_of(r, topic);
    struct saying *s = map_get(&e->all, str_of(key));
    mem_free(key);
    if (s)
        s->over = true;
}

/* ---- writing ---- */

static void print_series(const struct saying *s, struct out *o) {
    out_fmt(o, "{\"series\":{\"count\":%llu,\"lastObservedTime\":\"",
            (unsigned long long)s->count + 1);
    status_print_micro_now(o);
    out_lit(o, "\"}}");
}

static void print_field(const char *name, struct str value, struct out *o) {
    out_fmt(o, ",\"%s\":", name);
    out_json(o, value);
}

static struct str event_namespace(const struct saying *s) {
    return s->ns[0] ? str_of(s->ns) : STR("default"); /* where Events of cluster-wide objects are */
}

static void print_regarding(const struct saying *s, struct out *o) {
    const struct kube_kind_info *k = &kube_kinds[s->kind];
    out_fmt(o, ",\"regarding\":{\"kind\":\"%s\",\"apiVersion\":\"%s/%s\"", k->kind, k->group,
            k->version);
    print_field("name", str_of(s->name), o);
    if (s->ns[0])
        print_field("namespace", str_of(s->ns), o);
    print_field("uid", str_of(s->uid), o);
    out_char(o, '}');
}

static void print_event(const struct events *e, const struct saying *s, struct out *o) {
    out_lit(o, "{\"apiVersion\":\"events.k8s.io/v1\",\"kind\":\"Event\",\"metadata\":{\"name\":");
    out_json(o, str_of(s->event));
    print_field("namespace", event_namespace(s), o);
    out_lit(o, "},\"type\":\"Warning\",\"eventTime\":\"");
    status_print_micro_now(o);
    out_lit(o,
            "\",\"action\":\"Compile\",\"reportingController\":\"sluice.dev/ingress-controller\"");
    print_field("reportingInstance", cut(e->c.instance, FIELD_MAX), o);
    print_field("reason", cut(str_of(s->reason), FIELD_MAX), o);
    print_field("note", str_of(s->note), o);
    print_regarding(s, o);
    out_char(o, '}');
}

/* ---- one after the other ---- */

static void call(struct events *e, const char *method, struct str body, const char *type,
                 void (*on_end)(void *arg, const struct kube_answer *a)) {
    char room[1024];
    struct out path = out_fixed(room, sizeof(room));
    const struct saying *s = e->busy;
    struct str name = strcmp(method, "POST") == 0 ? STR_NONE : str_of(s->event);
    kube_path(&path, "events.k8s.io", "v1", "events", event_namespace(s), name, STR_NONE);
    e->request = kube_call(e->c.client, &(struct kube_call){.method = method,
                                                            .path = out_done(&path),
                                                            .body = body,
                                                            .type = type,
                                                            .timeout_ms = CALL_MS,
                                                            .on_end = on_end,
                                                            .arg = e});
}

/* The request is over, whatever came of it: the next time is in half an hour. */
static void done(struct events *e, uint64_t last_ms) {
    struct saying *s = e->busy;
    e->busy = NULL;
    if (e->forgotten) {
        saying_free(e, s);
    } else {
        s->last_ms = last_ms;
        struct list *at = e->said.prev;
        while (at != &e->said && list_entry(at, struct saying, link)->last_ms > last_ms)
            at = at->prev;
        list_add_after(at, &s->link);
    }
    e->forgotten = false;
    pump(e);
}

static void failed(struct events *e, const struct kube_answer *a) {
    char key[80];
    snprintf(key, sizeof(key), "events %s", e->busy->ns);
    if (a->status == 403)
        fault_set(e->c.faults, key, "refusals are not told as Events", &a->why);
    else
        log_info("status", "an Event was not written: %s: %s", a->why.object, a->why.text);
    done(e, status_now_ms());
}

static void on_sent(void *arg, const struct kube_answer *a) {
    struct events *e = arg;
    char key[80];
    e->request = NULL;
    if (a->status / 100 != 2) {
        failed(e, a);
        return;
    }
    snprintf(key, sizeof(key), "events %s", e->busy->ns);
    fault_clear(e->c.faults, key);
    e->sent++;
    e->busy->count++;
    e->busy->known = true;
    done(e, status_now_ms());
}

static void post(struct events *e) {
    struct out o = out_heap(BODY_MAX);
    e->busy->count = 0;
    print_event(e, e->busy, &o);
    if (e->c.leads(e->c.arg) && !o.over)
        call(e, "POST", out_done(&o), NULL, on_sent);
    else
        done(e, status_now_ms());
    out_fini(&o);
}

static void on_patched(void *arg, const struct kube_answer *a) {
    struct events *e = arg;
    if (a->status == 404) {
        e->request = NULL;
        post(e); /* the server has forgotten it: Events live for an hour */
    } else {
        on_sent(arg, a);
    }
}

static void patch(struct events *e) {
    struct out o = out_heap(BODY_MAX);
    print_series(e->busy, &o);
    if (e->c.leads(e->c.arg))
        call(e, "PATCH", out_done(&o), "application/merge-patch+json", on_patched);
    else
        done(e, status_now_ms());
    out_fini(&o);
}

/* How long ago the Event was written last, by the calendar; it was said so often. */
static uint64_t age_of(struct str body, uint64_t *count) {
    cJSON *json = json_parse(body, NULL);
    const cJSON *series = json_get(json, "series"), *n = json_get(series, "count");
    struct str last = series ? json_text(series, "lastObservedTime") : json_text(json, "eventTime");
    uint64_t at = 0, now = status_unix_s();
    *count = cJSON_IsNumber(n) && n->valueint > 1 ? (uint64_t)n->valueint : 1;
    if (unit_time(last, &at, NULL) != 0)
        at = 0;
    cJSON_Delete(json);
    return now > at ? (now - at) * 1000 : 0;
}

static void on_found(void *arg, const struct kube_answer *a) {
    struct events *e = arg;
    e->request = NULL;
    if (a->status == 404) {
        post(e);
        return;
    }
    if (a->status != 200) {
        failed(e, a);
        return;
    }
    uint64_t age = age_of(a->body, &e->busy->count), now = status_now_ms();
    e->busy->known = true;
    if (age >= RENEW_MS)
        patch(e);
    else
        done(e, now > age ? now - age : 1);
}

/* Those of which the half hour is over: said again while they last, else forgotten. */
static void renew(struct events *e, uint64_t now) {
    while (!list_empty(&e->said)) {
        struct saying *s = list_entry(e->said.next, struct saying, link);
        if (now < s->last_ms + RENEW_MS)
            return;
        list_del(&s->link);
        if (s->over || !s->lasts)
            saying_free(e, s);
        else
            list_append(&e->due, &s->link);
    }
}

static void arm(struct events *e, uint64_t ms) {
    struct timeval tv = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};
    evtimer_add(e->timer, &tv);
}

static void pump(struct events *e) {
    uint64_t now = status_now_ms();
    if (e->busy)
        return;
    renew(e, now);
    if (list_empty(&e->due)) {
        if (!list_empty(&e->said))
            arm(e, TICK_MS);
        return;
    }
    if (!e->c.leads(e->c.arg) || !when_take(&e->bucket, now)) {
        uint64_t next = when_next(&e->bucket, now);
        arm(e, next > now ? next - now : 1000);
        return;
    }
    e->busy = list_entry(list_pop(&e->due), struct saying, link);
    if (e->busy->known)
        patch(e);
    else
        call(e, "GET", STR_NONE, NULL, on_found);
}

static void on_timer(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    pump(arg);
}

/* ---- life ---- */

struct events *events_new(const struct events_config *config) {
    struct events *e = mem_zalloc(sizeof(*e));
    e->c = *config;
    map_init(&e->all);
    list_init(&e->due);
    list_init(&e->said);
    e->bucket = (struct when_bucket){EVENTS_A_SECOND, EVENTS_BURST, 0};
    e->timer = evtimer_new(config->base, on_timer, e);
    return e;
}

void events_forget(struct events *e) {
    kube_cancel(e->request);
    e->request = NULL;
    if (e->busy)
        saying_free(e, e->busy);
    e->busy = NULL;
    e->forgotten = false;
    while (!list_empty(&e->due))
        saying_free(e, list_entry(e->due.next, struct saying, link));
    while (!list_empty(&e->said))
        saying_free(e, list_entry(e->said.next, struct saying, link));
    evtimer_del(e->timer);
}

void events_free(struct events *e) {
    if (!e)
        return;
    events_forget(e);
    event_free(e->timer);
    map_fini(&e->all);
    mem_free(e);
}

uint64_t events_sent(const struct events *e) { return e->sent; }
