/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/http/reason.h"

const struct reason_info reasons[REASONS] = {
    [REASON_NONE] = {"", ORIGIN_NONE, 0, "The answer is the upstream's own, or the route's.", ""},
#define REASON(NAME, name, origin, status, text)                                                   \
    [REASON_##NAME] = {name, ORIGIN_##origin, status, text, name ": " text "\n"},
#include "proxy/http/reason.def"
#undef REASON
};

const char *const origin_names[ORIGINS] = {"", "client", "gateway", "auth", "upstream"};
