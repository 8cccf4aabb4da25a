/* SPDX-License-Identifier: Apache-2.0
 *
 * dir_parts: what the files of source/dir share.
 *
 *     dir.c          life, events            dir_scan.c    the tree, its watches
 *     dir_claims.c   files and objects       dir_report.c  errors
 */
#ifndef SLUICE_CONTROLLER_SOURCE_DIR_PARTS_H
#define SLUICE_CONTROLLER_SOURCE_DIR_PARTS_H

#include "controller/source/dir.h"
#include "lib/map.h"

#include <sys/stat.h>

enum { FILE_ERRORS_MAX = 100 }; /* that are kept of one file */

struct event;

/* Which version of a file was read. */
struct identity {
    dev_t dev;
    ino_t ino;
    off_t size;
    struct timespec modified;
};

struct file {
    struct str path;    /* below the directory; owned */
    struct list claims; /* struct claim, in_file: what it has of the last good parse */
    struct list due;    /* in dir_source.due or .vanishing */
    struct identity identity;
    struct dir_error *errors;
    uint32_t n_errors;
    uint32_t n_losing; /* of its claims */
    bool parsed;  /* identity is set */
    bool writing; /* somebody has changed it and not yet closed it */
    bool seen;    /* by the scan that runs */
};

/* One object, in however many files. */
struct claimed {
    enum kube_kind kind;
    struct str namespace, name; /* parts of key */
    struct str key;             /* of dir_source.objects; owned */
    struct list claims;         /* struct claim, in_object, in order of paths */
    struct list touched;        /* in dir_source.touched */
};

struct claim {
    struct list in_object, in_file;
    struct claimed *object;
    struct file *file;
    struct resource *r; /* held */
    uint64_t parse;     /* the number of the parse that last had it */
    bool losing;        /* an earlier file has the object */
};

struct watch {
    int wd;
    struct str path; /* of the directory, "" is the root; owned */
    bool seen;
};

struct dir_source {
    struct source base;
    struct store *store;
    char *root;
    struct map files;   /* path → struct file */
    struct map objects; /* key → struct claimed */
    struct list due;    /* files to parse in this turn */
    struct list vanishing;
    struct list touched; /* objects to settle at the end of this turn */
    struct watch *watches;
    size_t n_watches, room_watches;
    int inotify; /* -1: nothing is watched */
    struct event *readable, *grace;
    bool scan_due;
    struct dir_error fault; /* of the directory itself; why_set() */
    struct dir_error *all;  /* what dir_source_errors() gave last */
    struct dir_counters counters;
    void (*on_report)(void *arg, const struct dir_error *e);
    void *arg;
};

/* ---- dir_claims.c ---- */

struct file *file_find(const struct dir_source *d, struct str path);
struct file *file_get(struct dir_source *d, struct str path); /* made if it is not there */
/* Parses it; its objects are settled by dir_settle(). False: it is not there. */
bool file_parse(struct dir_source *d, struct file *f);
/* Its objects go; frees it. */
void file_remove(struct dir_source *d, struct file *f);
/* Gives every touched object to the first file that has it. */
void dir_settle(struct dir_source *d);
void dir_claims_fini(struct dir_source *d);
bool dir_is_ours(struct str name); /* by its extension */
/* "root/path" in room; NULL if it is too long. */
const char *dir_path(const struct dir_source *d, struct str path, char room[4096]);

/* ---- dir_scan.c ---- */

/* Looks at the whole tree: new directories are watched, new and changed files parsed, files that
 * are gone begin to vanish. -1 with *why if the root cannot be read: nothing changes then. */
int dir_scan(struct dir_source *d, struct why *why);
void dir_vanish(struct dir_source *d, struct file *f);
struct watch *dir_watch_find(struct dir_source *d, int wd); /* or NULL */
void dir_watches_fini(struct dir_source *d);

/* ---- dir_report.c ---- */

/* Keeps and tells an error of a file. why is copied. */
void dir_report(struct dir_source *d, struct file *f, uint32_t line, uint32_t column,
                const struct why *why);
/* Tells that a claim loses; what is kept is the claim itself. */
void dir_report_loser(struct dir_source *d, const struct claim *loser);
void dir_forget_errors(struct file *f);
extern const struct source_verbs dir_source_verbs;
/* Of the directory itself, or one below it; the last one is kept. */
void dir_report_fault(struct dir_source *d, const struct why *why);

#endif
