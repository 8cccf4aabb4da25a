/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/limit/resp.h"

/* ---- reading ---- */

/* A line without its end; *next is behind it. */
static enum resp line(struct str in, size_t at, struct str *to, size_t *next) {
    size_t end = at;
    while (end < in.n && end - at <= RESP_LINE_MAX && in.p[end] != '\r')
        end++;
    if (end - at > RESP_LINE_MAX)
        return RESP_BAD;
    if (end + 1 >= in.n)
        return RESP_MORE;
    if (in.p[end + 1] != '\n')
        return RESP_BAD;
    *to = str_mk(in.p + at, end - at);
    *next = end + 2;
    return RESP_DONE;
}

/* At most 18 digits: no number that we ask for is larger. */
static bool number(struct str s, int64_t *v) {
    bool minus = s.n > 0 && s.p[0] == '-';
    struct str digits = minus ? str_skip(s, 1) : s;
    int64_t sum = 0;
    if (digits.n == 0 || digits.n > 18)
        return false;
    for (size_t i = 0; i < digits.n; i++) {
        if (digits.p[i] < '0' || digits.p[i] > '9')
            return false;
        sum = sum * 10 + (digits.p[i] - '0');
    }
    *v = minus ? -sum : sum;
    return true;
}

static enum resp numbers(struct str in, size_t at, int64_t n, struct resp_reply *r, size_t *used) {
    if (n < 0 || n > RESP_NUMBERS_MAX)
        return RESP_BAD;
    r->kind = RESP_NUMBERS;
    for (r->n = 0; r->n < (unsigned)n; r->n++) {
        struct str one;
        enum resp got = line(in, at, &one, &at);
        if (got != RESP_DONE)
            return got;
        if (one.n == 0 || one.p[0] != ':' || !number(str_skip(one, 1), &r->v[r->n]))
            return RESP_BAD;
    }
    *used = at;
    return RESP_DONE;
}

static enum resp text(struct str in, size_t at, int64_t n, struct resp_reply *r, size_t *used) {
    if (n < 0 || n > RESP_TEXT_MAX)
        return RESP_BAD;
    if (in.n - at < (size_t)n + 2)
        return RESP_MORE;
    if (in.p[at + (size_t)n] != '\r' || in.p[at + (size_t)n + 1] != '\n')
        return RESP_BAD;
    r->kind = RESP_TEXT;
    r->text = str_mk(in.p + at, (size_t)n);
    *used = at + (size_t)n + 2;
    return RESP_DONE;
}

enum resp resp_read(struct str in, struct resp_reply *r, size_t *used) {
    struct str first;
    size_t next = 0;
    int64_t n = 0;
    enum resp got = line(in, 0, &first, &next);
    if (got != RESP_DONE)
        return got;
    char type = first.n > 0 ? first.p[0] : 0;
    r->n = 0;
    r->text = first.n > 0 ? str_skip(first, 1) : STR_NONE;
    *used = next;
    if (type == '+' || type == '-') {
        r->kind = type == '+' ? RESP_WORD : RESP_ERROR;
        return RESP_DONE;
    }
    if (type == 0 || !number(r->text, &n))
        return RESP_BAD;
    if (type == '*')
        return numbers(in, next, n, r, used);
    if (type == '$')
        return text(in, next, n, r, used);
    if (type != ':')
        return RESP_BAD;
    r->kind = RESP_NUMBERS;
    r->v[r->n++] = n;
    return RESP_DONE;
}

/* ---- writing ---- */

void resp_begin(struct out *o, unsigned n) { out_fmt(o, "*%u\r\n", n); }

void resp_put(struct out *o, struct str argument) {
    out_char(o, '$');
    out_u64(o, argument.n);
    out_lit(o, "\r\n");
    out_str(o, argument);
    out_lit(o, "\r\n");
}

void resp_put_int(struct out *o, int64_t v) {
    char room[24];
    struct out digits = out_fixed(room, sizeof(room));
    if (v < 0)
        out_char(&digits, '-');
    out_u64(&digits, v < 0 ? (uint64_t)0 - (uint64_t)v : (uint64_t)v);
    resp_put(o, out_done(&digits));
}
