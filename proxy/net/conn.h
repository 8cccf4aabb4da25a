/* SPDX-License-Identifier: Apache-2.0
 *
 * conn: a TCP connection, its transport (plain, or TLS: tls.h), and its two buffers. It knows
 * nothing of HTTP: what it has to say goes up through conn_ops.
 *
 *            in  (slab, only while it holds bytes)            out (slab, likewise) then lent bytes
 *     socket ──► [consumed | unread | room] ──► reader   writer ──► [our bytes][somebody else's]
 * ──► socket
 *
 * Reading: one event per descriptor (EV_READ|EV_WRITE|EV_ET|EV_PERSIST), added once. Readiness is
 * remembered (can_read), so backpressure is simply not reading: no system call. A short read
 * means drained: no second recv for EAGAIN.
 *
 * Writing: bytes are appended to out; a body is *lent*: the bytes stay in the other connection's
 * in buffer until they have been sent, nothing is copied; a few constant bytes may follow them (the
 * end of a chunk). A connection that has something to say is flushed once, with one send or writev:
 * right after the handler of the event that made it talk, while all of it is in the cache; or, when
 * it is `lazy` (many streams on one connection), at the end of the turn. ops->flushed then says how
 * much of the lent bytes went, and the owner consumes them on the other side. An owner with many
 * streams says conn_talk() and writes when fill() asks it, right before the flush.
 *
 * Fairness: a connection reads at most CONN_TURN_BYTES in one turn, then goes to the ready list.
 * TLS handshakes, which cost a thousand times what a read does, are done from that list alone, in
 * order, after everything else, and for CONN_SHAKING_NS a turn. Closing, which costs more than a
 * read does and comes by the hundred when a client with many streams leaves, is done for
 * CONN_CLOSES of them a turn, or a quarter of those that wait.
 * Memory: an idle connection holds no buffer. All functions: the worker's thread.
 */
#ifndef SLUICE_PROXY_NET_CONN_H
#define SLUICE_PROXY_NET_CONN_H

#include "proxy/net/loop.h"

#include "lib/out.h"

#include <event2/event_struct.h>
#include <netinet/in.h>
#include <sys/socket.h>

enum { CONN_TURN_BYTES = 128 * 1024, CONN_SHAKING_NS = 2000000, CONN_CLOSES = 32 };

/* An address as the kernel wants it: 28 bytes are enough for both families. */
struct addr {
    union {
        struct sockaddr sa;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    };
};
socklen_t addr_len(const struct addr *a);
/* 4 or 16 bytes in network order; anything else: false */
bool addr_set(struct addr *a, struct str bytes, uint16_t port) MUST_USE;
bool addr_parse(struct addr *a, struct str text) MUST_USE; /* "1.2.3.4:80", "[::1]:80" */
void addr_v6(const struct addr *a, uint8_t to[16]);        /* the address alone, v4 as v4-mapped */
void addr_print(const struct addr *a, struct out *o);      /* the same; v4-mapped as v4 */
void addr_print_ip(const struct addr *a, struct out *o);   /* without port and brackets */

enum conn_end {                /* why a connection is over */
                CONN_EOF,      /* the peer has finished sending (half or whole) */
                CONN_RESET,    /* RST, or a write to a closed connection */
                CONN_FAILED,   /* any other error: err has it */
                CONN_REFUSED,  /* connect: nobody listens, no way there */
                CONN_INSECURE, /* the TLS handshake failed; an accepted one: send what is there,
                                  close */
};

enum io { IO_OK, IO_AGAIN, IO_EOF, IO_FULL, IO_NOMEM, IO_FAIL };
/* How a failed read or write is told to the owner. */
enum conn_end conn_end_of(int err);

struct conn;

/* Called by the loop. Any of them may close the connection. */
struct conn_ops {
    void (*readable)(struct conn *c); /* can_read is set: read, or leave it for later */
    void (*flushed)(struct conn *c, size_t lent_sent,
                    bool all);         /* after a flush; !all: the rest waits for the peer */
    void (*fill)(struct conn *c);      /* lazy: before a flush; write what there is */
    void (*connected)(struct conn *c); /* an outgoing connection stands, its TLS handshake too */
    void (*secured)(struct conn *c);   /* the TLS handshake of an accepted one is done */
    void (*broken)(struct conn *c, enum conn_end why, int err); /* also a failed connect */
};

struct conn_buf {
    char *p;               /* NULL: no slab */
    uint32_t at, end, cap; /* unread: [at, end) */
    uint8_t size;          /* enum slab_size */
};

struct conn {
    const struct conn_ops *ops;
    struct loop *loop;
    struct tls *tls; /* NULL: plain */
    int fd;
    bool can_read, can_write; /* readiness, remembered from the last event */
    bool connecting;
    bool eof;          /* recv gave 0 */
    bool hangup;       /* the peer's FIN was seen (EPOLLRDHUP): a short read is not the end */
    bool short_read;   /* the last read took all there was: one who needs more asks once again,
                          since a reset may have come with those bytes, in the same event */
    bool closed;       /* doomed; nothing may be done with it */
    bool fin;          /* shut down when all is sent */
    bool lazy;         /* flushed at the end of the turn */
    bool shaking;      /* the TLS handshake is not over */
    bool awaited;      /* somebody who writes past it waits for room: flushed() tells once */
    bool dry;          /* TLS: the socket had no more; until the next event */
    uint8_t read_size; /* enum slab_size of the first slab that a read takes */
    uint8_t after_n;
    uint8_t first_n;     /* bytes at the beginning of out that go before TLS does */
    uint32_t turn_bytes; /* read in this turn */
    uint32_t sealed;     /* TLS: bytes of records that the peer has not taken */
    int pipe;            /* where the lent bytes are; 0: at `lent` */
    struct conn_buf in, out;
    const char *lent; /* sent after out */
    size_t lent_n;
    const char *after; /* sent after lent: constant bytes */
    void (*freed)(struct conn *c);
    struct list ready_link, dirty_link;
    struct event ev;
};

/* Takes a connected (accepted) descriptor: non-blocking already. -1 with errno: fd is closed. */
int conn_init(struct conn *c, struct loop *l, int fd, const struct conn_ops *ops) MUST_USE;
/* Starts a connect; connected() or broken() follows, never from inside this call. -1 with errno
 * when it could not even start (EMFILE, ENETUNREACH ...). */
int conn_connect(struct conn *c, struct loop *l, const struct addr *to,
                 const struct conn_ops *ops) MUST_USE;

/* One recv into `in`, which takes a slab when it has none and a larger one when it is full and the
 * reader needs more (up to SLAB_64K). Not while bytes of `in` are lent to another connection: they
 * may move. IO_OK: new bytes. IO_AGAIN: nothing now, readable() will be called. IO_EOF. IO_FULL: no
 * room left. IO_NOMEM: no slab. IO_FAIL with errno: broken() was not called; close it. */
enum io conn_read(struct conn *c) MUST_USE;
static inline struct str conn_unread(const struct conn *c) {
    return str_mk(c->in.p + c->in.at, c->in.end - c->in.at);
}
/* Looks without taking: true when the peer has finished or reset and nothing is left to read. */
bool conn_peer_gone(struct conn *c);
bool conn_has_bytes(struct conn *c); /* the same: true when there are bytes to read */
/* The first bytes that wait in the socket of a plain connection, at most `max`, which stay there;
 * 0: none now, an event will tell. A look costs a system call and asks for no event: whoever needs
 * more waits for readable(). -1: it has ended, or failed. */
ssize_t conn_look(struct conn *c, char *to, size_t max) MUST_USE;
/* The reader will wait: what little is unread moves to a small slab. Not while bytes are lent. */
void conn_shrink(struct conn *c);
void conn_consume(struct conn *c, size_t n); /* gives the slab back when all is consumed */
/* Asks for readable() again in the next turn, although no event will come (data is in `in`, or
 * can_read is set and was not used up). */
void conn_again(struct conn *c);

/* Room for n bytes at the end of out (n ≤ 64 KiB), NULL when there is no slab or it does not fit:
 * the caller fails the exchange or waits for flushed(). conn_wrote() then says how many are used.
 */
char *conn_room(struct conn *c, size_t n) MUST_USE;
void conn_wrote(struct conn *c, size_t n);
/* conn_wrote() right after conn_connect(), of bytes that go before all else, the handshake of TLS
 * too. They are few enough for any fresh socket. */
void conn_wrote_first(struct conn *c, uint8_t n);
/* Only one loan at a time, behind what is in out, and before `after` (constant bytes, ≤ 16). The
 * bytes must stay where they are until flushed() has reported them, or conn_unlend(). */
void conn_lend(struct conn *c, const char *p, size_t n, struct str after);
/* The same of n bytes in a pipe (channel.h), which stays open as long; to a plain connection where
 * nothing is pending. */
void conn_lend_pipe(struct conn *c, int pipe, size_t n);
void conn_unlend(struct conn *c); /* takes back what was not sent */
/* The loan or what follows it is not sent whole: nothing may be appended. */
static inline bool conn_lending(const struct conn *c) { return c->lent_n > 0 || c->after_n > 0; }
static inline size_t conn_pending(const struct conn *c) {
    return c->out.end - c->out.at + c->lent_n + c->after_n + c->sealed;
}

/* The owner has something to say: a flush comes, and fill() before it. */
void conn_talk(struct conn *c);
/* FIN after what is in out was sent. */
void conn_shutdown(struct conn *c);
/* It is over: no handler is called any more, its buffers are given back. The descriptor is closed
 * (RST when reset) and `freed` is called at the end of this turn, when no handler has it on its stack
 * any more, or of a later one. */
void conn_close(struct conn *c, bool reset, void (*freed)(struct conn *c));
/* Whoever closes it resets it. */
void conn_will_reset(struct conn *c);
/* The descriptor, which is the caller's from now on: for the rest it is conn_close(). Nothing was
 * read or written. */
int conn_give_up(struct conn *c, void (*freed)(struct conn *c)) MUST_USE;
static inline bool conn_reusable(const struct conn *c) {
    return !c->closed && !c->eof && !c->hangup && !c->connecting && !c->shaking &&
           c->in.p == NULL && conn_pending(c) == 0;
}

/* For the loop: runs the ready list, flushes what is hot (and lazy), closes and frees the doomed, of
 * which conns_end() leaves none. Whoever makes connections talk from outside of their handlers (a
 * timer, a snapshot) leaves that to the turn. */
void conns_run_ready(struct loop *l);
void conns_flush(struct loop *l, bool lazy);
void conns_end_turn(struct loop *l);
void conns_end(struct loop *l);

#endif
