/* SPDX-License-Identifier: Apache-2.0
 *
 * vhost: building one. Entries of one path are chained over a hash table first, then each chain is
 * put in order: what a vhost of a hundred thousand paths costs is hashing, not sorting.
 */
#include "proxy/route/vhost.h"

#include "lib/mem.h"
#include "proxy/route/pathhash.h"

#include <stdlib.h>

enum { NONE = UINT32_MAX };

struct making {
    struct keeper *keeper;
    const struct vhost_entry *entries;
    uint32_t n;
    uint32_t n_paths, n_regexes;
    uint32_t longest_exact, longest_prefix;
    uint32_t *head; /* of each place of the table: first entry of its chain */
    uint64_t *hash; /* of each entry */
    uint32_t *next; /* in its chain */
    size_t blobs;   /* bytes of all, without their candidates */
};

static bool is_regex(const struct vhost_entry *e) {
    return e->match->path_type == MODEL_PATH_REGEX;
}
static size_t round4(size_t n) { return (n + 3) & ~(size_t)3; }

static uint32_t table_size(uint32_t n) {
    if (n <= 1)
        return n;
    uint32_t cap = 2;
    while (cap < UINT32_MAX / 2 && (uint64_t)n * 5 > (uint64_t)cap * 4)
        cap *= 2;
    return cap;
}

/* The place of an entry's path: one that has the same path, or an empty one. */
static uint32_t place_of(const struct making *m, uint32_t entry) {
    struct str path = m->entries[entry].match->path;
    uint32_t mask = m->n_paths - 1;
    for (uint32_t i = (uint32_t)m->hash[entry] & mask;; i = (i + 1) & mask) {
        uint32_t first = m->head[i];
        if (first == NONE ||
            (m->hash[first] == m->hash[entry] && str_eq(m->entries[first].match->path, path)))
            return i;
    }
}

static void survey(struct making *m) {
    for (uint32_t i = 0; i < m->n; i++)
        m->n_regexes += is_regex(&m->entries[i]);
    m->n_paths = table_size(m->n - m->n_regexes);
    m->head = mem_array(m->n_paths, sizeof(*m->head));
    m->hash = mem_array(m->n, sizeof(*m->hash));
    m->next = mem_array(m->n, sizeof(*m->next));
    memset(m->head, 0xff, m->n_paths * sizeof(*m->head));
    for (uint32_t i = 0; i < m->n; i++) {
        if (is_regex(&m->entries[i]))
            continue;
        const struct model_match *match = m->entries[i].match;
        uint32_t n = (uint32_t)match->path.n;
        if (match->path_type == MODEL_PATH_EXACT)
            m->longest_exact = n > m->longest_exact ? n : m->longest_exact;
        else
            m->longest_prefix = n > m->longest_prefix ? n : m->longest_prefix;
        m->hash[i] = path_hash(match->path);
        uint32_t at = place_of(m, i);
        if (m->head[at] == NONE)
            m->blobs += sizeof(struct path_blob) + round4(n);
        m->next[i] = m->head[at];
        m->head[at] = i;
    }
}

static struct candidate candidate_of(const struct vhost_entry *e) {
    const struct model_match *m = e->match;
    unsigned flags = e->route->fallback ? CANDIDATE_FALLBACK : CANDIDATE_MAIN;
    flags |= e->route->source == MODEL_SOURCE_INGRESS ? CANDIDATE_INGRESS : CANDIDATE_OTHER;
    if (e->route->one_label)
        flags |= CANDIDATE_ONE_LABEL;
    if (m->n_headers + m->n_query + m->n_cookies > 0)
        flags |= CANDIDATE_CONDITIONS;
    if (m->method.n == 0)
        flags |= CANDIDATE_ANY_METHOD;
    return (struct candidate){e->slot, e->index, (uint8_t)method_of(m->method), (uint8_t)flags};
}

static int ref_cmp(const void *a, const void *b) {
    return entry_cmp(*(const struct vhost_entry *const *)a, *(const struct vhost_entry *const *)b);
}

static void fill_candidates(struct candidate *to, const struct vhost_entry **refs, uint32_t n) {
    if (n > 1)
        qsort(refs, n, sizeof(*refs), ref_cmp);
    for (uint32_t i = 0; i < n; i++)
        to[i] = candidate_of(refs[i]);
}

/* Writes the blob of one place at `at`; returns the end of it. */
static size_t fill_path(const struct making *m, struct vhost *v, uint32_t place, size_t at,
                        const struct vhost_entry **refs) {
    struct path_slot *slot = (struct path_slot *)(uintptr_t)&vhost_paths(v)[place];
    must(at <= UINT32_MAX);
    slot->at = (uint32_t)at;
    struct path_blob *blob = (struct path_blob *)(uintptr_t)vhost_blob(v, slot);
    uint32_t first = m->head[place], n = 0;
    for (uint32_t i = first; i != NONE; i = m->next[i]) {
        refs[n++] = &m->entries[i];
        if (m->entries[i].match->path_type == MODEL_PATH_EXACT)
            blob->n_exact++;
        else
            blob->n_prefix++;
    }
    struct str path = m->entries[first].match->path;
    blob->n_text = (uint32_t)path.n;
    if (blob->n_prefix > 0)
        ((uint64_t *)(uintptr_t)vhost_lengths(v))[path.n / 64] |= 1ULL << (path.n % 64);
    fill_candidates(blob->candidates, refs, n);
    if (path.n > 0)
        memcpy(&blob->candidates[n], path.p, path.n);
    slot->hash = (uint32_t)(m->hash[first] >> 32);
    slot->first = blob->candidates[0].rule;
    return at + sizeof(*blob) + n * sizeof(struct candidate) + round4(path.n);
}

static void fill_traits(struct vhost *v, const struct making *m, struct str hostname) {
    v->n_hostname = (uint8_t)hostname.n;
    if (hostname.n > 0)
        memcpy(v->name, hostname.p, hostname.n);
    v->wildcard = hostname.n > 0 && hostname.p[0] == '*';
    for (uint32_t i = 0; i < m->n; i++) {
        const struct model_route *r = m->entries[i].route;
        v->deep |= !r->one_label;
        v->fallback |= r->fallback;
        v->ingress_regex |= r->source == MODEL_SOURCE_INGRESS && is_regex(&m->entries[i]);
    }
    v->n_paths = m->n_paths;
    v->n_regexes = m->n_regexes;
    v->n_candidates = m->n;
    v->longest_exact = m->longest_exact;
    v->longest_prefix = (uint16_t)m->longest_prefix;
}

static struct vhost *fill(const struct making *m, struct str hostname) {
    size_t lengths_at = (offsetof(struct vhost, name) + hostname.n + 7) & ~(size_t)7;
    size_t paths_at = lengths_at + (m->longest_prefix / 64 + 1) * sizeof(uint64_t);
    size_t regexes_at = paths_at + m->n_paths * sizeof(struct path_slot);
    size_t at = regexes_at + m->n_regexes * sizeof(struct candidate);
    size_t end = at + (m->n - m->n_regexes) * sizeof(struct candidate) + m->blobs;
    struct vhost *v = part_new(m->keeper, PART_BLOCK, end);
    v->paths_at = (uint16_t)paths_at;
    fill_traits(v, m, hostname);

    const struct vhost_entry **refs = mem_array(m->n, sizeof(*refs));
    for (uint32_t i = 0; i < m->n_paths; i++)
        if (m->head[i] != NONE)
            at = fill_path(m, v, i, at, refs);
    must(at == end);
    uint32_t n = 0;
    for (uint32_t i = 0; i < m->n; i++)
        if (is_regex(&m->entries[i]))
            refs[n++] = &m->entries[i];
    fill_candidates((struct candidate *)(void *)((char *)v + regexes_at), refs, n);
    mem_free(refs);
    v->root = (vhost_lengths(v)[0] & 1) != 0;
    return v;
}

struct vhost *vhost_new(struct keeper *k, struct str hostname, const struct vhost_entry *entries,
                        size_t n) {
    must(n < UINT32_MAX / 4);
    struct making m = {.keeper = k, .entries = entries, .n = (uint32_t)n};
    survey(&m);
    struct vhost *v = fill(&m, hostname);
    mem_free(m.head);
    mem_free(m.hash);
    mem_free(m.next);
    return v;
}

uint32_t vhost_first_rule(const struct vhost *v) {
    for (uint32_t i = 0; i < v->n_paths; i++)
        if (vhost_paths(v)[i].at != 0)
            return vhost_paths(v)[i].first;
    return v->n_regexes > 0 ? vhost_regexes(v)[0].rule : 0;
}
