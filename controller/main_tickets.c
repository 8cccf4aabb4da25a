/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/main_tickets.h"

#include "controller/trust/tickets.h"
#include "lib/mem.h"

#include <event2/event.h>
#include <time.h>

struct main_tickets {
    struct turn *turn;
    struct event *due;
    struct tickets keys, sessions;
    uint32_t period_s;
};

static void on_due(evutil_socket_t fd, short what, void *arg) {
    struct main_tickets *m = arg;
    int64_t now = (int64_t)time(NULL);
    (void)fd, (void)what;
    if (tickets_renew(&m->keys, now, m->period_s))
        turn_keys(m->turn, tickets_object(&m->keys));
    if (tickets_renew(&m->sessions, now, SESSION_PERIOD_S))
        turn_keys(m->turn, tickets_sessions_object(&m->sessions));
    int64_t due = tickets_due(&m->keys), other = tickets_due(&m->sessions);
    int64_t wait = (due < other ? due : other) - now;
    struct timeval tv = {(time_t)(wait > 0 ? wait : 1), 0};
    evtimer_add(m->due, &tv);
}

struct main_tickets *main_tickets_new(struct event_base *base, struct turn *turn,
                                      uint32_t period_s) {
    struct main_tickets *m = mem_zalloc(sizeof(*m));
    m->turn = turn;
    m->period_s = period_s;
    m->due = evtimer_new(base, on_due, m);
    must(m->due);
    on_due(-1, 0, m);
    return m;
}

void main_tickets_free(struct main_tickets *m) {
    if (!m)
        return;
    event_free(m->due);
    tickets_fini(&m->keys);
    tickets_fini(&m->sessions);
    mem_free(m);
}
