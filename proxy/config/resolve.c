/* SPDX-License-Identifier: Apache-2.0
 *
 * How a name lives:
 *
 *   use ──► ask: two queries ──► both answered: addresses, next time ──► due ──► ask ...
 *                                     │ they differ
 *                                     ▼
 *   unuse ─────────────────────► dirty ──gathered──► changed(); a name without users is freed
 *
 * A query belongs to the DNS library until it answers, so it may outlive its name.
 */
#include "proxy/config/resolve.h"

#include "lib/hash.h"
#include "lib/list.h"
#include "lib/log.h"
#include "lib/map.h"
#include "lib/mem.h"
#include "proxy/config/address.h"
#include "proxy/config/dns.h"
#include "proxy/route/snapshot.h"

#include <event2/dns.h>
#include <event2/event.h>

enum {
    TTL_MIN_MS = 5000,
    TTL_MAX_MS = 300000,
    RETRY_MIN_MS = 1000,
    RETRY_MAX_MS = 30000,
    GATHER_MS = 10, /* names that are resolved together make one snapshot */
};

enum family { V4, V6, FAMILIES };
enum answer { ANSWER_FAILED, ANSWER_NONE, ANSWER_FOUND };

struct port { /* of a name: one endpoints object */
    struct port *next;
    uint64_t number;
    uint32_t users;   /* backends */
    bool told, stale; /* the object is there; it is not what it should be */
};

struct name {
    struct list dirty; /* resolve.dirty */
    struct resolve *resolve;
    char *text;
    struct port *ports;
    struct event *due;
    struct addresses last[FAMILIES]; /* good ones */
    struct addresses now;            /* of both, as they are used */
    enum answer answers[FAMILIES];   /* of this round */
    unsigned waiting;                /* queries */
    int ttl_s;                       /* least of this round */
    unsigned failures;               /* rounds in a row */
    bool warned;                     /* of an address that is never used */
};

struct query {
    struct list link;  /* resolve.queries */
    struct name *name; /* NULL: it is gone */
    enum family family;
};

struct resolve {
    struct resolve_options o;
    struct event_base *base;
    struct evdns_base *dns; /* NULL: no name was there yet */
    struct map names;       /* text → name */
    struct list queries, dirty;
    struct event *gathered;
    struct prng prng;
};

static void add_timer(struct event *ev, uint64_t ms) {
    struct timeval in = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000) * 1000};
    event_add(ev, &in);
}

static void mark(struct name *n) {
    struct resolve *r = n->resolve;
    if (!list_empty(&n->dirty))
        return;
    list_append(&r->dirty, &n->dirty);
    if (!event_pending(r->gathered, EV_TIMEOUT, NULL))
        add_timer(r->gathered, GATHER_MS);
}

/* ---- when to ask again ---- */

/* Early rather than late by up to a tenth, so that names do not stay in step. */
static uint64_t ttl_ms(struct resolve *r, int ttl_s) {
    uint64_t ms = ttl_s > 0 ? (uint64_t)ttl_s * 1000 : 0;
    if (ms > r->o.ttl_max_ms)
        ms = r->o.ttl_max_ms;
    ms -= prng_below(&r->prng, (uint32_t)(ms / 10 + 1));
    return ms > r->o.ttl_min_ms ? ms : r->o.ttl_min_ms;
}

static uint64_t retry_ms(struct resolve *r, unsigned failures) {
    uint64_t ms = (uint64_t)r->o.retry_min_ms << size_min(failures - 1U, 16);
    if (ms > r->o.retry_max_ms / 5 * 4)
        ms = r->o.retry_max_ms / 5 * 4;
    return ms + prng_below(&r->prng, (uint32_t)(ms / 4 + 1));
}

/* ---- a round ---- */

/* A family that DNS says is not there is dropped only where the other one is. */
static bool merge(struct name *n, struct addresses *all) {
    bool found = n->answers[V4] == ANSWER_FOUND || n->answers[V6] == ANSWER_FOUND;
    all->n = 0;
    for (int f = 0; f < FAMILIES; f++) {
        if (found && n->answers[f] == ANSWER_NONE)
            n->last[f].n = 0;
        addresses_add(all, &n->last[f]);
    }
    addresses_sort(all);
    return found;
}

static void use_addresses(struct name *n, const struct addresses *all) {
    if (addresses_equal(&n->now, all))
        return;
    n->now = *all;
    for (struct port *p = n->ports; p; p = p->next)
        p->stale = true;
    mark(n);
    log_info("resolve", "addresses have changed name=%s addresses=%u ttl_s=%d", n->text, all->n,
             n->ttl_s);
}

static void round_end(struct name *n) {
    struct addresses all;
    bool found = merge(n, &all);
    if (n->last[V4].n > 0 && n->last[V6].n > 0)
        addresses_keep_routed(&all, n->resolve->o.routed);
    use_addresses(n, &all);
    if (!found && n->failures == 0)
        log_warn("resolve", "a name cannot be resolved, %s name=%s",
                 all.n > 0 ? "its last addresses are kept" : "its backends have no endpoints",
                 n->text);
    if (found && n->answers[V4] != ANSWER_FAILED && n->answers[V6] != ANSWER_FAILED)
        n->failures = 0;
    else
        n->failures++;
    add_timer(n->due,
              n->failures == 0 ? ttl_ms(n->resolve, n->ttl_s) : retry_ms(n->resolve, n->failures));
}

static enum answer take_addresses(struct name *n, enum family f, const char *bytes, int count) {
    size_t size = f == V4 ? 4 : 16;
    struct addresses fresh = {0};
    for (int i = 0; i < count; i++) {
        struct str one = str_mk(bytes + (size_t)i * size, size);
        if (resolve_address_ok(one)) {
            addresses_put(&fresh, one);
        } else if (!n->warned) {
            n->warned = true;
            log_warn("resolve",
                     "DNS gives an address of this machine or link, which is not used "
                     "name=%s",
                     n->text);
        }
    }
    if (fresh.n == 0)
        return ANSWER_NONE;
    n->last[f] = fresh;
    return ANSWER_FOUND;
}

static void on_answer(int result, char type, int count, int ttl, void *bytes, void *arg) {
    struct query *q = arg;
    struct name *n = q->name;
    enum family f = q->family;
    list_del(&q->link);
    mem_free(q);
    if (!n)
        return;
    if (result == DNS_ERR_NONE && type == (f == V4 ? DNS_IPv4_A : DNS_IPv6_AAAA))
        n->answers[f] = take_addresses(n, f, bytes, count);
    else if (result == DNS_ERR_NOTEXIST || result == DNS_ERR_NODATA)
        n->answers[f] = ANSWER_NONE;
    else
        log_debug("resolve", "no answer name=%s type=%s error=%s", n->text, f == V4 ? "A" : "AAAA",
                  evdns_err_to_string(result));
    if (n->answers[f] == ANSWER_FOUND && (n->ttl_s < 0 || ttl < n->ttl_s))
        n->ttl_s = ttl < 0 ? 0 : ttl;
    if (--n->waiting == 0)
        round_end(n);
}

/* False: it could not be sent, and will not be answered. */
static bool query(struct name *n, enum family f) {
    struct resolve *r = n->resolve;
    struct query *q = mem_zalloc(sizeof(*q));
    q->name = n;
    q->family = f;
    list_append(&r->queries, &q->link);
    bool sent =
        f == V4
            ? evdns_base_resolve_ipv4(r->dns, n->text, DNS_QUERY_NO_SEARCH, on_answer, q) != NULL
            : evdns_base_resolve_ipv6(r->dns, n->text, DNS_QUERY_NO_SEARCH, on_answer, q) != NULL;
    if (sent)
        return true;
    list_del(&q->link);
    mem_free(q);
    return false;
}

static void ask(struct name *n) {
    n->ttl_s = -1;
    for (int f = 0; f < FAMILIES; f++) {
        n->answers[f] = ANSWER_FAILED;
        n->waiting += query(n, (enum family)f);
    }
    if (n->waiting == 0)
        round_end(n);
}

static void on_due(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    ask(arg);
}

/* ---- names and their users ---- */

static struct name *name_new(struct resolve *r, struct str text) {
    struct name *n = mem_zalloc(sizeof(*n));
    n->resolve = r;
    n->text = str_dup(text);
    list_init(&n->dirty);
    n->due = evtimer_new(r->base, on_due, n);
    must(n->due);
    map_put(&r->names, str_mk(n->text, text.n), n);
    if (!r->dns)
        r->dns = dns_new(r->base, r->o.nameserver);
    ask(n);
    return n;
}

static void name_free(struct name *n) {
    struct resolve *r = n->resolve;
    list_each(link, &r->queries) {
        struct query *q = list_entry(link, struct query, link);
        if (q->name == n)
            q->name = NULL;
    }
    for (struct port *p; (p = n->ports);) {
        n->ports = p->next;
        mem_free(p);
    }
    list_del(&n->dirty);
    event_free(n->due);
    map_del(&r->names, str_of(n->text));
    mem_free(n->text);
    mem_free(n);
}

static struct port *port_of(struct name *n, uint64_t number) {
    struct port *p = n->ports;
    while (p && p->number != number)
        p = p->next;
    if (p)
        return p;
    p = mem_zalloc(sizeof(*p));
    p->number = number;
    p->stale = n->now.n > 0;
    p->next = n->ports;
    n->ports = p;
    if (p->stale)
        mark(n);
    return p;
}

/* by: 1 or -1. Without users a name is kept until the changes are gathered: another backend of the
 * same transaction may have it. */
static void count_user(struct resolve *r, const struct object *backend, int by) {
    struct arena a;
    arena_init(&a);
    const struct model_backend *m = backend ? object_decode(backend, &a, NULL) : NULL;
    struct str text = m ? backend_external_name(m) : STR_NONE;
    if (text.n > 0) {
        struct name *n = map_get(&r->names, text);
        if (!n)
            n = name_new(r, text);
        struct port *p = port_of(n, m->port);
        p->users += (uint32_t)by;
        if (p->users == 0)
            mark(n);
    }
    arena_fini(&a);
}

void resolve_backend(struct resolve *r, const struct object *before, const struct object *after) {
    count_user(r, after, 1);
    count_user(r, before, -1);
}

/* ---- what has changed ---- */

struct changes {
    struct object **objects;
    size_t n, cap;
};

static void add_change(struct changes *c, struct object *o) {
    if (c->n == c->cap) {
        c->cap = c->cap ? c->cap * 2 : 16;
        c->objects = mem_realloc(c->objects, c->cap * sizeof(struct object *));
    }
    c->objects[c->n++] = o;
}

static struct object *endpoints_object(const struct name *n, struct arena *a, struct str id,
                                       uint64_t port) {
    struct model_endpoints m = {.n_endpoints = n->now.n};
    m.endpoints = arena_array(a, n->now.n, sizeof(*m.endpoints));
    for (uint32_t i = 0; i < n->now.n; i++)
        m.endpoints[i] =
            (struct model_endpoint){.address = address_bytes(&n->now.list[i]), .port = port};
    return object_new(MODEL_KIND_endpoints, id, &m);
}

static void gather_port(struct changes *c, const struct name *n, struct port *p) {
    struct arena a;
    arena_init(&a);
    struct str id = external_endpoints_id(&a, str_of(n->text), p->number);
    if (p->users == 0 && p->told)
        add_change(c, object_from_bytes(MODEL_KIND_NONE, id, STR_NONE, NULL));
    else if (p->users > 0 && p->stale && n->now.n > 0)
        add_change(c, endpoints_object(n, &a, id, p->number));
    p->told = p->users > 0 && n->now.n > 0;
    p->stale = false;
    arena_fini(&a);
}

static void gather(struct changes *c, struct name *n) {
    for (struct port **at = &n->ports; *at;) {
        struct port *p = *at;
        gather_port(c, n, p);
        if (p->users > 0) {
            at = &p->next;
            continue;
        }
        *at = p->next;
        mem_free(p);
    }
    if (!n->ports)
        name_free(n);
}

static void on_gathered(evutil_socket_t fd, short what, void *arg) {
    struct resolve *r = arg;
    struct changes c = {0};
    (void)fd, (void)what;
    for (struct list *link; (link = list_pop(&r->dirty));)
        gather(&c, list_entry(link, struct name, dirty));
    if (c.n > 0)
        r->o.changed(r->o.arg, c.objects, c.n);
    for (size_t i = 0; i < c.n; i++)
        object_drop(c.objects[i]);
    mem_free(c.objects);
}

/* ---- life ---- */

static uint32_t or_default(uint32_t v, uint32_t otherwise) { return v ? v : otherwise; }

struct resolve *resolve_new(struct event_base *base, const struct resolve_options *o) {
    struct resolve *r = mem_zalloc(sizeof(*r));
    r->o = *o;
    r->o.ttl_min_ms = or_default(o->ttl_min_ms, TTL_MIN_MS);
    r->o.ttl_max_ms = or_default(o->ttl_max_ms, TTL_MAX_MS);
    r->o.retry_min_ms = or_default(o->retry_min_ms, RETRY_MIN_MS);
    r->o.retry_max_ms = or_default(o->retry_max_ms, RETRY_MAX_MS);
    if (!r->o.routed)
        r->o.routed = address_is_routed;
    r->base = base;
    list_init(&r->queries);
    list_init(&r->dirty);
    prng_init(&r->prng);
    r->gathered = evtimer_new(base, on_gathered, r);
    must(r->gathered);
    return r;
}

void resolve_free(struct resolve *r) {
    if (!r)
        return;
    for (struct map_slot *s; (s = map_next(&r->names, NULL));)
        name_free(s->value);
    map_fini(&r->names);
    if (r->dns) {
        evdns_base_free(r->dns, 0);                /* what is not answered is forgotten */
        event_base_loop(r->base, EVLOOP_NONBLOCK); /* what is answered, told */
    }
    for (struct list *link; (link = list_pop(&r->queries));)
        mem_free(list_entry(link, struct query, link));
    event_free(r->gathered);
    mem_free(r);
}
