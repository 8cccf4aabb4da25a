/* SPDX-License-Identifier: Apache-2.0
 *
 * answer: have messages for a controller's get. The fleet is the memory of what was last good; an
 * answer may be all of it, so it leaves piece by piece, as the link takes it. One per controller.
 * Main thread.
 */
#ifndef SLUICE_PROXY_CONFIG_ANSWER_H
#define SLUICE_PROXY_CONFIG_ANSWER_H

#include "lib/list.h"
#include "proxy/config/apply.h"
#include "proxy/config/link.h"

enum { ANSWERS_MAX = 64 }; /* waiting questions of one controller; more are dropped */

struct answers {
    struct list queue;
    unsigned n;
    size_t window; /* bytes on their way */
};

void answers_init(struct answers *s);
void answers_fini(struct answers *s); /* also when the link is lost; init again */
void answers_add(struct answers *s, const struct apply *a, const struct wire_get *m);
void answers_sent(struct answers *s, size_t cost);
void answers_feed(struct answers *s, struct link *l, int controller);

#endif
