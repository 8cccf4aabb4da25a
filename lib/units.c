/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/units.h"

#include <arpa/inet.h>

enum { NUMBERS_MAX = 4, DIGITS_MAX = 5 }; /* of a duration */

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* Takes up to max digits off the front of *s; how many. The value must fit. */
static size_t take_digits(struct str *s, size_t max, uint64_t *value) {
    size_t n = 0;
    *value = 0;
    while (n < max && n < s->n && is_digit(s->p[n]))
        *value = *value * 10 + (uint64_t)(s->p[n++] - '0');
    *s = str_skip(*s, n);
    return n;
}

/* ---- durations ---- */

static bool take_unit(struct str *s, int64_t *ms) {
    static const struct {
        struct str word;
        int64_t ms;
    } units[] = {{{"ms", 2}, 1}, {{"h", 1}, 3600 * 1000}, {{"m", 1}, 60 * 1000}, {{"s", 1}, 1000}};
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (!str_starts(*s, units[i].word))
            continue;
        *s = str_skip(*s, units[i].word.n);
        *ms = units[i].ms;
        return true;
    }
    return false;
}

int unit_duration(struct str s, int64_t *ms, struct why *why) {
    struct shown room;
    struct str rest = s;
    int64_t sum = 0, unit = 0;
    uint64_t number;
    unsigned numbers = 0;
    bool good = rest.n > 0;
    for (; good && rest.n > 0; numbers++) {
        good = numbers < NUMBERS_MAX && take_digits(&rest, DIGITS_MAX, &number) > 0 &&
               take_unit(&rest, &unit);
        if (good)
            sum += (int64_t)number * unit;
    }
    if (!good)
        return why_text(why, "%s is not a duration; write it as 5s, 250ms or 1h30m",
                        why_show(s, &room));
    *ms = sum;
    return 0;
}

/* ---- quantities ---- */

/* What the number is multiplied by: 2^two * 10^ten. */
struct scale {
    int two, ten;
};

static bool scale_of(struct str suffix, struct scale *scale) {
    static const struct {
        struct str word;
        struct scale scale;
    } table[] = {
        {{"", 0}, {0, 0}},    {{"Ki", 2}, {10, 0}}, {{"Mi", 2}, {20, 0}}, {{"Gi", 2}, {30, 0}},
        {{"Ti", 2}, {40, 0}}, {{"Pi", 2}, {50, 0}}, {{"Ei", 2}, {60, 0}}, {{"n", 1}, {0, -9}},
        {{"u", 1}, {0, -6}},  {{"m", 1}, {0, -3}},  {{"k", 1}, {0, 3}},   {{"M", 1}, {0, 6}},
        {{"G", 1}, {0, 9}},   {{"T", 1}, {0, 12}},  {{"P", 1}, {0, 15}},  {{"E", 1}, {0, 18}},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        if (str_eq(suffix, table[i].word)) {
            *scale = table[i].scale;
            return true;
        }
    }
    if (suffix.n < 2 || (suffix.p[0] != 'e' && suffix.p[0] != 'E'))
        return false;
    bool minus = suffix.p[1] == '-';
    struct str digits = str_skip(suffix, minus || suffix.p[1] == '+' ? 2 : 1);
    uint64_t exponent;
    if (!str_to_u64(digits, 18, &exponent))
        return false;
    *scale = (struct scale){0, minus ? -(int)exponent : (int)exponent};
    return true;
}

/* number * 2^two * 10^ten, when that is a whole number in range. */
static bool scaled(uint64_t number, struct scale scale, int64_t *value) {
    unsigned __int128 v = number; /* < 10^18, so that * 2^60 fits */
    v <<= scale.two;
    for (; scale.ten > 0 && v <= INT64_MAX; scale.ten--)
        v *= 10;
    for (; scale.ten < 0; scale.ten++) {
        if (v % 10 != 0)
            return false;
        v /= 10;
    }
    if (v > INT64_MAX)
        return false;
    *value = (int64_t)v;
    return true;
}

int unit_quantity(struct str s, int64_t *value, struct why *why) {
    enum { DIGITS = 18 };
    struct shown room;
    struct str rest = s;
    uint64_t whole, part = 0;
    size_t before = take_digits(&rest, DIGITS, &whole), behind = 0;
    if (rest.n > 0 && rest.p[0] == '.') {
        rest = str_skip(rest, 1);
        behind = take_digits(&rest, DIGITS - before, &part);
    }
    struct scale scale;
    if (before + behind == 0 || !scale_of(rest, &scale))
        return why_text(why, "%s is not a size; write it as 64k, 1Mi or 1048576",
                        why_show(s, &room));
    scale.ten -= (int)behind;
    for (size_t i = 0; i < behind; i++)
        whole *= 10;
    if (!scaled(whole + part, scale, value))
        return why_text(why, "%s is not a whole number of 0 to 9223372036854775807",
                        why_show(s, &room));
    return 0;
}

/* ---- times ---- */

struct stamp {
    uint64_t year, month, day, hour, minute, second, zone_hour, zone_minute;
    bool west;
};

static bool take_char(struct str *s, char c) {
    if (s->n == 0 || s->p[0] != c)
        return false;
    *s = str_skip(*s, 1);
    return true;
}

static bool take_number(struct str *s, size_t digits, uint64_t low, uint64_t high, uint64_t *v) {
    return take_digits(s, digits, v) == digits && *v >= low && *v <= high;
}

static bool take_zone(struct str *s, struct stamp *t) {
    t->zone_hour = t->zone_minute = 0;
    if (take_char(s, 'Z'))
        return true;
    t->west = take_char(s, '-');
    return (t->west || take_char(s, '+')) && take_number(s, 2, 0, 23, &t->zone_hour) &&
           take_char(s, ':') && take_number(s, 2, 0, 59, &t->zone_minute);
}

static bool take_stamp(struct str *s, struct stamp *t) {
    bool clock = take_number(s, 4, 1970, 9999, &t->year) && take_char(s, '-') &&
                 take_number(s, 2, 1, 12, &t->month) && take_char(s, '-') &&
                 take_number(s, 2, 1, 31, &t->day) && take_char(s, 'T') &&
                 take_number(s, 2, 0, 23, &t->hour) && take_char(s, ':') &&
                 take_number(s, 2, 0, 59, &t->minute) && take_char(s, ':') &&
                 take_number(s, 2, 0, 59, &t->second);
    uint64_t fraction;
    if (!clock || (take_char(s, '.') && take_digits(s, 9, &fraction) == 0))
        return false;
    return take_zone(s, t);
}

static bool is_leap(uint64_t y) { return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0; }

static uint64_t days_of_month(const struct stamp *t) {
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return days[t->month - 1] + (t->month == 2 && is_leap(t->year) ? 1U : 0U);
}

static uint64_t days_since_1970(const struct stamp *t) {
    static const uint16_t before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    uint64_t y = t->year - 1;
    uint64_t leaps = y / 4 - y / 100 + y / 400 - (1969 / 4 - 1969 / 100 + 1969 / 400);
    return (t->year - 1970) * 365 + leaps + before[t->month - 1] +
           (t->month > 2 && is_leap(t->year) ? 1U : 0U) + t->day - 1;
}

int unit_time(struct str s, uint64_t *seconds, struct why *why) {
    struct shown room;
    struct str rest = s;
    struct stamp t = {0};
    if (!take_stamp(&rest, &t) || rest.n > 0 || t.day > days_of_month(&t))
        return why_text(why, "%s is not a time; write it as 2026-01-02T03:04:05Z",
                        why_show(s, &room));
    uint64_t local = days_since_1970(&t) * 86400 + t.hour * 3600 + t.minute * 60 + t.second;
    uint64_t zone = t.zone_hour * 3600 + t.zone_minute * 60;
    *seconds = t.west ? local + zone : local - size_min(local, zone);
    return 0;
}

/* ---- ranges of addresses ---- */

static bool read_address(struct str s, struct unit_cidr *c, unsigned *first) {
    char room[INET6_ADDRSTRLEN];
    if (s.n == 0 || s.n >= sizeof(room) || memchr(s.p, 0, s.n))
        return false;
    memcpy(room, s.p, s.n);
    room[s.n] = 0;
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    memcpy(c->addr, mapped, sizeof(mapped));
    *first = 96;
    if (inet_pton(AF_INET, room, c->addr + 12) == 1)
        return true;
    *first = 0;
    return inet_pton(AF_INET6, room, c->addr) == 1;
}

/* Sets the bits behind c->bits to 0; whether one of them was not. */
static bool clear_rest(struct unit_cidr *c) {
    bool any = false;
    for (unsigned bit = c->bits; bit < 128; bit++) {
        uint8_t mask = (uint8_t)(0x80U >> (bit % 8));
        any |= (c->addr[bit / 8] & mask) != 0;
        c->addr[bit / 8] &= (uint8_t)~mask;
    }
    return any;
}

static int refuse_rest(struct str s, const struct unit_cidr *c, unsigned first, struct why *why) {
    struct shown room;
    char text[INET6_ADDRSTRLEN];
    const char *p = first ? inet_ntop(AF_INET, c->addr + 12, text, sizeof(text))
                          : inet_ntop(AF_INET6, c->addr, text, sizeof(text));
    return why_text(why, "%s names an address inside the range; write it as %s/%u",
                    why_show(s, &room), p, c->bits - first);
}

int unit_cidr(struct str s, struct unit_cidr *cidr, struct why *why) {
    struct shown room;
    struct str address, rest = str_cut(s, '/', &address);
    struct unit_cidr c;
    unsigned first;
    uint64_t bits = 0;
    bool good = read_address(address, &c, &first);
    if (good && rest.p)
        good = str_to_u64(rest, 128 - first, &bits) && (rest.n == 1 || rest.p[0] != '0');
    if (!good)
        return why_text(why,
                        "%s is not a range of addresses; write it as 10.0.0.0/8 or "
                        "2001:db8::/32",
                        why_show(s, &room));
    c.bits = (uint8_t)(rest.p ? first + bits : 128);
    if (clear_rest(&c))
        return refuse_rest(s, &c, first, why);
    *cidr = c;
    return 0;
}

/* ---- names ---- */

static bool is_label(struct str s) {
    bool good = s.n >= 1 && s.n <= 63;
    for (size_t i = 0; good && i < s.n; i++) {
        char c = char_lower(s.p[i]);
        good = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
    }
    return good;
}

int unit_dns_name(struct str s, struct why *why) {
    struct str rest = str_ends(s, STR(".")) ? str_mk(s.p, s.n - 1) : s, label;
    bool good = rest.n >= 1 && rest.n <= 253;
    while (good && rest.p) {
        rest = str_cut(rest, '.', &label);
        good = is_label(label);
    }
    struct shown shown;
    return good ? 0
                : why_text(why, "%s is not a DNS name; write it as api.example.com",
                           why_show(s, &shown));
}
