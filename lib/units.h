/* SPDX-License-Identifier: Apache-2.0
 *
 * units: what people write for times, sizes and addresses, read strictly. Each parser takes the
 * whole string or refuses it with a sentence that shows what was written and how to write it:
 *
 *   "5x" is not a duration; write it as 5s, 250ms or 1h30m
 *
 * All return 0, or -1 with *why (which may be NULL); the result is then untouched.
 */
#ifndef SLUICE_LIB_UNITS_H
#define SLUICE_LIB_UNITS_H

#include "lib/why.h"

/* A duration of the Gateway API (GEP-2257): one to four numbers of one to five digits, each with
 * its unit h, m, s or ms. No fraction, no sign, no bare number. At most 4 * 99999 h: it fits. */
int unit_duration(struct str s, int64_t *ms, struct why *why) MUST_USE;

/* A quantity of Kubernetes, as 1Mi, 64k, 1.5Gi, 1e3, 2000m; 0 .. INT64_MAX and a whole number. */
int unit_quantity(struct str s, int64_t *value, struct why *why) MUST_USE;

/* A time of RFC 3339, from 1970 to 9999; a fraction of a second is cut off. */
int unit_time(struct str s, uint64_t *seconds, struct why *why) MUST_USE;

/* A name that DNS can be asked for: labels of 1 to 63 letters, digits, '-' and '_', at most 253
 * bytes in all; one dot may be last. */
int unit_dns_name(struct str s, struct why *why) MUST_USE;

/* A range of addresses. IPv4 is kept as IPv4-mapped IPv6, so that one comparison serves both. */
struct unit_cidr {
    uint8_t addr[16]; /* network order; bits behind the first `bits` are 0 */
    uint8_t bits;     /* 0 .. 128; 10.0.0.0/8 has 104 */
};

/* 10.0.0.0/8, 2001:db8::/32, or one address. */
int unit_cidr(struct str s, struct unit_cidr *cidr, struct why *why) MUST_USE;

#endif
