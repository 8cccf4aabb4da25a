/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz certificate: a Secret's tls.crt, a NUL, its tls.key; and the same bytes as a chain of the
 * model. What is taken can be taken apart again.
 */
#include "lib/certificate.h"
#include "tests/fuzz/fuzz.h"

#include <openssl/evp.h>

static void describe(struct str chain, struct arena *a, bool ours) {
    struct str der;
    unsigned n = 0;
    while (certificate_next(&chain, &der)) {
        struct certificate_info info;
        struct why why = {0};
        int rc = certificate_describe(der, a, &info, &why);
        must(why_set(&why) == (rc != 0));
        must(info.subject.n <= 256 && info.issuer.n <= 256);
        n++;
    }
    must(!ours || (chain.n == 0 && n > 0 && n <= CERTIFICATE_CHAIN_MAX));
}

static void check(const struct certificate *c, struct arena *a) {
    const unsigned char *at = (const unsigned char *)c->key.p;
    EVP_PKEY *key = d2i_AutoPrivateKey(NULL, &at, (long)c->key.n);
    must(key && at == (const unsigned char *)c->key.p + c->key.n);
    EVP_PKEY_free(key);
    describe(c->chain, a, true);
    for (uint32_t i = 0; i < c->n_names; i++) {
        must(c->names[i].n > 0 && c->names[i].n <= 253);
        must(i == 0 || str_cmp(c->names[i - 1], c->names[i]) < 0);
        must(certificate_covers(c->names, c->n_names, c->names[i]));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    struct str key, all = str_mk((const char *)data, n), crt;
    struct certificate c;
    struct why why = {0};
    struct arena a;
    arena_init(&a);
    key = str_cut(all, 0, &crt);
    int rc = certificate_read(crt, key, &a, &c, &why);
    must(why_set(&why) == (rc != 0));
    if (rc == 0)
        check(&c, &a);
    describe(all, &a, false);
    arena_fini(&a);
    return 0;
}
