/* SPDX-License-Identifier: Apache-2.0
 *
 * path: the one canonical path (S30), computed once: routed on, authorised on, logged and
 * forwarded. Ambiguity is refused, not repaired. The rules are in lib/path.h.
 */
#ifndef SLUICE_PROXY_HTTP_PATH_H
#define SLUICE_PROXY_HTTP_PATH_H

#include "lib/path.h"
#include "proxy/http/reason.h"

/* raw starts with '/' (or is "*"). When it is canonical already (the usual case) *path is raw
 * itself and room is not written; else it is in room, which needs raw.n bytes (HEADER_TOO_LARGE if
 * cap is less). REASON_NONE, or why it is refused. */
enum reason path_canonical(struct str raw, char *room, size_t cap, struct str *path);

#endif
