/* SPDX-License-Identifier: Apache-2.0
 *
 * digits: numbers as decimal digits, into room that the caller knows to be there, two or three
 * at a time: fewer divisions.
 */
#ifndef SLUICE_LIB_DIGITS_H
#define SLUICE_LIB_DIGITS_H

#include "lib/base.h"

#include <string.h>

enum { DIGITS_U64 = 20 }; /* bytes, of the longest one */

extern const char digits_pairs[]; /* "000102...99" */

/* v is below 100, and has two digits whatever it is. Returns what is behind them, as all here. */
static inline char *digits_pair(char *at, uint32_t v) {
    return (char *)memcpy(at, digits_pairs + (size_t)v * 2, 2) + 2;
}

/* At most DIGITS_U64 bytes. */
char *digits_long(char *at, uint64_t v); /* v is above 999 */
static inline char *digits_u64(char *at, uint64_t v) {
    if (v >= 1000)
        return digits_long(at, v);
    uint32_t small = (uint32_t)v;
    if (small >= 100)
        *at++ = (char)('0' + small / 100);
    if (small >= 10)
        return digits_pair(at, small % 100);
    *at = (char)('0' + small);
    return at + 1;
}

#endif
