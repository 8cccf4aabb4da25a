/* SPDX-License-Identifier: Apache-2.0
 *
 * h2: a client's connection that speaks HTTP/2 (RFC 9113): the role of h2_link.h that is asked.
 * What a request is stays the stream's business, one struct client (side.h) for each of them.
 *
 *     conn ─ recv ─► nghttp2 ─ fields ─► h2_head ─ text ─► h1 parser ─► request()
 *                       │ DATA ─► the stream's `in` ─ taken ─► `held` ─ repaid ─► WINDOW_UPDATE
 *                       │
 *     conn ◄─ fill() ── nghttp2 ◄─ fields ─ head          (all streams of a turn in one send)
 *             copied ◄───┴──────── lent bytes, when windows and the connection's buffer allow
 *
 * A connection holds at most CONNECTION_WINDOW of bodies. nghttp2 asks the streams that have
 * something to send in turns. When the budget is used up the connection ends with
 * ENHANCE_YOUR_CALM and is counted as rate_limited.
 *
 *     OPEN ─ drain ─► NOTICE (GOAWAY 2^31-1) ─ 1 s ─► GOAWAY (the last one) ─ no stream ─► linger
 *
 * The worker's thread.
 */
#ifndef SLUICE_PROXY_H2_H
#define SLUICE_PROXY_H2_H

#include "proxy/session/h2_link.h"
#include "proxy/session/session.h"

struct h2;

/* True: these bytes are the beginning of HTTP/2's preface, which no HTTP/1.x request is. */
bool h2_is_preface(struct str in);

/* The connection of s speaks HTTP/2; its bytes from the preface on are in the buffer, or will come.
 * NULL: no memory. */
struct h2 *h2_new(struct session *s) MUST_USE;
void h2_free(struct h2 *h2); /* when no handler has it on its stack */

/* Events of the connection. */
void h2_readable(struct h2 *h2);
void h2_fill(struct h2 *h2);
void h2_flushed(struct h2 *h2, bool all);
void h2_timeout(struct h2 *h2);

/* No more streams after those that the client has begun. */
void h2_drain(struct h2 *h2);
/* Ends at once, its streams too. */
void h2_close(struct h2 *h2, bool reset);

#endif
