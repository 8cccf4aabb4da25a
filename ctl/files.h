/* SPDX-License-Identifier: Apache-2.0
 *
 * files: what -f names, into the store: one file, or a directory with all *.yaml, *.yml and *.json
 * below it.
 */
#ifndef SLUICE_CTL_FILES_H
#define SLUICE_CTL_FILES_H

#include "controller/store/store.h"

/* bad() is told of each file or document that cannot be read. -1 with *why when path itself cannot.
 */
int files_load(const char *path, struct store *s,
               void (*bad)(void *arg, struct str file, uint32_t line, const struct why *why),
               void *arg, struct why *why) MUST_USE;

#endif
