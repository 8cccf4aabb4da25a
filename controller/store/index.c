/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/store/index.h"

static void index_slice(const struct resource *r, struct out *key) {
    struct str service = resource_label(r, STR("kubernetes.io/service-name"));
    if (service.n > 0)
        out_fmt(key, "EndpointSlice/of/%.*s/%.*s", STR_FMT(r->meta.namespace), STR_FMT(service));
}

static void index_class(const struct resource *r, struct out *key) {
    (void)r;
    out_lit(key, "IngressClass/all");
}

static void index_grant(const struct resource *r, struct out *key) {
    out_fmt(key, "ReferenceGrant/in/%.*s", STR_FMT(r->meta.namespace));
}

static const struct {
    enum kube_kind kind;
    void (*write)(const struct resource *r, struct out *key); /* nothing: not in this index */
} indexes[] = {
    {KUBE_EndpointSlice, index_slice},
    {KUBE_IngressClass, index_class},
    {KUBE_ReferenceGrant, index_grant},
};

void index_keys(const struct resource *r,
                void (*each)(void *arg, struct str key, const struct resource *r), void *arg) {
    char room[1024];
    for (size_t i = 0; i < ARRAY_LEN(indexes); i++) {
        struct out key = out_fixed(room, sizeof(room));
        if (indexes[i].kind != r->kind)
            continue;
        indexes[i].write(r, &key);
        if (key.n > 0 && !key.over)
            each(arg, out_done(&key), r);
    }
}
