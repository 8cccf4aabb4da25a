/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/admin/admin.h"

#include "lib/arena.h"
#include "lib/mem.h"
#include "lib/ui.h"

#define JSON "application/json"

struct admin {
    struct admin_host host;
    struct observe *observe;
    struct httpd *telemetry, *loopback;
};

/* ---- telemetry ---- */

static void live(void *arg, const struct httpd_request *rq, struct httpd_answer *a) {
    (void)arg;
    (void)rq;
    out_lit(&a->body, "live\n");
}

static void ready(void *arg, const struct httpd_request *rq, struct httpd_answer *a) {
    (void)rq;
    struct admin *admin = arg;
    char room[256];
    struct out why = out_fixed(room, sizeof(room));
    if (admin->host.ready(admin->host.arg, &why)) {
        out_lit(&a->body, "ready\n");
        return;
    }
    a->status = 503;
    out_lit(&a->body, "not ready: ");
    out_str(&a->body, out_done(&why));
    out_char(&a->body, '\n');
}

static void metrics(void *arg, const struct httpd_request *rq, struct httpd_answer *a) {
    struct admin *admin = arg;
    bool openmetrics = metric_wants_openmetrics(rq->accept);
    a->content_type = metric_content_type(openmetrics);
    observe_scrape(admin->observe, &a->body, openmetrics);
}

/* ---- admin ---- */

struct dump {
    struct out *o;
    struct str kind, id; /* p == NULL: any */
    bool wire;
    size_t n;
};

static void dump_object(void *arg, const struct object *o) {
    struct dump *d = arg;
    if (d->id.p && !str_eq(d->id, object_id(o)))
        return;
    if (d->kind.p && !str_eq(d->kind, str_of(model_kind_name((enum model_kind)o->kind))))
        return;
    if (d->n++ > 0)
        out_lit(d->o, ",\n");
    if (d->wire)
        object_wire_json(o, d->o);
    else
        object_json(o, d->o);
}

static void config(void *arg, const struct httpd_request *rq, struct httpd_answer *a) {
    struct admin *admin = arg;
    struct str format = httpd_param(rq, "format");
    struct dump d = {.o = &a->body,
                     .kind = httpd_param(rq, "kind"),
                     .id = httpd_param(rq, "id"),
                     .wire = str_eq(format, STR("wire"))};
    if (format.p && !d.wire && !str_eq(format, STR("json"))) {
        a->status = 400;
        out_lit(&a->body, "format is json or wire\n");
        return;
    }
    a->content_type = JSON;
    out_lit(&a->body, "{\"revision\":\"");
    out_hex(&a->body, admin->host.revision(admin->host.arg), 16);
    out_lit(&a->body, "\",\"objects\":[\n");
    admin->host.objects(admin->host.arg, dump_object, &d);
    out_lit(&a->body, "]}\n");
}

static void reason_list(void *arg, const struct httpd_request *rq, struct httpd_answer *a) {
    (void)rq;
    struct admin *admin = arg;
    a->content_type = JSON;
    for (unsigned i = REASON_NONE + 1; i < REASONS; i++) {
        const struct reason_info *r = &reasons[i];
        out_fmt(&a->body, "%s{\"name\":\"%s\",\"origin\":\"%s\",\"status\":%u,\"text\":",
                i == REASON_NONE + 1 ? "[" : ",\n", r->name, origin_names[r->origin], r->status);
        out_json(&a->body, str_of(r->text));
        out_lit(&a->body, ",\"count\":");
        out_u64(&a->body, observe_reason_count(admin->observe, (enum reason)i));
        out_char(&a->body, '}');
    }
    out_lit(&a->body, "]\n");
}

static void figures(void *arg, const struct httpd_request *rq, struct httpd_answer *a) {
    (void)rq;
    struct admin *admin = arg;
    a->content_type = JSON;
    a->fields = UI_JSON_FIELDS;
    admin->host.live(admin->host.arg, &a->body);
}

/* ---- life ---- */

struct admin *admin_new(struct event_base *base, const char *telemetry, const char *loopback,
                        const struct admin_host *host, struct observe *observe, struct why *why) {
    struct admin *a = mem_zalloc(sizeof(*a));
    a->host = *host;
    a->observe = observe;
    const struct httpd_route open[] = {
        {"/live", live, a}, {"/ready", ready, a}, {"/metrics", metrics, a}};
    const struct httpd_route closed[] = {{"/config", config, a},
                                         {"/reasons", reason_list, a},
                                         {"/metrics", metrics, a},
                                         {"/live", figures, a},
                                         {"/ui*", ui_serve, NULL}};
    a->telemetry = httpd_new(base, telemetry, open, ARRAY_LEN(open), 0, why);
    if (a->telemetry)
        a->loopback =
            httpd_new(base, loopback, closed, ARRAY_LEN(closed), HTTPD_LOOPBACK_ONLY, why);
    if (!a->loopback) {
        admin_free(a);
        return NULL;
    }
    return a;
}

void admin_free(struct admin *a) {
    if (!a)
        return;
    httpd_free(a->telemetry);
    httpd_free(a->loopback);
    mem_free(a);
}
