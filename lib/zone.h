/* SPDX-License-Identifier: Apache-2.0
 *
 * zone: time zones of the IANA database, as files of it say them (TZif, RFC 8536): from which
 * moment on local time is how far ahead of UTC.
 *
 *     header, 32-bit times │ header, 64-bit times, kinds of time │ \n CET-1CEST,M3.5.0,M10.5.0/3 \n
 *      └ is skipped           └ what was decided up to now            └ the rule from then on
 *
 * Read strictly: one that is cut, or whose parts do not fit each other, is refused. Files that
 * count leap seconds (right/...) say another time than the rest of the world, and are refused too.
 * No state, any thread.
 */
#ifndef SLUICE_LIB_ZONE_H
#define SLUICE_LIB_ZONE_H

#include "lib/why.h"

enum {
    ZONE_NAME_MAX = 64,
    ZONE_BYTES_MAX = 64 << 10, /* of a file */
    ZONE_CHANGES_MAX = 64,
    ZONE_SHIFT = 1440, /* what the model adds to minutes, so that none are below 0 */
};

struct zone_change {
    int64_t from;    /* seconds since 1970: from then on ... */
    int32_t minutes; /* ... local time is UTC and so many, at most 24 hours either way */
};

struct zone_changes {
    struct zone_change v[ZONE_CHANGES_MAX]; /* in order of time */
    unsigned n;                             /* 1 at least */
};

/* What counts from `from` (not before 1970; the first change says so) until before `until`, 500
 * years later at most. -1 with why->text: the file is none, or its changes are too many. */
int zone_read(struct str tzif, int64_t from, int64_t until, struct zone_changes *to,
              struct why *why) MUST_USE;

/* Appends the file of a zone, "Europe/Berlin", of the system's database. -1 with why->text: there
 * is no such zone, or no database. */
int zone_file(struct str name, struct out *to, struct why *why) MUST_USE;

#endif
