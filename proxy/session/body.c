/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/session/body.h"

/* Eats all that is in the buffer and belongs to the body; its data becomes one piece at *data. */
static bool gather(struct conn *c, struct h1_body *b, struct str *data, size_t *eaten) {
    char *p = c->in.p + c->in.at, *end = c->in.p + c->in.end, *to = NULL;
    const char *first = p;
    *data = str_mk(p, 0);
    while (p < end && !b->done) {
        size_t eat;
        struct str piece;
        if (h1_body_next(b, p, (size_t)(end - p), &eat, &piece) == H1_BAD)
            return false;
        if (piece.n > 0 && to == NULL) {
            data->p = piece.p;
            to = p + (piece.p - p) + piece.n;
        } else if (piece.n > 0) {
            memmove(to, piece.p, piece.n);
            to += piece.n;
        }
        data->n += piece.n;
        p += eat;
        if (eat == 0)
            break;
    }
    *eaten = (size_t)(p - first);
    return true;
}

enum body body_take(struct conn *c, struct h1_body *b, struct loan *loan, struct str *piece,
                    bool *last) {
    debug_must(!loan->open);
    for (;;) {
        if (conn_unread(c).n > 0 && !b->done) {
            size_t eaten;
            if (!gather(c, b, piece, &eaten))
                return BODY_BAD;
            size_t lead = piece->n > 0 ? (size_t)(piece->p - (c->in.p + c->in.at)) : eaten;
            conn_consume(c, lead);
            if (piece->n > 0 || b->done) {
                *loan =
                    (struct loan){(uint32_t)piece->n, (uint32_t)(eaten - lead - piece->n), true};
                *last = b->done;
                return BODY_PIECE;
            }
        }
        if (b->done) {
            *piece = str_mk(NULL, 0);
            *loan = (struct loan){0, 0, true};
            *last = true;
            return BODY_PIECE;
        }
        switch (conn_read(c)) {
        case IO_OK:
            break;
        case IO_AGAIN:
            return BODY_AGAIN;
        case IO_EOF:
            if (!h1_body_eof(b))
                return BODY_CUT;
            break;
        case IO_NOMEM:
            return BODY_NOMEM;
        case IO_FULL: /* cannot be: all that was read was eaten */
        case IO_FAIL:
            return BODY_CUT;
        }
    }
}

bool body_lend(struct conn *to, struct str piece, bool last, bool chunked) {
    if (!chunked) {
        if (piece.n > 0)
            conn_lend(to, piece.p, piece.n, STR_NONE);
        return true;
    }
    char *p = conn_room(to, H1_CHUNK_LINE);
    if (p == NULL)
        return false;
    if (piece.n == 0) {
        memcpy(p, "0\r\n\r\n", 5);
        conn_wrote(to, 5);
        return true;
    }
    conn_wrote(to, h1_chunk_line(p, piece.n));
    conn_lend(to, piece.p, piece.n, last ? STR("\r\n0\r\n\r\n") : STR("\r\n"));
    return true;
}

void body_repay(struct conn *c, struct loan *loan, size_t n) {
    debug_must(loan->open && n <= loan->left);
    loan->left -= (uint32_t)n;
    if (loan->left > 0) {
        conn_consume(c, n);
        return;
    }
    conn_consume(c, n + loan->tail);
    loan->open = false;
}
