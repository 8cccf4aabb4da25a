/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/main_history.h"

#include "controller/history/kept.h"
#include "controller/history/pin.h"
#include "controller/kube/client.h"
#include "lib/log.h"
#include "lib/mem.h"

#include <cjson/cJSON.h>
#include <event2/event.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

enum {
    BYTES_MAX = 64 << 20,
    INLINE_MOVES = 20, /* of each revision, in the list */
    SHORT_CAUSES = 3,  /* on the live page */
    FAULT_ROOM = 1200,
    SAVE_MS = 200,
    AGAIN_S = 10,        /* after a PATCH that failed */
    HELD_MAX = 64 << 20, /* bytes of what is held back, on the disk */
    CONFIG_KEY_MAX = 253,
    PATH_ROOM = 1024,
};

struct main_history {
    struct turn *turn;
    struct store *store;
    const struct options *o;
    struct str ns; /* of the pin; owned */
    struct kube_client *client;
    bool (*leads)(void *arg);
    void (*owner)(void *arg, struct out *o);
    void *arg;
    struct resource *config; /* the ConfigMap, as it was told last; a count. NULL: there is none */
    struct kube_request *patch;
    struct history history;
    struct pin pin;
    struct event *save;
    char unreadable[FAULT_ROOM]; /* the pin; "": it is not */
    char unwritable[FAULT_ROOM]; /* the directory */
};

/* ---- the pin ---- */

static void set_fault(char room[FAULT_ROOM], const struct why *why, const char *what) {
    char text[FAULT_ROOM] = "";
    struct out o = out_fixed(text, sizeof(text) - 1);
    if (why) {
        why_print(why, &o);
        out_str(&o, str_of(what));
        text[o.n] = 0;
    }
    if (why && strcmp(text, room) != 0)
        log_warn("history", "%s", text);
    memcpy(room, text, FAULT_ROOM);
}

static void save_soon(void *arg) {
    struct main_history *m = arg;
    struct timeval tv = {0, SAVE_MS * 1000L};
    if ((m->o->history || m->client) && !evtimer_pending(m->save, NULL))
        evtimer_add(m->save, &tv);
}

static void say_pinned(struct main_history *m, const char *before) {
    char room[1024];
    struct out o = out_fixed(room, sizeof(room));
    if (m->pin.on) {
        pin_sentence(&m->pin, &o);
        log_warn("history", "%.*s", STR_FMT(out_done(&o)));
        history_say(&m->history, "rollback to %s%s%s%s%s", m->pin.revision,
                    m->pin.by[0] ? " by " : "", m->pin.by, m->pin.reason[0] ? ": " : "",
                    m->pin.reason);
    } else {
        log_warn("history",
                 "the fleet is pinned to revision %s no more: what the resources say "
                 "counts again",
                 before);
        history_say(&m->history, "resumed, after revision %s", before);
    }
}

static void on_pin(void *arg, const struct resource *config, bool unknown,
                   const struct why *fault) {
    struct main_history *m = arg;
    struct why why = {0};
    char before[sizeof(m->pin.revision)];
    bool news;
    turn_wait(m->turn, unknown);
    if (unknown)
        return;
    resource_drop(m->config);
    m->config = config ? resource_hold((struct resource *)(uintptr_t)config) : NULL;
    if (fault) { /* the source has said it; nobody knows whether there is one: what is stays */
        set_fault(m->unreadable, fault, "; whether the fleet is pinned is not known");
        return;
    }
    memcpy(before, m->pin.revision, sizeof(before));
    cJSON *held = m->o->history && !m->pin.on ? kept_read_held(m->o->history) : NULL;
    int rc = pin_take(&m->pin, m->store, config, held, &news, &why);
    cJSON_Delete(held);
    if (rc != 0)
        set_fault(m->unreadable, &why, "; this pin does not count");
    else
        set_fault(m->unreadable, NULL, "");
    if (!news || rc != 0)
        return;
    say_pinned(m, before);
    save_soon(m);
}

/* ---- commits ---- */

static int64_t unix_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void on_changed(void *arg, const struct resource *was, const struct resource *now) {
    struct main_history *m = arg;
    history_changed(&m->history, was, now);
}

static void on_moved(void *arg, const struct object *was, const struct object *now) {
    struct main_history *m = arg;
    history_moved(&m->history, was, now);
}

static void before_commit(void *arg) {
    struct main_history *m = arg;
    push_pending(turn_push(m->turn), on_moved, m);
}

static void after_commit(void *arg) {
    struct main_history *m = arg;
    const struct revision *r =
        history_committed(&m->history, push_revision(turn_push(m->turn)), unix_ms());
    if (!r)
        return;
    log_info("history", "revision=%016llx added=%zu changed=%zu removed=%zu caused_by=%zu%s%s",
             (unsigned long long)r->name, r->added, r->changed, r->removed, r->changes.n,
             r->note[0] ? " " : "", r->note);
    save_soon(m);
}

static int save_held(struct main_history *m, struct why *why) {
    struct out o = out_heap(HELD_MAX);
    if (m->pin.on)
        pin_write_held(&m->pin, m->store, &o);
    int rc = o.over ? why_text(why, "too much is held back to be kept there")
                    : kept_held(m->o->history, out_done(&o), why);
    out_fini(&o);
    return rc;
}

static void save(struct main_history *m) {
    struct why why = {0};
    why_field(&why, "--history");
    bool bad = kept_save(&m->history, m->o->history, &why) != 0;
    bad = save_held(m, &why) != 0 || bad;
    set_fault(m->unwritable, bad ? &why : NULL, "");
}

/* ---- what is held back, in the ConfigMap ---- */

struct adding {
    const struct main_history *m;
    struct out *o;
    size_t n, bytes;
};

/* What counts instead of what was written, where the pin does not say it yet. */
static void add_held(void *arg, const struct resource *counts, const struct resource *said) {
    struct adding *a = arg;
    char room[CONFIG_KEY_MAX];
    struct out k = out_fixed(room, sizeof(room));
    pin_key(counts ? counts : said, &k);
    if (k.over || (counts && !counts->fields) || resource_config(a->m->config, out_done(&k)).p)
        return;
    struct out text = out_heap(PIN_BYTES);
    if (counts)
        resource_write(counts, &text);
    if (!text.over && a->bytes + text.n < PIN_BYTES) {
        out_str(a->o, a->n++ == 0 ? STR("") : STR(","));
        out_json(a->o, out_done(&k));
        out_char(a->o, ':');
        out_json(a->o, out_done(&text));
        a->bytes += text.n + k.n;
    }
    out_fini(&text);
}

static size_t config_bytes(const struct resource *config) {
    const struct kube_ConfigMap *c = resource_ConfigMap(config);
    size_t n = 0;
    for (uint32_t i = 0; i < c->n_data; i++)
        n += c->data[i].key.n + c->data[i].value.n;
    return n;
}

static void on_patched(void *arg, const struct kube_answer *a) {
    struct main_history *m = arg;
    struct timeval tv = {AGAIN_S, 0};
    m->patch = NULL;
    if (!why_set(&a->why) || a->status == 404) /* it is there no more */
        return;
    log_warn("history", "what is held back cannot be written to the ConfigMap: %s", a->why.text);
    evtimer_add(m->save, &tv);
}

static void patch_held(struct main_history *m) {
    char room[PATH_ROOM];
    struct out path = out_fixed(room, sizeof(room)), body = out_heap(2 * PIN_BYTES);
    if (!m->client || m->patch || !m->pin.on || !m->config || !m->config->fields ||
        !m->leads(m->arg))
        return;
    struct adding a = {m, &body, 0, config_bytes(m->config)};
    out_lit(&body, "{\"data\":{");
    store_each_held_back(m->store, add_held, &a);
    out_lit(&body, "}}");
    const struct kube_kind_info *i = &kube_kinds[KUBE_ConfigMap];
    kube_path(&path, i->group, i->version, i->plural, m->ns, str_of(m->o->pin), STR_NONE);
    if (a.n > 0 && !body.over)
        m->patch = kube_call(m->client, &(struct kube_call){.method = "PATCH",
                                                            .path = out_done(&path),
                                                            .body = out_done(&body),
                                                            .type = "application/merge-patch+json",
                                                            .on_end = on_patched,
                                                            .arg = m});
    out_fini(&body);
}

static void on_save(evutil_socket_t fd, short what, void *arg) {
    struct main_history *m = arg;
    (void)fd, (void)what;
    if (m->o->history)
        save(m);
    patch_held(m);
}

/* ---- JSON ---- */

static void json_text(struct out *o, const char *name, struct str value) {
    if (value.n == 0)
        return;
    out_fmt(o, ",\"%s\":", name);
    out_json(o, value);
}

static void json_cause(const struct history_change *c, struct out *o) {
    const struct resource *r = c->now ? c->now : c->was;
    out_fmt(o, "{\"kind\":\"%s\"", kube_kinds[r->kind].kind);
    json_text(o, "namespace", r->meta.namespace);
    json_text(o, "name", r->meta.name);
    out_fmt(o, ",\"change\":\"%s\"", !c->was ? "added" : c->now ? "changed" : "removed");
    if (r->meta.generation > 0)
        out_fmt(o, ",\"generation\":%llu", (unsigned long long)r->meta.generation);
    json_text(o, "resource_version", r->meta.resource_version);
    if (c->now) /* who removed it is not known */
        json_text(o, "manager", r->meta.manager);
    if (c->now && r->meta.changed > 0)
        out_fmt(o, ",\"changed\":%llu", (unsigned long long)r->meta.changed);
    json_text(o, "file", r->from.file);
    out_char(o, '}');
}

struct listing {
    struct out *o;
    size_t n;
};

static void json_move(void *arg, struct str id, const struct object *was,
                      const struct object *now) {
    struct listing *l = arg;
    (void)id;
    out_str(l->o, l->n++ == 0 ? STR("{\"was\":") : STR(",\n{\"was\":"));
    if (was)
        object_wire_json(was, l->o);
    else
        out_lit(l->o, "null");
    out_lit(l->o, ",\"now\":");
    if (now)
        object_wire_json(now, l->o);
    else
        out_lit(l->o, "null");
    out_char(l->o, '}');
}

struct live {
    const struct revision *r;
    size_t ready, current;
};

static void count_live(void *arg, const struct push_proxy *p) {
    struct live *l = arg;
    l->ready += p->ready;
    l->current += p->ready && (p->revision == l->r->name || p->revision == l->r->serves);
}

/* With so many causes and moves at most. */
static void json_revision(const struct main_history *m, const struct revision *r, size_t causes,
                          size_t moves, struct out *o) {
    struct live live = {r, 0, 0};
    struct listing l = {o, 0};
    push_each(turn_push(m->turn), count_live, &live);
    out_fmt(o,
            "{\"revision\":\"%016llx\",\"serves\":\"%016llx\",\"time_ms\":%lld,"
            "\"reachable\":%s,\"proxies\":{\"ready\":%zu,\"current\":%zu},"
            "\"added\":%zu,\"changed\":%zu,\"removed\":%zu",
            (unsigned long long)r->name, (unsigned long long)r->serves, (long long)r->made_ms,
            history_leads_back(&m->history, r) ? "true" : "false", live.ready, live.current,
            r->added, r->changed, r->removed);
    json_text(o, "note", str_of(r->note));
    out_lit(o, ",\"causes\":[");
    struct map_slot *v = map_sorted(&r->changes);
    for (size_t i = 0; i < r->changes.n && i < causes; i++) {
        out_str(o, i == 0 ? STR("") : STR(","));
        json_cause(v[i].value, o);
    }
    mem_free(v);
    out_fmt(o, "],\"n_causes\":%zu,\"n_moves\":%zu,\"moves\":[", r->changes.n, r->moves.n);
    v = map_sorted(&r->moves);
    for (size_t i = 0; i < r->moves.n && i < moves; i++) {
        const struct history_move *x = v[i].value;
        json_move(&l, v[i].key, x->was, x->now);
    }
    mem_free(v);
    out_lit(o, "]}");
}

void main_history_pinned(const struct main_history *m, struct out *o) {
    const struct pin *p = &m->pin;
    if (!p->on) {
        out_lit(o, "null");
        return;
    }
    char room[1024];
    struct out text = out_fixed(room, sizeof(room));
    pin_sentence(p, &text);
    out_lit(o, "{\"revision\":");
    out_json(o, str_of(p->revision));
    json_text(o, "since", str_of(p->since));
    json_text(o, "by", str_of(p->by));
    json_text(o, "reason", str_of(p->reason));
    out_fmt(o, ",\"held_back\":%zu", store_n_held_back(m->store));
    json_text(o, "text", out_done(&text));
    out_char(o, '}');
}

/* Where a pin is to be written: "pin" is its metadata. */
static void json_place(const struct main_history *m, struct out *o) {
    char path[PATH_MAX];
    out_fmt(o, ",\"source\":\"%s\"", m->o->directory ? "dir" : "kube");
    if (m->o->directory && realpath(m->o->directory, path))
        json_text(o, "directory", str_of(path));
    if (!m->o->pin)
        return;
    out_lit(o, ",\"pin\":{\"namespace\":");
    out_json(o, m->ns);
    json_text(o, "name", str_of(m->o->pin));
    m->owner(m->arg, o);
    out_char(o, '}');
}

static void json_revisions(const struct main_history *m, size_t causes, size_t moves,
                           struct out *o) {
    const char *before = "";
    out_char(o, '[');
    for (const struct revision *r = history_newest(&m->history); r;
         r = history_before(&m->history, r)) {
        out_str(o, str_of(before));
        json_revision(m, r, causes, moves, o);
        before = ",\n";
    }
    out_char(o, ']');
}

void main_history_changes(const struct main_history *m, struct out *o) {
    json_revisions(m, SHORT_CAUSES, 0, o);
}

static bool json_list(const struct main_history *m, struct out *o) {
    out_lit(o, ",\"pinned\":");
    main_history_pinned(m, o);
    json_place(m, o);
    out_lit(o, ",\"revisions\":");
    json_revisions(m, INLINE_MOVES, INLINE_MOVES, o);
    return true;
}

static bool json_since(const struct main_history *m, const struct revision *from, struct str to,
                       struct out *o, struct why *why) {
    const struct revision *end = to.n > 0 ? history_find(&m->history, to, why) : NULL;
    struct listing l = {o, 0};
    if (to.n > 0 && !end)
        return false;
    bool backwards = end && end->number < from->number;
    const struct revision *older = backwards ? end : from, *newer = backwards ? from : end;
    if (!history_leads_back(&m->history, older)) {
        why_text(why, "what changed since revision %016llx is not known whole",
                 (unsigned long long)older->name);
        return false;
    }
    out_fmt(o, ",\"backwards\":%s,\"moves\":[", backwards ? "true" : "false");
    history_moves_between(&m->history, older, newer, json_move, &l);
    out_char(o, ']');
    return true;
}

static bool json_pin(const struct main_history *m, const struct revision *r, struct out *o,
                     struct why *why) {
    if (!m->o->pin) {
        why_text(why, "this controller has no place for a pin: start it with --pin NAME");
        return false;
    }
    json_place(m, o);
    out_lit(o, ",\"data\":");
    return pin_write(&m->history, r, o, why) == 0;
}

bool main_history_json(struct main_history *m, struct str revision, struct str since, struct str to,
                       struct str pin, struct out *o, struct why *why) {
    struct str name = revision.n > 0 ? revision : since.n > 0 ? since : pin;
    out_fmt(o, "{\"revision\":\"%016llx\"", (unsigned long long)push_revision(turn_push(m->turn)));
    const struct revision *r = name.n > 0 ? history_find(&m->history, name, why) : NULL;
    bool good = name.n == 0 ? json_list(m, o) : r != NULL;
    if (r && revision.n > 0) {
        out_lit(o, ",\"of\":");
        json_revision(m, r, SIZE_MAX, SIZE_MAX, o);
    } else if (r && since.n > 0) {
        good = json_since(m, r, to, o, why);
    } else if (r) {
        good = json_pin(m, r, o, why);
    }
    out_lit(o, "}\n");
    return good;
}

/* ---- the rest ---- */

void main_history_metrics(const struct main_history *m, struct metric_text *t) {
    metric_family(t, METRIC_GAUGE, "sluice_controller_pinned",
                  "Whether the fleet is pinned to a revision, by `sluicectl rollback`: 1 or 0.");
    metric_count(t, STR_NONE, m->pin.on);
    metric_family(t, METRIC_GAUGE, "sluice_controller_held_back",
                  "Resources that say something else than what serves, since the fleet is pinned.");
    metric_count(t, STR_NONE, store_n_held_back(m->store));
    metric_family(t, METRIC_GAUGE, "sluice_controller_history_bytes",
                  "Memory of the revisions that are kept, about.");
    metric_count(t, STR_NONE, m->history.bytes);
}

void main_history_faults(const struct main_history *m, void (*each)(void *arg, struct str fault),
                         void *arg) {
    if (m->unreadable[0])
        each(arg, str_of(m->unreadable));
    if (m->unwritable[0])
        each(arg, str_of(m->unwritable));
}

struct main_history *main_history_new(const struct main_history_host *host, struct why *why) {
    struct main_history *m = mem_zalloc(sizeof(*m));
    const struct options *o = host->o;
    struct turn *turn = host->turn;
    struct store *store = host->store;
    m->turn = turn;
    m->store = store;
    m->o = o;
    m->ns = str_of(str_dup(host->ns));
    m->client = host->client;
    m->leads = host->leads;
    m->owner = host->owner;
    m->arg = host->arg;
    m->save = evtimer_new(host->base, on_save, m);
    history_init(&m->history, turn_compiler(turn), BYTES_MAX);
    store_on_history(store, on_changed, m);
    store_on_held_back(store, save_soon, m);
    turn_on_commit(turn, before_commit, after_commit, m);
    if (o->pin) {
        const struct compile_watch watch = {on_pin, m};
        compile_watch(turn_compiler(turn), m->ns, str_of(o->pin), &watch);
    }
    why_field(why, "--history");
    if (!o->history || kept_load(&m->history, o->history, why) == 0)
        return m;
    main_history_free(m);
    return NULL;
}

void main_history_free(struct main_history *m) {
    if (!m)
        return;
    if (m->o->history && evtimer_pending(m->save, NULL))
        save(m);
    if (m->patch)
        kube_cancel(m->patch);
    resource_drop(m->config);
    store_on_history(m->store, NULL, NULL);
    store_on_held_back(m->store, NULL, NULL);
    turn_on_commit(m->turn, NULL, NULL, NULL);
    event_free(m->save);
    history_fini(&m->history);
    mem_free((char *)(uintptr_t)m->ns.p);
    mem_free(m);
}
