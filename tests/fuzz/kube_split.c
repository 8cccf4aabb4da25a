/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz kube_split: watches and lists in pieces. Byte 0 'l' is a list, any other a stream; byte 1 is
 * how large the pieces are; byte 2 the largest object, in 16 bytes. Whatever the pieces, the same
 * objects come out, and the same verdict.
 */
#include "controller/kube/split.h"
#include "tests/fuzz/fuzz.h"

#include "lib/hash.h"

struct taken {
    uint64_t objects, hash;
    bool bad, whole;
};

static void take(struct taken *t, struct str object) {
    must(object.n >= 2 && object.p[0] == '{' && object.p[object.n - 1] == '}');
    t->objects++;
    t->hash = hash_mix(t->hash, hash_content(object));
}

static struct taken feed(enum split_form form, struct str text, size_t max, size_t step) {
    struct taken t = {0};
    struct split s;
    struct why why = {0};
    struct str object, rest = STR_NONE;
    enum split_got got = SPLIT_MORE;
    split_init(&s, form, max);
    while (text.n > 0 && got != SPLIT_BAD) {
        struct str piece = str_mk(text.p, size_min(step, text.n));
        text = str_skip(text, piece.n);
        while ((got = split_next(&s, &piece, &object, &why)) == SPLIT_OBJECT) {
            must(object.n <= max);
            take(&t, object);
        }
        must(got == SPLIT_BAD || piece.n == 0);
        must(s.held.cap <= size_max(max, 256) && s.rest.n <= SPLIT_REST_MAX);
    }
    t.bad = got == SPLIT_BAD;
    must(t.bad == why_set(&why));
    t.whole = split_end(&s, &rest, &why) == 0;
    must(t.whole == !why_set(&why) && !(t.bad && t.whole));
    if (t.whole && form == SPLIT_LIST)
        take(&t, rest);
    split_fini(&s);
    return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    if (n < 3)
        return 0;
    enum split_form form = data[0] == 'l' ? SPLIT_LIST : SPLIT_STREAM;
    size_t max = ((size_t)data[2] + 1) * 16;
    struct str text = str_mk((const char *)data + 3, n - 3);
    const size_t steps[] = {1, (size_t)data[1] + 1};
    struct taken whole = feed(form, text, max, n);
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        struct taken pieces = feed(form, text, max, steps[i]);
        must(pieces.objects == whole.objects && pieces.hash == whole.hash);
        must(pieces.bad == whole.bad && pieces.whole == whole.whole);
    }
    return 0;
}
