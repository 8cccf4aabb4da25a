/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/http/kong_hmac.h"

#include "lib/base64.h"
#include "proxy/http/date.h"

enum { TAG_TEXT_MAX = 88 /* base64 of MAC_MAX bytes */ };

static bool no(const char **detail, const char *sentence) {
    *detail = sentence;
    return false;
}

/* ---- the header ---- */

/* NAME="value", of which *s is relieved. */
static bool take_param(struct str *s, struct str name, struct str *value) {
    if (!str_starts(*s, name))
        return false;
    struct str rest = str_skip(*s, name.n);
    if (!str_starts(rest, STR("=\"")))
        return false;
    *s = str_cut(str_skip(rest, 2), '"', value);
    return s->p != NULL && value->n > 0;
}

static bool take_comma(struct str *s) {
    if (s->n == 0 || s->p[0] != ',')
        return false;
    *s = str_trim(str_skip(*s, 1));
    return true;
}

static bool take_all(struct str s, struct kong_hmac *k, struct str *algorithm, struct str *tag) {
    return take_param(&s, STR("username"), &k->username) && take_comma(&s) &&
           take_param(&s, STR("algorithm"), algorithm) && take_comma(&s) &&
           take_param(&s, STR("headers"), &k->names) && take_comma(&s) &&
           take_param(&s, STR("signature"), tag) && s.n == 0;
}

static bool read_tag(struct kong_hmac *k, struct str text) {
    char bytes[BASE64_ROOM(TAG_TEXT_MAX)];
    size_t n;
    if (text.n > TAG_TEXT_MAX || !base64_decode(text, bytes, &n) || n != mac_size(k->mac))
        return false;
    memcpy(k->tag, bytes, n);
    k->tag_n = (uint8_t)n;
    return true;
}

static bool read_header(struct kong_hmac *k, struct str params, uint32_t macs,
                        const char **detail) {
    struct str algorithm, tag;
    if (!take_all(params, k, &algorithm, &tag))
        return no(detail, "Authorization is not hmac username=\"...\", algorithm=\"...\", "
                          "headers=\"...\", signature=\"...\"");
    k->mac = mac_named(algorithm);
    if (k->mac == MAC_NONE || (macs & 1U << k->mac) == 0)
        return no(detail, "the algorithm is not one that the policy takes");
    if (k->username.n > KONG_HMAC_USER_MAX)
        return no(detail, "username is too long");
    return read_tag(k, tag) || no(detail, "signature is not the base64 of as many bytes as its "
                                          "algorithm makes");
}

/* ---- what is signed ---- */

static bool is_signed(const struct kong_hmac *k, struct str name) {
    struct str rest = k->names, one;
    while (rest.p != NULL) {
        rest = str_cut(rest, ' ', &one);
        if (str_eq_nocase(one, name))
            return true;
    }
    return false;
}

static unsigned count(const struct head *h, struct str name) {
    unsigned at = 0, n = 0;
    while (head_each(h, name, &at) != NULL)
        n++;
    return n;
}

static bool check_names(struct kong_hmac *k, const struct head *h, const char **detail) {
    struct str rest = k->names, one;
    for (unsigned n = 0; rest.p != NULL; n++) {
        rest = str_cut(rest, ' ', &one);
        if (one.n == 0 || n == KONG_HMAC_NAMES_MAX)
            return no(detail, "headers is not 1 to 32 names with one blank between two");
        if (count(h, one) > 1)
            return no(detail, "a field that is signed is there more than once");
    }
    k->covers_digest = is_signed(k, STR("digest")) && count(h, STR("digest")) == 1;
    return true;
}

static bool covers(const struct kong_hmac *k, struct str name) {
    return is_signed(k, name) ||
           (str_eq(name, STR("request-line")) && is_signed(k, STR("@request-target")));
}

static bool is_enough(const struct kong_hmac *k, const struct head *h,
                      const struct kong_hmac_rules *r, const char **detail) {
    for (size_t i = 0; i < r->n_names; i++)
        if (!covers(k, r->names[i]))
            return no(detail, "a field that the policy asks for is not signed");
    if (r->body && head_has_body(h) && !k->covers_digest)
        return no(detail, "there is a body, and no Digest of it is signed");
    return true;
}

static bool is_in_time(const struct kong_hmac *k, const struct head *h, int64_t now, int64_t skew,
                       const char **detail) {
    unsigned at = 0;
    bool other = count(h, STR("x-date")) > 0 && is_signed(k, STR("x-date"));
    struct str name = other ? STR("x-date") : STR("date");
    const struct head_field *f = head_each(h, name, &at);
    int64_t date;
    if (f == NULL || !is_signed(k, name))
        return no(detail, "there is no X-Date or Date that is signed");
    if (!http_date_read(head_value(h, f), &date))
        return no(detail, "X-Date or Date is not a date of RFC 9110");
    if (date > now + skew || date < now - skew)
        return no(detail, "X-Date or Date is too far from now");
    return true;
}

enum kong_hmac_found kong_hmac_read(struct kong_hmac *k, const struct head *h,
                                    const struct kong_hmac_rules *r, int64_t now,
                                    const char **detail) {
    const struct head_field *f = head_find(h, TOKEN_AUTHORIZATION);
    struct str value = f != NULL ? head_value(h, f) : STR_NONE;
    *k = (struct kong_hmac){.mac = MAC_NONE};
    if (value.n < 5 || !str_eq_nocase(str_mk(value.p, 5), STR("hmac ")))
        return KONG_HMAC_NONE;
    bool good = read_header(k, str_trim(str_skip(value, 5)), r->macs, detail) &&
                check_names(k, h, detail) && is_enough(k, h, r, detail) &&
                is_in_time(k, h, now, r->skew_s, detail);
    return good ? KONG_HMAC_READ : KONG_HMAC_BAD;
}

/* ---- the text ---- */

static void write_target(struct out *o, const struct head *h) {
    out_str(o, head_str(h, h->raw_path));
    if (!h->has_query)
        return;
    out_char(o, '?');
    out_str(o, head_str(h, h->query));
}

static void write_request_line(struct out *o, const struct head *h, struct str version) {
    out_str(o, head_str(h, h->method_text));
    out_char(o, ' ');
    write_target(o, h);
    out_lit(o, " HTTP/");
    out_str(o, version);
}

static void write_request_target(struct out *o, const struct head *h) {
    char *method;
    out_lit(o, "@request-target: ");
    if ((method = out_take(o, h->method_text.n)) != NULL)
        str_lower(method, head_str(h, h->method_text));
    out_char(o, ' ');
    write_target(o, h);
}

static void write_line(struct out *o, const struct head *h, struct str version, struct str name) {
    unsigned at = 0;
    const struct head_field *f = head_each(h, name, &at);
    if (f == NULL && str_eq(name, STR("request-line"))) {
        write_request_line(o, h, version);
    } else if (f == NULL && str_eq(name, STR("@request-target"))) {
        write_request_target(o, h);
    } else {
        out_str(o, name);
        out_char(o, ':');
        if (f == NULL)
            return;
        out_char(o, ' ');
        out_str(o, head_value(h, f));
    }
}

bool kong_hmac_text(const struct kong_hmac *k, const struct head *h, struct str version,
                    struct out *o) {
    struct str rest = k->names, one;
    while (rest.p != NULL) {
        rest = str_cut(rest, ' ', &one);
        write_line(o, h, version, one);
        if (rest.p != NULL)
            out_char(o, '\n');
    }
    return !o->over;
}

bool kong_hmac_verify(const struct kong_hmac *k, const struct head *h, struct str version,
                      struct str secret, struct mac_scratch *macs, const char **detail) {
    char room[KONG_HMAC_TEXT_MAX];
    struct out o = out_fixed(room, sizeof(room));
    if (!kong_hmac_text(k, h, version, &o))
        return no(detail, "what is signed is too long");
    return mac_verify(macs, k->mac, secret, out_done(&o), str_mk((const char *)k->tag, k->tag_n)) ||
           no(detail, "the signature does not match");
}
