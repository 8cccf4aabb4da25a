/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/store/set.h"

#include "lib/mem.h"

#include <stdlib.h>

enum { CHANGES_MAX = 64 }; /* moves of a long array that nobody asks for */

void set_init(struct set *s) {
    *s = (struct set){0};
    list_init(&s->members);
}

static void forget_order(struct set *s) {
    mem_free(s->sorted);
    s->sorted = NULL;
    s->room = 0;
}

void set_fini(struct set *s) { forget_order(s); }

int set_compare(const struct resource *a, const struct resource *b) {
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    int c = str_cmp(a->meta.namespace, b->meta.namespace);
    return c != 0 ? c : str_cmp(a->meta.name, b->meta.name);
}

static int compare_elements(const void *a, const void *b) {
    return set_compare(*(const struct resource *const *)a, *(const struct resource *const *)b);
}

/* Index of r's name, or where it would stand among n elements. */
static size_t place(const struct set *s, size_t n, const struct resource *r) {
    size_t low = 0;
    for (size_t high = n; low < high;) {
        size_t mid = low + (high - low) / 2;
        if (set_compare(s->sorted[mid], r) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* Whether the array is there and is to be kept up to date. */
static bool keeps_order(struct set *s) {
    if (s->sorted && ++s->changes > CHANGES_MAX)
        forget_order(s);
    return s->sorted != NULL;
}

void set_add(struct set *s, struct member *m, const struct resource *r) {
    m->r = r;
    list_append(&s->members, &m->link);
    size_t n = s->n++;
    if (!keeps_order(s))
        return;
    if (s->n > s->room) {
        s->room = s->n * 2;
        s->sorted = mem_realloc(s->sorted, s->room * sizeof(*s->sorted));
    }
    size_t i = place(s, n, r);
    memmove(&s->sorted[i + 1], &s->sorted[i], (n - i) * sizeof(*s->sorted));
    s->sorted[i] = r;
}

void set_del(struct set *s, struct member *m) {
    list_del(&m->link);
    size_t n = s->n--;
    if (!keeps_order(s))
        return;
    size_t i = place(s, n, m->r);
    must(i < n && s->sorted[i] == m->r);
    memmove(&s->sorted[i], &s->sorted[i + 1], (n - i - 1) * sizeof(*s->sorted));
}

void set_replace(struct set *s, struct member *m, const struct resource *now) {
    if (s->sorted) {
        size_t i = place(s, s->n, m->r);
        must(i < s->n && s->sorted[i] == m->r);
        s->sorted[i] = now;
    }
    m->r = now;
}

/* Lists come in order of names, and so do files mostly: what stands so is not sorted again, and the
 * rest of it, which came later, is sorted for itself and laid in between. */
static void put_in_order(const struct resource **v, size_t n) {
    size_t first = 1, m;
    while (first < n && set_compare(v[first - 1], v[first]) < 0)
        first++;
    if (first >= n)
        return;
    m = n - first;
    const struct resource **rest = mem_array(m, sizeof(*rest));
    memcpy(rest, &v[first], m * sizeof(*rest));
    qsort(rest, m, sizeof(*rest), compare_elements);
    while (m > 0) {
        bool before = first > 0 && set_compare(v[first - 1], rest[m - 1]) > 0;
        v[--n] = before ? v[--first] : rest[--m];
    }
    mem_free(rest);
}

const struct resource *const *set_sorted(struct set *s, size_t *n) {
    *n = s->n;
    s->changes = 0;
    if (s->sorted || s->n == 0)
        return s->sorted;
    s->room = s->n;
    s->sorted = mem_array(s->room, sizeof(*s->sorted));
    size_t i = 0;
    list_each(it, &s->members)
        s->sorted[i++] = list_entry(it, struct member, link)->r;
    put_in_order(s->sorted, s->n);
    return s->sorted;
}

const struct resource *set_after(struct set *s, const struct resource *r) {
    size_t n, i = 0;
    const struct resource *const *sorted = set_sorted(s, &n);
    if (r && n > 0) {
        i = place(s, n, r);
        i += i < n && set_compare(sorted[i], r) == 0;
    }
    return i < n ? sorted[i] : NULL;
}
