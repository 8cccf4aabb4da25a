/* SPDX-License-Identifier: Apache-2.0
 *
 * basic: user names and passwords (RFC 7617), of the policy's own file and of Consumers.
 *
 *     Authorization ─► user, password
 *                        │ file, else Consumers
 *                        ▼
 *                   stored form ─► verified before (verified.h)? ─► good
 *                        │ no
 *                        └► quick: here. Else: an errand (verify.h), and judged anew
 *
 * A name that nobody has costs what a wrong password does: somebody's stored form is verified in
 * its place, chosen by a keyed hash of the name, and what comes out does not count.
 */
#include "proxy/auth/pair.h"
#include "proxy/auth/parts.h"

#include "lib/hash.h"
#include "lib/password.h"

#include <openssl/crypto.h>

static enum told bad(struct judging *j, const char *detail) {
    judge_refuse(j, REASON_UNAUTHENTICATED, detail);
    return TOLD_BAD;
}

/* ---- whose it is ---- */

struct owner {
    struct str stored;              /* n == 0: of nobody at all */
    bool exists;                    /* else nobody has that name, and this is somebody else's */
    struct consumer_found consumer; /* .consumer == NULL: of the file */
};

static bool take(struct owner *o, struct str stored) {
    bool good = stored.n > 0 && stored.n <= PASSWORD_STORED_MAX;
    o->stored = good ? stored : STR_NONE;
    return good;
}

/* They are in order. As many steps for a name that is there as for one that is not. */
static const struct model_password_user *user_of(const struct model_auth_basic *b,
                                                 struct str name) {
    size_t low = 0, high = b->n_users;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (str_cmp(b->users[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < b->n_users && str_eq(b->users[low].name, name) ? &b->users[low] : NULL;
}

/* A user name is its namespace's own; the first namespace that has it counts. */
static bool of_consumers(struct judging *j, const struct method_law *m, struct str user,
                         struct owner *o) {
    const struct model_consumer_scope *s = m->model->consumers;
    for (uint32_t i = 0; s && i < s->n_namespaces; i++)
        if (consumer_find(j, m, user, s->namespaces[i], &o->consumer))
            return take(o, o->consumer.credential->secret);
    return false;
}

/* The same for one name in every proxy that has this file, and unknown to who has not. */
static uint64_t seed_of(struct judging *j, const struct model_auth_basic *b, struct str user) {
    char digest[CREDENTIAL_DIGEST];
    uint64_t seed;
    if (b->n_users == 0)
        return hash_keyed(user);
    credential_digest(j->env->digest, "pretend", b->users[0].hash, user, digest);
    memcpy(&seed, digest, sizeof(seed));
    return seed;
}

/* Whose form is verified for a name that nobody has; of nobody at all, where there is nobody. */
static void somebody(struct judging *j, const struct method_law *m, struct str user,
                     struct owner *o) {
    const struct model_auth_basic *b = m->model->basic;
    uint64_t seed = seed_of(j, b, user);
    bool there = (b->n_users == 0 || (seed & 1) != 0) &&
                 consumer_somebody(j, m, seed, b->n_users > 0, &o->consumer) &&
                 take(o, o->consumer.credential->secret);
    if (!there && b->n_users > 0)
        take(o, b->users[seed / 2 % b->n_users].hash);
}

static void find_owner(struct judging *j, const struct method_law *m, struct str user,
                       struct owner *o) {
    const struct model_auth_basic *b = m->model->basic;
    const struct model_password_user *u = user_of(b, user);
    *o = (struct owner){0};
    o->exists = u ? take(o, u->hash) : of_consumers(j, m, user, o);
    if (!o->exists)
        somebody(j, m, user, o);
}

/* ---- verifying ---- */

/* By what a verification is known, and remembered: the stored form and the password. Where nobody
 * has the name, the name; no stored form begins as that does. */
static struct hash_wide key_for(const struct pair *p, const struct owner *o) {
    char room[1 + PASSWORD_USER_MAX];
    struct out name = out_fixed(room, sizeof(room));
    out_char(&name, '?');
    out_str(&name, o->exists ? STR_NONE : p->user);
    return verified_key(o->exists ? o->stored : out_done(&name), p->password);
}

static bool is_quick(const struct owner *o) {
    struct password p;
    struct why why = {0};
    return o->stored.n > 0 && password_read(&p, o->stored, &why) == 0 && password_is_quick(&p);
}

static struct errand *submit(struct judging *j, const struct method_law *m, const struct owner *o,
                             struct hash_wide key, struct str password) {
    const struct verify_want want = {
        .key = key, .stored = o->stored, .exists = o->exists, .password = password};
    if (!j->env->desk)
        return NULL;
    return verify_start(j->env->verifications, j->env->desk, j->known->errands, m, &want);
}

/* What is not remembered. */
static enum told verify_anew(struct judging *j, const struct method_law *m, const struct owner *o,
                             struct hash_wide key, struct str password) {
    struct errand *e = errand_about(j->known->errands, m);
    bool good;
    if (!e && (j->env->explaining || is_quick(o))) {
        good = verify_now(o->stored, o->exists, password);
    } else {
        if (!e)
            e = submit(j, m, o, key, password);
        if (e && !e->is_done)
            return TOLD_WAITS;
        if (!e || e->reason != REASON_NONE) {
            judge_refuse(j, REASON_OVERLOADED, "too many passwords wait to be verified");
            return TOLD_NOTHING;
        }
        good = verify_is_good(e);
    }
    return good ? TOLD_GOOD : bad(j, o->exists ? "the password is wrong" : "nobody has this name");
}

/* A name that nobody has is never remembered, nor looked for: the time would tell. */
static enum told verify(struct judging *j, const struct method_law *m, const struct owner *o,
                        const struct pair *p) {
    struct auth_env *env = j->env;
    struct hash_wide key = key_for(p, o);
    if (o->exists && verified_has(env->verified, key, env->loop->now_ns))
        return TOLD_GOOD;
    enum told told = verify_anew(j, m, o, key, p->password);
    if (told == TOLD_GOOD)
        verified_add(env->verified, key, env->loop->now_ns);
    return told;
}

static enum told judge_pair(struct judging *j, const struct method_law *m, const struct pair *p) {
    struct owner o;
    find_owner(j, m, p->user, &o);
    enum told told = verify(j, m, &o, p);
    if (told != TOLD_GOOD)
        return told;
    if (j->who.subject.n == 0)
        j->who.subject = arena_str(&j->env->arena, p->user);
    if (o.consumer.consumer)
        consumer_is(j, &o.consumer);
    return TOLD_GOOD;
}

enum told basic_tell(struct judging *j, const struct method_law *m) {
    struct str shown;
    struct pair p;
    enum place where = judge_find(j, m->model->from, m->model->n_from, &shown);
    if (where == PLACE_NONE)
        return TOLD_ABSENT;
    if (where == PLACE_TWICE)
        return bad(j, "user name and password are there twice");
    if (!m->model->basic)
        return bad(j, "a policy without users");
    const char *fault = pair_read(&p, shown);
    enum told told = fault ? bad(j, fault) : judge_pair(j, m, &p);
    OPENSSL_cleanse(p.room, sizeof(p.room));
    return told;
}
