/* SPDX-License-Identifier: Apache-2.0 */
#define OPENSSL_SUPPRESS_DEPRECATED /* as in mac.c: EVP_DigestInit takes memory at every use */
#include "lib/credential.h"

#include "lib/mem.h"

#include <openssl/sha.h>

struct credential_scratch {
    SHA256_CTX ctx;
};

struct credential_scratch *credential_scratch_new(void) {
    return mem_zalloc(sizeof(struct credential_scratch));
}

void credential_scratch_free(struct credential_scratch *s) { mem_free(s); }

void credential_digest(struct credential_scratch *s, const char *method, struct str a, struct str b,
                       char digest[CREDENTIAL_DIGEST]) {
    static const char what[] = "sluice.dev/credential"; /* its NUL divides */
    unsigned char whole[SHA256_DIGEST_LENGTH];
    uint64_t n = a.n; /* little-endian on every machine that this runs on */
    must(SHA256_Init(&s->ctx) == 1);
    must(SHA256_Update(&s->ctx, what, sizeof(what)) == 1);
    must(SHA256_Update(&s->ctx, method, strlen(method) + 1) == 1);
    must(SHA256_Update(&s->ctx, &n, sizeof(n)) == 1);
    must(SHA256_Update(&s->ctx, a.p, a.n) == 1);
    must(SHA256_Update(&s->ctx, b.p, b.n) == 1);
    must(SHA256_Final(whole, &s->ctx) == 1);
    memcpy(digest, whole, CREDENTIAL_DIGEST);
}
