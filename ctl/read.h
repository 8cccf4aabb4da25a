/* SPDX-License-Identifier: Apache-2.0
 *
 * read: a whole file that the user has named.
 */
#ifndef SLUICE_CTL_READ_H
#define SLUICE_CTL_READ_H

#include "lib/why.h"

enum { READ_MAX = 64 << 20 }; /* bytes */

/* To the end of o, an out_heap(READ_MAX). Only regular files. -1 with *why. */
int read_file(const char *path, struct out *o, struct why *why) MUST_USE;

#endif
