/* SPDX-License-Identifier: Apache-2.0
 *
 * credential: by what a Consumer's credential is found. Both programs make the same sixteen bytes
 * of it: the controller when it reads the Secret, a worker when a request shows it. The secret
 * itself never leaves the controller.
 *
 *     SHA-256("sluice.dev/credential" 0 method 0 length(a) a b), its first 16 bytes
 *
 *     method     a                 b
 *     apiKey     the key
 *     jwt        iss               sub
 *     clientCertificate  "Hostname", "URI", "Email", "commonName" or "fingerprint"   that of the
 * certificate
 *
 * It is not salted, so that one hash finds it among millions: a key must be long and random, as all
 * generated ones are. Without its digest nothing can be found out about it by trying (the tables
 * that are searched are keyed by what nobody can choose).
 */
#ifndef SLUICE_LIB_CREDENTIAL_H
#define SLUICE_LIB_CREDENTIAL_H

#include "lib/str.h"

enum { CREDENTIAL_DIGEST = 16 }; /* bytes */

/* Room to hash in, of one thread; what is taken from it costs no memory. */
struct credential_scratch;
struct credential_scratch *credential_scratch_new(void);
void credential_scratch_free(struct credential_scratch *s); /* NULL is fine */

void credential_digest(struct credential_scratch *s, const char *method, struct str a, struct str b,
                       char digest[CREDENTIAL_DIGEST]);

#endif
