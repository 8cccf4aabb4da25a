/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/route/consumers.h"

#include "lib/hash.h"

enum {
    LOAD = CONSUMER_PAGE * 5 / 8, /* of a page on average, at most */
    PAGE_FULL = CONSUMER_PAGE * 7 / 8,
    MASK = CONSUMER_PAGE - 1,
    LOOKS = 64 /* pages for one of a kind */
};

/* Three parts of a digest, of which nobody can choose any. */
static uint64_t key_of(const char *digest) {
    uint64_t key;
    memcpy(&key, digest, sizeof(key));
    return key;
}
static uint32_t page_of(const struct consumer_root *r, uint64_t key) {
    return (uint32_t)((key >> 32) * r->n_pages >> 32);
}
static uint32_t home_of(uint64_t key) { return (uint32_t)key & MASK; }

struct str consumer_name(struct str id) {
    const struct str kind = STR("consumer/");
    return str_starts(id, kind) ? str_skip(id, kind.n) : id;
}

static struct str name_of(const struct object *o) { return consumer_name(object_id(o)); }

/* ---- workers ---- */

static bool has(const struct object *o, enum model_auth_method method, const char *digest,
                struct arena *a, struct consumer_found *found) {
    const struct model_consumer *m = object_decode(o, a, NULL);
    for (uint32_t i = 0; i < m->n_credentials; i++) {
        const struct model_credential *c = &m->credentials[i];
        if (c->type != method || c->digest.n != CREDENTIAL_DIGEST ||
            memcmp(c->digest.p, digest, CREDENTIAL_DIGEST) != 0)
            continue;
        *found = (struct consumer_found){consumer_name(object_id(o)), m, c, o->hash};
        return true;
    }
    return false;
}

bool consumers_find(const struct consumers *c, enum model_auth_method method,
                    const char digest[CREDENTIAL_DIGEST], struct arena *a,
                    struct consumer_found *found) {
    uint64_t key = key_of(digest);
    unsigned hits = 0;
    if (!c->root)
        return false;
    const struct consumer_page *p = c->root->page[page_of(c->root, key)];
    for (uint32_t i = home_of(key); p->object[i]; i = (i + 1) & MASK)
        if (p->key[i] == key && has(p->object[i], method, digest, a, found))
            hits++;
    return hits == 1;
}

bool consumers_named(const struct consumers *c, struct str name, struct arena *a,
                     struct consumer_found *found) {
    uint64_t key = hash_keyed(name);
    if (!c->root)
        return false;
    const struct consumer_page *p = c->root->page[page_of(c->root, key)];
    uint32_t i = home_of(key);
    while (p->object[i] && (p->key[i] != key || !str_eq(name_of(p->object[i]), name)))
        i = (i + 1) & MASK;
    const struct object *o = p->object[i];
    const struct model_consumer *m = o ? object_decode(o, a, NULL) : NULL;
    if (!m || m->disabled)
        return false;
    *found = (struct consumer_found){.id = name_of(o), .consumer = m, .hash = o->hash};
    return true;
}

static bool has_any(const struct object *o, enum model_auth_method method, struct arena *a,
                    struct consumer_found *found) {
    const struct model_consumer *m = object_decode(o, a, NULL);
    for (uint32_t i = 0; i < m->n_credentials; i++) {
        if (m->credentials[i].type != method)
            continue;
        *found =
            (struct consumer_found){consumer_name(object_id(o)), m, &m->credentials[i], o->hash};
        return true;
    }
    return false;
}

/* From home on, around. NULL: none is in that page. */
static struct object *of_method(const struct consumer_page *p, enum model_auth_method method,
                                uint32_t home) {
    const uint8_t *at = memchr(p->method + home, (int)method, CONSUMER_PAGE - home);
    if (!at)
        at = memchr(p->method, (int)method, home);
    return at ? p->object[at - p->method] : NULL;
}

bool consumers_some(const struct consumers *c, enum model_auth_method method, uint64_t seed,
                    struct arena *a, struct consumer_found *found) {
    if (!c->root)
        return false;
    uint32_t first = page_of(c->root, seed);
    for (uint32_t i = 0; i < c->root->n_pages && i < LOOKS; i++) {
        const struct consumer_page *p = c->root->page[(first + i) % c->root->n_pages];
        const struct object *o = of_method(p, method, home_of(seed));
        if (o)
            return has_any(o, method, a, found);
    }
    return false;
}

/* ---- main thread ---- */

static void insert(struct consumer_page *p, uint64_t key, uint8_t method, struct object *o) {
    uint32_t i = home_of(key);
    while (p->object[i])
        i = (i + 1) & MASK;
    p->key[i] = key;
    p->method[i] = method;
    p->object[i] = o;
    p->n++;
}

/* Takes out place i and closes the gap: later ones of the run move back, but never before home. */
static void take_out(struct consumer_page *p, uint32_t gap) {
    for (uint32_t i = (gap + 1) & MASK; p->object[i]; i = (i + 1) & MASK) {
        if (((i - home_of(p->key[i])) & MASK) < ((i - gap) & MASK))
            continue;
        p->key[gap] = p->key[i];
        p->method[gap] = p->method[i];
        p->object[gap] = p->object[i];
        gap = i;
    }
    p->object[gap] = NULL;
    p->method[gap] = NO_METHOD;
    p->n--;
}

static struct consumer_root *root_new(struct keeper *k, uint32_t n) {
    struct consumer_root *r = part_new(k, PART_BLOCK, sizeof(*r) + n * sizeof(r->page[0]));
    r->n_pages = n;
    return r;
}

static struct consumer_page *page_new(struct keeper *k) {
    struct consumer_page *p = part_new(k, PART_BLOCK, sizeof(*p));
    memset(p->method, NO_METHOD, sizeof(p->method));
    return p;
}

static struct consumer_root *root_empty(struct keeper *k, uint32_t n) {
    struct consumer_root *r = root_new(k, n);
    for (uint32_t i = 0; i < n; i++)
        r->page[i] = page_new(k);
    return r;
}

void consumers_expect(struct keeper *k, struct consumers *c, size_t n) {
    must(!c->root);
    c->root = root_empty(k, (uint32_t)(n / LOAD) + 1);
}

static void grow(struct keeper *k, struct consumers *c) {
    struct consumer_root *old = c->root;
    struct consumer_root *new = root_empty(k, old ? old->n_pages + old->n_pages / 4 + 1 : 1);
    for (uint32_t i = 0; old && i < old->n_pages; i++) {
        struct consumer_page *p = old->page[i];
        for (uint32_t j = 0; j < CONSUMER_PAGE; j++)
            if (p->object[j])
                insert(new->page[page_of(new, p->key[j])], p->key[j], p->method[j], p->object[j]);
        part_retire(k, &p->part);
    }
    if (old)
        part_retire(k, &old->part);
    c->root = new;
}

static struct consumer_page *writable(struct keeper *k, struct consumers *c, uint32_t at) {
    if (!part_is_fresh(k, &c->root->part)) {
        struct consumer_root *r = root_new(k, c->root->n_pages);
        memcpy(r->page, c->root->page, r->n_pages * sizeof(r->page[0]));
        part_retire(k, &c->root->part);
        c->root = r;
    }
    struct consumer_page *p = c->root->page[at];
    if (!part_is_fresh(k, &p->part)) {
        struct consumer_page *copy = part_new(k, PART_BLOCK, sizeof(*copy));
        memcpy(&copy->n, &p->n, sizeof(*p) - offsetof(struct consumer_page, n));
        part_retire(k, &p->part);
        c->root->page[at] = p = copy;
    }
    return p;
}

/* Places with that key; more than these are not kept: it is nobody's as it is. */
enum { TWINS_MAX = 4 };

static unsigned twins(const struct consumers *c, uint64_t key) {
    unsigned n = 0;
    if (!c->root)
        return 0;
    const struct consumer_page *p = c->root->page[page_of(c->root, key)];
    for (uint32_t i = home_of(key); p->object[i]; i = (i + 1) & MASK)
        n += p->key[i] == key;
    return n;
}

static void add_place(struct keeper *k, struct consumers *c, uint64_t key, uint8_t method,
                      struct object *o) {
    if (twins(c, key) >= TWINS_MAX)
        return;
    while (!c->root || c->n >= c->root->n_pages * LOAD ||
           c->root->page[page_of(c->root, key)]->n >= PAGE_FULL)
        grow(k, c);
    insert(writable(k, c, page_of(c->root, key)), key, method, o);
    c->n++;
}

static void remove_place(struct keeper *k, struct consumers *c, uint64_t key, struct object *o) {
    struct consumer_page *p = writable(k, c, page_of(c->root, key));
    uint32_t i = home_of(key);
    while (p->object[i] && (p->key[i] != key || p->object[i] != o))
        i = (i + 1) & MASK;
    if (!p->object[i])
        return;
    take_out(p, i);
    c->n--;
}

static void add_one(struct keeper *k, struct consumers *c, const struct model_credential *x,
                    struct object *o) {
    add_place(k, c, key_of(x->digest.p), (uint8_t)x->type, o);
}

static void remove_one(struct keeper *k, struct consumers *c, const struct model_credential *x,
                       struct object *o) {
    remove_place(k, c, key_of(x->digest.p), o);
}

/* True: it has a quota over all proxies. */
static bool each(struct keeper *k, struct consumers *c, struct object *o,
                 void (*what)(struct keeper *, struct consumers *, const struct model_credential *,
                              struct object *)) {
    struct arena a;
    arena_init(&a);
    const struct model_consumer *m = object_decode(o, &a, NULL);
    for (uint32_t i = 0; i < m->n_credentials; i++)
        if (m->credentials[i].digest.n == CREDENTIAL_DIGEST) /* it is hidden from sluicectl */
            what(k, c, &m->credentials[i], o);
    bool fleet = m->rate_limit && m->rate_limit->fleet;
    arena_fini(&a);
    return fleet;
}

void consumers_add(struct keeper *k, struct consumers *c, struct object *o) {
    c->n_fleet += each(k, c, o, add_one);
}

void consumers_remove(struct keeper *k, struct consumers *c, struct object *o) {
    c->n_fleet -= each(k, c, o, remove_one);
}

void consumers_add_name(struct keeper *k, struct consumers *c, struct object *o) {
    add_place(k, c, hash_keyed(name_of(o)), MODEL_AUTH_NONE, o);
}

void consumers_remove_name(struct keeper *k, struct consumers *c, struct object *o) {
    remove_place(k, c, hash_keyed(name_of(o)), o);
}

void consumers_retire(struct keeper *k, struct consumers *c) {
    for (uint32_t i = 0; c->root && i < c->root->n_pages; i++)
        part_retire(k, &c->root->page[i]->part);
    if (c->root)
        part_retire(k, &c->root->part);
    *c = (struct consumers){0};
}
