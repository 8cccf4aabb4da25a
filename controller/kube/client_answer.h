/* SPDX-License-Identifier: Apache-2.0
 *
 * client_answer: the one sentence that says why a call did not succeed.
 */
#ifndef SLUICE_CONTROLLER_KUBE_CLIENT_ANSWER_H
#define SLUICE_CONTROLLER_KUBE_CLIENT_ANSWER_H

#include "lib/why.h"

/* A status that is not 2xx: "403 Forbidden: services is forbidden: User ...", from the
 * metav1.Status in body, or from what else is in it. */
void kube_answer_refused(struct why *why, int status, struct str body);

#endif
