/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/credential.h"

#include "lib/mem.h"

#include <openssl/evp.h>

struct credential_scratch {
    EVP_MD *hash; /* fetched once: to look for it costs more than to use it */
    EVP_MD_CTX *ctx;
};

struct credential_scratch *credential_scratch_new(void) {
    struct credential_scratch *s = mem_zalloc(sizeof(*s));
    s->hash = EVP_MD_fetch(NULL, "SHA256", NULL);
    s->ctx = EVP_MD_CTX_new();
    must(s->hash && s->ctx);
    return s;
}

void credential_scratch_free(struct credential_scratch *s) {
    if (!s)
        return;
    EVP_MD_CTX_free(s->ctx);
    EVP_MD_free(s->hash);
    mem_free(s);
}

void credential_digest(struct credential_scratch *s, const char *method, struct str a, struct str b,
                       char digest[CREDENTIAL_DIGEST]) {
    static const char what[] = "sluice.dev/credential"; /* its NUL divides */
    unsigned char whole[EVP_MAX_MD_SIZE];
    uint64_t n = a.n; /* little-endian on every machine that this runs on */
    must(EVP_DigestInit_ex2(s->ctx, s->hash, NULL) == 1);
    must(EVP_DigestUpdate(s->ctx, what, sizeof(what)) == 1);
    must(EVP_DigestUpdate(s->ctx, method, strlen(method) + 1) == 1);
    must(EVP_DigestUpdate(s->ctx, &n, sizeof(n)) == 1);
    must(EVP_DigestUpdate(s->ctx, a.p, a.n) == 1);
    must(EVP_DigestUpdate(s->ctx, b.p, b.n) == 1);
    must(EVP_DigestFinal_ex(s->ctx, whole, NULL) == 1);
    memcpy(digest, whole, CREDENTIAL_DIGEST);
}
