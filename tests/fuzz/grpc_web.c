/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz grpc_web: the bytes that are translated for gRPC-Web. Byte 0: how large the pieces are in
 * which the rest arrives, and how large the room is. The rest is read twice: as the text of a
 * request, which means the same whatever the pieces, in its own place; and as what a backend
 * answers, whose text is that of its bytes, and complete wherever a message is.
 */
#include "proxy/http/grpc_web.h"
#include "lib/base64.h"
#include "lib/mem.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

enum { INPUT_MAX = 1024, ROOM_MAX = 16 * 1024 };

/* The bytes of a text that came in pieces; false: it is none. */
static bool decoded(struct str text, size_t step, char *to, size_t *n) {
    struct base64 b = {0};
    char in[ROOM_MAX];
    *n = 0;
    for (size_t at = 0; at < text.n; at += step) {
        size_t some, piece = size_min(step, text.n - at);
        memcpy(in, text.p + at, piece);
        if (!base64_more(&b, str_mk(in, piece), in, &some))
            return false;
        must(some <= piece);
        memcpy(to + *n, in, some);
        *n += some;
    }
    return base64_complete(&b);
}

static void asked(struct str text, size_t step) {
    char whole[INPUT_MAX], pieces[INPUT_MAX], strict[BASE64_ROOM(INPUT_MAX)];
    size_t a, b, c;
    bool good = decoded(text, text.n + 1, whole, &a);
    must(decoded(text, step, pieces, &b) == good);
    must(!good || (a == b && memcmp(whole, pieces, a) == 0));
    if (base64_decode(text, strict, &c)) /* one run is one of those that are allowed */
        must(good && a == c && memcmp(whole, strict, a) == 0);
}

/* How many bytes of it are whole messages. */
static size_t whole_messages(struct str in) {
    size_t at = 0;
    while (in.n - at >= GRPC_WEB_HEAD) {
        const uint8_t *p = (const uint8_t *)in.p + at;
        size_t n = (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4];
        if (in.n - at - GRPC_WEB_HEAD < n)
            break;
        at += GRPC_WEB_HEAD + n;
    }
    return at;
}

static void answered(struct str in, size_t step, size_t room) {
    struct grpc_web_text t = {0};
    char text[ROOM_MAX], bytes[ROOM_MAX];
    size_t n = 0, back;
    for (size_t at = 0; at < in.n; at += step) {
        struct str piece = str_mk(in.p + at, size_min(step, in.n - at));
        while (piece.n > 0) {
            size_t before = piece.n, some = grpc_web_text(&t, &piece, text + n, room);
            must(piece.n < before && some < room);
            n += some;
        }
        struct str so_far = str_mk(in.p, size_min(at + step, in.n));
        must(decoded(str_mk(text, n), n + 1, bytes, &back));
        must(back <= so_far.n && back + 2 >= so_far.n && back >= whole_messages(so_far));
        must(memcmp(bytes, in.p, back) == 0);
        must(grpc_web_between(&t) == (whole_messages(so_far) == so_far.n));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    if (n < 2)
        return 0;
    struct str in = str_mk((const char *)data + 1, size_min(n - 1, INPUT_MAX - 1));
    size_t step = (size_t)(data[0] & 15) + 1, room = (size_t)(data[0] >> 4) * 16 + GRPC_WEB_ROOM;
    struct str rest;
    asked(in, step);
    answered(in, step * 17, room);
    (void)grpc_web_form(in, &rest);
    return 0;
}
