/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/autoscale/caller.h"

#include "controller/autoscale/query.h"
#include "lib/mem.h"

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

enum { NAMES_MAX = 32, CA_MAX = 64 };

struct names {
    char *v[NAMES_MAX];
    size_t n;
};

struct caller_rules {
    X509_STORE *front, *clients; /* NULL: nobody comes that way */
    struct names allowed;        /* common names of the front proxy; none = any */
    struct names user, uid, groups, extra;
};

/* ---- the rules ---- */

static X509_STORE *store_of(struct str pem, const char *key, struct why *why) {
    BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    X509_STORE *store = X509_STORE_new();
    must(bio && store);
    int n = 0;
    for (X509 *x; n < CA_MAX && (x = PEM_read_bio_X509(bio, NULL, NULL, NULL)); n++) {
        X509_STORE_add_cert(store, x);
        X509_free(x);
    }
    BIO_free(bio);
    if (n > 0)
        return store;
    X509_STORE_free(store);
    why_field(why, "data.%s", key);
    why_text(why, "there is no certificate in it");
    return NULL;
}

/* A JSON list of strings in a string. */
static int names_of(struct names *names, const cJSON *data, const char *key, struct why *why) {
    struct str text = json_text(data, key);
    if (text.n == 0)
        return 0;
    why_field(why, "data.%s", key);
    cJSON *list = json_parse(text, why), *one;
    if (!list)
        return -1;
    cJSON_ArrayForEach(one, list) {
        if (cJSON_IsString(one) && names->n < NAMES_MAX)
            names->v[names->n++] = str_dup(str_of(one->valuestring));
    }
    cJSON_Delete(list);
    return 0;
}

static void names_fini(struct names *names) {
    while (names->n > 0)
        mem_free(names->v[--names->n]);
}

static int read_rules(struct caller_rules *r, const cJSON *data, struct why *why) {
    static const char front[] = "requestheader-client-ca-file", clients[] = "client-ca-file";
    struct str front_ca = json_text(data, front), client_ca = json_text(data, clients);
    if (front_ca.n > 0 && !(r->front = store_of(front_ca, front, why)))
        return -1;
    if (client_ca.n > 0 && !(r->clients = store_of(client_ca, clients, why)))
        return -1;
    return names_of(&r->allowed, data, "requestheader-allowed-names", why) ||
                   names_of(&r->user, data, "requestheader-username-headers", why) ||
                   names_of(&r->uid, data, "requestheader-uid-headers", why) ||
                   names_of(&r->groups, data, "requestheader-group-headers", why) ||
                   names_of(&r->extra, data, "requestheader-extra-headers-prefix", why)
               ? -1
               : 0;
}

struct caller_rules *caller_rules_new(const cJSON *config_map, struct why *why) {
    struct caller_rules *r = mem_zalloc(sizeof(*r));
    why_object(why, "ConfigMap kube-system/extension-apiserver-authentication");
    if (read_rules(r, json_get(config_map, "data"), why) == 0)
        return r;
    caller_rules_free(r);
    return NULL;
}

void caller_rules_free(struct caller_rules *r) {
    if (!r)
        return;
    X509_STORE_free(r->front);
    X509_STORE_free(r->clients);
    names_fini(&r->allowed);
    names_fini(&r->user);
    names_fini(&r->uid);
    names_fini(&r->groups);
    names_fini(&r->extra);
    mem_free(r);
}

/* ---- certificates ---- */

static bool chains_to(X509_STORE *store, X509 *x, STACK_OF(X509) * between) {
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    must(ctx);
    bool ok = X509_STORE_CTX_init(ctx, store, x, between) == 1 &&
              X509_STORE_CTX_set_purpose(ctx, X509_PURPOSE_SSL_CLIENT) == 1 &&
              X509_verify_cert(ctx) == 1;
    X509_STORE_CTX_free(ctx);
    return ok;
}

/* The at-th value of a part of the subject, or NULL; cJSON's, as it goes into a document. */
static cJSON *subject_part(X509 *x, int nid, int *at) {
    const X509_NAME *subject = X509_get_subject_name(x);
    *at = X509_NAME_get_index_by_NID(subject, nid, *at);
    if (*at < 0)
        return NULL;
    unsigned char *text;
    int n = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, *at)));
    if (n < 0)
        return NULL;
    cJSON *value = memchr(text, 0, (size_t)n) ? NULL : cJSON_CreateString((char *)text);
    OPENSSL_free(text);
    return value;
}

static bool is_allowed(const struct names *allowed, X509 *x) {
    int at = -1;
    cJSON *name = subject_part(x, NID_commonName, &at);
    bool ok = allowed->n == 0;
    for (size_t i = 0; name && i < allowed->n; i++)
        ok = ok || strcmp(allowed->v[i], name->valuestring) == 0;
    cJSON_Delete(name);
    return ok;
}

static cJSON *user_of_certificate(X509 *x) {
    int at = -1;
    cJSON *name = subject_part(x, NID_commonName, &at), *group;
    if (!name)
        return NULL;
    cJSON *user = cJSON_CreateObject();
    cJSON_AddItemToObject(user, "user", name);
    cJSON *groups = cJSON_AddArrayToObject(user, "groups");
    for (at = -1; (group = subject_part(x, NID_organizationName, &at));)
        cJSON_AddItemToArray(groups, group);
    cJSON_AddItemToArray(groups, cJSON_CreateString("system:authenticated"));
    return user;
}

/* ---- headers ---- */

static bool is_one_of(const struct names *names, struct str name) {
    for (size_t i = 0; i < names->n; i++)
        if (str_eq_nocase(name, str_of(names->v[i])))
            return true;
    return false;
}

static cJSON *text_of(struct str s) {
    char *copy = str_dup(s);
    cJSON *j = cJSON_CreateString(copy);
    mem_free(copy);
    return j;
}

/* The key of an extra header behind its prefix: lower case, percent-encoded. */
static char *extra_key(struct str s) {
    char *key = str_dup(s);
    for (size_t i = 0; i < s.n; i++)
        key[i] = char_lower(key[i]);
    key[query_unescape(str_mk(key, s.n), key)] = 0;
    return key;
}

static void add_extra(cJSON *user, struct str name, size_t prefix, struct str value) {
    char *key = extra_key(str_skip(name, prefix));
    cJSON *extra = cJSON_GetObjectItemCaseSensitive(user, "extra");
    extra = extra ? extra : cJSON_AddObjectToObject(user, "extra");
    cJSON *list = cJSON_GetObjectItemCaseSensitive(extra, key);
    list = list ? list : cJSON_AddArrayToObject(extra, key);
    cJSON_AddItemToArray(list, text_of(value));
    mem_free(key);
}

static cJSON *user_of_headers(const struct caller_rules *r, const struct httpd_request *rq) {
    cJSON *user = cJSON_CreateObject(), *groups = cJSON_AddArrayToObject(user, "groups");
    struct str name, value;
    for (size_t at = 0; httpd_field(rq, &at, &name, &value);) {
        if (is_one_of(&r->user, name) && !cJSON_HasObjectItem(user, "user") && value.n > 0)
            cJSON_AddItemToObject(user, "user", text_of(value));
        else if (is_one_of(&r->uid, name) && !cJSON_HasObjectItem(user, "uid"))
            cJSON_AddItemToObject(user, "uid", text_of(value));
        else if (is_one_of(&r->groups, name))
            cJSON_AddItemToArray(groups, text_of(value));
        for (size_t i = 0; i < r->extra.n; i++) {
            struct str prefix = str_of(r->extra.v[i]);
            if (name.n > prefix.n && str_eq_nocase(str_mk(name.p, prefix.n), prefix))
                add_extra(user, name, prefix.n, value);
        }
    }
    if (cJSON_HasObjectItem(user, "user"))
        return user;
    cJSON_Delete(user);
    return NULL;
}

static struct str bearer(const struct httpd_request *rq) {
    struct str name, value, scheme;
    for (size_t at = 0; httpd_field(rq, &at, &name, &value);) {
        if (!str_eq_nocase(name, STR("authorization")))
            continue;
        struct str token = str_cut(value, ' ', &scheme);
        if (token.n > 0 && str_eq_nocase(scheme, STR("bearer")))
            return str_trim(token);
    }
    return STR_NONE;
}

/* ---- the whole ---- */

static cJSON *by_certificate(const struct caller_rules *r, const struct httpd_request *rq) {
    X509 *x = rq->tls ? SSL_get0_peer_certificate(rq->tls) : NULL;
    if (!x)
        return NULL;
    STACK_OF(X509) *between = SSL_get_peer_cert_chain(rq->tls);
    if (r->front && chains_to(r->front, x, between) && is_allowed(&r->allowed, x))
        return user_of_headers(r, rq);
    return r->clients && chains_to(r->clients, x, between) ? user_of_certificate(x) : NULL;
}

enum caller_found caller_find(const struct caller_rules *rules, const struct httpd_request *rq,
                              cJSON **user, struct str *token) {
    *user = rules ? by_certificate(rules, rq) : NULL;
    if (*user)
        return CALLER_NAMED;
    *token = bearer(rq);
    return token->n > 0 ? CALLER_TOKEN : CALLER_NOBODY;
}

cJSON *caller_of_review(const cJSON *from) {
    static const char *const fields[][2] = {
        {"username", "user"}, {"uid", "uid"}, {"groups", "groups"}, {"extra", "extra"}};
    cJSON *user = cJSON_CreateObject();
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        const cJSON *value = json_get(from, fields[i][0]);
        if (value)
            cJSON_AddItemToObject(user, fields[i][1], cJSON_Duplicate(value, true));
    }
    return user;
}

bool caller_is_in_group(const cJSON *user, const char *group) {
    const cJSON *one;
    cJSON_ArrayForEach(one, json_get(user, "groups")) {
        if (cJSON_IsString(one) && strcmp(one->valuestring, group) == 0)
            return true;
    }
    return false;
}
