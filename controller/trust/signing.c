/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/trust/signing.h"

#include "lib/jwt_sign.h"

#include <openssl/crypto.h>

void signing_fini(struct signing *s) { OPENSSL_cleanse(s, sizeof(*s)); }

/* ---- what is due ---- */

static void drop(struct signing *s, uint32_t i) {
    s->n--;
    memmove(&s->v[i], &s->v[i + 1], (s->n - i) * sizeof(s->v[0]));
    OPENSSL_cleanse(&s->v[s->n], sizeof(s->v[0]));
}

static void add(struct signing *s, int64_t from) {
    must(s->n < SIGNING_KEYS_MAX);
    struct out o = out_fixed(s->v[s->n].secret, SIGNING_SECRET_MAX);
    jwt_make_key(JWT_ES256, &o);
    must(!o.over);
    s->v[s->n].from = from;
    s->v[s->n].n_secret = o.n;
    s->n++;
}

static int64_t last(const struct signing *s) { return s->n > 0 ? s->v[s->n - 1].from : 0; }

/* Another one has signed for so long that all tokens of this one are over. Of one that is to sign
 * in a time that is far off the clock was wrong. */
static bool is_over(const struct signing *s, uint32_t i, int64_t now) {
    int64_t period = s->period_s;
    bool followed = i + 1 < s->n && s->v[i + 1].from + period <= now;
    return followed || s->v[i].from > now + 2 * period;
}

/* Of too many the oldest goes: after a clock that jumped, or a period that was changed. */
static void make_room(struct signing *s) {
    if (s->n == SIGNING_KEYS_MAX)
        drop(s, 0);
}

bool signing_renew(struct signing *s, int64_t now, uint32_t period_s) {
    bool changed = s->period_s != period_s;
    s->period_s = period_s;
    for (uint32_t i = s->n; i-- > 0;) {
        if (!is_over(s, i, now))
            continue;
        drop(s, i);
        changed = true;
    }
    if (s->n == 0)
        add(s, now); /* nobody has verified anything yet */
    if (last(s) > now)
        return changed;
    make_room(s);
    add(s, now + period_s); /* however late this is: it must be known by then */
    return true;
}

int64_t signing_due(const struct signing *s) {
    int64_t due = last(s);
    for (uint32_t i = 1; i < s->n; i++) {
        int64_t over = s->v[i].from + s->period_s;
        due = over < due ? over : due;
    }
    return due;
}

/* ---- forms ---- */

bool signing_equal(const struct signing *a, const struct signing *b) {
    bool same = a->n == b->n && a->period_s == b->period_s;
    for (uint32_t i = 0; same && i < a->n; i++)
        same = a->v[i].from == b->v[i].from && a->v[i].n_secret == b->v[i].n_secret &&
               memcmp(a->v[i].secret, b->v[i].secret, a->v[i].n_secret) == 0;
    return same;
}

/* keys: room of SIGNING_KEYS_MAX. */
static struct model_signing_keys model_of(const struct signing *s, struct model_signing_key *keys) {
    for (uint32_t i = 0; i < s->n; i++)
        keys[i] = (struct model_signing_key){.from = (uint64_t)s->v[i].from,
                                             .secret = str_mk(s->v[i].secret, s->v[i].n_secret)};
    return (struct model_signing_keys){.keys = keys, .n_keys = s->n, .period_s = s->period_s};
}

struct object *signing_object(const struct signing *s) {
    struct model_signing_key keys[SIGNING_KEYS_MAX];
    struct model_signing_keys m = model_of(s, keys);
    return object_new(MODEL_KIND_signing_keys, STR(SIGNING_KEYS_ID), &m);
}

void signing_write(const struct signing *s, struct out *o) {
    struct model_signing_key keys[SIGNING_KEYS_MAX];
    struct model_signing_keys m = model_of(s, keys);
    model_encode(model_struct_of(MODEL_KIND_signing_keys), &m, o);
}

static bool is_key(struct str secret) {
    struct jwt_signer *g = jwt_signer_new(secret, NULL);
    bool good = g && jwt_signer_key(g)->alg == JWT_ES256;
    jwt_signer_free(g);
    return good;
}

bool signing_read(struct signing *s, struct str bytes) {
    struct model_signing_keys m = {0};
    struct arena a;
    *s = (struct signing){0};
    arena_init(&a);
    bool good =
        model_decode(model_struct_of(MODEL_KIND_signing_keys), bytes, &a, &m, NULL, NULL) == 0 &&
        signing_keys_check(&m, NULL) == 0;
    for (uint32_t i = 0; good && i < m.n_keys; i++)
        good = is_key(m.keys[i].secret);
    for (uint32_t i = 0; good && i < m.n_keys; i++) {
        s->v[i].from = (int64_t)m.keys[i].from;
        s->v[i].n_secret = m.keys[i].secret.n;
        memcpy(s->v[i].secret, m.keys[i].secret.p, m.keys[i].secret.n);
        s->n++;
    }
    s->period_s = good ? (uint32_t)m.period_s : 0;
    arena_fini(&a);
    return good;
}
