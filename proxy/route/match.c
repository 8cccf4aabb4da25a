/* SPDX-License-Identifier: Apache-2.0
 *
 * match: the conditions of one match on a request's headers, query parameters and cookies.
 *
 * A header that came in several fields is compared as one, joined by ", " (RFC 9110 5.3). Of a
 * query parameter or a cookie that came several times the first counts.
 */
#include "lib/mem.h"
#include "lib/regex.h"
#include "proxy/route/vhost.h"

struct route_scratch *route_scratch_new(void) {
    struct route_scratch *s = mem_alloc(sizeof(*s));
    s->regex = regex_scratch_new();
    return s;
}

void route_scratch_free(struct route_scratch *s) {
    if (!s)
        return;
    regex_scratch_free(s->regex);
    mem_free(s);
}

uint64_t route_scratch_limit_hits(const struct route_scratch *s) {
    return regex_limit_hits(s->regex);
}

static bool header_value(const struct lookup *l, struct str name, struct str *value) {
    const struct head *h = l->rq->head;
    unsigned from = 0;
    const struct head_field *f = head_each(h, name, &from);
    if (!f)
        return false;
    *value = head_value(h, f);
    f = head_each(h, name, &from);
    if (!f)
        return true;
    struct out o = out_fixed(l->scratch->room, sizeof(l->scratch->room));
    out_str(&o, *value);
    for (; f; f = head_each(h, name, &from)) {
        out_lit(&o, ", ");
        out_str(&o, head_value(h, f));
    }
    *value = out_done(&o);
    return !o.over;
}

static bool query_value(const struct lookup *l, struct str name, struct str *value) {
    return head_query(l->rq->head, name, l->scratch->room, sizeof(l->scratch->room), value);
}

static bool cookie_value(const struct lookup *l, struct str name, struct str *value) {
    return head_cookie(l->rq->head, name, value);
}

/* regex: the next of the rule's list, moved on when it is used. */
static bool one_holds(const struct model_value_match *m, struct str value, struct regex ***regex,
                      const struct lookup *l) {
    switch (m->type) {
    case MODEL_MATCH_EXACT:
        return str_eq(value, m->value);
    case MODEL_MATCH_REGEX:
        must(*regex != NULL); /* the rule has one, so it has the list */
        return regex_match(*(*regex)++, value, l->scratch->regex);
    case MODEL_MATCH_PRESENT:
        return true; /* it was found */
    }
    return false;
}

static bool all_hold(const struct model_value_match *list, uint32_t n, const struct lookup *l,
                     struct regex ***regex,
                     bool (*value_of)(const struct lookup *, struct str, struct str *)) {
    for (uint32_t i = 0; i < n; i++) {
        struct str value;
        if (!value_of(l, list[i].name, &value) || !one_holds(&list[i], value, regex, l))
            return false;
    }
    return true;
}

/* Where the regexes of a match begin in its rule's list; NULL when the rule has none. */
static struct regex **regexes_of(const struct rule *rule, uint32_t match) {
    const struct rule_regexes *r = rule->regexes;
    return r ? r->list + r->first[match] : NULL;
}

bool conditions_hold(const struct rule *rule, uint32_t match, const struct lookup *l) {
    const struct model_match *m = &rule->matches[match];
    struct regex **regex = regexes_of(rule, match);
    if (m->path_type == MODEL_PATH_REGEX)
        regex++;
    return all_hold(m->headers, m->n_headers, l, &regex, header_value) &&
           all_hold(m->query, m->n_query, l, &regex, query_value) &&
           all_hold(m->cookies, m->n_cookies, l, &regex, cookie_value);
}

bool path_regex_holds(const struct rule *rule, uint32_t match, const struct lookup *l) {
    return regex_match(*regexes_of(rule, match), l->rq->path, l->scratch->regex);
}
