/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/main_tickets.h"

#include "controller/trust/tickets.h"
#include "lib/log.h"
#include "lib/mem.h"

#include <event2/event.h>
#include <time.h>

struct main_tickets {
    struct turn *turn;
    struct event *due;
    struct tickets keys, sessions;
    bool recalled; /* it is known which sessions the fleet has */
    uint32_t period_s;
};

static void on_due(evutil_socket_t fd, short what, void *arg) {
    struct main_tickets *m = arg;
    int64_t now = (int64_t)time(NULL);
    (void)fd, (void)what;
    if (tickets_renew(&m->keys, now, m->period_s))
        turn_keys(m->turn, tickets_object(&m->keys));
    if (m->recalled && tickets_renew(&m->sessions, now, SESSION_PERIOD_S))
        turn_keys(m->turn, tickets_sessions_object(&m->sessions));
    int64_t due = tickets_due(&m->keys), other = m->recalled ? tickets_due(&m->sessions) : due;
    int64_t wait = (due < other ? due : other) - now;
    struct timeval tv = {(time_t)(wait > 0 ? wait : 1), 0};
    evtimer_add(m->due, &tv);
}

/* Put again in any case: what proxies have counts for this controller from now on. */
static void on_recalled(void *arg, const struct object *o) {
    struct main_tickets *m = arg;
    m->recalled = true;
    if (o && tickets_read(&m->sessions, object_bytes(o))) {
        log_info("main", "the keys of sessions are those that the fleet has");
        turn_keys(m->turn, tickets_sessions_object(&m->sessions));
    }
    on_due(-1, 0, m);
}

struct main_tickets *main_tickets_new(struct event_base *base, struct turn *turn,
                                      uint32_t period_s) {
    struct main_tickets *m = mem_zalloc(sizeof(*m));
    m->turn = turn;
    m->period_s = period_s;
    m->due = evtimer_new(base, on_due, m);
    must(m->due);
    turn_recall(turn, SESSION_KEYS_ID, on_recalled, m);
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
