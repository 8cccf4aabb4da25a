/* SPDX-License-Identifier: Apache-2.0
 *
 * parts: what session.c does for its codecs, for the files of this room.
 */
#ifndef SLUICE_PROXY_SESSION_PARTS_H
#define SLUICE_PROXY_SESSION_PARTS_H

#include "proxy/session/session.h"

/* What still comes from a client that has its answer is read and thrown away for so long, and so
 * much of it, before it is told off. */
enum { SESSION_LINGER_MS = 2000, SESSION_LINGER_BYTES = 256 * 1024 };

void session_idle(struct session *s, bool idle); /* counted as one that waits for a request */
/* The connection is over; it is closed and freed at the end of a turn (conn.h). */
void session_end(struct session *s, bool reset);
/* FIN after what is in its buffer; what still comes is thrown away for a while. */
void session_linger(struct session *s);

#endif
