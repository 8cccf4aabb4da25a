/* SPDX-License-Identifier: Apache-2.0
 *
 * reread: a small file that somebody else replaces now and then (a projected token, a bundle of
 * CAs), and its last good contents. Kubernetes swaps a link for it, so what tells that it is
 * another one is inode, size and time. Reading blocks as long as a file of a few kB on a local
 * disk does. Main thread.
 */
#ifndef SLUICE_PROXY_CONFIG_REREAD_H
#define SLUICE_PROXY_CONFIG_REREAD_H

#include "lib/str.h"

struct reread;

struct reread *reread_new(const char *path, size_t max);
void reread_free(struct reread *r); /* NULL is fine */

/* Looks; whether the contents are other ones now. A file that is gone, empty or too large keeps the
 * last ones, and is named in the log once. */
bool reread_look(struct reread *r);
struct str reread_text(const struct reread *r); /* n == 0: it was never there */

#endif
