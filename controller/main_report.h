/* SPDX-License-Identifier: Apache-2.0
 *
 * report: what main knows, written down for the admin ports.
 */
#ifndef SLUICE_CONTROLLER_MAIN_REPORT_H
#define SLUICE_CONTROLLER_MAIN_REPORT_H

#include "controller/main_turn.h"

void report_proxies(struct turn *t, struct out *o); /* JSON */
void report_metrics(struct turn *t, const struct store *s, struct metric_text *m);

#endif
