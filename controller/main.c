/* SPDX-License-Identifier: Apache-2.0
 *
 * sluice-controller. One libevent loop: source, store, compile, push, admin ports, signals. (The
 * link's sockets have a thread of their own, below push.)
 */
#include "controller/admin/admin.h"
#include "controller/main_options.h"
#include "controller/main_report.h"
#include "controller/source/dir.h"
#include "controller/status/status.h"
#include "lib/log.h"

#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>

struct controller {
    struct options o;
    struct event_base *base;
    struct store *store;
    struct turn *turn;
    struct dir_source *source;
    struct admin *admin;
    struct event *term, *interrupt;
};

/* ---- what the admin ports ask ---- */

static uint64_t revision(void *arg) {
    struct controller *c = arg;
    return push_revision(turn_push(c->turn));
}

static bool ready(void *arg, struct out *why) {
    struct controller *c = arg;
    if (turn_is_ready(c->turn))
        return true;
    out_lit(why, "reading the resources");
    return false;
}

static void proxies(void *arg, struct out *o) {
    struct controller *c = arg;
    report_proxies(c->turn, o);
}

static void serving(void *arg, struct str id, uint64_t hash, size_t *n_current, size_t *n_ready) {
    struct controller *c = arg;
    push_serving(turn_push(c->turn), id, hash, n_current, n_ready);
}

static void resources(void *arg, struct str kind, struct str ns, struct str name, struct out *o) {
    struct controller *c = arg;
    const struct status_fleet fleet = {serving, c};
    status_json(c->store, turn_compiler(c->turn), &fleet, kind, ns, name, o);
}

static void source(void *arg, struct out *o) {
    struct controller *c = arg;
    size_t n;
    const struct dir_error *errors = dir_source_errors(c->source, &n);
    out_char(o, '[');
    for (size_t i = 0; i < n; i++) {
        char room[1024];
        struct out line = out_fixed(room, sizeof(room));
        dir_error_print(&errors[i], &line);
        if (i > 0)
            out_char(o, ',');
        out_json(o, out_done(&line));
    }
    out_char(o, ']');
}

static void one(struct metric_text *t, enum metric_type type, const char *name, const char *help,
                uint64_t v) {
    metric_family(t, type, name, help);
    metric_count(t, STR_NONE, v);
}

static void metrics(void *arg, struct metric_text *t) {
    struct controller *c = arg;
    const struct dir_counters *n = dir_source_counters(c->source);
    size_t errors;
    dir_source_errors(c->source, &errors);
    one(t, METRIC_GAUGE, "sluice_controller_watch_files", "Files that are watched.", n->files);
    one(t, METRIC_COUNTER, "sluice_controller_watch_parsed", "Files parsed, good or not.",
        n->parsed);
    one(t, METRIC_COUNTER, "sluice_controller_watch_changes", "Resources that came or changed.",
        n->upserted);
    one(t, METRIC_COUNTER, "sluice_controller_watch_deletions", "Resources that went.", n->deleted);
    one(t, METRIC_GAUGE, "sluice_controller_watch_errors", "What cannot be read now.", errors);
    report_metrics(c->turn, c->store, t);
}

/* ---- life ---- */

/* A file as a whole, not an object in it: then there is a column, or no line. */
static bool unread(void *arg) {
    struct controller *c = arg;
    size_t n;
    const struct dir_error *e = c->source ? dir_source_errors(c->source, &n) : NULL;
    for (size_t i = 0; e && i < n; i++)
        if (e[i].column > 0 || e[i].line == 0)
            return true;
    return false;
}

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

static void on_signal(evutil_socket_t fd, short what, void *arg) {
    struct controller *c = arg;
    (void)fd, (void)what;
    event_base_loopbreak(c->base);
}

static void start(struct controller *c) {
    struct why why = {0};
    c->store = store_new();
    c->turn = turn_new(c->base, c->store, c->o.link, unread, c, &why);
    if (!c->turn)
        fail(&why);
    c->source = dir_source_new(c->base, c->store, c->o.directory, on_error, c, &why);
    if (!c->source)
        fail(&why);
    const struct admin_host host = {
        turn_compiler(c->turn), revision, ready, proxies, resources, source, metrics, c};
    c->admin = admin_new(c->base, c->o.telemetry, c->o.admin, &host, &why);
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
    dir_source_free(c->source);
    turn_free(c->turn);
    store_free(c->store);
    event_base_free(c->base);
}

int main(int argc, char **argv) {
    struct controller c = {0};
    options_parse(&c.o, argc, argv);
    signal(SIGPIPE, SIG_IGN);
    c.base = event_base_new();
    start(&c);
    log_info("main", "started version=%s source=dir:%s link=%s", sluice_version, c.o.directory,
             c.o.link);
    event_base_dispatch(c.base);
    log_info("main", "ending");
    end(&c);
    return 0;
}
