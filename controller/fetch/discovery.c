/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/fetch/discovery.h"

#include "controller/fetch/fetch.h"
#include "lib/json.h"

static int is_of(const cJSON *json, struct str issuer, struct why *why) {
    struct str says = json_text(json, "issuer");
    struct shown a, b;
    if (says.n == 0)
        return why_text(why, "there is no issuer in it, so it is no discovery document; check the "
                             "address");
    if (!str_eq(says, issuer))
        return why_text(why,
                        "it is of the issuer %s, not of %s; write the issuer as it does, to "
                        "the last slash, or check the address",
                        why_show(says, &a), why_show(issuer, &b));
    return 0;
}

static int look(const cJSON *json, struct str issuer, struct out *uri, struct why *why) {
    struct str keys = json_text(json, "jwks_uri");
    struct why fault = {0};
    if (is_of(json, issuer, why) != 0)
        return -1;
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

/* ---- a login ---- */

static int endpoint(const cJSON *json, const char *name, bool needed, struct arena *a,
                    struct str *to, struct why *why) {
    struct str says = json_text(json, name);
    struct why fault = {0};
    if (says.n == 0 && !needed)
        return 0;
    if (says.n == 0)
        return why_text(why, "there is no %s in it, so nobody can log in there", name);
    if (fetch_url_check(says, false, &fault) != 0)
        return why_text(why, "its %s cannot be used: %s", name, fault.text);
    *to = arena_str(a, says);
    return 0;
}

/* A list that is not there says nothing. */
static bool lists(const cJSON *json, const char *name, const char *word) {
    const cJSON *list = json_get(json, name), *one;
    cJSON_ArrayForEach(one, list) {
        if (cJSON_IsString(one) && strcmp(one->valuestring, word) == 0)
            return true;
    }
    return !cJSON_IsArray(list);
}

static int look_login(struct discovery *d, struct arena *a, const cJSON *json, struct str issuer,
                      struct why *why) {
    if (is_of(json, issuer, why) != 0 ||
        endpoint(json, "authorization_endpoint", true, a, &d->authorization, why) != 0 ||
        endpoint(json, "token_endpoint", true, a, &d->token, why) != 0 ||
        endpoint(json, "end_session_endpoint", false, a, &d->end_session, why) != 0)
        return -1;
    if (!lists(json, "response_types_supported", "code"))
        return why_text(why, "it has no response type \"code\", so it offers no code flow");
    if (!lists(json, "code_challenge_methods_supported", "S256"))
        return why_text(why, "it has no PKCE with S256");
    return 0;
}

int discovery_login(struct discovery *d, struct arena *a, struct str document, struct str issuer,
                    struct why *why) {
    struct why fault = {0};
    cJSON *json = json_parse(document, &fault);
    *d = (struct discovery){0};
    if (!json)
        return why_text(why, "it is no discovery document: %s", fault.text);
    int bad = look_login(d, a, json, issuer, why);
    cJSON_Delete(json);
    return bad;
}
