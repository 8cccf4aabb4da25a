/* SPDX-License-Identifier: Apache-2.0
 *
 * certificate: a Secret that Routes and Ingresses name, as an object; and what they are told of it.
 *
 *     Route ── certificate_ref ──► unit Certificate/NS/SECRET ── store_read ──► Secret
 *       ▲                                  └──► certificate/NS/SECRET
 *       └── touched when the answer is another one
 *
 *     the Secret                          its object       whoever names it
 *     is still unknown                    stays            stays, and compiles again
 *     is good                             is made          has its warnings: expired, a gap ...
 *     is bad, or may not be read          stays            InvalidCertificateRef, and why
 *     is not there                        goes             InvalidCertificateRef
 *
 * One that stays and never was (this process is new) is asked for from the fleet: lost.
 */
#ifndef SLUICE_CONTROLLER_COMPILE_CERTIFICATE_H
#define SLUICE_CONTROLLER_COMPILE_CERTIFICATE_H

#include "controller/compile/unit.h"

enum certificate_state {
    CERTIFICATE_UNKNOWN,
    CERTIFICATE_GOOD,
    CERTIFICATE_BAD,
    CERTIFICATE_ABSENT,
};

void certificate_begin(struct compiler *c, struct unit *u); /* unit_get() calls it */
void certificate_compile(struct making *m);
/* Readers look again if they see something new: what the unit says, of which the hash is said, or
 * other names. A key that is rotated is no news to them. */
void certificate_tell(struct compiler *c, struct unit *u, uint64_t said);

/* The unit has something that ends then: it is compiled again, for the warning. Of several the next
 * one counts. */
void certificate_expires(struct making *m, uint64_t seconds);

struct certificate_ref {
    struct str id;     /* whether there is an object of it or not */
    struct str *names; /* DNS names of the object, in m's arena */
    uint32_t n_names;
    bool live; /* there is an object */
};

/* Why there can be no certificate in what k refers to; NULL: there can. */
const char *certificate_ref_fault(struct making *m, const struct kube_certificate_ref *k);
/* The certificate in a Secret of that namespace, which is wanted from now on; what is to be said of
 * it is said at `at`, where it is called `shown` ("Secret shop-tls"). Sets m->wait or m->keep. */
void certificate_ref(struct making *m, const struct at *at, const char *shown, struct str ns,
                     struct str name, struct certificate_ref *ref);

#endif
