/* SPDX-License-Identifier: Apache-2.0
 *
 * explain: the document of `sluicectl explain`, for people.
 *
 *   {"request":{method,url,host,path},
 *    "winner":{rule,match,hostname,object,field,place,policies (explain_auth.h),filters,
 *       backends:[{backend,weight,percent,endpoints:[{address,state}]}]},
 *    "answer":{status,reason,...}, "unknown":"why nobody can say here",
 *    "losing":[{rule,match,...,because}], "notMatching":[...]}
 */
#ifndef SLUICE_CTL_EXPLAIN_H
#define SLUICE_CTL_EXPLAIN_H

#include "ctl/doc.h"

void explain_print(struct ctl *c, cJSON *doc); /* takes the document */

#endif
