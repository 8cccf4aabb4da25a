/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz signature: a byte that chooses the rules, then a request head: RFC 9421, Kong's hmac-auth,
 * and the digests of bodies. What is read can be written, and a signature that nobody made does not
 * match.
 */
#include "proxy/http/signature.h"
#include "proxy/http/digest.h"
#include "proxy/http/h1.h"
#include "proxy/http/kong_hmac.h"
#include "tests/fuzz/fuzz.h"

static const struct head *parse(const char *p, size_t n) {
    static struct head h;
    static const struct head_limits limits = {HEAD_BYTES_MAX, 256, 100};
    size_t skipped;
    enum reason reason;
    const char *detail;
    return h1_parse_request(&(struct h1_scan){0}, p, n, &limits, &h, &skipped, &reason, &detail) ==
                   H1_DONE
               ? &h
               : NULL;
}

static bool is_line(struct str s) {
    return str_find(s, '\n', 0) == s.n && str_find(s, '\r', 0) == s.n;
}

/* Of the base each component is one line, and the parameters the last: nothing in a value can look
 * like a line of its own. */
static void check_base(const struct signature *s, struct str base) {
    struct str line;
    for (unsigned i = 0; i < s->n_parts; i++) {
        base = str_cut(base, '\n', &line);
        must(str_starts(line, s->parts[i].text) && is_line(line));
    }
    must(is_line(base) && str_starts(base, STR("\"@signature-params\": ")));
}

static struct mac_scratch *macs;

static void rfc_9421(const struct head *h, unsigned rules) {
    static struct signature s;
    static char room[SIGNATURE_BASE_MAX];
    static const struct str parts[] = {STR("@method"), STR("content-digest")};
    const struct signature_rules r = {.tag = (rules & 1) != 0 ? STR("gate") : STR_NONE,
                                      .parts = parts,
                                      .n_parts = rules >> 1 & 1,
                                      .body = (rules & 4) != 0,
                                      .max_age_s = (rules & 8) != 0 ? 60 : 0,
                                      .skew_s = 30};
    const struct signature_key key = {MAC_SHA256, STR("secret")};
    const char *detail = NULL;
    struct out o = out_fixed(room, sizeof(room));
    enum signature_found found = signature_read(&s, h, &r, 1618884473, &detail);
    must((found == SIGNATURE_BAD) == (detail != NULL));
    if (found != SIGNATURE_READ)
        return;
    must(s.keyid.n > 0 && s.mac_n > 0 && s.n_parts <= SIGNATURE_PARTS);
    bool good = signature_base(&s, h, (rules & 16) != 0, &o, &detail);
    must(good || detail != NULL);
    if (good)
        check_base(&s, out_done(&o));
    must(!signature_verify(&s, h, (rules & 16) != 0, &key, macs, &detail));
}

static void kong(const struct head *h, unsigned rules) {
    static char room[KONG_HMAC_TEXT_MAX];
    const struct kong_hmac_rules r = {
        .macs = 1U << MAC_SHA256 | 1U << MAC_SHA1, .body = (rules & 4) != 0, .skew_s = 300};
    struct kong_hmac k;
    const char *detail = NULL;
    struct out o = out_fixed(room, sizeof(room));
    enum kong_hmac_found found = kong_hmac_read(&k, h, &r, 1498151721, &detail);
    must((found == KONG_HMAC_BAD) == (detail != NULL));
    if (found != KONG_HMAC_READ)
        return;
    must(k.username.n > 0 && k.names.n > 0 && k.tag_n == mac_size(k.mac));
    (void)!kong_hmac_text(&k, h, STR("1.1"), &o);
    must(!kong_hmac_verify(&k, h, STR("1.1"), STR("other"), macs, &detail));
}

static void digests(const struct head *h) {
    struct body_digest d;
    const char *detail = NULL;
    for (int i = 0; i < 2; i++) {
        enum digest_found found =
            i == 0 ? digest_read(&d, h, &detail) : digest_read_kong(&d, h, &detail);
        if (found != DIGEST_FOUND)
            continue;
        must(d.n == 32 || d.n == 64);
        must(!digest_is_of(&d, macs, STR("no body of anybody's")));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1)
        return 0;
    if (macs == NULL)
        macs = mac_scratch_new();
    const struct head *h = parse((const char *)data + 1, size - 1);
    if (h == NULL)
        return 0;
    rfc_9421(h, data[0]);
    kong(h, data[0]);
    digests(h);
    return 0;
}
