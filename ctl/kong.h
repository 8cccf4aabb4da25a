/* SPDX-License-Identifier: Apache-2.0
 *
 * kong: the declarative file of Kong as decK writes it, formats 1.1, 2.1 and 3.0, YAML or JSON.
 *
 * Entities may be nested in each other (a route in its service, a credential in its consumer) or
 * stand at the top and refer by name or id; here they are flat, in the order of the file, and point
 * at each other. The text is hostile: everything is looked at with its type, and what is of another
 * one is refused with the line of its object (YAML; JSON has none).
 */
#ifndef SLUICE_CTL_KONG_H
#define SLUICE_CTL_KONG_H

#include "controller/kube/yaml.h"
#include "ctl/doc.h"
#include "lib/arena.h"
#include "lib/map.h"

enum kong_type {
    KONG_SERVICE,
    KONG_ROUTE,
    KONG_CONSUMER,
    KONG_GROUP,
    KONG_UPSTREAM,
    KONG_TARGET,
    KONG_CERTIFICATE,
    KONG_SNI,
    KONG_AUTHORITY,
    KONG_PLUGIN,
    KONG_API_KEY,
    KONG_JWT,
    KONG_BASIC,
    KONG_HMAC,
    KONG_ACL,
    KONG_TYPES
};

struct kong_entity {
    enum kong_type type;
    const cJSON *json;
    const char *name; /* username of a consumer, host of ...; "" if there is none */
    const char *id;
    const struct kong_entity *of[KONG_TYPES]; /* what it is in or refers to; NULL: nothing */
    size_t place;                             /* among those of its type */
};

struct kong_list {
    struct kong_entity **all; /* in the order of the file */
    size_t n;
};

struct kong {
    cJSON *json;
    struct kong_list lists[KONG_TYPES];
    bool tilde;  /* format 3: regular expressions begin with ~ */
    bool hashed; /* _transform: false: passwords are hashes already */
    struct arena arena;
    struct map ids; /* "type/name" and "type/id" */
    struct why *why;
};

/* -1 with *why, whose object is the place; end with kong_fini() in either case. */
int kong_open(struct kong *k, const char *path, struct why *why) MUST_USE;
/* The same of a text; path is for messages alone. */
int kong_read(struct kong *k, struct str text, enum yaml_form form, const char *path,
              struct why *why) MUST_USE;
void kong_fini(struct kong *k);

const char *kong_type_name(enum kong_type type); /* "route" */
/* By name or id; NULL if there is none. */
const struct kong_entity *kong_find(const struct kong *k, enum kong_type type, struct str name);
/* By a name, or {name}, {id}, {username}; NULL if it is absent or there is none. */
const struct kong_entity *kong_ref(const struct kong *k, enum kong_type type, const cJSON *ref);

/* for (const struct kong_entity *e = NULL; (e = kong_next(k, KONG_ROUTE, e));) */
const struct kong_entity *kong_next(const struct kong *k, enum kong_type type,
                                    const struct kong_entity *e);

/* ---- fields: what is not there, or null, is what holds without it ---- */

struct str kong_text(const cJSON *from, const char *name);
bool kong_bool(const cJSON *from, const char *name, bool otherwise);
int64_t kong_int(const cJSON *from, const char *name, int64_t otherwise);
/* A list, of strings alone; NULL if it is not there or empty. */
const cJSON *kong_texts(const cJSON *from, const char *name);
bool kong_enabled(const struct kong_entity *e);

#endif
