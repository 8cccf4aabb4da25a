/* SPDX-License-Identifier: Apache-2.0
 *
 * kubeconfig: the file of kubectl, of which one context counts. Strict where it matters: what we
 * would have to ignore (exec, proxy-url, insecure-skip-tls-verify ...) is refused in words.
 */
#ifndef SLUICE_CONTROLLER_KUBE_KUBECONFIG_H
#define SLUICE_CONTROLLER_KUBE_KUBECONFIG_H

#include "lib/why.h"

enum kubeconfig_part {
    KUBECONFIG_CA,
    KUBECONFIG_CERTIFICATE,
    KUBECONFIG_KEY,
    KUBECONFIG_TOKEN,
    KUBECONFIG_PARTS
};

/* Each string is on the heap, or NULL for absent. */
struct kubeconfig {
    char *server, *server_name, *namespace;
    struct {
        char *file; /* where to read it, relative ones joined to the kubeconfig's folder */
        char *text; /* or it itself */
    } part[KUBECONFIG_PARTS];
};

/* text of the file; context NULL: current-context. -1 with *why: object is the file's name, field
 * as "users[ann].exec". *k is then empty. */
int kubeconfig_parse(struct str text, const char *file, const char *context, struct kubeconfig *k,
                     struct why *why) MUST_USE;
void kubeconfig_fini(struct kubeconfig *k); /* secrets are overwritten */

#endif
