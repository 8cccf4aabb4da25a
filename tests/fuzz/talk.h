/* SPDX-License-Identifier: Apache-2.0
 *
 * talk: the other end of a connection that is fuzzed.
 */
#ifndef SLUICE_TESTS_FUZZ_TALK_H
#define SLUICE_TESTS_FUZZ_TALK_H

#include "lib/base.h"

#include <sys/socket.h>

/* It sends its n bytes in pieces of step and takes what it is sent; turn() is one turn of the loop
 * that serves it. When nothing has moved for so many turns it goes. */
static void talk(int fd, const char *p, size_t n, size_t step, void (*turn)(void), unsigned turns) {
    char sink[65536];
    for (unsigned still = 0; still < turns;) {
        size_t k = size_min(step, n);
        ssize_t sent = k > 0 ? send(fd, p, k, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;
        if (sent > 0) {
            p += sent;
            n -= (size_t)sent;
        }
        turn();
        ssize_t got = recv(fd, sink, sizeof(sink), MSG_DONTWAIT);
        still = sent > 0 || got > 0 ? 0 : still + 1;
        if (got == 0)
            return;
    }
}

#endif
