/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/route/signing.h"

#include "lib/mem.h"

enum {
    JWKS_MAX = 4096, /* bytes; a key of P-256 takes 250 */
    CACHED_MAX_S = 300,
};

void signing_law_free(struct signing_law *s) {
    if (!s)
        return;
    for (uint32_t i = 0; i < s->n; i++)
        jwt_signer_free(s->keys[i].signer);
    mem_free((char *)s->jwks.p);
    mem_free((char *)s->caching.p);
    mem_free(s);
}

/* A verifier that looks again after half a period has each key before it signs. */
static void write_caching(struct signing_law *s) {
    uint32_t half = s->period_s / 2;
    char room[64];
    struct out o = out_fixed(room, sizeof(room));
    out_fmt(&o, "cache-control: public, max-age=%u\r\n", half < CACHED_MAX_S ? half : CACHED_MAX_S);
    s->caching = str_mk(str_dup(out_done(&o)), o.n);
}

static void write_jwks(struct signing_law *s) {
    struct jwt_key keys[SIGNING_KEYS_MAX];
    struct out o = out_heap(JWKS_MAX);
    for (uint32_t i = 0; i < s->n; i++)
        keys[i] = *jwt_signer_key(s->keys[i].signer);
    must(jwt_set_json(keys, s->n, &o) == 0 && !o.over);
    s->jwks = out_done(&o);
}

struct signing_law *signing_law_new(const struct model_signing_keys *m, uint64_t version,
                                    struct why *why) {
    struct signing_law *s = mem_zalloc(sizeof(*s));
    s->version = version;
    s->period_s = (uint32_t)m->period_s;
    for (uint32_t i = 0; i < m->n_keys; i++) {
        s->keys[i].from = m->keys[i].from;
        s->keys[i].signer = jwt_signer_new(m->keys[i].secret, why);
        if (!s->keys[i].signer) {
            signing_law_free(s);
            return NULL;
        }
        s->n++;
        if (jwt_signer_key(s->keys[i].signer)->alg != JWT_ES256) {
            why_text(why, "key %u of internal tokens is none of P-256", i + 1);
            signing_law_free(s);
            return NULL;
        }
    }
    write_jwks(s);
    write_caching(s);
    return s;
}

const struct jwt_signer *signing_law_now(const struct signing_law *s, int64_t now) {
    uint32_t i = s->n - 1;
    while (i > 0 && (int64_t)s->keys[i].from > now)
        i--;
    return s->keys[i].signer;
}
