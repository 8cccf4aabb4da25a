/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/http/digest.h"

#include "lib/base64.h"
#include "lib/sfv.h"

#include <openssl/crypto.h>

enum { SHA256 = 32, SHA512 = 64 };

/* ---- what is expected ---- */

/* Bytes of a hash that is known here; 0: it is not. */
static size_t size_of(struct str name) {
    return str_eq(name, STR("sha-256")) ? SHA256 : str_eq(name, STR("sha-512")) ? SHA512 : 0;
}

/* A member of Content-Digest; false with *detail. */
static bool take(struct body_digest *d, struct str key, const struct sfv_value *v, unsigned *seen,
                 const char **detail) {
    char room[BASE64_ROOM(DIGEST_FIELD_MAX)];
    struct out o = out_fixed(room, sizeof(room));
    size_t size = size_of(key);
    unsigned bit = size == SHA512 ? 2 : 1;
    if (size == 0)
        return true;
    sfv_text(v, &o);
    if (v->type != SFV_BYTES || o.over || o.n != size) {
        *detail = "a digest in Content-Digest is not as many bytes as its hash has";
        return false;
    }
    if ((*seen & bit) != 0) {
        *detail = "Content-Digest has a hash twice";
        return false;
    }
    *seen |= bit;
    if (size > d->n) {
        memcpy(d->want, room, size);
        d->n = (uint8_t)size;
    }
    return true;
}

static enum digest_found bad(const char **detail, const char *sentence) {
    *detail = sentence;
    return DIGEST_BAD;
}

enum digest_found digest_read(struct body_digest *d, const struct head *h, const char **detail) {
    char room[DIGEST_FIELD_MAX];
    struct out o = out_fixed(room, sizeof(room));
    struct str text = head_joined(h, STR("content-digest"), &o), key;
    struct sfv at;
    struct sfv_value v;
    enum sfv_step step;
    unsigned seen = 0;
    *d = (struct body_digest){.n = 0};
    if (text.p == NULL)
        return DIGEST_NONE;
    if (o.over || text.n > DIGEST_FIELD_MAX)
        return bad(detail, "Content-Digest is too long");
    sfv_begin(&at, text);
    while ((step = sfv_dictionary(&at, &key, &v)) == SFV_ONE)
        if (!take(d, key, &v, &seen, detail))
            return DIGEST_BAD;
    if (step == SFV_BAD)
        return bad(detail, "Content-Digest is not a dictionary of RFC 9651");
    return d->n > 0 ? DIGEST_FOUND : bad(detail, "Content-Digest has neither sha-256 nor sha-512");
}

enum digest_found digest_read_kong(struct body_digest *d, const struct head *h,
                                   const char **detail) {
    char room[DIGEST_FIELD_MAX], bytes[BASE64_ROOM(DIGEST_FIELD_MAX)];
    struct out o = out_fixed(room, sizeof(room));
    struct str text = head_joined(h, STR("digest"), &o);
    size_t n;
    *d = (struct body_digest){.n = SHA256};
    if (text.p == NULL)
        return DIGEST_NONE;
    if (o.over || text.n > DIGEST_FIELD_MAX || text.n < 8 ||
        !str_eq_nocase(str_mk(text.p, 8), STR("SHA-256=")) ||
        !base64_decode(str_skip(text, 8), bytes, &n) || n != SHA256)
        return bad(detail, "Digest is not SHA-256= and 32 bytes in base64");
    memcpy(d->want, bytes, SHA256);
    return DIGEST_FOUND;
}

/* ---- the body ---- */

bool digest_is_of(const struct body_digest *d, struct mac_scratch *macs, struct str body) {
    unsigned char made[MAC_MAX];
    mac_hash(macs, mac_of_size(d->n), body, made);
    return CRYPTO_memcmp(made, d->want, d->n) == 0;
}
