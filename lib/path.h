/* SPDX-License-Identifier: Apache-2.0
 *
 * path: what a canonical path is (S30). The proxy makes every request's path canonical, the
 * controller refuses a rule that could therefore never match.
 *
 *   - percent-encoded unreserved characters are decoded, hex digits made upper case (RFC
 * 3986 6.2.2); all other bytes stay as they came, encoded or not
 *   - "." and ".." segments that stand in clear are removed as RFC 3986 5.2.4 says; going above the
 *     root is refused; repeated slashes are kept as they are
 *   - refused (AMBIGUOUS_PATH): %2f %5c %00, a backslash, '#', controls, '?', bytes above 0x7f in
 * clear, a
 *     '%' without two hex digits, a segment that becomes "." or ".." only after decoding or after
 *     cutting ";parameters" (S30), however often it is decoded ("%252e%252e")
 *   - "*", the target of OPTIONS *, is canonical and equals no path
 */
#ifndef SLUICE_LIB_PATH_H
#define SLUICE_LIB_PATH_H

#include "lib/str.h"

/* True if p is canonical as it stands. */
bool path_is_canonical(struct str p);

/* raw begins with '/'. Writes the canonical form to room, which has raw.n bytes. False: refused. */
bool path_canonicalise(struct str raw, char *room, struct str *path);

#endif
