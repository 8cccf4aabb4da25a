/* SPDX-License-Identifier: Apache-2.0
 *
 * verify: passwords that threads are at (lib/slow.h). However many requests show the same one
 * meanwhile, it is verified once: a client whose password was changed comes with all its requests
 * at once, and would else fill the queue by itself.
 *
 *     request ─► verification ◄─ request      by a key of the stored form and the password
 *     (an errand)    │  (an errand)           (verified.h)
 *                    └─ thread ─► good? ─► each errand is done
 *
 * When the last of them gives up, it is taken back, if no thread has it yet. Passwords are wiped. A
 * worker's own.
 */
#ifndef SLUICE_PROXY_AUTH_VERIFY_H
#define SLUICE_PROXY_AUTH_VERIFY_H

#include "lib/hash.h"
#include "lib/slow.h"
#include "proxy/errand/errand.h"

struct verifications;

struct verifications *verifications_new(void);
void verifications_free(struct verifications *v);          /* their desk is gone; NULL is fine */
size_t verifications_count(const struct verifications *v); /* that run or wait */

struct verify_want {
    struct hash_wide key; /* the same for the same work */
    struct str stored;    /* n == 0: nobody's, and only the time counts; copied */
    struct str password;  /* copied */
    bool exists;          /* else it is somebody else's, and never good */
};

/* It belongs to the request. Done at once, with OVERLOADED, when too much of this waits already. */
struct errand *verify_start(struct verifications *v, struct slow_desk *desk, struct errands *all,
                            const void *about, const struct verify_want *want);
/* Of one that is done, without a reason. */
bool verify_is_good(const struct errand *e);

/* The same, here and now. */
bool verify_now(struct str stored, bool exists, struct str password);

#endif
