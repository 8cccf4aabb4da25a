/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/kube/rule.h"

#include "lib/chars.h"
#include "lib/units.h"

enum {
    NAME_MAX_BYTES = 253,
    LABEL_MAX = 63,
    SHORT_MAX = 256,
    HEADER_MAX = 256,
    HEADER_VALUE_MAX = 4096,
    METHOD_MAX = 24,
    CIDR_MAX = 64,
    URI_MAX = 2048,
    CLOCK_MAX = 5
};

/* What of a rule a schema can say, and never more than the check below: what that accepts must
 * match. Lengths are characters there and bytes here. */
#define LABEL  "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
#define DOMAIN LABEL "(\\." LABEL ")*"
#define HOST   "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
#define TOKEN  "!#$%&'*+.^_`|~0-9-"
static const struct kube_rule_form forms[KUBE_RULES] = {
    [KUBE_ANY] = {NULL, KUBE_TEXT_MAX, true},
    [KUBE_SHORT] = {"^[^\\x00-\\x1f\\x7f]+$", SHORT_MAX, false},
    [KUBE_NAME] = {"^" DOMAIN "$", NAME_MAX_BYTES, false},
    [KUBE_SECTION] = {"^" LABEL "$", LABEL_MAX, false},
    [KUBE_GROUP] = {"^$|^" DOMAIN "$", NAME_MAX_BYTES, true},
    [KUBE_KIND] = {"^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$", LABEL_MAX, false},
    [KUBE_HEADER] = {"^[A-Za-z" TOKEN "]+$", HEADER_MAX, false},
    [KUBE_HEADER_VALUE] =
        {"^[^\\x00-\\x20\\x7f]([^\\x00-\\x08\\x0a-\\x1f\\x7f]*[^\\x00-\\x20\\x7f])?$",
         HEADER_VALUE_MAX, false},
    [KUBE_METHOD] = {"^[A-Z" TOKEN "]+$", METHOD_MAX, false},
    [KUBE_HOSTNAME] = {"^(\\*\\.)?" HOST "(\\." HOST ")*$", NAME_MAX_BYTES, false},
    [KUBE_CIDR] = {"^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$", CIDR_MAX, false},
    [KUBE_URI] = {"^https?://[!\"$-~]+$", URI_MAX, false},
    [KUBE_CLOCK] = {"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$", CLOCK_MAX, false},
};

const struct kube_rule_form *kube_rule_form(enum kube_rule rule) { return &forms[rule]; }

/* Bytes of the character at p, or 0. */
static unsigned utf8_char(const unsigned char *p, const unsigned char *end) {
    unsigned c = *p++, more = c < 0x80 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
    if (c == 0 || (c >= 0x80 && c < 0xc2) || c > 0xf4 || (size_t)(end - p) < more)
        return 0;
    if (more == 0)
        return 1;
    unsigned low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;  /* no overlong form */
    unsigned high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf; /* no surrogate, <= 10FFFF */
    if (*p < low || *p > high)
        return 0;
    for (unsigned i = 1; i < more; i++)
        if (p[i] < 0x80 || p[i] > 0xbf)
            return 0;
    return more + 1;
}

size_t kube_utf8(struct str s) {
    const unsigned char *start = (const unsigned char *)s.p, *end = start + s.n, *p = start;
    unsigned n;
    while (p < end && (n = utf8_char(p, end)) > 0)
        p += n;
    return (size_t)(p - start);
}

static bool is_lower_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

static bool is_label(struct str s, size_t max) {
    if (s.n == 0 || s.n > max || !is_lower_or_digit(s.p[0]) || !is_lower_or_digit(s.p[s.n - 1]))
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (!is_lower_or_digit(s.p[i]) && s.p[i] != '-')
            return false;
    return true;
}

static bool is_domain(struct str s, size_t label_max) {
    struct str label;
    if (s.n == 0 || s.n > NAME_MAX_BYTES)
        return false;
    while (s.p) {
        s = str_cut(s, '.', &label);
        if (!is_label(label, label_max))
            return false;
    }
    return true;
}

bool kube_is_name(struct str s) { return is_domain(s, NAME_MAX_BYTES); }

static bool is_alphanumeric(char c) { return is_lower_or_digit(char_lower(c)); }

static bool has(struct str s, bool (*is)(char)) {
    for (size_t i = 0; i < s.n; i++)
        if (is(s.p[i]))
            return true;
    return false;
}

static bool all(struct str s, enum chars what) {
    return s.n > 0 && chars_skip(s.p, s.p + s.n, what) == s.p + s.n;
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
static bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
static bool is_colon(char c) { return c == ':'; }

static int check_name(struct str s, struct why *why) {
    struct shown room;
    if (kube_is_name(s))
        return 0;
    return why_text(why,
                    "%s is not a name; use lower-case letters, digits, \"-\" and \".\", at most "
                    "253 of them",
                    why_show(s, &room));
}

static bool is_control(char c) { return (unsigned char)c < 0x20 || c == 0x7f; }

static int check_short(struct str s, struct why *why) {
    struct shown room;
    if (s.n > SHORT_MAX)
        return why_text(why, "a string of %zu bytes is too long; at most %d are allowed", s.n,
                        SHORT_MAX);
    if (!has(s, is_control))
        return 0;
    return why_text(why, "%s has control characters; remove them", why_show(s, &room));
}

static int check_group(struct str s, struct why *why) {
    struct shown room;
    if (s.n == 0 || kube_is_name(s))
        return 0;
    return why_text(why, "%s is not an API group; write it without version, as sluice.dev or \"\"",
                    why_show(s, &room));
}

static int check_kind(struct str s, struct why *why) {
    struct shown room;
    bool good = s.n <= LABEL_MAX && is_alphanumeric(s.p[0]) && !is_digit(s.p[0]) &&
                is_alphanumeric(s.p[s.n - 1]);
    for (size_t i = 0; i < s.n; i++)
        good &= is_alphanumeric(s.p[i]) || s.p[i] == '-';
    if (good)
        return 0;
    return why_text(why, "%s is not a kind; write it as Service", why_show(s, &room));
}

static int check_section(struct str s, struct why *why) {
    struct shown room;
    if (is_label(s, LABEL_MAX))
        return 0;
    return why_text(why,
                    "%s is not a name; use lower-case letters, digits and \"-\", at most 63 of "
                    "them",
                    why_show(s, &room));
}

static int check_header(struct str s, struct why *why) {
    struct shown room;
    if (s.n <= HEADER_MAX && all(s, CHAR_TOKEN))
        return 0;
    return why_text(why,
                    "%s is not the name of a header; write it as x-request-id, at most 256 "
                    "characters",
                    why_show(s, &room));
}

static int check_header_value(struct str s, struct why *why) {
    struct shown room;
    if (s.n > HEADER_VALUE_MAX)
        return why_text(why, "a header value of %zu bytes is too long; at most %d are allowed", s.n,
                        HEADER_VALUE_MAX);
    if (all(s, CHAR_VALUE) && str_trim(s).n == s.n)
        return 0;
    return why_text(why,
                    "%s is not the value of a header; remove control characters and spaces at its "
                    "ends",
                    why_show(s, &room));
}

static int check_method(struct str s, struct why *why) {
    struct shown room;
    if (s.n <= METHOD_MAX && all(s, CHAR_TOKEN) && !has(s, is_lower))
        return 0;
    return why_text(why, "%s is not a method; write it in upper case, as GET", why_show(s, &room));
}

/* A last label of digits alone makes it an address (RFC 3696 2). */
static bool ends_in_number(struct str s) {
    size_t i = s.n;
    while (i > 0 && is_digit(s.p[i - 1]))
        i--;
    return i < s.n && (i == 0 || s.p[i - 1] == '.');
}

static int check_hostname(struct str s, struct why *why) {
    struct shown room;
    struct str name = str_starts(s, STR("*.")) ? str_skip(s, 2) : s;
    if (s.n <= NAME_MAX_BYTES && is_domain(name, LABEL_MAX) && !ends_in_number(name))
        return 0;
    if (has(s, is_colon))
        return why_text(why, "%s must be a host name without port or address", why_show(s, &room));
    if (has(s, is_upper))
        return why_text(why, "%s has upper-case letters; write it in lower case",
                        why_show(s, &room));
    if (ends_in_number(name))
        return why_text(why, "%s is an address; write a host name", why_show(s, &room));
    return why_text(why, "%s is not a host name; write it as shop.example.com or *.example.com",
                    why_show(s, &room));
}

static int check_cidr(struct str s, struct why *why) {
    struct unit_cidr cidr;
    return unit_cidr(s, &cidr, why);
}

static int check_uri(struct str s, struct why *why) {
    struct shown room;
    struct str rest = str_starts(s, STR("https://"))  ? str_skip(s, 8)
                      : str_starts(s, STR("http://")) ? str_skip(s, 7)
                                                      : STR_NONE;
    bool good = s.n <= URI_MAX && rest.n > 0;
    for (size_t i = 0; good && i < rest.n; i++)
        good = rest.p[i] > ' ' && rest.p[i] <= '~' && rest.p[i] != '#';
    if (good)
        return 0;
    return why_text(why, "%s is not an address; write it as https://idp.example.com/keys",
                    why_show(s, &room));
}

static int check_clock(struct str s, struct why *why) {
    struct shown room;
    uint64_t hour = 0, minute = 0;
    bool good = s.n == 5 && s.p[2] == ':' && str_to_u64(str_mk(s.p, 2), 24, &hour) &&
                str_to_u64(str_skip(s, 3), hour == 24 ? 0 : 59, &minute);
    if (good)
        return 0;
    return why_text(why, "%s is not a time of day; write it as 08:00", why_show(s, &room));
}

int kube_rule_check(enum kube_rule rule, struct str s, struct why *why) {
    struct shown room;
    if (s.n > KUBE_TEXT_MAX)
        return why_text(why, "a string of %zu bytes is too long; at most %d are allowed", s.n,
                        KUBE_TEXT_MAX);
    if (kube_utf8(s) < s.n)
        return why_text(why, "%s is not UTF-8; write it anew", why_show(s, &room));
    if (s.n == 0 && !forms[rule].may_be_empty)
        return why_text(why, "is empty; write a value, or leave the field out");
    switch (rule) {
    case KUBE_ANY:
    case KUBE_RULES:
        return 0;
    case KUBE_SHORT:
        return check_short(s, why);
    case KUBE_GROUP:
        return check_group(s, why);
    case KUBE_KIND:
        return check_kind(s, why);
    case KUBE_NAME:
        return check_name(s, why);
    case KUBE_SECTION:
        return check_section(s, why);
    case KUBE_HEADER:
        return check_header(s, why);
    case KUBE_HEADER_VALUE:
        return check_header_value(s, why);
    case KUBE_METHOD:
        return check_method(s, why);
    case KUBE_HOSTNAME:
        return check_hostname(s, why);
    case KUBE_CIDR:
        return check_cidr(s, why);
    case KUBE_URI:
        return check_uri(s, why);
    case KUBE_CLOCK:
        return check_clock(s, why);
    }
    return 0;
}
