/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz h1_body: body framings. Byte 0 chooses the framing, bytes 1 and 2 the length, byte 3 how
 * large the pieces are in which the rest arrives. Whatever the pieces, the same body comes out.
 */
#include "proxy/http/h1.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

struct taken {
    enum h1 result;
    size_t eaten;
    char *body; /* room for the whole input */
    size_t body_n;
};

/* Feeds p[0..n) so that at most `step` new bytes are seen at a time. */
static struct taken feed(const struct head *h, const char *p, size_t n, size_t step) {
    struct taken t = {.result = H1_MORE, .body = malloc(n + 1)};
    struct h1_body b;
    h1_body_init(&b, h);
    must(t.body != NULL);
    size_t seen = 0;
    while (t.result == H1_MORE && !b.done) {
        seen = size_min(n, size_max(seen, t.eaten) + step);
        size_t eat = 0;
        struct str piece = STR_NONE;
        t.result = h1_body_next(&b, p + t.eaten, seen - t.eaten, &eat, &piece);
        must(eat <= seen - t.eaten && piece.n <= eat);
        if (t.result == H1_BAD)
            break;
        if (piece.n > 0)
            memcpy(t.body + t.body_n, piece.p, piece.n);
        t.body_n += piece.n;
        t.eaten += eat;
        if (seen == n && eat == 0)
            break;
    }
    must(t.result != H1_DONE || b.total == t.body_n);
    return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    if (n < 4)
        return 0;
    static struct head h;
    h.framing = (uint8_t)(data[0] % 4);
    h.content_length = h.framing == FRAMING_LENGTH ? (uint64_t)data[1] << 8 | data[2] : 0;
    const char *p = (const char *)data + 4;
    struct taken whole = feed(&h, p, n - 4, n);
    struct taken pieces = feed(&h, p, n - 4, (size_t)data[3] + 1);
    must(whole.result == pieces.result);
    if (whole.result == H1_DONE) {
        must(whole.eaten == pieces.eaten && whole.body_n == pieces.body_n);
        must(memcmp(whole.body, pieces.body, whole.body_n) == 0);
    }
    free(whole.body);
    free(pieces.body);
    return 0;
}
