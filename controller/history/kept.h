/* SPDX-License-Identifier: Apache-2.0
 *
 * kept: revisions as files of a directory, one each, "r-00000007.json", mode 0600; written beside
 * and renamed. What is in them is what history holds, so nothing secret. Those that are forgotten
 * in memory go here as well; what cannot be read is passed over.
 */
#ifndef SLUICE_CONTROLLER_HISTORY_KEPT_H
#define SLUICE_CONTROLLER_HISTORY_KEPT_H

#include "controller/history/history.h"

/* Reads all into h, which is empty. -1 with *why: the directory cannot be read. */
int kept_load(struct history *h, const char *directory, struct why *why) MUST_USE;
/* Writes what is new and removes what is not there any more. -1 with *why. */
int kept_save(struct history *h, const char *directory, struct why *why) MUST_USE;

/* One more file there, "held.json" of pin_write_held(): bytes.n == 0 takes it away. NULL: there is
 * none that can be read. */
int kept_held(const char *directory, struct str bytes, struct why *why) MUST_USE;
struct cJSON *kept_read_held(const char *directory);

#endif
