/* SPDX-License-Identifier: Apache-2.0
 *
 * settings: timeouts and retry, as Route and TrafficPolicy say them.
 */
#include "controller/compile/route.h"

#include <stdlib.h>

enum { SPAN_MAX_MS = 24 * 3600 * 1000 };

int span_make(struct making *m, const struct at *at, const char *name, int64_t ms, bool may_be_zero,
              uint64_t *o) {
    *o = 0;
    if (ms < 0)
        return 0;
    if (ms == 0 && !may_be_zero)
        return refuse(m, AT(at, name),
                      "0s would never let anything succeed; leave it out for the "
                      "default");
    if (ms > SPAN_MAX_MS)
        return refuse(m, AT(at, name), "more than 24h; write 0s for no limit");
    *o = ms == 0 ? MODEL_NEVER : (uint64_t)ms;
    return 0;
}

int timeouts_make(struct making *m, const struct at *at, const struct kube_timeouts *k,
                  struct model_timeouts **o) {
    *o = NULL;
    if (!k)
        return 0;
    struct model_timeouts *t = arena_zalloc(&m->a, sizeof(*t));
    if (span_make(m, at, "request", k->request, true, &t->request_ms) != 0 ||
        span_make(m, at, "backendRequest", k->backend_request, true, &t->backend_request_ms) != 0 ||
        span_make(m, at, "connect", k->connect, false, &t->connect_ms) != 0 ||
        span_make(m, at, "idle", k->idle, true, &t->idle_ms) != 0)
        return -1;
    if (t->request_ms != 0 && t->request_ms != MODEL_NEVER && t->backend_request_ms > t->request_ms)
        return refuse(m, AT(at, "backendRequest"),
                      "one attempt may not take longer than the whole request; lower it to the "
                      "value of request or below");
    *o = t;
    return 0;
}

static int by_number(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static void codes_make(struct making *m, const struct kube_retry *k, struct str *o) {
    if (k->n_codes == 0)
        return;
    int64_t *sorted = arena_array(&m->a, k->n_codes, sizeof(*sorted));
    memcpy(sorted, k->codes, k->n_codes * sizeof(*sorted));
    qsort(sorted, k->n_codes, sizeof(*sorted), by_number);
    char *bytes = arena_alloc(&m->a, 2 * (size_t)k->n_codes);
    size_t n = 0;
    for (uint32_t i = 0; i < k->n_codes; i++) {
        bytes[n++] = (char)(sorted[i] >> 8);
        bytes[n++] = (char)(sorted[i] & 0xff);
    }
    *o = str_mk(bytes, n);
}

int retry_make(struct making *m, const struct at *at, const struct kube_retry *k,
               struct model_retry **o) {
    *o = NULL;
    if (!k)
        return 0;
    struct model_retry *r = arena_zalloc(&m->a, sizeof(*r));
    r->attempts = k->attempts < 0 ? 1 : (uint64_t)k->attempts;
    r->budget_percent = k->budget_percent < 0 ? 0 : (uint64_t)k->budget_percent;
    r->backoff_ms = k->backoff < 0 ? 0 : (uint64_t)k->backoff;
    if (k->backoff > 60000)
        return refuse(m, AT(at, "backoff"), "a wait of more than 1m before a retry; lower it");
    *o = r;
    codes_make(m, k, &r->codes);
    return 0;
}
