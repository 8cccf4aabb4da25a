/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/upstream/aside.h"

static const struct upstream_ops *ops_of(const struct upstream *u) {
    return ((const struct aside *)u->owner)->ops;
}

static void on_ready(struct upstream *u) { ops_of(u)->ready(u); }
static void on_readable(struct upstream *u) { ops_of(u)->readable(u); }
static void on_sent(struct upstream *u, size_t lent, bool all) { ops_of(u)->sent(u, lent, all); }
static void on_broken(struct upstream *u, enum conn_end why) { ops_of(u)->broken(u, why); }
static void on_timeout(struct upstream *u) { ops_of(u)->timeout(u); }
static void on_turn(struct waiter *w) { container_of(w, struct aside, waiter)->ops->turn(w); }

static struct visitor *visitor_of(const void *owner) {
    const struct aside *a = owner;
    return a->ops->visitor != NULL ? a->ops->visitor(owner) : NULL;
}

const struct upstream_ops aside_ops = {
    .ready = on_ready,
    .readable = on_readable,
    .sent = on_sent,
    .broken = on_broken,
    .timeout = on_timeout,
    .turn = on_turn,
    .visitor = visitor_of,
};
