/* SPDX-License-Identifier: Apache-2.0
 *
 * link_secret: what the controller keeps in its Secret, and what of it is due.
 *
 *     ca.crt, ca.key            the CA that signs               10 years, renewed after 2/3
 *     tls.crt, tls.key          the leaf of the link            90 days, renewed after 2/3
 *     ca-next.crt, ca-next.key  the CA that will sign           published for a day before it does
 *     ca-old.crt                the CA that has signed          published for two days longer
 *     tickets                   keys of session tickets         see tickets.h
 *     sessions                  keys of sessions                likewise
 *     signing                   keys of internal tokens         see signing.h
 *
 *     one CA ──2/3──► ca + next ──a day, and published──► new ca + old ──two days──► one CA
 *                                 the leaf is made anew
 *
 * How long each has been there is read from its certificate, so nothing else needs to be kept. A
 * Secret of type kubernetes.io/tls is somebody else's (cert-manager's): ca.crt, tls.crt and tls.key
 * are used as they are, and nothing is due.
 *
 * Pure: times come in, no I/O.
 */
#ifndef SLUICE_CONTROLLER_TRUST_LINK_SECRET_H
#define SLUICE_CONTROLLER_TRUST_LINK_SECRET_H

#include "controller/trust/pki.h"
#include "controller/trust/signing.h"
#include "controller/trust/tickets.h"
#include "lib/json.h"

enum {
    LINK_CA_S = 3650 * 86400,
    LINK_LEAF_S = 90 * 86400,
    LINK_OVERLAP_S = 86400,
};

struct link_secret {
    bool foreign;                   /* not ours to write */
    struct pki_pair ca, next, leaf; /* of a foreign one the leaf alone */
    X509 *old;                      /* NULL: none */
    struct out chain;               /* PEM of the leaf and what follows it in tls.crt */
    struct out foreign_ca;          /* PEM */
    struct tickets tickets;         /* of a foreign one derived */
    struct tickets sessions;        /* likewise */
    struct signing signing;         /* of a foreign one none */
};

void link_secret_fini(struct link_secret *s); /* empty afterwards */

/* From the JSON of a Secret. One without any of the keys above is ours and empty. -1 with *why. */
int link_secret_read(struct link_secret *s, const cJSON *secret, struct why *why) MUST_USE;
/* Makes what is missing or due. published: proxies can see all of link_secret_cas() by now; names:
 * of the leaf; ticket_s, signing_s: periods of keys of tickets and of internal tokens (0: none).
 * Whether anything has changed, and so must be written before it is used. */
bool link_secret_renew(struct link_secret *s, int64_t now, bool published, const char *const *names,
                       size_t n, uint32_t ticket_s, uint32_t signing_s);

/* "data" of the Secret, as a JSON object; of a patch keys that must go are null. */
void link_secret_data(const struct link_secret *s, bool patch, struct out *o);
void link_secret_cas(const struct link_secret *s, struct out *o);  /* PEM, for proxies */
void link_secret_cert(const struct link_secret *s, struct out *o); /* PEM, of the leaf and chain */
void link_secret_key(const struct link_secret *s, struct out *o);

#endif
