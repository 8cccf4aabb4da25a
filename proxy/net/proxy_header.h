/* SPDX-License-Identifier: Apache-2.0
 *
 * proxy_header: the PROXY protocol, versions 1 and 2: what a load balancer says of a connection
 * before the first byte of its client. Read strictly from bytes that are there, and written.
 *
 *     v1   PROXY TCP4 203.0.113.7 192.0.2.1 51000 443\r\n          at most 107 bytes
 *     v2   12 bytes of signature | version, command | family | length | addresses | TLVs
 *
 * Neither can be taken for anything else: no method of HTTP begins with PROXY, HTTP/2's preface has
 * an I where that has an O, and TLS begins with a byte of its own. TLVs are passed over within
 * their bounds; a checksum (CRC32c) among them must be right. Pure functions.
 */
#ifndef SLUICE_PROXY_NET_PROXY_HEADER_H
#define SLUICE_PROXY_NET_PROXY_HEADER_H

#include "proxy/net/conn.h"

enum {
    PROXY_HEADER_MAX = 4096,      /* bytes that are read of one, TLVs and all */
    PROXY_HEADER_WRITE_MAX = 128, /* bytes that are written at most */
};

enum proxy_header_got {
    PROXY_HEADER_NONE, /* it is something else */
    PROXY_HEADER_MORE, /* it may become one: look again when there are `need` bytes */
    PROXY_HEADER_BAD,  /* it is one, and wrong: *detail says how */
    PROXY_HEADER_DONE,
};

struct proxy_header {
    size_t n;             /* of its bytes, when done */
    size_t need;          /* more than were there */
    bool known;           /* from and to were said; else the connection's own ends count */
    struct addr from, to; /* the client, and what it has connected to */
};

enum proxy_header_got proxy_header_read(const char *p, size_t n, struct proxy_header *h,
                                        const char **detail) MUST_USE;

/* version: 1 or 2. to has room for PROXY_HEADER_WRITE_MAX bytes; how many were written. Ends of two
 * families, and a v4-mapped one beside an IPv6 one, are written as IPv6. client: NULL (and local):
 * the connection is our own (UNKNOWN, LOCAL). */
size_t proxy_header_write(char *to, unsigned version, const struct addr *client,
                          const struct addr *local);

#endif
