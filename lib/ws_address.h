/* SPDX-License-Identifier: Apache-2.0
 *
 * ws_address: where a WebSocket endpoint listens or connects. Names are not resolved (it would
 * block): an address is a literal, or localhost, which is 127.0.0.1 (RFC 6761 6.3).
 */
#ifndef SLUICE_LIB_WS_ADDRESS_H
#define SLUICE_LIB_WS_ADDRESS_H

#include "lib/why.h"

struct ws_address {
    char host[48]; /* "127.0.0.1", "::1" */
    uint16_t port;
    bool v6;
};

/* "HOST:PORT", HOST a loopback address; an IPv6 one in brackets. -1 with *why. */
int ws_address_parse(struct str text, struct ws_address *a, struct why *why) MUST_USE;
/* "ws://HOST:PORT". -1 with *why. */
int ws_url_parse(struct str url, struct ws_address *a, struct why *why) MUST_USE;

/* Whether a socket can be bound there now: 0, or errno. libwebsockets itself does not say why not.
 */
int ws_address_free(const struct ws_address *a);

#endif
