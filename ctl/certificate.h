/* SPDX-License-Identifier: Apache-2.0
 *
 * certificate: how certificate objects are shown: whose, for which names, until when. Never a key.
 */
#ifndef SLUICE_CTL_CERTIFICATE_H
#define SLUICE_CTL_CERTIFICATE_H

#include "ctl/world.h"

/* An object as doc_of_object(), but of a certificate with `chain` taken apart:
 * [{"subject","issuer","key","notBefore","notAfter"}] instead of its bytes. */
cJSON *certificate_object(struct arena *a, const struct object *o);

/* What a host of that id shows, for explain: {"certificates": [{"id","subject","names","key",
 * "notAfter"} or {"id","missing":true}], "default": true, "redirect": true}. Nothing is added to
 * `to` if the rule's object asks for no TLS. */
void certificate_tls(struct world *w, cJSON *to, const struct model_route *r, struct str hostname);

/* The same in lines. */
void certificate_print(struct ctl *c, const cJSON *tls);

#endif
