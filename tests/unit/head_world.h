/* SPDX-License-Identifier: Apache-2.0
 *
 * head_world: request heads from readable text: lines end with LF, the empty line is added.
 */
#ifndef SLUICE_TESTS_HEAD_WORLD_H
#define SLUICE_TESTS_HEAD_WORLD_H

#include "proxy/http/h1.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h> /* needs those */

/* Valid until the next call. */
static inline const struct head *head_of(const char *lines) {
    static char bytes[HEAD_BYTES_MAX];
    static struct head head;
    static const struct head_limits limits = {HEAD_BYTES_MAX, 256, 100};
    struct out o = out_fixed(bytes, sizeof(bytes));
    size_t skipped;
    enum reason reason;
    const char *detail = "";
    for (; *lines != 0; lines++) {
        if (*lines == '\n')
            out_char(&o, '\r');
        out_char(&o, *lines);
    }
    out_lit(&o, "\r\n");
    enum h1 got = h1_parse_request(&(struct h1_scan){0}, o.p, o.n, &limits, &head, &skipped,
                                   &reason, &detail);
    if (o.over || got != H1_DONE)
        fail_msg("not a head: %s\n%.*s", detail, STR_FMT(out_done(&o)));
    return &head;
}

#endif
