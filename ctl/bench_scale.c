/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/bench_scale.h"

#include <math.h>
#include <string.h>

enum { TERMS = 3 };

/* n / X(n) = sum of c[i] * term(i, n). */
static double term(unsigned i, double n) { return i == 0 ? 1 : i == 1 ? n - 1 : n * (n - 1); }

/* Gauss, with the largest pivot. False: the equations are not independent. */
static bool solve(double m[TERMS][TERMS + 1], unsigned size) {
    for (unsigned c = 0; c < size; c++) {
        unsigned best = c;
        for (unsigned r = c + 1; r < size; r++)
            if (fabs(m[r][c]) > fabs(m[best][c]))
                best = r;
        if (fabs(m[best][c]) < 1e-12 * (fabs(m[0][0]) + 1e-300))
            return false;
        for (unsigned k = 0; k <= size; k++) {
            double swap = m[c][k];
            m[c][k] = m[best][k];
            m[best][k] = swap;
        }
        for (unsigned r = 0; r < size; r++) {
            double factor = r == c ? 0 : m[r][c] / m[c][c];
            for (unsigned k = c; k <= size && r != c; k++)
                m[r][k] -= factor * m[c][k];
        }
    }
    for (unsigned c = 0; c < size; c++)
        m[c][size] /= m[c][c];
    return true;
}

/* Least squares with the terms of the set; the rest is 0. */
static bool fit_terms(const struct bench_point *p, size_t n, unsigned set, double c[TERMS]) {
    double m[TERMS][TERMS + 1] = {{0}};
    unsigned used[TERMS], size = 0;
    for (unsigned i = 0; i < TERMS; i++)
        if (set & (1U << i))
            used[size++] = i;
    for (size_t k = 0; k < n; k++)
        for (unsigned r = 0; r < size; r++) {
            for (unsigned q = 0; q < size; q++)
                m[r][q] += term(used[r], p[k].n) * term(used[q], p[k].n);
            m[r][size] += term(used[r], p[k].n) * p[k].n / p[k].rate;
        }
    if (size > n || !solve(m, size))
        return false;
    memset(c, 0, TERMS * sizeof(*c));
    for (unsigned r = 0; r < size; r++)
        c[used[r]] = m[r][size];
    return c[0] > 0 && c[1] >= 0 && c[2] >= 0;
}

static double residue(const struct bench_point *p, size_t n, const double c[TERMS]) {
    double sum = 0;
    for (size_t k = 0; k < n; k++) {
        double off = p[k].n / p[k].rate;
        for (unsigned i = 0; i < TERMS; i++)
            off -= c[i] * term(i, p[k].n);
        sum += off * off;
    }
    return sum;
}

static unsigned distinct(const struct bench_point *p, size_t n) {
    unsigned found = 0;
    for (size_t i = 0; i < n; i++) {
        size_t k = 0;
        while (k < i && p[k].n != p[i].n)
            k++;
        found += k == i;
    }
    return found;
}

struct bench_fit bench_fit(const struct bench_point *points, size_t n_points) {
    static const unsigned sets[] = {1, 1 | 2, 1 | 4, 1 | 2 | 4};
    unsigned n = distinct(points, n_points);
    double best[TERMS] = {0}, least = INFINITY;
    must(n_points > 0);
    for (size_t i = 0; i < ARRAY_LEN(sets); i++) {
        double c[TERMS];
        bool beta = sets[i] & 4;
        if ((beta && n < 3) || !fit_terms(points, n_points, sets[i], c))
            continue;
        double off = residue(points, n_points, c);
        if (off < least) {
            least = off;
            memcpy(best, c, sizeof(best));
        }
    }
    return (struct bench_fit){1 / best[0], best[1] / best[0], best[2] / best[0]};
}

double bench_fit_at(const struct bench_fit *f, double n) {
    return f->lambda * n / (1 + f->alpha * (n - 1) + f->beta * n * (n - 1));
}

double bench_fit_peak(const struct bench_fit *f) {
    return f->beta > 0 && f->alpha < 1 ? sqrt((1 - f->alpha) / f->beta) : 0;
}

unsigned bench_fit_needs(const struct bench_fit *f, double rate) {
    for (unsigned n = 1; n <= BENCH_PODS_MAX; n++)
        if (bench_fit_at(f, n) >= rate)
            return n;
    return 0;
}
