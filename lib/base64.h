/* SPDX-License-Identifier: Apache-2.0
 *
 * base64: RFC 4648 4, as Secrets, kubeconfigs and /config carry bytes.
 */
#ifndef SLUICE_LIB_BASE64_H
#define SLUICE_LIB_BASE64_H

#include "lib/str.h"

#define BASE64_ROOM(n) ((n) / 4 * 3 + 4) /* for what n characters stand for, and a NUL */

/* Into room, of BASE64_ROOM(text.n) bytes; a NUL is added behind the *n bytes. Strict but for line
 * breaks, which are passed over: padded, nothing behind the padding, no bits left over. */
bool base64_decode(struct str text, char *room, size_t *n) MUST_USE;

#endif
