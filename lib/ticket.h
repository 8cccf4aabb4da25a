/* SPDX-License-Identifier: Apache-2.0
 *
 * ticket: what controller and proxy agree on about the keys of TLS session tickets.
 *
 *            from                +period_s           +2 period_s
 *     key 1  ├──── seals ────────┼──── opens ────────┤
 *     key 2                      ├──── seals ────────┼──── opens ...
 *     key 3                                          ├──── seals ...
 *
 * Each is known to every proxy a whole period before it seals, so one that is told late, or whose
 * clock is off, still opens what the others have sealed.
 */
#ifndef SLUICE_LIB_TICKET_H
#define SLUICE_LIB_TICKET_H

#include "lib/model.h"

enum {
    TICKET_SECRET = 32,  /* bytes */
    TICKET_KEYS_MAX = 4, /* in one object */
    TICKET_PERIOD_S = 8 * 3600,
    TICKET_PERIOD_MAX_S = 12 * 3600,
};
#define TICKET_KEYS_ID "ticket_keys/-/all"

int ticket_keys_check(const struct model_ticket_keys *m, struct why *why) MUST_USE;

#endif
