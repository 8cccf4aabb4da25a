/* SPDX-License-Identifier: Apache-2.0
 *
 * writer: keeps the status of every object at the API server as it should be. Nothing is queued but
 * names: what is written is computed at the moment at which it is sent.
 *
 *     compile: status changed ──► look ──► equal: nothing
 *     store: a newer version        ▲ └──► waiting, for acks or a moment (when.h)
 *     push: acks, proxies ──────────┘ └──► due ──► PATCH .../status, at most 8 at once and 50/s
 *                                                     └─ 409: look again when the store has news
 *
 * What stands there is what the store has read, or what we have just written, until the store has
 * read that. So a controller that starts anew compares, and writes nothing.
 *
 * What somebody else writes over what we wrote is put right once; then it is theirs until there is
 * something new to say. So two controllers that do not know of each other do not fight.
 *
 * Only the leader does any of it: one that leads no more drops all that it had in mind. Before each
 * request the host is asked whether we still lead; and each carries the resourceVersion that it was
 * computed from. The store's thread; looking is done in slices, so that compiling never waits long.
 */
#ifndef SLUICE_CONTROLLER_STATUS_WRITER_H
#define SLUICE_CONTROLLER_STATUS_WRITER_H

#include "controller/kube/client.h"
#include "controller/status/body.h"
#include "controller/status/event.h"
#include "controller/status/fault.h"
#include "controller/status/status.h"

struct event_base;
struct status_writer;

struct writer_config {
    struct event_base *base;
    struct kube_client *client;
    const struct store *store;
    const struct compiler *compiler;
    struct events *events;
    struct faults *faults;
    struct status_fleet fleet;
    bool (*leads)(void *arg); /* by the clock of now */
    void *arg;
};

struct status_writer *writer_new(const struct writer_config *config);
void writer_free(struct status_writer *w); /* requests under way are cancelled; NULL is fine */

/* ---- what happens ---- */

/* We lead from now on, and everything is looked at; or no longer. */
void writer_lead(struct status_writer *w, bool leads);
void writer_changed(struct status_writer *w, const struct resource *r); /* compile_sink.status */
/* store_on_version(). */
void writer_version(struct status_writer *w, const struct resource *was,
                    const struct resource *now);
/* A proxy acked, came, went or fell behind. So many are ready; of these so many are behind. */
void writer_fleet(struct status_writer *w, size_t ready, size_t behind);
/* What Ingresses are told; NULL: not known yet, or no more; then they are left alone. Copied. */
void writer_addresses(struct status_writer *w, const struct addresses *a);

/* Takes our addresses off all Ingresses; then done(), also when that took too long. Nothing else is
 * written any more. */
void writer_leave(struct status_writer *w, uint64_t within_ms, void (*done)(void *arg), void *arg);

/* ---- numbers ---- */

struct writer_counters {
    uint64_t writes[KUBE_KINDS]; /* that succeeded */
    uint64_t conflicts;          /* 409 */
    uint64_t failures;           /* anything else */
    uint64_t overwritten;        /* statuses that somebody else writes as well */
};
const struct writer_counters *writer_counters(const struct status_writer *w);
size_t writer_pending(const struct status_writer *w); /* objects that are to be written */

#endif
