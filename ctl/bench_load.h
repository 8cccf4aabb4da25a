/* SPDX-License-Identifier: Apache-2.0
 *
 * bench_load: what one run is made of. Private to bench_load.c, bench_conn.c, bench_h1.c,
 * bench_h2.c.
 *
 *     load ── conns ──► conn ── flights ──► flight   HTTP/1: one of a connection
 *       │                │                           HTTP/2: --streams of it
 *       │                └ codec: h1 or h2
 *       └─ free: a ring of flights, taken in turns, so that every connection has its share
 *
 *     a flight:      FREE ──► WAITS (its connection is not there yet) ──► SENT ──► FREE
 *     a connection:  CLOSED ──► CONNECTING ──► SHAKING (TLS) ──► OPEN ──► CLOSED
 *
 * A flight that is taken on a closed connection opens it; so a request pays for the connection that
 * it needs, and a server that refuses fails the request that found it so. A connection that the
 * server ends, or that it says is its last answer on, is closed when its flights are over.
 */
#ifndef SLUICE_CTL_BENCH_LOAD_H
#define SLUICE_CTL_BENCH_LOAD_H

#include "ctl/bench.h"
#include "lib/hash.h"
#include "proxy/http/h1.h"

struct bench_load;
struct bench_conn;

enum bench_flight_state { FLIGHT_FREE, FLIGHT_WAITS, FLIGHT_SENT };

struct bench_flight {
    struct bench_conn *conn;
    const struct bench_kind *kind;
    uint64_t due_ns, sent_ns, free_ns; /* free_ns: since when it is free */
    size_t body_at;                    /* HTTP/2: sent of the body */
    int32_t stream;                    /* HTTP/2 */
    uint16_t status;
    uint8_t reason; /* enum reason */
    uint8_t state;
    bool timed;  /* it was due within the window */
    bool listed; /* on the ring */
};

/* A request that is asked again. */
struct bench_retry {
    const struct bench_kind *kind;
    uint64_t due_ns;
    bool timed;
};

/* What a protocol does for a connection. Bytes are those inside TLS. */
struct bench_codec {
    /* It stands; false: no memory. */
    bool (*opened)(struct bench_conn *c);
    /* Sends the flight's request, or notes that bytes are to be written. */
    void (*ask)(struct bench_conn *c, struct bench_flight *f);
    /* Bytes came. BENCH_ERRORS: all is well; else the connection is over with that error. */
    enum bench_error (*came)(struct bench_conn *c, struct str bytes);
    /* The server has finished. True: what was answered until then is whole. */
    bool (*ended)(struct bench_conn *c);
    /* The next bytes to write, which stay until it is called again; n == 0: none. */
    struct str (*give)(struct bench_conn *c);
    /* Gives a flight up that was sent; false: only by closing the connection. */
    bool (*drop)(struct bench_conn *c, struct bench_flight *f);
    void (*closed)(struct bench_conn *c);
};
extern const struct bench_codec bench_h1, bench_h2;

enum bench_conn_state { CONN_CLOSED, CONN_CONNECTING, CONN_SHAKING, CONN_OPEN };

struct bench_conn {
    struct bench_load *load;
    const struct bench_codec *codec;
    struct bench_flight *flights; /* streams of them */
    unsigned taken;               /* flights that are not free */
    int fd;
    SSL *tls;
    uint8_t state;
    uint8_t to;      /* of plan->to */
    bool retired;    /* takes no more: closed when nothing is taken */
    bool waits;      /* for room to write: EPOLLOUT is asked for */
    bool dirty;      /* on load->dirty */
    bool in_body;    /* HTTP/1 */
    struct str rest; /* of what give() gave: not written yet */
    struct out held; /* HTTP/1: a head that is not complete */
    struct h1_scan scan;
    struct h1_body body;
    nghttp2_session *session;
    struct out frames; /* HTTP/2: what give() put together */
    struct bench_conn *next_dirty;
};

struct bench_load {
    const struct bench_plan *plan;
    const struct bench_watcher *watcher;
    struct bench_result *result;
    int epoll;
    struct bench_conn *conns;
    struct bench_flight *flights;
    struct bench_flight **ring; /* free ones: [ring_at, ring_at + n_listed) */
    size_t n_flights, ring_at, n_listed, n_taken;
    struct bench_retry *retries; /* room for n_flights */
    size_t n_retries;
    struct bench_conn *dirty; /* something is to be written before the next wait */
    char *room;               /* what was read last */
    struct head head;         /* HTTP/1: of the answer that is being read */
    /* The schedule. */
    struct prng prng;
    uint64_t start_ns, window_ns,
        end_ns;              /* first due; the window begins; nothing is due any more */
    uint64_t last_ns;        /* nothing is sent any more */
    uint64_t now_ns;         /* at the last event */
    uint64_t next_ns, n_due; /* when the next is due, and how many were before it */
    size_t order_at;         /* of the mix */
    /* The second that runs. */
    struct bench_histogram *second;
    uint64_t second_ns, second_failed; /* when it began */
    uint64_t tick_ns;                  /* when timeouts were looked at last */
    uint64_t opened;                   /* connections so far */
    bool begun;                        /* the first connections were made */
    bool dead[BENCH_ADDRESSES];        /* of plan->to: nobody took a connection there at first */
    uint64_t cpu_ns;                   /* of this thread when the window began */
    bool in_window;
    int connect_errno;   /* of the last connect that failed */
    char tls_words[160]; /* of the last handshake that failed */
};

enum { BENCH_READ_BYTES = 64 << 10 };

/* ---- bench_conn.c ---- */

void bench_conn_open(struct bench_conn *c);
void bench_conn_event(struct bench_conn *c, uint32_t events);
/* Writes now, or before the next wait. */
void bench_conn_write(struct bench_conn *c);
void bench_conn_write_soon(struct bench_conn *c);
/* Every flight on it ends with that error; BENCH_ERRORS: none is on it, or they are asked again. */
void bench_conn_close(struct bench_conn *c, enum bench_error why);

/* ---- bench_load.c: how flights end; all of them make the flight free ---- */

void bench_unlisted(struct bench_conn *c); /* it was closed: its free flights may be taken again */
void bench_answered(struct bench_flight *f);
void bench_failed_with(struct bench_flight *f, enum bench_error why);
/* The server has not looked at it (RFC 9113 8.7): it is asked again, and still due when it was. */
void bench_again(struct bench_flight *f);
uint64_t bench_clock(void);
void bench_reason(struct bench_flight *f, struct str name); /* of the header sluice-reason */

#endif
