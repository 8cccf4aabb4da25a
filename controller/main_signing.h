/* SPDX-License-Identifier: Apache-2.0
 *
 * main_signing: keys of internal tokens in this process alone, for a controller on a directory.
 * What was before it is in its proxies, which are asked first: else tokens of a moment ago would be
 * of a key that nobody publishes any more.
 *
 *     start ─► turn_recall ─► theirs, or new ones ─► renewed when that is due ─► turn_keys
 */
#ifndef SLUICE_CONTROLLER_MAIN_SIGNING_H
#define SLUICE_CONTROLLER_MAIN_SIGNING_H

#include "controller/main_turn.h"

struct main_signing;

struct main_signing *main_signing_new(struct event_base *base, struct turn *turn,
                                      uint32_t period_s);
void main_signing_free(struct main_signing *m); /* NULL is fine */

#endif
