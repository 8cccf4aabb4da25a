/* SPDX-License-Identifier: Apache-2.0
 *
 * line: one request, or one connection, as one line of JSON; see log.h. Pure but for the clock.
 */
#ifndef SLUICE_PROXY_OBSERVE_LINE_H
#define SLUICE_PROXY_OBSERVE_LINE_H

#include "lib/out.h"
#include "proxy/observe/record.h"

/* What a worker keeps so that the time of day costs no division of years a request: how far the
 * wall clock is from the monotonic one (looked at again after a second), and the text of a second.
 */
struct line_clock {
    uint64_t offset_ns;    /* wall - monotonic */
    uint64_t looked_at_ns; /* monotonic */
    uint64_t second;       /* of text */
    char text[20];         /* "2026-01-02T03:04:05" */
};

/* settings: of the gateway, or NULL. */
void line_write(struct out *o, struct line_clock *clock, const struct record *r,
                const struct model_access_log *settings);
/* Of what was decided about the caller. */
void line_write_audit(struct out *o, struct line_clock *clock, const struct record *r);
void line_write_passed(struct out *o, struct line_clock *clock, const struct passed *p);

#endif
