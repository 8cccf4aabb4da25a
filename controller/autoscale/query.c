/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/autoscale/query.h"

#include <time.h>

static const char *const metrics[AUTOSCALE_METRICS] = {
    [AUTOSCALE_REQUESTS] = "sluice_requests_per_second",
    [AUTOSCALE_CONNECTIONS] = "sluice_connections",
    [AUTOSCALE_LATENCY] = "sluice_gateway_latency_seconds"};

/* ---- reading a path ---- */

static int hex(char c) {
    c = char_lower(c);
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

size_t query_unescape(struct str s, char *to) {
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        int high = s.p[i] == '%' && i + 2 < s.n ? hex(s.p[i + 1]) : -1;
        int low = high >= 0 ? hex(s.p[i + 2]) : -1;
        to[n++] = low < 0 ? s.p[i] : (char)(high * 16 + low);
        i += low < 0 ? 0 : 2;
    }
    return n;
}

static enum autoscale_metric metric_of(struct str name) {
    unsigned i = 0;
    while (i < AUTOSCALE_METRICS && !str_eq(name, str_of(metrics[i])))
        i++;
    return (enum autoscale_metric)i;
}

static struct query pods_query(struct str rest, char *room) {
    struct str part[5];
    for (size_t i = 0; i < ARRAY_LEN(part); i++) {
        if (!rest.p)
            return (struct query){.kind = QUERY_NOTHING};
        rest = str_cut(rest, '/', &part[i]);
        part[i] = str_mk(room, query_unescape(part[i], room));
        room += part[i].n;
    }
    if (rest.p || !str_eq(part[0], STR("namespaces")) || !str_eq(part[2], STR("pods")))
        return (struct query){.kind = QUERY_NOTHING};
    return (struct query){.kind = QUERY_PODS,
                          .namespace = part[1],
                          .pod = part[3],
                          .metric_name = part[4],
                          .metric = metric_of(part[4])};
}

struct query query_parse(struct str path, char *room) {
    const struct str version = STR("/apis/" AUTOSCALE_GROUP "/" AUTOSCALE_VERSION);
    while (path.n > 1 && path.p[path.n - 1] == '/')
        path.n--;
    if (str_eq(path, STR("/apis")))
        return (struct query){.kind = QUERY_GROUPS};
    if (str_eq(path, STR("/apis/" AUTOSCALE_GROUP)))
        return (struct query){.kind = QUERY_GROUP};
    if (str_eq(path, version))
        return (struct query){.kind = QUERY_RESOURCES};
    if (str_starts(path, version) && path.p[version.n] == '/')
        return pods_query(str_skip(path, version.n + 1), room);
    return (struct query){.kind = QUERY_NOTHING};
}

/* ---- writing answers ---- */

#define VERSIONS                                                                                   \
    "{\"groupVersion\":\"" AUTOSCALE_GROUP "/" AUTOSCALE_VERSION                                   \
    "\",\"version\":\"" AUTOSCALE_VERSION "\"}"
#define GROUP                                                                                      \
    "\"name\":\"" AUTOSCALE_GROUP "\",\"versions\":[" VERSIONS "],\"preferredVersion\":" VERSIONS

static void write_resources(struct out *o) {
    out_lit(o, "{\"kind\":\"APIResourceList\",\"apiVersion\":\"v1\",\"groupVersion\":"
               "\"" AUTOSCALE_GROUP "/" AUTOSCALE_VERSION "\",\"resources\":[");
    for (unsigned i = 0; i < AUTOSCALE_METRICS; i++)
        out_fmt(o,
                "%s{\"name\":\"pods/%s\",\"singularName\":\"\",\"namespaced\":true,"
                "\"kind\":\"MetricValueList\",\"verbs\":[\"get\"]}",
                i > 0 ? "," : "", metrics[i]);
    out_lit(o, "]}");
}

void query_write_discovery(enum query_kind kind, struct out *o) {
    if (kind == QUERY_GROUPS)
        out_lit(o, "{\"kind\":\"APIGroupList\",\"apiVersion\":\"v1\",\"groups\":[{" GROUP "}]}");
    else if (kind == QUERY_GROUP)
        out_lit(o, "{\"kind\":\"APIGroup\",\"apiVersion\":\"v1\"," GROUP "}");
    else
        write_resources(o);
}

void query_write_open(struct out *o) {
    out_lit(o, "{\"kind\":\"MetricValueList\",\"apiVersion\":"
               "\"" AUTOSCALE_GROUP "/" AUTOSCALE_VERSION "\",\"metadata\":{},\"items\":[");
}

static void write_time(struct out *o, int64_t unix_ms) {
    time_t seconds = (time_t)(unix_ms / 1000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    out_fmt(o, "\"%04d-%02d-%02dT%02d:%02d:%02dZ\"", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
            tm.tm_hour, tm.tm_min, tm.tm_sec);
}

/* A Kubernetes quantity: thousandths "m", millionths "u". */
static void write_value(struct out *o, enum autoscale_metric metric,
                        const struct autoscale_pod *p) {
    if (metric == AUTOSCALE_REQUESTS)
        out_fmt(o, "\"%llum\"", (unsigned long long)p->requests_milli);
    else if (metric == AUTOSCALE_CONNECTIONS)
        out_fmt(o, "\"%llu\"", (unsigned long long)p->connections);
    else
        out_fmt(o, "\"%lluu\"", (unsigned long long)p->gateway_p99_us);
}

void query_write_pod(struct out *o, const struct query *q, const struct autoscale_pod *p,
                     bool first) {
    out_fmt(o, "%s{\"describedObject\":{\"kind\":\"Pod\",\"namespace\":", first ? "" : ",");
    out_json(o, q->namespace);
    out_lit(o, ",\"name\":");
    out_json(o, p->name);
    out_fmt(o, ",\"apiVersion\":\"/v1\"},\"metric\":{\"name\":\"%s\",\"selector\":null},",
            metrics[q->metric]);
    out_lit(o, "\"timestamp\":");
    write_time(o, p->reported_ms);
    out_lit(o, ",\"windowSeconds\":15,\"value\":");
    write_value(o, q->metric, p);
    out_char(o, '}');
}

void query_write_close(struct out *o) { out_lit(o, "]}"); }

void query_write_failure(struct out *o, int code, const char *reason, const char *message) {
    out_lit(o, "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\","
               "\"message\":");
    out_json(o, str_of(message));
    out_fmt(o, ",\"reason\":\"%s\",\"code\":%d}", reason, code);
}
