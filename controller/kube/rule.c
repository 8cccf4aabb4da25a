/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/kube/rule.h"

#include "lib/chars.h"
#include "lib/units.h"

enum {
    NAME_MAX_BYTES = 253,
    LABEL_MAX = 63,
    HEADER_MAX = 256,
    HEADER_VALUE_MAX = 4096,
    METHOD_MAX = 24
};

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

static bool has(struct str s, bool (*is)(char)) {
    for (size_t i = 0; i < s.n; i++)
        if (is(s.p[i]))
            return true;
    return false;
}

static bool all(struct str s, enum chars what) {
    return s.n > 0 && chars_skip(s.p, s.p + s.n, what) == s.p + s.n;
}

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
    struct str label = STR_NONE;
    while (s.p)
        s = str_cut(s, '.', &label);
    uint64_t number;
    return label.n > 0 && (str_to_u64(label, UINT64_MAX, &number));
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

static int check_words(struct str s, const char *const *words, struct why *why) {
    struct shown room;
    char list[200];
    struct out o = out_fixed(list, sizeof(list) - 1);
    for (size_t i = 0; words[i]; i++) {
        if (str_eq(s, str_of(words[i])))
            return 0;
        out_fmt(&o, "%s%s", i == 0 ? "" : words[i + 1] ? ", " : " or ", words[i]);
    }
    list[o.n] = 0;
    return why_text(why, "%s is unknown; write %s", why_show(s, &room), list);
}

int kube_rule_check(enum kube_rule rule, struct str s, struct why *why) {
    static const char *const ownerships[] = {"Oldest", "Shared", "Assigned", NULL};
    static const char *const foreigns[] = {"Refuse", "Warn", NULL};
    struct shown room;
    if (s.n > KUBE_TEXT_MAX)
        return why_text(why, "a string of %zu bytes is too long; at most %d are allowed", s.n,
                        KUBE_TEXT_MAX);
    if (kube_utf8(s) < s.n)
        return why_text(why, "%s is not UTF-8; write it anew", why_show(s, &room));
    if (s.n == 0 && rule != KUBE_ANY)
        return why_text(why, "is empty; write a value, or leave the field out");
    switch (rule) {
    case KUBE_ANY:
        return 0;
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
    case KUBE_OWNERSHIP:
        return check_words(s, ownerships, why);
    case KUBE_FOREIGN:
        return check_words(s, foreigns, why);
    }
    return 0;
}
