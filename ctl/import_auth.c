/* SPDX-License-Identifier: Apache-2.0
 *
 * import_auth: an AuthPolicy of the plugins that ask who it is (jwt, key-auth, basic-auth,
 * hmac-auth) and of those that say who may (acl, ip-restriction). Routes for which all of it is the
 * same share one.
 *
 *   plugins                        here
 *   one                            require: Any
 *   several                        require: All
 *   all with the same anonymous    require: Any, and anonymous as the last method
 *   some with anonymous            require: All, and those are optional
 *
 * Plugins of Kong run in the order of their priority, whatever the file says; so do the methods.
 */
#include "ctl/import.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/units.h"

#include <string.h>

enum { METHODS_MAX = 16, FROM_MAX = 8, LIST_MAX = 64, RULES_MAX = 256, COMPONENTS_MAX = 32 };

static const char *const asking[] = {"jwt", "key-auth", "basic-auth", "hmac-auth"};
enum { ASKING = ARRAY_LEN(asking) };

/* An AuthPolicy on its way. */
struct policy {
    struct import *i;
    struct import_route *r;
    const struct kong_entity *asks[ASKING]; /* NULL: not that one */
    unsigned n_asks, n_anonymous;
    const struct kong_entity *acl, *ip;
    const struct kong_entity *anonymous; /* consumer; NULL: none, or nobody passes as it */
    cJSON *spec, *methods;
};

/* ---- methods ---- */

static cJSON *method(struct policy *p, const char *name, const char *part) {
    cJSON *m = doc_item(p->methods);
    cJSON_AddStringToObject(m, "name", name);
    return cJSON_AddObjectToObject(m, part);
}

/* A place that a key can be in. */
static void add_source(struct policy *p, const struct kong_entity *e, cJSON *from,
                       const char *where, const char *name) {
    enum kube_rule rule = strcmp(where, "header") == 0 ? KUBE_HEADER : KUBE_SHORT;
    if (cJSON_GetArraySize(from) < FROM_MAX && import_fits(rule, str_of(name)))
        cJSON_AddStringToObject(doc_item(from), where, name);
    else
        import_say(p->i, IMPORT_LOST, import_object(p->i, e), STR("config.key_names"), str_of(name),
                   "is no name of a %s, or the ninth place; keys there are not looked at", where);
}

static void add_api_key(struct policy *p, const struct kong_entity *e) {
    static const char *const known[] = {"key_names",        "key_in_header", "key_in_query",
                                        "key_in_body",      "anonymous",     "hide_credentials",
                                        "run_on_preflight", "realm",         NULL};
    const cJSON *config = import_plugin_config(p->i, e), *name;
    const cJSON *names = kong_texts(config, "key_names");
    bool header = kong_bool(config, "key_in_header", true);
    bool query = kong_bool(config, "key_in_query", true);
    import_unknown(p->i, e, config, "config.", known);
    if (kong_bool(config, "key_in_body", false))
        import_say(p->i, IMPORT_LOST, import_object(p->i, e), STR("config.key_in_body"),
                   STR("true"), "a key in the body is not looked for; let clients send a header");
    cJSON *from = doc_list(method(p, "key-auth", "apiKey"), "from");
    if (!names && header)
        add_source(p, e, from, "header", "apikey");
    if (!names && query)
        add_source(p, e, from, "query", "apikey");
    cJSON_ArrayForEach(name, names) {
        if (header)
            add_source(p, e, from, "header", name->valuestring);
        if (query)
            add_source(p, e, from, "query", name->valuestring);
    }
    if (!from->child)
        import_close(p->i, p->r, import_object(p->i, e), STR("config"), STR(""),
                     "no key could be shown; write where it is in apiKey.from");
}

static void add_basic(struct policy *p, const struct kong_entity *e) {
    static const char *const known[] = {"anonymous", "hide_credentials", "run_on_preflight",
                                        "realm", NULL};
    const cJSON *config = import_plugin_config(p->i, e);
    import_unknown(p->i, e, config, "config.", known);
    struct str realm = kong_text(config, "realm");
    cJSON *basic = method(p, "basic-auth", "basic");
    if (import_fits(KUBE_SHORT, realm))
        doc_text(basic, "realm", realm);
}

static void add_algorithms(struct policy *p, const struct kong_entity *e, const cJSON *config,
                           cJSON *hmac) {
    static const char *const ours[] = {"hmac-sha256", "hmac-sha384", "hmac-sha512"};
    const cJSON *item, *said = kong_texts(config, "algorithms");
    cJSON *list = doc_list(hmac, "algorithms");
    bool sha1 = !said;
    for (size_t a = 0; a < ARRAY_LEN(ours); a++) {
        bool in = !said;
        cJSON_ArrayForEach(item, said) {
            in |= strcmp(item->valuestring, ours[a]) == 0;
            sha1 |= strcmp(item->valuestring, "hmac-sha1") == 0;
        }
        if (in)
            import_text_item(list, str_of(ours[a]));
    }
    if (sha1)
        import_say(p->i, IMPORT_DIFFERS, import_object(p->i, e), STR("config.algorithms"),
                   STR("hmac-sha1"),
                   "is not accepted; clients sign with hmac-sha256, or write it in algorithms");
    if (!list->child)
        import_close(p->i, p->r, import_object(p->i, e), STR("config.algorithms"), STR(""),
                     "none of them is accepted; clients sign with hmac-sha256");
}

static void add_components(struct policy *p, const struct kong_entity *e, const cJSON *config,
                           cJSON *hmac) {
    const cJSON *item, *said = kong_texts(config, "enforce_headers");
    if (!said) {
        import_say(p->i, IMPORT_DIFFERS, import_object(p->i, e), STR("config.enforce_headers"),
                   STR(""),
                   "method, host, path and query must be signed; write components for less");
        return;
    }
    cJSON *list = doc_list(hmac, "components");
    cJSON_ArrayForEach(item, said) {
        if (!import_fits(KUBE_SHORT, str_of(item->valuestring)) ||
            cJSON_GetArraySize(list) > COMPONENTS_MAX - 2)
            import_close(p->i, p->r, import_object(p->i, e), STR("config.enforce_headers"),
                         str_of(item->valuestring),
                         "is no header, or there are more than 32; write components");
        bool line = strcmp(item->valuestring, "request-line") == 0;
        if (line)
            import_text_item(list, STR("@method"));
        import_text_item(list, line ? STR("@request-target") : str_of(item->valuestring));
    }
}

static void add_hmac(struct policy *p, const struct kong_entity *e) {
    static const char *const known[] = {
        "anonymous",       "hide_credentials",      "clock_skew", "algorithms",
        "enforce_headers", "validate_request_body", "realm",      NULL};
    const cJSON *config = import_plugin_config(p->i, e);
    import_unknown(p->i, e, config, "config.", known);
    cJSON *hmac = method(p, "hmac-auth", "hmac");
    cJSON_AddStringToObject(hmac, "profile", "Kong");
    add_algorithms(p, e, config, hmac);
    add_components(p, e, config, hmac);
    int64_t skew = kong_int(config, "clock_skew", 300);
    if (skew >= 1 && skew <= 86400)
        doc_text(hmac, "clockSkew", arena_fmt(&p->i->arena, "%llds", (long long)skew));
    else
        import_say(p->i, IMPORT_DIFFERS, import_object(p->i, e), STR("config.clock_skew"),
                   arena_fmt(&p->i->arena, "%lld", (long long)skew),
                   "is 5m: it must be from a second to a day");
    cJSON_AddStringToObject(
        hmac, "digest", kong_bool(config, "validate_request_body", false) ? "Require" : "Ignore");
}

static void add_methods(struct policy *p) {
    static void (*const adders[])(struct policy * p, const struct kong_entity *e) = {
        NULL, add_api_key, add_basic, add_hmac};
    for (unsigned a = 0; a < ASKING; a++) {
        int before = cJSON_GetArraySize(p->methods);
        if (!p->asks[a])
            continue;
        if (adders[a])
            adders[a](p, p->asks[a]);
        else
            import_jwt_methods(p->i, p->r, p->asks[a], p->methods);
        const cJSON *config = import_plugin_config(p->i, p->asks[a]);
        bool optional = p->n_anonymous > 0 && p->n_anonymous < p->n_asks &&
                        kong_text(config, "anonymous").n > 0;
        for (cJSON *m = cJSON_GetArrayItem(p->methods, before); m && optional; m = m->next)
            cJSON_AddTrueToObject(m, "optional");
        if (cJSON_IsFalse(json_get(config, "run_on_preflight")))
            import_say(p->i, IMPORT_DIFFERS, import_object(p->i, p->asks[a]),
                       STR("config.run_on_preflight"), STR("false"),
                       "preflights pass only where a CORS filter answers them");
    }
}

/* ---- anonymous ---- */

static bool is_terminated(struct import *i, const struct kong_entity *consumer) {
    for (const struct kong_entity *e = NULL; (e = kong_next(i->kong, KONG_PLUGIN, e));)
        if (e->of[KONG_CONSUMER] == consumer && kong_enabled(e) &&
            strcmp(e->name, "request-termination") == 0)
            return true;
    return false;
}

static void take_anonymous(struct policy *p) {
    for (unsigned a = 0; a < ASKING; a++) {
        struct str name =
            p->asks[a] ? kong_text(import_plugin_config(p->i, p->asks[a]), "anonymous") : STR_NONE;
        if (name.n == 0)
            continue;
        const struct kong_entity *e = kong_find(p->i->kong, KONG_CONSUMER, name);
        p->n_anonymous++;
        if (!e || (p->anonymous && p->anonymous != e))
            import_close(
                p->i, p->r, import_object(p->i, p->asks[a]), STR("config.anonymous"), name,
                e ? "is another one than that of another plugin; write one method anonymous"
                  : "is no consumer of this file; write the method anonymous");
        p->anonymous = e;
    }
}

static void add_anonymous(struct policy *p) {
    struct import *i = p->i;
    if (p->n_anonymous == 0 || p->n_anonymous < p->n_asks || !p->anonymous)
        return;
    struct str name = i->consumers[p->anonymous->place];
    import_say(i, IMPORT_DIFFERS, p->r->object, STR("anonymous"), str_of(p->anonymous->name),
               "a wrong credential is refused; in Kong it passes as anonymous");
    if (is_terminated(i, p->anonymous)) /* the known way to say "one of these" */
        return;
    doc_text(method(p, "anonymous", "anonymous"), "consumer", name);
}

static void add_require(struct policy *p) {
    bool all = p->n_asks > 1 && p->n_anonymous < p->n_asks;
    if (!all)
        return;
    cJSON_AddStringToObject(p->spec, "require", "All");
    const cJSON *m;
    unsigned tokens = 0;
    cJSON_ArrayForEach(m, p->methods) { tokens += doc_each(m, "jwt") != NULL; }
    if (tokens > 1)
        import_close(p->i, p->r, import_object(p->i, p->asks[0]), STR("config"), STR(""),
                     "tokens of several keys cannot be one of several required methods; write the "
                     "AuthPolicy");
}

/* ---- who may ---- */

static cJSON *rule(cJSON *rules, const char *name, const char *action) {
    cJSON *r = doc_item(rules);
    char room[48];
    struct out o = out_fixed(room, sizeof(room));
    out_fmt(&o, "%s-%d", name, cJSON_GetArraySize(rules));
    doc_text(r, "name", out_done(&o));
    cJSON_AddStringToObject(r, "action", action);
    return r;
}

/* Those from the at-th on, as many as a rule takes. */
static void add_part(cJSON *to, const char *field, const cJSON *list, int at) {
    if (!list)
        return;
    cJSON *part = doc_list(to, field);
    const cJSON *item = cJSON_GetArrayItem(list, at);
    for (int n = 0; item && n < LIST_MAX; item = item->next, n++)
        import_text_item(part, str_of(item->valuestring));
}

static int size(const cJSON *list) { return list ? cJSON_GetArraySize(list) : 1; }

static const cJSON *either(const cJSON *config, const char *name, const char *old) {
    const cJSON *list = kong_texts(config, name);
    return list ? list : kong_texts(config, old);
}

static void add_denials(cJSON *rules, const char *name, const char *field, const cJSON *list) {
    for (int at = 0; list && at < size(list); at += LIST_MAX)
        add_part(rule(rules, name, "Deny"), field, list, at);
}

/* Tokens that stand for themselves are in no group: their method stands for it. */
static void add_tokens(struct policy *p, cJSON *rules, const cJSON *groups, const char *name,
                       const char *action, const cJSON *cidrs) {
    if (!p->asks[0] || !groups)
        return;
    for (const struct kong_entity *e = NULL; (e = kong_next(p->i->kong, KONG_JWT, e));) {
        struct str alone = import_jwt_alone(p->i, e);
        const cJSON *group;
        bool in = false;
        cJSON_ArrayForEach(group, groups) {
            in |= e->of[KONG_CONSUMER] &&
                  import_has_group(p->i, e->of[KONG_CONSUMER], str_of(group->valuestring));
        }
        for (int at = 0; alone.n > 0 && in && at < size(cidrs); at += LIST_MAX) {
            cJSON *r = rule(rules, name, action);
            import_text_item(doc_list(r, "authMethods"), alone);
            add_part(r, "cidrs", cidrs, at);
        }
    }
}

static void add_permissions(struct policy *p, cJSON *rules, const cJSON *groups,
                            const cJSON *cidrs) {
    for (int g = 0; g < size(groups); g += LIST_MAX)
        for (int c = 0; c < size(cidrs); c += LIST_MAX) {
            cJSON *r = rule(rules, "allow", "Allow");
            add_part(r, "groups", groups, g);
            add_part(r, "cidrs", cidrs, c);
        }
    add_tokens(p, rules, groups, "allow-token", "Allow", cidrs);
}

static void check_ranges(struct policy *p, const cJSON *list) {
    const cJSON *item;
    struct unit_cidr cidr;
    cJSON_ArrayForEach(item, list) {
        if (unit_cidr(str_of(item->valuestring), &cidr, NULL) != 0)
            import_close(p->i, p->r, import_object(p->i, p->ip), STR("config"),
                         str_of(item->valuestring), "is no address and no range of them");
    }
}

static void check_acl(struct policy *p, const cJSON *config) {
    static const char *const known[] = {
        "allow", "deny", "whitelist", "blacklist", "hide_groups_header", NULL};
    const cJSON *list[] = {either(config, "allow", "whitelist"),
                           either(config, "deny", "blacklist")};
    import_unknown(p->i, p->acl, config, "config.", known);
    for (size_t l = 0; l < ARRAY_LEN(list); l++) {
        const cJSON *item;
        cJSON_ArrayForEach(item, list[l]) {
            if (!import_fits(KUBE_SHORT, str_of(item->valuestring)))
                import_close(p->i, p->r, import_object(p->i, p->acl), STR("config"),
                             str_of(item->valuestring), "cannot be the name of a group");
        }
    }
    if (!list[0] && !list[1])
        import_close(p->i, p->r, import_object(p->i, p->acl), STR("config"), STR(""),
                     "neither allow nor deny names a group; write authorize");
}

static void add_authorize(struct policy *p) {
    static const char *const known[] = {"allow", "deny", "whitelist", "blacklist", NULL};
    const cJSON *acl = p->acl ? import_plugin_config(p->i, p->acl) : NULL;
    const cJSON *ip = p->ip ? import_plugin_config(p->i, p->ip) : NULL;
    const cJSON *groups = either(acl, "allow", "whitelist"), *no = either(acl, "deny", "blacklist");
    const cJSON *cidrs = either(ip, "allow", "whitelist"), *never = either(ip, "deny", "blacklist");
    if (!acl && !ip)
        return;
    cJSON *rules = doc_list(p->spec, "authorize");
    if (ip) {
        import_unknown(p->i, p->ip, ip, "config.", known);
        check_ranges(p, cidrs);
        check_ranges(p, never);
    }
    if (acl)
        check_acl(p, acl);
    add_denials(rules, "deny-address", "cidrs", never);
    add_denials(rules, "deny-group", "groups", no);
    add_tokens(p, rules, no, "deny-token", "Deny", NULL);
    add_permissions(p, rules, groups, cidrs);
    if (cJSON_GetArraySize(rules) > RULES_MAX)
        import_close(p->i, p->r, p->r->object, STR("acl, ip-restriction"), STR(""),
                     "are more than 256 rules; make the lists shorter");
}

/* ---- what the backend sees ---- */

static void add_header(cJSON *headers, const char *name, const char *from) {
    cJSON *h = doc_item(headers);
    cJSON_AddStringToObject(h, "name", name);
    cJSON_AddStringToObject(h, "from", from);
}

static void add_identity(struct policy *p) {
    if (p->n_asks == 0)
        return;
    cJSON *identity = cJSON_AddObjectToObject(p->spec, "identity");
    cJSON *headers = doc_list(identity, "headers");
    add_header(headers, "X-Consumer-Username", "consumer");
    add_header(headers, "X-Consumer-Custom-ID", "consumer.customID");
    if (p->acl && !kong_bool(import_plugin_config(p->i, p->acl), "hide_groups_header", false))
        add_header(headers, "X-Consumer-Groups", "groups");
    unsigned hide = 0;
    for (unsigned a = 0; a < ASKING; a++)
        hide += p->asks[a] &&
                kong_bool(import_plugin_config(p->i, p->asks[a]), "hide_credentials", false);
    cJSON_AddStringToObject(identity, "credential", hide > 0 ? "Strip" : "Keep");
    if (hide > 0 && hide < p->n_asks)
        import_say(p->i, IMPORT_DIFFERS, p->r->object, STR("hide_credentials"), STR(""),
                   "one plugin hides and another does not; the credential is stripped, whichever "
                   "it was");
    import_say(p->i, IMPORT_DIFFERS, p->r->object, STR("X-Consumer-ID"), STR(""),
               "and X-Credential-Identifier, X-Anonymous-Consumer, X-Authenticated-Groups have no "
               "source; backends read X-Consumer-Username or X-Consumer-Custom-ID");
    import_say(p->i, IMPORT_NOTE, p->r->object, STR("failureLimit"), STR(""),
               "an address that fails 30 times in a minute gets 429; set failureLimit where many "
               "clients share an address");
}

/* ---- all ---- */

/* The name that says what it belongs to: the most special of its plugins. */
static struct str wanted_name(struct policy *p) {
    const struct kong_entity *all[ASKING + 2] = {p->acl, p->ip};
    const struct kong_entity *service = NULL;
    memcpy(all + 2, p->asks, sizeof(p->asks));
    for (size_t a = 0; a < ARRAY_LEN(all); a++) {
        if (all[a] && all[a]->of[KONG_ROUTE])
            return str_of(p->r->e->name[0] ? p->r->e->name : "route");
        if (all[a] && all[a]->of[KONG_SERVICE])
            service = all[a]->of[KONG_SERVICE];
    }
    return service ? str_of(service->name) : STR("kong-global");
}

static struct str keep_policy(struct policy *p) {
    struct import *i = p->i;
    char *text = cJSON_PrintUnformatted(p->spec);
    must(text != NULL);
    struct str key = arena_str(&i->arena, str_of(text));
    cJSON_free(text);
    const char *have = map_get(&i->policies, key);
    if (have) {
        cJSON_Delete(p->spec);
        return str_of(have);
    }
    struct str name = import_name(i, KUBE_AuthPolicy, i->namespace, wanted_name(p));
    map_put(&i->policies, key, (void *)(uintptr_t)name.p);
    cJSON_AddItemToObject(import_doc(i, KUBE_AuthPolicy, i->namespace, name, NULL), "spec",
                          p->spec);
    i->has_auth = true;
    return name;
}

struct str import_auth(struct import *i, struct import_route *r) {
    struct policy p = {.i = i, .r = r};
    for (unsigned a = 0; a < ASKING; a++) {
        p.asks[a] = import_plugin(i, r->e, asking[a]);
        p.n_asks += p.asks[a] != NULL;
    }
    p.acl = import_plugin(i, r->e, "acl");
    p.ip = import_plugin(i, r->e, "ip-restriction");
    if (p.n_asks == 0 && !p.acl && !p.ip)
        return STR_NONE;
    r->restricted = true;
    r->authenticated = p.n_asks > 0;
    p.spec = cJSON_CreateObject();
    p.methods = cJSON_CreateArray();
    take_anonymous(&p);
    add_methods(&p);
    add_anonymous(&p);
    add_require(&p);
    int n = cJSON_GetArraySize(p.methods);
    if (n > METHODS_MAX)
        import_close(
            i, r, import_object(i, p.asks[0]), STR("consumers"),
            arena_fmt(&i->arena, "%d methods", n),
            "a policy has at most 16 methods, and each JWT key is one: let one issuer sign "
            "for all, with its keys in jwks");
    if (n > 0)
        cJSON_AddItemToObject(p.spec, "methods", p.methods);
    else
        cJSON_Delete(p.methods);
    add_authorize(&p);
    add_identity(&p);
    if (r->closed.n == 0)
        return keep_policy(&p);
    cJSON_Delete(p.spec);
    return STR_NONE;
}
