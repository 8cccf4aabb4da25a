/* SPDX-License-Identifier: Apache-2.0
 *
 * main_keysets: what compile wants fetched goes to keysets, and what came of it back to compile.
 */
#ifndef SLUICE_CONTROLLER_MAIN_KEYSETS_H
#define SLUICE_CONTROLLER_MAIN_KEYSETS_H

#include "controller/fetch/keysets.h"
#include "controller/main_turn.h"

struct main_keysets;

struct main_keysets *main_keysets_new(struct event_base *base, struct turn *turn);
void main_keysets_free(struct main_keysets *m); /* before the turn */
struct keysets *main_keysets_sets(struct main_keysets *m);

#endif
