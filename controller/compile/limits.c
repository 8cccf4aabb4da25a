/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/compile/limits.h"

#include "controller/compile/route.h"
#include "lib/chars.h"

static const int64_t PER_MAX_MS = (int64_t)366 * 86400000;
static const uint64_t FILLED_MAX_MS = (uint64_t)4 * 366 * 86400000;

static bool is(struct str word, const char *what) { return str_eq(word, str_of(what)); }

/* ---- how many in what time ---- */

struct numbers { /* what a limit and a quota have in common */
    int64_t requests, per, burst;
    struct str algorithm, scope, on_error;
};

static int per_make(struct making *m, const struct at *at, int64_t ms, uint64_t *o) {
    if (ms < 1 || ms > PER_MAX_MS)
        return refuse(m, AT(at, "per"),
                      "a limit counts in a time of 1ms to 8784h, which is a year");
    *o = (uint64_t)ms;
    return 0;
}

static int numbers_make(struct making *m, const struct at *at, const struct numbers *k,
                        struct model_rate_limit *o) {
    o->window = is(k->algorithm, "SlidingWindow");
    if (k->burst >= 0 && o->window)
        return refuse(m, AT(at, "burst"),
                      "burst belongs to TokenBucket; a sliding window lets all of requests "
                      "through at once");
    if (per_make(m, at, k->per, &o->per_ms) != 0)
        return -1;
    o->requests = (uint64_t)k->requests;
    if (k->burst > 0 && (uint64_t)k->burst * o->per_ms / o->requests > FILLED_MAX_MS)
        return refuse(m, AT(at, "burst"),
                      "at that pace it takes more than four years until so many are there again");
    o->burst = k->burst < 0 || k->burst == k->requests ? 0 : (uint64_t)k->burst;
    o->fleet = !is(k->scope, "Local");
    o->fail_closed = is(k->on_error, "Deny");
    return 0;
}

/* ---- what is counted apart ---- */

static bool is_header(struct str s) {
    return s.n > 0 && chars_skip(s.p, s.p + s.n, CHAR_TOKEN) == s.p + s.n;
}

static int key_make(struct making *m, const struct at *at, const struct kube_rate_key *k,
                    struct model_rate_key *o) {
    bool named =
        k->by == MODEL_FROM_HEADER || k->by == MODEL_FROM_COOKIE || k->by == MODEL_FROM_QUERY;
    struct shown shown;
    if (named != (k->name.n > 0))
        return refuse(m, AT(at, "name"), "name belongs to header, cookie and query, which need it");
    if ((k->by == MODEL_FROM_CLAIM) != (k->n_path > 0))
        return refuse(m, AT(at, "path"), "path belongs to claim, which needs it");
    if (k->by == MODEL_FROM_HEADER && !is_header(k->name))
        return refuse(m, AT(at, "name"), "%s is not the name of a header",
                      why_show(k->name, &shown));
    *o = (struct model_rate_key){.by = k->by,
                                 .name =
                                     k->by == MODEL_FROM_HEADER ? lower(&m->a, k->name) : k->name,
                                 .path = k->path,
                                 .n_path = k->n_path};
    return 0;
}

static int limit_make(struct making *m, const struct at *at, const struct kube_rate_limit *k,
                      struct model_rate_limit *o) {
    const struct numbers n = {k->requests, k->per, k->burst, k->algorithm, k->scope, k->on_error};
    *o = (struct model_rate_limit){.name = k->name,
                                   .dry_run = k->dry_run,
                                   .groups = k->groups,
                                   .n_groups = k->n_groups,
                                   .n_keys = k->n_keys};
    if (numbers_make(m, at, &n, o) != 0)
        return -1;
    o->keys = arena_array(&m->a, k->n_keys, sizeof(*o->keys));
    for (uint32_t i = 0; i < k->n_keys; i++)
        if (key_make(m, AT_I(at, "keys", i), &k->keys[i], &o->keys[i]) != 0)
            return -1;
    return 0;
}

/* No name is there twice: the table of kinds says so. */
int limits_make(struct making *m, const struct at *spec, const struct kube_rate_limit *k,
                uint32_t n, struct model_rate_limit **o) {
    struct model_rate_limit *list = *o = arena_array(&m->a, n, sizeof(*list));
    for (uint32_t i = 0; i < n; i++)
        if (limit_make(m, AT_I(spec, "rateLimits", i), &k[i], &list[i]) != 0)
            return -1;
    return 0;
}

struct model_rate_limit *quota_make(struct making *m, const struct at *at,
                                    const struct kube_quota *k) {
    if (!k)
        return NULL;
    const struct numbers n = {k->requests, k->per, k->burst, k->algorithm, k->scope, k->on_error};
    struct model_rate_limit *o = arena_zalloc(&m->a, sizeof(*o));
    return numbers_make(m, at, &n, o) == 0 ? o : NULL;
}

struct model_rate_limit *failure_limit_make(struct making *m, const struct at *at,
                                            const struct kube_failure_limit *k) {
    if (!k)
        return NULL;
    struct model_rate_limit *o = arena_zalloc(&m->a, sizeof(*o));
    o->requests = (uint64_t)k->requests;
    return per_make(m, at, k->per, &o->per_ms) == 0 ? o : NULL;
}
