/* SPDX-License-Identifier: Apache-2.0
 *
 * signing: the keys of internal tokens, and what of them is due (lib/signing.h has the times).
 *
 *     --link-secret          made here, kept in that Secret: all replicas have the same ones
 *     one of cert-manager's  none: it is not ours to write
 *     --source dir:          made here, in memory; after a restart the proxies are asked for them
 *     kube, no Secret        none: replicas could not agree
 *
 * Pure but for the keys themselves: times come in, no I/O.
 */
#ifndef SLUICE_CONTROLLER_TRUST_SIGNING_H
#define SLUICE_CONTROLLER_TRUST_SIGNING_H

#include "lib/signing.h"

struct signing {
    uint32_t n, period_s;
    struct {
        int64_t from;
        size_t n_secret;
        char secret[SIGNING_SECRET_MAX];
    } v[SIGNING_KEYS_MAX];
};

void signing_fini(struct signing *s); /* empty afterwards */
/* Makes what is missing or due, drops what is over. Whether anything has changed. */
bool signing_renew(struct signing *s, int64_t now, uint32_t period_s);
int64_t signing_due(const struct signing *s); /* when that will change something */

bool signing_equal(const struct signing *a, const struct signing *b);
struct object *signing_object(const struct signing *s); /* a count */

/* As they are kept. False: these are none; *s is empty then. */
bool signing_read(struct signing *s, struct str bytes);
void signing_write(const struct signing *s, struct out *o);

#endif
