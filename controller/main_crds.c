/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/main_crds.h"

#include "controller/kube/crds.h"
#include "lib/hash.h"
#include "lib/log.h"
#include "lib/mem.h"

struct main_crds {
    struct crds *crds;
    struct turn *turn;
    uint64_t said; /* hash of the faults that were logged */
};

static void mark(struct main_crds *m) {
    static const enum kube_kind policies[] = {KUBE_AuthPolicy, KUBE_TrafficPolicy, KUBE_Consumer};
    for (size_t i = 0; i < ARRAY_LEN(policies); i++)
        compile_outdated(turn_compiler(m->turn), policies[i], crds_may_lose(m->crds, policies[i]));
    turn_wake(m->turn);
}

static void log_fault(void *arg, struct str fault) {
    (void)arg;
    log_warn("crds", "%.*s", STR_FMT(fault));
}

static void mix(void *arg, struct str fault) {
    uint64_t *hash = arg;
    *hash = hash_mix(*hash, hash_content(fault));
}

/* All of them when one has changed; that there is none is said once. */
static void say(struct main_crds *m) {
    uint64_t now = 0;
    main_crds_faults(m, mix, &now);
    if (now == m->said)
        return;
    m->said = now;
    main_crds_faults(m, log_fault, NULL);
    if (now == 0)
        log_info("crds", "the CustomResourceDefinitions fit");
}

static void on_change(void *arg) {
    struct main_crds *m = arg;
    if (crds_are_known(m->crds))
        say(m);
    mark(m);
}

struct main_crds *main_crds_new(struct event_base *base, struct kube_client *client,
                                struct turn *turn) {
    struct main_crds *m = mem_zalloc(sizeof(*m));
    m->turn = turn;
    m->crds = crds_new(base, client, on_change, m);
    mark(m);
    crds_read(m->crds);
    return m;
}

void main_crds_read(void *arg) {
    struct main_crds *m = arg;
    crds_read(m->crds);
}

void main_crds_free(struct main_crds *m) {
    if (!m)
        return;
    crds_free(m->crds);
    mem_free(m);
}

void main_crds_faults(const struct main_crds *m, void (*each)(void *arg, struct str fault),
                      void *arg) {
    const struct why *faults[KUBE_KINDS];
    size_t n = crds_faults(m->crds, faults);
    for (size_t i = 0; i < n; i++) {
        char room[sizeof(struct why)];
        struct out o = out_fixed(room, sizeof(room));
        why_print(faults[i], &o);
        each(arg, out_done(&o));
    }
}
