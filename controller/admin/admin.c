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
    out_lit(o, ",\"resources\":");
    a->host.resources(a->host.arg, httpd_param(rq, "kind"), httpd_param(rq, "namespace"),
                      httpd_param(rq, "name"), o);
    out_lit(o, "}\n");
}

static void objects(const struct admin *a, struct str kind, struct str id, struct out *o) {
    size_t n = compile_objects(a->host.compiler, NULL, 0);
    const struct object **v = mem_array(n + 1, sizeof(*v));
    bool first = true;
    compile_objects(a->host.compiler, v, n);
    out_char(o, '[');
    for (size_t i = 0; i < n; i++) {
        if ((kind.n > 0 && !str_eq(kind, str_of(model_kind_name((enum model_kind)v[i]->kind)))) ||
            (id.n > 0 && !str_eq(id, object_id(v[i]))))
            continue;
        if (!first)
            out_lit(o, ",\n");
        first = false;
        object_json(v[i], o);
    }
    out_char(o, ']');
    mem_free(v);
}

static void config(void *arg, const struct httpd_request *rq, struct httpd_answer *answer) {
    const struct admin *a = arg;
    struct out *o = &answer->body;
    struct str kind = httpd_param(rq, "kind"), id = httpd_param(rq, "id");
    begin(a, answer);
    out_lit(o, ",\"objects\":");
    objects(a, kind, id, o);
    if (kind.n == 0 && id.n == 0) {
        out_lit(o, ",\"proxies\":");
        a->host.proxies(a->host.arg, o);
        out_lit(o, ",\"resources\":");
        a->host.resources(a->host.arg, STR_NONE, STR_NONE, STR_NONE, o);
    }
    out_lit(o, "}\n");
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
    struct out *o = &answer->body;
    (void)rq;
    begin(a, answer);
    out_lit(o, ",\"pinned\":");
    a->host.pinned(a->host.arg, o);
    out_lit(o, ",\"resources\":");
    a->host.written(a->host.arg, o);
    out_lit(o, "}\n");
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
