/* SPDX-License-Identifier: Apache-2.0
 *
 * explain_auth: who may: the policies of the rule that a request takes, judged by the proxy's own
 * code (proxy/auth/explain.h), as a part of the document.
 *
 *   "policies":[{policy,object,place,version,mode,require,decision,detail,rule:{index,name},
 *     methods:[{name,type,outcome,reason,detail}], rules:[{name,action,outcome,unmet}],
 *     (version: from a running proxy alone)
 *     method,consumer,subject, credentials:[{from,name,kept}], identity:[{name,value}]}]
 */
#ifndef SLUICE_CTL_EXPLAIN_AUTH_H
#define SLUICE_CTL_EXPLAIN_AUTH_H

#include "ctl/request.h"
#include "ctl/world.h"

/* Of --at and --client. */
struct caller_asked {
    int64_t now;        /* seconds since 1970 */
    bool knows;         /* the client's address */
    uint8_t client[16]; /* v4 as v4-mapped */
};

/* CTL_OK, or CTL_USAGE after one line to err. */
enum ctl_exit caller_read(struct ctl *c, struct caller_asked *a);

/* What became of it: of all policies. */
struct judged {
    bool refused;
    enum reason reason; /* refused; REASON_NONE: an answer of a method's own, with ... */
    unsigned status;    /* ... this status; else 0 */
    struct str detail;
    bool unknown; /* it cannot be known here: detail */
};

/* Adds "policies" to the winner. */
void explain_auth(struct world *w, cJSON *winner, const struct request *r,
                  const struct match_result *m, const struct caller_asked *who, struct judged *to);
/* Takes credentials out of the URL that is shown. */
void explain_hide(struct world *w, cJSON *request, const struct request *r,
                  const struct rule *rule);

#endif
