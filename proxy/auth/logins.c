/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/auth/logins.h"

#include "lib/mem.h"

#include <openssl/crypto.h>

enum { TAIL = 32, NUMBERS = 4, TEXTS = 3 };

/* ---- as bytes: four numbers of 8 bytes, three texts with two bytes of length, big-endian ---- */

static void put(struct out *o, uint64_t v, unsigned bytes) {
    while (bytes-- > 0)
        out_char(o, (char)(v >> (8 * bytes)));
}

static uint64_t take(struct str *rest, unsigned bytes) {
    uint64_t v = 0;
    for (unsigned i = 0; i < bytes; i++)
        v = v << 8 | (unsigned char)rest->p[i];
    *rest = str_skip(*rest, bytes);
    return v;
}

void session_write(const struct session *s, struct out *o) {
    const struct str texts[TEXTS] = {s->id, s->refresh, s->access};
    size_t begin = o->n;
    put(o, s->begun, 8);
    put(o, s->sealed, 8);
    put(o, s->got, 8);
    put(o, s->over, 8);
    for (unsigned i = 0; i < TEXTS; i++) {
        o->over = o->over || texts[i].n > SESSION_MAX;
        put(o, texts[i].n, 2);
        out_str(o, texts[i]);
    }
    o->over = o->over || o->n - begin > SESSION_MAX;
}

bool session_read(struct session *s, struct str bytes) {
    struct str *texts[TEXTS] = {&s->id, &s->refresh, &s->access};
    uint64_t *numbers[NUMBERS] = {&s->begun, &s->sealed, &s->got, &s->over};
    if (bytes.n < NUMBERS * 8 || bytes.n > SESSION_MAX)
        return false;
    for (unsigned i = 0; i < NUMBERS; i++)
        *numbers[i] = take(&bytes, 8);
    for (unsigned i = 0; i < TEXTS; i++) {
        size_t n = bytes.n >= 2 ? (size_t)take(&bytes, 2) : SIZE_MAX;
        if (n > bytes.n)
            return false;
        *texts[i] = str_mk(bytes.p, n);
        bytes = str_skip(bytes, n);
    }
    return bytes.n == 0;
}

/* ---- memory ---- */

static struct str tail_of(struct str text) {
    return str_skip(text, text.n > TAIL ? text.n - TAIL : 0);
}

static struct known *oldest(struct logins *all) {
    return list_entry(all->used.next, struct known, link);
}

void logins_init(struct logins *all) {
    *all = (struct logins){0};
    map_init(&all->by_tail);
    list_init(&all->used);
}

static void wipe(struct str s) {
    if (s.n > 0)
        OPENSSL_cleanse((char *)(uintptr_t)s.p, s.n);
    mem_free((char *)(uintptr_t)s.p);
}

void logins_forget(struct logins *all, struct known *k) {
    map_del(&all->by_tail, tail_of(k->text));
    list_del(&k->link);
    all->size -= k->size;
    wipe(k->text);
    wipe(k->bytes);
    wipe(k->next);
    bearer_free(k->who);
    mem_free(k);
}

void logins_fini(struct logins *all) {
    while (!list_empty(&all->used))
        logins_forget(all, oldest(all));
    map_fini(&all->by_tail);
}

static bool is_text(struct str text, const struct str *pieces, unsigned n) {
    for (unsigned i = 0; i < n; i++) {
        if (!str_starts(text, pieces[i]))
            return false;
        text = str_skip(text, pieces[i].n);
    }
    return text.n == 0;
}

struct known *logins_find(struct logins *all, const struct str *pieces, unsigned n) {
    struct str last = n > 0 ? pieces[n - 1] : STR_NONE;
    struct known *k = last.n >= TAIL ? map_get(&all->by_tail, tail_of(last)) : NULL;
    if (!k || !is_text(k->text, pieces, n))
        return NULL;
    list_del(&k->link);
    list_append(&all->used, &k->link);
    return k;
}

static bool copy(struct str *to, struct str from) {
    char *p = mem_try(from.n + 1);
    if (p)
        memcpy(p, from.p, from.n);
    *to = str_mk(p, p ? from.n : 0);
    return p != NULL;
}

struct known *logins_add(struct logins *all, struct str text, struct str bytes, struct bearer *who,
                         uint64_t version) {
    struct known *k = text.n >= TAIL ? mem_try_zero(sizeof(*k)) : NULL;
    bool good =
        k && copy(&k->text, text) && copy(&k->bytes, bytes) && session_read(&k->is, k->bytes);
    if (!good) {
        if (k) {
            wipe(k->text);
            wipe(k->bytes);
        }
        mem_free(k);
        bearer_free(who);
        return NULL;
    }
    k->who = who;
    k->version = version;
    k->size = sizeof(*k) + text.n + bytes.n + bearer_size(who);
    struct known *other = map_get(&all->by_tail, tail_of(k->text));
    if (other)
        logins_forget(all, other);
    map_put(&all->by_tail, tail_of(k->text), k);
    list_append(&all->used, &k->link);
    all->size += k->size;
    while (oldest(all) != k && (all->by_tail.n > LOGINS_MAX || all->size > LOGINS_BYTES_MAX))
        logins_forget(all, oldest(all));
    return k;
}

bool logins_follow(struct logins *all, struct known *k, struct str next) {
    struct str copied;
    if (!copy(&copied, next))
        return false;
    wipe(k->next);
    all->size += next.n - k->next.n;
    k->size += next.n - k->next.n;
    k->next = copied;
    return true;
}
