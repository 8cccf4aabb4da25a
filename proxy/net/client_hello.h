/* SPDX-License-Identifier: Apache-2.0
 *
 * client_hello: whom a client of TLS wants, read from its first bytes without ending its TLS.
 *
 *     record | record ...      type 22, version, length     any number of them, cut anywhere
 *       └ ClientHello          random, session, suites, compression, extensions
 *           └ server_name      one name, in lower case, without a last dot
 *
 * The ClientHello must be whole: no name is taken from a part of it (S26). Everything is bounded by
 * CLIENT_HELLO_MAX and by what encloses it; every other extension is passed over, whatever it is
 * (GREASE, ECH: the outer name counts). What OpenSSL would refuse in this part is refused too. A
 * pure function.
 */
#ifndef SLUICE_PROXY_NET_CLIENT_HELLO_H
#define SLUICE_PROXY_NET_CLIENT_HELLO_H

#include "lib/str.h"

enum { CLIENT_HELLO_MAX = 16384, CLIENT_HELLO_NAME_MAX = 255 };

enum client_hello_got {
    CLIENT_HELLO_MORE, /* look again when there are `need` bytes */
    CLIENT_HELLO_BAD,  /* it is none, or wrong: *detail says how */
    CLIENT_HELLO_DONE,
};

struct client_hello {
    size_t need;    /* more than were there */
    uint8_t name_n; /* 0: it names no host */
    char name[CLIENT_HELLO_NAME_MAX];
};

static inline struct str client_hello_name(const struct client_hello *h) {
    return str_mk(h->name, h->name_n);
}

enum client_hello_got client_hello_read(const char *p, size_t n, struct client_hello *h,
                                        const char **detail) MUST_USE;

#endif
