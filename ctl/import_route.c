/* SPDX-License-Identifier: Apache-2.0
 *
 * import_route: a route of Kong is a Route, or several when it has more than 64 hosts. Its rules
 * differ in how the path is rewritten alone.
 */
#include "ctl/import.h"
#include "lib/json.h"
#include "lib/mem.h"

#include <string.h>

static const char *const known[] = {"hosts",
                                    "paths",
                                    "methods",
                                    "headers",
                                    "snis",
                                    "protocols",
                                    "strip_path",
                                    "preserve_host",
                                    "regex_priority",
                                    "path_handling",
                                    "https_redirect_status_code",
                                    "request_buffering",
                                    "response_buffering",
                                    "service",
                                    "plugins",
                                    "filter_chains",
                                    "expression",
                                    "priority",
                                    "sources",
                                    "destinations",
                                    NULL};

/* ---- protocols ---- */

struct spoken {
    bool http, https, stream;
};

static struct spoken protocols_of(const struct kong_entity *e) {
    const cJSON *item, *said = kong_texts(e->json, "protocols");
    struct spoken s = {.http = !said, .https = !said};
    cJSON_ArrayForEach(item, said) {
        const char *p = item->valuestring;
        if (strcmp(p, "http") == 0 || strcmp(p, "grpc") == 0 || strcmp(p, "ws") == 0)
            s.http = true;
        else if (strcmp(p, "https") == 0 || strcmp(p, "grpcs") == 0 || strcmp(p, "wss") == 0)
            s.https = true;
        else
            s.stream = true;
    }
    return s;
}

bool import_is_served(struct import *i, const struct kong_entity *e) {
    struct import_backend *b = import_backend_of(i, e->of[KONG_SERVICE]);
    return !protocols_of(e).stream && kong_text(e->json, "expression").n == 0 &&
           !(b && b->disabled);
}

static void say_stream(struct import *i, struct import_route *r) {
    const cJSON *protocols = json_get(r->e->json, "protocols");
    const cJSON *ref = r->backend ? r->backend->refs->child : NULL;
    struct str namespace = str_of(doc_get(ref, "namespace"));
    bool through = strstr(import_value(i, "protocols", protocols).p, "passthrough");
    import_say(
        i, IMPORT_LOST, r->object, STR("protocols"), import_value(i, "protocols", protocols),
        "add a listener to the GatewayConfig: {protocol: %s, port: ..., backendRef: {namespace: "
        "%.*s, name: %s, port: %d}}%s",
        through ? "TLS, tls: {mode: Passthrough}" : "TCP",
        STR_FMT(namespace.n > 0 ? namespace : i->namespace), doc_get(ref, "name"),
        (int)doc_number(ref, "port"), through ? "" : "; TLS is not terminated for it");
}

static void add_tls(struct import *i, struct import_route *r, cJSON *spec) {
    struct spoken s = protocols_of(r->e);
    int64_t code = kong_int(r->e->json, "https_redirect_status_code", 426);
    cJSON *refs = s.https ? import_certificates_for(i, r->hostnames) : NULL;
    if (!s.https)
        import_say(i, IMPORT_DIFFERS, r->object, STR("protocols"), STR("http"),
                   "an https listener with a certificate for the host answers too");
    if (!refs && s.http)
        return;
    cJSON *tls = cJSON_AddObjectToObject(spec, "tls");
    i->has_https = true;
    if (refs)
        cJSON_AddItemToObject(tls, "certificateRefs", refs);
    if (s.http)
        return;
    cJSON_AddTrueToObject(tls, "redirect");
    if (code != 308)
        import_say(i, IMPORT_DIFFERS, r->object, STR("https_redirect_status_code"),
                   arena_fmt(&i->arena, "%lld", (long long)code),
                   "plain requests are sent to https with 308");
}

/* ---- rules ---- */

static struct str duration(struct import *i, int64_t ms) {
    char room[64];
    struct out o = out_fixed(room, sizeof(room));
    int64_t most = 24 * 3600 * 1000;
    ms = ms > most ? most : ms;
    if (ms >= 3600000)
        out_fmt(&o, "%lldh", (long long)(ms / 3600000));
    if (ms % 3600000 >= 60000)
        out_fmt(&o, "%lldm", (long long)(ms % 3600000 / 60000));
    if (ms % 60000 >= 1000)
        out_fmt(&o, "%llds", (long long)(ms % 60000 / 1000));
    if (ms % 1000 > 0)
        out_fmt(&o, "%lldms", (long long)(ms % 1000));
    return arena_str(&i->arena, out_done(&o));
}

static void add_patience(struct import *i, struct import_route *r, cJSON *rule) {
    const cJSON *service = r->backend->service->json;
    int64_t connect = kong_int(service, "connect_timeout", 0);
    int64_t idle = kong_int(service, "read_timeout", 0);
    int64_t retries = kong_int(service, "retries", -1);
    if (connect > 0 || idle > 0) {
        cJSON *t = cJSON_AddObjectToObject(rule, "timeouts");
        if (connect > 0)
            doc_text(t, "connect", duration(i, connect));
        if (idle > 0)
            doc_text(t, "idle", duration(i, idle));
    }
    if (kong_int(service, "write_timeout", 60000) != 60000)
        import_say(i, IMPORT_LOST, import_object(i, r->backend->service), STR("write_timeout"),
                   import_value(i, "write_timeout", json_get(service, "write_timeout")),
                   "timeouts.request bounds the whole request");
    if (retries < 0)
        return;
    cJSON_AddNumberToObject(cJSON_AddObjectToObject(rule, "retry"), "attempts",
                            (double)(retries > 10 ? 10 : retries));
    import_say(i, IMPORT_DIFFERS, import_object(i, r->backend->service), STR("retries"), STR(""),
               "a failed connect is tried again; a request that was sent is, only with "
               "retry.codes%s",
               retries > 10 ? "; at most 10 times" : "");
}

static void add_rule(struct import *i, struct import_route *r, cJSON *rules, cJSON *matches,
                     bool expression, struct str prefix) {
    bool direct;
    cJSON *rule = doc_item(rules);
    cJSON_AddItemToObject(rule, "matches", matches);
    cJSON *filters = import_filters(i, r, expression, prefix, &direct);
    if (filters)
        cJSON_AddItemToObject(rule, "filters", filters);
    if (direct || !r->backend)
        return;
    add_patience(i, r, rule);
    cJSON_AddItemToObject(rule, "backendRefs", cJSON_Duplicate(r->backend->refs, true));
}

/* Takes at most `most` matches from the list; of one path when apart. */
static cJSON *next_matches(cJSON *list, bool apart, struct str *prefix) {
    cJSON *some = cJSON_CreateArray();
    *prefix = str_of(doc_get(doc_each(list->child, "path"), "value"));
    while (list->child && cJSON_GetArraySize(some) < IMPORT_MATCHES &&
           (!apart || str_eq(str_of(doc_get(doc_each(list->child, "path"), "value")), *prefix)))
        cJSON_AddItemToArray(some, cJSON_DetachItemViaPointer(list, list->child));
    return some;
}

static void add_guards(struct import_route *r, cJSON *rules) {
    struct str prefix;
    while (r->guards->child) {
        cJSON *rule = doc_item(rules);
        cJSON_AddItemToObject(rule, "matches", next_matches(r->guards, false, &prefix));
        cJSON *f = doc_item(doc_list(rule, "filters"));
        cJSON_AddStringToObject(f, "type", "DirectResponse");
        cJSON_AddNumberToObject(cJSON_AddObjectToObject(f, "directResponse"), "statusCode", 404);
    }
}

static cJSON *rules_of(struct import *i, struct import_route *r) {
    cJSON *rules = cJSON_CreateArray();
    bool apart = r->backend && r->backend->path.n > 0 && !r->strip;
    struct str prefix;
    while (r->prefixes->child) {
        cJSON *matches = next_matches(r->prefixes, apart, &prefix);
        bool one = apart || !matches->child->next;
        prefix = arena_str(&i->arena, prefix);
        add_rule(i, r, rules, matches, false, one ? prefix : STR_NONE);
    }
    while (r->expressions->child)
        add_rule(i, r, rules, next_matches(r->expressions, false, &prefix), true, STR_NONE);
    add_guards(r, rules);
    return rules;
}

/* ---- Routes ---- */

static struct str wanted_name(struct import *i, const struct kong_entity *e) {
    const struct kong_entity *service = e->of[KONG_SERVICE];
    if (e->name[0] != 0)
        return str_of(e->name);
    return arena_fmt(&i->arena, "%s-route", service ? service->name : "kong");
}

static void add_hostnames(struct import_route *r, cJSON *spec) {
    cJSON *some = r->hostnames ? doc_list(spec, "hostnames") : NULL;
    for (int n = 0; some && r->hostnames->child && n < IMPORT_HOSTS; n++)
        cJSON_AddItemToArray(some, cJSON_DetachItemViaPointer(r->hostnames, r->hostnames->child));
}

static void emit_one(struct import *i, struct import_route *r, struct str policy,
                     const cJSON *rules, cJSON *names) {
    struct str name = import_name(i, KUBE_Route, i->namespace, wanted_name(i, r->e));
    cJSON *doc = import_doc(i, KUBE_Route, i->namespace, name, r->e);
    import_annotate(doc, "sluice.dev/kong-closed", r->closed);
    cJSON *spec = import_spec(doc);
    doc_text(spec, "ingressClassName", i->class);
    struct import_route part = *r;
    add_hostnames(r, spec);
    part.hostnames = cJSON_GetObjectItemCaseSensitive(spec, "hostnames");
    add_tls(i, &part, spec);
    if (policy.n > 0 && r->closed.n == 0)
        doc_text(cJSON_AddObjectToObject(cJSON_AddObjectToObject(spec, "auth"), "policyRef"),
                 "name", policy);
    cJSON_AddItemToObject(spec, "rules", cJSON_Duplicate(rules, true));
    import_text_item(names, name);
}

static void emit(struct import *i, struct import_route *r, struct str policy) {
    cJSON *rules = rules_of(i, r), *names = cJSON_CreateArray();
    int n = cJSON_GetArraySize(rules);
    if (n == 0 || n > IMPORT_RULES) {
        import_say(i, IMPORT_CLOSED, r->object, STR("paths"), arena_fmt(&i->arena, "%d rules", n),
                   n == 0 ? "none of its paths can be written, so there is no Route"
                          : "a Route has at most 256 rules, so there is none; split the route");
    } else {
        do {
            emit_one(i, r, policy, rules, names);
        } while (r->hostnames && r->hostnames->child);
        import_traffic(i, r, names, r->authenticated);
    }
    cJSON_Delete(rules);
    cJSON_Delete(names);
}

/* What is no condition on requests here. */
static void check(struct import *i, struct import_route *r) {
    const cJSON *json = r->e->json;
    static const char *const conditions[] = {"sources", "destinations"};
    import_unknown(i, r->e, json, "", known);
    for (size_t c = 0; c < ARRAY_LEN(conditions); c++)
        if (json_get(json, conditions[c]) && json_get(json, conditions[c])->child)
            import_close(i, r, r->object, str_of(conditions[c]), STR("{...}"),
                         "addresses are no condition of a rule; write an AuthPolicy with cidrs");
    if (cJSON_IsFalse(json_get(json, "request_buffering")) ||
        cJSON_IsFalse(json_get(json, "response_buffering")))
        import_say(i, IMPORT_NOTE, r->object, STR("request_buffering, response_buffering"),
                   STR("false"), "bodies are always streamed");
    if (r->backend && r->backend->closed.n > 0)
        import_close(i, r, r->object, r->backend->closed, STR(""), "its service cannot be called");
}

/* An open route may not take what a closed one had. */
static void check_order(struct import *i, struct import_route *r) {
    const struct kong_entity *other = i->outranked[r->e->place];
    if (other)
        import_close(i, r, r->object, STR("order"), STR(""),
                     "it would get requests that Kong gives to %.*s, which restricts access in "
                     "another way: give both the same policy, or paths that do not meet",
                     STR_FMT(import_object(i, other)));
}

static void translate(struct import *i, struct import_route *r) {
    check(i, r);
    import_match(i, r);
    if (r->nowhere) {
        import_say(i, IMPORT_CLOSED, r->object, STR("hosts"), STR(""),
                   "none of its hosts can be written, so there is no Route");
        return;
    }
    import_other_plugins(i, r);
    import_check_filters(i, r);
    check_order(i, r);
    struct str policy = r->closed.n == 0 ? import_auth(i, r) : STR_NONE;
    import_guard(i, r);
    emit(i, r, policy);
}

static void route(struct import *i, const struct kong_entity *e) {
    struct import_route r = {.e = e, .object = import_object(i, e)};
    r.backend = import_backend_of(i, e->of[KONG_SERVICE]);
    struct spoken s = protocols_of(e);
    if (r.backend && r.backend->disabled)
        import_say(i, IMPORT_NOTE, r.object, STR("service"), str_of(e->of[KONG_SERVICE]->name),
                   "is switched off (enabled: false), so its routes are left out");
    else if (kong_text(e->json, "expression").n > 0)
        import_say(
            i, IMPORT_CLOSED, r.object, STR("expression"), kong_text(e->json, "expression"),
            "expressions are not read, so there is no Route; write hosts, paths and methods");
    else if (s.stream)
        say_stream(i, &r);
    else
        translate(i, &r);
    cJSON_Delete(r.hostnames);
    cJSON_Delete(r.headers);
    cJSON_Delete(r.prefixes);
    cJSON_Delete(r.expressions);
    cJSON_Delete(r.guards);
}

void import_routes(struct import *i) {
    for (const struct kong_entity *e = NULL; (e = kong_next(i->kong, KONG_ROUTE, e));)
        route(i, e);
}
