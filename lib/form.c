/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/form.h"

#include "lib/chars.h"

void form_put(struct out *o, struct str value) {
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < value.n; i++) {
        unsigned char c = (unsigned char)value.p[i];
        if (char_is(value.p[i], CHAR_HOST)) {
            out_char(o, value.p[i]);
            continue;
        }
        const char three[] = {'%', digits[c >> 4], digits[c & 15]};
        out_bytes(o, three, sizeof(three));
    }
}

void form_pair(struct out *o, struct str name, struct str value) {
    if (o->n > 0)
        out_char(o, '&');
    out_str(o, name);
    out_char(o, '=');
    form_put(o, value);
}
