/* SPDX-License-Identifier: Apache-2.0
 *
 * channel: bytes from one plain connection to another through a pipe, without coming up to us
 * (splice(2)): for flows that are large enough to pay for two descriptors. Either channel_move()
 * does it all, or who counts pieces fills the pipe and lends what is in it (conn_lend_pipe()).
 *
 *     from's socket ─► pipe, at most CHANNEL_BYTES ─► to's socket
 *
 * While it is open nothing is in the buffers of `from` for reading, nor in those of `to` for
 * writing. The worker's thread.
 */
#ifndef SLUICE_PROXY_NET_CHANNEL_H
#define SLUICE_PROXY_NET_CHANNEL_H

#include "proxy/net/conn.h"

enum { CHANNEL_BYTES = CONN_TURN_BYTES };

struct channel {
    int in, out; /* of the pipe */
    bool open;
    uint32_t held; /* bytes in it */
};

bool channel_open(struct channel *p);  /* false: no descriptors */
void channel_close(struct channel *p); /* what it holds is lost; harmless when it is not open */

/* At most n bytes of what waits in `from` into the empty pipe; held says how many.
 * IO_OK, IO_AGAIN: an event will come. IO_EOF. IO_FAIL: with errno. */
enum io channel_fill(struct channel *p, struct conn *from, uint64_t n) MUST_USE;

/* Moves what can be moved now; *moved: bytes that `to` took.
 * IO_AGAIN: an event will come, from `from`, or by flushed() from `to`. IO_EOF: `from` has finished
 * and all of it is through. IO_FAIL: `from` broke. IO_FULL: `to` did. */
enum io channel_move(struct channel *p, struct conn *from, struct conn *to, size_t *moved) MUST_USE;

/* splice(2) between a pipe and a socket, which does not wait. */
ssize_t channel_splice(int from, int to, size_t n);

#endif
