/* SPDX-License-Identifier: Apache-2.0
 *
 * trust: what endpoints of a backend must prove and are shown, from the law to what net/tls_client
 * takes. Parsed at the first connection that needs it, and kept, the last used first:
 *
 *     backend ── slot, id, version ──► trust ──► struct tls_client ──► conn_connect_secure()
 *     tls: CA, names, certificate        └ another version: parsed anew; connections that stand
 *                                          stay, in a pool of the old version (route/compile.c)
 *
 * The worker's thread.
 */
#ifndef SLUICE_PROXY_UPSTREAM_TRUST_H
#define SLUICE_PROXY_UPSTREAM_TRUST_H

#include "lib/list.h"
#include "proxy/net/tls_client.h"
#include "proxy/route/snapshot.h"

enum { TRUSTS_MAX = 256 }; /* that are kept, about 40 kB each */

struct trusts { /* all zero but for list: none */
    struct list list;
    uint32_t n;
    X509_STORE *system; /* the system's authorities; NULL: not needed yet */
};

void trusts_init(struct trusts *t);
void trusts_fini(struct trusts *t);
/* Those that the law says no more are forgotten. */
void trusts_adopt(struct trusts *t, const struct snapshot *law);

/* For a backend with TLS. NULL: it cannot be used, which was logged. */
struct tls_client *trust_of(struct trusts *t, const struct backend *b);

#endif
