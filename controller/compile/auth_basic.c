/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/compile/auth_parts.h"

#include "controller/compile/material.h"
#include "lib/mem.h"
#include "lib/password.h"

#include <stdlib.h>

enum { USERS_MAX = 10000 };

static int by_name(const void *a, const void *b) {
    const struct model_password_user *x = a, *y = b;
    return str_cmp(x->name, y->name);
}

/* They borrow the Secret's text. A line that is none refuses the policy, which goes on as it was:
 * the others of the file must not be locked out by it. */
static bool users_from(struct making *m, const struct at *at, const struct kube_key_ref *k,
                       struct str file, struct model_auth_basic *o) {
    struct str key = k->key.n > 0 ? k->key : STR("auth");
    struct why why = {0};
    struct htpasswd h;
    if (htpasswd_read(&h, file, USERS_MAX, &why) != 0) {
        refuse_as(m, "InvalidPasswordFile", at, "Secret %.*s, entry %.*s, %s", STR_FMT(k->name),
                  STR_FMT(key), why.text);
        return false;
    }
    o->n_users = (uint32_t)h.n;
    o->users = arena_array(&m->a, h.n, sizeof(*o->users));
    for (size_t i = 0; i < h.n; i++)
        o->users[i] = (struct model_password_user){h.users[i].name, h.users[i].stored};
    htpasswd_fini(&h);
    if (o->n_users > 0)
        qsort(o->users, o->n_users, sizeof(*o->users), by_name);
    return true;
}

static bool file_read(struct making *m, const struct at *at, const struct kube_key_ref *k,
                      struct model_auth_basic *o) {
    struct material x = material_of(m, m->r, at, KUBE_Secret, STR_NONE, k->name);
    struct str file;
    x.reason = "InvalidSecretRef";
    if (material_entry(m, &x, k->key, STR("auth"), &file))
        return users_from(m, at, k, file, o);
    close_as(m, "PasswordsUnavailable", at,
             "the file of passwords cannot be read, so everything that this policy targets is "
             "answered with 503 policy_unavailable until it can");
    return false;
}

bool auth_basic_make(struct making *m, const struct at *at, const struct kube_basic *k,
                     struct model_auth_method_config *o) {
    static const struct model_value_source basic = {
        MODEL_FROM_HEADER, {"authorization", 13}, {"Basic ", 6}};
    struct model_auth_basic *b = o->basic = arena_zalloc(&m->a, sizeof(*b));
    b->realm = k->realm.n > 0 ? k->realm : m->r->meta.name;
    o->from = auth_sources(m, NULL, 0, &basic, &o->n_from);
    o->consumers = auth_scope(m, at, k->consumers);
    return !k->secret_ref || file_read(m, AT(at, "secretRef"), k->secret_ref, b);
}
