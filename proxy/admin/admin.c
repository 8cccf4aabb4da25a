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
    struct object **objects; /* a count each, from `at` on */
    size_t n, at;
    struct str kind, id; /* p == NULL: any; copies */
    bool wire;
    size_t told;
};

static void dump_object(struct dump *d, const struct object *v, struct out *o) {
    if (d->id.p && !str_eq(d->id, object_id(v)))
        return;
    if (d->kind.p && !str_eq(d->kind, str_of(model_kind_name((enum model_kind)v->kind))))
        return;
    if (d->told++ > 0)
        out_lit(o, ",\n");
    if (d->wire)
        object_wire_json(v, o);
    else
        object_json(v, o);
}

static bool dump_more(void *arg, struct out *o) {
    struct dump *d = arg;
    if (d->at == d->n) {
        out_lit(o, "]}\n");
        return false;
    }
    dump_object(d, d->objects[d->at], o);
    object_drop(d->objects[d->at++]);
    return true;
}

static void dump_end(void *arg) {
    struct dump *d = arg;
    while (d->at < d->n)
        object_drop(d->objects[d->at++]);
    mem_free(d->objects);
    mem_free((char *)(uintptr_t)d->kind.p);
    mem_free((char *)(uintptr_t)d->id.p);
    mem_free(d);
}

static struct str copy(struct str s) { return s.p ? str_of(str_dup(s)) : STR_NONE; }

static void config(void *arg, const struct httpd_request *rq, struct httpd_answer *a) {
    struct admin *admin = arg;
    struct str format = httpd_param(rq, "format");
    bool wire = str_eq(format, STR("wire"));
    if (format.p && !wire && !str_eq(format, STR("json"))) {
        a->status = 400;
        out_lit(&a->body, "format is json or wire\n");
        return;
    }
    a->content_type = JSON;
    out_lit(&a->body, "{\"revision\":\"");
    out_hex(&a->body, admin->host.revision(admin->host.arg), 16);
    out_lit(&a->body, "\",\"objects\":[\n");
    struct dump *d = mem_zalloc(sizeof(*d));
    d->objects = admin->host.objects(admin->host.arg, &d->n);
    d->kind = copy(httpd_param(rq, "kind"));
    d->id = copy(httpd_param(rq, "id"));
    d->wire = wire;
    a->pieces = (struct httpd_pieces){dump_more, dump_end, d};
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
