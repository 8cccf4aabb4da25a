/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/status/body.h"

#include "controller/status/clock.h"
#include "lib/hash.h"
#include "lib/units.h"

/* ---- what stands there ---- */

static const cJSON *condition_of(const cJSON *have, const char *type) {
    const cJSON *c, *all = json_get(have, "conditions");
    cJSON_ArrayForEach(c, all) {
        if (str_eq(json_text(c, "type"), str_of(type)))
            return c;
    }
    return NULL;
}

static uint64_t number_of(const cJSON *object, const char *name) {
    const cJSON *n = json_get(object, name);
    return cJSON_IsNumber(n) && n->valuedouble >= 0 && n->valuedouble <= 0x1p53
               ? (uint64_t)n->valuedouble
               : 0;
}

static bool is_number(const cJSON *object, const char *name, uint64_t value) {
    return json_get(object, name) && number_of(object, name) == value;
}

static struct str status_word(bool value) { return value ? STR("True") : STR("False"); }

static bool says(const cJSON *c, const struct status_condition *w) {
    return str_eq(json_text(c, "status"), status_word(w->value)) &&
           str_eq(json_text(c, "reason"), str_of(w->reason)) &&
           str_eq(json_text(c, "message"), w->message);
}

static struct str revision_text(uint64_t revision, char room[16]) {
    struct out o = out_fixed(room, 16);
    out_hex(&o, revision, 16);
    return out_done(&o);
}

/* ---- comparing ---- */

/* Which of its generations a condition speaks of is the object's own matter. */
static enum body_differs compare_condition(const cJSON *have, const struct status_wanted *w,
                                           enum status_type type) {
    const struct status_condition *want = &w->conditions[type];
    const cJSON *c = condition_of(have, status_types[type]);
    if (!c != !want->set)
        return BODY_OWN;
    if (!c)
        return BODY_SAME;
    if (!is_number(c, "observedGeneration", w->generation) && w->generation > 0)
        return BODY_OWN;
    if (says(c, want))
        return BODY_SAME;
    return type == STATUS_PROGRAMMED ? BODY_FLEET : BODY_OWN;
}

static enum body_differs compare_proxies(const cJSON *have, const struct status_wanted *w) {
    const cJSON *p = json_get(have, "proxies");
    char room[16];
    if (!p != !w->counted)
        return BODY_OWN;
    if (!p)
        return BODY_SAME;
    if (!str_eq(json_text(p, "revision"), revision_text(w->revision, room)))
        return BODY_OWN;
    return is_number(p, "ready", w->served.ready) && is_number(p, "current", w->served.current) &&
                   is_number(p, "behind", w->served.behind) && json_get(p, "summary")
               ? BODY_SAME
               : BODY_FLEET;
}

struct body_look body_compare(const cJSON *have, const struct status_wanted *w) {
    struct body_look look = {.differs = compare_proxies(have, w)};
    const cJSON *p = json_get(have, "proxies");
    for (unsigned t = 0; t < STATUS_TYPES; t++) {
        enum body_differs d = compare_condition(have, w, t);
        const cJSON *c = condition_of(have, status_types[t]);
        look.differs = d > look.differs ? d : look.differs;
        if (t != STATUS_PROGRAMMED && w->conditions[t].set)
            look.flipped |= !c || !says(c, &w->conditions[t]);
    }
    look.late = number_of(p, "current") < number_of(p, "ready");
    return look;
}

/* ---- writing ---- */

static void write_condition(const cJSON *have, const struct status_wanted *w, enum status_type type,
                            uint64_t unix_s, struct out *o) {
    const struct status_condition *c = &w->conditions[type];
    const cJSON *was = condition_of(have, status_types[type]);
    struct str since = json_text(was, "lastTransitionTime");
    uint64_t seconds;
    bool kept = str_eq(json_text(was, "status"), status_word(c->value)) &&
                unit_time(since, &seconds, NULL) == 0;
    out_fmt(o, "{\"type\":\"%s\",\"status\":\"%.*s\",\"reason\":\"%s\",\"message\":",
            status_types[type], STR_FMT(status_word(c->value)), c->reason);
    out_json(o, c->message);
    if (w->generation > 0)
        out_fmt(o, ",\"observedGeneration\":%llu", (unsigned long long)w->generation);
    out_lit(o, ",\"lastTransitionTime\":");
    if (kept) {
        out_json(o, since);
    } else {
        out_char(o, '"');
        status_print_time(unix_s, o);
        out_char(o, '"');
    }
    out_char(o, '}');
}

static bool is_ours(const cJSON *condition) {
    for (unsigned t = 0; t < STATUS_TYPES; t++)
        if (str_eq(json_text(condition, "type"), str_of(status_types[t])))
            return true;
    return false;
}

static void write_others(const cJSON *have, const char *before, struct out *o) {
    const cJSON *c, *all = json_get(have, "conditions");
    cJSON_ArrayForEach(c, all) {
        char *text = is_ours(c) ? NULL : cJSON_PrintUnformatted(c);
        if (!text)
            continue;
        out_str(o, str_of(before));
        out_str(o, str_of(text));
        before = ",";
        cJSON_free(text);
    }
}

static void write_proxies(const struct status_wanted *w, struct out *o) {
    const struct status_served *v = &w->served;
    if (!w->counted) {
        out_lit(o, ",\"proxies\":null");
        return;
    }
    out_fmt(o,
            ",\"proxies\":{\"summary\":\"%zu/%zu\",\"ready\":%zu,\"current\":%zu,\"behind\":%zu,"
            "\"revision\":\"",
            v->current, v->ready, v->ready, v->current, v->behind);
    out_hex(o, w->revision, 16);
    out_lit(o, "\"}");
}

void body_write(const cJSON *have, const struct status_wanted *w, uint64_t unix_s, struct out *o) {
    const char *before = "";
    out_lit(o, "{\"conditions\":[");
    for (unsigned t = 0; t < STATUS_TYPES; t++) {
        if (!w->conditions[t].set)
            continue;
        out_str(o, str_of(before));
        write_condition(have, w, t, unix_s, o);
        before = ",";
    }
    write_others(have, before, o);
    out_char(o, ']');
    write_proxies(w, o);
    out_char(o, '}');
}

bool body_clear(const cJSON *have, uint64_t generation, struct out *o) {
    const cJSON *c = condition_of(have, status_types[STATUS_ACCEPTED]);
    if (!c || number_of(c, "observedGeneration") >= generation)
        return false;
    out_lit(o, "{\"conditions\":[");
    write_others(have, "", o);
    out_lit(o, "],\"proxies\":null}");
    return true;
}

/* ---- Ingress ---- */

static const cJSON *entries(const cJSON *have) {
    return json_get(json_get(have, "loadBalancer"), "ingress");
}

static bool is_address(const cJSON *entry, const struct address *a) {
    return str_eq(json_text(entry, "ip"), a->ip) &&
           str_eq(json_text(entry, "hostname"), a->hostname);
}

struct body_look ingress_compare(const cJSON *have, const struct addresses *wanted) {
    const cJSON *e, *all = entries(have);
    size_t n = 0, equal = 0;
    cJSON_ArrayForEach(e, all) {
        equal += n < wanted->n && is_address(e, &wanted->v[n]);
        n++;
    }
    bool same = n == wanted->n && equal == n;
    return (struct body_look){.differs = same ? BODY_SAME : BODY_OWN};
}

static void write_entry(const struct address *a, struct out *o) {
    out_str(o, a->ip.n > 0 ? STR("{\"ip\":") : STR("{\"hostname\":"));
    out_json(o, a->ip.n > 0 ? a->ip : a->hostname);
    out_char(o, '}');
}

void ingress_write(const struct addresses *wanted, struct out *o) {
    out_lit(o, "{\"loadBalancer\":{\"ingress\":[");
    for (size_t i = 0; i < wanted->n; i++) {
        if (i > 0)
            out_char(o, ',');
        write_entry(&wanted->v[i], o);
    }
    out_lit(o, "]}}");
}

static bool among(const cJSON *entry, const struct addresses *ours) {
    for (size_t i = 0; i < ours->n; i++)
        if (is_address(entry, &ours->v[i]))
            return true;
    return false;
}

bool ingress_clear(const cJSON *have, const struct addresses *ours, struct out *o) {
    const cJSON *e, *all = entries(have);
    const char *before = "";
    bool any = false;
    out_lit(o, "{\"loadBalancer\":{\"ingress\":[");
    cJSON_ArrayForEach(e, all) {
        char *text = among(e, ours) ? NULL : cJSON_PrintUnformatted(e);
        any |= !text;
        if (!text)
            continue;
        out_str(o, str_of(before));
        out_str(o, str_of(text));
        before = ",";
        cJSON_free(text);
    }
    out_lit(o, "]}}");
    return any;
}

/* ---- hashes ---- */

uint64_t body_hash(const struct status_wanted *w) {
    uint64_t h = hash_mix(w->generation, w->counted ? w->revision : 1);
    for (unsigned t = 0; t < STATUS_TYPES; t++) {
        const struct status_condition *c = &w->conditions[t];
        h = hash_mix(h, (c->set ? 1u : 0u) | (c->value ? 2u : 0u));
        h = hash_mix(h, c->set ? hash_content(str_of(c->reason)) : 0);
        h = hash_mix(h, hash_content(c->message));
    }
    h = hash_mix(hash_mix(h, w->served.ready), w->served.current);
    return hash_mix(h, w->served.behind) | 1;
}

uint64_t ingress_hash(const struct addresses *wanted) {
    uint64_t h = wanted->n;
    for (size_t i = 0; i < wanted->n; i++)
        h = hash_mix(hash_mix(h, hash_content(wanted->v[i].ip)),
                     hash_content(wanted->v[i].hostname));
    return h | 1;
}
