/* SPDX-License-Identifier: Apache-2.0
 *
 * cluster: the way to the admin port of a pod, by the user's own kubectl. Every login that kubectl
 * knows works, and RBAC decides who may look (pods: list; pods/portforward: create).
 *
 *     kubectl get pods -l ...component=proxy ─► a ready pod ─► kubectl port-forward ─► 127.0.0.1:N
 */
#ifndef SLUICE_CTL_CLUSTER_H
#define SLUICE_CTL_CLUSTER_H

#include "ctl/ctl.h"
#include "lib/out.h"

#include <cjson/cJSON.h>
#include <sys/types.h>

struct cluster_way {
    pid_t forward;  /* kubectl port-forward */
    int said;       /* what it says; it ends, at its next word, when nobody can read that */
    char place[32]; /* 127.0.0.1:PORT, while it runs */
    char pod[512];  /* "sluice/sluice-proxy-5d6f", for messages */
};

/* component: "controller" or "proxy"; port: of its admin; pod: its name, NULL = any ready one.
 * CTL_OK, or the code after one line to err. */
enum ctl_exit cluster_open(struct ctl *c, const char *component, unsigned port, const char *pod,
                           struct cluster_way *way);
/* The names of all ready pods of a component, in one namespace; list: an empty array, to which they
 * are added. CTL_OK (one at least), or the code after one line to err. */
enum ctl_exit cluster_ready(struct ctl *c, const char *component, cJSON *list);
void cluster_close(struct cluster_way *way);

/* Makes the ConfigMap of that text (JSON) be there, instead of one of its name. CTL_PROBLEMS where
 * kubectl says no, after one line to err. */
enum ctl_exit cluster_write(struct ctl *c, const char *ns, const char *name, const char *text);
enum ctl_exit cluster_delete(struct ctl *c, const char *ns, const char *name);

bool cluster_has_kubectl(void);

/* Runs kubectl with these words and what the user said about the cluster; what it prints is
 * appended to o. CTL_OK, or CTL_UNREACHABLE after one line to err with what it complains of. */
enum ctl_exit cluster_kubectl(struct ctl *c, const char *const *words, size_t n, struct out *o);

#endif
