/* SPDX-License-Identifier: Apache-2.0
 *
 * multi: libcurl's multi interface on the program's one loop.
 *
 *     multi_add() ──► libcurl's sockets and timer, as events of the loop ──► ended()
 *
 * libcurl forbids to add, remove or end a transfer from inside its callbacks (of writing, of
 * headers): while multi_is_busy() a caller only notes what it wants, and does it in after() or in a
 * turn of its own. ended() and after() are not inside: everything may be called from them,
 * multi_free() too.
 */
#ifndef SLUICE_CONTROLLER_CURL_MULTI_H
#define SLUICE_CONTROLLER_CURL_MULTI_H

#include "lib/base.h"

#include <curl/curl.h>

struct event_base;
struct multi;

struct multi_events {
    void (*ended)(void *arg, CURL *curl, CURLcode code); /* it is still to be removed */
    void (*after)(void *arg); /* libcurl was at work and is not any more; NULL: nobody cares */
};

/* The events' memory must last. */
struct multi *multi_new(struct event_base *base, const struct multi_events *events, void *arg);
/* No transfer is in it any more; kept connections are closed. Not while busy. */
void multi_free(struct multi *m);

void multi_add(struct multi *m, CURL *curl);    /* not while busy */
void multi_remove(struct multi *m, CURL *curl); /* not while busy */
bool multi_is_busy(const struct multi *m);
CURLM *multi_curl(struct multi *m); /* for its options */

#endif
