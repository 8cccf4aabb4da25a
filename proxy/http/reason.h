/* SPDX-License-Identifier: Apache-2.0
 *
 * reason: why Sluice answered by itself, and whose fault it was. The table is reason.def.
 */
#ifndef SLUICE_PROXY_HTTP_REASON_H
#define SLUICE_PROXY_HTTP_REASON_H

#include "lib/base.h"

enum origin { ORIGIN_NONE, ORIGIN_CLIENT, ORIGIN_GATEWAY, ORIGIN_AUTH, ORIGIN_UPSTREAM, ORIGINS };

enum reason {
    REASON_NONE, /* the answer is the upstream's own, or the route's (redirect, DirectResponse) */
#define REASON(NAME, name, origin, status, text) REASON_##NAME,
#include "proxy/http/reason.def"
#undef REASON
    REASONS
};

struct reason_info {
    const char *name;
    enum origin origin;
    uint16_t status;
    const char *text;
    const char *body; /* of an answer that stands for it: one line */
};
extern const struct reason_info reasons[REASONS]; /* reasons[REASON_NONE].name is "" */
extern const char *const origin_names[ORIGINS];   /* "", "client", "gateway", "auth", "upstream" */

#endif
