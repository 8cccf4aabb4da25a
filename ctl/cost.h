/* SPDX-License-Identifier: Apache-2.0
 *
 * cost: what each route has used, added up over proxies.
 *
 *   /metrics of every proxy, once or twice ─┐
 *                                           ├─► struct bill: a line a route ─► prices ─► money
 *   answers of a Prometheus ────────────────┘
 *
 * All that is not a route's alone (what main and the logs take, memory) is divided as the CPU time
 * of the workers is.
 */
#ifndef SLUICE_CTL_COST_H
#define SLUICE_CTL_COST_H

#include "ctl/ctl.h"
#include "lib/arena.h"
#include "lib/map.h"

/* Of a route, or of all. */
struct usage {
    double requests, cpu_s, bytes;              /* in the time that is looked at */
    double requests_rate, cpu_rate, bytes_rate; /* a second; of proxies their sum */
};

struct cost_line {
    struct str namespace, route, team; /* route "other", "none" without namespace: see metrics.md */
    struct usage used;
};

struct bill {
    struct arena arena;
    struct map lines; /* "namespace/route" → struct cost_line */
    unsigned proxies;
    double seconds; /* that were looked at; of several proxies the longest */
    double memory;  /* bytes of all proxies, on average */
    double process_cpu_s, process_cpu_rate; /* all that they have used */
};

void bill_init(struct bill *b);
void bill_fini(struct bill *b);

/* The line of a route, made if it is not there. */
struct cost_line *bill_line(struct bill *b, struct str namespace, struct str route);

/* Of one proxy: what it says now, and what it said `seconds` before (n == 0: it began then). Lines
 * that are not samples of the text format are passed over. */
void bill_add_proxy(struct bill *b, struct str now, struct str before, double seconds);
/* How long a proxy has been up when it said that; 0: it does not say. */
double metrics_uptime(struct str text);

/* What a Prometheus says of all proxies over a duration as it writes them ("30d"). */
enum ctl_exit bill_ask_prometheus(struct ctl *c, struct bill *b, const char *url, const char *over);

/* "60s", "15m", "1h", "30d", "2w"; 0: it is none. */
double cost_seconds(const char *text);

#endif
