/* SPDX-License-Identifier: Apache-2.0
 *
 * ws_address: where a WebSocket endpoint listens, and what a URL of one says. Names are not
 * resolved here (it would block); localhost is 127.0.0.1 (RFC 6761 6.3).
 *
 *     ws://127.0.0.1:7400                     plain, on loopback alone: private keys travel on it
 *     wss://sluice-controller.sluice.svc:7400 TLS; the certificate must bear this name
 */
#ifndef SLUICE_LIB_WS_ADDRESS_H
#define SLUICE_LIB_WS_ADDRESS_H

#include "lib/why.h"

enum { WS_NAME_MAX = 127 }; /* bytes of a name that is verified; libwebsockets has room for these */

struct ws_address {
    char host[48]; /* "127.0.0.1", "::1"; "" = every address of this machine */
    uint16_t port;
    bool v6;
};

struct ws_url {
    bool secure;                /* wss */
    bool literal;               /* it names an address; else a name that must be resolved */
    char name[WS_NAME_MAX + 1]; /* as written, without port and brackets */
    struct ws_address at;       /* of a literal; else only the port */
};

/* To listen on: "HOST:PORT", an IPv6 one in brackets; plain: a loopback address; secure: any, and
 * ":PORT" is every address. -1 with *why. */
int ws_address_parse(struct str text, bool secure, struct ws_address *a, struct why *why) MUST_USE;
int ws_url_parse(struct str url, struct ws_url *u, struct why *why) MUST_USE;

/* Whether a socket can be bound there now: 0, or errno. libwebsockets itself does not say why not.
 */
int ws_address_free(const struct ws_address *a);

#endif
