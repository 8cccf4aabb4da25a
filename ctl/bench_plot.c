/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/bench_plot.h"

#include "ctl/bench_print.h"
#include "lib/mem.h"

#include <math.h>

enum { WIDTH = 800, HEIGHT = 420, LEFT = 90, RIGHT = 30, TOP = 64, BOTTOM = 60 };

struct plot_line *plot_line(struct plot *p, const char *name) {
    must(p->n_lines < PLOT_LINES);
    struct plot_line *l = &p->lines[p->n_lines++];
    *l = (struct plot_line){.name = name};
    return l;
}

void plot_add(struct plot_line *l, double x, double y) {
    if (l->n == l->room) {
        l->room = l->room ? l->room * 2 : 32;
        l->x = mem_realloc(l->x, l->room * sizeof(*l->x));
        l->y = mem_realloc(l->y, l->room * sizeof(*l->y));
    }
    l->x[l->n] = x;
    l->y[l->n++] = y;
}

void plot_fini(struct plot *p) {
    for (unsigned i = 0; i < p->n_lines; i++) {
        mem_free(p->lines[i].x);
        mem_free(p->lines[i].y);
    }
}

/* ---- axes ---- */

static void tick(struct plot_axis *a, double at, bool seconds) {
    if (a->n_ticks == PLOT_TICKS)
        return;
    struct out o = out_fixed(a->ticks[a->n_ticks].text, sizeof(a->ticks[0].text) - 1);
    if (seconds && at < 1)
        out_fmt(&o, at < 1e-3 ? "%g us" : "%g ms", at < 1e-3 ? at * 1e6 : at * 1e3);
    else if (seconds)
        out_fmt(&o, "%g s", at);
    else if (at == floor(at))
        print_count(&o, (uint64_t)at);
    else
        out_fmt(&o, "%g", at);
    a->ticks[a->n_ticks].text[o.n] = 0;
    a->ticks[a->n_ticks++].at = at;
}

static void log_ticks(struct plot_axis *a, bool seconds) {
    a->lo = pow(10, floor(log10(a->lo)));
    a->hi = pow(10, ceil(log10(a->hi)));
    if (a->hi <= a->lo)
        a->hi = a->lo * 10;
    int decades = (int)lround(log10(a->hi / a->lo));
    for (int i = 0; i <= decades; i++)
        tick(a, a->lo * pow(10, i), seconds);
}

/* Steps of 1, 2 or 5 times a power of ten, from 0. */
static void even_ticks(struct plot_axis *a, bool seconds) {
    double step = pow(10, floor(log10(a->hi > 0 ? a->hi : 1)));
    if (a->hi / step < 2)
        step /= 5;
    else if (a->hi / step < 5)
        step /= 2;
    if (!seconds && step < 1)
        step = 1;
    a->lo = 0;
    a->hi = ceil(a->hi / step - 1e-9) * step;
    for (unsigned i = 0; i * step <= a->hi * 1.001; i++)
        tick(a, i * step, seconds);
}

static void reach(struct plot_axis *a, double v) {
    if (a->log && v <= 0)
        return;
    if (a->hi == 0 || v > a->hi)
        a->hi = v;
    if (a->lo == 0 || v < a->lo)
        a->lo = v;
}

void plot_fit(struct plot *p, bool seconds_up) {
    for (unsigned i = 0; i < p->n_lines; i++)
        for (size_t k = 0; k < p->lines[i].n; k++) {
            if (p->x.n_ticks == 0)
                reach(&p->x, p->lines[i].x[k]);
            reach(&p->y, p->lines[i].y[k]);
        }
    if (p->x.n_ticks == 0)
        even_ticks(&p->x, false);
    if (p->y.log && p->y.hi > 0)
        log_ticks(&p->y, seconds_up);
    else
        even_ticks(&p->y, seconds_up);
}

static double place(const struct plot_axis *a, double v) {
    if (a->log)
        return (log10(fmax(v, a->lo)) - log10(a->lo)) / (log10(a->hi) - log10(a->lo));
    return a->hi > a->lo ? (v - a->lo) / (a->hi - a->lo) : 0;
}

static double across(const struct plot *p, double x) {
    return LEFT + place(&p->x, x) * (WIDTH - LEFT - RIGHT);
}
static double down(const struct plot *p, double y) {
    return HEIGHT - BOTTOM - place(&p->y, y) * (HEIGHT - TOP - BOTTOM);
}

/* ---- SVG ---- */

static const char style[] =
    "<style>\n"
    "  .paper { fill: #ffffff } text { fill: #24292e; font: 12px sans-serif }\n"
    "  .title { font-size: 15px; font-weight: bold } .faint { fill: #6a737d }\n"
    "  .grid { stroke: #dfe2e5; stroke-width: 1 } polyline { fill: none; stroke-width: 2 }\n"
    "  .l0 { stroke: #1f60c4 } .l1 { stroke: #c4162a } .l2 { stroke: #37872d } .l3 { stroke: "
    "#8a8f98 }\n"
    "  .d0 { fill: #1f60c4 } .d1 { fill: #c4162a } .d2 { fill: #37872d } .d3 { fill: #8a8f98 }\n"
    "  .dashed { stroke-dasharray: 6 4; stroke-width: 1.5 }\n"
    "  @media (prefers-color-scheme: dark) {\n"
    "    .paper { fill: #0d1117 } text { fill: #e6edf3 } .faint { fill: #9198a1 } .grid { stroke: "
    "#30363d }\n"
    "    .l0 { stroke: #6ea8fe } .l1 { stroke: #ff7b72 } .l2 { stroke: #56d364 } .l3 { stroke: "
    "#9198a1 }\n"
    "    .d0 { fill: #6ea8fe } .d1 { fill: #ff7b72 } .d2 { fill: #56d364 } .d3 { fill: #9198a1 }\n"
    "  }\n"
    "</style>\n";

static void escaped(struct out *o, const char *text) {
    for (; *text; text++)
        if (*text == '&')
            out_lit(o, "&amp;");
        else if (*text == '<')
            out_lit(o, "&lt;");
        else if ((unsigned char)*text >= ' ')
            out_char(o, *text);
}

static void words(struct out *o, double x, double y, const char *attributes, const char *text) {
    out_fmt(o, "<text x=\"%.1f\" y=\"%.1f\" %s>", x, y, attributes);
    escaped(o, text);
    out_lit(o, "</text>\n");
}

static void print_axes(const struct plot *p, struct out *o) {
    for (unsigned i = 0; i < p->x.n_ticks; i++) {
        double x = across(p, p->x.ticks[i].at);
        out_fmt(o, "<line class=\"grid\" x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\"/>\n", x, TOP,
                x, HEIGHT - BOTTOM);
        words(o, x, HEIGHT - BOTTOM + 18, "text-anchor=\"middle\"", p->x.ticks[i].text);
    }
    for (unsigned i = 0; i < p->y.n_ticks; i++) {
        double y = down(p, p->y.ticks[i].at);
        out_fmt(o, "<line class=\"grid\" x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\"/>\n", LEFT, y,
                WIDTH - RIGHT, y);
        words(o, LEFT - 8, y + 4, "text-anchor=\"end\"", p->y.ticks[i].text);
    }
    words(o, (LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 16, "class=\"faint\" text-anchor=\"middle\"",
          p->x.label);
    words(o, 18, (TOP + HEIGHT - BOTTOM) / 2.0,
          "class=\"faint\" text-anchor=\"middle\" transform=\"rotate(-90 18 212)\"", p->y.label);
}

static void print_line(const struct plot *p, unsigned number, struct out *o) {
    const struct plot_line *l = &p->lines[number];
    out_fmt(o, "<polyline class=\"l%u%s\" points=\"", number, l->dashed ? " dashed" : "");
    for (size_t i = 0; i < l->n; i++)
        out_fmt(o, "%s%.1f,%.1f", i ? " " : "", across(p, l->x[i]), down(p, l->y[i]));
    out_lit(o, "\"/>\n");
    for (size_t i = 0; i < l->n && l->dots; i++)
        out_fmt(o, "<circle class=\"d%u\" cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\"/>\n", number,
                across(p, l->x[i]), down(p, l->y[i]));
}

/* Names stand in one row above the lines, at the right. */
static void print_names(const struct plot *p, struct out *o) {
    double x = WIDTH - RIGHT;
    for (unsigned i = p->n_lines; i-- > 0;) {
        x -= 7.2 * (double)strlen(p->lines[i].name);
        words(o, x, TOP - 10, "", p->lines[i].name);
        out_fmt(o,
                "<line class=\"l%u%s\" stroke-width=\"2\" x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" "
                "y2=\"%d\"/>\n",
                i, p->lines[i].dashed ? " dashed" : "", x - 30, TOP - 14, x - 6, TOP - 14);
        x -= 46;
    }
}

void plot_print(const struct plot *p, struct out *o) {
    out_fmt(o,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" "
            "height=\"%d\" "
            "role=\"img\">\n<title>",
            WIDTH, HEIGHT, WIDTH, HEIGHT);
    escaped(o, p->title);
    out_fmt(o, "</title>\n%s<rect class=\"paper\" width=\"%d\" height=\"%d\"/>\n", style, WIDTH,
            HEIGHT);
    words(o, LEFT, 24, "class=\"title\"", p->title);
    words(o, LEFT, 42, "class=\"faint\"", p->subtitle);
    print_axes(p, o);
    for (unsigned i = 0; i < p->n_lines; i++)
        print_line(p, i, o);
    print_names(p, o);
    out_lit(o, "</svg>\n");
}
