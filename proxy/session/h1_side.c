/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/session/h1_side.h"

#include "proxy/net/channel.h"

enum { PIPE_BYTES = 64 * 1024 }; /* as a buffer holds */

static struct h1_side *of_side(const struct side *x) { return x->own; }

bool h1_side_begin(struct h1_side *h1, const struct head *h) {
    h1_body_init(&h1->body, h);
    conn_consume(h1->conn, h->n);
    return !h1->body.done;
}

void h1_side_reset(struct h1_side *h1) {
    h1->scan = (struct h1_scan){0};
    if (unlikely(h1->trailers.p != NULL))
        piece_give(&h1->conn->loop->slabs, &h1->trailers);
}

void h1_side_fini(struct h1_side *h1) { piece_give(&h1->conn->loop->slabs, &h1->trailers); }

/* ---- what comes ---- */

/* The end of eaten bytes may be lines behind the last chunk. False: no memory. */
static bool keep_trailers(struct h1_side *h1, const char *end, uint16_t before) {
    size_t n = h1->body.trailer - before;
    if (likely(h1->body.done && h1->body.trailer == n && n == 2)) /* the empty line alone */
        return true;
    return piece_add(&h1->conn->loop->slabs, &h1->trailers, str_mk(end - n, n));
}

/* Eats all that is in the buffer and belongs to the body; its data becomes one piece at *data. */
static enum body gather(struct h1_side *h1, struct str *data, size_t *eaten) {
    struct conn *c = h1->conn;
    char *p = c->in.p + c->in.at, *end = c->in.p + c->in.end, *to = NULL;
    const char *first = p;
    *data = str_mk(p, 0);
    while (p < end && !h1->body.done) {
        size_t eat;
        struct str piece;
        uint16_t trailer = h1->body.trailer;
        if (h1_body_next(&h1->body, p, (size_t)(end - p), &eat, &piece) == H1_BAD)
            return BODY_BAD;
        if (h1->body.trailer != trailer && !keep_trailers(h1, p + eat, trailer))
            return BODY_NOMEM;
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
    return BODY_PIECE;
}

/* Trailers come with an end without bytes. */
static bool is_last(const struct h1_side *h1, size_t n) {
    return h1->body.done && (n == 0 || h1->trailers.n == 0);
}

static enum body give(struct side *x, struct str data, size_t tail, struct str *piece, bool *last) {
    x->loan = (struct loan){(uint32_t)data.n, (uint32_t)tail, true, false};
    *piece = data;
    *last = is_last(of_side(x), data.n);
    return BODY_PIECE;
}

static enum body take(struct side *x, struct str *piece, bool *last) {
    struct h1_side *h1 = of_side(x);
    struct conn *c = h1->conn;
    debug_must(!x->loan.open);
    for (;;) {
        if (conn_unread(c).n > 0 && !h1->body.done) {
            size_t eaten;
            struct str data;
            enum body got = gather(h1, &data, &eaten);
            if (got != BODY_PIECE)
                return got;
            size_t lead = data.n > 0 ? (size_t)(data.p - (c->in.p + c->in.at)) : eaten;
            conn_consume(c, lead);
            if (data.n > 0 || h1->body.done)
                return give(x, data, eaten - lead - data.n, piece, last);
        }
        if (h1->body.done)
            return give(x, STR_NONE, 0, piece, last);
        switch (conn_read(c)) {
        case IO_OK:
            break;
        case IO_AGAIN:
            return BODY_AGAIN;
        case IO_EOF:
            if (!h1_body_eof(&h1->body))
                return BODY_CUT;
            break;
        case IO_NOMEM:
            return BODY_NOMEM;
        case IO_FULL: /* cannot be: all that was read was eaten */
        case IO_FAIL:
            return BODY_RESET;
        }
    }
}

enum body h1_side_take(struct side *x, struct str *piece, bool *last) {
    enum body got = take(x, piece, last);
    if (got == BODY_BAD)
        of_side(x)->conn->eof = true; /* nothing that follows can be trusted */
    else if (got == BODY_PIECE)
        of_side(x)->conn->read_size = SLAB_64K;
    return got;
}

void h1_side_repay(struct side *x, size_t n) {
    struct conn *c = of_side(x)->conn;
    debug_must(x->loan.open && n <= x->loan.left);
    x->loan.left -= (uint32_t)n;
    if (unlikely(x->loan.piped)) {
        x->loan.open = x->loan.left > 0;
        return;
    }
    if (x->loan.left > 0) {
        conn_consume(c, n);
        return;
    }
    conn_consume(c, n + x->loan.tail);
    x->loan.open = false;
}

struct str h1_side_trailers(const struct side *x) {
    const struct piece *p = &of_side(x)->trailers;
    return str_mk(p->p, p->n > 2 ? p->n - 2U : 0); /* without the empty line */
}

/* ---- what goes ---- */

char *h1_side_room(struct side *x, size_t n) { return conn_room(of_side(x)->conn, n); }

bool h1_side_head(struct side *x, size_t n, uint8_t framing, bool last) {
    struct h1_side *h1 = of_side(x);
    (void)last;
    conn_wrote(h1->conn, n);
    h1->chunked = framing == FRAMING_CHUNKED;
    return true;
}

bool h1_side_trail(struct side *x, struct str lines) {
    struct h1_side *h1 = of_side(x);
    if (!h1->chunked)
        return true;
    char *p = conn_room(h1->conn, lines.n + 5);
    if (p == NULL)
        return false;
    memcpy(p, "0\r\n", 3);
    if (lines.n > 0)
        memcpy(p + 3, lines.p, lines.n);
    memcpy(p + 3 + lines.n, "\r\n", 2);
    conn_wrote(h1->conn, lines.n + 5);
    return true;
}

void h1_side_tunnel(struct side *x) {
    struct h1_side *h1 = of_side(x);
    h1->tunnel = true;
    h1->chunked = false;
    h1->body = (struct h1_body){.framing = FRAMING_CLOSE};
}

bool h1_side_lend(struct side *x, struct str piece, bool last) {
    struct h1_side *h1 = of_side(x);
    if (!h1->chunked) {
        if (piece.n > 0)
            conn_lend(h1->conn, piece.p, piece.n, STR_NONE);
        if (unlikely(h1->tunnel) && last)
            conn_shutdown(h1->conn);
        return true;
    }
    if (piece.n == 0)
        return h1_side_trail(x, STR_NONE);
    char *p = conn_room(h1->conn, H1_CHUNK_LINE);
    if (p == NULL)
        return false;
    conn_wrote(h1->conn, h1_chunk_line(p, piece.n));
    conn_lend(h1->conn, piece.p, piece.n, last ? STR("\r\n0\r\n\r\n") : STR("\r\n"));
    return true;
}

/* ---- what does not come up ---- */

uint64_t h1_side_pipeable(const struct side *x, const struct side *to) {
    const struct h1_side *from = of_side(x), *h1 = of_side(to);
    bool plain = from->conn->tls == NULL && h1->conn->tls == NULL;
    bool bare = from->body.framing == FRAMING_LENGTH && !h1->chunked;
    bool empty = conn_unread(from->conn).n == 0 && conn_pending(h1->conn) == 0;
    return plain && bare && empty ? from->body.left : 0;
}

enum body h1_side_pipe(struct side *x, struct side *to, struct channel *p, size_t *n, bool *last) {
    struct h1_side *h1 = of_side(x);
    struct str piece;
    enum io io = channel_fill(p, h1->conn, size_min(h1->body.left, PIPE_BYTES));
    if (io != IO_OK)
        return io == IO_AGAIN ? BODY_AGAIN : io == IO_FAIL ? BODY_RESET : BODY_CUT;
    *n = p->held;
    p->held = 0;                                  /* the loan has it */
    h1_body_next(&h1->body, NULL, *n, n, &piece); /* it looks at no byte where a length is known */
    x->loan = (struct loan){(uint32_t)*n, 0, true, true};
    *last = h1->body.done;
    conn_lend_pipe(of_side(to)->conn, p->out, *n);
    return BODY_PIECE;
}

void h1_side_unlend(struct side *x) { conn_unlend(of_side(x)->conn); }
bool h1_side_lending(const struct side *x) { return conn_lending(of_side(x)->conn); }
size_t h1_side_pending(const struct side *x) { return conn_pending(of_side(x)->conn); }
