/* SPDX-License-Identifier: Apache-2.0
 *
 * aside: what no client's stream is, and still has connections: a copy of a request, a call of our
 * own. All of them share one set of pools, apart from that of the streams, so that nothing that
 * happens to them is felt by a request.
 */
#ifndef SLUICE_PROXY_UPSTREAM_ASIDE_H
#define SLUICE_PROXY_UPSTREAM_ASIDE_H

#include "proxy/upstream/upstream.h"

struct aside { /* an upstream's owner */
    const struct upstream_ops *ops;
    struct waiter waiter;
};

extern const struct upstream_ops aside_ops; /* of the pools: passes on to the owner's */

#endif
