/* SPDX-License-Identifier: Apache-2.0
 *
 * access: where the Kubernetes API server is and who we are there. From inside a pod (service
 * account) or from a kubeconfig; credentials that rotate are read again from their files.
 *
 *     in the cluster   KUBERNETES_SERVICE_HOST and _PORT; the mounted token, ca.crt, namespace
 *     kubeconfig       FILE, else $KUBECONFIG, else ~/.kube/config; one context; server,
 *                      certificate-authority(-data), client-certificate(-data), client-key(-data),
 *                      token, tokenFile, tls-server-name. exec and auth-provider are refused in
 *                      words; so is insecure-skip-tls-verify.
 *
 * The server is https://; http:// only on a loopback address, as kubectl proxy has it.
 *
 * The store's thread.
 */
#ifndef SLUICE_CONTROLLER_KUBE_ACCESS_H
#define SLUICE_CONTROLLER_KUBE_ACCESS_H

#include "lib/why.h"

struct kube_access;

#define KUBE_ACCOUNT_FOLDER "/var/run/secrets/kubernetes.io/serviceaccount"

/* file, context: NULL = the default. Inside a pod (and neither given) the service account counts.
 * NULL with *why. */
struct kube_access *kube_access_new(const char *file, const char *context, struct why *why);
/* Of a pod whose service account is mounted at folder. */
struct kube_access *kube_access_of_pod(const char *folder, struct why *why);
void kube_access_free(struct kube_access *a); /* NULL is fine */

/* What a request needs, as of the last kube_access_refresh(); borrowed until the next one. */
struct kube_credentials {
    struct str server;      /* "https://10.96.0.1:443", without a last slash; may have a path */
    struct str server_name; /* for TLS, where it differs from the server's; n == 0: it does not */
    struct str ca;          /* PEM; n == 0: the system's */
    struct str certificate, key; /* PEM, a pair; n == 0: none */
    struct str token;            /* n == 0: none; visible ASCII */
    uint64_t version;            /* counts changes of any of these */
};
const struct kube_credentials *kube_access_credentials(const struct kube_access *a);
/* Reads the files again, the kubeconfig itself too, if they were last read at least min_age_ms ago
 * (0: now). What cannot be read or used keeps its last value. True if anything changed. */
bool kube_access_refresh(struct kube_access *a, uint64_t min_age_ms);

struct str kube_access_namespace(const struct kube_access *a); /* of the pod or context */

#endif
