/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/why.h"

#include <stdio.h>

static void put(char *room, size_t size, const char *fmt, va_list args) {
    vsnprintf(room, size, fmt, args);
}

void why_object(struct why *w, const char *fmt, ...) {
    if (!w)
        return;
    va_list args;
    va_start(args, fmt);
    put(w->object, sizeof(w->object), fmt, args);
    va_end(args);
}

void why_field(struct why *w, const char *fmt, ...) {
    if (!w)
        return;
    va_list args;
    va_start(args, fmt);
    put(w->field, sizeof(w->field), fmt, args);
    va_end(args);
}

int why_text(struct why *w, const char *fmt, ...) {
    if (!w || why_set(w))
        return -1;
    va_list args;
    va_start(args, fmt);
    put(w->text, sizeof(w->text), fmt, args);
    va_end(args);
    return -1;
}

void why_print(const struct why *w, struct out *o) {
    if (w->object[0]) {
        out_str(o, str_of(w->object));
        out_lit(o, ": ");
    }
    if (w->field[0]) {
        out_str(o, str_of(w->field));
        out_lit(o, ": ");
    }
    out_str(o, str_of(w->text));
}

const char *why_show(struct str s, struct shown *room) {
    struct out o = out_fixed(room->p, sizeof(room->p) - 1);
    out_json(&o, str_mk(s.p, size_min(s.n, 48)));
    if (s.n > 48)
        out_lit(&o, "...");
    room->p[o.n] = 0;
    return room->p;
}
