/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/status/wanted.h"

const char *const status_types[STATUS_TYPES] = {"Accepted", "ResolvedRefs", "Programmed"};

enum { MESSAGE_MAX = 4096 };

static void print_why(struct out *o, const struct why *why) {
    if (why->field[0])
        out_fmt(o, "%s: ", why->field);
    out_str(o, str_of(why->text));
}

/* "spec.rules[0].matches[0].path: ...", with what follows it. */
static struct str sentence(struct arena *a, const struct why *why, const char *and) {
    char room[MESSAGE_MAX];
    struct out o = out_fixed(room, sizeof(room));
    print_why(&o, why);
    out_str(&o, str_of(and));
    return arena_str(a, out_done(&o));
}

static struct str warnings(struct arena *a, const struct compile_status *s) {
    char room[MESSAGE_MAX];
    struct out o = out_fixed(room, sizeof(room));
    for (size_t i = 0; i < s->n_warnings; i++) {
        size_t mark = o.n;
        out_str(&o, i == 0 ? STR("warning: ") : STR("; "));
        print_why(&o, &s->warnings[i]);
        if (o.over) { /* the last ones are left out, not cut */
            o.n = mark;
            break;
        }
    }
    return o.n > 0 ? arena_str(a, out_done(&o)) : STR_NONE;
}

static struct status_condition told(const struct condition *c, struct arena *a, const char *and) {
    return (struct status_condition){.set = c->set,
                                     .value = c->value,
                                     .reason = c->reason,
                                     .message = c->why ? sentence(a, c->why, and) : STR_NONE};
}

/* ---- Programmed ---- */

static struct status_condition not_programmed(const char *reason, struct str message) {
    return (struct status_condition){true, false, reason, message};
}

static struct status_condition programmed(const struct status_served *v, struct arena *a) {
    if (v->ready == 0)
        return not_programmed("Pending", STR("no proxy is ready to serve it"));
    if (v->current < v->ready)
        return not_programmed(
            "Pending", arena_fmt(a, "%zu of %zu ready proxies serve it", v->current, v->ready));
    return (struct status_condition){true, true, "Programmed", STR_NONE};
}

static bool makes_objects(enum kube_kind kind) {
    return kind == KUBE_Route || kind == KUBE_TrafficPolicy || kind == KUBE_Ingress ||
           kind == KUBE_AuthPolicy || kind == KUBE_Consumer;
}

static void want_programmed(const struct compile_status *s, const struct resource *r,
                            const struct status_served *served, struct arena *a,
                            struct status_wanted *w) {
    struct status_condition *c = &w->conditions[STATUS_PROGRAMMED];
    w->counted = s && s->n_objects > 0;
    if (w->counted)
        w->served = *served;
    if (s && s->held)
        *c = not_programmed("LastGoodServes", STR("this version is refused: see Accepted"));
    else if (w->counted)
        *c = programmed(served, a);
    else if (makes_objects(r->kind) && !w->conditions[STATUS_ACCEPTED].value)
        *c = not_programmed("NotAccepted", STR("no proxy serves it: see Accepted"));
}

/* Held because somebody older counts: its former version does not serve either. */
static const char *and_held(const struct compile_status *s) {
    const char *reason = s->conditions[CONDITION_ACCEPTED].reason;
    return s->held && strcmp(reason, "Conflicted") != 0 ? "; its last good version serves on" : "";
}

void status_want(const struct compile_status *s, const struct resource *r,
                 const struct status_served *served, struct arena *a, struct status_wanted *w) {
    *w = (struct status_wanted){.generation = r->meta.generation};
    if (s) {
        w->conditions[STATUS_ACCEPTED] = told(&s->conditions[CONDITION_ACCEPTED], a, and_held(s));
        w->conditions[STATUS_RESOLVED_REFS] = told(&s->conditions[CONDITION_RESOLVED_REFS], a, "");
        w->revision = s->revision;
        if (w->conditions[STATUS_ACCEPTED].value)
            w->conditions[STATUS_ACCEPTED].message = warnings(a, s);
    } else if (r->refused) {
        w->conditions[STATUS_ACCEPTED] = (struct status_condition){
            .set = true, .reason = "Invalid", .message = sentence(a, r->refused, "")};
    }
    if (served)
        want_programmed(s, r, served, a, w);
}

void status_want_held_back(const struct resource *r, const char *why, struct arena *a,
                           struct status_wanted *w) {
    struct status_condition *accepted = &w->conditions[STATUS_ACCEPTED];
    struct str message = arena_fmt(a, "held back: %s", why);
    *w = (struct status_wanted){.generation = r->meta.generation};
    if (r->refused)
        *accepted = (struct status_condition){
            .set = true, .reason = "Invalid", .message = sentence(a, r->refused, "")};
    else
        *accepted = (struct status_condition){true, true, "HeldBack", message};
    w->conditions[STATUS_PROGRAMMED] = not_programmed("HeldBack", message);
}
