/* SPDX-License-Identifier: Apache-2.0
 *
 * apply: what this proxy serves, and how a transaction changes it.
 *
 *   begin            staging starts empty; one that was open is dropped whole
 *   hold put del     staged: id → new object, or its removal
 *   commit           the digest of what would be must be the one in the message, and the builder
 *                    must accept every object; then, and only then, is anything replaced
 *   adopted          every worker has the snapshot: ack
 *
 * Anything else leaves the last good state whole: a nack with the faults, a link that dies in the
 * middle. Digests that differ are answered with a nack without faults and a fresh hello, so that
 * the controller sends what differs. Main thread.
 */
#ifndef SLUICE_PROXY_CONFIG_APPLY_H
#define SLUICE_PROXY_CONFIG_APPLY_H

#include "lib/wire.h"

struct apply;
struct snapshot;

struct apply_events {
    void (*publish)(void *arg, struct snapshot *s); /* takes the hold of s */
    void (*ack)(void *arg, const struct wire_ack *m);
    void (*nack)(void *arg, const struct wire_nack *m);
    void (*greet)(void *arg);    /* the followed controller must be told hello again */
    void (*accepted)(void *arg); /* the objects have changed: write them down */
    /* A backend has come (no before), has changed or has gone (no after). */
    void (*backend)(void *arg, const struct object *before, const struct object *after);
};

struct apply *apply_new(const struct apply_events *events, void *arg);
void apply_free(struct apply *a);

/* Objects of the last good file, each taken. What the builder refuses is left out, with a line in
 * the log. False: nothing is served now. */
bool apply_load(struct apply *a, struct object **objects, size_t n);

/* A message of the followed controller. Types that are no part of a transaction are ignored. */
void apply_message(struct apply *a, const struct wire_message *m);
void apply_abort(struct apply *a); /* its link died */
/* Every worker serves the snapshot of this serial, or a later one. */
void apply_adopted(struct apply *a, uint64_t serial);

/* Objects of the proxy's own making, for the snapshots only: they are in no digest, file or answer.
 * Each is held as long as it is needed; one of kind MODEL_KIND_NONE removes that of its id.
 * Publishes a snapshot. */
void apply_local(struct apply *a, struct object *const *objects, size_t n);

bool apply_ready(const struct apply *a); /* a configuration is applied */
uint64_t apply_revision(const struct apply *a);
size_t apply_count(const struct apply *a);
/* Fills all but name and follow; digest lies in room. */
void apply_hello(const struct apply *a, struct wire_hello *m, char room[WIRE_DIGEST_BYTES]);
/* The objects, each held once for the caller, that ids match (NULL: all). *n of them; mem_free the
 * array. */
struct object **apply_objects(const struct apply *a, const struct wire_ids *ids, size_t *n);

#endif
