/* SPDX-License-Identifier: Apache-2.0
 *
 * pair: user name and password as a client shows them (RFC 7617 2): base64 of both, with a colon
 * between. The password may have more colons, and neither has control characters.
 *
 *     Ym9iOlNlY3JldCE=  ─►  bob  Secret!
 */
#ifndef SLUICE_PROXY_AUTH_PAIR_H
#define SLUICE_PROXY_AUTH_PAIR_H

#include "lib/base64.h"
#include "lib/password.h"

enum {
    PAIR_BYTES_MAX = PASSWORD_USER_MAX + 1 + PASSWORD_MAX,
    PAIR_SHOWN_MAX = (PAIR_BYTES_MAX + 2) / 3 * 4,
};

struct pair {
    struct str user, password; /* in room */
    char room[BASE64_ROOM(PAIR_SHOWN_MAX)];
};

/* NULL, or what is wrong: a sentence that shows nothing of it. The room is the caller's to wipe. */
const char *pair_read(struct pair *p, struct str shown) MUST_USE;

#endif
