/* SPDX-License-Identifier: Apache-2.0
 *
 * base64: RFC 4648 4, as Secrets, kubeconfigs and /config carry bytes.
 */
#ifndef SLUICE_LIB_BASE64_H
#define SLUICE_LIB_BASE64_H

#include "lib/arena.h"

/* Strict but for line breaks, which are passed over: padded, nothing behind the padding, no bits
 * left over. *bytes is in the arena with a NUL added; it is untouched when false. */
bool base64_decode(struct str text, struct arena *a, struct str *bytes) MUST_USE;

#endif
