/* SPDX-License-Identifier: Apache-2.0
 *
 * import_plugin: which plugins count for a route, limits, and what is done about plugins that are
 * not translated: those that only watch are named, all others close what they stood before.
 */
#include "ctl/import.h"
#include "lib/json.h"
#include "lib/mem.h"

#include <string.h>

/* ---- which count ---- */

static bool is_of_caller(const struct kong_entity *p) {
    return p->of[KONG_CONSUMER] || p->of[KONG_GROUP];
}

static struct str scope_of(struct import *i, const struct kong_entity *p) {
    if (p->of[KONG_ROUTE])
        return arena_fmt(&i->arena, "r%zu", p->of[KONG_ROUTE]->place);
    if (p->of[KONG_SERVICE])
        return arena_fmt(&i->arena, "s%zu", p->of[KONG_SERVICE]->place);
    return STR("g");
}

static const char *const known_plugin[] = {
    "config",         "protocols", "service",       "route",  "consumer",
    "consumer_group", "_config",   "instance_name", "run_on", NULL};

void import_index_plugins(struct import *i) {
    for (const struct kong_entity *p = NULL; (p = kong_next(i->kong, KONG_PLUGIN, p));) {
        if (!kong_enabled(p)) {
            import_say(i, IMPORT_NOTE, import_object(i, p), STR("enabled"), STR("false"),
                       "is switched off and left out");
            continue;
        }
        import_unknown(i, p, p->json, "", known_plugin);
        if (is_of_caller(p))
            continue;
        struct str scope = scope_of(i, p);
        struct import_plugins *node = arena_zalloc(&i->arena, sizeof(*node));
        *node = (struct import_plugins){p, map_get(&i->plugins, scope)};
        map_put(&i->plugins, scope, node);
    }
}

/* Its own, its service's, the global ones. */
static const struct import_plugins *plugins_at(struct import *i, const struct kong_entity *route,
                                               unsigned level) {
    const struct kong_entity *service = route->of[KONG_SERVICE];
    char room[32];
    struct out o = out_fixed(room, sizeof(room));
    if (level == 0)
        out_fmt(&o, "r%zu", route->place);
    else if (level == 1 && service)
        out_fmt(&o, "s%zu", service->place);
    else if (level == 1)
        return NULL;
    else
        out_char(&o, 'g');
    return map_get(&i->plugins, out_done(&o));
}

const struct kong_entity *import_plugin(struct import *i, const struct kong_entity *route,
                                        const char *name) {
    for (unsigned level = 0; level < 3; level++)
        for (const struct import_plugins *p = plugins_at(i, route, level); p; p = p->next)
            if (strcmp(p->plugin->name, name) == 0)
                return p->plugin;
    return NULL;
}

static void add_shared(cJSON *config, const cJSON *shared) {
    const cJSON *f;
    cJSON_ArrayForEach(f, shared) {
        if (!cJSON_GetObjectItemCaseSensitive(config, f->string))
            cJSON_AddItemToObject(config, f->string, cJSON_Duplicate(f, true));
    }
}

const cJSON *import_plugin_config(struct import *i, const struct kong_entity *plugin) {
    static const cJSON none = {.type = cJSON_Object};
    const char *name = doc_get(plugin->json, "_config");
    const cJSON *shared = json_get(json_get(i->kong->json, "_plugin_configs"), name);
    if (name[0] != 0 && shared) { /* once: it is put into the file's own document */
        cJSON *json = (cJSON *)(uintptr_t)plugin->json;
        cJSON *config = cJSON_GetObjectItemCaseSensitive(json, "config");
        add_shared(config ? config : cJSON_AddObjectToObject(json, "config"), shared);
    }
    const cJSON *config = json_get(plugin->json, "config");
    return config ? config : &none;
}

/* ---- rates ---- */

static const struct {
    const char *field, *per;
} windows[] = {{"second", "1s"}, {"minute", "1m"},  {"hour", "1h"},
               {"day", "24h"},   {"month", "720h"}, {"year", "8760h"}};

static const char *const known_rate[] = {"second",
                                         "minute",
                                         "hour",
                                         "day",
                                         "month",
                                         "year",
                                         "limit_by",
                                         "header_name",
                                         "path",
                                         "policy",
                                         "fault_tolerant",
                                         "hide_client_headers",
                                         "redis",
                                         "redis_host",
                                         "redis_port",
                                         "redis_password",
                                         "redis_username",
                                         "redis_database",
                                         "redis_ssl",
                                         "redis_ssl_verify",
                                         "redis_server_name",
                                         "redis_timeout",
                                         "error_code",
                                         "error_message",
                                         "sync_rate",
                                         NULL};

static void add_scope(struct import *i, const struct kong_entity *plugin, const cJSON *config,
                      cJSON *to) {
    struct str policy = kong_text(config, "policy");
    bool local = policy.n == 0 || str_eq(policy, STR("local"));
    cJSON_AddStringToObject(to, "scope", local ? "Local" : "Fleet");
    if (!local)
        cJSON_AddStringToObject(to, "onError",
                                kong_bool(config, "fault_tolerant", true) ? "Allow" : "Deny");
    if (str_eq(policy, STR("redis")))
        import_say(i, IMPORT_NOTE, import_object(i, plugin), STR("policy"), policy,
                   "write its address into GatewayConfig rateLimitStore; without a store the "
                   "controller hands out shares");
}

static void say_rate(struct import *i, const struct kong_entity *plugin, const cJSON *config) {
    struct str object = import_object(i, plugin);
    import_unknown(i, plugin, config, "config.", known_rate);
    import_say(i, IMPORT_DIFFERS, object, STR("config"), STR(""),
               "counts in a sliding window, not by the clock; the headers are RateLimit, not "
               "X-RateLimit-*");
    if (json_get(config, "error_code") || json_get(config, "error_message"))
        import_say(i, IMPORT_LOST, object, STR("config.error_code"), STR(""), "the answer is 429");
    if (!plugin->of[KONG_ROUTE] && !is_of_caller(plugin))
        import_say(i, IMPORT_DIFFERS, object, STR("config"), STR(""),
                   "Kong counts all its routes together, here each Route is counted apart; lower "
                   "the limits if that matters");
}

static void add_key(cJSON *limit, const char *by, struct str name) {
    cJSON *key = doc_item(doc_list(limit, "keys"));
    cJSON_AddStringToObject(key, "by", by);
    doc_text(key, "name", name);
}

static void add_keys(struct import *i, const struct kong_entity *plugin, const cJSON *config,
                     bool authenticated, cJSON *limit) {
    struct str by = kong_text(config, "limit_by");
    if (by.n == 0 || str_eq(by, STR("consumer")) || str_eq(by, STR("credential")))
        add_key(limit, authenticated ? "consumer" : "address", STR_NONE);
    else if (str_eq(by, STR("ip")))
        add_key(limit, "address", STR_NONE);
    else if (str_eq(by, STR("header")) && import_fits(KUBE_SHORT, kong_text(config, "header_name")))
        add_key(limit, "header", kong_text(config, "header_name"));
    else if (!str_eq(by, STR("service")) && !str_eq(by, STR("path")))
        import_say(i, IMPORT_DIFFERS, import_object(i, plugin), STR("config.limit_by"), by,
                   "all callers are counted together");
    if (str_eq(by, STR("path")))
        import_say(i, IMPORT_DIFFERS, import_object(i, plugin), STR("config.path"),
                   kong_text(config, "path"),
                   "the whole Route is counted; give that path a rule and a TrafficPolicy of its "
                   "own");
    if (str_eq(by, STR("credential")))
        import_say(i, IMPORT_DIFFERS, import_object(i, plugin), STR("config.limit_by"), by,
                   "all credentials of a Consumer are counted together");
}

static int64_t window_of(const cJSON *config, size_t w) {
    int64_t n = kong_int(config, windows[w].field, 0);
    return n > INT32_MAX ? INT32_MAX : n;
}

static cJSON *rates_of(struct import *i, const struct kong_entity *plugin, bool authenticated) {
    const cJSON *config = import_plugin_config(i, plugin);
    cJSON *list = cJSON_CreateArray();
    say_rate(i, plugin, config);
    for (size_t w = 0; w < ARRAY_LEN(windows); w++) {
        if (window_of(config, w) < 1)
            continue;
        cJSON *limit = doc_item(list);
        cJSON_AddStringToObject(limit, "name", windows[w].field);
        add_keys(i, plugin, config, authenticated, limit);
        cJSON_AddNumberToObject(limit, "requests", (double)window_of(config, w));
        cJSON_AddStringToObject(limit, "per", windows[w].per);
        cJSON_AddStringToObject(limit, "algorithm", "SlidingWindow");
        add_scope(i, plugin, config, limit);
    }
    return list;
}

/* A Consumer has one quota: the one over the longest time. */
cJSON *import_quota(struct import *i, const struct kong_entity *plugin) {
    const cJSON *config = import_plugin_config(i, plugin);
    cJSON *quota = NULL;
    say_rate(i, plugin, config);
    for (size_t w = ARRAY_LEN(windows); w > 0; w--) {
        int64_t n = window_of(config, w - 1);
        if (n < 1)
            continue;
        if (quota) {
            import_say(i, IMPORT_LOST, import_object(i, plugin),
                       arena_fmt(&i->arena, "config.%s", windows[w - 1].field),
                       arena_fmt(&i->arena, "%lld", (long long)n),
                       "a Consumer has one rateLimit, and the longest time was taken; put the "
                       "others into rateLimits of a TrafficPolicy");
            continue;
        }
        quota = cJSON_CreateObject();
        cJSON_AddNumberToObject(quota, "requests", (double)n);
        cJSON_AddStringToObject(quota, "per", windows[w - 1].per);
        cJSON_AddStringToObject(quota, "algorithm", "SlidingWindow");
        add_scope(i, plugin, config, quota);
    }
    if (quota)
        import_say(i, IMPORT_DIFFERS, import_object(i, plugin), STR("config"), STR(""),
                   "rateLimit of the Consumer counts beside the limits of Routes, not instead of "
                   "them");
    return quota;
}

static struct str body_limit(struct import *i, const struct kong_entity *plugin) {
    static const char *const known[] = {"allowed_payload_size", "size_unit", NULL};
    const cJSON *config = import_plugin_config(i, plugin);
    struct str unit = kong_text(config, "size_unit");
    int64_t n = kong_int(config, "allowed_payload_size", 128);
    import_unknown(i, plugin, config, "config.", known);
    n = n > 1 << 30 ? 1 << 30 : n;
    const char *suffix = str_eq(unit, STR("bytes"))       ? ""
                         : str_eq(unit, STR("kilobytes")) ? "Ki"
                                                          : "Mi";
    return arena_fmt(&i->arena, "%lld%s", (long long)(n < 1 ? 1 : n), suffix);
}

void import_traffic(struct import *i, struct import_route *r, const cJSON *routes,
                    bool authenticated) {
    const struct kong_entity *rates = import_plugin(i, r->e, "rate-limiting");
    const struct kong_entity *size = import_plugin(i, r->e, "request-size-limiting");
    const cJSON *name;
    if ((!rates && !size) || r->closed.n > 0)
        return;
    struct str first = str_of(routes->child->valuestring);
    struct str own = import_name(i, KUBE_TrafficPolicy, i->namespace, first);
    cJSON *spec = import_spec(import_doc(i, KUBE_TrafficPolicy, i->namespace, own, r->e));
    cJSON *refs = doc_list(spec, "targetRefs");
    cJSON_ArrayForEach(name, routes) {
        cJSON *ref = doc_item(refs);
        cJSON_AddStringToObject(ref, "group", "sluice.dev");
        cJSON_AddStringToObject(ref, "kind", "Route");
        cJSON_AddStringToObject(ref, "name", name->valuestring);
    }
    if (rates)
        cJSON_AddItemToObject(spec, "rateLimits", rates_of(i, rates, authenticated));
    if (size)
        doc_text(spec, "bodyLimit", body_limit(i, size));
}

/* ---- what is not translated ---- */

/* Plugins that let every request pass, and what there is instead. */
static const struct {
    const char *name;
    enum import_kind kind;
    const char *instead;
} harmless[] = {
    {"prometheus", IMPORT_NOTE, "is built in: /metrics of every proxy (docs/reference/metrics.md)"},
    {"file-log", IMPORT_NOTE, "is built in: the access log on standard output, as JSON"},
    {"correlation-id", IMPORT_NOTE,
     "is built in: x-request-id is made, forwarded and logged; another header name is not"},
    {"http-log", IMPORT_LOST, "collect the access log from standard output"},
    {"tcp-log", IMPORT_LOST, "collect the access log from standard output"},
    {"udp-log", IMPORT_LOST, "collect the access log from standard output"},
    {"syslog", IMPORT_LOST, "collect the access log from standard output"},
    {"loggly", IMPORT_LOST, "collect the access log from standard output"},
    {"statsd", IMPORT_LOST, "scrape /metrics of every proxy"},
    {"datadog", IMPORT_LOST, "scrape /metrics of every proxy"},
    {"zipkin", IMPORT_LOST,
     "write GatewayConfig spec.tracing: spans go to a collector by OTLP/HTTP"},
    {"opentelemetry", IMPORT_LOST,
     "write GatewayConfig spec.tracing: spans go to a collector by OTLP/HTTP"},
    {"proxy-cache", IMPORT_LOST, "every request reaches the backend"},
};

static const char *const translated[] = {"key-auth",
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

static bool is_translated(const char *name) {
    for (size_t t = 0; t < ARRAY_LEN(translated); t++)
        if (strcmp(translated[t], name) == 0)
            return true;
    return false;
}

static bool say_harmless(struct import *i, const struct kong_entity *p) {
    for (size_t h = 0; h < ARRAY_LEN(harmless); h++)
        if (strcmp(harmless[h].name, p->name) == 0) {
            import_say(i, harmless[h].kind, import_object(i, p), STR("name"), str_of(p->name), "%s",
                       harmless[h].instead);
            return true;
        }
    return false;
}

static const char *advice_for(const char *plugin) {
    static const struct {
        const char *plugin, *advice;
    } all[] = {
        {"openid-connect", "write an AuthPolicy with a method oidc or jwt"},
        {"oauth2", "write an AuthPolicy with a method jwt or introspection for its server"},
        {"oauth2-introspection", "write an AuthPolicy with a method introspection"},
        {"ldap-auth", "write an AuthPolicy with a method external and a service that asks LDAP"},
        {"ldap-auth-advanced",
         "write an AuthPolicy with a method external and a service that asks LDAP"},
        {"opa", "write an AuthPolicy with a method external in front of OPA (GRPC or HTTP)"},
        {"mtls-auth", "write an AuthPolicy with a method clientCertificate"},
        {"key-auth-enc", "write an AuthPolicy with a method apiKey"},
        {"jwt-signer", "write an AuthPolicy with a method jwt and identity.token"},
        {"rate-limiting-advanced", "write rateLimits of a TrafficPolicy"},
        {"response-ratelimiting", "write rateLimits of a TrafficPolicy"},
        {"filter_chains", "filters in WebAssembly are not run"},
    };
    for (size_t a = 0; a < ARRAY_LEN(all); a++)
        if (strcmp(all[a].plugin, plugin) == 0)
            return all[a].advice;
    return "is not known here and may deny; write what it did, then open the route";
}

void import_other_plugins(struct import *i, struct import_route *r) {
    for (unsigned level = 0; level < 3; level++)
        for (const struct import_plugins *p = plugins_at(i, r->e, level); p; p = p->next)
            if (!is_translated(p->plugin->name) && !say_harmless(i, p->plugin))
                import_close(i, r, import_object(i, p->plugin), STR(""), STR(""), "%s",
                             advice_for(p->plugin->name));
}

/* Of a filter in front of a route: whether it may refuse somebody. */
static bool restricts(const char *plugin) {
    static const char *const open[] = {"rate-limiting", "cors", "request-transformer",
                                       "response-transformer", "request-size-limiting"};
    for (size_t o = 0; o < ARRAY_LEN(open); o++)
        if (strcmp(open[o], plugin) == 0)
            return false;
    for (size_t h = 0; h < ARRAY_LEN(harmless); h++)
        if (strcmp(harmless[h].name, plugin) == 0)
            return false;
    return true;
}

bool import_is_stricter(struct import *i, const struct kong_entity *a,
                        const struct kong_entity *b) {
    for (unsigned level = 0; level < 3; level++)
        for (const struct import_plugins *p = plugins_at(i, a, level); p; p = p->next)
            if (restricts(p->plugin->name) && import_plugin(i, a, p->plugin->name) == p->plugin &&
                import_plugin(i, b, p->plugin->name) != p->plugin)
                return true;
    return false;
}

/* ---- of callers ---- */

static bool is_member(struct import *i, const struct kong_entity *consumer,
                      const struct kong_entity *group) {
    const cJSON *ref;
    cJSON_ArrayForEach(ref, json_get(consumer->json, "groups")) {
        if (kong_ref(i->kong, KONG_GROUP, ref) == group)
            return true;
    }
    cJSON_ArrayForEach(ref, json_get(group->json, "consumers")) {
        if (kong_ref(i->kong, KONG_CONSUMER, ref) == consumer)
            return true;
    }
    return false;
}

/* Whether it can do no harm that this plugin of a caller is left out. */
static bool may_be_left_out(struct import *i, const struct kong_entity *p) {
    static const struct {
        const char *name, *instead;
    } lost[] = {
        {"rate-limiting", "write rateLimits with groups, or rateLimit of the Consumer"},
        {"rate-limiting-advanced", "write rateLimits with groups in a TrafficPolicy"},
        {"cors", "filters do not look at the caller"},
        {"request-transformer", "filters do not look at the caller"},
        {"response-transformer", "filters do not look at the caller"},
        {"request-size-limiting", "bodyLimit does not look at the caller"},
    };
    if (say_harmless(i, p))
        return true;
    for (size_t l = 0; l < ARRAY_LEN(lost); l++)
        if (strcmp(lost[l].name, p->name) == 0) {
            import_say(i, IMPORT_LOST, import_object(i, p), STR("name"), str_of(p->name), "%s",
                       lost[l].instead);
            return true;
        }
    return false;
}

bool import_disables(struct import *i, const struct kong_entity *consumer) {
    bool disabled = false;
    for (const struct kong_entity *p = NULL; (p = kong_next(i->kong, KONG_PLUGIN, p));) {
        bool own = p->of[KONG_CONSUMER] == consumer;
        bool quota = own && strcmp(p->name, "rate-limiting") == 0 && !p->of[KONG_ROUTE] &&
                     !p->of[KONG_SERVICE];
        if (!kong_enabled(p) || quota ||
            !(own || (p->of[KONG_GROUP] && is_member(i, consumer, p->of[KONG_GROUP]))))
            continue;
        if (may_be_left_out(i, p))
            continue;
        disabled = true;
        if (strcmp(p->name, "request-termination") == 0) {
            import_say(i, IMPORT_NOTE, import_object(i, p), STR("name"), str_of(p->name),
                       "is kept by disabling the Consumer: it gets 401 everywhere");
            continue;
        }
        import_say(i, IMPORT_CLOSED, import_object(i, consumer), import_object(i, p), STR(""),
                   "may deny this caller, so its Consumer is disabled; %s", advice_for(p->name));
    }
    return disabled;
}
