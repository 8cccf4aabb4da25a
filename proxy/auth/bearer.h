/* SPDX-License-Identifier: Apache-2.0
 *
 * bearer: JSON Web Tokens, and the memory of those that were good. To verify a signature costs a
 * hundred times what all else costs, and a client shows the same token again and again:
 *
 *     bytes of the token ─► struct bearer ─► its claims
 *                             └ judged: the methods (and versions of their keys) that it passed
 *
 * Found by the end of its signature and then by all of its bytes. A token is forgotten when
 * its place is needed (the one that was not shown for the longest time), and counts no more when it
 * is over, and as soon as the policy, the keys, or the Consumer whose secret has signed it are
 * others: then it is verified anew. What was
 * refused is not remembered. A worker's own.
 */
#ifndef SLUICE_PROXY_AUTH_BEARER_H
#define SLUICE_PROXY_AUTH_BEARER_H

#include "lib/claims.h"
#include "lib/model.h"

enum {
    BEARERS_MAX = 4096,          /* of one worker */
    BEARERS_BYTES_MAX = 8 << 20, /* that they take */
};

struct bearer;
struct bearers;
struct jwt_scratch;

struct bearers *bearers_new(void);
void bearers_free(struct bearers *t); /* NULL is fine */
size_t bearers_count(const struct bearers *t);
struct jwt_scratch *bearers_scratch(const struct bearers *t);

/* One that another one vouches for: what it says is copied; of whoever asks for it. NULL: no
 * memory. */
struct bearer *bearer_of(const struct claims *said) MUST_USE;
void bearer_free(struct bearer *t); /* NULL is fine */
size_t bearer_size(const struct bearer *t);

/* One that another one vouches for: what it says is copied; of whoever asks for it. NULL: no
 * memory. */
struct bearer *bearer_of(const struct claims *said) MUST_USE;
void bearer_free(struct bearer *t); /* NULL is fine */
size_t bearer_size(const struct bearer *t);

const struct claims *bearer_claims(const struct bearer *t);
struct str bearer_subject(const struct bearer *t); /* n == 0: none */
struct str bearer_issuer(const struct bearer *t);  /* likewise */
const struct claim *bearer_claim(const struct bearer *t, const struct str *path, size_t n);
/* The claim that scopes are in; NULL: there is none. */
const struct claim *bearer_scopes(const struct bearer *t, const struct model_auth_jwt *jwt);
/* Whether one of its words, or of its elements, is that. */
bool bearer_has(const struct bearer *t, const struct claim *c, struct str word);

#endif
