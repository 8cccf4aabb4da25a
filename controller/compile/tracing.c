/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/compile/tracing.h"

#include "controller/compile/material.h"
#include "controller/compile/outside.h"
#include "controller/compile/ref.h"

enum {
    TIMEOUT_MS = 10000,
    TIMEOUT_MAX_MS = 60000,
    VALUE_MAX = 4096,
    PATH_BYTES = 1024,
    PERCENT = 1
};

/* ---- what can be seen without others ---- */

static int check_share(struct making *m, const struct at *at, const struct kube_tracing *k) {
    const struct kube_fraction *f = k->fraction;
    if (f && k->percent >= 0)
        return refuse(m, at, "percent and fraction at once; keep one");
    if (f && f->numerator > (f->denominator < 0 ? 100 : f->denominator))
        return refuse(m, AT(AT(at, "fraction"), "numerator"),
                      "more than the denominator, that is more than all requests");
    return 0;
}

/* What says how the message is framed, or what it is, is ours. */
static int check_headers(struct making *m, const struct at *at, const struct kube_tracing *k) {
    static const struct str own[] = {{"host", 4},
                                     {"content-type", 12},
                                     {"content-encoding", 16},
                                     {"content-length", 14},
                                     {"transfer-encoding", 17},
                                     {"connection", 10}};
    struct shown shown;
    for (uint32_t i = 0; i < k->n_headers; i++) {
        struct str name = k->headers[i].name;
        for (size_t n = 0; n < ARRAY_LEN(own); n++)
            if (str_eq_nocase(name, own[n]))
                return refuse(m, AT(AT_I(at, "headers", i), "name"),
                              "%s is the gateway's own; remove it", why_show(name, &shown));
        for (uint32_t j = 0; j < i; j++)
            if (str_eq_nocase(name, k->headers[j].name))
                return refuse(m, AT(AT_I(at, "headers", i), "name"), "%s is there twice",
                              why_show(name, &shown));
    }
    return 0;
}

static bool is_path(struct str s) {
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= ' ' || s.p[i] > '~' || s.p[i] == '#')
            return false;
    return s.n > 0 && s.n <= PATH_BYTES && s.p[0] == '/';
}

static int check_inside(struct making *m, const struct at *at, const struct kube_tracing *k) {
    if (k->backend_ref->namespace.n == 0)
        return refuse(m, AT(AT(at, "backendRef"), "namespace"),
                      "a GatewayConfig has no namespace; name the Service's");
    if (k->backend_ref->port < 1)
        return refuse(m, AT(AT(at, "backendRef"), "port"),
                      "a Service needs a port, 4318 as a rule");
    if (k->ca_ref)
        return refuse(m, AT(at, "caRef"),
                      "is for uri; TLS to a Service is what a TrafficPolicy that targets it says "
                      "(connection.tls)");
    if (k->path.n > 0 && !is_path(k->path))
        return refuse(m, AT(at, "path"),
                      "write it as a request does: from the first slash on, percent-encoded, at "
                      "most %d bytes",
                      PATH_BYTES);
    return 0;
}

static int check_outside(struct making *m, const struct at *at, const struct kube_tracing *k) {
    struct outside o;
    struct why why = {0};
    if (k->path.n > 0)
        return refuse(m, AT(at, "path"), "is for backendRef; write it into uri");
    return outside_read(&o, &m->a, k->uri, &why) == 0 ? 0
                                                      : refuse(m, AT(at, "uri"), "%s", why.text);
}

int tracing_check(struct making *m, const struct kube_tracing *k) {
    const struct at *at = AT(AT(NULL, "spec"), "tracing");
    if (!k)
        return 0;
    if ((k->uri.n > 0) == (k->backend_ref != NULL))
        return refuse(m, at, "write exactly one of uri and backendRef");
    if (k->timeout == 0 || k->timeout > TIMEOUT_MAX_MS)
        return refuse(m, AT(at, "timeout"), "%lld ms is not between 1ms and 1m",
                      (long long)k->timeout);
    if (check_share(m, at, k) != 0 || check_headers(m, at, k) != 0)
        return -1;
    return k->backend_ref ? check_inside(m, at, k) : check_outside(m, at, k);
}

/* ---- what it needs ---- */

static bool is_value(struct str s) {
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
            return false;
    return s.n > 0 && s.n <= VALUE_MAX;
}

static bool add_header(struct making *m, const struct at *at, const struct resource *config,
                       const struct kube_trace_header *k, struct model_secret_header *o) {
    struct material x = material_of(m, config, at, KUBE_Secret, STR_NONE, k->value_ref->name);
    x.reason = "InvalidHeaderRef";
    if (!material_entry(m, &x, k->value_ref->key, STR("value"), &o->value))
        return false;
    if (o->value.n > 0 && o->value.p[o->value.n - 1] == '\n')
        o->value.n--; /* an editor's */
    o->name = lower(&m->a, k->name);
    if (is_value(o->value))
        return true;
    unresolved(m, x.reason, x.at,
               "the entry of %s is empty, has a line end in it, or more than %d bytes", x.shown,
               VALUE_MAX);
    return false;
}

static bool add_headers(struct making *m, const struct at *at, const struct resource *config,
                        const struct kube_tracing *k, struct model_tracing *o) {
    bool good = true;
    o->n_headers = k->n_headers;
    o->headers = arena_array(&m->a, k->n_headers, sizeof(*o->headers));
    for (uint32_t i = 0; i < k->n_headers; i++)
        good = add_header(m, AT(AT_I(at, "headers", i), "valueRef"), config, &k->headers[i],
                          &o->headers[i]) &&
               good;
    return good;
}

/* ---- where it is ---- */

static bool inside_make(struct making *m, const struct at *at, const struct kube_GatewayConfig *g,
                        const struct kube_tracing *k, struct model_tracing *o) {
    const struct ref ref = ref_to(k->backend_ref);
    o->path = k->path.n > 0 ? k->path : STR("/v1/traces");
    o->backend = ref_of_config(m, AT(at, "backendRef"), g, &ref);
    return o->backend.n > 0;
}

static bool outside_there(struct making *m, const struct at *at, const struct class_ *k,
                          const struct resource *config, const struct kube_tracing *t,
                          struct model_tracing *o) {
    struct outside place;
    struct why why;
    struct model_backend b = {.namespace = STR("-")};
    if (outside_read(&place, &m->a, t->uri, &why) != 0)
        return false; /* it was refused before */
    o->host = place.authority;
    o->path = place.target;
    bool good = outside_fill(m, config, AT(at, "uri"), &place, AT(at, "caRef"), t->ca_ref, &b);
    if (!good && !why_set(&m->unresolved) && why_set(&m->closed))
        unresolved(m, m->closed_reason, AT(at, "uri"), "%s", m->closed.text);
    why_clear(&m->closed);
    if (!good || !k)
        return good;
    b.service = arena_fmt(&m->a, "tracing.%.*s", STR_FMT(k->name));
    o->backend =
        outside_put(m, b.service, arena_fmt(&m->a, "%u", (unsigned)place.port), &place, &b);
    return o->backend.n > 0;
}

struct model_tracing *tracing_make(struct making *m, const struct class_ *k,
                                   const struct resource *config,
                                   const struct kube_tracing *tracing) {
    const struct at *at = AT(AT(NULL, "spec"), "tracing");
    if (!tracing)
        return NULL;
    m->refers = m->u->kind == UNIT_CONFIG;
    struct model_tracing *o = arena_zalloc(&m->a, sizeof(*o));
    const struct kube_fraction *f = tracing->fraction;
    o->numerator = (uint64_t)(f ? f->numerator : tracing->percent < 0 ? PERCENT : tracing->percent);
    o->denominator = (uint64_t)(f && f->denominator > 0 ? f->denominator : 100);
    o->no_errors = !tracing->errors;
    o->parent = tracing->parent;
    o->service_name = tracing->service_name.n > 0 ? tracing->service_name : STR("sluice");
    o->timeout_ms = tracing->timeout < 0 ? TIMEOUT_MS : (uint64_t)tracing->timeout;
    bool good = add_headers(m, at, config, tracing, o);
    good = (tracing->backend_ref ? inside_make(m, at, resource_GatewayConfig(config), tracing, o)
                                 : outside_there(m, at, k, config, tracing, o)) &&
           good;
    o->closed = !good;
    return o;
}
