/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/admin/admin.h"

#include "lib/httpd.h"
#include "lib/live.h"
#include "lib/mem.h"
#include "lib/ui.h"

#include <time.h>

struct admin {
    struct admin_host host;
    struct httpd *telemetry, *loopback;
    uint64_t started_at_ns; /* CLOCK_REALTIME */
};

/* ---- telemetry ---- */

static void live(void *arg, const struct httpd_request *rq, struct httpd_answer *answer) {
    (void)arg, (void)rq;
    out_lit(&answer->body, "live\n");
}

static void ready(void *arg, const struct httpd_request *rq, struct httpd_answer *answer) {
    const struct admin *a = arg;
    (void)rq;
    answer->status = a->host.ready(a->host.arg, &answer->body) ? 200 : 503;
    out_char(&answer->body, '\n');
}

static void metrics(void *arg, const struct httpd_request *rq, struct httpd_answer *answer) {
    const struct admin *a = arg;
    bool openmetrics = metric_wants_openmetrics(rq->accept);
    struct metric_text t;
    answer->content_type = metric_content_type(openmetrics);
    metric_begin(&t, &answer->body, openmetrics);
    a->host.metrics(a->host.arg, &t);
    metric_process(&t, a->started_at_ns);
    metric_end(&t);
}

/* ---- admin ---- */

static void begin(const struct admin *a, struct httpd_answer *answer) {
    answer->content_type = "application/json";
    out_lit(&answer->body, "{\"revision\":\"");
    out_hex(&answer->body, a->host.revision(a->host.arg), 16);
    out_char(&answer->body, '"');
}

enum { PARTS_MAX = 2 };

/* An answer whose last members are in pieces, one after the other. */
struct telling {
    struct part {
        const char *name;
        struct httpd_pieces value;
    } parts[PARTS_MAX];
    size_t n, at;
    bool begun; /* the one at `at` */
};

static bool tell_more(void *arg, struct out *o) {
    struct telling *t = arg;
    struct part *p = &t->parts[t->at];
    if (!t->begun)
        out_fmt(o, ",\"%s\":", p->name);
    t->begun = p->value.more(p->value.arg, o);
    if (!t->begun && ++t->at == t->n)
        out_lit(o, "}\n");
    return t->at < t->n;
}

static void tell_end(void *arg) {
    struct telling *t = arg;
    for (size_t i = 0; i < t->n; i++)
        t->parts[i].value.end(t->parts[i].value.arg);
    mem_free(t);
}

static void tell(struct httpd_answer *answer, const char *name, struct httpd_pieces value) {
    struct telling *t = answer->pieces.arg;
    if (!t)
        t = mem_zalloc(sizeof(*t));
    must(t->n < PARTS_MAX);
    t->parts[t->n++] = (struct part){name, value};
    answer->pieces = (struct httpd_pieces){tell_more, tell_end, t};
}

static void status(void *arg, const struct httpd_request *rq, struct httpd_answer *answer) {
    const struct admin *a = arg;
    struct out *o = &answer->body;
    begin(a, answer);
    out_lit(o, ",\"pinned\":");
    a->host.pinned(a->host.arg, o);
    out_lit(o, ",\"proxies\":");
    a->host.proxies(a->host.arg, o);
    out_lit(o, ",\"link\":");
    a->host.link(a->host.arg, o);
    out_lit(o, ",\"source\":");
    a->host.source(a->host.arg, o);
    tell(answer, "resources",
         a->host.resources(a->host.arg, httpd_param(rq, "kind"), httpd_param(rq, "namespace"),
                           httpd_param(rq, "name")));
}

struct objects {
    struct compile_walk *walk;
    struct str kind; /* n == 0: any; a copy */
    size_t n;
    bool begun;
};

static bool is_of(const struct object *v, struct str kind) {
    return kind.n == 0 || str_eq(kind, str_of(model_kind_name((enum model_kind)v->kind)));
}

static void one_object(struct objects *x, const struct object *v, struct out *o) {
    if (!is_of(v, x->kind))
        return;
    out_str(o, x->n++ == 0 ? STR("") : STR(",\n"));
    object_json(v, o);
}

static bool more_objects(void *arg, struct out *o) {
    struct objects *x = arg;
    struct object *const *v;
    size_t n;
    out_str(o, x->begun ? STR("") : STR("["));
    x->begun = true;
    if (!compile_walk_next(x->walk, &v, &n)) {
        out_char(o, ']');
        return false;
    }
    for (size_t i = 0; i < n; i++)
        one_object(x, v[i], o);
    return true;
}

static void end_objects(void *arg) {
    struct objects *x = arg;
    compile_walk_end(x->walk);
    mem_free((char *)(uintptr_t)x->kind.p);
    mem_free(x);
}

static struct httpd_pieces objects(const struct admin *a, struct str kind) {
    struct objects *x = mem_zalloc(sizeof(*x));
    x->walk = compile_walk_begin(a->host.compiler);
    x->kind = str_of(str_dup(kind));
    return (struct httpd_pieces){more_objects, end_objects, x};
}

/* The object of that id, which nobody has to look for. */
static void object_of(const struct admin *a, struct str kind, struct str id, struct out *o) {
    const struct object *v = compile_object(a->host.compiler, id);
    out_lit(o, ",\"objects\":[");
    if (v && is_of(v, kind))
        object_json(v, o);
    out_lit(o, "]}\n");
}

static void config(void *arg, const struct httpd_request *rq, struct httpd_answer *answer) {
    const struct admin *a = arg;
    struct str kind = httpd_param(rq, "kind"), id = httpd_param(rq, "id");
    begin(a, answer);
    if (id.n > 0) {
        object_of(a, kind, id, &answer->body);
        return;
    }
    if (kind.n == 0) {
        out_lit(&answer->body, ",\"proxies\":");
        a->host.proxies(a->host.arg, &answer->body);
    }
    tell(answer, "objects", objects(a, kind));
    if (kind.n == 0)
        tell(answer, "resources", a->host.resources(a->host.arg, STR_NONE, STR_NONE, STR_NONE));
}

static void figures(void *arg, const struct httpd_request *rq, struct httpd_answer *answer) {
    const struct admin *a = arg;
    struct str routes = httpd_param(rq, "routes");
    uint64_t n = LIVE_ROUTES;
    if (routes.p && !str_to_u64(routes, LIVE_ROUTES, &n)) {
        answer->status = 400;
        out_fmt(&answer->body, "routes is a number from 0 to %d\n", LIVE_ROUTES);
        return;
    }
    answer->content_type = "application/json";
    answer->fields = UI_JSON_FIELDS;
    a->host.live(a->host.arg, (size_t)n, &answer->body);
}

static void resources(void *arg, const struct httpd_request *rq, struct httpd_answer *answer) {
    const struct admin *a = arg;
    (void)rq;
    begin(a, answer);
    out_lit(&answer->body, ",\"pinned\":");
    a->host.pinned(a->host.arg, &answer->body);
    tell(answer, "resources", a->host.written(a->host.arg));
}

static void history(void *arg, const struct httpd_request *rq, struct httpd_answer *answer) {
    const struct admin *a = arg;
    struct why why = {0};
    answer->content_type = "application/json";
    if (a->host.history(a->host.arg, rq, &answer->body, &why))
        return;
    answer->status = 404;
    answer->content_type = "text/plain";
    answer->body.n = 0;
    why_print(&why, &answer->body);
    out_char(&answer->body, '\n');
}

/* ---- life ---- */

struct admin *admin_new(struct event_base *base, const char *telemetry, const char *loopback,
                        const struct admin_host *host, struct why *why) {
    struct admin *a = mem_zalloc(sizeof(*a));
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_REALTIME, &now);
    a->host = *host;
    a->started_at_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    const struct httpd_route outside[] = {
        {"/live", live, a}, {"/ready", ready, a}, {"/metrics", metrics, a}};
    const struct httpd_route inside[] = {{"/config", config, a},
                                         {"/status", status, a},
                                         {"/live", figures, a},
                                         {"/ui*", ui_serve, NULL},
                                         {"/resources", resources, a},
                                         {"/history", history, a}};
    a->telemetry = httpd_new(base, telemetry, outside, ARRAY_LEN(outside), 0, why);
    if (a->telemetry)
        a->loopback =
            httpd_new(base, loopback, inside, ARRAY_LEN(inside), HTTPD_LOOPBACK_ONLY, why);
    if (a->telemetry && a->loopback)
        return a;
    admin_free(a);
    return NULL;
}

void admin_free(struct admin *a) {
    if (!a)
        return;
    httpd_free(a->telemetry);
    httpd_free(a->loopback);
    mem_free(a);
}
