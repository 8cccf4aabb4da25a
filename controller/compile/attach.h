/* SPDX-License-Identifier: Apache-2.0
 *
 * attach: which policies target what. A policy attaches itself when it compiles, and stays attached
 * as its last good version while it is refused; without one it is attached all the same, to close
 * what it names. Readers record the key "targets/KIND/NS/NAME".
 */
#ifndef SLUICE_CONTROLLER_COMPILE_ATTACH_H
#define SLUICE_CONTROLLER_COMPILE_ATTACH_H

#include "controller/compile/unit.h"

struct target {
    struct str key;   /* "targets/Route/shop/shop", owned */
    struct list list; /* struct attachment, of the older policy first */
};

/* The targets of m->u are refs now; its readers look again when these or the terms differ. */
void attach_take(struct making *m, const struct kube_target_ref *refs, size_t n,
                 const struct policy_terms *terms);
void attach_none(struct compiler *c, struct unit *u);

/* The policy of that kind that wins: one of the namespace that is blind, else section first, then
 * the whole, then its namespace; the older first. NULL: none. section: n == 0 asks for the whole
 * alone. Recorded as read. */
const struct unit *attached(struct making *m, enum unit_kind kind, struct str target_kind,
                            struct str ns, struct str name, struct str section);
/* Of that section alone. */
const struct unit *attached_section(struct making *m, enum unit_kind kind, struct str target_kind,
                                    struct str ns, struct str name, struct str section);
/* Whether m->u, a policy, loses its ref to an older one that says the same. */
bool attach_loses(struct making *m, const struct kube_target_ref *ref);

#endif
