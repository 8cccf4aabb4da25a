/* SPDX-License-Identifier: Apache-2.0
 *
 * query: the words of custom.metrics.k8s.io/v1beta2: which path asks for what, and how an answer is
 * written. Pure.
 *
 *     /apis                                                          ─► APIGroupList
 *     /apis/custom.metrics.k8s.io                                    ─► APIGroup
 *     /apis/custom.metrics.k8s.io/v1beta2                            ─► APIResourceList
 *     .../v1beta2/namespaces/NS/pods/NAME/METRIC?labelSelector=...    ─► MetricValueList
 *
 * Shapes: k8s.io/metrics, pkg/apis/custom_metrics/v1beta2.
 */
#ifndef SLUICE_CONTROLLER_AUTOSCALE_QUERY_H
#define SLUICE_CONTROLLER_AUTOSCALE_QUERY_H

#include "lib/out.h"

#define AUTOSCALE_GROUP   "custom.metrics.k8s.io"
#define AUTOSCALE_VERSION "v1beta2"

enum autoscale_metric {
    AUTOSCALE_REQUESTS,    /* sluice_requests_per_second */
    AUTOSCALE_CONNECTIONS, /* sluice_connections */
    AUTOSCALE_LATENCY,     /* sluice_gateway_latency_seconds: 99th percentile over 15 s */
    AUTOSCALE_METRICS
};

/* One proxy's last report. */
struct autoscale_pod {
    struct str name;
    uint64_t requests_milli, connections, gateway_p99_us;
    int64_t reported_ms; /* Unix time; 0: never */
};

enum query_kind { QUERY_NOTHING, QUERY_GROUPS, QUERY_GROUP, QUERY_RESOURCES, QUERY_PODS };

struct query {
    enum query_kind kind;
    struct str namespace, pod; /* QUERY_PODS; pod "*": all that the selector matches */
    struct str metric_name;
    enum autoscale_metric metric; /* AUTOSCALE_METRICS: there is no such metric */
};

/* The path as sent, without its query; the strings are made in room, which has path.n bytes. */
struct query query_parse(struct str path, char *room);

/* s without its percent-escapes, to at most s.n bytes; an escape that is none stays. How many. */
size_t query_unescape(struct str s, char *to);

void query_write_discovery(enum query_kind kind, struct out *o);
/* A MetricValueList: open, any number of pods, close. */
void query_write_open(struct out *o);
void query_write_pod(struct out *o, const struct query *q, const struct autoscale_pod *p,
                     bool first);
void query_write_close(struct out *o);
/* metav1.Status of a failure. */
void query_write_failure(struct out *o, int code, const char *reason, const char *message);

#endif
