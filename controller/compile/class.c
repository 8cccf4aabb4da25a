/* SPDX-License-Identifier: Apache-2.0
 *
 * class: which IngressClasses are ours, which is the default, and what they say.
 */
#include "controller/compile/class.h"

#include "lib/hash.h"
#include "lib/mem.h"

static bool is_default(const struct resource *r) {
    return str_eq(resource_annotation(r, STR("ingressclass.kubernetes.io/is-default-class")),
                  STR("true"));
}

/* Older first; an unknown age counts as newest. */
static bool older(const struct resource *a, const struct resource *b) {
    uint64_t x = a->meta.created ? a->meta.created : UINT64_MAX;
    uint64_t y = b->meta.created ? b->meta.created : UINT64_MAX;
    return x != y ? x < y : str_cmp(a->meta.name, b->meta.name) < 0;
}

static const struct resource *find_default(struct making *m, size_t *n_defaults) {
    size_t n;
    const struct resource *const *all =
        store_read_all(m->c->store, m->u->su, STR("IngressClass/all"), &n);
    const struct resource *best = NULL;
    *n_defaults = 0;
    for (size_t i = 0; i < n; i++) {
        if (!is_default(all[i]))
            continue;
        ++*n_defaults;
        if (!best || older(all[i], best))
            best = all[i];
    }
    return best;
}

void default_class_compile(struct making *m) {
    size_t n;
    const struct resource *r = find_default(m, &n);
    struct str name = r ? r->meta.name : STR_NONE;
    if (str_eq(name, m->c->default_class))
        return;
    mem_free((void *)(uintptr_t)m->c->default_class.p);
    m->c->default_class = name.n > 0 ? str_of(str_dup(name)) : STR_NONE;
    store_touch(m->c->store, STR("default-class"));
}

/* ---- one class ---- */

static struct str class_key(char room[300], struct str name) {
    struct out o = out_fixed(room, 300);
    out_lit(&o, "class-fact/"); /* "class/" is an index of the store */
    out_str(&o, name);
    return out_done(&o);
}

static void class_free(struct class_ *k) {
    if (!k)
        return;
    resource_drop(k->resource);
    resource_drop(k->config_resource);
    mem_free((void *)(uintptr_t)k->name.p);
    mem_free((void *)(uintptr_t)k->gateway.p);
    mem_free(k);
}

void class_tell(struct compiler *c, struct unit *u) {
    uint64_t fact = u->class ? u->class->hash : u->status.ours ? 2 : 1;
    char room[300];
    if (fact == u->fact)
        return;
    u->fact = fact;
    store_touch(c->store, class_key(room, u->name));
}

void class_end(struct compiler *c, struct unit *u) {
    char room[300];
    class_free(u->class);
    u->class = NULL;
    if (u->kind == UNIT_CLASS)
        store_touch(c->store, class_key(room, u->name));
}

/* The GatewayConfig that the class names: 0 with *config (NULL if it names none), or -1. */
static int find_config(struct making *m, const struct kube_class_parameters *p,
                       const struct resource **config) {
    const struct at *at = AT(AT(NULL, "spec"), "parameters");
    struct shown shown;
    *config = NULL;
    if (!p)
        return 0;
    if (!str_eq(p->api_group, STR("sluice.dev")) || !str_eq(p->kind, STR("GatewayConfig")))
        return refuse_as(m, "InvalidParameters", at,
                         "%s is no kind of parameters; use apiGroup sluice.dev and kind "
                         "GatewayConfig",
                         why_show(p->kind, &shown));
    if ((p->scope.n > 0 && !str_eq(p->scope, STR("Cluster"))) || p->namespace.n > 0)
        return refuse_as(m, "InvalidParameters", at,
                         "a GatewayConfig has no namespace; use scope Cluster and no namespace");
    const struct resource *r =
        store_read(m->c->store, m->u->su, KUBE_GatewayConfig, STR_NONE, p->name);
    if (!r)
        return refuse_as(m, "InvalidParameters", AT(at, "name"), "there is no GatewayConfig %s",
                         why_show(p->name, &shown));
    if (r->refused)
        return refuse_as(m, "InvalidParameters", AT(at, "name"),
                         "GatewayConfig %s is refused: %s%s%s", why_show(p->name, &shown),
                         r->refused->field, r->refused->field[0] ? ": " : "", r->refused->text);
    *config = r;
    return 0;
}

const struct str *class_identity_default(size_t *n) {
    static const struct str identity[] = {{"x-user*", 7}, {"x-consumer*", 11}, {"x-auth*", 7}};
    *n = ARRAY_LEN(identity);
    return identity;
}

static void class_settings(struct class_ *k) {
    const struct kube_GatewayConfig *g = k->config;
    k->identity = class_identity_default(&k->n_identity);
    if (g && g->n_identity_headers > 0) {
        k->identity = g->identity_headers;
        k->n_identity = g->n_identity_headers;
    }
    k->release_after_ms = 60000;
    k->ssl_redirect = true;
    k->ingress_body_limit = 1 << 20;
    if (g && g->host_ownership) {
        const struct kube_host_ownership *o = g->host_ownership;
        k->ownership = str_eq(o->mode, STR("Shared"))     ? OWNER_SHARED
                       : str_eq(o->mode, STR("Assigned")) ? OWNER_ASSIGNED
                                                          : OWNER_OLDEST;
        if (o->release_after >= 0)
            k->release_after_ms = (uint64_t)o->release_after;
    }
    if (g && g->ingress) {
        k->foreign_warn = str_eq(g->ingress->foreign_annotations, STR("Warn"));
        k->ssl_redirect = g->ingress->ssl_redirect;
        int64_t limit = g->ingress->body_limit;
        if (limit >= 0)
            k->ingress_body_limit = limit == 0 ? MODEL_NEVER : (uint64_t)limit;
    }
}

void class_compile(struct making *m) {
    const struct kube_IngressClass *f = resource_IngressClass(m->r);
    if (!f) {
        m->why = *m->r->refused;
        return;
    }
    if (!str_eq(f->controller, STR(CLASS_CONTROLLER))) {
        m->foreign = true;
        class_free(m->u->class);
        m->u->class = NULL;
        return;
    }
    const struct resource *config;
    struct class_ *k = mem_zalloc(sizeof(*k));
    k->name = str_of(str_dup(m->r->meta.name));
    struct str id = model_id(&m->a, MODEL_KIND_gateway, STR_NONE, k->name, STR_NONE);
    k->gateway = str_of(str_dup(id));
    k->resource = resource_hold((struct resource *)(uintptr_t)m->r);
    bool bad = find_config(m, f->parameters, &config) != 0;
    if (!bad && config) {
        k->config_resource = resource_hold((struct resource *)(uintptr_t)config);
        k->config = resource_GatewayConfig(config);
    }
    k->hash = hash_mix(m->r->hash, config ? config->hash : 0);
    class_settings(k);
    if (bad || config_make(m, config, k) != 0) {
        class_free(k);
        return;
    }
    size_t defaults;
    if (is_default(m->r) && find_default(m, &defaults) && defaults > 1)
        warn(m, NULL,
             "%zu IngressClasses are marked as the default; the oldest is taken: %.*s. Keep the "
             "annotation on one of them",
             defaults, STR_FMT(find_default(m, &defaults)->meta.name));
    class_free(m->u->class);
    m->u->class = k;
}

void config_compile(struct making *m) {
    if (!resource_GatewayConfig(m->r))
        m->why = *m->r->refused;
    else
        config_make(m, m->r, NULL);
}

enum class_answer class_read(struct making *m, struct str named, const struct class_ **class) {
    struct compiler *c = m->c;
    struct unit *u;
    *class = NULL;
    if (named.n == 0) {
        u = unit_find(c, UNIT_DEFAULT_CLASS, STR_NONE, STR_NONE, STR_NONE);
        store_read_key(c->store, m->u->su, STR("default-class"));
        if (u->su->dirty)
            return CLASS_WAIT;
        named = c->default_class;
        if (named.n == 0)
            return CLASS_NO_DEFAULT;
    }
    char room[300];
    if (named.n > 253)
        return CLASS_ABSENT;
    store_read_key(c->store, m->u->su, class_key(room, named));
    u = unit_find(c, UNIT_CLASS, STR_NONE, named, STR_NONE);
    if (!u)
        return CLASS_ABSENT;
    if (u->su->dirty)
        return CLASS_WAIT;
    if (u->class) {
        *class = u->class;
        return CLASS_OURS;
    }
    return u->status.ours ? CLASS_REFUSED : CLASS_FOREIGN;
}
