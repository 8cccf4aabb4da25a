/* SPDX-License-Identifier: Apache-2.0
 *
 * names: what is read one by one, by its name, because some unit reads it.
 *
 *     store_read ─► asked ─► due ─► waiting ─► get ──► store: it is so, it is absent, it may not
 *                              ▲                 │             be read
 *                              └── a minute ─────┘
 *
 * What is due and that nobody reads any more is forgotten instead.
 */
#include "controller/source/kube_parts.h"
#include "controller/store/index.h"
#include "lib/mem.h"

enum {
    KEY_ROOM = 600, /* a kind and two names */
    PATH_ROOM = 1 << 11,
    GRAIN_MS = 1000, /* what is due in one second is done at once: fewer wakes */
};

static const enum kube_kind by_name[] = {KUBE_Secret, KUBE_ConfigMap};

/* ---- one of them ---- */

static struct str key_of(enum kube_kind kind, struct str ns, struct str name, char room[KEY_ROOM]) {
    struct out key = out_fixed(room, KEY_ROOM);
    index_own_key(kind, ns, name, &key);
    return key.over ? STR_NONE : out_done(&key);
}

static struct name *find(const struct kube_source *s, enum kube_kind kind, struct str ns,
                         struct str name) {
    char room[KEY_ROOM];
    struct str key = key_of(kind, ns, name, room);
    return key.p ? map_get(&s->names, key) : NULL;
}

/* NULL: no object can have such a name. */
static struct name *make(struct kube_source *s, enum kube_kind kind, struct str ns,
                         struct str name) {
    char room[KEY_ROOM];
    struct str key = key_of(kind, ns, name, room);
    if (!key.p)
        return NULL;
    struct name *n = mem_zalloc(sizeof(*n));
    n->s = s;
    n->kind = kind;
    n->key = str_mk(mem_dup(key.p, key.n), key.n);
    n->name = str_skip(n->key, key.n - name.n);
    if (ns.n > 0)
        n->ns = str_mk(n->name.p - 1 - ns.n, ns.n);
    n->due_ms = NEVER;
    list_init(&n->waiting);
    map_put(&s->names, n->key, n);
    return n;
}

static void end(struct name *n) {
    struct kube_source *s = n->s;
    if (n->request) {
        kube_cancel(n->request);
        s->n_gets--;
    }
    map_del(&s->names, n->key);
    list_del(&n->waiting);
    mem_free(n->fault);
    mem_free((char *)(uintptr_t)n->key.p);
    mem_free(n);
}

static void make_due(struct name *n, uint64_t due_ms) {
    struct kube_source *s = n->s;
    n->due_ms = due_ms < n->due_ms ? due_ms : n->due_ms;
    s->names_ms = n->due_ms < s->names_ms ? n->due_ms : s->names_ms;
    source_wake(s, s->names_ms);
}

static void make_due_soon(struct name *n) {
    uint64_t now = source_now(), soon = n->read_ms > 0 ? n->read_ms + KUBE_REREAD_MS : now;
    make_due(n, soon > now ? soon : now);
}

static void poll_again(struct name *n) {
    uint32_t ms = n->watched ? KUBE_WATCHED_POLL_MS : KUBE_POLL_MS;
    uint64_t due_ms = n->read_ms + ms * 3 / 4 + prng_below(&n->s->prng, ms / 2);
    make_due(n, due_ms / GRAIN_MS * GRAIN_MS + GRAIN_MS);
}

static void try_again(struct name *n, uint64_t retry_after_ms) {
    make_due(n, n->read_ms + backoff_next(&n->backoff, &n->s->prng, retry_after_ms));
}

/* ---- the answer ---- */

static void set_fault(struct name *n, const char *verb, const struct kube_answer *a) {
    char room[1024];
    struct out o = out_fixed(room, sizeof(room));
    n->s->n_names.failures++;
    out_fmt(&o, "cannot read %s %.*s/%.*s: %s", kube_kinds[n->kind].kind, STR_FMT(n->ns),
            STR_FMT(n->name), a->why.text);
    if (a->status == 403)
        report_grant(verb, a, &o);
    source_fault(&n->fault, out_done(&o));
}

/* Whether the watches see it, if there are any: see the table in kube.c. */
static bool is_watched(const struct kube_source *s, const cJSON *object) {
    const cJSON *labels = json_get(json_get(object, "metadata"), "labels");
    return s->watch_secrets && (str_eq(json_text(object, "type"), STR("kubernetes.io/tls")) ||
                                str_eq(json_text(labels, "sluice.dev/credential"), STR("true")));
}

static void take_answer(struct name *n, const struct kube_answer *a) {
    struct kube_source *s = n->s;
    struct why why;
    why_clear(&why);
    cJSON *object = take_parse(a->body, &why);
    n->watched = object && is_watched(s, object);
    struct resource *r =
        object ? take_resource(n->kind, object, why_set(&why) ? &why : NULL, &why) : NULL;
    cJSON_Delete(object);
    if (r) {
        backoff_reset(&n->backoff);
        source_fault(&n->fault, STR_NONE);
        poll_again(n);
        n->told = store_upsert(s->store, r);
        s->upserted += n->told;
    } else {
        struct kube_answer bad = {.status = a->status, .why = why};
        set_fault(n, "get", &bad);
        try_again(n, 0);
    }
}

/* It may come any moment, say from cert-manager: so it is looked for as what has failed. */
static void take_absence(struct name *n) {
    n->watched = false;
    source_fault(&n->fault, STR_NONE);
    try_again(n, 0);
    store_absent(n->s->store, n->kind, n->ns, n->name, NULL);
}

static void take_refusal(struct name *n, const struct kube_answer *a) {
    struct why why;
    why_clear(&why);
    n->watched = false;
    set_fault(n, "get", a);
    try_again(n, a->retry_after_ms);
    why_text(&why, "%s", n->fault);
    store_absent(n->s->store, n->kind, n->ns, n->name, &why);
}

static void pump(struct kube_source *s);

static void on_end(void *arg, const struct kube_answer *a) {
    struct name *n = arg;
    struct kube_source *s = n->s;
    n->request = NULL;
    n->read_ms = source_now();
    if (n->due_ms != NEVER) /* asked for meanwhile */
        n->due_ms = n->read_ms + KUBE_REREAD_MS;
    s->n_gets--;
    source_reached(s, a->status == 0 ? &a->why : NULL);
    if (a->status == 404) {
        take_absence(n);
    } else if (a->status == 403) {
        take_refusal(n, a);
    } else if (why_set(&a->why)) {
        set_fault(n, "get", a);
        try_again(n, a->retry_after_ms);
    } else {
        take_answer(n, a);
    }
    pump(s);
}

/* ---- asking ---- */

static void get(struct name *n) {
    const struct kube_kind_info *i = &kube_kinds[n->kind];
    char room[PATH_ROOM];
    struct out path = out_fixed(room, sizeof(room));
    kube_path(&path, i->group, i->version, i->plural, n->ns, n->name, STR_NONE);
    const struct kube_call call = {
        .method = "GET", .path = out_done(&path), .on_end = on_end, .arg = n};
    n->s->n_gets++;
    n->s->n_names.reads++;
    n->request = kube_call(n->s->client, &call);
}

static void pump(struct kube_source *s) {
    struct list *it;
    while (s->n_gets < KUBE_GETS_MAX && (it = list_pop(&s->waiting)))
        get(list_entry(it, struct name, waiting));
}

/* Whether what asks was only made to look by the last answer. */
static bool has_just_heard(struct name *n) {
    bool told = n->told && source_now() - n->read_ms < KUBE_REREAD_MS;
    n->told = false;
    return told;
}

static void on_asked(void *arg, enum kube_kind kind, struct str ns, struct str name) {
    struct kube_source *s = arg;
    struct name *n = find(s, kind, ns, name);
    if (!n && !(n = make(s, kind, ns, name))) {
        names_absent(s, kind, ns, name, NULL);
        return;
    }
    if (!has_just_heard(n))
        make_due_soon(n);
}

void names_changed(struct reflector *r, cJSON *object, bool gone, const struct why *refused) {
    const cJSON *meta = json_get(object, "metadata");
    enum kube_kind kind = kube_kind_of(str_of(r->what->info->group), str_of(r->what->info->kind));
    struct name *n = find(r->s, kind, json_text(meta, "namespace"), json_text(meta, "name"));
    (void)gone, (void)refused;
    if (n)
        make_due_soon(n);
}

/* One that is under way is looked at again when it has come. */
static void begin(struct name *n) {
    struct kube_source *s = n->s;
    n->due_ms = NEVER;
    if (store_forget(s->store, n->kind, n->ns, n->name))
        end(n);
    else if (list_empty(&n->waiting))
        list_append(&s->waiting, &n->waiting);
}

void names_turn(struct kube_source *s, uint64_t now) {
    struct list due;
    struct list *it;
    if (s->names_ms <= now) {
        list_init(&due);
        s->names_ms = NEVER;
        for (struct map_slot *slot = NULL; (slot = map_next(&s->names, slot));) {
            struct name *n = slot->value;
            if (n->due_ms <= now && !n->request && list_empty(&n->waiting))
                list_append(&due, &n->waiting);
            else if (n->due_ms < s->names_ms && !n->request)
                s->names_ms = n->due_ms;
        }
        while ((it = list_pop(&due)))
            begin(list_entry(it, struct name, waiting));
        pump(s);
    }
    if (s->names_ms != NEVER)
        source_wake(s, s->names_ms);
}

/* ---- kinds that are watched as a whole ---- */

void names_want(struct kube_source *s, enum kube_kind kind, struct str ns, struct str name) {
    if (!find(s, kind, ns, name))
        make(s, kind, ns, name);
}

void names_absent(struct kube_source *s, enum kube_kind kind, struct str ns, struct str name,
                  const char *fault) {
    struct why why;
    why_clear(&why);
    if (fault)
        why_text(&why, "%s", fault);
    store_absent(s->store, kind, ns, name, fault ? &why : NULL);
}

void names_settle(struct kube_source *s, enum kube_kind kind, const char *fault) {
    struct list settled;
    struct list *it;
    list_init(&settled);
    for (struct map_slot *slot = NULL; (slot = map_next(&s->names, slot));) {
        struct name *n = slot->value;
        if (n->kind == kind)
            list_append(&settled, &n->waiting);
    }
    while ((it = list_pop(&settled))) {
        struct name *n = list_entry(it, struct name, waiting);
        if (!store_get(s->store, kind, n->ns, n->name))
            names_absent(s, kind, n->ns, n->name, fault);
        end(n);
    }
}

/* ---- life ---- */

void names_init(struct kube_source *s) {
    map_init(&s->names);
    list_init(&s->waiting);
    s->names_ms = NEVER;
    for (size_t i = 0; i < ARRAY_LEN(by_name); i++)
        store_ask(s->store, by_name[i], on_asked, s);
}

void names_fini(struct kube_source *s) {
    struct map_slot *slot;
    for (size_t i = 0; i < ARRAY_LEN(by_name); i++)
        store_ask(s->store, by_name[i], NULL, NULL);
    while ((slot = map_next(&s->names, NULL)))
        end(slot->value);
    map_fini(&s->names);
}
