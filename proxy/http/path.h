/* SPDX-License-Identifier: Apache-2.0
 *
 * path: the one canonical path (S30), computed once: routed on, authorised on, logged and
 * forwarded. Ambiguity is refused, not repaired.
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
#ifndef SLUICE_PROXY_HTTP_PATH_H
#define SLUICE_PROXY_HTTP_PATH_H

#include "lib/str.h"
#include "proxy/http/reason.h"

/* raw starts with '/' (or is "*"). When it is canonical already (the usual case) *path is raw
 * itself and room is not written; else it is in room, which needs raw.n bytes (HEADER_TOO_LARGE if
 * cap is less). REASON_NONE, or why it is refused. */
enum reason path_canonical(struct str raw, char *room, size_t cap, struct str *path);

/* S30 for rewritten paths: true if p is canonical as it stands. */
bool path_is_canonical(struct str p);

#endif
