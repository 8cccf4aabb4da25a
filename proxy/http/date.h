/* SPDX-License-Identifier: Apache-2.0
 *
 * date: the Date field's value (IMF-fixdate, RFC 9110 5.6.7), written once a second (one cache for
 * each thread; zero it before the first use), and read.
 */
#ifndef SLUICE_PROXY_HTTP_DATE_H
#define SLUICE_PROXY_HTTP_DATE_H

#include "lib/str.h"

enum { HTTP_DATE_BYTES = 29 }; /* "Sun, 06 Nov 1994 08:49:37 GMT" */

struct http_date {
    int64_t second;
    char text[HTTP_DATE_BYTES];
};

/* second: since 1970, 0 .. 253402300799 (the year 9999). Valid until the next call with *cache. */
struct str http_date(struct http_date *cache, int64_t second);

/* Seconds since 1970. False: it is not exactly what http_date() writes; the obsolete forms of RFC
 * 9110 are not taken. */
bool http_date_read(struct str text, int64_t *second) MUST_USE;

#endif
