/* SPDX-License-Identifier: Apache-2.0
 *
 * fetched: what units of compilation want to have fetched (controller/fetch/keysets.h), and what
 * came of it. Compile itself fetches nothing: main takes the wants after each compile_run() and
 * brings back results, as it does with Secrets.
 *
 *     AuthPolicy ── fetched_read(want) ──► compile_wants() ──► keysets_want()
 *         ▲                                                        │
 *         └── touched: "fetched/KEY" ◄── compile_fetched() ◄───────┘ changed()
 *
 * A want lives as long as some unit has read it in its last compile: who asks no more has no need
 * to say so. A unit that is held as its last good version reads what that wants as well.
 *
 * What nobody knows yet (KEYSET_PENDING) holds the unit that reads it, as a Secret does that was
 * not read yet: what it made stays as it is; if it never made anything here (the controller has
 * just started), its objects are lost and come back from the fleet. Those stay when the first
 * attempts fail, too: the issuer may be down while we restart, and each key_set carries the time
 * after which no proxy uses it. Else what has failed and never was good, or is stale, is a fact
 * like any other: the unit closes what it guards, and says why.
 */
#ifndef SLUICE_CONTROLLER_COMPILE_FETCHED_H
#define SLUICE_CONTROLLER_COMPILE_FETCHED_H

#include "controller/compile/unit.h"
#include "controller/fetch/keyset.h"

/* The result for a want of m->u, which it has from now on; copied. Never NULL; m->keep is set when
 * it is KEYSET_PENDING, or KEYSET_FAILED and the unit's objects are the fleet's. Borrowed until
 * compile_run() ends. Keys of two units must differ. */
const struct keyset *fetched_read(struct making *m, const struct keyset_want *want);

void fetched_init(struct compiler *c);
void fetched_fini(struct compiler *c);

#endif
