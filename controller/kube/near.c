/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/kube/near.h"

enum { LONGEST = 40 }; /* bytes of a word that is compared at all */

/* Changes of one letter that make a into b, upper and lower case being one (Levenshtein). */
static size_t distance(struct str a, struct str b) {
    size_t row[LONGEST + 1];
    for (size_t j = 0; j <= b.n; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.n; i++) {
        size_t before = row[0]; /* of the row above, one to the left */
        row[0] = i;
        for (size_t j = 1; j <= b.n; j++) {
            size_t above = row[j];
            size_t same = before + (char_lower(a.p[i - 1]) != char_lower(b.p[j - 1]));
            row[j] = size_min(same, size_min(above, row[j - 1]) + 1);
            before = above;
        }
    }
    return row[b.n];
}

struct near near_to(struct str written) {
    return (struct near){written, STR_NONE, 1 + size_min(written.n, LONGEST) / 3};
}

void near_try(struct near *n, struct str candidate) {
    if (n->written.n == 0 || n->written.n > LONGEST || candidate.n > LONGEST)
        return;
    size_t d = distance(n->written, candidate);
    if (d > n->distance || (d == n->distance && n->best.n > 0))
        return;
    n->best = candidate;
    n->distance = d;
}
