/* SPDX-License-Identifier: Apache-2.0
 *
 * kong_hmac: requests signed for Kong's plugin hmac-auth, so that its clients need not change.
 *
 *     Date: Thu, 22 Jun 2017 17:15:21 GMT
 *     Digest: SHA-256=SBH7QEtqnYUpEcIhDbmStNd1MxtHg2+feBfWc1105MA=
 *     Authorization: hmac username="alice", algorithm="hmac-sha256",
 *                    headers="date request-line digest", signature="base64"
 *                             │
 *                             ▼
 *     "date: Thu, 22 Jun 2017 17:15:21 GMT\nPOST /orders?x=1 HTTP/1.1\ndigest: SHA-256=…"
 *
 * A line of what is signed, in the order of `headers`, each but the last with a LF:
 *
 *     a field that is there    NAME: VALUE        NAME as `headers` spells it
 *     request-line             POST /orders?x=1 HTTP/1.1
 *     @request-target          @request-target: post /orders?x=1
 *     a field that is not      NAME:
 *
 * Stricter than Kong, each for a reason:
 *
 *   - the date that is judged (X-Date, else Date) must be among `headers`: else whoever has seen
 * one signature can use it for ever
 *   - a field that is signed is there once: a second line would go to the upstream unsigned
 *   - the request line has its query: Kong takes, as deprecated, one without
 *   - a body is covered by Digest, which must be among `headers` then
 *   - Authorization only; Proxy-Authorization is of one hop and never seen here
 *   - one spelling of the header: the four parameters in this order, nothing else, dates as RFC
 * 9110 has them today
 *
 * No state, no I/O, no memory but the caller's.
 */
#ifndef SLUICE_PROXY_HTTP_KONG_HMAC_H
#define SLUICE_PROXY_HTTP_KONG_HMAC_H

#include "lib/mac.h"
#include "proxy/http/head.h"

enum {
    KONG_HMAC_NAMES_MAX = 32,   /* in `headers` */
    KONG_HMAC_USER_MAX = 255,   /* bytes */
    KONG_HMAC_TEXT_MAX = 16384, /* bytes of what is signed */
};

struct kong_hmac_rules {
    uint32_t macs;           /* bits 1 << enum mac: which algorithms are taken */
    const struct str *names; /* that `headers` must have, in lower case; request-line: that, or
                                @request-target, which covers as much */
    size_t n_names;
    bool body;       /* a request with a body must have a Digest that is signed */
    uint32_t skew_s; /* that date and clock may differ; Kong's default is 300 */
};

struct kong_hmac { /* views of the head */
    struct str username, names;
    enum mac mac;
    unsigned char tag[MAC_MAX];
    uint8_t tag_n;
    bool covers_digest;
};

enum kong_hmac_found {
    KONG_HMAC_NONE, /* no Authorization, or of another scheme */
    KONG_HMAC_READ, /* right in itself, and in time; not yet verified */
    KONG_HMAC_BAD,  /* *detail: a constant sentence */
};

/* now: Unix seconds. */
enum kong_hmac_found kong_hmac_read(struct kong_hmac *k, const struct head *h,
                                    const struct kong_hmac_rules *rules, int64_t now,
                                    const char **detail);

/* What the client must have signed. version: "1.1", or "2.0" for HTTP/2, which a head does not
 * know. False: o is too small. */
bool kong_hmac_text(const struct kong_hmac *k, const struct head *h, struct str version,
                    struct out *o) MUST_USE;
/* False with *detail. */
bool kong_hmac_verify(const struct kong_hmac *k, const struct head *h, struct str version,
                      struct str secret, struct mac_scratch *macs, const char **detail) MUST_USE;

#endif
