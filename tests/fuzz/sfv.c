/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz sfv: a byte that chooses, then a field. What is right is written in a form that is right
 * too, and that is written as itself.
 */
#include "lib/sfv.h"

#include "tests/fuzz/fuzz.h"

static void look_into(const struct sfv_value *v) {
    static char room[65536];
    struct out o = out_fixed(room, sizeof(room));
    struct sfv at;
    struct str key;
    struct sfv_value one;
    enum sfv_step step;
    sfv_text(v, &o);
    sfv_begin(&at, v->params);
    while ((step = sfv_param(&at, &key, &one)) == SFV_ONE)
        must(key.n > 0 && key.n <= SFV_KEY_MAX && sfv_param_get(v, key, &one));
    must(step == SFV_END);
    if (v->type != SFV_INNER)
        return;
    sfv_begin(&at, v->text);
    while ((step = sfv_inner(&at, &one)) == SFV_ONE)
        look_into(&one);
    must(step == SFV_END);
}

/* False: it is not right. Keys of a dictionary may come twice, and are then written twice. */
static bool rewrite(unsigned kind, struct str text, struct out *o) {
    struct sfv at;
    struct str key;
    struct sfv_value v;
    enum sfv_step step;
    if (kind == 0) {
        if (!sfv_item(text, &v))
            return false;
        look_into(&v);
        sfv_write(o, &v);
        return true;
    }
    sfv_begin(&at, text);
    while ((step = kind == 1 ? sfv_list(&at, &v) : sfv_dictionary(&at, &key, &v)) == SFV_ONE) {
        look_into(&v);
        if (at.n > 1)
            out_lit(o, ", ");
        if (kind == 1)
            sfv_write(o, &v);
        else
            sfv_write_member(o, key, &v);
    }
    return step == SFV_END;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static char first[65536], second[65536];
    struct out a = out_fixed(first, sizeof(first)), b = out_fixed(second, sizeof(second));
    if (size == 0 || size > 8192)
        return 0;
    unsigned kind = data[0] % 3;
    if (!rewrite(kind, str_mk((const char *)data + 1, size - 1), &a))
        return 0;
    must(!a.over && rewrite(kind, out_done(&a), &b));
    must(str_eq(out_done(&a), out_done(&b)));
    return 0;
}
