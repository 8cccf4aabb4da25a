/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/auth/verified.h"

#include "lib/list.h"
#include "lib/map.h"
#include "lib/mem.h"
#include "lib/out.h"
#include "lib/password.h"

#include <openssl/crypto.h>

struct one {
    struct list link; /* of used: the one that was shown last at the end */
    uint64_t seen_ns;
    char key[HASH_MAC];
};

struct verified {
    struct map by_key;
    struct list used;
    char secret[HASH_KEY];
};

static struct str key_of(const struct one *o) { return str_mk(o->key, sizeof(o->key)); }

static struct one *oldest(struct verified *v) { return list_entry(v->used.next, struct one, link); }

struct verified *verified_new(void) {
    struct verified *v = mem_zalloc(sizeof(*v));
    map_init(&v->by_key);
    list_init(&v->used);
    random_bytes(v->secret, sizeof(v->secret));
    return v;
}

static void forget(struct verified *v, struct one *o) {
    map_del(&v->by_key, key_of(o));
    list_del(&o->link);
    mem_free(o);
}

void verified_free(struct verified *v) {
    if (!v)
        return;
    while (!list_empty(&v->used))
        forget(v, oldest(v));
    map_fini(&v->by_key);
    OPENSSL_cleanse(v->secret, sizeof(v->secret));
    mem_free(v);
}

size_t verified_count(const struct verified *v) { return v->by_key.n; }

void verified_key(const struct verified *v, struct str stored, struct str password,
                  char key[HASH_MAC]) {
    char room[1 + VERIFIED_STORED_MAX + PASSWORD_MAX];
    struct out o = out_fixed(room, sizeof(room));
    out_str(&o, stored);
    out_char(&o, 0); /* which is in neither */
    out_str(&o, password);
    must(!o.over);
    hash_mac(v->secret, out_done(&o), key);
    OPENSSL_cleanse(room, o.n);
}

static bool is_over(const struct one *o, uint64_t now_ns) {
    return o->seen_ns + VERIFIED_IDLE_S * (uint64_t)1000000000 < now_ns;
}

bool verified_has(struct verified *v, const char key[HASH_MAC], uint64_t now_ns) {
    struct one *o = map_get(&v->by_key, str_mk(key, HASH_MAC));
    if (!o)
        return false;
    if (is_over(o, now_ns)) {
        forget(v, o);
        return false;
    }
    o->seen_ns = now_ns;
    list_del(&o->link);
    list_append(&v->used, &o->link);
    return true;
}

void verified_add(struct verified *v, const char key[HASH_MAC], uint64_t now_ns) {
    if (verified_has(v, key, now_ns))
        return;
    while (!list_empty(&v->used) && (v->by_key.n == VERIFIED_MAX || is_over(oldest(v), now_ns)))
        forget(v, oldest(v));
    struct one *o = mem_zalloc(sizeof(*o));
    o->seen_ns = now_ns;
    memcpy(o->key, key, sizeof(o->key));
    map_put(&v->by_key, key_of(o), o);
    list_append(&v->used, &o->link);
}
