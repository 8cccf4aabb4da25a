/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/status/status.h"

/* Not accepted, by its own fault or because it could not be read: the reason, else NULL. */
static const char *refused_as(const struct compiler *c, const struct resource *r) {
    const struct compile_status *s = compile_status(c, r);
    if (s && s->conditions[CONDITION_ACCEPTED].set)
        return s->ours && !s->conditions[CONDITION_ACCEPTED].value
                   ? s->conditions[CONDITION_ACCEPTED].reason
                   : NULL;
    return r->refused ? "Invalid" : NULL;
}

/* Service, Secret and EndpointSlice have a line only when there is something to say. */
static bool has_line(const struct compiler *c, const struct resource *r) {
    const struct compile_status *s = compile_status(c, r);
    if (r->kind == KUBE_Service)
        return r->refused || (s && s->n_warnings > 0);
    if (r->kind == KUBE_Secret)
        return r->refused || (s && (s->n_warnings > 0 || !s->conditions[CONDITION_ACCEPTED].value));
    return s ? s->ours : r->refused != NULL;
}

static void json_key(struct out *o, const char *key, struct str value) {
    out_char(o, ',');
    out_json(o, str_of(key));
    out_char(o, ':');
    out_json(o, value);
}

/* "field: text": the object stands beside it. */
static void json_why(struct out *o, const struct why *why) {
    char room[sizeof(struct why)];
    struct out text = out_fixed(room, sizeof(room));
    if (why->field[0])
        out_fmt(&text, "%s: ", why->field);
    out_str(&text, str_of(why->text));
    out_json(o, out_done(&text));
}

static void json_conditions(struct out *o, const struct status_wanted *w) {
    const char *before = "";
    out_lit(o, ",\"conditions\":[");
    for (size_t i = 0; i < STATUS_TYPES; i++) {
        const struct status_condition *c = &w->conditions[i];
        if (!c->set)
            continue;
        out_fmt(o, "%s{\"type\":\"%s\",\"status\":\"%s\",\"reason\":\"%s\"", before,
                status_types[i], c->value ? "True" : "False", c->reason);
        before = ",";
        if (c->message.n > 0 && !c->value) { /* warnings have a place of their own */
            out_lit(o, ",\"message\":");
            out_json(o, c->message);
        }
        out_char(o, '}');
    }
    out_char(o, ']');
}

static struct status_wanted want(const struct compile_status *s, const struct resource *r,
                                 const struct status_fleet *fleet, struct arena *a) {
    struct status_wanted w;
    struct status_served served = {0};
    if (fleet && s && s->n_objects > 0)
        served = fleet->serving(fleet->arg, s->objects, s->n_objects, 0);
    status_want(s, r, fleet ? &served : NULL, a, &w);
    return w;
}

static struct status_wanted want_held_back(const struct resource *said, const char *why,
                                           struct arena *a) {
    struct status_wanted w;
    status_want_held_back(said, why, a, &w);
    return w;
}

/* said: the version that is held back, for that reason; NULL: none is. */
static void json_one(const struct compiler *c, const struct resource *r,
                     const struct resource *said, const char *why, const struct status_fleet *fleet,
                     struct out *o) {
    const struct compile_status *s = said ? NULL : compile_status(c, r);
    struct arena a;
    arena_init(&a);
    struct status_wanted w = said ? want_held_back(said, why, &a) : want(s, r, fleet, &a);
    r = said ? said : r;
    out_lit(o, "{\"kind\":");
    out_json(o, str_of(kube_kinds[r->kind].kind));
    if (r->meta.namespace.n > 0)
        json_key(o, "namespace", r->meta.namespace);
    json_key(o, "name", r->meta.name);
    if (r->from.file.n > 0) {
        json_key(o, "file", r->from.file);
        out_fmt(o, ",\"line\":%u", r->from.line);
    }
    json_conditions(o, &w);
    for (size_t i = 0; s && i < s->n_warnings; i++) {
        out_str(o, i == 0 ? STR(",\"warnings\":[") : STR(","));
        json_why(o, &s->warnings[i]);
    }
    if (s && s->n_warnings > 0)
        out_char(o, ']');
    if (s && s->held)
        out_lit(o, ",\"held\":true");
    if (why)
        out_lit(o, ",\"held_back\":true");
    if (s && s->revision != 0) {
        out_lit(o, ",\"revision\":\"");
        out_hex(o, s->revision, 16);
        out_char(o, '"');
    }
    if (w.counted)
        out_fmt(o,
                ",\"proxies\":{\"summary\":\"%zu/%zu\",\"ready\":%zu,\"current\":%zu,"
                "\"behind\":%zu}",
                w.served.current, w.served.ready, w.served.ready, w.served.current,
                w.served.behind);
    out_char(o, '}');
    arena_fini(&a);
}

void status_json_one(const struct compiler *c, const struct resource *r,
                     const struct status_fleet *fleet, struct out *o) {
    json_one(c, r, NULL, NULL, fleet, o);
}

static bool is_asked(const struct resource *r, struct str kind, struct str ns, struct str name) {
    return (kind.n == 0 || str_eq_nocase(kind, str_of(kube_kinds[r->kind].kind))) &&
           (ns.n == 0 || str_eq(ns, r->meta.namespace)) &&
           (name.n == 0 || str_eq(name, r->meta.name));
}

struct held_back {
    const struct compiler *c;
    const struct status_fleet *fleet;
    struct str kind, ns, name;
    struct out *o;
    const char *why;
    bool first;
};

/* Of those that count their line says it. */
static void json_new(void *arg, const struct resource *counts, const struct resource *said) {
    struct held_back *h = arg;
    if (counts || !said || !kube_has_status(said->kind) || !is_asked(said, h->kind, h->ns, h->name))
        return;
    out_str(h->o, h->first ? STR("") : STR(",\n"));
    h->first = false;
    json_one(h->c, said, said, h->why, h->fleet, h->o);
}

void status_json(const struct store *s, const struct compiler *c, const struct status_fleet *fleet,
                 struct str kind, struct str ns, struct str name, struct out *o) {
    struct held_back h = {c, fleet, kind, ns, name, o, store_is_frozen(s), true};
    out_char(o, '[');
    for (enum kube_kind k = 1; k < KUBE_KINDS; k++)
        for (const struct resource *r = NULL; (r = store_next(s, k, r));) {
            bool held = store_is_held_back(s, k, r->meta.namespace, r->meta.name);
            if (!is_asked(r, kind, ns, name) || !has_line(c, r))
                continue;
            out_str(o, h.first ? STR("") : STR(",\n"));
            h.first = false;
            json_one(c, r, held ? store_said(s, k, r->meta.namespace, r->meta.name) : NULL,
                     held ? h.why : NULL, fleet, o);
        }
    store_each_held_back(s, json_new, &h);
    out_char(o, ']');
}

void status_refused(const struct store *s, const struct compiler *c,
                    void (*each)(void *arg, const struct resource *r, const char *reason),
                    void *arg) {
    for (enum kube_kind k = 1; k < KUBE_KINDS; k++)
        for (const struct resource *r = NULL; (r = store_next(s, k, r));) {
            const char *reason = refused_as(c, r);
            if (reason)
                each(arg, r, reason);
        }
}
