/* SPDX-License-Identifier: Apache-2.0
 *
 * files: what -f names, into the store: one file, or a directory as the controller reads it.
 */
#ifndef SLUICE_CTL_FILES_H
#define SLUICE_CTL_FILES_H

#include "controller/source/dir.h"

/* Ends with store_synced(). bad() is told of each file or document that cannot be read: the error's
 * file is path itself, or relative to that directory, as in struct resource_origin. -1 with *why
 * when path itself cannot be read. */
int files_load(const char *path, struct store *s, void (*bad)(void *arg, const struct dir_error *e),
               void *arg, struct why *why) MUST_USE;

#endif
