/* SPDX-License-Identifier: Apache-2.0
 *
 * resp: what a Redis or Valkey server answers (RESP2), as far as we ask for it: a word, an error, a
 * number, a string, or a flat list of numbers. Everything else is no answer of ours. No state, no
 * I/O, and nothing is allocated.
 */
#ifndef SLUICE_PROXY_LIMIT_RESP_H
#define SLUICE_PROXY_LIMIT_RESP_H

#include "lib/out.h"
#include "lib/str.h"

enum {
    RESP_NUMBERS_MAX = 72, /* of a list */
    RESP_LINE_MAX = 512,   /* bytes of a word or an error; of a longer one there is no answer */
    RESP_TEXT_MAX = 256,
};

enum resp { RESP_MORE, RESP_DONE, RESP_BAD };
enum resp_kind { RESP_WORD, RESP_ERROR, RESP_TEXT, RESP_NUMBERS };

struct resp_reply {
    enum resp_kind kind;
    struct str text; /* of a word, an error or a string: where it stands in `in` */
    unsigned n;      /* numbers; a single one is a list of one */
    int64_t v[RESP_NUMBERS_MAX];
};

/* The first reply of `in`; *used: its bytes. */
enum resp resp_read(struct str in, struct resp_reply *r, size_t *used);

/* A command of n arguments; then each of them. */
void resp_begin(struct out *o, unsigned n);
void resp_put(struct out *o, struct str argument);
void resp_put_int(struct out *o, int64_t v);

#endif
