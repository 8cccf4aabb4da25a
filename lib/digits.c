/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/digits.h"

const char digits_pairs[] = "00010203040506070809101112131415161718192021222324"
                            "25262728293031323334353637383940414243444546474849"
                            "50515253545556575859606162636465666768697071727374"
                            "75767778798081828384858687888990919293949596979899";

char *digits_long(char *at, uint64_t v) {
    at = digits_u64(at, v / 1000);
    uint32_t rest = (uint32_t)(v % 1000);
    *at++ = (char)('0' + rest / 100);
    return digits_pair(at, rest % 100);
}
