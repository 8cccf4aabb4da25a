/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/kong.h"

#include "ctl/read.h"
#include "lib/json.h"
#include "lib/mem.h"

#include <math.h>
#include <string.h>

enum { ENTITIES_MAX = 200000 };

static const char *const type_names[KONG_TYPES] = {[KONG_SERVICE] = "service",
                                                   [KONG_ROUTE] = "route",
                                                   [KONG_CONSUMER] = "consumer",
                                                   [KONG_GROUP] = "consumer group",
                                                   [KONG_UPSTREAM] = "upstream",
                                                   [KONG_TARGET] = "target",
                                                   [KONG_CERTIFICATE] = "certificate",
                                                   [KONG_SNI] = "SNI",
                                                   [KONG_AUTHORITY] = "CA certificate",
                                                   [KONG_PLUGIN] = "plugin",
                                                   [KONG_API_KEY] = "API key",
                                                   [KONG_JWT] = "JWT secret",
                                                   [KONG_BASIC] = "basic-auth user",
                                                   [KONG_HMAC] = "HMAC secret",
                                                   [KONG_ACL] = "ACL group"};

const char *kong_type_name(enum kong_type type) { return type_names[type]; }

/* The lists that are looked for in every object, and what is in them. */
static const struct {
    const char *list, *name; /* the field that names one of them */
    enum kong_type type;
} lists[] = {
    {"services", "name", KONG_SERVICE},
    {"routes", "name", KONG_ROUTE},
    {"consumers", "username", KONG_CONSUMER},
    {"consumer_groups", "name", KONG_GROUP},
    {"upstreams", "name", KONG_UPSTREAM},
    {"targets", "target", KONG_TARGET},
    {"certificates", "id", KONG_CERTIFICATE},
    {"snis", "name", KONG_SNI},
    {"ca_certificates", "id", KONG_AUTHORITY},
    {"plugins", "name", KONG_PLUGIN},
    {"filter_chains", "name", KONG_PLUGIN},
    {"keyauth_credentials", "key", KONG_API_KEY},
    {"jwt_secrets", "key", KONG_JWT},
    {"basicauth_credentials", "username", KONG_BASIC},
    {"hmacauth_credentials", "username", KONG_HMAC},
    {"acls", "group", KONG_ACL},
};

/* Fields that refer to another entity. */
static const struct {
    const char *field;
    enum kong_type type;
} references[] = {
    {"service", KONG_SERVICE},      {"route", KONG_ROUTE},       {"consumer", KONG_CONSUMER},
    {"consumer_group", KONG_GROUP}, {"upstream", KONG_UPSTREAM}, {"certificate", KONG_CERTIFICATE},
};

/* Which lists an object of a type may hold; a list elsewhere is a field like any other, as the snis
 * of a route. */
static bool may_hold(int in, enum kong_type type) {
    static const unsigned holds[KONG_TYPES] = {
        [KONG_SERVICE] = 1u << KONG_ROUTE | 1u << KONG_PLUGIN,
        [KONG_ROUTE] = 1u << KONG_PLUGIN,
        [KONG_CONSUMER] = 1u << KONG_PLUGIN | 1u << KONG_API_KEY | 1u << KONG_JWT |
                          1u << KONG_BASIC | 1u << KONG_HMAC | 1u << KONG_ACL,
        [KONG_GROUP] = 1u << KONG_PLUGIN,
        [KONG_UPSTREAM] = 1u << KONG_TARGET,
        [KONG_CERTIFICATE] = 1u << KONG_SNI};
    return in < 0 || (holds[in] & 1u << type);
}

/* ---- faults ---- */

static int bad(struct kong *k, const cJSON *at, const char *field, const char *sentence) {
    int line = cJSON_IsObject(at) ? at->valueint : 0;
    if (line > 0)
        why_field(k->why, "line %d, %s", line, field);
    else
        why_field(k->why, "%s", field);
    return why_text(k->why, "%s", sentence);
}

/* ---- putting in ---- */

static void know(struct kong *k, struct kong_entity *e, const char *name) {
    if (name[0] == 0)
        return;
    struct str key = arena_fmt(&k->arena, "%d/%s", (int)e->type, name);
    if (!map_get(&k->ids, key))
        map_put(&k->ids, key, e);
}

static struct kong_entity *add(struct kong *k, enum kong_type type, const cJSON *json,
                               const char *name) {
    struct kong_list *l = &k->lists[type];
    if ((l->n & (l->n - 1)) == 0) /* 0, 1, 2, 4 ... */
        l->all = mem_realloc(l->all, (l->n ? l->n * 2 : 1) * sizeof(struct kong_entity *));
    struct kong_entity *e = arena_zalloc(&k->arena, sizeof(*e));
    *e = (struct kong_entity){.type = type, .json = json, .name = name, .place = l->n};
    e->id = doc_get(json, "id");
    l->all[l->n++] = e;
    know(k, e, e->id);
    if (type != KONG_API_KEY && type != KONG_PLUGIN)
        know(k, e, name);
    return e;
}

/* A snis entry of a certificate may be a bare string. */
static const cJSON *as_object(const cJSON *json) {
    return cJSON_IsObject(json) || cJSON_IsString(json) ? json : NULL;
}

static int take(struct kong *k, const cJSON *json, int in, const struct kong_entity *parent);

static int take_list(struct kong *k, const cJSON *list, size_t which,
                     const struct kong_entity *parent) {
    const cJSON *item;
    enum kong_type type = lists[which].type;
    cJSON_ArrayForEach(item, list) {
        bool bare = cJSON_IsString(item) && type == KONG_SNI;
        if (!as_object(item) || (cJSON_IsString(item) && !bare))
            return bad(k, parent ? parent->json : list, lists[which].list,
                       "must be a list of objects");
        if (k->ids.n > ENTITIES_MAX)
            return bad(k, item, lists[which].list, "more than 200000 entities; split the file");
        const char *name = bare ? item->valuestring : doc_get(item, lists[which].name);
        if (type == KONG_PLUGIN && name[0] == 0)
            name = lists[which].list;
        if (type == KONG_CONSUMER && name[0] == 0)
            name = doc_get(item, "custom_id");
        struct kong_entity *e = add(k, type, item, name);
        for (unsigned t = 0; parent && t < KONG_TYPES; t++)
            e->of[t] = parent->of[t];
        if (parent)
            e->of[parent->type] = parent;
        if (take(k, item, (int)type, e) != 0)
            return -1;
    }
    return 0;
}

static int take(struct kong *k, const cJSON *json, int in, const struct kong_entity *parent) {
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        const cJSON *list = json_get(json, lists[i].list);
        if (!list || !may_hold(in, lists[i].type))
            continue;
        if (!cJSON_IsArray(list))
            return bad(k, json, lists[i].list, "must be a list");
        if (take_list(k, list, i, parent) != 0)
            return -1;
    }
    return 0;
}

/* ---- references ---- */

const struct kong_entity *kong_find(const struct kong *k, enum kong_type type, struct str name) {
    char room[512];
    struct out o = out_fixed(room, sizeof(room));
    out_fmt(&o, "%d/%.*s", (int)type, STR_FMT(name));
    return o.over ? NULL : map_get(&k->ids, out_done(&o));
}

static const char *name_in(const cJSON *ref) {
    static const char *const names[] = {"id", "name", "username", "custom_id"};
    if (cJSON_IsString(ref))
        return ref->valuestring;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (doc_get(ref, names[i])[0] != 0)
            return doc_get(ref, names[i]);
    return "";
}

const struct kong_entity *kong_ref(const struct kong *k, enum kong_type type, const cJSON *ref) {
    return ref ? kong_find(k, type, str_of(name_in(ref))) : NULL;
}

/* A plugin without what it belongs to would count for everything, or for nothing. */
static int resolve(struct kong *k, struct kong_entity *e) {
    for (size_t i = 0; i < ARRAY_LEN(references); i++) {
        const cJSON *ref = json_get(e->json, references[i].field);
        if (!ref)
            continue;
        const struct kong_entity *to = kong_ref(k, references[i].type, ref);
        if (!to) {
            struct shown shown;
            char text[400];
            struct out o = out_fixed(text, sizeof(text) - 1);
            out_fmt(&o, "%s is not in this file; add it, or dump without select_tags",
                    why_show(str_of(name_in(ref)), &shown));
            text[o.n] = 0;
            return bad(k, e->json, references[i].field, text);
        }
        e->of[references[i].type] = to;
    }
    return 0;
}

static int resolve_all(struct kong *k) {
    for (unsigned t = 0; t < KONG_TYPES; t++)
        for (size_t i = 0; i < k->lists[t].n; i++)
            if (cJSON_IsObject(k->lists[t].all[i]->json) && resolve(k, k->lists[t].all[i]) != 0)
                return -1;
    return 0;
}

/* ---- types of fields ---- */

/* Plugins whose config is read. */
static bool is_known_config(const char *plugin) {
    static const char *const names[] = {"key-auth",
                                        "jwt",
                                        "acl",
                                        "basic-auth",
                                        "hmac-auth",
                                        "rate-limiting",
                                        "cors",
                                        "ip-restriction",
                                        "request-transformer",
                                        "response-transformer",
                                        "request-size-limiting",
                                        "request-termination"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strcmp(names[i], plugin) == 0)
            return true;
    return false;
}

enum shape { TEXT, NUMBER, BOOLEAN, TEXTS };

static bool is_texts(const cJSON *json) {
    const cJSON *item;
    if (!cJSON_IsArray(json))
        return false;
    cJSON_ArrayForEach(item, json) {
        if (!cJSON_IsString(item))
            return false;
    }
    return true;
}

static bool has_shape(const cJSON *json, enum shape shape) {
    switch (shape) {
    case TEXT:
        return cJSON_IsString(json);
    case NUMBER:
        return cJSON_IsNumber(json) && fabs(json->valuedouble) < 1e15;
    case BOOLEAN:
        return cJSON_IsBool(json);
    case TEXTS:
        return is_texts(json);
    }
    return false;
}

static const char *const shape_words[] = {"must be text; put it in quotes", "must be a number",
                                          "must be true or false", "must be a list of texts"};

/* By name: the same field is of the same type wherever it stands, entity or config of a plugin. */
static const struct {
    enum shape shape;
    const char *fields; /* with spaces around each */
} shapes[] = {
    {TEXT, " name id username custom_id host path protocol url key secret password group target "
           "algorithm cert cert_alt key_alt rsa_public_key host_header path_handling realm "
           "key_claim_name anonymous limit_by header_name policy content_type message body "
           "size_unit http_method consumer_claim "},
    {NUMBER, " port connect_timeout read_timeout write_timeout retries regex_priority weight "
             "https_redirect_status_code second minute hour day month year max_age clock_skew "
             "maximum_expiration allowed_payload_size status_code created_at "},
    {BOOLEAN, " enabled strip_path preserve_host tls_verify hide_credentials key_in_header "
              "key_in_query key_in_body run_on_preflight secret_is_base64 validate_request_body "
              "fault_tolerant credentials preflight_continue hide_groups_header "
              "hide_client_headers "},
    {TEXTS, " hosts paths methods protocols tags key_names allow deny whitelist "
            "blacklist origins exposed_headers claims_to_verify uri_param_names cookie_names "
            "header_names algorithms enforce_headers ca_certificates select_tags "},
};

static int check_field(struct kong *k, const cJSON *object, const cJSON *field) {
    char room[80];
    struct out o = out_fixed(room, sizeof(room) - 1);
    out_fmt(&o, " %s ", field->string);
    room[o.n] = 0;
    if (o.over || cJSON_IsNull(field))
        return 0;
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
        if (strstr(shapes[i].fields, room) && !has_shape(field, shapes[i].shape))
            return bad(k, object, field->string, shape_words[shapes[i].shape]);
    return 0;
}

static int check_fields(struct kong *k, const cJSON *object) {
    const cJSON *field;
    cJSON_ArrayForEach(field, object) {
        if (check_field(k, object, field) != 0)
            return -1;
    }
    return 0;
}

static int check_types(struct kong *k) {
    for (unsigned t = 0; t < KONG_TYPES; t++)
        for (size_t i = 0; i < k->lists[t].n; i++) {
            const cJSON *json = k->lists[t].all[i]->json, *config = json_get(json, "config");
            if (cJSON_IsString(json))
                continue;
            if (config && !cJSON_IsObject(config))
                return bad(k, json, "config", "must be an object");
            if (check_fields(k, json) != 0)
                return -1;
            if (t == KONG_PLUGIN && is_known_config(k->lists[t].all[i]->name) &&
                check_fields(k, config) != 0)
                return -1;
        }
    return 0;
}

/* ---- the file ---- */

static int take_version(struct kong *k) {
    const cJSON *v = json_get(k->json, "_format_version");
    double number = cJSON_IsNumber(v) ? v->valuedouble : 0;
    const char *text = cJSON_IsString(v) ? v->valuestring : "";
    if (!v)
        return bad(k, k->json, "_format_version",
                   "is missing; this is no declarative file of Kong, which begins with "
                   "_format_version: \"3.0\"");
    k->tilde = strcmp(text, "3.0") == 0 || number == 3.0;
    if (k->tilde || strcmp(text, "1.1") == 0 || strcmp(text, "2.1") == 0 || number == 1.1 ||
        number == 2.1)
        return 0;
    return bad(k, k->json, "_format_version", "must be \"1.1\", \"2.1\" or \"3.0\"");
}

/* What decK fills in from its environment: as it stands here it would be a password that anybody
 * can guess. */
static int check_environment(struct kong *k, struct str text) {
    size_t line = 1;
    for (size_t i = 0; i + 3 < text.n; i++) {
        line += text.p[i] == '\n';
        if (memcmp(text.p + i, "${{", 3) != 0)
            continue;
        why_field(k->why, "line %zu", line);
        return why_text(k->why, "${{ env ... }} is not filled in; do that first: deck file render "
                                "--populate-env-vars kong.yaml > whole.yaml");
    }
    return 0;
}

static int parse(struct kong *k, struct str text, enum yaml_form form, const char *path) {
    struct yaml y = {0};
    if (yaml_parse(text, form, str_of(path), &y, k->why) < 0) {
        yaml_fini(&y);
        return -1;
    }
    if (y.n == 1 && cJSON_IsObject(y.documents[0].json)) {
        k->json = y.documents[0].json;
        y.documents[0].json = NULL;
    }
    yaml_fini(&y);
    if (!k->json)
        return why_text(k->why, "must be one document that begins with _format_version: \"3.0\"");
    return 0;
}

int kong_read(struct kong *k, struct str text, enum yaml_form form, const char *path,
              struct why *why) {
    *k = (struct kong){.why = why};
    arena_init(&k->arena);
    map_init(&k->ids);
    why_object(why, "%s", path);
    if (check_environment(k, text) != 0 || parse(k, text, form, path) != 0 || take_version(k) != 0)
        return -1;
    k->hashed = cJSON_IsFalse(json_get(k->json, "_transform"));
    return take(k, k->json, -1, NULL) == 0 && resolve_all(k) == 0 ? check_types(k) : -1;
}

int kong_open(struct kong *k, const char *path, struct why *why) {
    struct out text = out_heap(READ_MAX);
    *k = (struct kong){0};
    why_object(why, "%s", path);
    int rc = read_file(path, &text, why);
    if (rc == 0)
        rc = kong_read(k, out_done(&text),
                       str_ends(str_of(path), STR(".json")) ? YAML_JSON : YAML_YAML, path, why);
    out_fini(&text);
    return rc;
}

void kong_fini(struct kong *k) {
    for (unsigned t = 0; t < KONG_TYPES; t++)
        mem_free(k->lists[t].all);
    map_fini(&k->ids);
    arena_fini(&k->arena);
    cJSON_Delete(k->json);
}

const struct kong_entity *kong_next(const struct kong *k, enum kong_type type,
                                    const struct kong_entity *e) {
    size_t at = e ? e->place + 1 : 0;
    return at < k->lists[type].n ? k->lists[type].all[at] : NULL;
}

/* ---- fields ---- */

struct str kong_text(const cJSON *from, const char *name) {
    return json_text(from, name);
}

bool kong_bool(const cJSON *from, const char *name, bool otherwise) {
    const cJSON *f = json_get(from, name);
    return cJSON_IsBool(f) ? cJSON_IsTrue(f) : otherwise;
}

int64_t kong_int(const cJSON *from, const char *name, int64_t otherwise) {
    const cJSON *f = json_get(from, name);
    return cJSON_IsNumber(f) && fabs(f->valuedouble) < 1e15 ? (int64_t)f->valuedouble : otherwise;
}

const cJSON *kong_texts(const cJSON *from, const char *name) {
    const cJSON *f = json_get(from, name);
    return is_texts(f) && f->child ? f : NULL;
}

bool kong_enabled(const struct kong_entity *e) { return kong_bool(e->json, "enabled", true); }
