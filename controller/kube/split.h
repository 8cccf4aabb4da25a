/* SPDX-License-Identifier: Apache-2.0
 *
 * split: whole JSON objects out of bytes that come in pieces of any size, each byte looked at once.
 *
 *     SPLIT_STREAM   a watch: objects one after the other
 *                    {"type":"ADDED",...} {"type":"MODIFIED",...}
 *                    └───── object ─────┘ └─────── object ──────┘
 *
 *     SPLIT_LIST     an answer to a list: each element of the top "items", then what is left
 *                    {"kind":"RouteList","metadata":{...},"items":[{...},{...}]}
 *                                                                  └───┘ └───┘
 *                    split_end(): {"kind":"RouteList","metadata":{...}}
 *
 *     struct str rest = bytes, object;
 *     while ((got = split_next(&s, &rest, &object, &why)) == SPLIT_OBJECT)
 *         ... object, until the next call
 *     if (got == SPLIT_BAD) ...
 *
 * An object that lies whole in the bytes is handed out where it lies; one that comes in pieces is
 * put together in the one buffer, which never grows past the largest object so far. What is handed
 * out has its brackets and quotes in order; whether it is JSON is for json_parse() to say.
 */
#ifndef SLUICE_CONTROLLER_KUBE_SPLIT_H
#define SLUICE_CONTROLLER_KUBE_SPLIT_H

#include "lib/json.h"

enum {
    SPLIT_OBJECT_MAX = 4 << 20, /* bytes of an object; etcd takes 1.5 MiB */
    SPLIT_REST_MAX = 64 << 10,  /* bytes of a list without its items */
};

enum split_form { SPLIT_STREAM, SPLIT_LIST };
enum split_got {
    SPLIT_MORE,   /* all bytes are taken, more must come */
    SPLIT_OBJECT, /* *object is one */
    SPLIT_BAD,    /* *why; it stays so */
};

struct split_scan {                         /* where in a value we are */
    uint64_t lists[(JSON_DEPTH + 63) / 64]; /* a bit each level: [ and not { */
    uint8_t depth;
    bool quoted, escaped; /* in a string; behind its backslash */
};

struct split {
    enum split_form form;
    uint8_t place; /* enum place of split.c */
    bool items;    /* list: its items have been seen */
    size_t max;    /* bytes of an object */
    size_t size;   /* of the object so far */
    size_t name;   /* list: where in rest its member begins */
    uint64_t seen; /* bytes taken so far */
    struct split_scan scan;
    struct out held; /* an object that comes in pieces */
    struct out rest; /* list: what is not items */
};

/* object_max: SPLIT_OBJECT_MAX, or what a test likes. */
void split_init(struct split *s, enum split_form form, size_t object_max);
void split_fini(struct split *s);

/* Takes bytes off the front of *bytes up to the end of the next object. why's field is "byte 123",
 * counted from the beginning of it all. */
enum split_got split_next(struct split *s, struct str *bytes, struct str *object, struct why *why);

/* No more bytes will come. 0, with what is left of a list (of a stream: nothing) in *rest, which is
 * valid until split_fini(); or -1 with *why: it ended too early. */
int split_end(struct split *s, struct str *rest, struct why *why) MUST_USE;

#endif
