/* SPDX-License-Identifier: Apache-2.0
 *
 * base64: RFC 4648 4, as Secrets, kubeconfigs and /config carry bytes, and gRPC-Web its messages.
 *
 *     AAECAw==  AAE=  AAEC       runs: padded each for itself, where its bytes need it
 */
#ifndef SLUICE_LIB_BASE64_H
#define SLUICE_LIB_BASE64_H

#include "lib/str.h"

#define BASE64_ROOM(n) ((n) / 4 * 3 + 4) /* for what n characters stand for, and a NUL */

/* Into room, of BASE64_ROOM(text.n) bytes; a NUL is added behind the *n bytes. Strict but for line
 * breaks, which are passed over: padded, nothing behind the padding, no bits left over. */
bool base64_decode(struct str text, char *room, size_t *n) MUST_USE;

/* Text that comes in pieces. Zeroed it stands at the beginning. */
struct base64 {
    uint32_t bits;  /* of the digits */
    uint8_t digits; /* of the four that belong together */
    uint8_t pads;   /* that came instead of the rest of them */
    bool ended;     /* there was padding: the last run is complete */
    bool single;    /* set by the caller: there is only one run */
};

/* What the next piece stands for, as strictly; a byte is there as soon as its bits are. At most
 * text.n bytes, which never overtake the text: `to` may be where it lies. False: no base64. */
bool base64_more(struct base64 *b, struct str text, char *to, size_t *n) MUST_USE;
/* Whether the text may end here. */
static inline bool base64_complete(const struct base64 *b) { return b->digits + b->pads == 0; }

#endif
