/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/config/lookup.h"

#include "lib/hash.h"
#include "lib/log.h"
#include "lib/mem.h"

#include <event2/dns.h>
#include <event2/event.h>

enum {
    EVERY_MIN_MS = 8000,
    EVERY_MAX_MS = 12000,
    SOON_MIN_MS = 500,
    SOON_MAX_MS = 2000,
};

struct lookup {
    char *name;
    struct evdns_base *dns;
    struct event *due;
    struct addresses v4, v6; /* of this round */
    int error;
    unsigned asking; /* questions that are open */
    bool no_v4;      /* DNS itself says so */
    bool freed, failing, soon;
    struct prng prng;
    void (*found)(void *arg, struct lookup *l, const struct addresses *all);
    void *arg;
};

const char *lookup_name(const struct lookup *l) { return l->name; }

static void wait_between(struct lookup *l, uint32_t min, uint32_t max) {
    uint32_t ms = min + prng_below(&l->prng, max - min);
    struct timeval in = {ms / 1000, (suseconds_t)(ms % 1000) * 1000};
    event_add(l->due, &in);
}

static void wait_for_next(struct lookup *l) {
    if (l->soon || l->failing)
        wait_between(l, SOON_MIN_MS, SOON_MAX_MS);
    else
        wait_between(l, EVERY_MIN_MS, EVERY_MAX_MS);
    l->soon = false;
}

void lookup_soon(struct lookup *l) {
    l->soon = true;
    if (l->asking == 0)
        wait_for_next(l);
}

static void destroy(struct lookup *l) {
    event_free(l->due);
    mem_free(l->name);
    mem_free(l);
}

/* Both families have answered, one way or another. */
static void round_end(struct lookup *l) {
    struct addresses all = l->v4.n > 0 || !l->no_v4 ? l->v4 : l->v6;
    bool failed = all.n == 0;
    if (failed && !l->failing)
        log_warn("link", "a name cannot be resolved, what is linked stays name=%s error=%s",
                 l->name, evdns_err_to_string(l->error));
    l->failing = failed;
    wait_for_next(l);
    if (failed)
        return;
    addresses_sort(&all);
    l->found(l->arg, l, &all);
}

static void answered(struct lookup *l, struct addresses *to, int error, int count,
                     const char *bytes, size_t size) {
    l->asking--;
    if (error != DNS_ERR_NONE)
        l->error = error;
    for (int i = 0; i < count && error == DNS_ERR_NONE; i++)
        addresses_put(to, str_mk(bytes + (size_t)i * size, size));
    if (l->asking > 0)
        return;
    if (l->freed)
        destroy(l);
    else
        round_end(l);
}

static void on_v4(int error, char type, int count, int ttl, void *bytes, void *arg) {
    struct lookup *l = arg;
    (void)type, (void)ttl;
    l->no_v4 = error == DNS_ERR_NODATA || error == DNS_ERR_NOTEXIST;
    answered(l, &l->v4, error, count, bytes, 4);
}

static void on_v6(int error, char type, int count, int ttl, void *bytes, void *arg) {
    struct lookup *l = arg;
    (void)type, (void)ttl;
    answered(l, &l->v6, error, count, bytes, 16);
}

static void on_due(evutil_socket_t fd, short what, void *arg) {
    struct lookup *l = arg;
    (void)fd, (void)what;
    l->v4.n = l->v6.n = 0;
    l->no_v4 = false;
    l->error = DNS_ERR_UNKNOWN;
    if (evdns_base_resolve_ipv4(l->dns, l->name, 0, on_v4, l))
        l->asking++;
    if (evdns_base_resolve_ipv6(l->dns, l->name, 0, on_v6, l))
        l->asking++;
    if (l->asking == 0)
        round_end(l);
}

struct lookup *lookup_new(struct event_base *base, struct evdns_base *dns, const char *name,
                          void (*found)(void *arg, struct lookup *l, const struct addresses *all),
                          void *arg) {
    struct lookup *l = mem_zalloc(sizeof(*l));
    l->name = str_dup(str_of(name));
    l->dns = dns;
    l->found = found;
    l->arg = arg;
    prng_init(&l->prng);
    l->due = evtimer_new(base, on_due, l);
    must(l->due);
    struct timeval now = {0, 0};
    event_add(l->due, &now);
    return l;
}

void lookup_free(struct lookup *l) {
    if (!l)
        return;
    l->freed = true;
    if (l->asking == 0)
        destroy(l);
}
