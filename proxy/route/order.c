/* SPDX-License-Identifier: Apache-2.0
 *
 * order: which of two matches that both fit a request wins, where the path does not say it by
 * itself: docs/reference, "Order of matches".
 */
#include "proxy/route/vhost.h"

/* Negative: more comes first. */
static int more_first(uint64_t a, uint64_t b) { return a > b ? -1 : a < b; }

static int path_class(const struct model_match *m) {
    switch (m->path_type) {
    case MODEL_PATH_EXACT:
        return 0;
    case MODEL_PATH_REGEX:
        return 1;
    case MODEL_PATH_PREFIX:
        break;
    }
    return 2;
}

/* As if "namespace/name" were one string each, which is what the Gateway API compares. */
static int full_name_cmp(const struct model_route *a, const struct model_route *b) {
    size_t n = size_min(a->namespace.n, b->namespace.n);
    int c = str_cmp(str_mk(a->namespace.p, n), str_mk(b->namespace.p, n));
    if (c != 0)
        return c;
    if (a->namespace.n == b->namespace.n)
        return str_cmp(a->name, b->name);
    bool a_longer = a->namespace.n > n;
    unsigned char next = (unsigned char)(a_longer ? a : b)->namespace.p[n];
    int longer_first = next < '/' ? -1 : 1; /* no namespace has a '/' in it */
    return a_longer ? longer_first : -longer_first;
}

static uint64_t age_key(const struct model_route *r) {
    return r->created ? r->created : UINT64_MAX;
}

int entry_cmp(const struct vhost_entry *a, const struct vhost_entry *b) {
    const struct model_match *x = a->match, *y = b->match;
    int c = path_class(x) - path_class(y);
    if (c == 0 && x->path_type != MODEL_PATH_EXACT)
        c = more_first(x->path.n, y->path.n);
    if (c == 0)
        c = more_first(x->method.n > 0, y->method.n > 0);
    if (c == 0)
        c = more_first(x->n_headers, y->n_headers);
    if (c == 0)
        c = more_first(x->n_query, y->n_query);
    if (c == 0)
        c = more_first(x->n_cookies, y->n_cookies);
    if (c == 0)
        c = more_first(age_key(b->route), age_key(a->route));
    if (c == 0)
        c = full_name_cmp(a->route, b->route);
    if (c == 0)
        c = more_first(b->route->order, a->route->order);
    if (c == 0)
        c = str_cmp(a->id, b->id);
    return c != 0 ? c : (int)a->index - (int)b->index;
}
