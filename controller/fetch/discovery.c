/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/fetch/discovery.h"

#include "controller/fetch/fetch.h"
#include "lib/json.h"

static int look(const cJSON *json, struct str issuer, struct out *uri, struct why *why) {
    struct str says = json_text(json, "issuer"), keys = json_text(json, "jwks_uri");
    struct why fault = {0};
    struct shown a, b;
    if (says.n == 0)
        return why_text(why, "there is no issuer in it, so it is no discovery document; check the "
                             "address");
    if (!str_eq(says, issuer))
        return why_text(why,
                        "it is of the issuer %s, not of %s; write the issuer as it does, to "
                        "the last slash, or check the address",
                        why_show(says, &a), why_show(issuer, &b));
    if (keys.n == 0)
        return why_text(why, "there is no jwks_uri in it; write the address of the key set itself");
    if (fetch_url_check(keys, false, &fault) != 0)
        return why_text(why, "its jwks_uri cannot be used: %s", fault.text);
    out_str(uri, keys);
    return 0;
}

int discovery_read(struct str document, struct str issuer, struct out *uri, struct why *why) {
    struct why fault = {0};
    cJSON *json = json_parse(document, &fault);
    if (!json)
        return why_text(why, "it is no discovery document: %s", fault.text);
    int bad = look(json, issuer, uri, why);
    cJSON_Delete(json);
    return bad;
}
