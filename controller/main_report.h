/* SPDX-License-Identifier: Apache-2.0
 *
 * report: what main knows, written down for the admin ports.
 */
#ifndef SLUICE_CONTROLLER_MAIN_REPORT_H
#define SLUICE_CONTROLLER_MAIN_REPORT_H

#include "controller/main_turn.h"

/* JSON arrays. live: what proxies have told of what they count; NULL: they were not asked. */
struct live;
void report_proxies(struct turn *t, const struct live *live, struct out *o);
/* Resources that are refused, at most REPORT_REFUSED; *n: of so many. */
enum { REPORT_REFUSED = 100 };
void report_refused(struct turn *t, const struct store *s, size_t *n, struct out *o);
void report_metrics(struct turn *t, const struct store *s, struct metric_text *m);

#endif
