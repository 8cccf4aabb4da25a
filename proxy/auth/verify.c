/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/auth/verify.h"

#include "lib/map.h"
#include "lib/mem.h"
#include "lib/password.h"

#include <openssl/crypto.h>

struct verifications {
    struct map by_key; /* that others can join */
};

struct verification {
    struct slow_job job;
    struct verifications *home;
    struct list waiters;
    struct hash_wide key;
    bool listed; /* in the map */
    bool exists, good;
    uint16_t n_stored, n_password;
    char stored[PASSWORD_STORED_MAX], password[PASSWORD_MAX];
};

/* One request. */
struct waiter {
    struct errand errand;
    struct list link;
    struct verification *of; /* NULL: it is over */
    bool good;
};

static struct waiter *waiter_of(struct errand *e) { return container_of(e, struct waiter, errand); }

struct verifications *verifications_new(void) {
    struct verifications *v = mem_zalloc(sizeof(*v));
    map_init(&v->by_key);
    return v;
}

void verifications_free(struct verifications *v) {
    if (!v)
        return;
    must(v->by_key.n == 0);
    map_fini(&v->by_key);
    mem_free(v);
}

size_t verifications_count(const struct verifications *v) { return v->by_key.n; }

/* ---- the work ---- */

bool verify_now(struct str stored, bool exists, struct str password) {
    struct password p;
    struct why why = {0};
    bool there = stored.n > 0 && password_read(&p, stored, &why) == 0;
    if (there && exists)
        return password_verify(&p, password);
    password_pretend(there ? &p : NULL, password);
    return false;
}

/* On a thread. */
static void run(struct slow_job *job) {
    struct verification *x = container_of(job, struct verification, job);
    x->good =
        verify_now(str_mk(x->stored, x->n_stored), x->exists, str_mk(x->password, x->n_password));
    OPENSSL_cleanse(x->password, sizeof(x->password));
}

/* ---- one of them ---- */

static void unlist(struct verification *x) {
    if (x->listed)
        map_del(&x->home->by_key, hash_wide_str(&x->key));
    x->listed = false;
}

static void wipe(struct verification *x) {
    OPENSSL_cleanse(x, sizeof(*x));
    mem_free(x);
}

/* Those who waited may send new errands, give up each other, and go. */
static void done(struct slow_job *job) {
    struct verification *x = container_of(job, struct verification, job);
    unlist(x);
    for (struct list *link; (link = list_pop(&x->waiters)) != NULL;) {
        struct waiter *w = list_entry(link, struct waiter, link);
        w->of = NULL;
        w->good = x->good;
        errand_done(&w->errand, REASON_NONE);
    }
    wipe(x);
}

/* The last one who waited has given up; where a thread has it, done() comes. */
static void give_up(struct verification *x) {
    unlist(x);
    if (slow_cancel(&x->job))
        wipe(x);
}

static void drop(struct errand *e) {
    struct waiter *w = waiter_of(e);
    struct verification *x = w->of;
    if (x) {
        list_del(&w->link);
        if (x->listed && list_empty(&x->waiters))
            give_up(x);
    }
    mem_free(w);
}

static void copy(char *to, uint16_t *n, struct str s, size_t max) {
    must(s.n <= max);
    *n = (uint16_t)s.n;
    if (s.n > 0)
        memcpy(to, s.p, s.n);
}

static struct verification *begin(struct verifications *v, struct slow_desk *desk,
                                  const struct verify_want *want) {
    struct verification *x = mem_zalloc(sizeof(*x));
    x->job = (struct slow_job){.run = run, .done = done};
    x->home = v;
    list_init(&x->waiters);
    x->key = want->key;
    x->exists = want->exists;
    copy(x->stored, &x->n_stored, want->stored, sizeof(x->stored));
    copy(x->password, &x->n_password, want->password, sizeof(x->password));
    if (!slow_submit(desk, &x->job)) {
        wipe(x);
        return NULL;
    }
    x->listed = true;
    map_put(&v->by_key, hash_wide_str(&x->key), x);
    return x;
}

struct errand *verify_start(struct verifications *v, struct slow_desk *desk, struct errands *all,
                            const void *about, const struct verify_want *want) {
    struct waiter *w = mem_zalloc(sizeof(*w));
    struct verification *x = map_get(&v->by_key, hash_wide_str(&want->key));
    if (!x)
        x = begin(v, desk, want);
    errand_begin(all, &w->errand, about, drop);
    w->of = x;
    if (x) {
        list_append(&x->waiters, &w->link);
    } else {
        w->errand.is_done = true;
        w->errand.reason = REASON_OVERLOADED;
    }
    return &w->errand;
}

bool verify_is_good(const struct errand *e) {
    return container_of(e, const struct waiter, errand)->good;
}
