/* SPDX-License-Identifier: Apache-2.0
 *
 * lookup: the addresses behind one name of the cluster, a headless Service, asked of DNS again and
 * again: every ten seconds or so, and soon when something there has failed. (Backends outside the
 * cluster are resolve's: other rules hold for what may be dialled there.)
 *
 * Of a Service of both families each pod is there twice; one way to it is enough, so IPv6 counts
 * only where there is no IPv4.
 *
 * DNS that does not answer, fails or denies the name changes nothing. Main thread, on its
 * event_base. The DNS library must outlive every lookup, and be freed so that what is open fails:
 * a question may outlive its lookup.
 */
#ifndef SLUICE_PROXY_CONFIG_LOOKUP_H
#define SLUICE_PROXY_CONFIG_LOOKUP_H

#include "proxy/config/address.h"

struct event_base;
struct evdns_base;
struct lookup;

/* found: the addresses of an answer, of one family, sorted, at least one; after each answer, also
 * an equal one. */
struct lookup *lookup_new(struct event_base *base, struct evdns_base *dns, const char *name,
                          void (*found)(void *arg, struct lookup *l, const struct addresses *all),
                          void *arg);
/* Nothing is called any more. NULL is fine. */
void lookup_free(struct lookup *l);
void lookup_soon(struct lookup *l); /* within a second or two instead */
const char *lookup_name(const struct lookup *l);

#endif
