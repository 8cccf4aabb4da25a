/* SPDX-License-Identifier: Apache-2.0
 *
 * client_curl: what one request is to libcurl. Below client.c, which knows when.
 */
#ifndef SLUICE_CONTROLLER_KUBE_CLIENT_CURL_H
#define SLUICE_CONTROLLER_KUBE_CLIENT_CURL_H

#include "controller/kube/client.h"

#include <curl/curl.h>

struct kube_wire {
    CURL *curl; /* NULL: nothing is under way */
    struct curl_slist *headers, *connect_to;
    char error[CURL_ERROR_SIZE];
};

/* left_ms: of the whole transfer; 0: no end. Callbacks and CURLOPT_PRIVATE are the caller's. */
void kube_wire_init(struct kube_wire *w, const struct kube_call *what,
                    const struct kube_credentials *who, uint32_t left_ms);
void kube_wire_fini(struct kube_wire *w); /* not from inside libcurl; fine when all is NULL */

#endif
