/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/http/path.h"

enum reason path_canonical(struct str raw, char *room, size_t cap, struct str *path) {
    if (likely(path_is_canonical(raw))) {
        *path = raw;
        return REASON_NONE;
    }
    if (raw.n == 0 || raw.p[0] != '/')
        return REASON_AMBIGUOUS_PATH;
    if (raw.n > cap)
        return REASON_HEADER_TOO_LARGE;
    return path_canonicalise(raw, room, path) ? REASON_NONE : REASON_AMBIGUOUS_PATH;
}
