/* SPDX-License-Identifier: Apache-2.0
 *
 * build: what the files of the builder share; nobody else includes it. Main thread.
 *
 *     node        one id: its object, what was made of it, whom it reads and who reads it. A node
 *                 whose object is not there (yet, or any more) waits for it as long as it is read.
 *     edge        "from names to": route → host, backend, traffic, auth; backend → endpoints,
 *                 traffic; host, listener → certificate; auth → key_set, backend
 *     site        one host name: the host objects of that name, and the vhost made of their routes
 *
 *     builder_put/del ──► staged ──check──► nodes, edges, marks ──► backends ──► rules ──► sites
 *                                 (fails)   (cannot fail from here on)
 */
#ifndef SLUICE_PROXY_ROUTE_BUILD_H
#define SLUICE_PROXY_ROUTE_BUILD_H

#include "lib/hash.h"
#include "lib/keypair.h"
#include "lib/map.h"
#include "lib/mem.h"
#include "lib/object_set.h"
#include "lib/regex.h"
#include "proxy/route/auth.h"
#include "proxy/route/consumers.h"
#include "proxy/route/hosts.h"
#include "proxy/route/keeper.h"
#include "proxy/route/limit.h"
#include "proxy/route/pages.h"
#include "proxy/route/signing.h"
#include "proxy/route/snapshot.h"
#include "proxy/route/vhost.h"

#include <stdlib.h>

enum route_default {
#define DEFAULT(NAME, value, setting, unit) DEFAULT_##NAME = (value),
#include "proxy/route/defaults.def"
#undef DEFAULT
};

/* ---- check.c: one object by itself ---- */

/* An object, decoded and found good. */
struct parsed {
    struct part part;
    struct object *object; /* held: the strings of model are in it */
    void *model;           /* behind this struct, in the same memory */
    union {
        struct rule_regexes *regexes;   /* of a route; NULL: none */
        struct auth_patterns *patterns; /* of an AuthPolicy */
        struct jwt_keys *keys;          /* of a key set; NULL: none */
        struct signing_law *signing;    /* of signing keys; NULL: they are not shown here */
    };
    bool newer; /* something in it is of a later version than we know */
};

struct checking {
    struct issuers *issuers;
    bool redacted; /* secrets are not there, and not looked for: see builder_redacted() */
};

/* NULL with *why if the object is bad. */
struct parsed *parsed_new(struct keeper *k, const struct checking *how, struct object *o,
                          struct why *why);
void parsed_free(struct keeper *k, struct parsed *p);
/* "10.0.0.0/8", "fd00::/8", or an address alone. */
bool cidr_parse(struct str text, struct cidr *c) MUST_USE; /* settings.c */

/* ---- the graph ---- */

struct edge {
    struct node *from, *to;
    struct edge *next, **at; /* among to's readers */
};

struct node {
    struct str id; /* in object, or own_id */
    char *own_id;
    struct object *object; /* NULL: only named by others */
    union {
        struct parsed *parsed; /* NULL for kinds that are kept but not used here */
        struct node *twin;     /* a host: the next one of the same site */
    };
    union {
        struct rule_part *rule;
        struct backend_part *backend;
        struct certificate_part *certificate;
        struct auth_part *auth;
        struct limits_part *limits; /* of a traffic policy; NULL: none */
        struct site *site;
    };
    struct edge *edges, *readers;
    uint32_t n_edges;
    uint32_t slot; /* of a route, backend, certificate or auth */
    uint64_t slot_born;
    bool dirty, changed; /* to be made anew; with consequences for the readers */
    bool doomed;         /* looked at once more at the end of the transaction */
};

/* Found by name through the hosts table: its vhost is there from the first host object to the last,
 * with or without rules. */
struct site {
    struct node *hosts;
    struct vhost *vhost;
    bool dirty;
};

struct rule_part {
    struct part part;
    struct rule rule;
    struct share shares[];
};

struct backend_part {
    struct part part;
    struct backend backend;
    struct endpoint endpoints[]; /* then the texts of backend.name and backend.host */
};

struct certificate_part {
    struct part part;
    struct certificate_law certificate;
};

/* Calls each() with every mirror of a route; their number. */
uint32_t route_mirrors(const struct model_route *r,
                       void (*each)(void *arg, const struct model_mirror *m), void *arg);

/* An endpoint's identity and its number. */
struct place {
    /* address, port, family, protocols; with TLS the backend's slot and version */
    char key[32];
    uint32_t slot, generation, users;
    uint64_t born;
};

/* A policy that is named. */
struct policy_of {
    bool named;
    uint32_t slot; /* UINT32_MAX: it is not there */
};

struct settings {
    struct part part;
    const struct model_gateway *gateway;
    struct limits limits;
    bool auth_required;                    /* a route without a policy is closed */
    struct policy_of override, by_default; /* AuthPolicies that the gateway names */
    uint32_t n_trusted, n_listeners;
    struct cidr *trusted;
    struct listener_law *listeners;
    const struct model_ticket_keys *tickets;   /* NULL: none */
    const struct model_session_keys *sessions; /* likewise */
    uint32_t rate_store;                       /* slot of its backend; UINT32_MAX: none */
    struct trace_law tracing;                  /* model NULL: there are no spans */
    const struct signing_law *signing;         /* NULL: none */
    struct str class;                          /* of the gateway; n == 0: there is none */
};

struct pointers {
    void **p;
    uint32_t n, cap;
};
void pointers_add(struct pointers *list, void *p);

struct staged {
    struct str id;         /* in object, or own_id */
    struct object *object; /* NULL: to be deleted */
    struct parsed *parsed;
    char *own_id;
};

struct builder {
    struct keeper *keeper;
    struct checking checking;
    struct map nodes;  /* id → struct node */
    struct map places; /* key → struct place */
    struct map limit_slots;
    struct pointers place_of_slot;
    struct map staged_by_id; /* id → index in staged, plus one */
    struct staged *staged;   /* in order of arrival */
    size_t n_staged, staged_cap;
    struct pointers backends_dirty, auths_dirty, rules_dirty, sites_dirty, doomed;
    struct object_set consumers_by_id; /* a count each: they are no nodes */
    uint32_t n_naming;                 /* methods that find Consumers by name */
    bool settings_dirty;
    /* the current version */
    struct pages *rules, *backends, *certificates, *auths, *limits;
    struct consumers consumers, consumer_names;
    struct hosts hosts;
    uint32_t wild_count[HOST_MAX + 1]; /* vhosts whose wildcard key has so many bytes */
    uint32_t n_rules, n_backends;
    struct settings *settings;
    struct vhost_entry *entries; /* room to gather a vhost's */
    size_t entries_cap;
};

/* What a snapshot holds of the shared parts, and what only it (and older ones) still needs. */
struct snapshot_parts {
    struct list link; /* keeper.live */
    uint64_t serial;
    struct keeper *keeper;
    struct part *dead;
    const struct pages *rules, *backends, *certificates, *auths, *limits;
    struct consumers consumers, consumer_names;
    struct hosts hosts;
};
struct snapshot *snapshot_new(struct builder *b, uint64_t revision);

/* node n's object if it is there and of that kind */
static inline bool node_is(const struct node *n, enum model_kind kind) {
    return n->object && n->object->kind == (uint32_t)kind;
}
struct node *builder_node(struct builder *b, struct str id); /* NULL if unknown */

/* auth.c. Borrows m. NULL with *why. */
struct auth_patterns *auth_patterns_new(const struct model_auth *m, struct why *why);
void auth_patterns_free(struct auth_patterns *p); /* NULL is fine */
void auth_make(struct builder *b, struct node *n);
void auth_unmake(struct builder *b, struct node *n);
void terms_make(struct str ca, struct str crl, struct terms *to); /* borrows the texts */

/* limit.c. Those of a traffic policy, whenever it has come, changed or gone. */
void traffic_limits_make(struct builder *b, struct node *n);
const struct limit_law *limits_of_traffic(const struct node *traffic,
                                          uint32_t *n); /* NULL will do */
/* An AuthPolicy's, in *at; m: NULL when it goes. NULL: none counts. */
const struct limit_law *failures_make(struct builder *b, struct str id, const struct model_auth *m,
                                      struct limits_part **at);

/* ---- compile.c: joins; nothing here can fail ---- */

/* Id of the endpoints that a backend reads. */
struct str backend_endpoints(struct arena *a, const struct model_backend *m);
void backend_make(struct builder *b, struct node *n);
void backend_unmake(struct builder *b, struct node *n);
void certificate_make(struct builder *b, struct node *n);
void certificate_unmake(struct builder *b, struct node *n);
/* The slots of those that are there among ids, in their order; how many. */
uint32_t certificates_named(struct builder *b, const struct str *ids, uint32_t n, uint32_t *slots);
void rule_make(struct builder *b, struct node *n);
void rule_unmake(struct builder *b, struct node *n);
/* The site of a name; a new one has a vhost without rules. */
struct site *site_named(struct builder *b, struct str hostname);
void site_make(struct builder *b, struct site *s);
/* settings.c */
struct policy_of policy_named(struct builder *b, struct str id);
/* True if something changed that rules are made of. */
bool settings_make(struct builder *b);

#endif
