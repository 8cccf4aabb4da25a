/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/auth/verified.h"

#include "lib/list.h"
#include "lib/map.h"
#include "lib/mem.h"

struct one {
    struct list link; /* of used: the one that was shown last at the end */
    uint64_t seen_ns;
    struct hash_wide key;
};

struct verified {
    struct map by_key;
    struct list used;
};

static struct one *oldest(struct verified *v) { return list_entry(v->used.next, struct one, link); }

struct verified *verified_new(void) {
    struct verified *v = mem_zalloc(sizeof(*v));
    map_init(&v->by_key);
    list_init(&v->used);
    return v;
}

static void forget(struct verified *v, struct one *o) {
    map_del(&v->by_key, hash_wide_str(&o->key));
    list_del(&o->link);
    mem_free(o);
}

void verified_free(struct verified *v) {
    if (!v)
        return;
    while (!list_empty(&v->used))
        forget(v, oldest(v));
    map_fini(&v->by_key);
    mem_free(v);
}

size_t verified_count(const struct verified *v) { return v->by_key.n; }

struct hash_wide verified_key(struct str stored, struct str password) {
    struct hash_secret h;
    hash_secret_begin(&h);
    hash_secret_str(&h, stored);
    hash_secret_str(&h, password);
    return hash_secret_end(&h);
}

static bool is_over(const struct one *o, uint64_t now_ns) {
    return o->seen_ns + VERIFIED_IDLE_S * (uint64_t)1000000000 < now_ns;
}

bool verified_has(struct verified *v, struct hash_wide key, uint64_t now_ns) {
    struct one *o = map_get(&v->by_key, hash_wide_str(&key));
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

void verified_add(struct verified *v, struct hash_wide key, uint64_t now_ns) {
    if (verified_has(v, key, now_ns))
        return;
    while (!list_empty(&v->used) && (v->by_key.n == VERIFIED_MAX || is_over(oldest(v), now_ns)))
        forget(v, oldest(v));
    struct one *o = mem_zalloc(sizeof(*o));
    o->seen_ns = now_ns;
    o->key = key;
    map_put(&v->by_key, hash_wide_str(&o->key), o);
    list_append(&v->used, &o->link);
}
