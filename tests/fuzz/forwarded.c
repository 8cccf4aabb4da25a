/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz forwarded: what is taken stays whole when our element follows it: it is the last one that
 * anybody who reads the list finds.
 */
#include "proxy/policy/forwarded.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static char room[40000];
    struct str nodes[FORWARDED_MAX], again[FORWARDED_MAX];
    unsigned count, more;
    uint8_t address[16];
    if (n > 16384 || !forwarded_read(str_mk((const char *)data, n), nodes, &count))
        return 0;
    must(count >= 1 && count <= FORWARDED_MAX);
    for (unsigned i = 0; i < count; i++)
        if (forwarded_address(nodes[i], address))
            must(nodes[i].n >= 3);
    if (count == FORWARDED_MAX)
        return 0;
    struct out o = out_fixed(room, sizeof(room));
    out_bytes(&o, data, n);
    out_lit(&o, ", ");
    forwarded_write(&o, STR("2001:db8::7"), STR("shop.test"), true);
    must(!o.over && forwarded_read(out_done(&o), again, &more) && more == count + 1);
    must(str_eq(again[count], STR("[2001:db8::7]")));
    return 0;
}
