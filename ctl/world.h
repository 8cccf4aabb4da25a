/* SPDX-License-Identifier: Apache-2.0
 *
 * world: the configuration that a command looks at, from files or from a running proxy: the model
 * objects, and the tables that a proxy makes of them.
 *
 *   files ─► store ─► compiler ─┐
 *                               ├─► objects ─► builder ─► snapshot ─► snapshot_route()
 *   proxy's /config?format=wire ┘
 */
#ifndef SLUICE_CTL_WORLD_H
#define SLUICE_CTL_WORLD_H

#include "controller/compile/compile.h"
#include "ctl/doc.h"
#include "proxy/route/snapshot.h"

enum severity { SEVERITY_WARNING, SEVERITY_REFUSED };

/* Something that validate says. */
struct finding {
    enum severity severity;
    struct str file;
    uint32_t line, column; /* 0: unknown */
    struct why why;
};

struct world {
    /* from files; NULL online */
    struct str folder; /* "manifests/" of -f manifests; n == 0: one file */
    struct store *store;
    struct compiler *compiler;
    struct finding *findings; /* in order of file and line */
    size_t n_findings;
    size_t n_resources, n_refused;
    /* both */
    struct object **objects; /* in order of ids */
    size_t n_objects;
    struct builder *builder;
    struct snapshot *snapshot; /* NULL: some object cannot be used, see findings */
    struct arena arena;
};

/* CTL_OK, or the code after one line to err. Refused resources are no failure: see findings. */
enum ctl_exit world_open(struct ctl *c, struct world *w);
/* The same for who judges: a key set that a controller would fetch is there, with one key that is
 * nobody's, so that a policy that waits for it counts in all else. */
enum ctl_exit world_open_keys(struct ctl *c, struct world *w);
void world_close(struct world *w);

const struct object *world_object(const struct world *w, struct str id); /* or NULL */

/* For builder_commit(), where bad objects are of no interest. */
void world_ignore(void *arg, struct str id, const struct why *why);

/* "shop.yaml:3" of the resource that an object came from, or "" when there was no file. */
struct str world_place(struct world *w, const struct model_origin *from);

/* The document of a finding: {"severity","object","field","file","line","column","text"}. */
void world_finding(const struct finding *f, cJSON *to);
/* One line a finding to c->err or c->out. */
void world_print_finding(struct ctl *c, FILE *to, const struct finding *f);

#endif
