/* SPDX-License-Identifier: Apache-2.0
 *
 * fetch: one document by GET from an address that somebody else has written down, on the program's
 * one loop. Neither the address nor what answers there is believed (S37).
 *
 *     fetch_start() ──► name ──► address, judged ──► TLS, verified ──► 200 ──► done(), exactly once
 *         │                          ▲                                  │
 *         └── fetch_cancel()         └──── the same host again ◄── 3xx ─┘ at most FETCH_REDIRECTS
 *
 * What is connected to is judged when the socket is made, so that no answer of DNS, first or
 * second, leads past it: only public addresses (lib/address.h), and those that `allowed` names. An
 * endpoint of a Service (`connect`) may be private as well; loopback and link-local may not, for
 * a tenant can write EndpointSlices.
 *
 * https, verified by the system's authorities or `ca` alone; http only to an endpoint. Redirects
 * stay at scheme, host and port. No proxy, cookie, credential or compression; no connection is used
 * twice, so that each fetch is judged by its own rules; what a server says of caching is not looked
 * at. Header and body are bounded, and reading ends with the first byte too many.
 *
 * The loop's thread.
 */
#ifndef SLUICE_CONTROLLER_FETCH_FETCH_H
#define SLUICE_CONTROLLER_FETCH_FETCH_H

#include "lib/units.h"

struct event_base;
struct fetcher;
struct fetch;

enum {
    FETCH_BODY_MAX = 256 << 10,
    FETCH_HEAD_MAX = 16 << 10, /* bytes of header, interim answers too */
    FETCH_URL_MAX = 2048,
    FETCH_REDIRECTS = 3,
    FETCH_CONNECT_MS = 5000, /* name, connection and TLS */
    FETCH_WHOLE_MS = 10000,  /* of all, redirects too */
};

struct fetch_answer {
    struct str body; /* until done() returns */
    /* Set: there is no body. object: "GET https://idp.example.com/keys", without query; text: what
     * was got and what to do. The same fault is the same text. */
    struct why why;
};

struct fetch_what { /* all of it is copied */
    struct str url;
    struct str connect;              /* "10.0.0.7:8080", "[fd00::7]:8080", whatever the name in url;
                                        n == 0: DNS is asked */
    struct str ca;                   /* PEM; n == 0: the system's */
    const struct unit_cidr *allowed; /* beside public addresses */
    size_t n_allowed;
    const char *accept;                                    /* constant */
    void (*done)(void *arg, const struct fetch_answer *a); /* never from inside fetch_start() */
    void *arg;
};

struct fetcher *fetcher_new(struct event_base *base);
void fetcher_free(struct fetcher *f); /* what is under way is cancelled; NULL is fine */
/* For tests: other patience than FETCH_CONNECT_MS and FETCH_WHOLE_MS. */
void fetcher_patience(struct fetcher *f, uint32_t connect_ms, uint32_t whole_ms);

struct fetch *fetch_start(struct fetcher *f, const struct fetch_what *what);
void fetch_cancel(struct fetch *r); /* before done() was called; NULL is fine */

/* Whether an address can be fetched from at all: https, or http when clear; a host; no user and
 * password. Pure. -1 with why->text. */
int fetch_url_check(struct str url, bool clear, struct why *why) MUST_USE;

#endif
