/* SPDX-License-Identifier: Apache-2.0
 *
 * link: the connections to the controllers. One of them is followed: it alone gives transactions,
 * until its link dies; then the next that is open is followed. All of them hear what this proxy
 * says. Sockets and reconnecting are lib/ws, on a thread of its own; all here is the main thread.
 */
#ifndef SLUICE_PROXY_CONFIG_LINK_H
#define SLUICE_PROXY_CONFIG_LINK_H

#include "lib/wire.h"

struct link;

enum { LINK_NONE = -1, LINK_ALL = -2 };

/* Called from link_turn(). A controller is the index of its url. */
struct link_events {
    /* A controller must be told hello: its link is new, or it is followed from now on. */
    void (*greet)(void *arg, int controller);
    /* m lives until the callback returns. */
    void (*message)(void *arg, int controller, const struct wire_message *m);
    void (*sent)(void *arg, int controller, size_t cost); /* of link_send, has left */
    void (*lost)(void *arg, int controller, bool followed);
};

/* urls: "ws://127.0.0.1:7400". NULL with *why. */
struct link *link_new(const char *const *urls, size_t n, const struct link_events *events,
                      void *arg, struct why *why);
void link_free(struct link *l);

int link_fd(const struct link *l); /* readable: call link_turn */
void link_turn(struct link *l);    /* bounded; stays readable when there is more */

/* Value: the struct of that type. Nothing happens where no link is open. The bytes queued, of one
 * controller. */
size_t link_send(struct link *l, int controller, enum wire_type type, const void *value);
int link_followed(const struct link *l); /* LINK_NONE */
bool link_open(const struct link *l, int controller);

#endif
