/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/compile/editable.h"

static bool one_of(struct str name, const char *const *names, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (str_eq_nocase(name, str_of(names[i])))
            return true;
    return false;
}

const char *header_not_editable(struct str name, bool request, bool set) {
    static const char *const framing[] = {"connection", "keep-alive",    "proxy-connection",
                                          "te",         "trailer",       "transfer-encoding",
                                          "upgrade",    "content-length"};
    static const char *const owned[] = {"forwarded",
                                        "x-forwarded-for",
                                        "x-forwarded-proto",
                                        "x-forwarded-host",
                                        "x-forwarded-port",
                                        "x-real-ip",
                                        "via",
                                        "x-request-id",
                                        "traceparent"};
    if (one_of(name, framing, ARRAY_LEN(framing)))
        return "belongs to the connection, not to the message; no filter may change it";
    if (request && str_eq_nocase(name, STR("host")))
        return "is changed by a URLRewrite filter with hostname";
    if (request && set && one_of(name, owned, ARRAY_LEN(owned)))
        return "is written by Sluice itself; no filter may set it";
    if (!request && str_eq_nocase(name, STR("sluice-reason")))
        return "is written by Sluice itself; no filter may change it";
    return NULL;
}
