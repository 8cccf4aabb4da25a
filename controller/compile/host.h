/* SPDX-License-Identifier: Apache-2.0
 *
 * host: who claims a hostname of a class, and who of them has it (hostOwnership).
 *
 *     Route, Ingress ── claim ──► struct host ◄── claim ── Route, Ingress
 *          ▲                          │ decided by its unit, Host/CLASS/HOSTNAME
 *          └── touched when the answer for some namespace changes
 *
 * Claims outlive what makes them: a resource that is refused keeps the claims of its last good
 * version, so that a typo gives no hostname away.
 *
 * Oldest: the namespace of the oldest claim has it. When its last claim goes, the host stays
 * reserved for it until compile_release(); when it claims again in that time it goes on having it,
 * though its claims are younger now.
 */
#ifndef SLUICE_CONTROLLER_COMPILE_HOST_H
#define SLUICE_CONTROLLER_COMPILE_HOST_H

#include "controller/compile/class.h"

enum { HOST_CERTIFICATES_MAX = 16 }; /* of the oldest claims, when there are more */

enum host_answer { HOST_GRANTED, HOST_TAKEN, HOST_RESERVED, HOST_NOT_ASSIGNED };

struct host_claim {
    struct list unit_link, host_link;
    struct host *host;
    struct unit *unit;
    uint64_t created;
    enum host_answer answer; /* once the host is decided */
    struct str tls; /* encoded route_tls, owned: what it brings to the host; n == 0: none */
};

struct host {
    struct list link; /* of the compiler's reserved ones */
    struct unit *unit;
    struct list claims;
    struct str owner; /* namespace, owned; Oldest only */
    bool reserved;    /* the owner has no claim any more */
    bool sticky;      /* it came back while the host was reserved */
    bool contested;   /* more than one namespace claims it */
    uint64_t release_after_ms;
    uint64_t decision; /* hash of what readers see */
};

void host_begin(struct unit *u);                   /* unit_get() calls it */
void host_end(struct compiler *c, struct unit *u); /* no claims may be left */
bool host_is_reserved(const struct unit *u);
bool host_is_idle(const struct unit *u); /* neither claimed nor reserved */
void host_compile(struct making *m);

/* The claims of u are these now. class may be NULL when there are none. */
void claims_take(struct compiler *c, struct unit *u, const struct class_ *class,
                 const struct str *hosts, size_t n_hosts);
void claims_restore(struct compiler *c, struct unit *u); /* from the hosts of its live routes */
bool claims_wait(const struct unit *u);                  /* some host of u is still to be decided */
/* The claim of m->u on a hostname, recorded as read. NULL: it has none. */
const struct host_claim *claim_read(struct making *m, struct str hostname);

/* What the claim of u brings to the host: certificates. tls may be NULL. */
void claim_certify(struct compiler *c, struct unit *u, struct str class, struct str hostname,
                   const struct model_route_tls *tls);

struct str host_id(struct arena *a, struct str class, struct str hostname);

#endif
