/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/status/clock.h"

#include <time.h>

static struct timespec read_clock(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return t;
}

uint64_t status_now_ms(void) {
    struct timespec t = read_clock(CLOCK_BOOTTIME);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

uint64_t status_unix_s(void) { return (uint64_t)read_clock(CLOCK_REALTIME).tv_sec; }

static void print(time_t t, struct out *o) {
    struct tm tm;
    char room[32];
    gmtime_r(&t, &tm);
    out_str(o, str_mk(room, strftime(room, sizeof(room), "%Y-%m-%dT%H:%M:%S", &tm)));
}

void status_print_time(uint64_t unix_s, struct out *o) {
    print((time_t)unix_s, o);
    out_char(o, 'Z');
}

void status_print_micro_now(struct out *o) {
    struct timespec t = read_clock(CLOCK_REALTIME);
    print(t.tv_sec, o);
    out_fmt(o, ".%06ldZ", t.tv_nsec / 1000);
}
