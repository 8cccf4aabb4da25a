/* SPDX-License-Identifier: Apache-2.0
 *
 * import: `sluicectl import kong FILE`.
 */
#include "ctl/import.h"

#include "lib/json.h"

#include <string.h>

static void init(struct import *i, struct ctl *c, struct kong *k) {
    *i = (struct import){.c = c, .kong = k};
    i->namespace = c->namespace ? str_of(c->namespace) : STR("default");
    i->config = str_of(c->gateway_config);
    i->class = c->class ? str_of(c->class) : i->config.n > 0 ? STR("sluice") : STR_NONE;
    arena_init(&i->arena);
    map_init(&i->known_lines);
    map_init(&i->names);
    map_init(&i->policies);
    map_init(&i->made);
    map_init(&i->expressions);
    map_init(&i->plugins);
    i->external_names = cJSON_CreateArray();
}

static void fini(struct import *i) {
    for (size_t s = 0; i->backends && s < i->kong->lists[KONG_SERVICE].n; s++)
        cJSON_Delete(i->backends[s].refs);
    cJSON_Delete(i->external_names);
    import_list_fini(i);
    import_docs_fini(i);
    arena_fini(&i->arena);
}

/* What stands at the top of the file besides the lists that are read. */
static void say_rest(struct import *i) {
    static const char *const known[] = {"_format_version",
                                        "_transform",
                                        "_info",
                                        "_comment",
                                        "_ignore",
                                        "_plugin_configs",
                                        "_workspace",
                                        "_konnect",
                                        "services",
                                        "routes",
                                        "consumers",
                                        "consumer_groups",
                                        "upstreams",
                                        "targets",
                                        "certificates",
                                        "snis",
                                        "ca_certificates",
                                        "plugins",
                                        "filter_chains",
                                        "keyauth_credentials",
                                        "jwt_secrets",
                                        "basicauth_credentials",
                                        "hmacauth_credentials",
                                        "acls",
                                        NULL};
    const cJSON *f;
    cJSON_ArrayForEach(f, i->kong->json) {
        bool is_known = false;
        for (size_t k = 0; known[k]; k++)
            is_known |= strcmp(known[k], f->string) == 0;
        if (!is_known && f->child)
            import_say(i, IMPORT_LOST, STR("file"), str_of(f->string),
                       arena_fmt(&i->arena, "%d", cJSON_GetArraySize(f)),
                       "is not read; what depended on it is named by itself");
    }
    const cJSON *tags = json_get(json_get(i->kong->json, "_info"), "select_tags");
    if (tags && tags->child)
        import_say(i, IMPORT_NOTE, STR("file"), STR("_info.select_tags"),
                   import_value(i, "select_tags", tags),
                   "this file is a part of the configuration; order and policies of the rest are "
                   "not seen");
}

/* What is in no other part: entities that belong to nothing, and fields of those that are only
 * looked up. */
static void say_orphans(struct import *i) {
    static const char *const target[] = {"group", "consumer", NULL};
    static const char *const group[] = {"consumers", "plugins", NULL};
    static const char *const sni[] = {"certificate", NULL};
    static const char *const authority[] = {"cert", "cert_digest", NULL};
    static const struct {
        enum kong_type type;
        int holder; /* -1: none is needed */
        const char *const *known;
    } all[] = {{KONG_ACL, KONG_CONSUMER, target},   {KONG_GROUP, -1, group},
               {KONG_SNI, KONG_CERTIFICATE, sni},   {KONG_AUTHORITY, -1, authority},
               {KONG_API_KEY, KONG_CONSUMER, NULL}, {KONG_JWT, KONG_CONSUMER, NULL},
               {KONG_BASIC, KONG_CONSUMER, NULL},   {KONG_HMAC, KONG_CONSUMER, NULL},
               {KONG_TARGET, KONG_UPSTREAM, NULL}};
    for (size_t a = 0; a < ARRAY_LEN(all); a++)
        for (const struct kong_entity *e = NULL; (e = kong_next(i->kong, all[a].type, e));) {
            if (all[a].known && cJSON_IsObject(e->json))
                import_unknown(i, e, e->json, "", all[a].known);
            if (all[a].holder >= 0 && !e->of[all[a].holder])
                import_say(i, IMPORT_LOST, import_object(i, e), STR(""), STR(""),
                           "belongs to no %s", kong_type_name((enum kong_type)all[a].holder));
        }
}

static bool are_names(struct ctl *c) {
    const struct {
        const char *option, *value;
    } said[] = {
        {"-n", c->namespace}, {"--class", c->class}, {"--gateway-config", c->gateway_config}};
    for (size_t s = 0; s < ARRAY_LEN(said); s++)
        if (said[s].value && !kube_is_name(str_of(said[s].value))) {
            ctl_fail(c, CTL_USAGE, "%s: '%s' is not a name; use lower-case letters, digits and '-'",
                     said[s].option, said[s].value);
            return false;
        }
    return true;
}

enum ctl_exit import_run(struct ctl *c, struct kong *k) {
    struct import i;
    init(&i, c, k);
    say_rest(&i);
    say_orphans(&i);
    import_index_plugins(&i);
    import_certificates(&i);
    import_backends(&i);
    import_consumers(&i);
    import_expressions(&i);
    import_order(&i);
    import_routes(&i);
    import_config(&i);
    enum ctl_exit code = import_print_docs(&i);
    import_print_list(&i);
    if (code == CTL_OK && !import_is_clean(&i))
        code = CTL_PROBLEMS;
    fini(&i);
    return code;
}

enum ctl_exit ctl_import(struct ctl *c) {
    struct why why = {0};
    struct kong k;
    if (strcmp(c->words[0], "kong") != 0)
        return ctl_fail(c, CTL_USAGE,
                        "import reads 'kong', not '%s'; usage: sluicectl import kong "
                        "FILE",
                        c->words[0]);
    if (!are_names(c))
        return CTL_USAGE;
    enum ctl_exit code = CTL_UNREACHABLE;
    if (kong_open(&k, c->words[1], &why) == 0) {
        code = import_run(c, &k);
    } else {
        char room[1024];
        struct out o = out_fixed(room, sizeof(room));
        why_print(&why, &o);
        ctl_fail(c, code, "%.*s", STR_FMT(out_done(&o)));
    }
    kong_fini(&k);
    return code;
}
