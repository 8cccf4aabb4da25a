/* SPDX-License-Identifier: Apache-2.0
 *
 * bench_mix: what is sent. Every request is put together once, as bytes for HTTP/1.1 and as fields
 * for HTTP/2; a run goes through `order` round and round.
 *
 *     the URL itself ─┐
 *     --requests FILE ┼─► kinds:  [GET /catalog] [POST /orders] ...
 *     --replay LOG ───┘   order:  0 0 1 0 0 1 ...           of a file: by weight, well mixed
 *                                 0 3 1 1 2 ...             of a log: line by line
 *                         at_ns:  0 1200 1900 ...           of a log: when, from its first line
 *
 * A file has what vegeta's have, with a weight before it if wanted:
 *
 *     # two of three
 *     2 GET /catalog
 *     Accept: text/html
 *     1 POST http://shop.example.com/orders
 *     Content-Type: application/json
 *     @order.json
 *
 * Its hosts are names that are asked for: every connection goes to the URL's own place. Of a log
 * (JSON lines as the proxy writes them: method, host, path, ts) GET, HEAD and OPTIONS are replayed;
 * what would change something is left out and counted.
 */
#ifndef SLUICE_CTL_BENCH_MIX_H
#define SLUICE_CTL_BENCH_MIX_H

#include "lib/arena.h"
#include "lib/why.h"
#include "proxy/http/head.h"

#include <nghttp2/nghttp2.h>

enum {
    BENCH_KINDS_MAX = 100000,    /* different requests */
    BENCH_WEIGHTS_MAX = 100000,  /* the sum of a file's weights, brought down by what divides
                                    all of them */
    BENCH_REPLAY_MAX = 10000000, /* lines of a log */
    BENCH_BODY_MAX = 16 << 20,   /* bytes */
    BENCH_HEADERS_MAX = 64,      /* of one request */
};

struct bench_kind {
    struct str h1;        /* head and body */
    const nghttp2_nv *nv; /* borrowed from the arena */
    size_t n_nv;
    struct str body;
    enum method method;
};

struct bench_mix {
    struct arena arena;
    struct bench_kind *kinds;
    size_t n_kinds, room_kinds;
    uint32_t *order;
    size_t n_order, room_order;
    uint64_t *at_ns;   /* NULL: no times */
    uint64_t left_out; /* lines of a log that are not replayed */
};

/* What every request has unless it says otherwise. */
struct bench_defaults {
    bool secure;
    struct str authority;       /* Host */
    const char *const *headers; /* "Name: value" */
    unsigned n_headers;
};

void bench_mix_init(struct bench_mix *m);
void bench_mix_fini(struct bench_mix *m);

/* One request; target is a path with its query. -1 with *why. */
int bench_mix_one(struct bench_mix *m, const struct bench_defaults *d, struct str method,
                  struct str target, struct str body, struct why *why) MUST_USE;
/* The text of a file of requests. The files of bodies are read. */
int bench_mix_file(struct bench_mix *m, const struct bench_defaults *d, struct str text,
                   struct why *why) MUST_USE;
/* The text of an access log. times: at_ns is filled, from 0, in order. */
int bench_mix_log(struct bench_mix *m, const struct bench_defaults *d, struct str text, bool times,
                  struct why *why) MUST_USE;

/* http://host:port/path?query: its parts; false: it is none. path is "/" when there is none. */
struct bench_url {
    bool secure;
    struct str authority, host, target; /* host without brackets */
    uint16_t port;
};
bool bench_url(struct str text, struct bench_url *u) MUST_USE;

#endif
