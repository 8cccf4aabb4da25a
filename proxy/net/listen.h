/* SPDX-License-Identifier: Apache-2.0
 *
 * listen: a worker's own listening socket (SO_REUSEPORT), and accept. TCP_NODELAY is set on the
 * listener and inherited. When descriptors run out, accept stops until one is free again or 100 ms
 * have gone (R10: no spinning); the pending client waits in the kernel's queue. One thread.
 */
#ifndef SLUICE_PROXY_NET_LISTEN_H
#define SLUICE_PROXY_NET_LISTEN_H

#include "proxy/net/conn.h"

struct listener;

/* accepted() takes the descriptor (non-blocking, close-on-exec). At most 64 are accepted a turn.
 * failures: a counter of accepts that failed for want of descriptors; it outlives the listener.
 * NULL with errno. */
struct listener *listener_new(struct loop *l, const struct addr *at, int backlog,
                              void (*accepted)(void *arg, int fd, const struct addr *peer),
                              void *arg, uint64_t *failures);
/* Accepts who is in the kernel's queue, then closes it. */
void listener_free(struct listener *ln);

#endif
