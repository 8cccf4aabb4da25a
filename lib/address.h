/* SPDX-License-Identifier: Apache-2.0
 *
 * address: what sort of place an IP address is, so that nobody who may name a host can lead us to
 * where only we get (S37): the special-purpose registries of IANA (RFC 6890), and what stands in an
 * IPv6 address for an IPv4 one.
 *
 *     ::ffff:10.0.0.1      mapped (RFC 4291)        ─┐
 *     64:ff9b::a00:1       NAT64 (RFC 6052)          ├─► address_core() 10.0.0.1, by which it is
 * sorted 2002:a00:1::         6to4 (RFC 3056)          ─┘
 *
 * An address is 4 or 16 bytes in network order. Pure; any thread.
 */
#ifndef SLUICE_LIB_ADDRESS_H
#define SLUICE_LIB_ADDRESS_H

#include "lib/units.h"

enum address_sort {
    ADDRESS_PUBLIC,
    ADDRESS_PRIVATE,     /* RFC 1918, 4193, 6598; site-local; what a cloud answers from */
    ADDRESS_RESERVED,    /* documentation, benchmarks, tunnels, whatever is not given to anybody */
    ADDRESS_UNSPECIFIED, /* 0.0.0.0/8, ::/96: this machine, or nobody */
    ADDRESS_LOOPBACK,
    ADDRESS_LINK_LOCAL, /* metadata of most clouds too */
    ADDRESS_MULTICAST,  /* and broadcast */
    ADDRESS_SORTS
};

/* Anything that is not 4 or 16 bytes is ADDRESS_RESERVED. */
enum address_sort address_sort(struct str address);
const char *address_sort_words(enum address_sort sort); /* "a private address (RFC 1918, ...)" */

/* The IPv4 address that it stands for, else itself. */
struct str address_core(struct str address);
/* Whether it, or its core, is in one of the ranges. */
bool address_within(struct str address, const struct unit_cidr *ranges, size_t n);

void address_print(struct out *o, struct str address); /* "10.0.0.1", "fd00::1" */

#endif
