/* SPDX-License-Identifier: Apache-2.0
 *
 * grant: ReferenceGrants. One grants when one of `from` and one of `to` fit.
 */
#include "controller/compile/ref.h"

static bool from_fits(const struct kube_ReferenceGrant *g, const struct resource *r) {
    for (uint32_t i = 0; i < g->n_from; i++)
        if (str_eq(g->from[i].group, str_of(kube_kinds[r->kind].group)) &&
            str_eq(g->from[i].kind, str_of(kube_kinds[r->kind].kind)) &&
            str_eq(g->from[i].namespace, r->meta.namespace))
            return true;
    return false;
}

static bool to_fits(const struct kube_ReferenceGrant *g, struct str group, struct str kind,
                    struct str name) {
    for (uint32_t i = 0; i < g->n_to; i++)
        if (str_eq(g->to[i].group, group) && str_eq(g->to[i].kind, kind) &&
            (g->to[i].name.n == 0 || str_eq(g->to[i].name, name)))
            return true;
    return false;
}

bool granted(struct making *m, const struct resource *from, struct str group, struct str kind,
             struct str ns, struct str name) {
    struct str key = arena_fmt(&m->a, "ReferenceGrant/in/%.*s", STR_FMT(ns));
    size_t n;
    const struct resource *const *all = store_read_all(m->c->store, m->u->su, key, &n);
    for (size_t i = 0; i < n; i++) {
        const struct kube_ReferenceGrant *g = resource_ReferenceGrant(all[i]);
        if (g && from_fits(g, from) && to_fits(g, group, kind, name))
            return true;
    }
    return false;
}
