/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/main_status.h"

#include "controller/status/lease.h"
#include "controller/status/leave.h"
#include "controller/status/owner.h"
#include "controller/status/publish.h"
#include "controller/status/writer.h"
#include "lib/hash.h"
#include "lib/log.h"
#include "lib/mem.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    STOP_MS = 25000,  /* of a pod's grace of 30 s */
    LEAVE_MS = 18000, /* of these, for the addresses */
};

struct main_status {
    struct event_base *base;
    struct kube_client *client;
    struct store *store;
    struct turn *turn;
    const struct main_status_options *o;
    char me[256];
    struct str ns, service_ns;
    struct faults faults;
    struct owner *owner; /* NULL: no --deployment */
    struct lease *lease; /* NULL: always leader, or not begun yet */
    struct events *events;
    struct publish *publish;
    struct status_writer *writer;
    struct event *late;
    uint64_t serves; /* struct fleet_view, as the writer knows it */
    bool began;
    struct leave *leave;
    void (*done)(void *arg);
    void *arg;
};

/* ---- the proxies ---- */

static struct status_served serving(void *arg, struct object *const *objects, size_t n,
                                    uint64_t since) {
    struct push_served v = push_serving(turn_push(arg), objects, n, since);
    return (struct status_served){v.ready, v.current, v.behind};
}

static uint64_t version(void *arg) { return turn_published(arg); }

struct status_fleet main_fleet(struct turn *t) {
    return (struct status_fleet){serving, version, t};
}

struct fleet_view {
    size_t ready, behind;
    uint64_t serves; /* hash of who serves what */
};

static void view(void *arg, const struct push_proxy *p) {
    struct fleet_view *f = arg;
    f->ready += p->ready;
    f->behind += p->ready && p->behind;
    uint64_t state = (p->ready ? 4u : 0u) | (p->current ? 2u : 0u) | (p->behind ? 1u : 0u);
    f->serves = hash_mix(f->serves, p->id << 3 | state);
    f->serves = hash_mix(f->serves, p->revision ^ (uint64_t)p->acked_ms);
}

/* The proxies' reports come here as well, and say nothing of what they serve. */
static void on_fleet(void *arg) {
    struct main_status *m = arg;
    struct fleet_view f = {.serves = push_version(turn_push(m->turn))};
    push_each(turn_push(m->turn), view, &f);
    if (f.serves != m->serves)
        writer_fleet(m->writer, f.ready, f.behind);
    m->serves = f.serves;
}

/* ---- who hears of what ---- */

static void on_status(void *arg, const struct resource *r) {
    struct main_status *m = arg;
    writer_changed(m->writer, r);
}

static void on_version(void *arg, const struct resource *was, const struct resource *now) {
    struct main_status *m = arg;
    if (now && store_is_held_back(m->store, now->kind, now->meta.namespace, now->meta.name))
        writer_changed(m->writer, now);
    else
        writer_version(m->writer, was, now);
}

static void on_addresses(void *arg, const struct addresses *a) {
    struct main_status *m = arg;
    writer_addresses(m->writer, a);
}

bool main_status_leads(const struct main_status *m) { return m->began && lease_leads(m->lease); }

static bool leads(void *arg) { return main_status_leads(arg); }

void main_status_owner(const struct main_status *m, struct out *o) { owner_print(m->owner, o); }

static void on_lead(void *arg, bool lead) {
    struct main_status *m = arg;
    writer_lead(m->writer, lead);
}

/* ---- the beginning ---- */

/* The owner is known, or will not be: what is created from here on names it. */
static void begin(struct main_status *m) {
    m->began = true;
    if (!m->o->lease) {
        writer_lead(m->writer, true);
        return;
    }
    m->lease = lease_new(&(struct lease_config){.base = m->base,
                                                .client = m->client,
                                                .ns = m->ns,
                                                .name = str_of(m->o->lease),
                                                .me = str_of(m->me),
                                                .owner = m->owner,
                                                .faults = &m->faults,
                                                .on_change = on_lead,
                                                .arg = m});
}

static void on_owner(void *arg, bool known, bool lives) {
    (void)known, (void)lives;
    begin(arg);
}

/* "pod_0123456789abcdef": a container that starts anew in its pod is another one. */
static void name_me(struct main_status *m) {
    char host[128] = "controller";
    const char *pod = getenv("POD_NAME");
    uint64_t random;
    random_bytes(&random, sizeof(random));
    gethostname(host, sizeof(host) - 1);
    snprintf(m->me, sizeof(m->me), "%.128s_%016llx", pod && pod[0] ? pod : host,
             (unsigned long long)random);
}

static void name_namespace(struct main_status *m) {
    const char *ns = getenv("POD_NAMESPACE");
    m->ns = ns && ns[0] ? str_of(ns) : kube_access_namespace(kube_client_access(m->client));
}

static int begin_addresses(struct main_status *m, struct why *why) {
    struct addresses a;
    struct str ns, name;
    if (m->o->publish_addresses) {
        why_field(why, "--publish-status-address");
        if (publish_parse(str_of(m->o->publish_addresses), &a, why) != 0)
            return -1;
        writer_addresses(m->writer, &a);
        return 0;
    }
    if (!m->o->publish_service)
        return 0;
    name = str_cut(str_of(m->o->publish_service), '/', &ns);
    why_field(why, "--publish-service");
    if (name.n == 0 || ns.n == 0)
        return why_text(why, "write it as NAMESPACE/NAME");
    m->publish = publish_new(&(struct publish_config){.base = m->base,
                                                      .client = m->client,
                                                      .ns = ns,
                                                      .name = name,
                                                      .faults = &m->faults,
                                                      .on_addresses = on_addresses,
                                                      .arg = m});
    return 0;
}

static void begin_writer(struct main_status *m) {
    m->events = events_new(&(struct events_config){.base = m->base,
                                                   .client = m->client,
                                                   .instance = str_of(m->me),
                                                   .faults = &m->faults,
                                                   .leads = leads,
                                                   .arg = m});
    m->writer = writer_new(&(struct writer_config){.base = m->base,
                                                   .client = m->client,
                                                   .store = m->store,
                                                   .compiler = turn_compiler(m->turn),
                                                   .events = m->events,
                                                   .faults = &m->faults,
                                                   .fleet = main_fleet(m->turn),
                                                   .leads = leads,
                                                   .arg = m});
    turn_on_news(m->turn, on_status, on_fleet, m);
    store_on_version(m->store, on_version, m);
}

static void on_late(evutil_socket_t fd, short what, void *arg);

struct main_status *main_status_new(struct event_base *base, struct kube_client *client,
                                    struct store *store, struct turn *turn,
                                    const struct main_status_options *o, struct why *why) {
    struct main_status *m = mem_zalloc(sizeof(*m));
    m->base = base;
    m->client = client;
    m->store = store;
    m->turn = turn;
    m->o = o;
    m->late = evtimer_new(base, on_late, m);
    name_me(m);
    name_namespace(m);
    begin_writer(m);
    if (begin_addresses(m, why) != 0) {
        main_status_free(m);
        return NULL;
    }
    if (o->deployment) {
        m->owner = owner_new(client, m->ns, o->deployment, &m->faults);
        owner_ask(m->owner, on_owner, m);
    } else {
        begin(m);
    }
    return m;
}

void main_status_free(struct main_status *m) {
    if (!m)
        return;
    turn_on_news(m->turn, NULL, NULL, NULL);
    store_on_version(m->store, NULL, NULL);
    leave_free(m->leave);
    event_free(m->late);
    publish_free(m->publish);
    writer_free(m->writer);
    events_free(m->events);
    lease_free(m->lease);
    owner_free(m->owner);
    mem_free(m);
}

/* ---- the end ---- */

static void stopped(void *arg) {
    struct main_status *m = arg;
    void (*done)(void *arg) = m->done;
    m->done = NULL;
    if (done)
        done(m->arg);
}

static void on_late(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    stopped(arg);
}

static void release(struct main_status *m) {
    if (m->lease)
        lease_release(m->lease, stopped, m);
    else
        stopped(m);
}

/* The lease goes with its owner. */
static void on_left(void *arg) {
    struct main_status *m = arg;
    if (m->o->leave)
        m->leave = leave_begin(m->client, str_of(m->o->leave), stopped, m);
    else
        stopped(m);
}

static void on_asked(void *arg, bool known, bool lives) {
    struct main_status *m = arg;
    if (!known || lives || !leads(m)) {
        release(m);
        return;
    }
    log_info("status", "deployment=%s is gone: our addresses are taken off all Ingresses",
             m->o->deployment);
    writer_leave(m->writer, LEAVE_MS, on_left, m);
}

void main_status_stop(struct main_status *m, void (*done)(void *arg), void *arg) {
    struct timeval tv = {STOP_MS / 1000, 0};
    m->done = done;
    m->arg = arg;
    evtimer_add(m->late, &tv);
    if (m->owner && leads(m))
        owner_ask(m->owner, on_asked, m);
    else
        release(m);
}

/* ---- numbers ---- */

void main_status_faults(const struct main_status *m, void (*each)(void *arg, struct str fault),
                        void *arg) {
    size_t n;
    const struct why *why = status_faults(&m->faults, &n);
    for (size_t i = 0; i < n; i++) {
        char room[sizeof(struct why)];
        struct out o = out_fixed(room, sizeof(room));
        why_print(&why[i], &o);
        each(arg, out_done(&o));
    }
}

static void one(struct metric_text *t, enum metric_type type, const char *name, const char *help,
                uint64_t v) {
    metric_family(t, type, name, help);
    metric_count(t, STR_NONE, v);
}

void main_status_metrics(const struct main_status *m, struct metric_text *t) {
    const struct writer_counters *n = writer_counters(m->writer);
    metric_family(t, METRIC_COUNTER, "sluice_controller_status_writes",
                  "Statuses written to the API server, by kind.");
    for (enum kube_kind k = 1; k < KUBE_KINDS; k++) {
        char room[64];
        struct out labels = out_fixed(room, sizeof(room));
        if (!kube_has_status(k))
            continue;
        metric_label(&labels, "kind", str_of(kube_kinds[k].kind));
        metric_count(t, out_done(&labels), n->writes[k]);
    }
    one(t, METRIC_COUNTER, "sluice_controller_status_conflicts",
        "Status writes that came too late (409) and were computed anew.", n->conflicts);
    one(t, METRIC_COUNTER, "sluice_controller_status_failures",
        "Status writes that failed for another reason.", n->failures);
    one(t, METRIC_COUNTER, "sluice_controller_status_overwritten",
        "Statuses that somebody else wrote over twice.", n->overwritten);
    one(t, METRIC_GAUGE, "sluice_controller_status_pending",
        "Objects whose status is still to be written.", writer_pending(m->writer));
    one(t, METRIC_COUNTER, "sluice_controller_events", "Events written for refusals.",
        events_sent(m->events));
    one(t, METRIC_GAUGE, "sluice_controller_leader",
        "Whether this controller is the one that writes statuses: 1 or 0.",
        leads((void *)(uintptr_t)m));
}
