/* SPDX-License-Identifier: Apache-2.0
 *
 * resolve: the addresses of backends outside the cluster (Services of type ExternalName), asked of
 * DNS off the request path. Every name is asked once, however many backends have it; for each port
 * of it there is one endpoints object (external_endpoints_id), which the builder joins to the
 * backends by its id.
 *
 *   resolve_backend ──► names ──► A and AAAA ──► addresses ──► changed(endpoints objects)
 *                        ▲                          │
 *                        └── after the TTL, or ◄────┘
 *                            after a back-off
 *
 * Addresses are kept until DNS has better ones: a server that does not answer, fails or denies the
 * name changes nothing. Addresses of this machine, of its neighbours on the link and of groups are
 * never used, whatever DNS says. Answers are asked for in datagrams alone: about 28 addresses of a
 * family fit. Main thread, on its event_base; DNS is not touched before the first name.
 */
#ifndef SLUICE_PROXY_CONFIG_RESOLVE_H
#define SLUICE_PROXY_CONFIG_RESOLVE_H

#include "lib/model.h"

struct event_base;
struct resolve;

struct resolve_options {
    const char *nameserver; /* "ADDRESS:PORT"; NULL: those of /etc/resolv.conf */
    /* Endpoints that are new or have changed; an object of kind MODEL_KIND_NONE says that there are
     * none by its id any more. From the loop; the objects are only lent. */
    void (*changed)(void *arg, struct object *const *objects, size_t n);
    void *arg;
    bool (*routed)(struct str address); /* NULL: the kernel is asked */
    /* Bounds of the times between two questions; 0: 5 s, 5 min, 1 s, 30 s */
    uint32_t ttl_min_ms, ttl_max_ms, retry_min_ms, retry_max_ms;
};

struct resolve *resolve_new(struct event_base *base, const struct resolve_options *o);
/* Not from a callback of the loop. */
void resolve_free(struct resolve *r);

/* A backend has come (before NULL), has changed or has gone (after NULL). */
void resolve_backend(struct resolve *r, const struct object *before, const struct object *after);

/* Whether an address of 4 or 16 bytes may be dialled: it is not loopback, unspecified, link-local,
 * multicast or broadcast, also not inside IPv6 (mapped, compatible, NAT64). */
bool resolve_address_ok(struct str address);

#endif
