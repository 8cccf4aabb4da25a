/* SPDX-License-Identifier: Apache-2.0
 *
 * authority: host and port of a Host field or of an absolute target (S10).
 *
 * Narrower than RFC 3986 3.2: no userinfo, and of a registered name only letters, digits and
 * "-._~". Percent escapes and sub-delims ("," ";" "=" ...) are refused: no name that is routed has
 * them, and they would have to be quoted wherever the host is written again. A bracketed address
 * must be an IPv6 address without zone. The port is empty or 1 to 5 digits, 1..65535.
 */
#ifndef SLUICE_PROXY_HTTP_AUTHORITY_H
#define SLUICE_PROXY_HTTP_AUTHORITY_H

#include "lib/str.h"

enum { AUTHORITY_HOST_MAX = 255 }; /* bytes of a host: the longest DNS name, with room */

struct authority {
    struct str host; /* as it came, case kept; an IPv6 address with its brackets */
    uint16_t port;   /* 0 = none */
};

/* Borrows from s. False: it is not an authority as above; *a is undefined then. */
bool authority_parse(struct str s, struct authority *a) MUST_USE;

#endif
