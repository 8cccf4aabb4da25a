/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/errand/errand.h"

struct errand *errand_about(const struct errands *all, const void *about) {
    struct errand *e = all->first;
    while (e && e->about != about)
        e = e->next;
    return e;
}

void errand_begin(struct errands *all, struct errand *e, const void *about,
                  void (*drop)(struct errand *e)) {
    *e = (struct errand){.next = all->first, .home = all, .about = about, .drop = drop};
    all->first = e;
}

void errand_done(struct errand *e, enum reason reason) {
    e->is_done = true;
    e->reason = reason;
    e->home->done(e->home);
}

void errands_drop_all(struct errands *all) {
    while (all->first) {
        struct errand *e = all->first;
        all->first = e->next;
        e->drop(e);
    }
}

bool errands_run(const struct errands *all) {
    for (const struct errand *e = all->first; e; e = e->next)
        if (!e->is_done)
            return true;
    return false;
}
