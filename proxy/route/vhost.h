/* SPDX-License-Identifier: Apache-2.0
 *
 * vhost: the rules of one host name, compiled for lookup. One block of memory, never changed.
 *
 *     struct vhost │ name │ lengths │ paths: table of struct path_slot │ regexes │ blobs
 *                                            └ at ──► struct path_blob
 *
 * A path is found by a hash that is carried along its segments ("/a", "/a/b", "/a/b/c"), so one
 * pass over the request's path gives the keys of the whole path and of all its prefixes; `lengths`
 * says which prefixes are worth a probe. The candidates of one path stand in the order in which
 * they win, so the first whose conditions hold is taken.
 *
 * A candidate names its rule by slot, not by address: a rule whose weights or timeouts change
 * leaves the vhost as it is.
 */
#ifndef SLUICE_PROXY_ROUTE_VHOST_H
#define SLUICE_PROXY_ROUTE_VHOST_H

#include "proxy/route/pages.h"
#include "proxy/route/snapshot.h"

enum { PREFIX_MAX = 1024 }; /* bytes of a prefix; longer ones are refused */

enum candidate_flags {
    CANDIDATE_MAIN = 1,      /* every one but fallbacks */
    CANDIDATE_FALLBACK = 2,  /* default backend */
    CANDIDATE_ONE_LABEL = 4, /* of a wildcard that stands for one label only */
    CANDIDATE_INGRESS = 8,
    CANDIDATE_OTHER = 16,      /* every one but Ingress */
    CANDIDATE_CONDITIONS = 32, /* there is more than path and method to look at */
    CANDIDATE_ANY_METHOD = 64,
};

struct candidate {
    uint32_t rule;  /* slot */
    uint16_t match; /* which of the rule's */
    uint8_t method; /* enum method; METHOD_OTHER: compare the text */
    uint8_t flags;  /* enum candidate_flags */
};

struct path_slot {
    uint32_t hash;
    uint32_t at;    /* of the blob, bytes from the vhost; 0: empty slot */
    uint32_t first; /* rule of its first candidate, to be prefetched */
};

struct path_blob {
    uint32_t n_exact, n_prefix;
    uint32_t n_text;
    struct candidate candidates[]; /* exact ones, then prefix ones; then the path's text */
};

/* What the clients of a host are shown. */
struct host_tls {
    struct part part;
    bool default_certificate; /* the listener's, too */
    uint32_t n;
    uint32_t certificates[]; /* slots, in order of preference: those that are there */
};

/* What a lookup reads comes first; the host's name follows at once. A usual one, of a name and one
 * path, is two lines of the cache. */
struct vhost {
    struct part part;
    struct site *site;    /* the builder's; workers never look at it */
    struct host_tls *tls; /* NULL: nothing of it is served over TLS */
    uint32_t n_paths;     /* of the table, a power of two, or 0 */
    uint32_t n_regexes;
    uint32_t n_candidates;   /* 0: nothing is served here, as if it were not there */
    uint32_t longest_exact;  /* bytes */
    uint16_t longest_prefix; /* bytes */
    uint16_t paths_at;       /* offset from the vhost; regexes follow, lengths stand before it */
    uint8_t n_hostname;
    bool wildcard : 1;
    bool deep : 1;          /* something in it takes more than one label */
    bool fallback : 1;      /* it has a default backend */
    bool ingress_regex : 1; /* two orders meet: see find.c */
    bool root : 1;          /* some prefix is "/" */
    char name[];            /* as in the host object; empty: any host */
};

static inline struct str vhost_hostname(const struct vhost *v) {
    return str_mk(v->name, v->n_hostname);
}
/* The name without the '*' of a wildcard. */
static inline struct str vhost_key(const struct vhost *v) {
    return str_skip(vhost_hostname(v), v->wildcard);
}
static inline const struct path_slot *vhost_paths(const struct vhost *v) {
    return (const struct path_slot *)(const void *)((const char *)v + v->paths_at);
}
static inline const struct candidate *vhost_regexes(const struct vhost *v) {
    return (const struct candidate *)(const void *)(vhost_paths(v) + v->n_paths);
}
/* lengths: bit n is set if some prefix has n bytes; up to longest_prefix. */
static inline const uint64_t *vhost_lengths(const struct vhost *v) {
    return (const uint64_t *)(const void *)vhost_paths(v) - (v->longest_prefix / 64 + 1);
}
static inline const struct path_blob *vhost_blob(const struct vhost *v, const struct path_slot *s) {
    return (const struct path_blob *)(const void *)((const char *)v + s->at);
}

/* The slot of a rule that it leads to; 0 if it has none. */
uint32_t vhost_first_rule(const struct vhost *v);

/* What a vhost is built of: one match of one rule. */
struct vhost_entry {
    const struct model_route *route;
    const struct model_match *match;
    struct str id;  /* of the route object */
    uint32_t slot;  /* of the rule */
    uint16_t index; /* of the match */
};

/* The order in which two entries that both match a request win, as the Route order has it: <0 if a
 * comes first. Never 0 for different entries. */
int entry_cmp(const struct vhost_entry *a, const struct vhost_entry *b);

/* The entries' strings are copied; there may be none. */
struct vhost *vhost_new(struct keeper *k, struct str hostname, const struct vhost_entry *entries,
                        size_t n);

/* One request on its way through the tables. */
struct lookup {
    const struct pages *rules;
    const struct route_request *rq;
    struct route_scratch *scratch;
};

/* deep: the host has more labels in place of the '*' than one. */
bool vhost_find(const struct vhost *v, const struct lookup *l, bool deep,
                struct match_result *result);

/* ---- conditions (match.c) ---- */

/* The regular expressions of a rule, in the order in which its matches name them. */
struct rule_regexes {
    uint32_t n;
    struct regex **list;
    uint32_t *first; /* of each match; its path's comes first */
};

struct route_scratch {
    struct regex_scratch *regex;
    char room[HEAD_BYTES_MAX]; /* a decoded query parameter, or fields joined */
};

/* All of a match but its path and method. */
bool conditions_hold(const struct rule *rule, uint32_t match, const struct lookup *l);
bool path_regex_holds(const struct rule *rule, uint32_t match, const struct lookup *l);

#endif
