/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/http/grpc_web.h"

#include <openssl/evp.h>

/* ---- content types ---- */

static bool is_named(struct str type, struct str name, struct str *rest) {
    if (!str_starts(type, name))
        return false;
    *rest = str_skip(type, name.n);
    return rest->n == 0 || rest->p[0] == '+' || rest->p[0] == ';';
}

bool grpc_type(struct str type, struct str *rest) {
    return is_named(type, STR("application/grpc"), rest);
}

struct str grpc_web_name(enum grpc_web_form form) {
    return form == GRPC_WEB_TEXT ? STR("application/grpc-web-text") : STR("application/grpc-web");
}

enum grpc_web_form grpc_web_form(struct str type, struct str *rest) {
    if (is_named(type, grpc_web_name(GRPC_WEB_BINARY), rest))
        return GRPC_WEB_BINARY;
    return is_named(type, grpc_web_name(GRPC_WEB_TEXT), rest) ? GRPC_WEB_TEXT : GRPC_WEB_NONE;
}

/* ---- trailers ---- */

void grpc_web_trailers_head(size_t n, char head[GRPC_WEB_HEAD]) {
    head[0] = (char)0x80;
    for (int i = 1; i < GRPC_WEB_HEAD; i++)
        head[i] = (char)(n >> 8 * (GRPC_WEB_HEAD - 1 - i));
}

/* ---- text ---- */

/* How many of the bytes belong to the message that they begin with; *ends: it is complete then. */
static size_t of_message(struct grpc_web_text *t, struct str in, bool *ends) {
    size_t n = 0;
    for (; n < in.n && t->head_n < GRPC_WEB_HEAD; n++) {
        t->left = t->head_n == 0 ? 0 : t->left << 8 | (uint8_t)in.p[n];
        t->head_n++;
    }
    if (t->head_n == GRPC_WEB_HEAD) {
        size_t body = size_min(t->left, in.n - n);
        t->left -= (uint32_t)body;
        n += body;
    }
    *ends = t->head_n == GRPC_WEB_HEAD && t->left == 0;
    if (*ends)
        t->head_n = 0;
    return n;
}

/* EVP_EncodeBlock() writes a NUL behind. */
static size_t encode(const char *p, size_t n, char *to) {
    return (size_t)EVP_EncodeBlock((unsigned char *)to, (const unsigned char *)p, (int)n);
}

/* Bytes of one message; ends: with padding. */
static size_t put(struct grpc_web_text *t, struct str in, bool ends, char *to) {
    size_t at = 0;
    if (t->held_n > 0) {
        char three[3];
        size_t n = t->held_n, more = size_min(3 - n, in.n);
        memcpy(three, t->held, n);
        memcpy(three + n, in.p, more);
        in = str_skip(in, more);
        if (n + more == 3 || ends)
            at = encode(three, n + more, to);
        t->held_n = (uint8_t)(at == 0 ? n + more : 0);
        if (at == 0) {
            memcpy(t->held, three, t->held_n);
            return 0;
        }
    }
    size_t whole = ends ? in.n : in.n / 3 * 3;
    at += whole > 0 ? encode(in.p, whole, to + at) : 0;
    in = str_skip(in, whole);
    if (in.n > 0) {
        memcpy(t->held, in.p, in.n);
        t->held_n = (uint8_t)in.n;
    }
    return at;
}

size_t grpc_web_text(struct grpc_web_text *t, struct str *in, char *to, size_t cap) {
    size_t at = 0;
    while (in->n > 0) {
        /* What is held makes it four more at most, and behind it there is a NUL. */
        size_t fits = cap - at < 9 ? 0 : (cap - at - 5) / 4 * 3;
        bool ends;
        if (fits == 0)
            break;
        size_t n = of_message(t, str_mk(in->p, size_min(in->n, fits)), &ends);
        at += put(t, str_mk(in->p, n), ends, to + at);
        *in = str_skip(*in, n);
    }
    return at;
}
