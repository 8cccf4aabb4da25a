/* SPDX-License-Identifier: Apache-2.0
 *
 * sluice-controller. One libevent loop: source, store, compile, push, admin ports, signals. (The
 * link's sockets have a thread of their own, below push.)
 */
#include "controller/admin/admin.h"
#include "controller/main_autoscale.h"
#include "controller/main_crds.h"
#include "controller/main_history.h"
#include "controller/main_keysets.h"
#include "controller/main_limits.h"
#include "controller/main_link.h"
#include "controller/main_live.h"
#include "controller/main_options.h"
#include "controller/main_report.h"
#include "controller/main_signing.h"
#include "controller/main_status.h"
#include "controller/main_tickets.h"
#include "controller/source/dir.h"
#include "controller/source/kube.h"
#include "controller/status/status.h"
#include "lib/httpd.h"
#include "lib/live.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/zone.h"

#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

struct controller {
    struct options o;
    struct event_base *base;
    struct store *store;
    struct turn *turn;
    struct main_keysets *keysets;
    struct main_history *history;
    struct main_limits *limits;
    struct main_live *live;
    struct kube_access *access; /* NULL without an API server */
    struct kube_client *client;
    struct source *source;
    struct main_crds *crds;       /* NULL without an API server */
    struct autoscale *autoscale;  /* NULL: not asked for */
    struct main_link *link;       /* NULL: the link is plain */
    struct main_tickets *tickets; /* NULL: those of the link's Secret, or none */
    struct main_signing *signing; /* likewise */
    struct main_status *status;   /* NULL without an API server */
    struct admin *admin;
    struct event *term, *interrupt;
    bool stopping;
};

/* ---- what the admin ports ask ---- */

static uint64_t revision(void *arg) {
    struct controller *c = arg;
    return push_revision(turn_push(c->turn));
}

struct listing {
    struct out *o;
    size_t n;
    bool behind; /* the first stands on the line that says what is waited for */
};

static void line_of_fault(void *arg, struct str fault) {
    struct listing *l = arg;
    out_str(l->o, l->n++ == 0 && l->behind ? STR(": ") : STR("\n"));
    out_str(l->o, fault);
}

static void faults(struct controller *c, void (*each)(void *arg, struct str fault), void *arg) {
    c->source->verbs->faults(c->source, each, arg);
    if (c->crds)
        main_crds_faults(c->crds, each, arg);
    keysets_faults(main_keysets_sets(c->keysets), each, arg);
    main_history_faults(c->history, each, arg);
    if (c->link)
        trust_problems(main_link_trust(c->link), each, arg);
    main_autoscale_faults(c->autoscale, each, arg);
    if (c->status)
        main_status_faults(c->status, each, arg);
}

/* What cannot be read or written is said here, and does not make the controller unready. */
static bool ready(void *arg, struct out *body) {
    struct controller *c = arg;
    bool yes = turn_is_ready(c->turn);
    struct listing l = {.o = body, .behind = !yes};
    out_str(body, yes ? STR("ready") : STR("reading the resources"));
    faults(c, line_of_fault, &l);
    return yes;
}

static void proxies(void *arg, struct out *o) {
    struct controller *c = arg;
    report_proxies(c->turn, NULL, o);
}

static struct httpd_pieces resources(void *arg, struct str kind, struct str ns, struct str name) {
    struct controller *c = arg;
    const struct status_fleet fleet = main_fleet(c->turn);
    return (struct httpd_pieces){
        status_lines_more, status_lines_free,
        status_lines_new(c->store, turn_compiler(c->turn), &fleet, kind, ns, name)};
}

static void how_linked(void *arg, struct out *o) {
    struct controller *c = arg;
    if (c->link)
        trust_json(main_link_trust(c->link), o);
    else
        out_lit(o, "null");
}

static void json_fault(void *arg, struct str fault) {
    struct listing *l = arg;
    if (l->n++ > 0)
        out_char(l->o, ',');
    out_json(l->o, fault);
}

static void source(void *arg, struct out *o) {
    struct controller *c = arg;
    struct listing l = {.o = o};
    out_char(o, '[');
    faults(c, json_fault, &l);
    out_char(o, ']');
}

static void count_fault(void *arg, struct str fault) {
    size_t *n = arg;
    (void)fault;
    ++*n;
}

static void metrics(void *arg, struct metric_text *t) {
    struct controller *c = arg;
    size_t n = 0;
    c->source->verbs->metrics(c->source, t);
    c->source->verbs->faults(c->source, count_fault, &n);
    metric_family(t, METRIC_GAUGE, "sluice_controller_watch_errors", "What cannot be read now.");
    metric_count(t, STR_NONE, n);
    report_metrics(c->turn, c->store, t);
    keysets_metrics(main_keysets_sets(c->keysets), t);
    main_limits_metrics(c->limits, t);
    main_history_metrics(c->history, t);
    if (c->link)
        trust_metrics(main_link_trust(c->link), t);
    if (c->status)
        main_status_metrics(c->status, t);
}

static void live(void *arg, size_t routes, struct out *o) {
    struct controller *c = arg;
    struct live *l = main_live_look(c->live);
    struct timespec wall;
    size_t refused;
    clock_gettime(CLOCK_REALTIME, &wall);
    out_lit(o, "{\"of\":\"fleet\",\"version\":");
    out_json(o, str_of(sluice_version));
    out_fmt(o, ",\"now_ms\":%lld,\"revision\":\"",
            (long long)wall.tv_sec * 1000 + wall.tv_nsec / 1000000);
    out_hex(o, revision(c), 16);
    out_lit(o, "\",\"proxies\":");
    report_proxies(c->turn, l, o);
    out_char(o, ',');
    live_json(l, main_live_now_ms(), routes, o);
    out_lit(o, ",\"changes\":");
    main_history_changes(c->history, o);
    out_lit(o, ",\"pinned\":");
    main_history_pinned(c->history, o);
    out_lit(o, ",\"refused\":");
    report_refused(c->turn, c->store, &refused, o);
    out_fmt(o, ",\"refused_total\":%zu,\"faults\":", refused);
    source(c, o);
    out_lit(o, "}\n");
}

/* The resources themselves. */
struct writing {
    struct store_walk *walk;
    size_t n;
    bool begun;
};

static bool more_written(void *arg, struct out *o) {
    struct writing *w = arg;
    const struct resource *r = store_walk_next(w->walk);
    out_str(o, w->begun ? STR("") : STR("["));
    w->begun = true;
    if (r && r->fields) {
        out_str(o, w->n++ == 0 ? STR("") : STR(",\n"));
        resource_write(r, o);
    }
    if (!r)
        out_char(o, ']');
    return r != NULL;
}

static void end_written(void *arg) {
    struct writing *w = arg;
    store_walk_end(w->walk);
    mem_free(w);
}

/* Not what is secret, nor what follows by itself. */
static struct httpd_pieces written(void *arg) {
    const struct controller *c = arg;
    struct writing *w = mem_zalloc(sizeof(*w));
    uint64_t kinds = 0;
    for (enum kube_kind k = 1; k < KUBE_KINDS; k++)
        if (k != KUBE_Secret && k != KUBE_ConfigMap && k != KUBE_EndpointSlice)
            kinds |= UINT64_C(1) << k;
    w->walk = store_walk_begin(c->store, kinds, true);
    return (struct httpd_pieces){more_written, end_written, w};
}

static void pinned(void *arg, struct out *o) {
    const struct controller *c = arg;
    main_history_pinned(c->history, o);
}

static bool history(void *arg, const struct httpd_request *rq, struct out *o, struct why *why) {
    struct controller *c = arg;
    return main_history_json(c->history, httpd_param(rq, "revision"), httpd_param(rq, "since"),
                             httpd_param(rq, "to"), httpd_param(rq, "pin"), o, why);
}

/* ---- life ---- */

_Noreturn static void fail(const struct why *why) {
    char room[1024];
    struct out o = out_fixed(room, sizeof(room));
    why_print(why, &o);
    log_error("main", "cannot start: %.*s", STR_FMT(out_done(&o)));
    exit(1);
}

static void on_error(void *arg, const struct dir_error *e) {
    char room[1024];
    struct out o = out_fixed(room, sizeof(room));
    (void)arg;
    dir_error_print(e, &o);
    log_warn("source", "%.*s", STR_FMT(out_done(&o)));
}

static void on_stopped(void *arg) {
    struct controller *c = arg;
    event_base_loopbreak(c->base);
}

/* The second one does not wait for the API server. */
static void on_signal(evutil_socket_t fd, short what, void *arg) {
    struct controller *c = arg;
    (void)fd, (void)what;
    if (c->status && !c->stopping)
        main_status_stop(c->status, on_stopped, c);
    else
        on_stopped(c);
    c->stopping = true;
}

static struct source *open_directory(struct controller *c, struct why *why) {
    struct dir_source *d = dir_source_new(c->base, c->store, c->o.directory, on_error, c, why);
    return d ? dir_source_base(d) : NULL;
}

static void on_reached(void *arg, bool yes) {
    struct controller *c = arg;
    push_heard(turn_push(c->turn), yes);
}

static struct source *open_kube(struct controller *c, struct why *why) {
    c->access = kube_access_new(c->o.kubeconfig, c->o.context, why);
    if (!c->access)
        return NULL;
    c->client = kube_client_new(c->base, c->access);
    c->crds = main_crds_new(c->base, c->client, c->turn);
    const struct kube_source_options o = {.namespaces = c->o.namespaces,
                                          .n_namespaces = c->o.n_namespaces,
                                          .watch_secrets = c->o.watch_secrets,
                                          .pin_namespace = link_namespace(c->client),
                                          .pin = c->o.pin ? str_of(c->o.pin) : STR_NONE,
                                          .defined = main_crds_read,
                                          .arg = c->crds,
                                          .reached = on_reached,
                                          .reached_arg = c};
    return kube_source_base(kube_source_new(c->base, c->store, c->client, &o));
}

static void open_link(struct controller *c) {
    struct why why = {0};
    if (c->o.directory) {
        c->tickets = main_tickets_new(c->base, c->turn, c->o.ticket_s);
        c->signing = main_signing_new(c->base, c->turn, c->o.signing_s);
    }
    if (!c->o.link_secret)
        return;
    if (c->o.custom_metrics &&
        !(c->autoscale = main_autoscale_new(c->base, c->client, &c->o, c->turn, c->status, &why)))
        fail(&why);
    c->link = main_link_new(c->base, c->client, &c->o, c->turn, c->autoscale, &why);
    if (!c->link)
        fail(&why);
}

static bool leads(void *arg) {
    const struct controller *c = arg;
    return c->status && main_status_leads(c->status);
}

static void owner(void *arg, struct out *o) {
    const struct controller *c = arg;
    if (c->status)
        main_status_owner(c->status, o);
}

static struct str own_namespace(const struct controller *c) {
    const char *own = getenv("POD_NAMESPACE");
    return c->client ? link_namespace(c->client) : own && *own ? str_of(own) : STR("default");
}

static void start(struct controller *c) {
    struct why why = {0};
    c->store = store_new();
    c->turn = turn_new(c->base, c->store, c->o.link, c->o.link_secret != NULL, &why);
    if (!c->turn)
        fail(&why);
    c->keysets = main_keysets_new(c->base, c->turn);
    c->source = c->o.directory ? open_directory(c, &why) : open_kube(c, &why);
    if (!c->source)
        fail(&why);
    struct str ns = own_namespace(c);
    compile_own_namespace(turn_compiler(c->turn), ns);
    const struct main_history_host host = {c->base,   c->turn, c->store, &c->o, ns,
                                           c->client, leads,   owner,    c};
    c->history = main_history_new(&host, &why);
    if (!c->history)
        fail(&why);
    compile_exposed(turn_compiler(c->turn), c->o.exposed, c->o.n_exposed);
    compile_zones(turn_compiler(c->turn), zone_file);
    compile_keyless(turn_compiler(c->turn), !c->o.directory && !c->o.link_secret);
    turn_source(c->turn, c->source);
    if (c->client) {
        c->status = main_status_new(c->base, c->client, c->store, c->turn, &c->o.status, &why);
        if (!c->status)
            fail(&why);
    }
    c->limits = main_limits_new(c->base, c->turn, c->status && c->o.status.lease ? leads : NULL, c);
    c->live = main_live_new(c->base, c->turn);
    open_link(c);
    const struct admin_host admin = {turn_compiler(c->turn),
                                     revision,
                                     ready,
                                     proxies,
                                     how_linked,
                                     resources,
                                     source,
                                     metrics,
                                     live,
                                     written,
                                     pinned,
                                     history,
                                     c};
    c->admin = admin_new(c->base, c->o.telemetry, c->o.admin, &admin, &why);
    if (!c->admin)
        fail(&why);
    c->term = evsignal_new(c->base, SIGTERM, on_signal, c);
    c->interrupt = evsignal_new(c->base, SIGINT, on_signal, c);
    evsignal_add(c->term, NULL);
    evsignal_add(c->interrupt, NULL);
    turn_wake(c->turn);
}

static void end(struct controller *c) {
    event_free(c->term);
    event_free(c->interrupt);
    admin_free(c->admin);
    main_link_free(c->link);
    main_tickets_free(c->tickets);
    main_signing_free(c->signing);
    autoscale_free(c->autoscale);
    c->source->verbs->free(c->source);
    main_crds_free(c->crds);
    main_status_free(c->status);
    main_history_free(c->history);
    kube_client_free(c->client);
    kube_access_free(c->access);
    main_keysets_free(c->keysets);
    main_limits_free(c->limits);
    main_live_free(c->live);
    turn_free(c->turn);
    store_free(c->store);
    mem_free(c->o.namespaces);
    event_base_free(c->base);
}

int main(int argc, char **argv) {
    struct controller c = {0};
    options_parse(&c.o, argc, argv);
    signal(SIGPIPE, SIG_IGN);
    c.base = event_base_new();
    start(&c);
    log_info("main", "started version=%s source=%s%s link=%s", sluice_version,
             c.o.directory ? "dir:" : "kube", c.o.directory ? c.o.directory : "", c.o.link);
    event_base_dispatch(c.base);
    log_info("main", "ending");
    end(&c);
    return 0;
}
