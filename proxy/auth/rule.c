/* SPDX-License-Identifier: Apache-2.0
 *
 * rule: what a caller may do. The first rule that matches decides; if none does, nobody may. A rule
 * matches when all that it says holds: of one list any, of the claims each.
 */
#include "lib/zone.h"
#include "proxy/auth/parts.h"

/* ---- the caller ---- */

struct str caller_consumer(const struct caller *w) {
    return w->known ? w->consumer.id : w->anonymous;
}

struct str caller_subject(const struct caller *w) {
    struct str subject = w->token ? bearer_subject(w->token) : STR_NONE;
    return subject.n > 0 ? subject : w->subject;
}

bool caller_has_scope(const struct caller *w, struct str scope) {
    return w->token && bearer_has(w->token, bearer_scopes(w->token, w->jwt), scope);
}

bool caller_has_group(const struct caller *w, struct str group) {
    for (uint32_t i = 0; w->known && i < w->consumer.consumer->n_groups; i++)
        if (str_eq(w->consumer.consumer->groups[i], group))
            return true;
    return w->token && w->jwt->n_group_claim > 0 &&
           bearer_has(w->token, bearer_claim(w->token, w->jwt->group_claim, w->jwt->n_group_claim),
                      group);
}

/* ---- conditions ---- */

static bool any_of(const struct str *list, uint32_t n, struct str s) {
    for (uint32_t i = 0; i < n; i++)
        if (str_eq(list[i], s))
            return true;
    return n == 0;
}

static bool any_scope(const struct caller *w, const struct str *list, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        if (caller_has_scope(w, list[i]))
            return true;
    return n == 0;
}

static bool any_group(const struct caller *w, const struct str *list, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        if (caller_has_group(w, list[i]))
            return true;
    return n == 0;
}

static bool any_host(const struct str *list, uint32_t n, struct str host) {
    for (uint32_t i = 0; i < n; i++) {
        bool wild = str_starts(list[i], STR("*."));
        struct str rest = str_skip(list[i], wild ? 1 : 0);
        if (wild ? host.n > rest.n && str_ends(host, rest) : str_eq(host, rest))
            return true;
    }
    return n == 0;
}

static bool in_network(const struct cidr *c, const uint8_t address[16]) {
    unsigned whole = c->bits / 8, rest = c->bits % 8;
    if (memcmp(c->address, address, whole) != 0)
        return false;
    return rest == 0 || (c->address[whole] ^ address[whole]) >> (8 - rest) == 0;
}

/* address NULL: it is not known (explain.h), and may be any. */
static bool any_network(const struct cidr *list, uint32_t n, const uint8_t address[16]) {
    for (uint32_t i = 0; i < n && address; i++)
        if (in_network(&list[i], address))
            return true;
    return n == 0 || !address;
}

/* The path as the backend gets it: what is decided is decided for that. */
static struct str path_of(struct judging *j) {
    if (!j->path.p) {
        struct out o = out_fixed(j->env->path, sizeof(j->env->path));
        policy_write_forwarded_path(j->x, &o);
        j->path = o.over ? STR_NONE : out_done(&o);
    }
    return j->path;
}

/* "/shop" begins "/shop" and "/shop/a", not "/shops". */
static bool begins(struct str path, struct str prefix) {
    if (prefix.n > 0 && prefix.p[prefix.n - 1] == '/')
        prefix.n--;
    return str_starts(path, prefix) && (path.n == prefix.n || path.p[prefix.n] == '/');
}

static bool any_path(struct judging *j, const struct auth_rule_law *r) {
    struct regex *const *regex = r->paths;
    for (uint32_t i = 0; i < r->model->n_paths; i++) {
        const struct model_path_rule *p = &r->model->paths[i];
        bool is = false;
        switch (p->type) {
        case MODEL_PATH_PREFIX:
            is = begins(path_of(j), p->value);
            break;
        case MODEL_PATH_EXACT:
            is = str_eq(path_of(j), p->value);
            break;
        case MODEL_PATH_REGEX:
            is = regex_match(*regex++, path_of(j), j->env->regex);
            break;
        }
        if (is)
            return true;
    }
    return r->model->n_paths == 0;
}

bool claims_hold(struct judging *j, struct claim_match *const *list, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        if (!j->who.token || !claim_matches(list[i], bearer_claims(j->who.token), j->env->regex))
            return false;
    return true;
}

/* As clocks there show it: an hour that a change leaves out never is, one that is there twice
 * counts twice. */
static int64_t local_time(const struct model_auth_rule *r, int64_t now) {
    uint32_t i = 0;
    if (r->n_zone == 0)
        return now;
    while (i + 1 < r->n_zone && (int64_t)r->zone[i + 1].from <= now)
        i++;
    return now + 60 * ((int64_t)r->zone[i].minutes - ZONE_SHIFT);
}

static bool in_time(const struct model_auth_rule *r, int64_t now) {
    now = local_time(r, now);
    int64_t day = now / 86400, minute = now % 86400 / 60;
    bool over_midnight = r->to_minute <= r->from_minute && (r->from_minute | r->to_minute) != 0;
    uint64_t from = r->from_minute, to = r->to_minute;
    if ((from | to) == 0)
        to = 1440;
    bool late = over_midnight && (uint64_t)minute < to; /* it began the day before */
    bool in = over_midnight ? (uint64_t)minute >= from || late
                            : (uint64_t)minute >= from && (uint64_t)minute < to;
    unsigned weekday = (unsigned)((day - late + 3) % 7); /* 1970-01-01 was a Thursday */
    return in && (r->days == 0 || (r->days >> weekday & 1) != 0);
}

/* The first of its fields that does not hold; NULL: it matches. */
static const char *unmet(struct judging *j, const struct auth_rule_law *r) {
    const struct model_auth_rule *m = r->model;
    const struct caller *w = &j->who;
    const struct head *h = j->x->request;
    if (m->n_auth_methods > 0 && (w->methods & r->methods) == 0)
        return "authMethods";
    if (!any_of(m->methods, m->n_methods, head_str(h, h->method_text)))
        return "methods";
    if (!any_host(m->hosts, m->n_hosts, j->x->host))
        return "hosts";
    if (!any_network(r->cidrs, m->n_cidrs, j->client))
        return "cidrs";
    if (m->n_consumers > 0 && !any_of(m->consumers, m->n_consumers, caller_consumer(w)))
        return "consumers";
    if (!any_group(w, m->groups, m->n_groups))
        return "groups";
    if (!any_scope(w, m->scopes, m->n_scopes))
        return "scopes";
    if (!claims_hold(j, r->claims, m->n_claims))
        return "claims";
    if (!in_time(m, j->now))
        return "time";
    return any_path(j, r) ? NULL : "paths";
}

int rules_judge(struct judging *j) {
    const struct auth_law *law = j->who.law;
    if (law->model->any_caller)
        return 0;
    for (uint32_t i = 0; i < law->n_rules; i++) {
        const struct auth_rule_law *r = &law->rules[i];
        const char *missed = unmet(j, r);
        if (unlikely(j->env->explaining != NULL) && !explain_rule(j, i, missed))
            return -1;
        if (missed)
            continue;
        j->rule = r;
        j->audit = r->model->audit;
        if (r->model->action == MODEL_ALLOW)
            return 0;
        return judge_refuse(j, REASON_FORBIDDEN, "a rule denies it");
    }
    j->challenge = j->who.token ? "insufficient_scope" : NULL;
    return judge_refuse(j, REASON_FORBIDDEN, "no rule allows it");
}
