/* SPDX-License-Identifier: Apache-2.0
 *
 * external: backends outside the cluster (Services of type ExternalName). Their endpoints are found
 * by name and port, so that backends with the same ones share them, and a backend whose name
 * changes has those of its new name, or none, at the same moment.
 */
#include "proxy/route/snapshot.h"

struct str backend_external_name(const struct model_backend *m) {
    struct str name = m->external_name;
    if (name.n > 0 && name.p[name.n - 1] == '.')
        name.n--;
    return name;
}

struct str external_endpoints_id(struct arena *a, struct str name, uint64_t port) {
    struct str number = arena_fmt(a, "%llu", (unsigned long long)port);
    return model_id(a, MODEL_KIND_endpoints, STR_NONE, name, number);
}

struct str backend_host(struct arena *a, const struct model_backend *m) {
    struct str name = backend_external_name(m);
    if (name.n == 0 || m->port == (m->tls ? 443 : 80))
        return name;
    return arena_fmt(a, "%.*s:%llu", STR_FMT(name), (unsigned long long)m->port);
}
