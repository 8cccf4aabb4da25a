/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/main_signing.h"

#include "controller/trust/signing.h"
#include "lib/log.h"
#include "lib/mem.h"

#include <event2/event.h>
#include <time.h>

struct main_signing {
    struct turn *turn;
    struct event *due;
    struct signing keys;
    uint32_t period_s;
};

static void on_due(evutil_socket_t fd, short what, void *arg) {
    struct main_signing *m = arg;
    int64_t now = (int64_t)time(NULL);
    (void)fd, (void)what;
    if (signing_renew(&m->keys, now, m->period_s))
        turn_keys(m->turn, signing_object(&m->keys));
    int64_t wait = signing_due(&m->keys) - now;
    struct timeval tv = {(time_t)(wait > 0 ? wait : 1), 0};
    evtimer_add(m->due, &tv);
}

/* Put again in any case: what proxies have counts for this controller from now on. */
static void on_recalled(void *arg, const struct object *o) {
    struct main_signing *m = arg;
    if (o && signing_read(&m->keys, object_bytes(o))) {
        log_info("main", "the keys of internal tokens are those that the fleet has");
        turn_keys(m->turn, signing_object(&m->keys));
    }
    on_due(-1, 0, m);
}

struct main_signing *main_signing_new(struct event_base *base, struct turn *turn,
                                      uint32_t period_s) {
    struct main_signing *m = mem_zalloc(sizeof(*m));
    m->turn = turn;
    m->period_s = period_s;
    m->due = evtimer_new(base, on_due, m);
    must(m->due);
    turn_recall(turn, SIGNING_KEYS_ID, on_recalled, m);
    return m;
}

void main_signing_free(struct main_signing *m) {
    if (!m)
        return;
    event_free(m->due);
    signing_fini(&m->keys);
    mem_free(m);
}
