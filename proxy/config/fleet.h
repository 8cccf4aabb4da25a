/* SPDX-License-Identifier: Apache-2.0
 *
 * fleet: what the controller has told for the day when none answers: how a proxy shows a new one
 * that it is a proxy, and how it judges the new one's token without anybody's help.
 *
 *     controller ── WIRE_fleet ──► proxy ── WIRE_fleet ──► new proxy
 *                                    └── file, beside the last good one (private key: mode 0600)
 *
 * Main thread.
 */
#ifndef SLUICE_PROXY_CONFIG_FLEET_H
#define SLUICE_PROXY_CONFIG_FLEET_H

#include "lib/wire.h"
#include "lib/ws.h"

struct fleet;

/* Copies. NULL with *why: a part of it is of no use. */
struct fleet *fleet_new(const struct wire_fleet *m, struct why *why);
void fleet_free(struct fleet *f); /* NULL is fine */

struct ws_identity fleet_identity(const struct fleet *f); /* borrowed */
struct str fleet_message(const struct fleet *f);          /* encoded, as it came */
/* Whether who shows this token is a proxy. -1 with *why; else *pod, n == 0: the token names none;
 * mem_free it. */
int fleet_judge(const struct fleet *f, struct str token, int64_t now, char **pod,
                struct why *why) MUST_USE;

/* ---- the file ---- */

struct fleet_file;
struct event_base;
/* state: path of the last good file; this one is "<state>.fleet". */
struct fleet_file *fleet_file_new(struct event_base *base, const char *state);
void fleet_file_free(struct fleet_file *f);          /* NULL is fine; waits for a write that runs */
struct fleet *fleet_file_load(struct fleet_file *f); /* NULL: none, or one that is of no use */
void fleet_file_save(struct fleet_file *f, const struct fleet *fleet); /* in the background */

#endif
