/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/table.h"

#include "lib/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

const char *tone_on(const struct ctl *c, enum tone tone) {
    static const char *const codes[] = {
        [TONE_PLAIN] = "",       [TONE_GOOD] = "\033[32m", [TONE_WARN] = "\033[33m",
        [TONE_BAD] = "\033[31m", [TONE_HEAD] = "\033[1m",  [TONE_DIM] = "\033[2m"};
    return c->colour ? codes[tone] : "";
}

const char *tone_off(const struct ctl *c) { return c->colour ? "\033[0m" : ""; }

void table_init(struct table *t, const char *const *headings, unsigned columns) {
    must(columns <= TABLE_COLUMNS);
    *t = (struct table){.columns = columns};
    arena_init(&t->arena);
    for (unsigned i = 0; i < columns; i++)
        table_cell(t, TONE_HEAD, "%s", headings[i]);
}

void harmless(char *p, size_t n) {
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)p[i] < 0x20 || p[i] == 0x7f)
            p[i] = '?';
}

void table_cell(struct table *t, enum tone tone, const char *fmt, ...) {
    va_list args;
    char *text;
    va_start(args, fmt);
    int n = vasprintf(&text, fmt, args);
    va_end(args);
    must(n >= 0);
    if (t->n == t->room) {
        t->room = t->room ? t->room * 2 : 64;
        t->cells = mem_realloc(t->cells, t->room * sizeof(*t->cells));
    }
    harmless(text, (size_t)n);
    t->cells[t->n++] = (struct cell){arena_str(&t->arena, str_mk(text, (size_t)n)), tone};
    free(text);
}

static void print_row(const struct table *t, struct ctl *c, const struct cell *row,
                      const size_t *widths) {
    for (unsigned i = 0; i < t->columns; i++) {
        bool last = i + 1 == t->columns;
        int pad = last ? 0 : (int)(widths[i] - row[i].text.n) + 2;
        fprintf(c->out, "%s%.*s%s%*s", tone_on(c, row[i].tone), STR_FMT(row[i].text), tone_off(c),
                pad, "");
    }
    fputc('\n', c->out);
}

void table_print(struct table *t, struct ctl *c) {
    size_t widths[TABLE_COLUMNS] = {0};
    must(t->n % t->columns == 0);
    for (size_t i = 0; i < t->n; i++)
        widths[i % t->columns] = size_max(widths[i % t->columns], t->cells[i].text.n);
    for (size_t i = 0; t->n > t->columns && i < t->n; i += t->columns)
        print_row(t, c, &t->cells[i], widths);
    mem_free(t->cells);
    arena_fini(&t->arena);
}
