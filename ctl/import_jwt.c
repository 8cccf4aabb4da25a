/* SPDX-License-Identifier: Apache-2.0
 *
 * import_jwt: Kong finds a token's key by a claim (iss) among the credentials of all consumers.
 * Here a method is an issuer, so each credential becomes one: those with a shared secret lead to
 * the Consumer that has it, those with a public key get a key set of that one key, and the token
 * stands for itself, since a Consumer would be found by its subject.
 */
#include "ctl/import.h"
#include "lib/json.h"
#include "lib/jwt.h"
#include "lib/mem.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <string.h>

enum { NUMBER_MAX = 1024 }; /* bytes of a number in a key */

const struct kong_entity *import_jwt_plugin(struct import *i) {
    for (const struct kong_entity *p = NULL; (p = kong_next(i->kong, KONG_PLUGIN, p));)
        if (strcmp(p->name, "jwt") == 0 && kong_enabled(p))
            return p;
    return NULL;
}

bool import_is_vault(struct str s) { return str_starts(s, STR("{vault:")); }

static struct str algorithm_of(const struct kong_entity *e) {
    struct str said = kong_text(e->json, "algorithm");
    return said.n > 0 ? said : STR("HS256");
}

static bool is_shared(const struct kong_entity *e) {
    struct str a = algorithm_of(e);
    return str_eq(a, STR("HS256")) || str_eq(a, STR("HS384")) || str_eq(a, STR("HS512"));
}

struct str import_jwt_alone(struct import *i, const struct kong_entity *e) {
    return is_shared(e) ? STR_NONE : arena_fmt(&i->arena, "jwt-%zu", e->place + 1);
}

/* ---- key sets ---- */

static void add_number(cJSON *key, const char *name, const BIGNUM *n, int bytes) {
    unsigned char room[NUMBER_MAX], text[NUMBER_MAX * 2];
    if (bytes > NUMBER_MAX || BN_bn2binpad(n, room, bytes) != bytes)
        return;
    EVP_EncodeBlock(text, room, bytes);
    char *p = (char *)text;
    size_t end = strlen(p);
    while (end > 0 && p[end - 1] == '=')
        p[--end] = 0;
    for (size_t c = 0; c < end; c++)
        p[c] = p[c] == '+' ? '-' : p[c] == '/' ? '_' : p[c];
    cJSON_AddStringToObject(key, name, p);
}

static bool number_of(EVP_PKEY *k, const char *param, int bytes, cJSON *to, const char *name) {
    BIGNUM *n = NULL;
    bool good = EVP_PKEY_get_bn_param(k, param, &n) == 1;
    if (good)
        add_number(to, name, n, bytes > 0 ? bytes : BN_num_bytes(n));
    BN_free(n);
    return good;
}

static bool describe(EVP_PKEY *k, struct str algorithm, cJSON *key) {
    char group[64] = "";
    if (EVP_PKEY_get_base_id(k) == EVP_PKEY_RSA && algorithm.n > 2 && algorithm.p[1] == 'S' &&
        (algorithm.p[0] == 'R' || algorithm.p[0] == 'P')) {
        cJSON_AddStringToObject(key, "kty", "RSA");
        return number_of(k, OSSL_PKEY_PARAM_RSA_N, 0, key, "n") &&
               number_of(k, OSSL_PKEY_PARAM_RSA_E, 0, key, "e");
    }
    if (EVP_PKEY_get_base_id(k) != EVP_PKEY_EC || !str_starts(algorithm, STR("ES")) ||
        EVP_PKEY_get_group_name(k, group, sizeof(group), NULL) != 1)
        return false;
    static const struct {
        const char *group, *crv;
        int bytes;
    } curves[] = {
        {"prime256v1", "P-256", 32}, {"secp384r1", "P-384", 48}, {"secp521r1", "P-521", 66}};
    for (size_t c = 0; c < ARRAY_LEN(curves); c++)
        if (strcmp(curves[c].group, group) == 0) {
            cJSON_AddStringToObject(key, "kty", "EC");
            cJSON_AddStringToObject(key, "crv", curves[c].crv);
            return number_of(k, OSSL_PKEY_PARAM_EC_PUB_X, curves[c].bytes, key, "x") &&
                   number_of(k, OSSL_PKEY_PARAM_EC_PUB_Y, curves[c].bytes, key, "y");
        }
    return false;
}

static cJSON *key_of(const struct kong_entity *e) {
    struct str pem = kong_text(e->json, "rsa_public_key");
    BIO *bio = BIO_new_mem_buf(pem.n > 0 ? pem.p : "", (int)pem.n);
    EVP_PKEY *k = bio ? PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL) : NULL;
    cJSON *key = cJSON_CreateObject();
    bool good = k && describe(k, algorithm_of(e), key);
    doc_text(key, "alg", algorithm_of(e));
    cJSON_AddStringToObject(key, "use", "sig");
    EVP_PKEY_free(k);
    BIO_free(bio);
    if (good)
        return key;
    cJSON_Delete(key);
    return NULL;
}

struct str import_jwks(struct import *i, const struct kong_entity *e) {
    struct str made = arena_fmt(&i->arena, "jwks/%zu", e->place);
    const char *have = map_get(&i->made, made);
    if (have)
        return str_of(have);
    cJSON *key = key_of(e);
    if (!key)
        return STR_NONE;
    const struct kong_entity *consumer = e->of[KONG_CONSUMER];
    struct str name = import_name(i, KUBE_ConfigMap, i->namespace,
                                  arena_fmt(&i->arena, "%s-jwks", consumer ? consumer->name : ""));
    map_put(&i->made, made, (void *)(uintptr_t)name.p);
    cJSON *set = cJSON_CreateObject();
    cJSON_AddItemToArray(doc_list(set, "keys"), key);
    char *text = cJSON_PrintUnformatted(set);
    must(text != NULL);
    cJSON *doc = import_doc(i, KUBE_ConfigMap, i->namespace, name, NULL);
    doc_text(cJSON_AddObjectToObject(doc, "data"), "jwks.json", str_of(text));
    cJSON_free(text);
    cJSON_Delete(set);
    return name;
}

/* ---- methods ---- */

static void add_from(const cJSON *config, cJSON *jwt) {
    static const struct {
        const char *field, *where, *otherwise;
    } places[] = {{"uri_param_names", "query", "jwt"},
                  {"cookie_names", "cookie", NULL},
                  {"header_names", "header", "authorization"}};
    cJSON *from = doc_list(jwt, "from");
    for (size_t p = 0; p < ARRAY_LEN(places); p++) {
        const cJSON *item, *said = json_get(config, places[p].field);
        cJSON one = {.type = cJSON_String};
        one.valuestring = (char *)(uintptr_t)places[p].otherwise;
        const cJSON *first = said ? said->child : places[p].otherwise ? &one : NULL;
        for (item = first; item && cJSON_GetArraySize(from) < 8; item = item->next) {
            if (!import_fits(p == 2 ? KUBE_HEADER : KUBE_SHORT, str_of(item->valuestring)))
                continue;
            cJSON *source = doc_item(from);
            cJSON_AddStringToObject(source, places[p].where, item->valuestring);
            if (p == 2)
                cJSON_AddStringToObject(source, "prefix", "Bearer ");
        }
    }
}

static void add_claims(const cJSON *config, cJSON *jwt) {
    const cJSON *claim, *said = kong_texts(config, "claims_to_verify");
    if (!said)
        return;
    cJSON *list = doc_list(jwt, "requiredClaims");
    cJSON_ArrayForEach(claim, said) {
        import_text_item(doc_list(doc_item(list), "path"), str_of(claim->valuestring));
    }
}

static void check(struct import *i, struct import_route *r, const struct kong_entity *plugin,
                  const cJSON *config) {
    struct str object = import_object(i, plugin), claim = kong_text(config, "key_claim_name");
    const struct kong_entity *first = import_jwt_plugin(i);
    int64_t longest = kong_int(config, "maximum_expiration", 0);
    if (longest > 0)
        import_close(i, r, object, STR("config.maximum_expiration"),
                     arena_fmt(&i->arena, "%lld", (long long)longest),
                     "how long a token may live at most cannot be said; let the issuer see to it, "
                     "then open the route");
    if (claim.n > 0 && !str_eq(claim, STR("iss")))
        import_close(i, r, object, STR("config.key_claim_name"), claim,
                     "a method needs the issuer of the tokens, which this file does not say: write "
                     "methods with issuer; the Consumers have keyClaim already");
    if (first && kong_bool(import_plugin_config(i, first), "secret_is_base64", false) !=
                     kong_bool(config, "secret_is_base64", false))
        import_close(i, r, object, STR("config.secret_is_base64"), STR(""),
                     "differs between jwt plugins, and a Consumer has one secret; make them agree");
    const cJSON *claims = kong_texts(config, "claims_to_verify"), *c;
    cJSON_ArrayForEach(c, claims) {
        if (!import_fits(KUBE_SHORT, str_of(c->valuestring)) || cJSON_GetArraySize(claims) > 16)
            import_close(i, r, object, STR("config.claims_to_verify"), str_of(c->valuestring),
                         "is no claim, or there are more than 16; write requiredClaims");
    }
    static const char *const places[] = {"uri_param_names", "cookie_names", "header_names"};
    for (size_t p = 0; p < ARRAY_LEN(places); p++) {
        cJSON_ArrayForEach(c, kong_texts(config, places[p])) {
            if (!import_fits(p == 2 ? KUBE_HEADER : KUBE_SHORT, str_of(c->valuestring)))
                import_say(i, IMPORT_LOST, object, arena_fmt(&i->arena, "config.%s", places[p]),
                           str_of(c->valuestring), "is no name; tokens there are not looked at");
        }
    }
    if (!claims)
        import_say(i, IMPORT_DIFFERS, object, STR("config.claims_to_verify"), STR(""),
                   "exp and nbf are always checked where a token has them");
}

static void add_method(struct import *i, struct import_route *r, const struct kong_entity *e,
                       const cJSON *config, cJSON *methods) {
    struct str key = str_of(e->name);
    enum jwt_alg alg;
    if (!jwt_alg_named(algorithm_of(e), &alg)) {
        import_say(i, IMPORT_LOST, import_object(i, e), STR("algorithm"), algorithm_of(e),
                   "is no algorithm for tokens; its tokens are refused");
        return;
    }
    struct str jwks = is_shared(e) ? STR_NONE : import_jwks(i, e);
    if (!import_fits(KUBE_SHORT, key)) {
        import_say(i, IMPORT_LOST, import_object(i, e), STR("key"), STR("(not shown)"),
                   "is not in this file or no issuer; its tokens are refused");
        return;
    }
    if (!is_shared(e) && jwks.n == 0) {
        import_say(i, IMPORT_LOST, import_object(i, e), STR("rsa_public_key"), STR("(not shown)"),
                   "is no public key for %.*s; its tokens are refused", STR_FMT(algorithm_of(e)));
        return;
    }
    cJSON *m = doc_item(methods);
    doc_text(m, "name", arena_fmt(&i->arena, "jwt-%zu", e->place + 1));
    cJSON *jwt = cJSON_AddObjectToObject(m, "jwt");
    doc_text(jwt, "issuer", key);
    import_text_item(doc_list(jwt, "algorithms"), algorithm_of(e));
    if (jwks.n > 0) {
        doc_text(cJSON_AddObjectToObject(cJSON_AddObjectToObject(jwt, "jwks"), "configMapRef"),
                 "name", jwks);
        import_say(i, IMPORT_DIFFERS, r->object, STR("jwt"), algorithm_of(e),
                   "a token that is signed with a public key's pair stands for itself, not for a "
                   "Consumer: X-Consumer-* are absent; groups are kept as authMethods in "
                   "authorize. With issuer and subject a Consumer can have it");
    }
    add_from(config, jwt);
    add_claims(config, jwt);
    if (jwks.n == 0)
        import_text_item(doc_list(cJSON_AddObjectToObject(jwt, "consumers"), "namespaces"),
                         i->namespace);
}

void import_jwt_methods(struct import *i, struct import_route *r, const struct kong_entity *plugin,
                        cJSON *methods) {
    static const char *const known[] = {"key_claim_name",   "secret_is_base64",
                                        "claims_to_verify", "maximum_expiration",
                                        "uri_param_names",  "cookie_names",
                                        "header_names",     "anonymous",
                                        "run_on_preflight", "realm",
                                        "hide_credentials", NULL};
    const cJSON *config = import_plugin_config(i, plugin);
    int before = cJSON_GetArraySize(methods);
    import_unknown(i, plugin, config, "config.", known);
    check(i, r, plugin, config);
    for (const struct kong_entity *e = NULL; (e = kong_next(i->kong, KONG_JWT, e));)
        add_method(i, r, e, config, methods);
    if (cJSON_GetArraySize(methods) == before)
        import_close(
            i, r, import_object(i, plugin), STR("jwt_secrets"), STR(""),
            "no consumer has a key, so nobody can pass; write methods with issuer and jwks");
}
