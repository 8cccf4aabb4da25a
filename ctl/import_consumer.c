/* SPDX-License-Identifier: Apache-2.0
 *
 * import_consumer: who calls.
 *
 *   consumer partner ─► Consumer partner ─┬─► Secret partner-keys         every entry is an API key
 *     acls                 groups         └─► Secret partner-credentials  basic-1, hmac-1, jwt-1
 *
 * Nothing that is secret is ever in the list.
 */
#include "ctl/import.h"
#include "lib/base64.h"
#include "lib/json.h"
#include "lib/mem.h"

#include <openssl/crypto.h>
#include <string.h>

enum { CREDENTIALS_MAX = 64, GROUPS_MAX = 64, SHA1_HEX = 40 };

/* A consumer on its way. */
struct caller {
    struct import *i;
    const struct kong_entity *e;
    struct str name, object;
    cJSON *credentials;
    cJSON *data; /* of the Secret with credentials; NULL: none yet */
    struct str secret;
    bool legacy; /* a password is a hash that the id is part of */
};

/* ---- groups ---- */

static bool has_item(const cJSON *list, struct str s) {
    const cJSON *item;
    cJSON_ArrayForEach(item, list) {
        if (str_eq(str_of(item->valuestring), s))
            return true;
    }
    return false;
}

bool import_has_group(const struct import *i, const struct kong_entity *consumer,
                      struct str group) {
    for (const struct kong_entity *e = NULL; (e = kong_next(i->kong, KONG_ACL, e));)
        if (e->of[KONG_CONSUMER] == consumer && str_eq(str_of(e->name), group))
            return true;
    return false;
}

static void add_group(struct caller *w, cJSON *groups, struct str name) {
    struct why why = {0};
    bool full = cJSON_GetArraySize(groups) == GROUPS_MAX;
    if (name.n == 0 || has_item(groups, name))
        return;
    if (full || kube_rule_check(KUBE_SHORT, name, &why) != 0)
        import_say(w->i, IMPORT_LOST, w->object, STR("acls"), name,
                   full ? "a Consumer is in at most 64 groups" : "cannot be the name of a group");
    else
        import_text_item(groups, name);
}

/* Consumer groups are no ACL groups: one that an acl plugin could mean is left out. */
static void say_groups(struct caller *w) {
    const cJSON *ref;
    cJSON_ArrayForEach(ref, json_get(w->e->json, "groups")) {
        const struct kong_entity *g = kong_ref(w->i->kong, KONG_GROUP, ref);
        import_say(w->i, IMPORT_LOST, w->object, STR("groups"), str_of(g ? g->name : ""),
                   "a consumer group is no ACL group and grants nothing; add it to groups if "
                   "rateLimits should name it");
    }
}

static void add_groups(struct caller *w, cJSON *spec) {
    cJSON *groups = cJSON_CreateArray();
    for (const struct kong_entity *e = NULL; (e = kong_next(w->i->kong, KONG_ACL, e));)
        if (e->of[KONG_CONSUMER] == w->e)
            add_group(w, groups, str_of(e->name));
    say_groups(w);
    if (groups->child)
        cJSON_AddItemToObject(spec, "groups", groups);
    else
        cJSON_Delete(groups);
}

/* ---- secrets ---- */

/* Whether there is one, and it is one itself. */
static bool is_there(struct caller *w, const struct kong_entity *e, const char *field,
                     struct str value) {
    if (value.n > 0 && !import_is_vault(value))
        return true;
    import_say(w->i, IMPORT_LOST, import_object(w->i, e), str_of(field), STR("(not shown)"),
               value.n > 0 ? "is in a vault: put it into a Secret and name that in credentials"
                           : "is not in this file (Kong made one): put it into a Secret");
    return false;
}

static void add_keys(struct caller *w) {
    static const char *const known[] = {"key", "consumer", NULL};
    cJSON *data = NULL;
    unsigned n = 0;
    struct str secret = STR_NONE;
    for (const struct kong_entity *e = NULL; (e = kong_next(w->i->kong, KONG_API_KEY, e));) {
        struct str key = kong_text(e->json, "key");
        char entry[32];
        struct out o = out_fixed(entry, sizeof(entry) - 1);
        if (e->of[KONG_CONSUMER] != w->e || !is_there(w, e, "key", key))
            continue;
        import_unknown(w->i, e, e->json, "", known);
        if (!data) {
            secret = import_name(w->i, KUBE_Secret, w->i->namespace,
                                 arena_fmt(&w->i->arena, "%.*s-keys", STR_FMT(w->name)));
            data = import_secret(w->i, w->i->namespace, secret, NULL);
        }
        out_fmt(&o, "key-%u", ++n);
        entry[o.n] = 0;
        import_secret_add(data, entry, key);
    }
    if (!data)
        return;
    cJSON *c = doc_item(w->credentials);
    cJSON_AddStringToObject(c, "name", "keys");
    cJSON *ref = cJSON_AddObjectToObject(cJSON_AddObjectToObject(c, "apiKey"), "secretRef");
    doc_text(ref, "name", secret);
}

/* A credential with its secret under an entry of that name: {secretRef} in the part. */
static cJSON *add_credential(struct caller *w, const char *type, size_t number, const char *part,
                             struct str bytes) {
    struct str name = arena_fmt(&w->i->arena, "%s-%zu", type, number);
    if (!w->data) {
        w->secret = import_name(w->i, KUBE_Secret, w->i->namespace,
                                arena_fmt(&w->i->arena, "%.*s-credentials", STR_FMT(w->name)));
        w->data = import_secret(w->i, w->i->namespace, w->secret, NULL);
    }
    import_secret_add(w->data, name.p, bytes);
    cJSON *c = doc_item(w->credentials);
    doc_text(c, "name", name);
    cJSON *p = cJSON_AddObjectToObject(c, part);
    cJSON *ref = cJSON_AddObjectToObject(p, "secretRef");
    doc_text(ref, "name", w->secret);
    doc_text(ref, "key", name);
    return p;
}

static bool is_name(struct caller *w, const struct kong_entity *e, const char *field) {
    struct why why = {0};
    if (e->name[0] != 0 && kube_rule_check(KUBE_SHORT, str_of(e->name), &why) == 0)
        return true;
    import_say(w->i, IMPORT_LOST, import_object(w->i, e), str_of(field), STR(""),
               "is missing or longer than 256 bytes; the credential is left out");
    return false;
}

/* ---- basic-auth ---- */

static bool is_sha1(struct str s) {
    for (size_t c = 0; c < s.n; c++)
        if (!(s.p[c] >= '0' && s.p[c] <= '9') && !(s.p[c] >= 'a' && s.p[c] <= 'f'))
            return false;
    return s.n == SHA1_HEX;
}

static void add_basic(struct caller *w, const struct kong_entity *e, size_t number) {
    static const char *const known[] = {"username", "password", "consumer", NULL};
    struct str password = kong_text(e->json, "password");
    bool hash = is_sha1(password);
    import_unknown(w->i, e, e->json, "", known);
    if (!is_there(w, e, "password", password) || !is_name(w, e, "username"))
        return;
    if (w->i->kong->hashed && !hash) {
        import_say(w->i, IMPORT_LOST, import_object(w->i, e), STR("password"), STR("(not shown)"),
                   "_transform is false and this is no hash of Kong's; set a new password");
        return;
    }
    if (hash && w->e->id[0] == 0) {
        import_say(w->i, IMPORT_LOST, import_object(w->i, e), STR("password"), STR("(not shown)"),
                   "is a hash that the consumer's id is part of, and the id is not in this file: "
                   "dump with --with-id, or set a new password");
        return;
    }
    cJSON *basic = add_credential(w, "basic", number, "basic", password);
    cJSON_AddStringToObject(basic, "username", e->name);
    if (!hash)
        return;
    cJSON_AddStringToObject(basic, "legacy", "KongSHA1");
    w->legacy = true;
    import_say(w->i, IMPORT_NOTE, import_object(w->i, e), STR("password"), STR("(not shown)"),
               "is kept as Kong's hash (legacy: KongSHA1), which is weak; set new passwords");
}

/* ---- hmac-auth and jwt ---- */

static void add_hmac(struct caller *w, const struct kong_entity *e, size_t number) {
    static const char *const known[] = {"username", "secret", "consumer", NULL};
    struct str secret = kong_text(e->json, "secret");
    import_unknown(w->i, e, e->json, "", known);
    if (!is_there(w, e, "secret", secret) || !is_name(w, e, "username"))
        return;
    cJSON_AddStringToObject(add_credential(w, "hmac", number, "hmac", secret), "keyID", e->name);
}

/* Kong takes both alphabets, with and without padding. */
static bool decode(struct str text, char *room, size_t *n) {
    char *copy = mem_alloc(text.n + 4);
    size_t at = 0;
    for (size_t c = 0; c < text.n; c++)
        copy[at++] = text.p[c] == '-' ? '+' : text.p[c] == '_' ? '/' : text.p[c];
    while (at % 4 != 0 && at < text.n + 4)
        copy[at++] = '=';
    bool good = base64_decode(str_mk(copy, at), room, n) && *n > 0;
    OPENSSL_cleanse(copy, text.n + 4);
    mem_free(copy);
    return good;
}

static void add_shared(struct caller *w, const struct kong_entity *e, size_t number,
                       struct str algorithm, struct str bytes) {
    const struct kong_entity *plugin = import_jwt_plugin(w->i);
    struct str claim =
        plugin ? kong_text(import_plugin_config(w->i, plugin), "key_claim_name") : STR_NONE;
    cJSON *jwt = add_credential(w, "jwt", number, "jwt", bytes);
    if (!str_eq(claim, STR("iss")))
        doc_text(jwt, "keyClaim", claim);
    cJSON_AddStringToObject(jwt, "key", e->name);
    doc_text(jwt, "algorithm", algorithm);
}

static void add_jwt(struct caller *w, const struct kong_entity *e, size_t number) {
    static const char *const known[] = {"key",      "secret", "algorithm", "rsa_public_key",
                                        "consumer", NULL};
    struct str algorithm = kong_text(e->json, "algorithm"), secret = kong_text(e->json, "secret");
    const struct kong_entity *plugin = import_jwt_plugin(w->i);
    import_unknown(w->i, e, e->json, "", known);
    if (algorithm.n == 0)
        algorithm = STR("HS256");
    if (!str_eq(algorithm, STR("HS256")) && !str_eq(algorithm, STR("HS384")) &&
        !str_eq(algorithm, STR("HS512")))
        return; /* a method of its own: import_jwt.c */
    if (!is_there(w, e, "secret", secret) || !is_name(w, e, "key"))
        return;
    if (!plugin || !kong_bool(import_plugin_config(w->i, plugin), "secret_is_base64", false)) {
        add_shared(w, e, number, algorithm, secret);
        return;
    }
    size_t n, size = BASE64_ROOM(secret.n + 4);
    char *room = mem_alloc(size);
    if (decode(secret, room, &n))
        add_shared(w, e, number, algorithm, str_mk(room, n));
    else
        import_say(w->i, IMPORT_LOST, import_object(w->i, e), STR("secret"), STR("(not shown)"),
                   "is no base64, as secret_is_base64 says; put it into a Secret");
    OPENSSL_cleanse(room, size);
    mem_free(room);
}

/* ---- all ---- */

static void add_credentials(struct caller *w) {
    static const struct {
        enum kong_type type;
        void (*add)(struct caller *w, const struct kong_entity *e, size_t number);
    } kinds[] = {{KONG_BASIC, add_basic}, {KONG_HMAC, add_hmac}, {KONG_JWT, add_jwt}};
    add_keys(w);
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
        size_t number = 0;
        for (const struct kong_entity *e = NULL; (e = kong_next(w->i->kong, kinds[k].type, e));) {
            if (e->of[KONG_CONSUMER] != w->e)
                continue;
            if (cJSON_GetArraySize(w->credentials) >= CREDENTIALS_MAX)
                import_say(w->i, IMPORT_LOST, import_object(w->i, e), STR("consumer"), STR(""),
                           "a Consumer has at most 64 credentials; make a second one");
            else
                kinds[k].add(w, e, ++number);
        }
    }
}

static void add_custom_id(struct caller *w, cJSON *doc, cJSON *spec) {
    struct str said = kong_text(w->e->json, "custom_id"), id = str_of(w->e->id);
    struct why why = {0};
    if (w->legacy && said.n > 0 && !str_eq(said, id)) {
        import_annotate(doc, "sluice.dev/kong-custom-id", said);
        import_say(w->i, IMPORT_DIFFERS, w->object, STR("custom_id"), said,
                   "customID is Kong's own id while a password is a hash of Kong's, which that id "
                   "is part of; set it back with the new passwords");
    }
    struct str kept = w->legacy ? id : said;
    if (kept.n > 0 && kube_rule_check(KUBE_SHORT, kept, &why) == 0)
        doc_text(spec, "customID", kept);
    else if (kept.n > 0)
        import_say(w->i, IMPORT_LOST, w->object, STR("custom_id"), STR(""), "%s", why.text);
}

static const struct kong_entity *quota_plugin(struct caller *w) {
    for (const struct kong_entity *p = NULL; (p = kong_next(w->i->kong, KONG_PLUGIN, p));)
        if (p->of[KONG_CONSUMER] == w->e && kong_enabled(p) &&
            strcmp(p->name, "rate-limiting") == 0 && !p->of[KONG_ROUTE] && !p->of[KONG_SERVICE])
            return p;
    return NULL;
}

static void build(struct import *i, const struct kong_entity *e, struct str name) {
    static const char *const known[] = {"username",
                                        "custom_id",
                                        "groups",
                                        "plugins",
                                        "acls",
                                        "keyauth_credentials",
                                        "jwt_secrets",
                                        "basicauth_credentials",
                                        "hmacauth_credentials",
                                        NULL};
    struct caller w = {.i = i, .e = e, .name = name, .object = import_object(i, e)};
    cJSON *doc = import_doc(i, KUBE_Consumer, i->namespace, name, e), *spec = import_spec(doc);
    const struct kong_entity *quota = quota_plugin(&w);
    import_unknown(i, e, e->json, "", known);
    if (!str_eq(name, str_of(e->name)))
        import_say(i, IMPORT_DIFFERS, w.object, STR("username"), str_of(e->name),
                   "X-Consumer-Username is %.*s", STR_FMT(name));
    w.credentials = cJSON_CreateArray();
    add_credentials(&w);
    add_groups(&w, spec);
    add_custom_id(&w, doc, spec);
    if (import_disables(i, e))
        cJSON_AddTrueToObject(spec, "disabled");
    if (w.credentials->child)
        cJSON_AddItemToObject(spec, "credentials", w.credentials);
    else
        cJSON_Delete(w.credentials);
    cJSON *limit = quota ? import_quota(i, quota) : NULL;
    if (limit)
        cJSON_AddItemToObject(spec, "rateLimit", limit);
}

void import_consumers(struct import *i) {
    struct kong_list *l = &i->kong->lists[KONG_CONSUMER];
    i->consumers = arena_array(&i->arena, l->n + 1, sizeof(*i->consumers));
    for (size_t n = 0; n < l->n; n++) {
        i->consumers[n] = import_name(i, KUBE_Consumer, i->namespace, str_of(l->all[n]->name));
        build(i, l->all[n], i->consumers[n]);
    }
}
