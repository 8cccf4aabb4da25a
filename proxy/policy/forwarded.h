/* SPDX-License-Identifier: Apache-2.0
 *
 * forwarded: the field Forwarded (RFC 7239), which some proxies write instead of X-Forwarded-For.
 *
 *     Forwarded: for=203.0.113.7;proto=https, for="[2001:db8::1]:4711", for=_hidden, for=unknown
 *                └ the client, as the first proxy saw it                 └ the nearest proxy's peer
 *
 * It is read strictly: an open quote or a byte that may not be there would let the one element
 * swallow the next, which is ours. Pure functions.
 */
#ifndef SLUICE_PROXY_POLICY_FORWARDED_H
#define SLUICE_PROXY_POLICY_FORWARDED_H

#include "lib/out.h"

enum { FORWARDED_MAX = 64 }; /* elements of one field */

/* The nodes that `for` says, in order; n == 0 where an element does not. What is left of the quotes
 * may have backslashes in it, which no address has. False: the field is malformed. */
bool forwarded_read(struct str field, struct str nodes[FORWARDED_MAX], unsigned *n) MUST_USE;

/* The address of a node, v4 as v4-mapped; false: it has none ("unknown", "_hidden"). */
bool forwarded_address(struct str node, uint8_t address[16]) MUST_USE;

/* One element, of ours. peer: an address without brackets. */
void forwarded_write(struct out *o, struct str peer, struct str host, bool https);

#endif
