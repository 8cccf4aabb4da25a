/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz introspection: what an authorisation server says of a token. What passes says
 * "active": true once, is for us and is not over, as cJSON reads it too.
 */
#include "proxy/auth/parts.h"

#include "lib/json.h"

#include "tests/fuzz/fuzz.h"

enum { NOW = 1800000000 };

static struct str audience = {"shop", 4};
static struct model_auth_introspection how = {.audiences = &audience};
static const struct model_auth_method_config config = {.introspection = &how};
static const struct method_law method = {.model = &config};

static void look(const struct verdict *v, struct str text) {
    must(v->expires > NOW);
    must(v->good == (v->token != NULL));
    if (!v->good)
        return;
    cJSON *json = json_parse(text, NULL);
    if (json) { /* it takes numbers of at most 63 bytes */
        must(cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "active")));
        const cJSON *exp = cJSON_GetObjectItemCaseSensitive(json, "exp");
        must(!exp || cJSON_IsNull(exp) || (cJSON_IsNumber(exp) && exp->valuedouble >= NOW));
        const cJSON *nbf = cJSON_GetObjectItemCaseSensitive(json, "nbf");
        must(!nbf || cJSON_IsNull(nbf) || (cJSON_IsNumber(nbf) && nbf->valuedouble < NOW + 1));
    }
    cJSON_Delete(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1)
        return 0;
    how.n_audiences = data[0] & 1;
    struct call c = {.status = 200, .body = str_mk((const char *)data + 1, size - 1)};
    enum reason reason = REASON_NONE;
    const char *detail = NULL;
    struct verdict *v = introspect_read(&method, &c, NOW, &reason, &detail);
    must(v || (reason == REASON_AUTH_SERVICE_FAILED && detail));
    if (v)
        look(v, c.body);
    verdict_drop(v);
    return 0;
}
