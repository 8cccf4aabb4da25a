/* SPDX-License-Identifier: Apache-2.0
 *
 * caller: who asks the aggregated API. The API server passes requests on with a client certificate
 * of its own (the front proxy's) and names the user in headers; anybody else may send such headers
 * too, so they count behind that certificate alone.
 *
 *     client certificate of requestheader-client-ca-file, CN allowed ─► X-Remote-User, -Group ...
 *     client certificate of client-ca-file                           ─► CN = user, O = groups
 *     Authorization: Bearer                                          ─► a TokenReview will say
 *     else                                                           ─► nobody
 *
 * The rules come from ConfigMap kube-system/extension-apiserver-authentication.
 */
#ifndef SLUICE_CONTROLLER_AUTOSCALE_CALLER_H
#define SLUICE_CONTROLLER_AUTOSCALE_CALLER_H

#include "lib/httpd.h"
#include "lib/json.h"

struct caller_rules;

/* From the ConfigMap. NULL with *why when it cannot be used. */
struct caller_rules *caller_rules_new(const cJSON *config_map, struct why *why);
void caller_rules_free(struct caller_rules *r); /* NULL is fine */

enum caller_found { CALLER_NOBODY, CALLER_NAMED, CALLER_TOKEN };

/* *user (CALLER_NAMED): the fields user, uid, groups and extra of a SubjectAccessReview's spec,
 * cJSON_Delete it. *token (CALLER_TOKEN): borrowed from rq. rules NULL: nobody is known. */
enum caller_found caller_find(const struct caller_rules *rules, const struct httpd_request *rq,
                              cJSON **user, struct str *token);

/* The same fields of a TokenReview's status.user. */
cJSON *caller_of_review(const cJSON *status_user);
bool caller_is_in_group(const cJSON *user, const char *group);

#endif
