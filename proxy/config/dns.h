/* SPDX-License-Identifier: Apache-2.0
 *
 * dns: how this proxy asks DNS: evdns on the main thread's loop, two seconds a try, three tries.
 */
#ifndef SLUICE_PROXY_CONFIG_DNS_H
#define SLUICE_PROXY_CONFIG_DNS_H

struct event_base;
struct evdns_base;

/* nameserver: "ADDRESS:PORT"; NULL: those of /etc/resolv.conf. Its search list and options count in
 * either case. Free it with evdns_base_free(). */
struct evdns_base *dns_new(struct event_base *base, const char *nameserver);

#endif
