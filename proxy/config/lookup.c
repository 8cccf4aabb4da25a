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
    struct addresses all; /* of this round */
    int error;
    unsigned asking; /* questions that are open */
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
    struct addresses all = l->all;
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

static void on_answer(int error, char type, int count, int ttl, void *bytes, void *arg) {
    struct lookup *l = arg;
    size_t size = type == DNS_IPv4_A ? 4 : 16;
    (void)ttl;
    l->asking--;
    if (error == DNS_ERR_NONE && (type == DNS_IPv4_A || type == DNS_IPv6_AAAA))
        for (int i = 0; i < count; i++)
            addresses_put(&l->all, str_mk((const char *)bytes + (size_t)i * size, size));
    else
        l->error = error;
    if (l->asking > 0)
        return;
    if (l->freed)
        destroy(l);
    else
        round_end(l);
}

static void on_due(evutil_socket_t fd, short what, void *arg) {
    struct lookup *l = arg;
    (void)fd, (void)what;
    l->all.n = 0;
    l->error = DNS_ERR_UNKNOWN;
    if (evdns_base_resolve_ipv4(l->dns, l->name, 0, on_answer, l))
        l->asking++;
    if (evdns_base_resolve_ipv6(l->dns, l->name, 0, on_answer, l))
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
