/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/compile/material.h"

#include "controller/compile/ref.h"

struct material material_of(struct making *m, const struct resource *of, const struct at *at,
                            enum kube_kind kind, struct str ns, struct str name) {
    return (struct material){.of = of,
                             .at = at,
                             .kind = kind,
                             .ns = ns.n > 0                   ? ns
                                   : of->meta.namespace.n > 0 ? of->meta.namespace
                                                              : m->c->own_namespace,
                             .name = name,
                             .shown = arena_fmt(&m->a, "%s %.*s%s%.*s", kube_kinds[kind].kind,
                                                STR_FMT(ns), ns.n > 0 ? "/" : "", STR_FMT(name))
                                          .p};
}

const struct resource *material_read(struct making *m, const struct material *x) {
    const struct why *why = NULL;
    /* Who may write what has no namespace may do all. */
    if (x->of->meta.namespace.n > 0 && !str_eq(x->ns, x->of->meta.namespace) &&
        !granted(m, x->of, STR(""), str_of(kube_kinds[x->kind].kind), x->ns, x->name)) {
        unresolved(m, "RefNotPermitted", x->at,
                   "%s is in another namespace and no ReferenceGrant there allows this reference",
                   x->shown);
        return NULL;
    }
    const struct resource *r = store_read(m->c->store, m->u->su, x->kind, x->ns, x->name);
    if (r && !r->refused)
        return r;
    if (r)
        unresolved(m, x->reason, x->at, "%s cannot be read: %s: %s", x->shown, r->refused->field,
                   r->refused->text);
    else if (store_is_unknown(m->c->store, x->kind, x->ns, x->name, &why))
        m->keep = true;
    else if (why)
        unresolved(m, x->reason, x->at, "%s cannot be read: %s", x->shown, why->text);
    else
        unresolved(m, x->reason, x->at, "there is no %s", x->shown);
    return NULL;
}

bool material_is_credential(struct making *m, const struct material *x, const struct resource *r) {
    struct str label = resource_label(r, STR("sluice.dev/credential"));
    if (x->kind != KUBE_Secret || str_eq(label, STR("true")))
        return true;
    unresolved(m, x->reason, x->at,
               "%s is not labelled as a credential; if it is meant to be one, label it "
               "sluice.dev/credential: \"true\"",
               x->shown);
    return false;
}

bool material_entry(struct making *m, const struct material *x, struct str key,
                    struct str otherwise, struct str *value) {
    struct shown room;
    const struct resource *r = material_read(m, x);
    if (!r || !material_is_credential(m, x, r))
        return false;
    struct str k = key.n > 0 ? key : otherwise;
    *value = x->kind == KUBE_Secret ? resource_secret(r, k) : resource_config(r, k);
    if (value->p)
        return true;
    unresolved(m, x->reason, x->at, "%s has no entry %s", x->shown, why_show(k, &room));
    return false;
}
