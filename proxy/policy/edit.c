/* SPDX-License-Identifier: Apache-2.0
 *
 * edit: header filters. Several may stand on one way; the effect is as if each were applied to the
 * result of the one before, without a list being made: a name that a later filter removes or sets
 * is not written by an earlier one.
 */
#include "proxy/policy/policy.h"

unsigned policy_n_filters(const struct exchange *x) {
    unsigned n = x->rule != NULL ? x->rule->model->n_filters : 0;
    return n + (x->share != NULL ? x->share->model->n_filters : 0);
}

const struct model_filter *policy_filter(const struct exchange *x, unsigned i) {
    unsigned n = x->rule->model->n_filters;
    return i < n ? &x->rule->model->filters[i] : &x->share->model->filters[i - n];
}

const struct model_filter *policy_find(const struct exchange *x, enum model_filter_type type) {
    unsigned n = policy_n_filters(x);
    for (unsigned i = 0; i < n; i++)
        if (policy_filter(x, i)->type == type)
            return policy_filter(x, i);
    return NULL;
}

/* Whether the edit takes away what stands under that name (lower case in the model). */
static bool hides(const struct model_header_edit *e, struct str name) {
    for (uint32_t i = 0; i < e->n_remove; i++)
        if (str_eq_nocase(e->remove[i], name))
            return true;
    for (uint32_t i = 0; i < e->n_set; i++)
        if (str_eq_nocase(e->set[i].name, name))
            return true;
    return false;
}

static bool survives(const struct exchange *x, enum model_filter_type type, unsigned from,
                     struct str name) {
    unsigned n = policy_n_filters(x);
    for (unsigned i = from; i < n; i++) {
        const struct model_filter *f = policy_filter(x, i);
        if (f->type == type && f->headers != NULL && hides(f->headers, name))
            return false;
    }
    return true;
}

bool policy_keeps(const struct exchange *x, enum model_filter_type type, struct str name) {
    return survives(x, type, 0, name);
}

static void write_values(const struct exchange *x, enum model_filter_type type, unsigned next,
                         const struct model_header_value *v, uint32_t n, struct out *o) {
    for (uint32_t i = 0; i < n; i++) {
        if (!survives(x, type, next, v[i].name))
            continue;
        out_str(o, v[i].name);
        out_lit(o, ": ");
        out_str(o, v[i].value);
        out_lit(o, "\r\n");
    }
}

void policy_write_edits(const struct exchange *x, enum model_filter_type type, struct out *o) {
    unsigned n = policy_n_filters(x);
    for (unsigned i = 0; i < n; i++) {
        const struct model_filter *f = policy_filter(x, i);
        if (f->type != type || f->headers == NULL)
            continue;
        write_values(x, type, i + 1, f->headers->set, f->headers->n_set, o);
        write_values(x, type, i + 1, f->headers->add, f->headers->n_add, o);
    }
}
