/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/auth/answers.h"

#include "lib/list.h"
#include "lib/map.h"
#include "lib/mem.h"

/* ---- one ---- */

static struct str put(char **at, struct str s) {
    if (s.n == 0)
        return STR_NONE;
    struct str copy = str_mk(*at, s.n);
    memcpy(*at, s.p, s.n);
    *at += s.n;
    return copy;
}

static size_t texts_of(const struct verdict *v) {
    return v->to_backend.n + v->to_client.n + v->hidden.n + v->body.n + v->consumer.n;
}

struct verdict *verdict_new(const struct verdict *from) {
    struct verdict *v = mem_try(sizeof(*v) + texts_of(from));
    if (!v) {
        bearer_free(from->token);
        return NULL;
    }
    char *at = (char *)(v + 1);
    *v = *from;
    v->holds = 1;
    v->to_backend = put(&at, from->to_backend);
    v->to_client = put(&at, from->to_client);
    v->hidden = put(&at, from->hidden);
    v->body = put(&at, from->body);
    v->consumer = put(&at, from->consumer);
    return v;
}

struct verdict *verdict_hold(struct verdict *v) {
    v->holds++;
    return v;
}

void verdict_drop(struct verdict *v) {
    if (!v || --v->holds > 0)
        return;
    bearer_free(v->token);
    mem_free(v);
}

/* ---- all ---- */

struct answer_kept {
    struct hash_wide key;
    struct list link; /* of its room: the one that was asked for last at the end */
    struct verdict *verdict;
    uint64_t until_ms;
    size_t size;
};

struct answer_room {
    struct list used;
    size_t n, size, n_max, size_max;
};

struct answers {
    struct map by_key;
    struct answer_room good, bad;
};

static struct str key_of(const struct answer_kept *k) {
    return str_mk((const char *)&k->key, sizeof(k->key));
}

static struct answer_room *room_of(struct answers *all, const struct verdict *v) {
    return v->good ? &all->good : &all->bad;
}

struct answers *answers_new(void) {
    struct answers *all = mem_zalloc(sizeof(*all));
    map_init(&all->by_key);
    all->good = (struct answer_room){.n_max = ANSWERS_MAX, .size_max = ANSWERS_BYTES_MAX};
    all->bad = (struct answer_room){.n_max = ANSWERS_MAX / 4, .size_max = ANSWERS_BYTES_MAX / 4};
    list_init(&all->good.used);
    list_init(&all->bad.used);
    return all;
}

static void forget(struct answers *all, struct answer_kept *k) {
    struct answer_room *r = room_of(all, k->verdict);
    map_del(&all->by_key, key_of(k));
    list_del(&k->link);
    r->n--;
    r->size -= k->size;
    verdict_drop(k->verdict);
    mem_free(k);
}

static struct answer_kept *oldest(struct answer_room *r) {
    return list_entry(r->used.next, struct answer_kept, link);
}

void answers_free(struct answers *all) {
    if (!all)
        return;
    while (!list_empty(&all->good.used))
        forget(all, oldest(&all->good));
    while (!list_empty(&all->bad.used))
        forget(all, oldest(&all->bad));
    map_fini(&all->by_key);
    mem_free(all);
}

size_t answers_count(const struct answers *all) { return all->by_key.n; }

static struct answer_kept *find(const struct answers *all, struct hash_wide key) {
    return map_get(&all->by_key, str_mk((const char *)&key, sizeof(key)));
}

struct verdict *answers_get(struct answers *all, struct hash_wide key, uint64_t now_ms) {
    struct answer_kept *k = find(all, key);
    if (!k)
        return NULL;
    if (k->until_ms <= now_ms) {
        forget(all, k);
        return NULL;
    }
    list_del(&k->link);
    list_append(&room_of(all, k->verdict)->used, &k->link);
    return k->verdict;
}

void answers_put(struct answers *all, struct hash_wide key, struct verdict *v, uint64_t until_ms) {
    struct answer_kept *k = find(all, key);
    if (k)
        forget(all, k);
    size_t size = sizeof(*k) + sizeof(*v) + texts_of(v) + (v->token ? bearer_size(v->token) : 0);
    if (size > ANSWER_KEEP_MAX)
        return;
    k = mem_try(sizeof(*k));
    if (!k)
        return;
    struct answer_room *r = room_of(all, v);
    *k = (struct answer_kept){
        .key = key, .verdict = verdict_hold(v), .until_ms = until_ms, .size = size};
    map_put(&all->by_key, key_of(k), k);
    list_append(&r->used, &k->link);
    r->n++;
    r->size += size;
    while (r->n > r->n_max || r->size > r->size_max)
        forget(all, oldest(r));
}
