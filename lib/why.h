/* SPDX-License-Identifier: Apache-2.0
 *
 * why: the reason that something in the configuration was refused. It is written once, where the
 * fault is found, and travels unchanged to status, log, nack and the command line.
 *
 *   object  "Route shop/catalog"         what the user wrote
 *   field   "spec.rules[0].timeouts"     where in it ("" = the whole object)
 *   text    "\"5x\" is not a duration; write it as 5s, 250ms or 1h30m"
 *
 * Fixed room, no ownership: longer parts are cut. Printed as `object: field: text`.
 */
#ifndef SLUICE_LIB_WHY_H
#define SLUICE_LIB_WHY_H

#include "lib/out.h"

#include <stdarg.h>

struct why {
    char object[160];
    char field[200];
    char text[480];
};

static inline void why_clear(struct why *w) { w->object[0] = w->field[0] = w->text[0] = 0; }
static inline bool why_set(const struct why *w) { return w->text[0] != 0; }
/* Each sets one part; NULL why is allowed and does nothing. why_text keeps the first text. */
void why_object(struct why *w, const char *fmt, ...) PRINTF_LIKE(2, 3);
void why_field(struct why *w, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Always returns -1, so that a parser can `return why_text(w, ...)`. */
int why_text(struct why *w, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* The one sentence. */
void why_print(const struct why *w, struct out *o);

/* Shows at most 64 bytes of what the user wrote, in quotes, escaped: for use inside why_text with
 * "%s". The room is the caller's. */
struct shown {
    char p[300];
};
const char *why_show(struct str s, struct shown *room);

#endif
