/* SPDX-License-Identifier: Apache-2.0
 *
 * kinds: the resources that the controller reads, as plain structs made from kinds.def, and the one
 * decoder for all of them. A directory's YAML and the API server's JSON both arrive here as cJSON.
 *
 *   struct resource *r = resource_new(json, origin, &why)
 *       r->kind, r->meta                who it is; always there
 *       resource_route(r)               its fields, typed: NULL if r->refused
 *       r->refused                      why the object cannot be used: keeps its place in the
 * store, so that its last good version keeps serving and its status quotes field and reason
 *
 * A resource is immutable and counted; all of it lives in one arena of its own.
 */
#ifndef SLUICE_CONTROLLER_KUBE_KINDS_H
#define SLUICE_CONTROLLER_KUBE_KINDS_H

#include "lib/arena.h"
#include "lib/model.h"
#include "lib/why.h"

struct cJSON;

/* spec.controller of the IngressClasses that are ours. */
#define CLASS_CONTROLLER "sluice.dev/ingress-controller"

enum kube_kind {
    KUBE_NONE,
#define KIND(Name, group, version, plural, brief, scope, strictness, doc, ...) KUBE_##Name,
#define PART(name, doc, ...)
#include "controller/kube/kinds.def"
#undef KIND
#undef PART
    KUBE_KINDS
};

enum kube_scope { KUBE_CLUSTER, KUBE_NAMESPACED };
enum kube_strictness { KUBE_LENIENT, KUBE_STRICT };

enum kube_rule { /* what a TEXT must look like; the decoder checks it and says so in words */
                 KUBE_ANY,     /* at most 64 KiB of UTF-8 without NUL */
                 KUBE_SHORT,   /* 1 to 256 bytes without control characters */
                 KUBE_NAME,    /* RFC 1123 subdomain, ≤ 253 bytes */
                 KUBE_SECTION, /* RFC 1123 label-like name of a rule or listener, ≤ 63 bytes */
                 KUBE_GROUP,   /* of an API: "", or as a name */
                 KUBE_KIND,    /* of an object: letters, digits and '-', ≤ 63 bytes */
                 KUBE_HEADER,  /* field name: token, ≤ 256 bytes */
                 KUBE_HEADER_VALUE, /* field content, ≤ 4096 bytes */
                 KUBE_METHOD,       /* token, ≤ 24 bytes, upper case */
                 KUBE_HOSTNAME, /* lower-case DNS name, or *. and one; ≤ 253 bytes; no port, no
                                   address */
                 KUBE_CIDR,     /* 10.0.0.0/8, 2001:db8::/32, or an address */
                 KUBE_URI,      /* http:// or https://, ≤ 2048 bytes, no space, no fragment */
                 KUBE_CLOCK,    /* 08:00, 24:00 */
                 KUBE_RULES
};

struct kube_pair {
    struct str key, value;
};
struct kube_port { /* number == 0 and name.n == 0: absent */
    uint16_t number;
    struct str name;
};

/* Forward, so that parts may be in any order. */
#define KIND(Name, group, version, plural, brief, scope, strictness, doc, ...)
#define PART(name, doc, ...) struct kube_##name;
#include "controller/kube/kinds.def"
#undef PART

#define REQUIRED(field)    field
#define FILLED(field)      field
#define LATER(what, field) field
#define RULE(cel, sentence)
#define COLUMN(name, path)
#define TEXT(c, json, rule, doc)       struct str c;
#define PICK(c, json, words, def, doc) struct str c;
#define BOOL(c, json, def, doc)        bool c;
#define INT(c, json, min, max, doc)    int64_t c;
#define SPAN(c, json, doc)             int64_t c;
#define SIZE(c, json, doc)             int64_t c;
#define MAYBE(c, json, doc)            int64_t c;
#define WORD(c, json, words, def, doc) enum model_##words c;
#define CHOICE(c, json, words, doc)    enum model_##words c;
#define TEXTS(c, json, rule, most, doc)                                                            \
    struct str *c;                                                                                 \
    uint32_t n_##c;
#define PICKS(c, json, words, doc)                                                                 \
    struct str *c;                                                                                 \
    uint32_t n_##c;
#define INTS(c, json, min, max, most, doc)                                                         \
    int64_t *c;                                                                                    \
    uint32_t n_##c;
#define ONE(c, json, part, doc) struct kube_##part *c;
#define MANY(c, json, part, most, doc)                                                             \
    struct kube_##part *c;                                                                         \
    uint32_t n_##c;
#define PAIRS(c, json, doc)                                                                        \
    struct kube_pair *c;                                                                           \
    uint32_t n_##c;
#define SECRETS(c, json, b64, doc) PAIRS(c, json, doc)
#define PORT(c, json, doc)         struct kube_port c;
#define PART(name, doc, ...)                                                                       \
    struct kube_##name {                                                                           \
        __VA_ARGS__                                                                                \
    };
#undef KIND
#define KIND(Name, group, version, plural, brief, scope, strictness, doc, ...)                     \
    struct kube_##Name {                                                                           \
        __VA_ARGS__                                                                                \
        char none_; /* a kind of which no field is read is not empty */                            \
    };
#include "controller/kube/kinds.def"
#undef REQUIRED
#undef FILLED
#undef LATER
#undef RULE
#undef COLUMN
#undef TEXT
#undef PICK
#undef BOOL
#undef INT
#undef SPAN
#undef SIZE
#undef MAYBE
#undef WORD
#undef CHOICE
#undef TEXTS
#undef PICKS
#undef INTS
#undef ONE
#undef MANY
#undef PAIRS
#undef SECRETS
#undef PORT
#undef PART
#undef KIND

struct kube_meta {
    struct str namespace, name;  /* namespace: n == 0 for cluster-scoped; "default" when absent */
    struct str resource_version; /* n == 0 from a directory */
    struct str uid;
    uint64_t generation; /* 0 from a directory */
    uint64_t created;    /* seconds since 1970; 0 = absent, counts as newest */
    bool deleting;       /* deletionTimestamp is set */
    struct str manager;  /* who changed it last (managedFields, but of its status); n == 0: unknown.
                            It and the time are no part of the hash */
    uint64_t changed;    /* when; seconds since 1970, 0 = unknown */
    struct kube_pair *labels, *annotations;
    uint32_t n_labels, n_annotations;
};

/* Where it was read; for messages and `sluicectl explain`. */
struct resource_origin {
    struct str file; /* n == 0: the API server */
    uint32_t line;   /* 1.. of the document's start; 0 unknown */
};

struct resource {
    uint32_t holds;
    enum kube_kind kind;
    struct kube_meta meta;
    struct resource_origin from;
    uint64_t hash;     /* of all that is read: equal hash, equal meaning (metadata that
                          nobody reads, as resourceVersion or managedFields, is left out) */
    struct str status; /* JSON, as the API server has it; of kinds that have one of ours.
                          n == 0: none. No part of the hash */
    uint32_t seen;     /* the source's own: the number of the list that had it last */
    bool fresh; /* the source's: it has just come, by a stream of its own, so that what it names may
                   still be on its way by another one */
    const struct why *refused; /* why the fields could not be read; NULL: they could */
    const void *fields;        /* struct kube_KIND; NULL when refused */
    struct arena arena;
};

/* NULL with *why when it is not an object that can even be named (no kind, no name, unknown kind);
 * *foreign is set when it is simply none of ours to judge (an unknown group). json is borrowed. */
struct resource *resource_new(const struct cJSON *json, const struct resource_origin *from,
                              bool *foreign, struct why *why);
/* The same of an object that cannot be used for a reason that its reader knows: refused. */
struct resource *resource_new_refused(const struct cJSON *json, const struct resource_origin *from,
                                      const struct why *refused, bool *foreign, struct why *why);
struct resource *resource_hold(struct resource *r);
void resource_drop(struct resource *r); /* NULL is fine */

/* const struct kube_Route *resource_Route(r): NULL if it was refused; dies if it is another kind.
 */
#define PART(name, doc, ...)
#define KIND(Name, group, version, plural, brief, scope, strictness, doc, ...)                     \
    static inline const struct kube_##Name *resource_##Name(const struct resource *r) {            \
        must(r->kind == KUBE_##Name);                                                              \
        return (const struct kube_##Name *)r->fields;                                              \
    }
#include "controller/kube/kinds.def"
#undef PART
#undef KIND

/* Whom a policy that was refused names, as far as it can be read. Blind: an element without a kind
 * or a name, or no targetRefs at all; nobody knows whom it is about. Nothing of it was checked. */
struct kube_named {
    struct kube_target_ref *refs;
    uint32_t n;
    bool blind;
};
const struct kube_named *resource_named(const struct resource *r); /* refused, and has targetRefs */

struct kube_kind_info {
    const char *kind, *group, *version, *plural;
    const char *brief; /* its short name for kubectl; "" */
    enum kube_scope scope;
    enum kube_strictness strictness;
    const char *doc;
};
extern const struct kube_kind_info kube_kinds[KUBE_KINDS];      /* [KUBE_NONE].kind is "" */
enum kube_kind kube_kind_of(struct str group, struct str kind); /* KUBE_NONE if there is none */
bool kube_is_ours(enum kube_kind kind);                         /* of the group sluice.dev */
bool kube_has_status(enum kube_kind kind); /* one that we write: of ours, and of Ingress */

/* n == 0 and p == NULL if there is none. */
struct str resource_label(const struct resource *r, struct str key);
struct str resource_annotation(const struct resource *r, struct str key);
/* A value of a Secret that was not refused, as bytes; of two under one key that of stringData, as
 * in Kubernetes. p == NULL if there is none. */
struct str resource_secret(const struct resource *r, struct str key);
/* The same of a ConfigMap. */
struct str resource_config(const struct resource *r, struct str key);
/* "Route shop/catalog" (or "IngressClass sluice"): the name in every message. */
void resource_print_name(const struct resource *r, struct out *o);
/* One JSON object that resource_read() makes the same resource of, hash and all, with what is read
 * of it alone. Not of a Secret, and not of one that was refused. */
void resource_write(const struct resource *r, struct out *o);
/* NULL with *why; also when it is refused. */
struct resource *resource_read(const struct cJSON *json, struct why *why);

#endif
