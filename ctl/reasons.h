/* SPDX-License-Identifier: Apache-2.0
 *
 * reasons: why one rule wins over another, and why a rule does not match. The router decides; these
 * put its decision into words.
 */
#ifndef SLUICE_CTL_REASONS_H
#define SLUICE_CTL_REASONS_H

#include "ctl/request.h"
#include "ctl/words.h"

/* Why b comes after a, which both match. Constant. */
const char *reasons_later(const struct match_result *a, const struct match_result *b);

/* Why no match of a rule takes the request, and the match that comes nearest. Constant; NULL when
 * it is a matter of the host, or when the rule does match. Asks the router itself, again and again,
 * with one condition more each time. */
const char *reasons_not(const struct world *w, const struct rule *rule,
                        const struct route_request *rq, const struct model_match **nearest);

#endif
