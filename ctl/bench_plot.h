/* SPDX-License-Identifier: Apache-2.0
 *
 * bench_plot: lines on two axes as SVG, readable on light and on dark paper.
 */
#ifndef SLUICE_CTL_BENCH_PLOT_H
#define SLUICE_CTL_BENCH_PLOT_H

#include "lib/out.h"

enum { PLOT_TICKS = 16, PLOT_LINES = 4 };

struct plot_axis {
    const char *label;
    bool log;
    double lo, hi; /* log: above 0 */
    struct {
        double at;
        char text[24];
    } ticks[PLOT_TICKS];
    unsigned n_ticks;
};

struct plot_line {
    const char *name;
    bool dots, dashed; /* dots: marks at the points too */
    double *x, *y;     /* owned by the plot, see plot_add() */
    size_t n, room;
};

/* Zeroed, then title, subtitle and axes set. */
struct plot {
    const char *title, *subtitle;
    struct plot_axis x, y;
    struct plot_line lines[PLOT_LINES];
    unsigned n_lines;
};

struct plot_line *plot_line(struct plot *p, const char *name);
void plot_add(struct plot_line *l, double x, double y);
/* The axis reaches from what the lines have to what they have, with ticks that are round. Of
 * seconds: ticks are times. */
void plot_fit(struct plot *p, bool seconds_up);
void plot_print(const struct plot *p, struct out *o);
void plot_fini(struct plot *p);

#endif
