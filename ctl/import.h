/* SPDX-License-Identifier: Apache-2.0
 *
 * import: a Kong declarative file (decK, DB-less) becomes our resources.
 *
 *   file ─► kong.c      entities: flat, whether they were nested or not, references resolved
 *             │
 *             ├─► import_backend.c    service, upstream, targets ─► Service, EndpointSlice,
 * TrafficPolicy ├─► import_consumer.c   consumers, credentials     ─► Consumer, Secret ├─►
 * import_tls.c        certificates, snis         ─► Secret └─► import_route.c      routes ─► Route
 *                   ├ import_match.c    hosts, paths, methods, headers
 *                   ├ import_filter.c   plugins that change requests, answers and rates
 *                   ├ import_auth.c     plugins that ask who it is ─► AuthPolicy
 *                   └ import_order.c    where Kong would have chosen another route
 *   documents ─► import_doc.c     names, order, printing
 *   the list  ─► import_list.c    what is not as it was, the worst first
 *
 * Rule of all of it: what restricts access is translated or the route is CLOSED, that is, it keeps
 * its hosts and paths and answers 503 by itself. It is never left out, since a less specific route
 * would take its requests then. Nothing is dropped without a line in the list.
 *
 * One thread, one run; everything lives until import_fini(). Strings are borrowed from the document
 * of the file or live in the arena.
 */
#ifndef SLUICE_CTL_IMPORT_H
#define SLUICE_CTL_IMPORT_H

#include "controller/kube/rule.h"
#include "ctl/kong.h"
#include "lib/map.h"

/* Everything: documents to c->out or below c->directory, the list to c->err. */
enum ctl_exit import_run(struct ctl *c, struct kong *k);

/* ---- the list ---- */

enum import_kind {
    IMPORT_CLOSED, /* restricts access and could not be kept: it is closed until somebody decides */
    IMPORT_LOST,   /* not translated */
    IMPORT_DIFFERS, /* translated, and works in another way in some case */
    IMPORT_NOTE,    /* something to know or to do */
    IMPORT_KINDS
};

struct import_line {
    enum import_kind kind;
    struct str *objects; /* one, or several of which all the rest is the same */
    size_t n_objects;
    struct str field, value, instead;
};

/* ---- names ---- */

struct import_doc { /* a resource that will be printed */
    enum kube_kind kind;
    struct str namespace, name;
    cJSON *json;
};

/* What a route sends requests to: the same for all routes of a service. */
struct import_backend {
    const struct kong_entity *service;
    cJSON *refs;     /* backendRefs; owned */
    struct str host; /* what a backend finds in Host unless preserve_host; n == 0: nothing to do */
    struct str path; /* what stands before every path; "/" cut off at its end, n == 0: nothing */
    struct str closed; /* why nothing can be sent there; n == 0: it can */
    bool external;     /* an ExternalName gets its own name as Host */
    bool disabled;
};

struct import {
    struct ctl *c;
    struct kong *kong;
    struct str namespace, class, config; /* class, config: n == 0: not said */
    struct arena arena;

    struct import_line *lines;
    size_t n_lines;
    struct map known_lines; /* kind, field, value and sentence; to the line's place + 1 */

    struct import_doc *docs;
    size_t n_docs;
    struct map names;       /* "kind/namespace/name" that are taken */
    struct map policies;    /* spec of an AuthPolicy as text; to its name */
    struct map made;        /* what is made once: grants, policies of Services, copies of secrets */
    struct map expressions; /* "place of the route/path"; to the regular expression for it */

    struct map plugins; /* "r" or "s" and a place, or "g"; to a struct import_plugins */

    struct import_backend *backends; /* one for each service, by place */
    /* By place of each route: another one to which Kong gives requests that this one gets here, and
     * which restricts access in another way; NULL: none. */
    const struct kong_entity **outranked;
    struct str *consumers; /* name of each consumer's resource, by place */
    struct str *secrets;   /* name of each certificate's Secret, by place; n == 0: none */

    cJSON *external_names; /* what GatewayConfig must allow: a list */
    bool has_auth, has_https;
    unsigned n_plain_paths; /* that do not end at a segment */
};

/* A line. The value is shown as it is but for what looks like a secret: never give one. */
void import_say(struct import *i, enum import_kind kind, struct str object, struct str field,
                struct str value, const char *fmt, ...) PRINTF_LIKE(6, 7);
/* The list as a table, or as a document with -o json or yaml, to c->err. */
void import_print_list(struct import *i);
bool import_is_clean(const struct import *i); /* nothing worse than a note */
void import_list_fini(struct import *i);

/* Whether a field of that rule takes s. */
bool import_fits(enum kube_rule rule, struct str s);
/* "route shop-v1" or "plugin acl of route shop-v1". */
struct str import_object(struct import *i, const struct kong_entity *e);
/* A scalar or list in JSON, cut; what a secret may stand in is not shown. */
struct str import_value(struct import *i, const char *field, const cJSON *value);
/* A line for every field of json that is none of these (a NULL ends them): nothing is passed over.
 */
void import_unknown(struct import *i, const struct kong_entity *e, const cJSON *json,
                    const char *prefix, const char *const *known);

/* ---- documents ---- */

/* A free name of that kind: RFC 1123 label, made of wanted; of two that come out the same the
 * later one gets -2. */
struct str import_name(struct import *i, enum kube_kind kind, struct str namespace,
                       struct str wanted);
/* A new resource of that free name, with Kong's own name (n == 0: it has none) and tags of e (NULL:
 * none) in annotations. Owned by the import. */
cJSON *import_doc(struct import *i, enum kube_kind kind, struct str namespace, struct str name,
                  const struct kong_entity *e);
cJSON *import_spec(cJSON *doc); /* its spec, made when it is not there */
void import_annotate(cJSON *doc, const char *key, struct str value);
/* An Opaque Secret with the label of credentials; its `data`, for import_secret_add(). */
cJSON *import_secret(struct import *i, struct str namespace, struct str name,
                     const struct kong_entity *e);
void import_secret_add(cJSON *data, const char *key, struct str bytes);
cJSON *import_item(cJSON *list, cJSON *item); /* adds it and returns it */
void import_text_item(cJSON *list, struct str text);
/* All of it to c->out, or into files below c->directory. */
enum ctl_exit import_print_docs(struct import *i);
void import_docs_fini(struct import *i);

/* ---- the parts, in the order in which they run ---- */

void import_certificates(struct import *i);
/* The Secret with a certificate for that host as {name} in a new list, or NULL. */
cJSON *import_certificates_for(struct import *i, const cJSON *hostnames);
/* A copy of a certificate in another namespace; its name there, n == 0: there is none. */
struct str import_certificate_in(struct import *i, const struct kong_entity *certificate,
                                 struct str namespace);
/* A ConfigMap with those authorities in that namespace, likewise. */
struct str import_authorities_in(struct import *i, const cJSON *ids, struct str namespace);

void import_backends(struct import *i);
struct import_backend *import_backend_of(struct import *i, const struct kong_entity *service);
/* Name of a host in the cluster, "orders.shop.svc" and what follows. */
bool import_is_cluster(struct str host, struct str *name, struct str *namespace);

void import_consumers(struct import *i);

void import_routes(struct import *i);
void import_order(struct import *i); /* before the routes; needs the expressions */
void import_config(struct import *i);

/* ---- a route ---- */

enum { IMPORT_HOSTS = 64, IMPORT_MATCHES = 64, IMPORT_RULES = 256 }; /* of a Route */

/* A route on its way. */
struct import_route {
    const struct kong_entity *e;
    struct import_backend *backend; /* NULL: a route without service */
    struct str object;              /* for the list */
    struct str closed;              /* why it is; n == 0: it is open */
    cJSON *hostnames;               /* NULL: any */
    cJSON *headers;                 /* of every match; NULL: none */
    cJSON *prefixes, *expressions;  /* matches by type of path */
    cJSON *guards;                  /* matches that must not fall to another route */
    bool strip;
    bool restricted;    /* it has an AuthPolicy or is closed */
    bool authenticated; /* its callers are known */
    bool nowhere;       /* none of its hosts can be written: nothing is served */
};

void import_close(struct import *i, struct import_route *r, struct str object, struct str field,
                  struct str value, const char *fmt, ...) PRINTF_LIKE(6, 7);

/* Before all routes: the regular expressions, with the order that regex_priority gives them. */
void import_expressions(struct import *i);
void import_match(struct import *i, struct import_route *r);
/* Whether a path is a regular expression, and which ("~" is no part of it). */
bool import_is_regex(const struct import *i, struct str path, struct str *expression);
/* What every path that an expression matches begins with. */
struct str import_literal(struct str expression);
/* Whether a route is about HTTP, is switched on and says what it takes in a way that is read. */
bool import_is_served(struct import *i, const struct kong_entity *route);
/* Whether a request can be for the hosts of both. */
bool import_share_host(const struct kong_entity *a, const struct kong_entity *b);
/* Appends s so that a regular expression takes it for what it is. */
void import_quote(struct out *o, struct str s);
/* A match for each method: {path: {type, value}, method, headers}. */
void import_add_matches(struct import *i, struct import_route *r, cJSON *to, const char *type,
                        struct str value);
/* Matches for what Kong's paths take and ours do not, or the other way round, where another route
 * with other restrictions is behind: they are answered with 404. */
void import_guard(struct import *i, struct import_route *r);

/* Plugins of one route, of one service, or global ones; none of a consumer, none switched off. */
struct import_plugins {
    const struct kong_entity *plugin;
    struct import_plugins *next;
};
void import_index_plugins(struct import *i);
/* The plugin of that name that counts for a route: its own, else its service's, else the global
 * one; never one of consumers. NULL: none, or it is switched off. */
const struct kong_entity *import_plugin(struct import *i, const struct kong_entity *route,
                                        const char *name);
/* config, with what _plugin_configs says below it. Never NULL. */
const cJSON *import_plugin_config(struct import *i, const struct kong_entity *plugin);

/* What filters cannot say closes the route, before any are made. */
void import_check_filters(struct import *i, struct import_route *r);
/* Filters of a rule, in order, or NULL; *direct is set when one of them answers. prefix is what its
 * paths begin with, when that is one; n == 0: they are expressions, or several. */
cJSON *import_filters(struct import *i, struct import_route *r, bool expression, struct str prefix,
                      bool *direct);
/* Limits: a TrafficPolicy for those Routes (names), when there are any. */
void import_traffic(struct import *i, struct import_route *r, const cJSON *routes,
                    bool authenticated);
/* Of a consumer's rate-limiting: a quota, or NULL. */
cJSON *import_quota(struct import *i, const struct kong_entity *plugin);
/* Plugins that are not translated: closes what may deny. */
void import_other_plugins(struct import *i, struct import_route *r);
/* Whether a has a plugin that restricts access and b has not just that one. */
bool import_is_stricter(struct import *i, const struct kong_entity *a, const struct kong_entity *b);
/* Whether a plugin of a consumer or of its groups may deny what is not kept; says so. */
bool import_disables(struct import *i, const struct kong_entity *consumer);

/* The AuthPolicy of a route; n == 0: it needs none. Perhaps it closes the route. */
struct str import_auth(struct import *i, struct import_route *r);
/* Methods for the JWT credentials of consumers, a method for each, at the end of the list. */
void import_jwt_methods(struct import *i, struct import_route *r, const struct kong_entity *plugin,
                        cJSON *methods);
/* "jwt-3": the method of a credential whose tokens do not stand for its Consumer; n == 0: they do.
 */
struct str import_jwt_alone(struct import *i, const struct kong_entity *credential);
/* The first jwt plugin, which says how secrets are kept; NULL: there is none. */
const struct kong_entity *import_jwt_plugin(struct import *i);
/* A ConfigMap with a public key as a JSON Web Key Set; n == 0: it is no key of that algorithm. */
struct str import_jwks(struct import *i, const struct kong_entity *credential);
bool import_has_group(const struct import *i, const struct kong_entity *consumer, struct str group);
/* Whether a text is a reference to a vault, and no secret. */
bool import_is_vault(struct str s);

#endif
