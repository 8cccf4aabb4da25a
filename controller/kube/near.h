/* SPDX-License-Identifier: Apache-2.0
 *
 * near: the known word that somebody probably meant.
 */
#ifndef SLUICE_CONTROLLER_KUBE_NEAR_H
#define SLUICE_CONTROLLER_KUBE_NEAR_H

#include "lib/str.h"

/* Collects candidates one by one; begin with near_to(what was written). */
struct near {
    struct str written;
    struct str best; /* n == 0: none is near enough */
    size_t distance;
};

struct near near_to(struct str written);
void near_try(struct near *n, struct str candidate);

#endif
