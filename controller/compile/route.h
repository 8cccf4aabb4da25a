/* SPDX-License-Identifier: Apache-2.0
 *
 * route: Routes and Ingresses into model routes. What both need stands here; match.c and filter.c
 * hold the parts of a Route's rule.
 */
#ifndef SLUICE_CONTROLLER_COMPILE_ROUTE_H
#define SLUICE_CONTROLLER_COMPILE_ROUTE_H

#include "controller/compile/host.h"
#include "controller/compile/ref.h"

enum { /* a resource of more is refused */
       INGRESS_RULES_MAX = 256,
       EDIT_HEADERS_MAX = 64,
       PATH_MAX_BYTES = 1024,
       INGRESS_PATHS_MAX = 4096,
       INGRESS_TLS_MAX = 1024, /* hosts of all entries */
};

void route_compile(struct making *m);
void ingress_compile(struct making *m);

/* Asks for the class that m->r names: 0 with m->class, or -1: m says why, or wait or foreign. */
int route_class(struct making *m, struct str class_name);
/* What all routes of m->r have in common. auth: what it says of authentication itself; or NULL. */
void route_base(struct making *m, enum model_route_source source,
                const struct kube_route_auth *auth, struct model_route *o);
/* Asks the owners of m->hosts and tells both sides: 0 when one is granted at least. */
int route_claim(struct making *m);
/* Gives o those of the hostnames that are granted. */
void route_hosts(struct making *m, const struct str *hostnames, size_t n, struct model_route *o);
/* The TrafficPolicy that targets it, and what follows from it. section: n == 0 = none. */
void route_traffic(struct making *m, struct str section, struct model_route *o);

/* tls.c: what m->hosts show and plain requests get; m->tls. -1 as well when a Secret is waited for.
 * k may be NULL. */
int route_tls(struct making *m, const struct kube_route_tls *k);
int ingress_tls(struct making *m, const struct kube_Ingress *k);
/* What that means for a route. tls is that of its hosts; NULL: none. */
void route_secure(struct making *m, const struct model_route_tls *tls, struct model_route *o);
void route_certify(struct making *m); /* tells the hosts, whose claims are there */

/* match.c */
int match_make(struct making *m, const struct at *at, const struct kube_route_match *k,
               struct model_match *o);
int match_path(struct making *m, const struct at *at, const struct kube_path_match *k,
               struct model_match *o);
int path_check(struct making *m, const struct at *at, struct str path);
/* Whether the gateway itself answers there. */
int path_check_free(struct making *m, const struct at *at, struct str path);
/* A PathPrefix in the form of the model: without its trailing slash. */
struct str path_prefix(struct str path);

/* filter.c: the filters of a rule, or of one share of it (of_backend). */
int filters_make(struct making *m, const struct at *at, const struct kube_route_rule *rule,
                 const struct kube_filter *k, uint32_t n, bool of_backend,
                 struct model_filter **filters, uint32_t *n_filters);

/* settings.c: numbers that Route and TrafficPolicy share. */
int timeouts_make(struct making *m, const struct at *at, const struct kube_timeouts *k,
                  struct model_timeouts **o);
int retry_make(struct making *m, const struct at *at, const struct kube_retry *k,
               struct model_retry **o);
/* 0 = absent; a time that is too long is refused. zero: what 0s means. */
int span_make(struct making *m, const struct at *at, const char *name, int64_t ms, bool may_be_zero,
              uint64_t *o);

/* annotation.c: those of another controller. Warns; closes the Ingress when one restricts access
 * and the class does not say Warn. */
void foreign_annotations(struct making *m, const struct class_ *class);

#endif
