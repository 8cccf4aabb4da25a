/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/trust/tickets.h"

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>

void tickets_fini(struct tickets *t) { OPENSSL_cleanse(t, sizeof(*t)); }

/* ---- what is due ---- */

static void drop(struct tickets *t, uint32_t i) {
    t->n--;
    memmove(&t->v[i], &t->v[i + 1], (t->n - i) * sizeof(t->v[0]));
    OPENSSL_cleanse(&t->v[t->n], sizeof(t->v[0]));
}

static void add(struct tickets *t, int64_t from) {
    must(t->n < TICKET_KEYS_MAX);
    t->v[t->n].from = from;
    must(RAND_bytes((unsigned char *)t->v[t->n].secret, TICKET_SECRET) == 1);
    t->n++;
}

static int64_t last(const struct tickets *t) { return t->n > 0 ? t->v[t->n - 1].from : 0; }

/* Of one that is to seal in a time that is far off the clock was wrong. */
static bool is_over(const struct tickets *t, uint32_t i, int64_t now) {
    int64_t period = t->period_s, from = t->v[i].from;
    return from + 2 * period <= now || from > now + 2 * period;
}

bool tickets_renew(struct tickets *t, int64_t now, uint32_t period_s) {
    bool changed = t->period_s != period_s;
    t->period_s = period_s;
    for (uint32_t i = t->n; i-- > 0;) {
        if (!is_over(t, i, now))
            continue;
        drop(t, i);
        changed = true;
    }
    bool stale = t->n == 0 || last(t) + period_s <= now, next = stale || last(t) <= now;
    if (stale && t->n == TICKET_KEYS_MAX)
        drop(t, 0);
    if (stale)
        add(t, now);
    if (next && t->n == TICKET_KEYS_MAX)
        drop(t, 0);
    if (next)
        add(t, last(t) + period_s);
    return changed || next;
}

int64_t tickets_due(const struct tickets *t) { return last(t); }

/* ---- from another key ---- */

static void derive(EVP_KDF_CTX *kdf, struct str from, const char *label, uint64_t period,
                   char secret[TICKET_SECRET]) {
    char info[48];
    struct out o = out_fixed(info, sizeof(info));
    out_fmt(&o, "sluice %s ", label);
    out_u64(&o, period);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char[]){"SHA256"}, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)from.p, from.n),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, o.n),
        OSSL_PARAM_construct_end(),
    };
    must(EVP_KDF_derive(kdf, (unsigned char *)secret, TICKET_SECRET, params) == 1);
}

void tickets_derive(struct tickets *t, EVP_PKEY *key, const char *label, int64_t now,
                    uint32_t period_s) {
    unsigned char *der = NULL;
    int n = i2d_PrivateKey(key, &der);
    EVP_KDF *hkdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *kdf = EVP_KDF_CTX_new(hkdf);
    must(n > 0 && kdf);
    *t = (struct tickets){.period_s = period_s};
    for (int64_t i = now / period_s - 1; t->n < 3; i++, t->n++) {
        t->v[t->n].from = i * period_s;
        derive(kdf, str_mk((char *)der, (size_t)n), label, (uint64_t)i, t->v[t->n].secret);
    }
    EVP_KDF_CTX_free(kdf);
    EVP_KDF_free(hkdf);
    OPENSSL_clear_free(der, (size_t)n);
}

/* ---- forms ---- */

bool tickets_equal(const struct tickets *a, const struct tickets *b) {
    return a->n == b->n && a->period_s == b->period_s &&
           memcmp(a->v, b->v, a->n * sizeof(a->v[0])) == 0;
}

/* keys: room of TICKET_KEYS_MAX. */
static struct model_ticket_keys model_of(const struct tickets *t, struct model_ticket_key *keys) {
    for (uint32_t i = 0; i < t->n; i++)
        keys[i] = (struct model_ticket_key){.from = (uint64_t)t->v[i].from,
                                            .secret = str_mk(t->v[i].secret, TICKET_SECRET)};
    return (struct model_ticket_keys){.keys = keys, .n_keys = t->n, .period_s = t->period_s};
}

struct object *tickets_object(const struct tickets *t) {
    struct model_ticket_key keys[TICKET_KEYS_MAX];
    struct model_ticket_keys m = model_of(t, keys);
    return object_new(MODEL_KIND_ticket_keys, STR(TICKET_KEYS_ID), &m);
}

struct object *tickets_sessions_object(const struct tickets *t) {
    struct model_ticket_key keys[TICKET_KEYS_MAX];
    struct model_ticket_keys of = model_of(t, keys);
    struct model_session_keys m = {.keys = of.keys, .n_keys = of.n_keys, .period_s = of.period_s};
    return object_new(MODEL_KIND_session_keys, STR(SESSION_KEYS_ID), &m);
}

void tickets_write(const struct tickets *t, struct out *o) {
    struct model_ticket_key keys[TICKET_KEYS_MAX];
    struct model_ticket_keys m = model_of(t, keys);
    model_encode(model_struct_of(MODEL_KIND_ticket_keys), &m, o);
}

bool tickets_read(struct tickets *t, struct str bytes) {
    struct model_ticket_keys m = {0};
    struct arena a;
    *t = (struct tickets){0};
    arena_init(&a);
    bool good =
        model_decode(model_struct_of(MODEL_KIND_ticket_keys), bytes, &a, &m, NULL, NULL) == 0 &&
        ticket_keys_check(&m, NULL) == 0;
    for (uint32_t i = 0; good && i < m.n_keys; i++) {
        t->v[i].from = (int64_t)m.keys[i].from;
        memcpy(t->v[i].secret, m.keys[i].secret.p, TICKET_SECRET);
        t->n++;
    }
    t->period_s = good ? (uint32_t)m.period_s : 0;
    arena_fini(&a);
    return good;
}
