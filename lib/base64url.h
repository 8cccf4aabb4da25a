/* SPDX-License-Identifier: Apache-2.0
 *
 * base64url: RFC 4648 5 without padding, as JOSE writes bytes (RFC 7515 2).
 */
#ifndef SLUICE_LIB_BASE64URL_H
#define SLUICE_LIB_BASE64URL_H

#include "lib/out.h"

#define BASE64URL_ROOM(n) ((n) / 4 * 3 + 3) /* for what n characters stand for */

/* Into room, of BASE64URL_ROOM(text.n) bytes. Strict: no padding, no line breaks, and bits that
 * mean nothing are 0, so that there is one way to write a thing. */
bool base64url_decode(struct str text, char *room, size_t *n) MUST_USE;
void base64url_put(struct out *to, const void *p, size_t n);

#endif
