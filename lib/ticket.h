/* SPDX-License-Identifier: Apache-2.0
 *
 * ticket: what controller and proxy agree on about keys that all proxies share for a while: of TLS
 * session tickets, and of the sessions of those who have logged in with a browser.
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
    SESSION_PERIOD_S = 8 * 3600, /* somebody who does nothing is remembered for so long at most */
};
#define TICKET_KEYS_ID  "ticket_keys/-/all"
#define SESSION_KEYS_ID "session_keys/-/all"

int ticket_keys_check(const struct model_ticket_keys *m, struct why *why) MUST_USE;
int session_keys_check(const struct model_session_keys *m, struct why *why) MUST_USE;

/* The key that seals at a time (seconds since 1970); NULL: none does, any more or yet. */
const struct model_ticket_key *session_key_sealing(const struct model_session_keys *m, uint64_t at);
/* The one that began to seal `from` then, as long as it opens. */
const struct model_ticket_key *session_key_opening(const struct model_session_keys *m,
                                                   uint64_t from, uint64_t at);

#endif
