/* SPDX-License-Identifier: Apache-2.0
 *
 * judge: the policies of a request, one after the other: the one that all must pass, then the
 * rule's own. Whatever cannot be judged is refused.
 */
#include "proxy/auth/parts.h"

#include "lib/mem.h"
#include "proxy/auth/place.h"

#include <openssl/rand.h>
#include <stdatomic.h>

/* ---- the environment ---- */

struct auth_env *auth_env_new(struct loop *l, struct callers *calls) {
    struct auth_env *env = mem_zalloc(sizeof(*env));
    env->loop = l;
    env->calls = calls;
    env->tokens = bearers_new();
    env->verified = verified_new();
    env->verifications = verifications_new();
    env->badges = badges_new();
    env->mint = mint_new();
    env->answers = answers_new();
    services_init(&env->services);
    env->digest = credential_scratch_new();
    env->macs = mac_scratch_new();
    must(RAND_bytes((unsigned char *)env->nobody, sizeof(env->nobody)) == 1);
    env->regex = regex_scratch_new();
    arena_init(&env->arena);
    return env;
}

void auth_env_free(struct auth_env *env) {
    if (!env)
        return;
    bearers_free(env->tokens);
    verified_free(env->verified);
    verifications_free(env->verifications);
    badges_free(env->badges);
    mint_free(env->mint);
    answers_free(env->answers);
    services_fini(&env->services);
    oidc_free(env->oidc);
    credential_scratch_free(env->digest);
    mac_scratch_free(env->macs);
    regex_scratch_free(env->regex);
    arena_fini(&env->arena);
    mem_free(env);
}

void auth_env_threads(struct auth_env *env, struct slow_desk *desk) { env->desk = desk; }

const struct auth_counts *auth_counts(const struct auth_env *env) { return &env->counts; }

/* ---- unknown keys ---- */

void judge_unknown_key(struct auth_env *env, struct str source) {
    struct unknown_keys *u = &env->unknown;
    uint32_t put = atomic_load_explicit(&u->put, memory_order_relaxed);
    uint32_t taken = atomic_load_explicit(&u->taken, memory_order_acquire);
    if (source.n == 0 || source.n > SOURCE_MAX || put - taken == UNKNOWN_KEYS)
        return; /* the next token will say it again */
    for (uint32_t i = taken; i != put; i++)
        if (str_eq(str_mk(u->v[i % UNKNOWN_KEYS].source, u->v[i % UNKNOWN_KEYS].n), source))
            return;
    u->v[put % UNKNOWN_KEYS].n = (uint16_t)source.n;
    memcpy(u->v[put % UNKNOWN_KEYS].source, source.p, source.n);
    atomic_store_explicit(&u->put, put + 1, memory_order_release);
}

void auth_unknown_keys(struct auth_env *env, void (*each)(void *arg, struct str source),
                       void *arg) {
    struct unknown_keys *u = &env->unknown;
    uint32_t put = atomic_load_explicit(&u->put, memory_order_acquire);
    uint32_t taken = atomic_load_explicit(&u->taken, memory_order_relaxed);
    for (; taken != put; taken++)
        each(arg, str_mk(u->v[taken % UNKNOWN_KEYS].source, u->v[taken % UNKNOWN_KEYS].n));
    atomic_store_explicit(&u->taken, taken, memory_order_release);
}

/* ---- what methods use ---- */

int judge_refuse(struct judging *j, enum reason reason, const char *detail) {
    j->reason = reason;
    j->detail = detail;
    return -1;
}

void judge_hide(struct judging *j, struct str name) {
    size_t n = j->hidden.n + name.n + 1;
    struct out o = out_fixed(arena_alloc(&j->env->arena, n), n);
    out_str(&o, j->hidden);
    out_str(&o, name);
    out_char(&o, '\n');
    j->hidden = out_done(&o);
}

bool judge_show(struct judging *j, const struct model_value_source *at) {
    if (j->who.n_shown == SHOWN_MAX)
        return false;
    j->who.shown[j->who.n_shown++] = at;
    return true;
}

enum place judge_find(struct judging *j, const struct model_value_source *from, uint32_t n,
                      struct str *value) {
    for (uint32_t i = 0; i < n; i++) {
        enum place p = place_read(&from[i], j->x->request, j->x->query, j->env->query,
                                  sizeof(j->env->query), value);
        if (p == PLACE_NONE)
            continue;
        return judge_show(j, &from[i]) ? p : PLACE_TWICE;
    }
    return PLACE_NONE;
}

enum told judge_body(struct judging *j, uint32_t max, struct str *body) {
    const struct auth_known *known = j->known;
    *body = known->body;
    if (known->body_over || (known->body_whole && known->body.n > max)) {
        judge_refuse(j, REASON_BODY_TOO_LARGE, "the body is larger than the policy looks at");
        return TOLD_BAD;
    }
    if (known->body_whole)
        return TOLD_GOOD;
    j->wants_body = max;
    return TOLD_WAITS;
}

/* ---- methods ---- */

/* Only who has shown nothing: a wrong credential never becomes no credential. */
static enum told anonymous_tell(struct judging *j, const struct method_law *m) {
    if (j->who.n_shown > 0) {
        judge_refuse(j, REASON_UNAUTHENTICATED, "a credential that no method knows");
        return TOLD_BAD;
    }
    j->who.anonymous = m->model->consumer;
    return TOLD_GOOD;
}

enum told judge_method(struct judging *j, const struct method_law *m) {
    switch (m->model->type) {
    case MODEL_AUTH_JWT:
        return bearer_tell(j, m);
    case MODEL_AUTH_API_KEY:
        return key_tell(j, m);
    case MODEL_AUTH_BASIC:
        return basic_tell(j, m);
    case MODEL_AUTH_HMAC:
        return hmac_tell(j, m);
    case MODEL_AUTH_CLIENT_CERTIFICATE:
        return client_certificate_tell(j, m);
    case MODEL_AUTH_EXTERNAL:
        return external_tell(j, m);
    case MODEL_AUTH_INTROSPECTION:
        return introspect_tell(j, m);
    case MODEL_AUTH_OIDC:
        return oidc_tell(j, m);
    case MODEL_AUTH_ANONYMOUS:
        return anonymous_tell(j, m);
    default:
        judge_refuse(j, REASON_POLICY_UNAVAILABLE, "a method that this proxy does not have");
        return TOLD_NOTHING;
    }
}

static enum told tell(struct judging *j, const struct method_law *m) {
    return likely(!j->env->explaining) ? judge_method(j, m) : explain_tell(j, m);
}

/* What was shown since `before` was its credential. */
static void count_in(struct judging *j, uint32_t i, unsigned before) {
    struct caller *w = &j->who;
    if (w->methods == 0)
        w->method = w->law->methods[i].model->name;
    w->methods |= (uint64_t)1 << i;
    for (unsigned k = before; k < w->n_shown; k++)
        w->accepted[k] = true;
}

static int log_in(struct judging *j) {
    oidc_login(j, j->login, "nobody is logged in");
    return -1;
}

/* The first method that finds a credential decides. */
static int ask_any(struct judging *j) {
    for (uint32_t i = 0; i < j->who.law->n_methods; i++) {
        unsigned before = j->who.n_shown;
        switch (tell(j, &j->who.law->methods[i])) {
        case TOLD_ABSENT:
            continue;
        case TOLD_GOOD:
            count_in(j, i, before);
            return 0;
        case TOLD_OPEN:
            j->open = true;
            return 0;
        case TOLD_WAITS:
            j->waits = true;
            return -1;
        case TOLD_BAD:
        case TOLD_NOTHING:
            return -1;
        }
    }
    if (j->unknown)
        j->challenge = "invalid_token";
    else if (j->login)
        return log_in(j);
    return judge_refuse(j, REASON_UNAUTHENTICATED,
                        j->unknown    ? "a token that no method knows"
                        : j->stranger ? j->stranger
                                      : "no credential");
}

static bool same_place(const struct model_value_source *a, const struct model_value_source *b) {
    return a->from == b->from && str_eq(a->name, b->name);
}

/* Whether each credential was accepted, by one of the methods that looked there. */
static bool all_accepted(const struct caller *w) {
    for (unsigned i = 0; i < w->n_shown; i++) {
        bool accepted = false;
        for (unsigned k = 0; k < w->n_shown; k++)
            accepted |= w->accepted[k] && same_place(w->shown[i], w->shown[k]);
        if (!accepted)
            return false;
    }
    return true;
}

static int ask_all(struct judging *j) {
    for (uint32_t i = 0; i < j->who.law->n_methods; i++) {
        const struct method_law *m = &j->who.law->methods[i];
        unsigned before = j->who.n_shown;
        switch (tell(j, m)) {
        case TOLD_ABSENT:
            if (!m->model->optional && j->login == m)
                return log_in(j);
            if (!m->model->optional)
                return judge_refuse(j, REASON_UNAUTHENTICATED,
                                    j->stranger ? j->stranger
                                                : "one of the credentials is missing");
            continue;
        case TOLD_GOOD:
            count_in(j, i, before);
            continue;
        case TOLD_OPEN:
            j->open = true;
            continue;
        case TOLD_WAITS:
            j->waits = true;
            return -1;
        case TOLD_BAD:
        case TOLD_NOTHING:
            return -1;
        }
    }
    if (all_accepted(&j->who))
        return 0;
    return judge_refuse(j, REASON_UNAUTHENTICATED, "a credential that no method knows");
}

static int authenticate(struct judging *j) {
    const struct auth_law *law = j->who.law;
    if (law->n_methods == 0)
        return 0; /* the rules decide by the request alone */
    return law->model->require == MODEL_REQUIRE_ALL ? ask_all(j) : ask_any(j);
}

static int judge_one(struct judging *j) {
    if (j->who.law->refusal != REASON_NONE)
        return judge_refuse(j, j->who.law->refusal, "the policy cannot be used");
    if (authenticate(j) != 0)
        return -1;
    return rules_judge(j);
}

/* ---- the answer ---- */

static struct auth *block(struct auth_env *env, enum slab_size size) {
    struct auth *a = slab_take(&env->loop->slabs, size);
    if (!a)
        return NULL;
    memset(a, 0, sizeof(*a));
    a->slab = (uint8_t)size;
    return a;
}

void auth_drop(struct auth_env *env, struct auth *a) {
    if (!a)
        return;
    verdict_drop(a->denial);
    slab_give(&env->loop->slabs, (enum slab_size)a->slab, a);
}

/* A quoted string, RFC 9110 5.6.4. */
static void write_quoted(struct out *o, struct str s) {
    out_char(o, '"');
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '"' || s.p[i] == '\\')
            out_char(o, '\\');
        out_char(o, s.p[i]);
    }
    out_char(o, '"');
}

/* RFC 7617 2, 2.1. */
static void challenge_basic(const struct model_auth_basic *b, struct out *o) {
    out_lit(o, "www-authenticate: Basic realm=");
    write_quoted(o, b ? b->realm : STR_NONE);
    out_lit(o, ", charset=\"UTF-8\"\r\n");
}

/* RFC 9110 11.6.1: a 401 says what would be accepted; RFC 6750 3: what was wrong. */
static void write_challenges(const struct judging *j, struct out *o) {
    const struct auth_law *law = j->who.law;
    bool forbidden = j->reason == REASON_FORBIDDEN;
    if (j->denial)
        return; /* a service says itself what it wants */
    out_str(o, j->status > 0 ? j->answer : j->to_client);
    if (j->reason != REASON_UNAUTHENTICATED && !(forbidden && j->challenge))
        return;
    for (uint32_t i = 0; i < law->n_methods; i++) {
        enum model_auth_method type = law->methods[i].model->type;
        bool token = type == MODEL_AUTH_JWT || type == MODEL_AUTH_INTROSPECTION;
        const char *scheme = token                                   ? "Bearer"
                             : type == MODEL_AUTH_API_KEY            ? "Key"
                             : type == MODEL_AUTH_CLIENT_CERTIFICATE ? "ClientCertificate"
                             : type == MODEL_AUTH_OIDC               ? "Cookie"
                                                                     : NULL;
        if (type == MODEL_AUTH_BASIC && !forbidden)
            challenge_basic(law->methods[i].model->basic, o);
        if (type == MODEL_AUTH_HMAC && !forbidden)
            hmac_challenge(&law->methods[i], law->name, o);
        if (!scheme || (forbidden && !token))
            continue;
        out_fmt(o, "www-authenticate: %s realm=\"%.*s\"", scheme, STR_FMT(law->name));
        if (token && j->challenge)
            out_fmt(o, ", error=\"%s\"", j->challenge);
        out_lit(o, "\r\n");
    }
}

static void take(struct auth *a, const struct caller *w, bool dry) {
    const struct model_identity *id = w->law->model->identity;
    a->own_certificate |= !dry && id && id->client_certificate;
    for (unsigned i = 0; i < w->n_shown && a->n_shown < ARRAY_LEN(a->shown); i++) {
        a->kept[a->n_shown] = dry || (id && id->keep_credential);
        a->shown[a->n_shown++] = w->shown[i];
    }
}

/* Where the answer's strings are: behind it, in its block. */
struct pens {
    struct out fields; /* for the backend */
    struct out texts;
};

/* What was found out in the arena or of a token may be gone at the next request. */
static inline struct str keep(struct out *o, struct str s) {
    size_t at = o->n;
    out_str(o, s);
    return o->over ? STR_NONE : str_mk(o->p + at, s.n);
}

static uint8_t place_of(const struct auth_law *law, struct str method) {
    for (uint32_t i = 0; i < law->n_methods && i < AUTH_METHODS_MAX; i++)
        if (law->methods[i].model->name.p == method.p)
            return (uint8_t)i;
    return AUTH_METHODS_MAX;
}

static void note(struct auth *a, const struct judging *j, struct pens *p) {
    const struct auth_law *law = j->who.law;
    a->slot = law->slot;
    a->identity = law->identity;
    a->version = law->version;
    a->method_n = place_of(law, j->who.method);
    a->audit |= j->audit;
    a->policy = keep(&p->texts, law->name);
    a->method = keep(&p->texts, j->who.method);
    if (j->rule)
        a->rule = keep(&p->texts, j->rule->model->name);
    struct str consumer = caller_consumer(&j->who);
    if (consumer.n > 0)
        a->consumer = keep(&p->texts, consumer);
    struct str subject = caller_subject(&j->who);
    if (subject.n > 0)
        a->subject = keep(&p->texts, subject);
}

/* Of two policies the later one that knows somebody. */
static void remember_who(struct judging *j, bool nobody) {
    const struct caller *w = &j->who;
    if (!nobody && (w->token || caller_consumer(w).n > 0))
        j->env->who = *w;
}

/* Behind what was said before. The longer text is written anew. */
static struct str add_text(struct out *o, struct str before, struct str more) {
    size_t at = o->n;
    if (more.n == 0)
        return before;
    out_str(o, before);
    out_str(o, more);
    return o->over ? STR_NONE : str_mk(o->p + at, o->n - at);
}

/* What methods and services say of one that passes. Two policies may have something to say. */
static void take_said(struct auth *a, struct judging *j, struct pens *p) {
    j->authorized |= j->to_backend.n > 0;
    out_str(&p->fields, j->to_backend);
    a->to_client = add_text(&p->texts, a->to_client, j->to_client);
    a->hidden = add_text(&p->texts, a->hidden, j->hidden);
    for (unsigned i = 0; i < j->n_said; i++) {
        const struct verdict *v = j->said[i];
        out_str(&p->fields, v->to_backend);
        a->to_client = add_text(&p->texts, a->to_client, v->to_client);
        a->hidden = add_text(&p->texts, a->hidden, v->hidden);
    }
}

/* One policy; what it means for the answer. -1: refused. */
static int judge_into(struct auth *a, struct judging *j, const struct auth_law *law,
                      struct pens *p) {
    bool dry = law->model->mode == MODEL_DRY_RUN;
    j->who = (struct caller){.law = law};
    j->rule = NULL;
    j->audit = false;
    j->challenge = NULL;
    j->unknown = j->open = false;
    j->stranger = NULL;
    j->n_said = 0;
    j->denial = NULL;
    j->login = NULL;
    j->lapsed = false;
    j->status = 0;
    j->answer = j->to_client = j->to_backend = j->hidden = STR_NONE;
    int bad = judge_one(j);
    size_t told = p->fields.n;
    if (!bad && !dry)
        bad = identity_write(j, &p->fields) != 0 || mint_write(j, &p->fields) != 0;
    if (unlikely(j->env->explaining != NULL))
        explain_policy(j, bad, str_mk(p->fields.p + told, p->fields.n - told));
    a->waits = j->waits;
    a->wants_body = j->wants_body;
    if (a->waits)
        return -1;
    a->authorizes |= j->token && j->token->header.n == 0;
    note(a, j, p);
    take(a, &j->who, dry);
    remember_who(j, bad || dry);
    a->asked |= j->asked;
    if (j->open)
        a->detail = keep(&p->texts, str_of(j->detail));
    if (!bad) {
        if (!dry)
            take_said(a, j, p);
        return 0;
    }
    a->reason = j->reason;
    a->detail = keep(&p->texts, str_of(j->detail));
    a->dry = dry;
    a->refused = !dry;
    a->lapsed = j->lapsed;
    if (dry)
        return 0;
    if (j->denial) {
        a->denial = verdict_hold(j->denial);
        a->status = j->denial->status;
        a->challenge = add_text(&p->texts, j->denial->to_client, j->to_client);
        a->body = j->denial->body;
        return -1;
    }
    size_t begin = p->texts.n;
    write_challenges(j, &p->texts);
    a->status = j->status;
    a->challenge = str_mk(p->texts.p + begin, p->texts.n - begin);
    return -1;
}

static void judge_all(struct auth *a, struct judging *j, struct pens *p) {
    const uint32_t slots[] = {j->x->rule->override_auth, j->x->rule->auth};
    for (size_t i = 0; i < ARRAY_LEN(slots) && !a->refused && !a->waits; i++) {
        if (slots[i] == UINT32_MAX)
            continue;
        const struct auth_law *law = snapshot_auth(j->x->snapshot, slots[i]);
        a->refused = !law || (judge_into(a, j, law, p) != 0 && !a->waits);
        a->reason = law ? a->reason : REASON_POLICY_UNAVAILABLE;
    }
}

static bool takes_from(const struct auth *a, enum model_take_from from) {
    for (unsigned i = 0; i < a->n_shown; i++)
        if (a->shown[i]->from == from && !a->kept[i])
            return true;
    return false;
}

/* The places that are emptied. */
static unsigned taken(const struct auth *a, const struct model_value_source *to[8]) {
    unsigned n = 0;
    for (unsigned i = 0; i < a->n_shown; i++)
        if (!a->kept[i])
            to[n++] = a->shown[i];
    return n;
}

/* Other cookies go on as one field, other parameters as a query of their own. */
static inline void write_others(struct auth *a, const struct exchange *x, struct pens *p) {
    const struct model_value_source *without[8];
    unsigned n = taken(a, without);
    if (takes_from(a, MODEL_FROM_COOKIE)) {
        size_t begin = p->fields.n;
        out_lit(&p->fields, "cookie: ");
        size_t empty = p->fields.n;
        place_other_cookies(x->request, without, n, &p->fields);
        if (p->fields.n > empty)
            out_lit(&p->fields, "\r\n");
        else
            p->fields.n = begin;
    }
    a->edits_query = takes_from(a, MODEL_FROM_QUERY);
    if (!a->edits_query)
        return;
    size_t begin = p->texts.n;
    place_other_query(x->query, without, n, &p->texts);
    a->query = str_mk(p->texts.p + begin, p->texts.n - begin);
    a->has_query = a->query.n > 0;
}

static struct auth *judge_in(enum slab_size size, struct judging j) {
    struct auth *a = block(j.env, size);
    if (!a)
        return NULL;
    size_t room = slab_bytes(size) - sizeof(*a), half = room / 2;
    char *at = (char *)(a + 1);
    struct pens p = {out_fixed(at, half), out_fixed(at + half, room - half)};
    judge_all(a, &j, &p);
    if (!a->refused && !a->waits)
        write_others(a, j.x, &p);
    a->fields = out_done(&p.fields);
    if (!p.fields.over && !p.texts.over)
        return a;
    auth_drop(j.env, a);
    return NULL;
}

struct auth *auth_judge(struct auth_env *env, const struct exchange *x,
                        const struct auth_known *known) {
    const struct judging j = {
        .env = env, .x = x, .known = known, .client = known->client, .now = known->now};
    arena_reset(&env->arena);
    env->who = (struct caller){.law = NULL};
    env->turn++;
    struct auth *a = judge_in(SLAB_4K, j);
    return a ? a : judge_in(SLAB_64K, j);
}

static void drop_named(struct head *h, struct str name) {
    unsigned from = 0;
    while (head_each(h, name, &from))
        h->fields[from - 1].dropped = true;
}

static void drop_certificates(struct head *h) {
    for (unsigned i = 0; i < h->n_fields; i++)
        if (h->fields[i].token == TOKEN_CLIENT_CERT ||
            h->fields[i].token == TOKEN_CLIENT_CERT_CHAIN)
            h->fields[i].dropped = true;
}

void auth_hide(const struct auth *a, struct head *h, bool secrets) {
    if (a->own_certificate)
        drop_certificates(h);
    if (a->authorizes)
        drop_named(h, STR("authorization"));
    struct str rest = a->hidden, name;
    while (rest.n > 0) {
        rest = str_cut(rest, '\n', &name);
        drop_named(h, name);
    }
    if (secrets && a->asked) { /* where its credential is, only the service knows */
        drop_named(h, STR("authorization"));
        drop_named(h, STR("cookie"));
    }
    for (unsigned i = 0; i < a->n_shown; i++) {
        if (a->kept[i] && !secrets)
            continue;
        if (a->shown[i]->from == MODEL_FROM_HEADER)
            drop_named(h, a->shown[i]->name);
        else if (a->shown[i]->from == MODEL_FROM_COOKIE)
            drop_named(h, STR("cookie"));
    }
}

void auth_leave_law(struct auth *a) { a->n_shown = 0; }
