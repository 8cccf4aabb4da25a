/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/main_keysets.h"

#include "lib/mem.h"

struct main_keysets {
    struct turn *turn;
    struct keysets *sets;
    uint64_t version; /* of the wants that sets has */
};

static void on_compiled(void *arg) {
    struct main_keysets *m = arg;
    const struct keyset_want *wants;
    size_t n;
    uint64_t version = compile_wants(turn_compiler(m->turn), &wants, &n);
    if (version == m->version)
        return;
    m->version = version;
    keysets_want(m->sets, wants, n);
}

static void on_changed(void *arg, struct str key, const struct keyset *k) {
    struct main_keysets *m = arg;
    compile_fetched(turn_compiler(m->turn), key, k);
}

static void on_unknown_keys(void *arg, const struct str *sources, size_t n) {
    struct main_keysets *m = arg;
    for (size_t i = 0; i < n; i++)
        keysets_unknown_kid(m->sets, sources[i]);
}

struct main_keysets *main_keysets_new(struct event_base *base, struct turn *turn) {
    struct main_keysets *m = mem_zalloc(sizeof(*m));
    const struct keysets_options o = {.changed = on_changed, .arg = m};
    m->turn = turn;
    m->sets = keysets_new(base, &o);
    turn_on_compiled(turn, on_compiled, m);
    turn_on_unknown_keys(turn, on_unknown_keys, m);
    return m;
}

void main_keysets_free(struct main_keysets *m) {
    turn_on_compiled(m->turn, NULL, NULL);
    turn_on_unknown_keys(m->turn, NULL, NULL);
    keysets_free(m->sets);
    mem_free(m);
}

struct keysets *main_keysets_sets(struct main_keysets *m) {
    return m->sets;
}
