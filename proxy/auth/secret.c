/* SPDX-License-Identifier: Apache-2.0
 *
 * secret: tokens that a Consumer has signed with a secret of its own. Something in the token names
 * it: a claim (iss) or a parameter of the header (kid), which one is the Consumer's choice:
 *
 *     {"alg":"HS256","kid":"acme-1"}.{"iss":"https://idp","sub":"joe"}
 *                          └─────────────────┴────────── each is looked for: NAMESPACE/kid, acme-1
 *
 * Whatever is named, it is the signature that decides. A secret is for one algorithm, which the
 * Consumer says; that of the token can only agree (RFC 8725 3.1).
 */
#include "lib/jwt.h"
#include "proxy/auth/parts.h"

enum {
    PAIRS_MAX = 16,  /* of a token, that may name a key */
    LOOKS_MAX = 128, /* into the table, for one token */
    NAME_MAX_BYTES = 256,
};

/* What of a token may name a key. */
struct pair {
    struct str name, value;
};
struct pairs {
    struct pair v[PAIRS_MAX];
    unsigned n;
};

static void add(struct pairs *p, struct str name, struct str value) {
    if (p->n < PAIRS_MAX && value.n > 0 && value.n <= NAME_MAX_BYTES && name.n <= NAME_MAX_BYTES)
        p->v[p->n++] = (struct pair){name, value};
}

static void add_texts(struct pairs *p, const struct claims *c) {
    const struct claim *end = c->nodes + c->n_nodes;
    for (const struct claim *i = c->nodes + 1; i < end; i = c->nodes + i->end) {
        struct str name = claim_name(c, i);
        if (i->kind == CLAIM_TEXT && !str_eq(name, STR("iss")) && !str_eq(name, STR("kid")) &&
            !str_eq(name, STR("alg")) && !str_eq(name, STR("typ")))
            add(p, name, claim_text(c, i));
    }
}

/* Those that are usual first: a token may have more than are looked at. */
static void pairs_of(struct pairs *p, const struct jwt *t) {
    p->n = 0;
    add(p, STR("iss"), t->issuer);
    add(p, STR("kid"), t->kid);
    add_texts(p, &t->header);
    add_texts(p, &t->claims);
}

static bool find(struct judging *j, const struct method_law *m, struct str namespace,
                 const struct pair *pair, struct secret_proof *proof) {
    char room[2 * NAME_MAX_BYTES];
    struct out o = out_fixed(room, sizeof(room));
    out_str(&o, namespace);
    out_char(&o, '/');
    out_str(&o, pair->name);
    if (o.over)
        return false;
    credential_digest(j->env->digest, CREDENTIAL_JWT_SECRET, out_done(&o), pair->value,
                      proof->digest);
    return consumer_with(j, m, proof->digest, &proof->consumer);
}

static int try(const struct model_credential *c, const struct jwt *t, struct jwt_scratch *s,
               struct why *why) {
    enum jwt_alg alg;
    if (!jwt_alg_named(c->algorithm, &alg) || (JWT_ALG(alg) & JWT_ALGS_SECRET) == 0)
        return why_text(why, "the Consumer that it names has no secret for tokens");
    return jwt_verify_secret(t, alg, c->secret, s, why);
}

int secret_verify(struct judging *j, const struct method_law *m, const struct jwt *t,
                  struct secret_proof *proof, struct why *why) {
    const struct model_consumer_scope *scope = m->model->consumers;
    struct pairs pairs;
    unsigned looks = 0, found = 0;
    pairs_of(&pairs, t);
    for (unsigned p = 0; scope && p < pairs.n; p++)
        for (uint32_t n = 0; n < scope->n_namespaces && looks < LOOKS_MAX; n++, looks++) {
            if (!find(j, m, scope->namespaces[n], &pairs.v[p], proof))
                continue;
            found++;
            if (try(proof->consumer.credential, t, bearers_scratch(j->env->tokens), why) == 0)
                return 0;
        }
    if (found > 0)
        return -1;
    why_text(why, "no Consumer that counts here has the key that it names");
    return SECRET_UNKNOWN;
}
