/* SPDX-License-Identifier: Apache-2.0
 *
 * host: gives what this proxy serves to new proxies that find no controller. It speaks the
 * controller's part of lib/wire.def for as long as one transaction takes:
 *
 *     new proxy                         host
 *     token, hello ───────────────────► judged offline, see fleet.h
 *                  ◄─────────────────── begin (all buckets) put* commit, fleet
 *     ack          ───────────────────► closed
 *
 * It listens while there is something to give and a certificate to show. Eight at once, a window of
 * a megabyte each; what is sent is held as it was when it began. Main thread.
 */
#ifndef SLUICE_PROXY_CONFIG_HOST_H
#define SLUICE_PROXY_CONFIG_HOST_H

#include "proxy/config/apply.h"
#include "proxy/config/fleet.h"

struct host;

/* NULL with *why: the address is none. It listens from host_open() on. */
struct host *host_new(struct event_base *base, const char *address, const struct apply *a,
                      struct why *why);
void host_free(struct host *h); /* NULL is fine */

/* Borrowed until the next call. Nothing happens while this proxy serves nothing. */
void host_open(struct host *h, const struct fleet *f);

#endif
