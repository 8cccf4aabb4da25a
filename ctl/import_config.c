/* SPDX-License-Identifier: Apache-2.0
 *
 * import_config: what the class of gateways must allow: a GatewayConfig and its IngressClass when
 * they are asked for, else notes.
 */
#include "ctl/import.h"

static const char *const identity[] = {"x-user*", "x-consumer*", "x-auth*",
                                       "x-credential-identifier", "x-anonymous-consumer"};

static cJSON *listener(cJSON *list, const char *name, int port, const char *protocol) {
    cJSON *l = doc_item(list);
    cJSON_AddStringToObject(l, "name", name);
    cJSON_AddNumberToObject(l, "port", port);
    cJSON_AddStringToObject(l, "protocol", protocol);
    return l;
}

static void add_class(struct import *i) {
    cJSON *class = import_doc(i, KUBE_IngressClass, STR_NONE, i->class, NULL);
    cJSON *spec = import_spec(class);
    cJSON_AddStringToObject(spec, "controller", "sluice.dev/ingress-controller");
    cJSON *to = cJSON_AddObjectToObject(spec, "parameters");
    cJSON_AddStringToObject(to, "apiGroup", "sluice.dev");
    cJSON_AddStringToObject(to, "kind", "GatewayConfig");
    doc_text(to, "name", i->config);
}

static void add_config(struct import *i) {
    cJSON *spec = import_spec(import_doc(i, KUBE_GatewayConfig, STR_NONE, i->config, NULL));
    cJSON *listeners = doc_list(spec, "listeners");
    listener(listeners, "http", 80, "HTTP");
    if (i->has_https)
        listener(listeners, "https", 443, "HTTPS");
    if (i->has_auth) {
        cJSON *headers = doc_list(spec, "identityHeaders");
        for (size_t h = 0; h < ARRAY_LEN(identity); h++)
            import_text_item(headers, str_of(identity[h]));
    }
    if (i->external_names->child)
        cJSON_AddItemToObject(cJSON_AddObjectToObject(spec, "externalNames"), "allowed",
                              cJSON_Duplicate(i->external_names, true));
}

static void say_what_it_needs(struct import *i) {
    if (i->external_names->child)
        import_say(i, IMPORT_NOTE, STR("GatewayConfig"), STR("externalNames.allowed"),
                   import_value(i, "", i->external_names),
                   "must contain these, or their routes answer 500 (--gateway-config writes it)");
    if (i->has_auth)
        import_say(i, IMPORT_NOTE, STR("GatewayConfig"), STR("identityHeaders"), STR(""),
                   "must contain x-credential-identifier and x-anonymous-consumer beside the "
                   "default, so that no client can send them (--gateway-config writes it)");
    if (i->has_https)
        import_say(i, IMPORT_NOTE, STR("GatewayConfig"), STR("listeners"), STR("https"),
                   "must have a listener for HTTPS (--gateway-config writes it)");
}

void import_config(struct import *i) {
    if (i->config.n == 0) {
        say_what_it_needs(i);
        return;
    }
    add_config(i);
    add_class(i);
}
