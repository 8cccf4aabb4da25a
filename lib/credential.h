/* SPDX-License-Identifier: Apache-2.0
 *
 * credential: by what a Consumer's credential is found. Both programs make the same sixteen bytes
 * of it: the controller when it reads the Secret, a worker when a request shows it. A key itself
 * never leaves the controller; a secret that something is signed with does, as the model's
 * credential.secret, since nobody can verify without it.
 *
 *     SHA-256("sluice.dev/credential" 0 method 0 length(a) a b), its first 16 bytes
 *
 *     method       a                   b
 *     apiKey       the key
 *     jwt          iss                 sub
 *     jwt secret   NAMESPACE/CLAIM     what the claim, or header parameter, says
 *     hmac         NAMESPACE           keyid
 *     basic        user name           NAMESPACE
 *     clientCertificate   what of it   "Hostname", "URI", "Email", "commonName" or "fingerprint"
 * (a), its value (b)
 *
 * What anybody may choose (a keyid, a user name) is another one in each namespace, so that nobody
 * takes it from somebody else.
 *
 * It is not salted, so that one hash finds it among millions: a key must be long and random, as all
 * generated ones are. Without its digest nothing can be found out about it by trying (the tables
 * that are searched are keyed by what nobody can choose).
 */
#ifndef SLUICE_LIB_CREDENTIAL_H
#define SLUICE_LIB_CREDENTIAL_H

#include "lib/str.h"

enum { CREDENTIAL_DIGEST = 16 };           /* bytes */
#define CREDENTIAL_JWT_SECRET "jwt secret" /* as a method: no word of the model's is like it */

/* Room to hash in, of one thread; what is taken from it costs no memory. */
struct credential_scratch;
struct credential_scratch *credential_scratch_new(void);
void credential_scratch_free(struct credential_scratch *s); /* NULL is fine */

void credential_digest(struct credential_scratch *s, const char *method, struct str a, struct str b,
                       char digest[CREDENTIAL_DIGEST]);

#endif
