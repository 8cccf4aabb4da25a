/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz frames: the bytes of a WebSocket tunnel. Byte 0: the direction, and how large the pieces are
 * in which the rest arrives. Whatever the pieces, frames end at the same places; and where they say
 * that one may stand, a Close does stand: it ends the direction, and nothing behind it is looked
 * at.
 */
#include "proxy/http/websocket.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static bool same(const struct frames *a, const struct frames *b) {
    return a->lost == b->lost && a->closed == b->closed && a->left == b->left && a->n == b->n &&
           a->open == b->open;
}

static void say_goodbye(struct frames f) {
    char room[FRAME_BYE_MAX];
    size_t n = frame_bye(room, f.masked, 0x01020304);
    must(frames_pass(&f, str_mk(room, n), true) == n && f.closed && !f.lost);
    must(!frames_between(&f));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    if (n < 1)
        return 0;
    const char *p = (const char *)data + 1;
    size_t all = n - 1, step = (size_t)(data[0] >> 1) + 1;
    struct frames whole = {.masked = (data[0] & 1) != 0}, pieces = whole, stops = whole;
    must(frames_pass(&whole, str_mk(p, all), false) == all);
    for (size_t at = 0; at < all; at += step) {
        struct str piece = str_mk(p + at, size_min(step, all - at));
        must(frames_pass(&pieces, piece, false) == piece.n);
    }
    for (size_t at = 0; at < all;) {
        size_t took = frames_pass(&stops, str_mk(p + at, all - at), true);
        must(took > 0 && took <= all - at);
        at += took;
        must(at == all || frames_between(&stops) || stops.closed);
        if (frames_between(&stops))
            say_goodbye(stops);
    }
    must(same(&whole, &pieces) && same(&whole, &stops));
    return 0;
}
