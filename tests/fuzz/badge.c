/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz badge: certificates as a client shows them, one after the other in DER; the first is its
 * own. What is found in them can be compared and written into a head.
 */
#include "proxy/auth/badge.h"
#include "tests/fuzz/fuzz.h"

#include "lib/pem.h"
#include "proxy/route/build.h"

enum { NOW = 1800000000 };

static void check_text(struct str s) {
    for (size_t i = 0; i < s.n; i++)
        must(s.p[i] > ' ' && s.p[i] <= '~');
}

static void check_names(const struct badge *b) {
    uint32_t n;
    const struct badge_name *all = badge_names(b, &n);
    must(n <= BADGE_NAMES_MAX);
    for (uint32_t i = 0; i < n; i++) {
        must(all[i].text.n > 0 && all[i].text.n <= BADGE_NAME_MAX);
        check_text(all[i].text);
    }
    struct str name = badge_common_name(b);
    for (size_t i = 0; i < name.n; i++)
        must((unsigned char)name.p[i] >= ' ' && name.p[i] != 0x7f);
}

/* Lines, and nothing between them that could be another one. */
static void check_fields(struct str fields) {
    struct str line;
    while (fields.n > 0) {
        struct str rest = str_cut(fields, '\r', &line);
        must(str_starts(line, STR("client-cert: :")) ||
             str_starts(line, STR("client-cert-chain: :")));
        must(str_ends(line, STR(":")) && str_find(line, '\n', 0) == line.n);
        must(rest.n > 0 && rest.p[0] == '\n');
        fields = str_skip(rest, 1);
    }
}

static bool read_chain(struct tls_peer *p, const uint8_t *data, size_t size) {
    const unsigned char *at = data, *end = data + size;
    unsigned n;
    p->leaf = d2i_X509(NULL, &at, (long)size);
    p->others = sk_X509_new_null();
    for (int i = 0; p->leaf && i < 8 && at < end; i++) {
        X509 *x = d2i_X509(NULL, &at, (long)(end - at));
        if (!x)
            break;
        must(sk_X509_push(p->others, x) > 0);
    }
    return p->leaf && X509_digest(p->leaf, EVP_sha256(), p->fingerprint, &n) == 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct badges *all = badges_new();
    static struct credential_scratch *scratch;
    struct tls_peer p = {0};
    struct terms terms;
    const char *why = NULL;
    struct out pem = out_heap(1 << 20);
    if (!scratch)
        scratch = credential_scratch_new();
    struct badge *b = read_chain(&p, data, size) ? badge_of(all, &p, scratch) : NULL;
    if (b) {
        must(badge_of(all, &p, scratch) == b && badges_count(all) == 1);
        check_names(b);
        int n = sk_X509_num(p.others);
        pem_put_cert(&pem, n > 0 ? sk_X509_value(p.others, n - 1) : p.leaf);
        terms_make(out_done(&pem), STR_NONE, &terms);
        enum badge_told told = badge_meets(all, b, &p, &terms, NOW, &why);
        must(told == BADGE_GOOD || why);
        must(badge_meets(all, b, &p, &terms, NOW, &why) == told);
        must(badges_verified(all) <= 1);
        check_fields(badge_fields(all, b, &p));
    }
    out_fini(&pem);
    X509_free(p.leaf);
    sk_X509_pop_free(p.others, X509_free);
    badges_free(all);
    return 0;
}
