/* SPDX-License-Identifier: Apache-2.0
 *
 * clock: what time it is. Leases and waits go by CLOCK_BOOTTIME, which also runs while the machine
 * is suspended: a leader that slept must not think that no time has passed. The other one, of the
 * calendar, is only ever written down.
 */
#ifndef SLUICE_CONTROLLER_STATUS_CLOCK_H
#define SLUICE_CONTROLLER_STATUS_CLOCK_H

#include "lib/out.h"

uint64_t status_now_ms(void);
uint64_t status_unix_s(void);

void status_print_time(uint64_t unix_s, struct out *o); /* 2026-01-02T03:04:05Z */
void status_print_micro_now(struct out *o);             /* 2026-01-02T03:04:05.678901Z */

#endif
