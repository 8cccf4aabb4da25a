/* SPDX-License-Identifier: Apache-2.0
 *
 * kube: which kinds are read, in which order, and the one timer. See kube.h.
 */
#include "controller/source/kube.h"

#include "controller/source/kube_parts.h"
#include "lib/log.h"
#include "lib/mem.h"

#include <event2/event.h>
#include <time.h>

/* ---- which kinds ---- */

static const struct kube_kind_info definitions = {.kind = "CustomResourceDefinition",
                                                  .group = "apiextensions.k8s.io",
                                                  .version = "v1",
                                                  .plural = "customresourcedefinitions",
                                                  .scope = KUBE_CLUSTER};

#define STORED(Kind)                                                                               \
    .kind = KUBE_##Kind, .info = &kube_kinds[KUBE_##Kind], .object = take_object,                  \
    .listed = take_listed

/* The first of them comes before the others are begun. */
static const struct watched watched[] = {
    {STORED(IngressClass), .root = true},
    {STORED(GatewayConfig), .crd = true, .root = true},
    {STORED(Ingress), .root = true},
    {STORED(Route), .crd = true, .root = true},
    {STORED(TrafficPolicy), .crd = true},
    {STORED(AuthPolicy), .crd = true},
    {STORED(Consumer), .crd = true},
    {STORED(Service)},
    {STORED(EndpointSlice)},
    {STORED(ReferenceGrant), .crd = true, .missing = true},
    {.info = &definitions,
     .metadata = true,
     .missing = true,
     .optional = true,
     .object = take_definition},
};

static const struct watched namespaces = {.kind = KUBE_Namespace,
                                          .info = &kube_kinds[KUBE_Namespace],
                                          .metadata = true,
                                          .object = take_object,
                                          .listed = take_listed};

static bool is_everywhere(const struct watched *w) { return w->info->scope == KUBE_CLUSTER; }

static void add(struct kube_source *s, const struct watched *w) {
    if (s->n_namespaces == 0 || is_everywhere(w))
        reflector_new(s, w, STR_NONE);
    for (size_t i = 0; i < s->n_namespaces && !is_everywhere(w); i++)
        reflector_new(s, w, s->namespaces[i]);
}

struct reflector *source_next(struct kube_source *s, enum kube_kind kind, struct reflector *r) {
    struct list *it = r ? r->link.next : s->reflectors.next;
    for (; it != &s->reflectors; it = it->next) {
        r = list_entry(it, struct reflector, link);
        if (r->what->kind == kind)
            return r;
    }
    return NULL;
}

/* ---- the clock ---- */

uint64_t source_now(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

void source_wake(struct kube_source *s, uint64_t due_ms) {
    if (due_ms >= s->clock_ms)
        return;
    uint64_t now = source_now(), ms = due_ms > now ? due_ms - now : 0;
    struct timeval tv = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};
    s->clock_ms = due_ms;
    evtimer_add(s->clock, &tv);
}

static void on_clock(evutil_socket_t fd, short what, void *arg) {
    struct kube_source *s = arg;
    uint64_t now = source_now();
    (void)fd, (void)what;
    s->clock_ms = NEVER;
    list_each(it, &s->reflectors) {
        struct reflector *r = list_entry(it, struct reflector, link);
        if (r->due_ms <= now)
            reflector_turn(r);
        if (r->due_ms != NEVER)
            source_wake(s, r->due_ms);
    }
    names_turn(s, now);
}

/* ---- the order ---- */

static bool all_count(struct kube_source *s, enum kube_kind kind) {
    for (struct reflector *r = NULL; (r = source_next(s, kind, r));)
        if (!r->counts)
            return false;
    return true;
}

static void begin_others(struct kube_source *s) {
    s->begun = true;
    list_each(it, &s->reflectors) {
        struct reflector *r = list_entry(it, struct reflector, link);
        if (r->what->kind != KUBE_IngressClass && r->what->kind != KUBE_NONE)
            reflector_begin(r);
    }
}

void source_progress(struct kube_source *s) {
    if (!s->begun && all_count(s, KUBE_IngressClass))
        begin_others(s);
    struct reflector *ns = source_next(s, KUBE_Namespace, NULL);
    if (ns && ns->counts)
        names_settle(s, KUBE_Namespace, ns->fault);
    for (enum kube_kind k = 1; k < KUBE_KINDS && !s->synced; k++)
        if (!all_count(s, k))
            return;
    if (s->synced)
        return;
    s->synced = true;
    log_info("source", "synced resources=%llu", (unsigned long long)s->upserted);
    store_synced(s->store);
}

/* ---- what is wrong ---- */

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* Other milliseconds, or another port, are no news. */
static bool says_the_same(struct str a, struct str b) {
    for (;;) {
        while (a.n > 0 && is_digit(a.p[0]))
            a = str_skip(a, 1);
        while (b.n > 0 && is_digit(b.p[0]))
            b = str_skip(b, 1);
        if (a.n == 0 || b.n == 0 || a.p[0] != b.p[0])
            return a.n == b.n;
        a = str_skip(a, 1);
        b = str_skip(b, 1);
    }
}

void source_fault(char **fault, struct str text) {
    if (!text.p && *fault)
        log_info("source", "mended: %s", *fault);
    else if (text.p && !(*fault && says_the_same(str_of(*fault), text)))
        log_warn("source", "%.*s", STR_FMT(text));
    mem_free(*fault);
    *fault = text.p ? str_dup(text) : NULL;
}

/* Who asked for what is not said: it is the same for all, and one line of it will do. */
void source_reached(struct kube_source *s, const struct why *why) {
    if (!why && !s->unreachable)
        return;
    char room[1024];
    struct out o = out_fixed(room, sizeof(room));
    const struct kube_access *a = kube_client_access(s->client);
    if (why)
        out_fmt(&o, "the API server %.*s gives no answer: %s",
                STR_FMT(kube_access_credentials(a)->server), why->text);
    source_fault(&s->unreachable, why ? out_done(&o) : STR_NONE);
    if (s->reached)
        s->reached(s->reached_arg, !why);
}

/* ---- Namespaces ---- */

/* Every Route and Ingress asks for its own when it is compiled. So the first of them brings them
 * all: were they to come after that, all would be compiled twice. */
struct reflector *source_namespaces(struct kube_source *s) {
    struct reflector *r = source_next(s, KUBE_Namespace, NULL);
    if (r || s->n_namespaces > 0)
        return r;
    r = reflector_new(s, &namespaces, STR_NONE);
    reflector_begin(r);
    return r;
}

static void on_namespace(void *arg, enum kube_kind kind, struct str ns, struct str name) {
    struct kube_source *s = arg;
    struct reflector *r = source_namespaces(s);
    if (r && !r->counts)
        names_want(s, kind, ns, name);
    else if (!store_get(s->store, kind, ns, name))
        names_absent(s, kind, ns, name,
                     r ? r->fault : "namespaces are not read under --namespaces");
}

/* ---- life ---- */

static const struct watched secrets[] = {
    {.info = &kube_kinds[KUBE_Secret],
     .metadata = true,
     .object = names_changed,
     .selector = "fieldSelector",
     .selected = "type=kubernetes.io/tls"},
    {.info = &kube_kinds[KUBE_Secret],
     .metadata = true,
     .object = names_changed,
     .selector = "labelSelector",
     .selected = "sluice.dev/credential=true"},
};

/* `get` alone would be a poll once a minute. */
static void add_pin(struct kube_source *s, const struct kube_source_options *o) {
    struct out selected = out_fixed(s->pin_selected, sizeof(s->pin_selected) - 1);
    if (o->pin.n == 0)
        return;
    out_fmt(&selected, "metadata.name=%.*s", STR_FMT(o->pin));
    must(!selected.over);
    s->pin = (struct watched){.info = &kube_kinds[KUBE_ConfigMap],
                              .metadata = true,
                              .object = names_changed,
                              .selector = "fieldSelector",
                              .selected = s->pin_selected};
    reflector_new(s, &s->pin, o->pin_namespace);
}

static void copy_namespaces(struct kube_source *s, const struct kube_source_options *o) {
    s->n_namespaces = o->n_namespaces;
    s->namespaces = mem_array(o->n_namespaces, sizeof(*s->namespaces));
    for (size_t i = 0; i < o->n_namespaces; i++)
        s->namespaces[i] = str_of(str_dup(o->namespaces[i]));
}

struct kube_source *kube_source_new(struct event_base *base, struct store *store,
                                    struct kube_client *client,
                                    const struct kube_source_options *options) {
    struct kube_source *s = mem_zalloc(sizeof(*s));
    s->base.verbs = &kube_source_verbs;
    s->store = store;
    s->client = client;
    s->clock_ms = NEVER;
    s->clock = evtimer_new(base, on_clock, s);
    must(s->clock);
    prng_init(&s->prng);
    list_init(&s->reflectors);
    copy_namespaces(s, options);
    s->defined = options->defined;
    s->arg = options->arg;
    s->reached = options->reached;
    s->reached_arg = options->reached_arg;
    for (size_t i = 0; i < ARRAY_LEN(watched); i++)
        add(s, &watched[i]);
    for (size_t i = 0; i < ARRAY_LEN(secrets) && options->watch_secrets; i++)
        add(s, &secrets[i]);
    add_pin(s, options);
    list_each(it, &s->reflectors) {
        struct reflector *r = list_entry(it, struct reflector, link);
        if (r->what->kind == KUBE_IngressClass || r->what->kind == KUBE_NONE)
            reflector_begin(r);
    }
    store_ask(store, KUBE_Namespace, on_namespace, s);
    if (s->n_namespaces > 0)
        log_info("source", "namespaces=%zu are read; labels of namespaces are not",
                 s->n_namespaces);
    names_init(s);
    return s;
}

struct source *kube_source_base(struct kube_source *s) {
    return &s->base;
}

void kube_source_free(struct source *base) {
    struct kube_source *s = (struct kube_source *)base;
    store_ask(s->store, KUBE_Namespace, NULL, NULL);
    names_fini(s);
    list_each_safe(it, &s->reflectors)
        reflector_free(list_entry(it, struct reflector, link));
    for (size_t i = 0; i < s->n_namespaces; i++)
        mem_free((char *)(uintptr_t)s->namespaces[i].p);
    mem_free(s->namespaces);
    mem_free(s->unreachable);
    event_free(s->clock);
    mem_free(s);
}
