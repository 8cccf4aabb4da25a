/* SPDX-License-Identifier: Apache-2.0
 *
 * source/dir: a directory of YAML and JSON files as the source of the store: the embedded default
 * for one machine, and what `sluicectl validate -f DIR` reads.
 *
 *     *.yaml *.yml *.json ── parse ──► claims ── first file in path order ──► store
 *              ▲                            │
 *           inotify: closed, renamed,       └── the others, and what cannot be read: errors
 *           removed
 *
 * - Only a file that changed is parsed, and of it only objects that differ reach the store.
 * - A file that does not parse changes nothing: its last good objects stay. An object that cannot
 *   be named is passed over; the others of its file count.
 * - Of an object that is in two files the first in path order (bytes) keeps it; the other takes
 *   over when that one lets go.
 * - A file counts when its writer closes it or it is renamed into place. One that vanishes gives up
 *   its objects DIR_GRACE_MS later, so that an editor may move it away and write it anew.
 * - Subdirectories are followed; names that begin with a dot are not, so that editors may keep
 * their files there. Links to files are followed, and the links of a mounted ConfigMap (..data) are
 *   watched; links to directories are not followed.
 *
 * The store's thread.
 */
#ifndef SLUICE_CONTROLLER_SOURCE_DIR_H
#define SLUICE_CONTROLLER_SOURCE_DIR_H

#include "controller/source/source.h"
#include "controller/store/store.h"

struct event_base;
struct dir_source;

enum { DIR_GRACE_MS = 100 };

struct dir_error {
    struct str file;       /* below the directory; n == 0: the directory itself */
    uint32_t line, column; /* 0: unknown */
    struct why why;
};

/* "shop.yaml:3:7: this is not YAML: ..." */
void dir_error_print(const struct dir_error *e, struct out *o);

/* Reads everything, then tells store_synced(). on_report hears of each error when it comes up, also
 * from inside dir_source_new(); it may be NULL. base NULL: read once and watch nothing. NULL with
 * *why if path is no directory that can be read and watched. */
struct dir_source *dir_source_new(struct event_base *base, struct store *s, const char *path,
                                  void (*on_report)(void *arg, const struct dir_error *e),
                                  void *arg, struct why *why);
void dir_source_free(struct dir_source *d); /* what is in the store stays there */
struct source *dir_source_base(struct dir_source *d);

/* What is wrong now, in order of files; lives until the next turn of the loop. */
const struct dir_error *dir_source_errors(struct dir_source *d, size_t *n);

struct dir_counters {
    uint64_t files;    /* there now */
    uint64_t parsed;   /* files, good or not */
    uint64_t upserted; /* objects that changed the store */
    uint64_t deleted;
    uint64_t foreign; /* objects passed over because they are not for Sluice */
    uint64_t scans;   /* of the whole tree */
};
const struct dir_counters *dir_source_counters(const struct dir_source *d);

#endif
