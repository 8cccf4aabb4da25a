/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/auth/explain.h"

#include "lib/jwt.h"
#include "proxy/auth/oidc.h"

struct explaining {
    const struct explain_want *want;
    struct explained *to;
};

static struct str keep(struct explaining *e, struct str s) {
    return s.n > 0 ? arena_str(e->want->arena, s) : STR_NONE;
}

/* The one that is judged now. */
static struct explained_policy *policy_of(struct judging *j) {
    struct explaining *e = j->env->explaining;
    const struct auth_law *law = j->who.law;
    for (unsigned i = 0; i < e->to->n_policies; i++)
        if (e->to->policies[i].law == law)
            return &e->to->policies[i];
    must(e->to->n_policies < ARRAY_LEN(e->to->policies));
    struct explained_policy *p = &e->to->policies[e->to->n_policies++];
    *p = (struct explained_policy){.law = law, .rule = UINT32_MAX};
    p->rules = arena_zalloc(e->want->arena, (law->n_rules + 1) * sizeof(*p->rules));
    return p;
}

/* ---- methods ---- */

void explain_unfound(struct judging *j) { j->lacks = j->env->explaining->want->unseen; }

enum told explain_asks(struct judging *j, const struct method_law *m) {
    const struct backend *b = snapshot_backend(j->x->snapshot, m->backend);
    j->lacks = arena_fmt(j->env->explaining->want->arena, "it asks %.*s, whose answer decides",
                         STR_FMT(b->name))
                   .p;
    return TOLD_WAITS;
}

/* A session is sealed with keys that are never shown, and a login comes back with a code that only
 * the identity provider knows. */
static enum told oidc_looks(struct judging *j, const struct method_law *m) {
    const struct model_auth_oidc *o = m->model->oidc;
    struct jar_pieces p;
    bool back = str_eq(j->x->path, o->redirect_path);
    if (policy_is_https(j->x) &&
        (back || (o->logout_path.n > 0 && str_eq(j->x->path, o->logout_path)))) {
        j->lacks = back ? "a login comes back here: the identity provider decides"
                        : "a logout: the browser is sent on";
        return TOLD_WAITS;
    }
    if (!policy_is_https(j->x) || jar_session(j->x->request, o, &p) == PLACE_NONE) {
        j->login = m;
        return TOLD_ABSENT;
    }
    j->lacks = "only a proxy has the keys that a session is sealed with";
    return TOLD_WAITS;
}

/* The token of a method. False: there is none, with *why where something else is there. */
static bool read_token(struct judging *j, const struct method_law *m, struct jwt *t,
                       struct why *why) {
    const struct model_auth_method_config *c = m->model;
    struct str token;
    enum place at = PLACE_NONE;
    for (uint32_t i = 0; i < c->n_from && at == PLACE_NONE; i++)
        at = place_read(&c->from[i], j->x->request, j->x->query, j->env->query,
                        sizeof(j->env->query), &token);
    return at == PLACE_ONE && jwt_read(t, token, bearers_scratch(j->env->tokens), why) == 0;
}

/* What was not said because it may be another method's. n == 0: nothing was shown. */
static struct str why_absent(struct judging *j, const struct method_law *m) {
    const struct jwt_rules rules = {.issuer = m->model->jwt->issuer};
    struct why why = {0};
    struct jwt t;
    if (read_token(j, m, &t, &why) && !str_eq(t.issuer, rules.issuer)) {
        t.typ = STR_NONE; /* the issuer is looked at behind it */
        (void)!jwt_judge(&t, &rules, j->now, &why);
    }
    return keep(j->env->explaining, str_of(why.text));
}

/* What is said of it without its key counts, what is said with a key that is not the issuer's does
 * not. */
static void doubt_key(struct judging *j, const struct method_law *m) {
    const struct explain_want *want = j->env->explaining->want;
    const struct model_auth_jwt *jwt = m->model->jwt;
    struct why why = {0};
    struct jwt t;
    if (!want->unfetched || m->source.n == 0 || !jwt || !read_token(j, m, &t, &why))
        return;
    const struct jwt_rules rules = {.audiences = jwt->audiences,
                                    .n_audiences = jwt->n_audiences,
                                    .typ = jwt->typ,
                                    .skew_s = bearer_skew(jwt)};
    bool by_key = (m->algorithms & JWT_ALG(t.alg) & JWT_ALGS_KEY) != 0;
    if (by_key && str_eq(t.issuer, jwt->issuer) && jwt_judge(&t, &rules, j->now, &why) == 0)
        j->lacks = want->unfetched;
}

/* What it says is about what is known here, and may be otherwise elsewhere. */
static void doubt(struct judging *j, const struct method_law *m, enum told told) {
    const struct model_auth_basic *b = m->model->basic;
    if (!j->lacks)
        doubt_key(j, m);
    if (j->lacks || told == TOLD_GOOD || told == TOLD_ABSENT)
        return;
    if (told == TOLD_WAITS)
        j->lacks = "it depends on the body, which is not known here";
    else if (b && b->n_users > 0 && b->users[0].hash.n == 0)
        j->lacks = j->env->explaining->want->unseen;
}

static void note(struct judging *j, const struct method_law *m, enum told told) {
    static const enum explain_outcome outcomes[] = {
        [TOLD_ABSENT] = EXPLAIN_ABSENT, [TOLD_GOOD] = EXPLAIN_GOOD,
        [TOLD_BAD] = EXPLAIN_BAD,       [TOLD_NOTHING] = EXPLAIN_NOTHING,
        [TOLD_OPEN] = EXPLAIN_OPEN,     [TOLD_WAITS] = EXPLAIN_UNKNOWN};
    struct explaining *e = j->env->explaining;
    struct explained_method *to = &policy_of(j)->methods[m - j->who.law->methods];
    bool refused = told == TOLD_BAD || told == TOLD_NOTHING;
    *to = (struct explained_method){.outcome = outcomes[told]};
    if (refused)
        to->reason = j->reason;
    if (told == TOLD_WAITS)
        to->detail = str_of(j->lacks);
    else if (refused || told == TOLD_OPEN)
        to->detail = keep(e, str_of(j->detail));
    else if (told == TOLD_ABSENT && m->model->type == MODEL_AUTH_JWT)
        to->detail = why_absent(j, m);
    else if (told == TOLD_ABSENT && m->model->type == MODEL_AUTH_CLIENT_CERTIFICATE && j->stranger)
        to->detail = str_of(j->stranger);
}

static enum told tell_one(struct judging *j, const struct method_law *m) {
    j->lacks = NULL;
    enum told told = m->model->type == MODEL_AUTH_OIDC ? oidc_looks(j, m) : judge_method(j, m);
    if (told == TOLD_GOOD)
        j->lacks = NULL; /* what was not found first was found then */
    doubt(j, m, told);
    if (j->lacks)
        told = TOLD_WAITS;
    note(j, m, told);
    return told;
}

/* Of those that must all agree the others are shown, too, once one cannot be known. */
static void tell_others(struct judging *j, const struct method_law *m) {
    const struct auth_law *law = j->who.law;
    const char *lacks = j->lacks;
    for (m++; m < law->methods + law->n_methods; m++)
        (void)tell_one(j, m);
    j->lacks = lacks;
}

enum told explain_tell(struct judging *j, const struct method_law *m) {
    enum told told = tell_one(j, m);
    if (told == TOLD_WAITS && j->who.law->model->require == MODEL_REQUIRE_ALL)
        tell_others(j, m);
    return told;
}

/* ---- rules ---- */

bool explain_rule(struct judging *j, uint32_t i, const char *unmet) {
    struct explained_policy *p = policy_of(j);
    p->rules[i] = (struct explained_rule){.asked = true, .unmet = unmet};
    if (unmet || j->client || j->who.law->rules[i].model->n_cidrs == 0)
        return true;
    p->rules[i].unmet = "cidrs";
    j->lacks = "a rule asks for the client's address, which was not said (--client)";
    j->waits = true;
    return false;
}

/* ---- a policy ---- */

void explain_policy(struct judging *j, bool bad, struct str fields) {
    struct explaining *e = j->env->explaining;
    struct explained_policy *p = policy_of(j);
    const struct auth_law *law = p->law;
    bool dry = law->model->mode == MODEL_DRY_RUN;
    p->decision = j->waits ? EXPLAIN_UNDECIDED
                  : !bad   ? EXPLAIN_ALLOW
                  : dry    ? EXPLAIN_DRY_DENY
                           : EXPLAIN_DENY;
    if (j->waits)
        p->detail = keep(e, str_of(j->lacks));
    else if (bad)
        p->detail = keep(e, str_of(j->detail));
    p->reason = bad && !j->waits ? j->reason : REASON_NONE;
    p->status = bad && !j->waits ? j->status : 0;
    p->rule = j->rule ? (uint32_t)(j->rule - law->rules) : UINT32_MAX;
    if (j->waits)
        return;
    p->method = keep(e, j->who.method);
    p->consumer = keep(e, caller_consumer(&j->who));
    p->subject = keep(e, caller_subject(&j->who));
    p->n_shown = j->who.n_shown;
    memcpy(p->shown, j->who.shown, sizeof(p->shown));
    p->fields = bad ? STR_NONE : keep(e, fields);
}

/* ---- the whole ---- */

static void judge(struct auth_env *env, const struct explain_want *want, struct explained *to,
                  struct auth **a) {
    const struct head *h = want->x->request;
    struct errands none = {0};
    /* Whoever sends something else than these has a body, or may have one. */
    bool bare = h->framing == FRAMING_NONE && (h->method == METHOD_GET || h->method == METHOD_HEAD);
    const struct auth_known known = {
        .client = want->client, .now = want->now, .errands = &none, .body_whole = bare};
    env->explaining = &(struct explaining){want, to};
    *a = auth_judge(env, want->x, &known);
    env->explaining = NULL;
}

int auth_explain(const struct explain_want *want, struct explained *to) {
    struct loop loop;
    struct auth *a;
    *to = (struct explained){0};
    if (loop_init(&loop, 1 << 20, 0) != 0)
        return -1;
    struct auth_env *env = auth_env_new(&loop, NULL);
    judge(env, want, to, &a);
    if (a) {
        to->decision = a->waits     ? EXPLAIN_UNDECIDED
                       : a->refused ? EXPLAIN_DENY
                       : a->dry     ? EXPLAIN_DRY_DENY
                                    : EXPLAIN_ALLOW;
        to->reason = a->waits ? REASON_NONE : a->reason;
        to->status = a->status;
    }
    auth_drop(env, a);
    auth_env_free(env);
    loop_fini(&loop);
    return a ? 0 : -1;
}
