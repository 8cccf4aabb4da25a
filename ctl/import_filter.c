/* SPDX-License-Identifier: Apache-2.0
 *
 * import_filter: what is done with requests and answers on the way.
 *
 *   strip_path, service.path, replace.uri, preserve_host  ─► URLRewrite
 *   request-transformer, response-transformer             ─► RequestHeaderModifier, Response...
 *   cors                                                  ─► CORS
 *   request-termination, closed                           ─► DirectResponse
 */
#include "controller/compile/editable.h"
#include "ctl/import.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/path.h"

#include <string.h>

enum { CLOSED_STATUS = 503, EDITS_MAX = 64, LIST_MAX = 64, PATH_MAX_BYTES = 1024 };

static cJSON *filter(cJSON *list, const char *type, const char *part) {
    cJSON *f = doc_item(list);
    cJSON_AddStringToObject(f, "type", type);
    return cJSON_AddObjectToObject(f, part);
}

/* ---- transformers ---- */

static const char *const actions[] = {"remove", "replace", "rename", "add", "append"};

static bool is_identity(struct str name) {
    static const char *const begins[] = {"x-user", "x-consumer", "x-auth",
                                         "x-credential-identifier", "x-anonymous-consumer"};
    for (size_t b = 0; b < ARRAY_LEN(begins); b++) {
        struct str begin = str_of(begins[b]);
        if (name.n >= begin.n && str_eq_nocase(str_mk(name.p, begin.n), begin))
            return true;
    }
    return false;
}

static bool is_in(const cJSON *part, const char *list, struct str name) {
    const cJSON *item;
    cJSON_ArrayForEach(item, doc_each(part, list)) {
        if (str_eq_nocase(str_of(cJSON_IsString(item) ? item->valuestring : doc_get(item, "name")),
                          name))
            return true;
    }
    return false;
}

/* Why a header cannot be changed so; NULL: it can. */
static const char *unfit(const cJSON *part, const char *list, bool request, struct str name,
                         struct str value) {
    struct why why = {0};
    bool set = strcmp(list, "remove") != 0;
    const char *no = header_not_editable(name, request, set);
    if (no)
        return no;
    if (kube_rule_check(KUBE_HEADER, name, &why) != 0)
        return "is no name of a header";
    if (set && str_has(value, STR("$(")))
        return "is a template, and filters have none";
    if (set && kube_rule_check(KUBE_HEADER_VALUE, value, &why) != 0)
        return "is no value of a header";
    if (request && set && is_identity(name))
        return "is an identity header; only an AuthPolicy may set it (identity.headers)";
    if (is_in(part, list, name))
        return "is there twice; write all values into one";
    return NULL;
}

static cJSON *list_in(cJSON *part, const char *list) {
    cJSON *l = cJSON_GetObjectItemCaseSensitive(part, list);
    return l ? l : doc_list(part, list);
}

static void edit_one(struct import *i, const struct kong_entity *p, const char *action,
                     struct str text, bool request, cJSON *part) {
    static const char *const lists[] = {"remove", "set", NULL, "set", "add"};
    struct str name, value = str_cut(text, ':', &name);
    struct str field = arena_fmt(&i->arena, "config.%s.headers", action);
    size_t a = 0;
    while (strcmp(actions[a], action) != 0)
        a++;
    name = str_trim(name);
    value = str_trim(value);
    if (request && str_eq_nocase(name, STR("host")) && lists[a])
        return; /* of the URLRewrite */
    const char *no =
        lists[a] ? unfit(part, lists[a], request, name, value) : "cannot be renamed by a filter";
    if (no) {
        import_say(i, IMPORT_LOST, import_object(i, p), field, name, "%s", no);
        return;
    }
    cJSON *list = list_in(part, lists[a]);
    if (a == 0) {
        import_text_item(list, name);
        return;
    }
    cJSON *header = doc_item(list);
    doc_text(header, "name", name);
    doc_text(header, "value", value);
    if (a != 4)
        import_say(i, IMPORT_DIFFERS, import_object(i, p), field, name,
                   a == 1 ? "is set whether it was there or not"
                          : "is set even if it was there already");
}

static void edit_action(struct import *i, const struct kong_entity *p, const char *action,
                        bool request, cJSON *part) {
    const cJSON *of = json_get(import_plugin_config(i, p), action), *f, *item;
    if (cJSON_IsArray(of) && of->child) {
        import_say(i, IMPORT_LOST, import_object(i, p), arena_fmt(&i->arena, "config.%s", action),
                   import_value(i, action, of), "is a list, and no map of changes");
        return;
    }
    cJSON_ArrayForEach(f, of) {
        bool uri = strcmp(f->string, "uri") == 0 && strcmp(action, "replace") == 0 && request;
        bool empty = cJSON_IsNull(f) || (cJSON_IsArray(f) && !f->child);
        if (empty || uri)
            continue;
        if (strcmp(f->string, "headers") != 0 || !kong_texts(of, "headers")) {
            import_say(i, IMPORT_LOST, import_object(i, p),
                       arena_fmt(&i->arena, "config.%s.%s", action, f->string),
                       import_value(i, f->string, f), "filters change headers alone");
            continue;
        }
        cJSON_ArrayForEach(item, f) {
            edit_one(i, p, action, str_of(item->valuestring), request, part);
        }
    }
}

static void add_transformer(struct import *i, struct import_route *r, bool request, cJSON *list) {
    static const char *const known[] = {"remove", "replace", "rename", "add", "append", NULL};
    const struct kong_entity *p =
        import_plugin(i, r->e, request ? "request-transformer" : "response-transformer");
    if (!p)
        return;
    cJSON *part = cJSON_CreateObject();
    import_unknown(i, p, import_plugin_config(i, p), "config.", known);
    for (size_t a = 0; a < ARRAY_LEN(actions); a++)
        edit_action(i, p, actions[a], request, part);
    size_t n = 0;
    for (const cJSON *l = part->child; l; l = l->next)
        n += (size_t)cJSON_GetArraySize(l);
    if (n > EDITS_MAX)
        import_close(i, r, import_object(i, p), STR("config"), arena_fmt(&i->arena, "%zu", n),
                     "a filter changes at most 64 headers");
    if (n == 0 || n > EDITS_MAX) {
        cJSON_Delete(part);
        return;
    }
    cJSON *f = doc_item(list);
    cJSON_AddStringToObject(f, "type",
                            request ? "RequestHeaderModifier" : "ResponseHeaderModifier");
    cJSON_AddItemToObject(f, request ? "requestHeaderModifier" : "responseHeaderModifier", part);
}

/* "host:api.internal" of request-transformer, or n == 0. */
static struct str said_host(struct import *i, const struct kong_entity *p) {
    static const char *const which[] = {"replace", "add"};
    for (size_t w = 0; p && w < ARRAY_LEN(which); w++) {
        const cJSON *item, *of = json_get(import_plugin_config(i, p), which[w]);
        cJSON_ArrayForEach(item, kong_texts(of, "headers")) {
            struct str name, value = str_cut(str_of(item->valuestring), ':', &name);
            if (str_eq_nocase(str_trim(name), STR("host")))
                return str_trim(value);
        }
    }
    return STR_NONE;
}

static struct str said_uri(struct import *i, const struct kong_entity *p) {
    return p ? kong_text(json_get(import_plugin_config(i, p), "replace"), "uri") : STR_NONE;
}

/* ---- URLRewrite ---- */

/* The only exact host of a route, or n == 0. */
static struct str only_host(const struct import_route *r) {
    const cJSON *first = r->hostnames ? r->hostnames->child : NULL;
    if (!first || first->next || first->valuestring[0] == '*')
        return STR_NONE;
    return str_of(first->valuestring);
}

static struct str new_host(struct import *i, struct import_route *r) {
    struct str said = said_host(i, import_plugin(i, r->e, "request-transformer"));
    if (said.n > 0)
        return said;
    if (!r->backend)
        return STR_NONE;
    if (!kong_bool(r->e->json, "preserve_host", false))
        return r->backend->host;
    if (r->backend->external && only_host(r).n == 0)
        import_say(i, IMPORT_DIFFERS, r->object, STR("preserve_host"), STR("true"),
                   "an external name gets itself as Host; the client's is in x-forwarded-host. A "
                   "URLRewrite with one hostname changes that");
    return r->backend->external ? only_host(r) : STR_NONE;
}

static struct str good_host(struct import *i, struct import_route *r) {
    struct str host = new_host(i, r);
    struct why why = {0};
    if (host.n == 0 || kube_rule_check(KUBE_HOSTNAME, host, &why) == 0)
        return host;
    import_say(i, IMPORT_DIFFERS, r->object, STR("preserve_host"), host,
               "cannot be written as Host; the backend gets the client's");
    return STR_NONE;
}

static void replace(cJSON *rewrite, const char *type, const char *field, struct str path) {
    cJSON *p = cJSON_AddObjectToObject(rewrite, "path");
    cJSON_AddStringToObject(p, "type", type);
    doc_text(p, field, path.n > 0 ? path : STR("/"));
}

static void rewrite_path(struct import *i, struct import_route *r, bool expression,
                         struct str prefix, cJSON *rewrite) {
    struct str uri = said_uri(i, import_plugin(i, r->e, "request-transformer"));
    struct str path = r->backend ? r->backend->path : STR_NONE;
    if (uri.n > 0)
        replace(rewrite, "ReplaceFullPath", "replaceFullPath", uri);
    else if (expression && r->strip)
        replace(rewrite, "ReplaceFullPath", "replaceFullPath", path);
    else if (!expression && r->strip && (path.n > 0 || !str_eq(prefix, STR("/"))))
        replace(rewrite, "ReplacePrefixMatch", "replacePrefixMatch", path);
    else if (!expression && path.n > 0)
        replace(rewrite, "ReplacePrefixMatch", "replacePrefixMatch",
                arena_fmt(&i->arena, "%.*s%.*s", STR_FMT(path),
                          STR_FMT(str_eq(prefix, STR("/")) ? STR("") : prefix)));
}

static void add_rewrite(struct import *i, struct import_route *r, bool expression,
                        struct str prefix, cJSON *list) {
    cJSON *rewrite = cJSON_CreateObject();
    doc_text(rewrite, "hostname", good_host(i, r));
    rewrite_path(i, r, expression, prefix, rewrite);
    if (!rewrite->child) {
        cJSON_Delete(rewrite);
        return;
    }
    cJSON *f = doc_item(list);
    cJSON_AddStringToObject(f, "type", "URLRewrite");
    cJSON_AddItemToObject(f, "urlRewrite", rewrite);
}

/* ---- CORS ---- */

static bool is_origin(struct str s) {
    if (str_eq(s, STR("*")))
        return true;
    struct str host = str_starts(s, STR("https://"))  ? str_skip(s, 8)
                      : str_starts(s, STR("http://")) ? str_skip(s, 7)
                                                      : STR_NONE;
    struct why why = {0};
    struct str name, port = str_cut(host, ':', &name);
    uint64_t number = 1;
    if (port.p && (!str_to_u64(port, 65535, &number) || number == 0))
        return false;
    return kube_rule_check(KUBE_HOSTNAME, name, &why) == 0;
}

static cJSON *origins_of(struct import *i, const struct kong_entity *p, const cJSON *config) {
    const cJSON *item, *said = kong_texts(config, "origins");
    cJSON *list = cJSON_CreateArray();
    if (!said)
        import_text_item(list, STR("*"));
    cJSON_ArrayForEach(item, said) {
        if (is_origin(str_of(item->valuestring)) && cJSON_GetArraySize(list) < LIST_MAX)
            import_text_item(list, str_of(item->valuestring));
        else
            import_say(
                i, IMPORT_LOST, import_object(i, p), STR("config.origins"),
                str_of(item->valuestring),
                "is no origin here; write https://shop.example.com or https://*.example.com");
    }
    if (list->child)
        return list;
    cJSON_Delete(list);
    return NULL;
}

static void add_names(struct import *i, const struct kong_entity *p, const cJSON *config,
                      const char *from, cJSON *to, const char *field, const char *otherwise) {
    const cJSON *item, *said = kong_texts(config, from);
    struct str rest = str_of(otherwise), name;
    if (!said && rest.n == 0)
        return;
    cJSON *list = doc_list(to, field);
    cJSON_ArrayForEach(item, said) {
        if (import_fits(KUBE_HEADER, str_of(item->valuestring)) &&
            cJSON_GetArraySize(list) < LIST_MAX &&
            (said->child->next == NULL || strcmp(item->valuestring, "*") != 0))
            import_text_item(list, str_of(item->valuestring));
        else
            import_say(i, IMPORT_LOST, import_object(i, p), arena_fmt(&i->arena, "config.%s", from),
                       str_of(item->valuestring), "is neither a name nor * alone, or the 65th");
    }
    while (!said && rest.p) {
        rest = str_cut(rest, ' ', &name);
        import_text_item(list, name);
    }
}

static void add_cors(struct import *i, struct import_route *r, cJSON *list) {
    static const char *const known[] = {"origins",     "methods", "headers", "exposed_headers",
                                        "credentials", "max_age", NULL};
    const struct kong_entity *p = import_plugin(i, r->e, "cors");
    const cJSON *config = p ? import_plugin_config(i, p) : NULL;
    cJSON *origins = p ? origins_of(i, p, config) : NULL;
    if (p)
        import_unknown(i, p, config, "config.", known);
    if (!origins)
        return;
    cJSON *c = filter(list, "CORS", "cors");
    int64_t age = kong_int(config, "max_age", 0);
    cJSON_AddItemToObject(c, "allowOrigins", origins);
    if (kong_bool(config, "credentials", false))
        cJSON_AddTrueToObject(c, "allowCredentials");
    add_names(i, p, config, "methods", c, "allowMethods",
              "GET HEAD PUT PATCH POST DELETE OPTIONS TRACE CONNECT");
    add_names(i, p, config, "headers", c, "allowHeaders", "*");
    add_names(i, p, config, "exposed_headers", c, "exposeHeaders", "");
    if (age > 0)
        cJSON_AddNumberToObject(c, "maxAge", (double)(age > INT32_MAX ? INT32_MAX : age));
}

/* ---- answers ---- */

static const struct kong_entity *termination(struct import *i, struct import_route *r) {
    return import_plugin(i, r->e, "request-termination");
}

static void add_answer(struct import *i, struct import_route *r, cJSON *list) {
    const struct kong_entity *p = termination(i, r);
    const cJSON *config = import_plugin_config(i, p);
    struct str body = kong_text(config, "body"), message = kong_text(config, "message");
    int64_t status = kong_int(config, "status_code", 503);
    cJSON *d = filter(list, "DirectResponse", "directResponse");
    cJSON_AddNumberToObject(d, "statusCode", (double)status);
    if (status == 204 || status == 304)
        return;
    struct out o = out_heap(64 << 10);
    if (body.n > 0) {
        struct str type = kong_text(config, "content_type");
        doc_text(d, "contentType", type.n > 0 ? type : STR("application/json; charset=utf-8"));
        doc_text(d, "body", body);
    } else if (message.n > 0) {
        out_lit(&o, "{\"message\":");
        out_json(&o, message);
        out_lit(&o, "}");
        doc_text(d, "contentType", STR("application/json; charset=utf-8"));
        doc_text(d, "body", out_done(&o));
    }
    out_fini(&o);
}

/* ---- all ---- */

static void check_termination(struct import *i, struct import_route *r) {
    static const char *const known[] = {"status_code", "message", "body", "content_type", NULL};
    const struct kong_entity *p = termination(i, r);
    const cJSON *config = p ? import_plugin_config(i, p) : NULL;
    struct why why = {0};
    if (!p)
        return;
    import_unknown(i, p, config, "config.", known);
    int64_t status = kong_int(config, "status_code", 503);
    struct str type = kong_text(config, "content_type");
    if (json_get(config, "trigger"))
        import_close(i, r, import_object(i, p), STR("config.trigger"),
                     import_value(i, "trigger", json_get(config, "trigger")),
                     "some requests alone were answered: write a rule with that header or query "
                     "parameter and a DirectResponse, then open the route");
    else if (status < 200 || status > 599 ||
             (type.n > 0 && kube_rule_check(KUBE_HEADER_VALUE, type, &why) != 0) ||
             kong_text(config, "body").n > 64 << 10)
        import_close(i, r, import_object(i, p), STR("config"), STR(""),
                     "cannot be a DirectResponse (status 200 to 599, body of 64 KiB)");
}

static void check_paths(struct import *i, struct import_route *r) {
    const struct kong_entity *p = import_plugin(i, r->e, "request-transformer");
    struct str uri = said_uri(i, p), path = r->backend ? r->backend->path : STR_NONE;
    if (uri.n > 0 && (uri.n > PATH_MAX_BYTES || uri.p[0] != '/' || !path_is_canonical(uri) ||
                      str_has(uri, STR("$("))))
        import_close(i, r, import_object(i, p), STR("config.replace.uri"), uri,
                     "is a template or no plain path; write a rule for each path");
    const cJSON *m;
    size_t longest = 0;
    cJSON_ArrayForEach(m, r->prefixes) {
        size_t n = strlen(doc_get(doc_each(m, "path"), "value"));
        longest = n > longest ? n : longest;
    }
    if (path.n > 0 &&
        (path.p[0] != '/' || !path_is_canonical(path) || path.n + longest > PATH_MAX_BYTES))
        import_close(i, r, r->object, STR("service.path"), path,
                     "is no plain path; write it in its plain form");
    if (path.n > 0 && !r->strip && r->expressions->child && uri.n == 0)
        import_close(i, r, r->object, STR("service.path"), path,
                     "cannot be put before what a regular expression matched; write PathPrefixes, "
                     "or let the backend listen at the whole path");
    if (path.n > 0 && str_eq(kong_text(r->e->json, "path_handling"), STR("v1")))
        import_say(i, IMPORT_DIFFERS, r->object, STR("path_handling"), STR("v1"),
                   "paths are joined with one / between them, as in v0");
}

void import_check_filters(struct import *i, struct import_route *r) {
    check_termination(i, r);
    check_paths(i, r);
    if (!r->backend && !termination(i, r))
        import_close(i, r, r->object, STR("service"), STR(""),
                     "there is none and nothing answers; write backendRefs");
}

cJSON *import_filters(struct import *i, struct import_route *r, bool expression, struct str prefix,
                      bool *direct) {
    cJSON *list = cJSON_CreateArray();
    *direct = r->closed.n > 0 || termination(i, r);
    if (r->closed.n == 0) {
        if (!*direct) {
            add_transformer(i, r, true, list);
            add_rewrite(i, r, expression, prefix, list);
        }
        add_cors(i, r, list);
        add_transformer(i, r, false, list);
    }
    if (r->closed.n > 0) { /* perhaps only now: a transformer can be too large */
        cJSON_Delete(list);
        list = cJSON_CreateArray();
        *direct = true;
        cJSON_AddNumberToObject(filter(list, "DirectResponse", "directResponse"), "statusCode",
                                CLOSED_STATUS);
    } else if (*direct) {
        add_answer(i, r, list);
    }
    if (list->child)
        return list;
    cJSON_Delete(list);
    return NULL;
}
