/* SPDX-License-Identifier: Apache-2.0
 *
 * material: a Secret or ConfigMap that a policy or a Consumer names, and an entry of it.
 */
#ifndef SLUICE_CONTROLLER_COMPILE_MATERIAL_H
#define SLUICE_CONTROLLER_COMPILE_MATERIAL_H

#include "controller/compile/unit.h"

struct material {
    const struct resource *of; /* whose reference it is */
    const struct at *at;
    const char *reason; /* of the condition when it cannot be used */
    enum kube_kind kind;
    struct str ns, name;
    const char *shown; /* "Secret shop-ca", as the user wrote it */
};

/* ns.n == 0: that of `of`; where it has none, the controller's. */
struct material material_of(struct making *m, const struct resource *of, const struct at *at,
                            enum kube_kind kind, struct str ns, struct str name);
/* NULL: it cannot be read, and unresolved() was told why; or it is not known yet (m->keep). */
const struct resource *material_read(struct making *m, const struct material *x);

/* An entry of a Secret or ConfigMap of its own namespace. A Secret counts only when it is labelled
 * sluice.dev/credential: "true", so that nobody is made to read one that is not meant for it.
 * False: as above. key.n == 0: `otherwise`. */
bool material_entry(struct making *m, const struct material *x, struct str key,
                    struct str otherwise, struct str *value);
bool material_is_credential(struct making *m, const struct material *x, const struct resource *r);

#endif
