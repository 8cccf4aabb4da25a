/* SPDX-License-Identifier: Apache-2.0
 *
 * consumers: from a credential to the Consumer that has it; a persistent hash table as hosts.h is
 * one. There may be a million of them and each is rarely asked for, so a Consumer is kept as the
 * object that came and decoded when it is found.
 *
 *     digest (lib/credential.h) ─► page ─► key │ key │ ...      8 bytes of the digest
 *                                       └► object │ object │ ... "consumer/NAMESPACE/NAME"
 *
 * A credential that two Consumers have is nobody's: the controller lets the older one keep it, and
 * what comes here all the same is not trusted.
 *
 * A second such table finds them by name; it is there while a policy needs it (builder.c):
 *
 *     "NAMESPACE/NAME", hashed with this process's key ─► page ─► object
 */
#ifndef SLUICE_PROXY_ROUTE_CONSUMERS_H
#define SLUICE_PROXY_ROUTE_CONSUMERS_H

#include "lib/credential.h"
#include "lib/model.h"
#include "proxy/route/keeper.h"

enum { CONSUMER_PAGE = 256 /* places */, NO_METHOD = 255 };

struct consumer_page {
    struct part part;
    uint32_t n;
    uint64_t key[CONSUMER_PAGE];
    uint8_t method[CONSUMER_PAGE];        /* enum model_auth_method; NO_METHOD: free */
    struct object *object[CONSUMER_PAGE]; /* NULL: free */
};

struct consumer_root {
    struct part part;
    uint32_t n_pages;
    struct consumer_page *page[];
};

struct consumers {
    struct consumer_root *root; /* NULL: empty */
    uint32_t n;                 /* credentials */
    uint32_t n_fleet;           /* Consumers with a quota over all proxies */
};

/* Main thread: what changes. The object's strings stay where they are; whoever has the table holds
 * a count of each object. */
void consumers_add(struct keeper *k, struct consumers *c, struct object *o);
void consumers_remove(struct keeper *k, struct consumers *c, struct object *o);
void consumers_retire(struct keeper *k, struct consumers *c); /* the pages alone */
/* The same in a table by name, one place each. */
void consumers_add_name(struct keeper *k, struct consumers *c, struct object *o);
void consumers_remove_name(struct keeper *k, struct consumers *c, struct object *o);
/* Room for so many at once, in a table that is empty. */
void consumers_expect(struct keeper *k, struct consumers *c, size_t n);

/* One that was found; all of it is in the arena and in the object. */
struct consumer_found {
    struct str id; /* "NAMESPACE/NAME" */
    const struct model_consumer *consumer;
    const struct model_credential *credential; /* that was shown; NULL: it was named */
    uint64_t hash;                             /* of all that it is now */
};

/* Workers. False: nobody has it, or more than one. */
bool consumers_find(const struct consumers *c, enum model_auth_method method,
                    const char digest[CREDENTIAL_DIGEST], struct arena *a,
                    struct consumer_found *found);

/* In a table by name: "NAMESPACE/NAME". False: there is none, or it is disabled. */
bool consumers_named(const struct consumers *c, struct str name, struct arena *a,
                     struct consumer_found *found);

/* One that has a credential of that method, chosen by seed. False: there is none where it looks,
 * which is 64 pages. */
bool consumers_some(const struct consumers *c, enum model_auth_method method, uint64_t seed,
                    struct arena *a, struct consumer_found *found);

/* "shop/alice" of an object of that kind, or of its id. */
struct str consumer_name(struct str id);

#endif
