/* SPDX-License-Identifier: Apache-2.0
 *
 * crds: the CustomResourceDefinitions that fit this version, to be applied or kept as files.
 */
#include "ctl/crd.h"
#include "ctl/doc.h"

#include <errno.h>
#include <string.h>

static void print_head(struct ctl *c) {
    fputs("# SPDX-License-Identifier: Apache-2.0\n"
          "# Written by `sluicectl crds` from controller/kube/kinds.def; change it there.\n",
          c->out);
}

static void print_all(struct ctl *c) {
    bool first = true;
    if (c->format == CTL_YAML)
        print_head(c);
    for (enum kube_kind k = KUBE_NONE + 1; k < KUBE_KINDS; k++) {
        if (!kube_schema_is_ours(k))
            continue;
        if (c->format == CTL_YAML && !first)
            fputs("---\n", c->out);
        first = false;
        doc_print(c, crd_of(k));
    }
}

static enum ctl_exit write_one(struct ctl *c, enum kube_kind kind) {
    char path[4096];
    struct out o = out_fixed(path, sizeof(path) - 1);
    out_fmt(&o, "%s/%s.%s", c->directory, kube_kinds[kind].plural,
            c->format == CTL_YAML ? "yaml" : "json");
    if (o.over)
        return ctl_fail(c, CTL_USAGE, "%s is too long", c->directory);
    path[o.n] = 0;
    FILE *f = fopen(path, "we");
    if (!f)
        return ctl_fail(c, CTL_PROBLEMS, "%s: %s", path, strerror(errno));
    struct ctl to = *c;
    to.out = f;
    if (c->format == CTL_YAML)
        print_head(&to);
    doc_print(&to, crd_of(kind));
    bool bad = ferror(f) != 0;
    if ((fclose(f) != 0) | bad)
        return ctl_fail(c, CTL_PROBLEMS, "%s: cannot be written", path);
    fprintf(c->out, "%s\n", path);
    return CTL_OK;
}

enum ctl_exit ctl_crds(struct ctl *c) {
    if (!c->directory) {
        print_all(c);
        return CTL_OK;
    }
    for (enum kube_kind k = KUBE_NONE + 1; k < KUBE_KINDS; k++) {
        enum ctl_exit code = kube_schema_is_ours(k) ? write_one(c, k) : CTL_OK;
        if (code != CTL_OK)
            return code;
    }
    return CTL_OK;
}
