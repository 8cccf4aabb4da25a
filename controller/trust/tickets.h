/* SPDX-License-Identifier: Apache-2.0
 *
 * tickets: the keys of TLS session tickets, or those of sessions, and what of them is due
 * (lib/ticket.h has the times). Each has a set of its own.
 *
 *     --link-secret          made here, kept in that Secret: all replicas have the same ones
 *     one of cert-manager's  derived from tls.key and the time: the same at all replicas, too
 *     --source dir:          made here, in memory; those of sessions are the fleet's, if it has some
 *     kube, no Secret        none: replicas could not agree; proxies give no tickets, and nobody
 *                            can log in
 *
 * Pure but for the random numbers: times come in, no I/O.
 */
#ifndef SLUICE_CONTROLLER_TRUST_TICKETS_H
#define SLUICE_CONTROLLER_TRUST_TICKETS_H

#include "lib/ticket.h"

#include <openssl/evp.h>

struct tickets {
    uint32_t n, period_s;
    struct {
        int64_t from;
        char secret[TICKET_SECRET];
    } v[TICKET_KEYS_MAX];
};

void tickets_fini(struct tickets *t); /* empty afterwards */
/* Makes what is missing or due, drops what is over. Whether anything has changed. */
bool tickets_renew(struct tickets *t, int64_t now, uint32_t period_s);
int64_t tickets_due(const struct tickets *t); /* when that will change something */
/* label: "ticket" or "session"; keys of one say nothing about the others. */
void tickets_derive(struct tickets *t, EVP_PKEY *key, const char *label, int64_t now,
                    uint32_t period_s);

bool tickets_equal(const struct tickets *a, const struct tickets *b);
struct object *tickets_object(const struct tickets *t);          /* a count */
struct object *tickets_sessions_object(const struct tickets *t); /* likewise */

/* As they are kept. False: these are none; *t is empty then. */
bool tickets_read(struct tickets *t, struct str bytes);
void tickets_write(const struct tickets *t, struct out *o);

#endif
