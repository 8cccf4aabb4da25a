/* SPDX-License-Identifier: Apache-2.0
 *
 * address: small sets of IP addresses, for resolve. Values without ownership, on the stack.
 */
#ifndef SLUICE_PROXY_CONFIG_ADDRESS_H
#define SLUICE_PROXY_CONFIG_ADDRESS_H

#include "lib/str.h"

enum { ADDRESSES_MAX = 64 };

struct address {
    uint8_t n; /* 4 or 16 */
    char bytes[16];
};

struct addresses {
    uint32_t n;
    struct address list[ADDRESSES_MAX];
};

static inline struct str address_bytes(const struct address *a) { return str_mk(a->bytes, a->n); }

/* 4 or 16 bytes; an IPv4 address mapped to IPv6 becomes the one of IPv4. Beyond the most there can
 * be: left out. */
void addresses_put(struct addresses *to, struct str address);
void addresses_add(struct addresses *to, const struct addresses *from);
void addresses_sort(struct addresses *a); /* and each once: IPv4 first, then by their bytes */
bool addresses_equal(const struct addresses *a, const struct addresses *b);
/* Without those that routed() says no way leads to; all of them when none leads to any. */
void addresses_keep_routed(struct addresses *a, bool (*routed)(struct str address));

bool address_is_routed(struct str address); /* asks the kernel; nothing is sent */

#endif
