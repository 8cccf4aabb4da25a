/* SPDX-License-Identifier: Apache-2.0
 *
 * fetch: one GET to the admin port of a controller or proxy, as JSON.
 *
 *     --proxy HOST:PORT                      there
 *     --proxy POD, -n, --context, plug-in    in the cluster, by kubectl
 *     nothing was said                       on this machine; if nothing listens there and there is
 *                                            a kubectl, in the cluster
 */
#ifndef SLUICE_CTL_FETCH_H
#define SLUICE_CTL_FETCH_H

#include "ctl/cluster.h"
#include "lib/out.h"

#include <cjson/cJSON.h>

enum fetch_from { FROM_CONTROLLER, FROM_PROXY };

struct fetched {
    cJSON *json;     /* cJSON_Delete it */
    char place[600]; /* for messages: "127.0.0.1:7502", "pod sluice/sluice-proxy-5d6f" */
};

/* CTL_OK, or the code after one line to err. */
enum ctl_exit fetch_json(struct ctl *c, enum fetch_from from, const char *path, struct fetched *f);

/* For who asks again and again: the way that the first question found. */
struct fetch_way {
    struct cluster_way cluster; /* open while forward > 0 */
    char place[600];            /* as in struct fetched */
    char at[600];               /* HOST:PORT */
};
/* As fetch_json(); on CTL_OK the way stays open. */
enum ctl_exit fetch_first(struct ctl *c, enum fetch_from from, const char *path,
                          struct fetch_way *way, struct fetched *f);
enum ctl_exit fetch_again(struct ctl *c, enum fetch_from from, const char *path,
                          const struct fetch_way *way, struct fetched *f);
void fetch_end(struct fetch_way *way);

/* ---- every proxy, as text ---- */

enum { FETCH_MAX = 256 << 20 }; /* bytes of an answer */

/* Where the proxies are: HOST:PORT of the one that was said or that listens on this machine, else
 * the names of all ready pods; a JSON array. CTL_OK, or the code after one line to err. */
enum ctl_exit fetch_proxies(struct ctl *c, cJSON **places);
/* What one of them answers is appended to body. */
enum ctl_exit fetch_text(struct ctl *c, const char *place, const char *path, struct out *body);

/* A query's answer of a Prometheus at url, http or https. cJSON_Delete *doc. */
enum ctl_exit fetch_prometheus(struct ctl *c, const char *url, const char *query, cJSON **doc);

#endif
