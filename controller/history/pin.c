/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/history/pin.h"

#include "lib/json.h"
#include "lib/mem.h"

#include <stdio.h>

enum { KEY_MAX = 253 }; /* of a ConfigMap */

/* ---- reading ---- */

struct put_back { /* r == NULL: it was not there */
    enum kube_kind kind;
    struct str ns, name;
    struct resource *r;
};

static void take_text(char *to, size_t room, const struct resource *config, struct str key) {
    struct str s = resource_config(config, key);
    snprintf(to, room, "%.*s", STR_FMT(str_mk(s.p ? s.p : "", s.n)));
    for (char *p = to; *p; p++) /* it will stand in logs and on terminals */
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = '?';
}

static struct pin read_head(const struct resource *config) {
    struct pin p = {.on = true};
    take_text(p.revision, sizeof(p.revision), config, STR("revision"));
    take_text(p.since, sizeof(p.since), config, STR("since"));
    take_text(p.by, sizeof(p.by), config, STR("by"));
    take_text(p.reason, sizeof(p.reason), config, STR("reason"));
    return p;
}

/* "Route.shop.shop": neither kinds nor namespaces have a dot. */
static bool split_key(struct str key, struct put_back *b) {
    struct str kind;
    b->name = str_cut(str_cut(key, '.', &kind), '.', &b->ns);
    b->kind = KUBE_NONE;
    for (enum kube_kind k = 1; k < KUBE_KINDS; k++)
        if (store_holds_back(k) && str_eq(kind, str_of(kube_kinds[k].kind)))
            b->kind = k;
    return b->kind != KUBE_NONE && b->name.n > 0;
}

static bool is_of(const struct resource *r, const struct put_back *b) {
    return r->kind == b->kind && str_eq(r->meta.name, b->name) && str_eq(r->meta.namespace, b->ns);
}

static int read_one(struct str key, struct str text, struct put_back *b, struct why *why) {
    why_field(why, "data[%.*s]", (int)size_min(key.n, 80), key.p);
    if (!split_key(key, b))
        return why_text(why, "names no resource that is held back; write KIND.NAMESPACE.NAME");
    if (text.n == 0)
        return 0;
    cJSON *json = json_parse(text, why);
    b->r = json ? resource_read(json, why) : NULL;
    cJSON_Delete(json);
    if (!b->r)
        return -1;
    return is_of(b->r, b) ? 0 : why_text(why, "is another resource than its key says");
}

static bool is_head(struct str key) { return !memchr(key.p, '.', key.n); }

static int read_all(const struct kube_ConfigMap *m, struct put_back *v, size_t *n,
                    struct why *why) {
    for (uint32_t i = 0; i < m->n_data; i++) {
        if (is_head(m->data[i].key))
            continue;
        if (read_one(m->data[i].key, m->data[i].value, &v[(*n)++], why) != 0)
            return -1;
    }
    return 0;
}

void pin_sentence(const struct pin *p, struct out *o) {
    out_fmt(o, "the fleet is pinned to revision %s", p->revision);
    if (p->since[0])
        out_fmt(o, " since %s", p->since);
    if (p->by[0])
        out_fmt(o, " by %s", p->by);
    if (p->reason[0])
        out_fmt(o, " (%s)", p->reason);
    out_lit(o, "; `sluicectl resume` ends it");
}

/* What was written after the pin, before this controller started. */
static void read_held(const cJSON *held, const struct pin *now, const struct resource *config,
                      struct put_back *v, size_t *n) {
    const cJSON *j;
    if (!held || !str_eq(json_text(held, "revision"), str_of(now->revision)) ||
        !str_eq(json_text(held, "since"), str_of(now->since)))
        return;
    cJSON_ArrayForEach(j, held) {
        struct why why = {0};
        struct str key = str_of(j->string);
        if (is_head(key) || !cJSON_IsString(j) || resource_config(config, key).p)
            continue;
        if (read_one(key, str_of(j->valuestring), &v[*n], &why) == 0)
            ++*n;
        else
            resource_drop(v[*n].r);
        v[*n].r = NULL;
    }
}

static void put_all_back(struct pin *p, struct store *s, struct put_back *v, size_t n) {
    char room[1024];
    struct out o = out_fixed(room, sizeof(room) - 1);
    pin_sentence(p, &o);
    room[o.n] = 0;
    store_freeze(s, NULL); /* what another one has held back */
    store_freeze(s, room);
    for (size_t i = 0; i < n; i++) {
        if (v[i].r)
            store_put_back(s, v[i].r);
        else
            store_take_back(s, v[i].kind, v[i].ns, v[i].name);
        v[i].r = NULL;
    }
}

static int take(struct pin *p, struct store *s, const struct resource *config, const cJSON *held,
                struct why *why) {
    const struct kube_ConfigMap *m = resource_ConfigMap(config);
    struct pin now = read_head(config);
    why_object(why, "ConfigMap %.*s/%.*s", STR_FMT(config->meta.namespace),
               STR_FMT(config->meta.name));
    if (now.revision[0] == 0)
        return why_text(why, "data.revision is missing: no revision is pinned");
    size_t n = 0, most = m->n_data + (held ? (size_t)cJSON_GetArraySize(held) : 0);
    struct put_back *v = mem_zalloc((most + 1) * sizeof(*v));
    int rc = read_all(m, v, &n, why);
    if (rc == 0) {
        read_held(held, &now, config, v, &n);
        *p = now;
        put_all_back(p, s, v, n);
    }
    for (size_t i = 0; i < n; i++)
        resource_drop(v[i].r);
    mem_free(v);
    return rc;
}

int pin_take(struct pin *p, struct store *s, const struct resource *config, const cJSON *held,
             bool *news, struct why *why) {
    *news = false;
    if (!config) {
        *news = p->on;
        *p = (struct pin){0};
        store_freeze(s, NULL);
        return 0;
    }
    if (config->refused) {
        *why = *config->refused;
        return -1;
    }
    struct pin now = read_head(config);
    if (p->on && strcmp(p->revision, now.revision) == 0 && strcmp(p->since, now.since) == 0)
        return 0;
    *news = true;
    return take(p, s, config, held, why);
}

/* ---- writing ---- */

struct writing {
    struct out *o;
    struct why *why;
    int rc;
};

void pin_key(const struct resource *r, struct out *o) {
    out_fmt(o, "%s.%.*s.%.*s", kube_kinds[r->kind].kind, STR_FMT(r->meta.namespace),
            STR_FMT(r->meta.name));
}

static void deny(struct writing *w, const struct resource *r, const char *text) {
    char room[600];
    struct out o = out_fixed(room, sizeof(room) - 1);
    resource_print_name(r, &o);
    room[o.n] = 0;
    why_object(w->why, "%s", room);
    w->rc = why_text(w->why, "%s", text);
}

static void write_one(void *arg, struct str key, const struct resource *was,
                      const struct resource *now) {
    struct writing *w = arg;
    const struct resource *any = was ? was : now;
    char room[KEY_MAX + 1];
    struct out k = out_fixed(room, KEY_MAX);
    (void)key;
    if (w->rc != 0 || !any || !store_holds_back(any->kind) ||
        (was && now && was->hash == now->hash))
        return;
    pin_key(any, &k);
    if (k.over)
        deny(w, any, "its name is too long for a key of a ConfigMap");
    else if (was && was->refused)
        deny(w, any, "was refused in that revision: what it made then is not known");
    if (w->rc != 0)
        return;
    struct out text = out_heap(PIN_BYTES);
    if (was)
        resource_write(was, &text);
    out_char(w->o, ',');
    out_json(w->o, out_done(&k));
    out_char(w->o, ':');
    out_json(w->o, out_done(&text));
    if (text.over)
        w->o->over = true;
    out_fini(&text);
}

int pin_write(const struct history *h, const struct revision *r, struct out *o, struct why *why) {
    struct writing w = {o, why, 0};
    size_t mark = o->n;
    if (!history_leads_back(h, r))
        return why_text(why,
                        "what changed since revision %016llx is not known whole: the controller "
                        "started meanwhile, or too much changed at once; apply the resources "
                        "of that day instead",
                        (unsigned long long)r->name);
    out_fmt(o, "{\"revision\":\"%016llx\"", (unsigned long long)r->name);
    history_since(h, r, write_one, &w);
    out_char(o, '}');
    if (w.rc == 0 && (o->over || o->n - mark > PIN_BYTES))
        w.rc = why_text(why, "too much has changed since: it does not fit a ConfigMap (1 MiB)");
    return w.rc;
}

static void write_held(void *arg, const struct resource *counts, const struct resource *said) {
    struct out *o = arg;
    char room[KEY_MAX + 1];
    struct out k = out_fixed(room, sizeof(room));
    if (counts && !counts->fields)
        return; /* it cannot be written; as it is refused, its last good version serves */
    pin_key(counts ? counts : said, &k);
    struct out text = out_heap(PIN_BYTES);
    if (counts)
        resource_write(counts, &text);
    if (!k.over && !text.over) {
        out_lit(o, ",\n");
        out_json(o, out_done(&k));
        out_char(o, ':');
        out_json(o, out_done(&text));
    }
    out_fini(&text);
}

void pin_write_held(const struct pin *p, const struct store *s, struct out *o) {
    out_lit(o, "{\"revision\":");
    out_json(o, str_of(p->revision));
    out_lit(o, ",\"since\":");
    out_json(o, str_of(p->since));
    store_each_held_back(s, write_held, o);
    out_lit(o, "}\n");
}
