/* SPDX-License-Identifier: Apache-2.0
 *
 * h1_body: where a message's body ends (RFC 9112 6, 7). Chunk framing is a machine of one byte at a
 * time, data is passed through as a whole:
 *
 *     SIZE ─► (BLANKS ─► EXT) ─► SIZE_LF ─► DATA ─► DATA_CR ─► DATA_LF ─► SIZE ...
 *       └── size 0: LINE ─► NAME ─► VALUE ─► VALUE_LF ─► LINE ... ─► END_LF ─► done
 */
#include "lib/chars.h"
#include "proxy/http/h1.h"

enum { SIZE_DIGITS_MAX = 16, EXT_MAX = 256, TRAILER_MAX = 8 * 1024 };

enum state {
    SIZE,
    BLANKS, /* before the ';' of an extension */
    EXT,
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    LINE, /* the start of a trailer line, or of the last, empty one */
    NAME,
    VALUE,
    VALUE_LF,
    END_LF,
};

void h1_body_init(struct h1_body *b, const struct head *h) {
    *b = (struct h1_body){.framing = h->framing, .state = SIZE};
    if (h->framing == FRAMING_LENGTH)
        b->left = h->content_length;
    b->done =
        h->framing == FRAMING_NONE || (h->framing == FRAMING_LENGTH && h->content_length == 0);
}

static bool size_byte(struct h1_body *b, char c) {
    if (char_is(c, CHAR_HEX)) {
        if (b->digits++ == SIZE_DIGITS_MAX)
            return false; /* checked before the shift: sixteen digits always fit */
        b->left = b->left << 4 | char_hex(c);
        return true;
    }
    if (b->digits == 0)
        return false;
    b->state = c == '\r' ? SIZE_LF : c == ';' ? EXT : BLANKS;
    if (c == '\r')
        return true;
    return (c == ';' || c == ' ' || c == '\t') && b->ext++ < EXT_MAX;
}

static bool ext_byte(struct h1_body *b, char c) {
    if (b->state == EXT && c == '\r') {
        b->state = SIZE_LF;
        return true;
    }
    if (b->state == BLANKS && c == ';')
        b->state = EXT;
    else if (b->state == BLANKS && c != ' ' && c != '\t')
        return false;
    return char_is(c, CHAR_VALUE) && b->ext++ < EXT_MAX;
}

static bool trailer_byte(struct h1_body *b, char c) {
    if (b->trailer++ == TRAILER_MAX)
        return false;
    switch (b->state) {
    case LINE:
        b->state = c == '\r' ? END_LF : NAME;
        return c == '\r' || char_is(c, CHAR_TOKEN);
    case NAME:
        if (c == ':')
            b->state = VALUE;
        return c == ':' || char_is(c, CHAR_TOKEN);
    case VALUE:
        if (c == '\r')
            b->state = VALUE_LF;
        return c == '\r' || char_is(c, CHAR_VALUE);
    case VALUE_LF:
        b->state = LINE;
        return c == '\n';
    default: /* END_LF */
        b->done = true;
        return c == '\n';
    }
}

static bool framing_byte(struct h1_body *b, char c) {
    switch (b->state) {
    case SIZE:
        return size_byte(b, c);
    case BLANKS:
    case EXT:
        return ext_byte(b, c);
    case SIZE_LF:
        b->state = b->left > 0 ? DATA : LINE;
        b->digits = 0;
        return c == '\n';
    case DATA_CR:
        b->state = DATA_LF;
        return c == '\r';
    case DATA_LF:
        b->state = SIZE;
        return c == '\n';
    default:
        return trailer_byte(b, c);
    }
}

/* What is there of the n bytes at p that are body, up to `left`. */
static struct str take(struct h1_body *b, const char *p, size_t n) {
    size_t k = n < b->left ? n : (size_t)b->left;
    b->left -= k;
    b->total += k;
    return str_mk(p, k);
}

static enum h1 chunked_next(struct h1_body *b, const char *p, size_t n, size_t *eat,
                            struct str *piece) {
    size_t i = 0;
    while (i < n && !b->done && b->state != DATA) {
        if (!framing_byte(b, p[i])) {
            *eat = i;
            return H1_BAD;
        }
        i++;
    }
    *piece = str_mk(p + i, 0);
    if (b->state == DATA && !b->done) {
        *piece = take(b, p + i, n - i);
        if (b->left == 0)
            b->state = DATA_CR;
    }
    *eat = i + piece->n;
    return b->done ? H1_DONE : H1_MORE;
}

enum h1 h1_body_next(struct h1_body *b, const char *p, size_t n, size_t *eat, struct str *piece) {
    *eat = 0;
    *piece = str_mk(p, 0);
    if (b->done)
        return H1_DONE;
    if (b->framing == FRAMING_CHUNKED)
        return chunked_next(b, p, n, eat, piece);
    if (b->framing == FRAMING_CLOSE) {
        *piece = str_mk(p, n);
        b->total += n;
    } else {
        *piece = take(b, p, n);
        b->done = b->left == 0;
    }
    *eat = piece->n;
    return b->done ? H1_DONE : H1_MORE;
}

bool h1_body_eof(struct h1_body *b) {
    if (b->framing == FRAMING_CLOSE)
        b->done = true;
    return b->done;
}

size_t h1_chunk_line(char room[H1_CHUNK_LINE], size_t n) {
    size_t digits = 1;
    while (digits < 16 && n >> (4 * digits) != 0)
        digits++;
    for (size_t i = 0; i < digits; i++)
        room[i] = "0123456789abcdef"[n >> (4 * (digits - 1 - i)) & 15];
    room[digits] = '\r';
    room[digits + 1] = '\n';
    return digits + 2;
}
