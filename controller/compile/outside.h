/* SPDX-License-Identifier: Apache-2.0
 *
 * outside: a place outside of the cluster that a policy names by its address, as something that a
 * proxy can call: a backend of the policy's own.
 *
 *     https://idp.example.com:8443/token?a=b
 *             └───── host ──┘ port └ target ┘
 *          │                        caRef ──► authorities
 *          ▼                                   ▼
 *     a name ───────► backend: external_name, TLS verified for it
 *     an address ───► backend: endpoints,     TLS verified for it (no SNI, RFC 6066 3)
 *
 * Only public addresses are dialled, and those of GatewayConfig auth.allowedPrivateCIDRs (S37). Of
 * an address that is said here; what DNS makes of a name is judged by each proxy, whenever it
 * changes (model: backend.guarded), and never leads to loopback or link-local.
 */
#ifndef SLUICE_CONTROLLER_COMPILE_OUTSIDE_H
#define SLUICE_CONTROLLER_COMPILE_OUTSIDE_H

#include "controller/compile/unit.h"

struct outside {
    struct str host;      /* lower case; of an IPv6 address without brackets */
    struct str address;   /* 4 or 16 bytes if the host is one, else n == 0 */
    uint64_t port;        /* 443 where none is written */
    struct str authority; /* what a Host field must say */
    struct str target;    /* path and query, "/" at least */
};

/* In `a`, or borrowed from uri. -1 with why->text: no https, a user, a fragment, ... */
int outside_read(struct outside *o, struct arena *a, struct str uri, struct why *why) MUST_USE;

/* Makes the backend of the policy of m->u: what is asked there under a method's name, as "idp" or
 * "idp.token". ca may be NULL: the system's authorities. The backend's id; n == 0: it must not be
 * asked, and close_as() was told why at `at`, or at ca_at. */
struct str outside_backend(struct making *m, const struct at *at, struct str what,
                           const struct outside *o, const struct at *ca_at,
                           const struct kube_ca_ref *ca);

/* The same in two steps, for whoever is no policy. b has a namespace and a service; the rest is
 * filled in. False: it must not be asked, as above. */
bool outside_fill(struct making *m, const struct resource *from, const struct at *at,
                  const struct outside *o, const struct at *ca_at, const struct kube_ca_ref *ca,
                  struct model_backend *b) MUST_USE;
/* The backend's id, backend/NAMESPACE/name/what; n == 0: it would be too large. */
struct str outside_put(struct making *m, struct str name, struct str what, const struct outside *o,
                       struct model_backend *b);

#endif
