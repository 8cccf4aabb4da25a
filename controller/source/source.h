/* SPDX-License-Identifier: Apache-2.0
 *
 * source: what main asks of whatever fills the store, be it a directory (dir.h) or the Kubernetes
 * API server (kube.h). It stands first in the struct of each of them.
 */
#ifndef SLUICE_CONTROLLER_SOURCE_SOURCE_H
#define SLUICE_CONTROLLER_SOURCE_SOURCE_H

#include "lib/metric.h"

struct source;

struct source_verbs {
    /* Tells what cannot be read now, a sentence each, in a steady order. */
    void (*faults)(struct source *s, void (*each)(void *arg, struct str fault), void *arg);
    /* Whether something is there that could never be read and may say anything: a file that is no
     * YAML, a kind that may not be listed. What only the fleet knows is kept meanwhile. */
    bool (*unread)(const struct source *s);
    /* The families sluice_controller_watch_*, but for those that main knows from the store. */
    void (*metrics)(struct source *s, struct metric_text *t);
    void (*free)(struct source *s); /* what is in the store stays there */
};

struct source {
    const struct source_verbs *verbs;
};

#endif
