/* SPDX-License-Identifier: Apache-2.0
 *
 * pinned: what history, diff, rollback and resume share.
 */
#ifndef SLUICE_CTL_PINNED_H
#define SLUICE_CTL_PINNED_H

#include "ctl/doc.h"

/* "/history?since=3fb2c1d0" if that can be a revision; else CTL_USAGE after a line. */
enum ctl_exit pinned_path(struct ctl *c, const char *what, const char *revision, char *room,
                          size_t n);
/* The line that the fleet is pinned, if document.pinned says so. */
void pinned_print(struct ctl *c, const cJSON *doc);

#endif
