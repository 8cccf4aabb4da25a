/* SPDX-License-Identifier: Apache-2.0
 *
 * httpd: the little HTTP server behind the telemetry and admin ports of both programs, on
 * bufferevents. GET and HEAD of a few paths; each answer is put together at once, or later
 * (httpd_defer), or in pieces (struct httpd_pieces), on the thread that runs the event_base. Plain,
 * or TLS. Not for traffic.
 *
 *   static const struct httpd_route routes[] = {{"/live", live, NULL}, ...};
 *   struct httpd *h = httpd_new(base, "127.0.0.1:7501", routes, n, 0, &why);
 *
 * Bounds: HTTPD_CONNECTIONS at once (more wait in the kernel), HTTPD_HEAD_MAX bytes of head, no
 * body, HTTPD_TIMEOUT_S for a head and of silence, HTTPD_BODY_MAX bytes of answer. An answer in
 * pieces may be of any size and takes HTTPD_PIECES_S at most; of it about HTTPD_PIECE bytes are in
 * memory, and a turn of the loop goes on with one such answer, for about HTTPD_SLICE_US.
 */
#ifndef SLUICE_LIB_HTTPD_H
#define SLUICE_LIB_HTTPD_H

#include "lib/out.h"
#include "lib/why.h"

struct event_base;
struct httpd;

enum {
    HTTPD_CONNECTIONS = 64,
    HTTPD_HEAD_MAX = 8 << 10,
    HTTPD_TIMEOUT_S = 10,
    HTTPD_BODY_MAX = 256 << 20,
    HTTPD_PIECES_S = 300,
    HTTPD_PIECE = 64 << 10,
    HTTPD_SLICE_US = 1000,
    HTTPD_PARAMS = 8, /* query parameters; a request with more is refused */
};

/* Refuse to listen anywhere but on loopback, and refuse requests whose Host is no loopback name (a
 * page in a browser can make a name of its own point at loopback). */
enum {
    HTTPD_LOOPBACK_ONLY = 1,
    HTTPD_TLS = 2, /* every connection is TLS; until httpd_set_tls() they are closed */
};

struct httpd_param {
    struct str name, value; /* decoded */
};

struct ssl_st;
struct ssl_ctx_st;

/* Lives until the handler returns. */
struct httpd_request {
    struct str path;
    struct str accept; /* the Accept header; n == 0: none */
    const struct httpd_param *params;
    size_t n_params;
    struct str fields;           /* of the head, for httpd_field() */
    struct ssl_st *tls;          /* of the connection; NULL: plain */
    struct connection *incoming; /* httpd's own */
};
/* The first parameter of that name; p == NULL if there is none. */
struct str httpd_param(const struct httpd_request *rq, const char *name);
/* The head's fields one by one: *at starts as 0; false at the end. */
bool httpd_field(const struct httpd_request *rq, size_t *at, struct str *name, struct str *value);

/* The rest of an answer that grows with the configuration, behind what stands in its body: made
 * when the reader has taken what came before, so neither its size nor a slow reader holds up the
 * loop or takes memory. The state that it is told from goes on meanwhile. */
struct httpd_pieces {
    bool (*more)(void *arg, struct out *o); /* appends a little, or nothing; false: that was all */
    void (*end)(void *arg);                 /* exactly once, told to the end or not */
    void *arg;
};

/* The handler fills it; 200 and text/plain stand before it is called. A body that went over its
 * bound is answered with 500. */
struct httpd_answer {
    int status;
    const char *content_type; /* constant */
    const char *fields;       /* more lines of the head, each with its CRLF, constant; NULL: none */
    struct out body;
    struct httpd_pieces pieces; /* more == NULL: the body is all */
};

/* For an answer that must wait: the handler calls this and returns, and what it has written is not
 * sent. Ended exactly once by httpd_finish(), also when the client, or the server, is gone. */
struct httpd_later *httpd_defer(const struct httpd_request *rq);
struct httpd_answer httpd_answer(void);                           /* an empty one: 200 */
void httpd_finish(struct httpd_later *l, struct httpd_answer *a); /* takes a's body */

struct httpd_route {
    const char *path; /* exact; all that begin with it where it ends in "*" */
    void (*handle)(void *arg, const struct httpd_request *rq, struct httpd_answer *answer);
    void *arg;
};

/* address: "127.0.0.1:7501", "[::]:7501", ":7501" (every address); port 0 = any free one. The
 * routes are copied. NULL with *why. */
struct httpd *httpd_new(struct event_base *base, const char *address,
                        const struct httpd_route *routes, size_t n_routes, unsigned flags,
                        struct why *why);
/* For connections from now on; a count of its own is taken. */
void httpd_set_tls(struct httpd *h, struct ssl_ctx_st *context);
void httpd_free(struct httpd *h);           /* NULL is fine; open connections are closed */
uint16_t httpd_port(const struct httpd *h); /* the one that it listens on */
unsigned httpd_connections(const struct httpd *h);

#endif
