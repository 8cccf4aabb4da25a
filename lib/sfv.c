/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/sfv.h"

#include "lib/base64.h"
#include "lib/chars.h"

enum {
    INTEGER_DIGITS = 15,
    DECIMAL_DIGITS = 12, /* before the point */
    FRACTION_DIGITS = 3,
};

/* ---- scanning ---- */

static bool at_char(const struct str *s, char c) { return s->n > 0 && s->p[0] == c; }

static bool take(struct str *s, char c) {
    if (!at_char(s, c))
        return false;
    *s = str_skip(*s, 1);
    return true;
}

static void skip_spaces(struct str *s) {
    while (take(s, ' '))
        ;
}

static void skip_blanks(struct str *s) {
    while (take(s, ' ') || take(s, '\t'))
        ;
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_small(char c) { return c >= 'a' && c <= 'z'; }
static bool is_alpha(char c) { return is_small((char)(c | 0x20)); }
static bool is_key(char c) {
    return is_small(c) || is_digit(c) || c == '_' || c == '-' || c == '.' || c == '*';
}

static bool take_key(struct str *s, struct str *key) {
    size_t n = 1;
    if (s->n == 0 || (!is_small(s->p[0]) && s->p[0] != '*'))
        return false;
    while (n < s->n && is_key(s->p[n]))
        n++;
    *key = str_mk(s->p, n);
    *s = str_skip(*s, n);
    return n <= SFV_KEY_MAX;
}

/* ---- bare items ---- */

/* Digits that stand at s, at most max of them. */
static size_t take_digits(struct str *s, size_t max, int64_t *value) {
    size_t n = 0;
    for (; s->n > 0 && is_digit(s->p[0]) && n <= max; n++) {
        *value = *value * 10 + (s->p[0] - '0');
        *s = str_skip(*s, 1);
    }
    return n;
}

static bool take_number(struct str *s, struct sfv_value *v) {
    bool minus = take(s, '-');
    int64_t n = 0;
    size_t whole = take_digits(s, INTEGER_DIGITS, &n);
    v->type = SFV_INTEGER;
    if (whole == 0 || whole > INTEGER_DIGITS)
        return false;
    if (take(s, '.')) {
        if (whole > DECIMAL_DIGITS)
            return false;
        size_t part = take_digits(s, FRACTION_DIGITS, &n);
        if (part == 0 || part > FRACTION_DIGITS)
            return false;
        for (; part < FRACTION_DIGITS; part++)
            n *= 10;
        v->type = SFV_DECIMAL;
    }
    v->number = minus ? -n : n;
    return true;
}

static bool take_date(struct str *s, struct sfv_value *v) {
    *s = str_skip(*s, 1);
    if (!take_number(s, v) || v->type != SFV_INTEGER)
        return false;
    v->type = SFV_DATE;
    return true;
}

static bool take_string(struct str *s, struct sfv_value *v) {
    size_t at = 1, n = 0;
    for (; at < s->n && s->p[at] != '"'; at++, n++) {
        if (s->p[at] < 0x20 || s->p[at] > 0x7e)
            return false;
        if (s->p[at] == '\\' && (++at == s->n || (s->p[at] != '"' && s->p[at] != '\\')))
            return false;
    }
    if (at >= s->n || n > SFV_STRING_MAX)
        return false;
    v->type = SFV_STRING;
    v->text = str_mk(s->p + 1, at - 1);
    *s = str_skip(*s, at + 1);
    return true;
}

static bool take_token(struct str *s, struct sfv_value *v) {
    size_t n = 1;
    while (n < s->n && (char_is(s->p[n], CHAR_TOKEN) || s->p[n] == ':' || s->p[n] == '/'))
        n++;
    v->type = SFV_TOKEN;
    v->text = str_mk(s->p, n);
    *s = str_skip(*s, n);
    return n <= SFV_TOKEN_MAX;
}

/* RFC 4648 4, padded, with no bits left over: *n bytes when it is decoded. */
static bool is_base64(struct str s, size_t *n) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t pads = 0, last = 0;
    if (s.n % 4 != 0)
        return false;
    for (; s.n > 0 && s.p[s.n - 1] == '=' && pads < 2; pads++)
        s.n--;
    for (size_t i = 0; i < s.n; i++) {
        const char *digit = memchr(digits, s.p[i], 64);
        if (digit == NULL)
            return false;
        last = (size_t)(digit - digits);
    }
    *n = s.n * 3 / 4;
    return (last & ((1U << 2 * pads) - 1)) == 0;
}

static bool take_bytes(struct str *s, struct sfv_value *v) {
    size_t end = str_find(*s, ':', 1), n = 0;
    if (end == s->n)
        return false;
    v->type = SFV_BYTES;
    v->text = str_mk(s->p + 1, end - 1);
    *s = str_skip(*s, end + 1);
    return is_base64(v->text, &n) && n <= SFV_BYTES_MAX;
}

static bool take_boolean(struct str *s, struct sfv_value *v) {
    if (s->n < 2 || (s->p[1] != '0' && s->p[1] != '1'))
        return false;
    v->type = SFV_BOOLEAN;
    v->number = s->p[1] - '0';
    *s = str_skip(*s, 2);
    return true;
}

/* The next byte of a display string, which stands for itself or is %xx; -1: neither. */
static int next_display(struct str *s) {
    unsigned char c = (unsigned char)s->p[0];
    if (c < 0x20 || c > 0x7e)
        return -1;
    if (c == '%') {
        for (size_t i = 1; i <= 2; i++)
            if (i >= s->n || !char_is(s->p[i], CHAR_HEX) || (s->p[i] >= 'A' && s->p[i] <= 'F'))
                return -1;
        c = (unsigned char)(char_hex(s->p[1]) << 4 | char_hex(s->p[2]));
        *s = str_skip(*s, 2);
    }
    *s = str_skip(*s, 1);
    return c;
}

struct utf8 {
    unsigned need; /* bytes that must follow */
    uint32_t code, least;
};

static bool utf8_next(struct utf8 *u, unsigned c) {
    if (u->need > 0) {
        u->code = u->code << 6 | (c & 0x3f);
        u->need--;
        return c >> 6 == 2 && (u->need > 0 || (u->code >= u->least && u->code <= 0x10ffff &&
                                               (u->code < 0xd800 || u->code > 0xdfff)));
    }
    if (c < 0x80)
        return true;
    u->need = c >> 5 == 6 ? 1 : c >> 4 == 14 ? 2 : c >> 3 == 30 ? 3 : 0;
    u->code = c & (0x3fU >> u->need);
    u->least = u->need == 1 ? 0x80 : u->need == 2 ? 0x800 : 0x10000;
    return u->need > 0;
}

static bool take_display(struct str *s, struct sfv_value *v) {
    struct utf8 u = {0};
    size_t n = 0;
    if (s->n < 2 || s->p[1] != '"')
        return false;
    *s = str_skip(*s, 2);
    const char *start = s->p;
    for (; s->n > 0 && s->p[0] != '"'; n++) {
        int c = next_display(s);
        if (c < 0 || !utf8_next(&u, (unsigned)c))
            return false;
    }
    if (s->n == 0 || u.need > 0 || n > SFV_STRING_MAX)
        return false;
    v->type = SFV_DISPLAY;
    v->text = str_mk(start, (size_t)(s->p - start));
    *s = str_skip(*s, 1);
    return true;
}

static bool take_bare(struct str *s, struct sfv_value *v) {
    *v = (struct sfv_value){.text = STR_NONE};
    if (s->n == 0)
        return false;
    switch (s->p[0]) {
    case '"':
        return take_string(s, v);
    case ':':
        return take_bytes(s, v);
    case '?':
        return take_boolean(s, v);
    case '@':
        return take_date(s, v);
    case '%':
        return take_display(s, v);
    default:
        if (s->p[0] == '-' || is_digit(s->p[0]))
            return take_number(s, v);
        return (is_alpha(s->p[0]) || s->p[0] == '*') && take_token(s, v);
    }
}

/* ---- values ---- */

static const struct sfv_value is_true = {.type = SFV_BOOLEAN, .number = 1};

/* Behind its ';'. */
static bool take_param(struct str *s, struct str *key, struct sfv_value *v) {
    skip_spaces(s);
    if (!take_key(s, key))
        return false;
    *v = is_true;
    return !take(s, '=') || take_bare(s, v);
}

static bool take_params(struct str *s, struct sfv_value *of) {
    struct str start = *s, key;
    struct sfv_value v;
    for (unsigned n = 0; take(s, ';'); n++)
        if (n == SFV_PARAMS_MAX || !take_param(s, &key, &v))
            return false;
    of->params = str_mk(start.p, start.n - s->n);
    return true;
}

static bool take_item(struct str *s, struct sfv_value *v) {
    return take_bare(s, v) && take_params(s, v);
}

/* Behind its '('. */
static bool take_inner(struct str *s, struct sfv_value *v) {
    struct str start = *s;
    struct sfv_value item;
    *v = (struct sfv_value){.type = SFV_INNER};
    skip_spaces(s);
    for (unsigned n = 0; !at_char(s, ')'); n++) {
        if (n == SFV_INNER_MAX || !take_item(s, &item) || (!at_char(s, ' ') && !at_char(s, ')')))
            return false;
        skip_spaces(s);
    }
    v->text = str_mk(start.p, start.n - s->n);
    return take(s, ')') && take_params(s, v);
}

static bool take_value(struct str *s, struct sfv_value *v) {
    return take(s, '(') ? take_inner(s, v) : take_item(s, v);
}

static bool take_member(struct str *s, struct str *key, struct sfv_value *v) {
    if (!take_key(s, key))
        return false;
    if (take(s, '='))
        return take_value(s, v);
    *v = is_true;
    return take_params(s, v);
}

/* ---- fields ---- */

/* To the next member: behind the comma that must stand between two. */
static enum sfv_step next_member(struct sfv *at) {
    if (at->n == 0)
        skip_spaces(&at->left);
    else
        skip_blanks(&at->left);
    if (at->left.n == 0)
        return SFV_END;
    if (at->n > 0 && !take(&at->left, ','))
        return SFV_BAD;
    if (at->n > 0)
        skip_blanks(&at->left);
    return at->n++ < SFV_MEMBERS_MAX ? SFV_ONE : SFV_BAD;
}

enum sfv_step sfv_dictionary(struct sfv *at, struct str *key, struct sfv_value *value) {
    enum sfv_step step = next_member(at);
    if (step == SFV_ONE && !take_member(&at->left, key, value))
        return SFV_BAD;
    return step;
}

enum sfv_step sfv_list(struct sfv *at, struct sfv_value *value) {
    enum sfv_step step = next_member(at);
    if (step == SFV_ONE && !take_value(&at->left, value))
        return SFV_BAD;
    return step;
}

bool sfv_item(struct str text, struct sfv_value *value) {
    skip_spaces(&text);
    if (!take_item(&text, value))
        return false;
    skip_spaces(&text);
    return text.n == 0;
}

enum sfv_step sfv_inner(struct sfv *at, struct sfv_value *item) {
    skip_spaces(&at->left);
    if (at->left.n == 0)
        return SFV_END;
    return take_item(&at->left, item) ? SFV_ONE : SFV_BAD;
}

enum sfv_step sfv_param(struct sfv *at, struct str *key, struct sfv_value *value) {
    if (!take(&at->left, ';'))
        return at->left.n == 0 ? SFV_END : SFV_BAD;
    return take_param(&at->left, key, value) ? SFV_ONE : SFV_BAD;
}

enum sfv_step sfv_dictionary_get(struct str text, struct str key, struct sfv_value *value) {
    struct sfv at;
    struct str k;
    struct sfv_value v;
    enum sfv_step step, found = SFV_END;
    sfv_begin(&at, text);
    while ((step = sfv_dictionary(&at, &k, &v)) == SFV_ONE) {
        if (!str_eq(k, key))
            continue;
        *value = v;
        found = SFV_ONE;
    }
    return step == SFV_BAD ? SFV_BAD : found;
}

bool sfv_param_get(const struct sfv_value *of, struct str key, struct sfv_value *value) {
    struct sfv at;
    struct str k;
    struct sfv_value v;
    bool found = false;
    sfv_begin(&at, of->params);
    while (sfv_param(&at, &k, &v) == SFV_ONE) {
        if (!str_eq(k, key))
            continue;
        *value = v;
        found = true;
    }
    return found;
}

/* ---- what is meant ---- */

static void decode_string(struct str s, struct out *o) {
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '\\')
            i++;
        out_char(o, s.p[i]);
    }
}

static void decode_display(struct str s, struct out *o) {
    while (s.n > 0)
        out_char(o, (char)next_display(&s));
}

static void decode_bytes(struct str s, struct out *o) {
    size_t n;
    char *room = out_take(o, BASE64_ROOM(s.n));
    if (room == NULL)
        return;
    must(base64_decode(s, room, &n));
    o->n -= BASE64_ROOM(s.n) - n;
}

void sfv_text(const struct sfv_value *v, struct out *o) {
    if (v->type == SFV_STRING)
        decode_string(v->text, o);
    else if (v->type == SFV_DISPLAY)
        decode_display(v->text, o);
    else if (v->type == SFV_BYTES)
        decode_bytes(v->text, o);
    else
        out_str(o, v->text);
}

/* ---- writing ---- */

static void write_decimal(struct out *o, int64_t thousandths) {
    uint64_t n = thousandths < 0 ? (uint64_t)-thousandths : (uint64_t)thousandths;
    unsigned part = (unsigned)(n % 1000);
    char digits[] = {(char)('0' + part / 100), (char)('0' + part / 10 % 10),
                     (char)('0' + part % 10)};
    if (thousandths < 0)
        out_char(o, '-');
    out_u64(o, n / 1000);
    out_char(o, '.');
    out_bytes(o, digits, digits[2] != '0' ? 3 : digits[1] != '0' ? 2 : 1);
}

static void write_display(struct out *o, struct str s) {
    out_lit(o, "%\"");
    while (s.n > 0) {
        unsigned c = (unsigned)next_display(&s);
        if (c >= 0x20 && c <= 0x7e && c != '%' && c != '"') {
            out_char(o, (char)c);
        } else {
            out_char(o, '%');
            out_hex(o, c, 2);
        }
    }
    out_char(o, '"');
}

/* Between its delimiters a string and bytes are as they came: there is one way to write them. */
static void write_between(struct out *o, char delimiter, struct str s) {
    out_char(o, delimiter);
    out_str(o, s);
    out_char(o, delimiter);
}

static void write_inner(struct out *o, struct str text) {
    struct sfv at;
    struct sfv_value item;
    sfv_begin(&at, text);
    out_char(o, '(');
    for (bool first = true; sfv_inner(&at, &item) == SFV_ONE; first = false) {
        if (!first)
            out_char(o, ' ');
        sfv_write(o, &item);
    }
    out_char(o, ')');
}

static void write_bare(struct out *o, const struct sfv_value *v) {
    switch (v->type) {
    case SFV_DATE:
        out_char(o, '@');
        out_i64(o, v->number);
        break;
    case SFV_INTEGER:
        out_i64(o, v->number);
        break;
    case SFV_DECIMAL:
        write_decimal(o, v->number);
        break;
    case SFV_STRING:
        write_between(o, '"', v->text);
        break;
    case SFV_TOKEN:
        out_str(o, v->text);
        break;
    case SFV_BYTES:
        write_between(o, ':', v->text);
        break;
    case SFV_BOOLEAN:
        out_fmt(o, "?%d", v->number != 0);
        break;
    case SFV_DISPLAY:
        write_display(o, v->text);
        break;
    case SFV_INNER:
        write_inner(o, v->text);
        break;
    }
}

/* Whether this key, which is a view of the parameters, is the first of its name there. */
static bool is_first(struct str params, struct str key) {
    struct sfv at;
    struct str k;
    struct sfv_value v;
    sfv_begin(&at, params);
    while (sfv_param(&at, &k, &v) == SFV_ONE)
        if (str_eq(k, key))
            return k.p == key.p;
    return true;
}

/* A key keeps its first place and has its last value (RFC 9651 4.2.3.2). */
static void write_params(struct out *o, const struct sfv_value *of) {
    struct sfv at;
    struct str key;
    struct sfv_value v;
    sfv_begin(&at, of->params);
    while (sfv_param(&at, &key, &v) == SFV_ONE) {
        if (!is_first(of->params, key) || !sfv_param_get(of, key, &v))
            continue;
        out_char(o, ';');
        out_str(o, key);
        if (v.type == SFV_BOOLEAN && v.number != 0)
            continue;
        out_char(o, '=');
        write_bare(o, &v);
    }
}

void sfv_write(struct out *o, const struct sfv_value *v) {
    write_bare(o, v);
    write_params(o, v);
}

void sfv_write_member(struct out *o, struct str key, const struct sfv_value *v) {
    out_str(o, key);
    if (v->type == SFV_BOOLEAN && v->number != 0) {
        write_params(o, v);
        return;
    }
    out_char(o, '=');
    sfv_write(o, v);
}

void sfv_write_string(struct out *o, struct str s) {
    out_char(o, '"');
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < 0x20 || s.p[i] > 0x7e)
            o->over = true;
        if (s.p[i] == '"' || s.p[i] == '\\')
            out_char(o, '\\');
        out_char(o, s.p[i]);
    }
    out_char(o, '"');
}
