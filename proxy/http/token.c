/* SPDX-License-Identifier: Apache-2.0
 *
 * token: a name's first and last eight bytes, folded to lower case, are its key; up to sixteen
 * bytes they are the whole name. The key is hashed into a small open table that is filled once
 * before main(), from token.def, and only read afterwards.
 *
 * Folding is "or 0x20", which is right for letters, digits and '-' as long as no control is in the
 * name (it would turn CR into '-'); printable() sees to that.
 */
#include "proxy/http/token.h"

#define HOP    TOKEN_IS_HOP
#define SINGLE TOKEN_IS_SINGLE
#define FAMILY TOKEN_IS_FAMILY
#define PINNED TOKEN_IS_PINNED
const struct token_info tokens[TOKENS] = {
    [TOKEN_OTHER] = {{"", 0}, 0},
#define TOKEN(NAME, name, flags) [TOKEN_##NAME] = {{name, sizeof(name) - 1}, flags},
#include "proxy/http/token.def"
#undef TOKEN
};
_Static_assert(TOKENS <= 256, "struct head_field keeps a token in a byte");

enum { SLOT_BITS = 9, SLOTS = 1 << SLOT_BITS };
#define FOLD UINT64_C(0x2020202020202020)

struct key {
    uint64_t first, last;
};
static struct {
    struct key key[TOKENS];
    uint8_t slots[SLOTS]; /* enum token; 0 is a free one */
} table;

static inline uint64_t load(const char *p) {
    uint64_t w;
    memcpy(&w, p, 8);
    return w;
}

static inline struct key key_of(struct str s) {
    if (likely(s.n >= 8))
        return (struct key){load(s.p), load(s.p + s.n - 8)};
    uint32_t a = 0, b = 0;
    if (s.n >= 4) {
        memcpy(&a, s.p, 4);
        memcpy(&b, s.p + s.n - 4, 4);
    } else if (s.n > 0) {
        a = (uint32_t)(unsigned char)s.p[0] | (uint32_t)(unsigned char)s.p[s.n / 2] << 8 |
            (uint32_t)(unsigned char)s.p[s.n - 1] << 16 | UINT32_C(0x20000000);
        b = UINT32_C(0x20202020);
    }
    uint64_t w = a | (uint64_t)b << 32;
    return (struct key){w, w};
}

/* No byte below 0x20: each has bit 5 or bit 6. */
static inline bool printable(uint64_t w) {
    return (~(w | w << 1) & UINT64_C(0x4040404040404040)) == 0;
}

static inline unsigned slot_of(struct key k, size_t n) {
    uint64_t h = (k.first ^ (k.last << 9 | k.last >> 55) ^ n) * UINT64_C(0x9e3779b97f4a7c15);
    return (unsigned)(h >> (64 - SLOT_BITS));
}

static inline struct key fold(struct key k) { return (struct key){k.first | FOLD, k.last | FOLD}; }

__attribute__((constructor)) static void token_init(void) {
    for (unsigned t = 1; t < TOKENS; t++) {
        if (t == TOKEN_X_FORWARDED_ANY || t == TOKEN_X_ENVOY_ANY)
            continue; /* a '*' in a name is no wildcard */
        struct key k = table.key[t] = fold(key_of(tokens[t].name));
        unsigned at = slot_of(k, tokens[t].name.n);
        while (table.slots[at] != 0)
            at = (at + 1) % SLOTS;
        table.slots[at] = (uint8_t)t;
    }
}

/* What the key leaves out of a name of more than 16 bytes. */
static bool middle_eq(struct str name, struct str known) {
    for (size_t i = 8; i < name.n - 8; i += 8) {
        size_t at = size_min(i, name.n - 8);
        uint64_t w = load(name.p + at);
        if ((w | FOLD) != (load(known.p + at) | FOLD) || !printable(w))
            return false;
    }
    return true;
}

static bool starts_nocase(struct str name, struct str prefix) {
    return name.n >= prefix.n && str_eq_nocase(str_mk(name.p, prefix.n), prefix);
}

static enum token by_prefix(struct str name) {
    if (name.n == 0 || (name.p[0] | 0x20) != 'x')
        return TOKEN_OTHER;
    if (starts_nocase(name, STR("x-forwarded-")))
        return TOKEN_X_FORWARDED_ANY;
    if (starts_nocase(name, STR("x-envoy-")))
        return TOKEN_X_ENVOY_ANY;
    return TOKEN_OTHER;
}

enum token token_of(struct str name) {
    struct key raw = key_of(name), k = fold(raw);
    for (unsigned at = slot_of(k, name.n); table.slots[at] != 0; at = (at + 1) % SLOTS) {
        unsigned t = table.slots[at];
        if (table.key[t].first == k.first && table.key[t].last == k.last &&
            tokens[t].name.n == name.n)
            if (printable(raw.first) && printable(raw.last) &&
                (name.n <= 16 || middle_eq(name, tokens[t].name)))
                return (enum token)t;
    }
    return by_prefix(name);
}
