/* SPDX-License-Identifier: Apache-2.0
 *
 * fault: what the room cannot do now, by name: a verb that is missing, a server that refuses. For
 * the body of /ready and the log; everything else goes on. Each line is logged when it comes and
 * when it goes.
 */
#ifndef SLUICE_CONTROLLER_STATUS_FAULT_H
#define SLUICE_CONTROLLER_STATUS_FAULT_H

#include "lib/why.h"

enum { FAULTS_MAX = 32 };

struct faults {
    struct why why[FAULTS_MAX]; /* the first n */
    char key[FAULTS_MAX][80];
    size_t n;
};

/* key: what cannot be done, as "write Route shop"; what: the consequence, for the sentence. One
 * more than there is room for is only logged. */
void fault_set(struct faults *f, const char *key, const char *what, const struct why *why);
void fault_clear(struct faults *f, const char *key);
const struct why *status_faults(const struct faults *f, size_t *n);

#endif
