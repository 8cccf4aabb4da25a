/* SPDX-License-Identifier: Apache-2.0
 *
 * annotation: those of another controller. Some of them restrict who may call; to serve the Ingress
 * without them would open what its author has closed.
 */
#include "controller/compile/route.h"

#define NGINX STR("nginx.ingress.kubernetes.io/")

static bool restricts(struct str name) {
    return str_starts(name, STR("auth-")) ||
           (str_has(name, STR("global-")) &&
            str_has(name, STR("auth"))) || /* global-*auth*, enable-global-auth */
           str_eq(name, STR("satisfy")) ||
           str_eq(name, STR("whitelist-source-range")) ||
           str_eq(name, STR("denylist-source-range")) || str_starts(name, STR("limit-")) ||
           str_eq(name, STR("enable-modsecurity")) || str_ends(name, STR("-snippet"));
}

void foreign_annotations(struct making *m, const struct class_ *class) {
    const struct kube_meta *meta = &m->r->meta;
    const struct at *at = AT(AT(NULL, "metadata"), "annotations");
    for (uint32_t i = 0; i < meta->n_annotations; i++) {
        struct str key = meta->annotations[i].key;
        struct shown shown;
        if (!str_starts(key, NGINX))
            continue;
        if (!restricts(str_skip(key, NGINX.n))) {
            warn(m, at, "%s has no effect here; remove it, or say the same in a Route",
                 why_show(key, &shown));
        } else if (class->foreign_warn) {
            warn(m, at,
                 "%s restricts access and has no effect here; the class says foreignAnnotations: "
                 "Warn, so this Ingress is served without it",
                 why_show(key, &shown));
        } else {
            close_all(m, at,
                      "%s restricts access and is not supported, so every request is answered with "
                      "503 policy_unavailable. Remove it, or set GatewayConfig "
                      "spec.ingress.foreignAnnotations to Warn",
                      why_show(key, &shown));
        }
    }
}
