/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/explain_auth.h"

#include "ctl/words.h"
#include "lib/units.h"
#include "proxy/auth/explain.h"
#include "proxy/auth/place.h"
#include "proxy/policy/policy.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- --at and --client ---- */

static bool read_time(const char *text, int64_t *now) {
    struct tm tm = {0};
    uint64_t seconds;
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    if (end && *end == 0) {
        *now = timegm(&tm);
        return true;
    }
    if (!str_to_u64(str_of(text), INT32_MAX * (uint64_t)64, &seconds))
        return false;
    *now = (int64_t)seconds;
    return true;
}

enum ctl_exit caller_read(struct ctl *c, struct caller_asked *a) {
    struct unit_cidr address;
    struct why why = {0};
    *a = (struct caller_asked){.now = time(NULL), .knows = c->client != NULL};
    if (c->at && !read_time(c->at, &a->now))
        return ctl_fail(c, CTL_USAGE,
                        "--at '%s' is no time; write it as 2026-11-26T08:00:00Z or in seconds "
                        "since 1970",
                        c->at);
    if (!c->client)
        return CTL_OK;
    if (unit_cidr(str_of(c->client), &address, &why) != 0 || address.bits != 128)
        return ctl_fail(c, CTL_USAGE, "--client '%s' is no address; write it as 192.0.2.1",
                        c->client);
    memcpy(a->client, address.addr, sizeof(a->client));
    return CTL_OK;
}

/* ---- the request before its policies ---- */

/* As proxy/stream has it when it judges. */
static struct exchange exchange_of(const struct world *w, const struct request *r,
                                   const struct match_result *m) {
    const struct head *h = &r->head;
    struct exchange x = {.snapshot = w->snapshot,
                         .request = h,
                         .rule = m->rule,
                         .match = m->match,
                         .share = m->rule->n_shares > 0 ? &m->rule->shares[0] : NULL,
                         .host = r->host,
                         .path = r->path,
                         .query = h->has_query ? head_str(h, h->query) : STR_NONE,
                         .has_query = h->has_query,
                         .secure = r->secure,
                         .method = h->method,
                         .port = r->port,
                         .host_port = h->port};
    const struct head_field *origin = head_find(h, TOKEN_ORIGIN);
    if (origin && policy_find(&x, MODEL_FILTER_CORS))
        x.origin = head_value(h, origin);
    return x;
}

/* NULL: they are asked. */
static const char *answered_before(const struct exchange *x) {
    struct answer a;
    if (x->rule->refusal != REASON_NONE)
        return "the rule is closed";
    if (x->rule->to_https && !x->secure)
        return "plain requests are sent to https before anybody is asked";
    if (policy_preflights(x, &a))
        return "a preflight is answered before anybody is asked";
    return NULL;
}

/* ---- what cannot be known from files ---- */

static const char not_in_files[] =
    "it names what is not in the files: ask a running proxy (--proxy)";

static const char unfetched[] =
    "its signature cannot be verified here: the issuer's keys are fetched "
    "by the controller, ask a running proxy (--proxy)";

static bool lacks_something(const struct world *w, const struct resource *r) {
    const struct compile_status *s = r ? compile_status(w->compiler, r) : NULL;
    const struct condition *resolved = s ? &s->conditions[CONDITION_RESOLVED_REFS] : NULL;
    return resolved && resolved->set && !resolved->value;
}

/* A policy that is closed may be so for want of a Secret that is not among the files, or of what
 * the controller asks an identity provider. NULL: it is closed for good. */
static const char *why_closed(const struct world *w, const struct auth_law *law) {
    struct str ns, name = str_cut(law->name, '/', &ns);
    const struct resource *r = w->store ? store_get(w->store, KUBE_AuthPolicy, ns, name) : NULL;
    const struct compile_status *s = r ? compile_status(w->compiler, r) : NULL;
    const char *reason = s ? s->conditions[CONDITION_ACCEPTED].reason : NULL;
    if (reason && strcmp(reason, "InvalidDiscovery") == 0)
        return "its identity provider is asked by the controller: ask a running proxy (--proxy)";
    return lacks_something(w, r) ? not_in_files : NULL;
}

/* Why credentials of Consumers may be missing; NULL: all are there. */
static const char *why_unseen(const struct world *w) {
    if (!w->store)
        return "a running proxy shows no hashes and no secrets of credentials";
    for (const struct resource *r = NULL; (r = store_next(w->store, KUBE_Consumer, r));)
        if (lacks_something(w, r))
            return "the Secret of a Consumer is not in the files";
    return NULL;
}

static void make_unknown(struct explained *e, unsigned i, const char *why) {
    struct explained_policy *p = &e->policies[i];
    p->decision = e->decision = EXPLAIN_UNDECIDED;
    p->reason = e->reason = REASON_NONE;
    p->detail = str_of(why);
    p->fields = STR_NONE;
}

static void doubt_closed(const struct world *w, struct explained *e) {
    for (unsigned i = 0; i < e->n_policies; i++) {
        const struct auth_law *law = e->policies[i].law;
        const char *why = law->refusal != REASON_NONE ? why_closed(w, law) : NULL;
        if (why)
            make_unknown(e, i, why);
    }
}

static bool same(const struct explained *a, const struct explained *b) {
    bool is = a->decision == b->decision && a->n_policies == b->n_policies;
    for (unsigned i = 0; is && i < a->n_policies; i++)
        is = a->policies[i].rule == b->policies[i].rule;
    return is;
}

/* What is decided is decided for the path that the backend gets, and a share's own filters may
 * change that. */
static void judge_shares(struct explain_want *want, struct exchange *x, struct explained *to) {
    struct explained other;
    const char *doubt = auth_explain(want, to) == 0 ? NULL : "there is no memory to judge it";
    for (uint32_t i = 1; !doubt && x->rule->has_filters && i < x->rule->n_shares; i++) {
        x->share = &x->rule->shares[i];
        if (auth_explain(want, &other) != 0 || !same(to, &other))
            doubt = "it depends on the backend that is drawn, whose own filters change the path";
    }
    for (unsigned i = 0; doubt && i < to->n_policies; i++)
        make_unknown(to, i, doubt);
    to->decision = doubt ? EXPLAIN_UNDECIDED : to->decision;
}

/* ---- the document ---- */

static void add_methods(cJSON *to, const struct auth_law *law, const struct explained_policy *p) {
    static const char *const outcomes[] = {
        [EXPLAIN_NOT_ASKED] = "notAsked", [EXPLAIN_ABSENT] = "absent",  [EXPLAIN_GOOD] = "accepted",
        [EXPLAIN_BAD] = "refused",        [EXPLAIN_NOTHING] = "failed", [EXPLAIN_OPEN] = "passed",
        [EXPLAIN_UNKNOWN] = "unknown"};
    cJSON *list = doc_list(to, "methods");
    for (uint32_t i = 0; i < law->n_methods; i++) {
        const struct model_auth_method_config *m = law->methods[i].model;
        cJSON *one = doc_item(list);
        doc_text(one, "name", m->name);
        doc_text(one, "type", str_of(model_word(&model_words_auth_method, m->type)));
        if (!p)
            continue;
        const struct explained_method *said = &p->methods[i];
        cJSON_AddStringToObject(one, "outcome", outcomes[said->outcome]);
        if (said->reason != REASON_NONE)
            cJSON_AddStringToObject(one, "reason", reasons[said->reason].name);
        doc_text(one, "detail", said->detail);
    }
}

static void add_rules(cJSON *to, const struct auth_law *law, const struct explained_policy *p) {
    cJSON *list = doc_list(to, "rules");
    for (uint32_t i = 0; i < law->n_rules; i++) {
        const struct model_auth_rule *m = law->rules[i].model;
        cJSON *one = doc_item(list);
        doc_text(one, "name", m->name);
        doc_text(one, "action", str_of(model_word(&model_words_action, m->action)));
        if (!p)
            continue;
        const struct explained_rule *said = &p->rules[i];
        cJSON_AddStringToObject(one, "outcome",
                                !said->asked  ? "notAsked"
                                : said->unmet ? "no"
                                              : "matches");
        if (said->unmet)
            cJSON_AddStringToObject(one, "unmet", said->unmet);
    }
}

/* Two methods may look at the same place. */
static bool is_first(const struct explained_policy *p, unsigned i) {
    for (unsigned k = 0; k < i; k++)
        if (p->shown[k]->from == p->shown[i]->from && str_eq(p->shown[k]->name, p->shown[i]->name))
            return false;
    return true;
}

/* Where they are, and whether they go on to the backend. */
static void add_credentials(cJSON *to, const struct explained_policy *p) {
    const struct model_identity *id = p->law->model->identity;
    bool kept = p->law->model->mode == MODEL_DRY_RUN || (id && id->keep_credential);
    cJSON *list = p->n_shown > 0 ? doc_list(to, "credentials") : NULL;
    for (unsigned i = 0; i < p->n_shown; i++) {
        if (!is_first(p, i))
            continue;
        cJSON *one = doc_item(list);
        doc_text(one, "from", str_of(model_word(&model_words_take_from, p->shown[i]->from)));
        doc_text(one, "name", p->shown[i]->name);
        cJSON_AddBoolToObject(one, "kept", kept);
    }
}

static void add_identity(cJSON *to, struct str fields) {
    cJSON *list = fields.n > 0 ? doc_list(to, "identity") : NULL;
    struct str line, name;
    while (fields.n > 0) {
        fields = str_cut(fields, '\n', &line);
        struct str value = str_trim(str_cut(line, ':', &name));
        while (value.n > 0 && value.p[value.n - 1] == '\r')
            value.n--;
        cJSON *one = doc_item(list);
        doc_text(one, "name", name);
        doc_text(one, "value", value);
    }
}

static void add_decision(cJSON *to, const struct explained_policy *p) {
    static const char *const words[] = {[EXPLAIN_ALLOW] = "allow",
                                        [EXPLAIN_DENY] = "deny",
                                        [EXPLAIN_DRY_DENY] = "dryDeny",
                                        [EXPLAIN_UNDECIDED] = "unknown"};
    cJSON_AddStringToObject(to, "decision", words[p->decision]);
    if (p->reason != REASON_NONE)
        cJSON_AddStringToObject(to, "reason", reasons[p->reason].name);
    doc_text(to, "detail", p->detail);
    if (p->rule != UINT32_MAX) {
        cJSON *rule = cJSON_AddObjectToObject(to, "rule");
        cJSON_AddNumberToObject(rule, "index", p->rule);
        doc_text(rule, "name", p->law->rules[p->rule].model->name);
    }
    doc_text(to, "method", p->method);
    doc_text(to, "consumer", p->consumer);
    doc_text(to, "subject", p->subject);
    if (p->decision == EXPLAIN_ALLOW || p->decision == EXPLAIN_DRY_DENY)
        add_credentials(to, p);
    add_identity(to, p->fields);
}

static const struct model_origin *origin_of(struct world *w, const struct auth_law *law) {
    const struct object *o = world_object(w, law->id);
    const struct model_auth *m = o ? object_decode(o, &w->arena, NULL) : NULL;
    return m ? m->origin : NULL;
}

/* p NULL: it was not asked, for that reason. */
static void add_policy(struct world *w, cJSON *list, const struct auth_law *law,
                       const struct explained_policy *p, const char *why_not) {
    cJSON *j = doc_item(list);
    const struct model_origin *from = origin_of(w, law);
    doc_text(j, "policy", law->name);
    doc_text(j, "object", words_origin(&w->arena, from));
    doc_text(j, "place", world_place(w, from));
    if (!w->store) /* what it is elsewhere depends on where its object comes from */
        doc_text(j, "version", arena_fmt(&w->arena, "%016llx", (unsigned long long)law->version));
    doc_text(j, "mode", str_of(model_word(&model_words_policy_mode, law->model->mode)));
    if (law->refusal != REASON_NONE)
        cJSON_AddStringToObject(j, "closed", reasons[law->refusal].name);
    doc_text(j, "require", str_of(model_word(&model_words_require, law->model->require)));
    add_methods(j, law, p);
    add_rules(j, law, p);
    if (p)
        add_decision(j, p);
    else
        doc_text(j, "notAsked", str_of(why_not));
}

static const struct explained_policy *explained_of(const struct explained *e,
                                                   const struct auth_law *law) {
    for (unsigned i = 0; i < e->n_policies; i++)
        if (e->policies[i].law == law)
            return &e->policies[i];
    return NULL;
}

/* ---- the whole ---- */

static void sum_up(const struct explained *e, struct judged *to) {
    const struct explained_policy *last =
        e->n_policies > 0 ? &e->policies[e->n_policies - 1] : NULL;
    to->unknown = e->decision == EXPLAIN_UNDECIDED;
    to->refused = e->decision == EXPLAIN_DENY;
    to->reason = e->reason;
    to->status = e->status;
    if (last && (to->unknown || to->refused))
        to->detail = last->detail;
}

void explain_auth(struct world *w, cJSON *winner, const struct request *r,
                  const struct match_result *m, const struct caller_asked *who, struct judged *to) {
    const uint32_t slots[] = {m->rule->override_auth, m->rule->auth};
    struct exchange x = exchange_of(w, r, m);
    const char *why_not = answered_before(&x);
    struct explained e = {0};
    struct explain_want want = {.x = &x,
                                .client = who->knows ? who->client : NULL,
                                .now = who->now,
                                .unseen = why_unseen(w),
                                .unfetched = w->store ? unfetched : NULL,
                                .arena = &w->arena};
    cJSON *list = doc_list(winner, "policies");
    *to = (struct judged){0};
    if (!why_not) {
        judge_shares(&want, &x, &e);
        doubt_closed(w, &e);
        sum_up(&e, to);
    }
    for (size_t i = 0; i < ARRAY_LEN(slots); i++) {
        const struct auth_law *law =
            slots[i] == UINT32_MAX ? NULL : snapshot_auth(w->snapshot, slots[i]);
        if (law)
            add_policy(w, list, law, explained_of(&e, law),
                       why_not ? why_not : "the one before it decides");
    }
}

/* Where its methods look in the query. */
static unsigned query_places(const struct auth_law *law, const struct model_value_source **list,
                             unsigned n, unsigned max) {
    for (uint32_t i = 0; law && i < law->n_methods; i++) {
        const struct model_auth_method_config *m = law->methods[i].model;
        for (uint32_t k = 0; k < m->n_from && n < max; k++)
            if (m->from[k].from == MODEL_FROM_QUERY)
                list[n++] = &m->from[k];
    }
    return n;
}

void explain_hide(struct world *w, cJSON *request, const struct request *r,
                  const struct rule *rule) {
    const uint32_t slots[] = {rule->override_auth, rule->auth};
    const struct model_value_source *list[64];
    struct str url = str_of(doc_get(request, "url"));
    struct out rest = out_heap(HEAD_BYTES_MAX);
    unsigned n = 0;
    for (size_t i = 0; i < ARRAY_LEN(slots); i++)
        if (slots[i] != UINT32_MAX)
            n = query_places(snapshot_auth(w->snapshot, slots[i]), list, n, ARRAY_LEN(list));
    if (r->head.has_query &&
        place_other_query(head_str(&r->head, r->head.query), list, n, &rest) > 0) {
        struct str whole =
            arena_fmt(&w->arena, "%.*s?%s%.*s", (int)str_find(url, '?', 0), url.p,
                      rest.n > 0 ? "(hidden)&" : "(hidden)", STR_FMT(out_done(&rest)));
        cJSON_SetValuestring(cJSON_GetObjectItemCaseSensitive(request, "url"), whole.p);
    }
    out_fini(&rest);
}
