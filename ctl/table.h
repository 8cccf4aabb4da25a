/* SPDX-License-Identifier: Apache-2.0
 *
 * table: columns for people. Headings in bold and words in colour only on a terminal.
 */
#ifndef SLUICE_CTL_TABLE_H
#define SLUICE_CTL_TABLE_H

#include "ctl/ctl.h"
#include "lib/arena.h"

enum { TABLE_COLUMNS = 8 };

enum tone { TONE_PLAIN, TONE_GOOD, TONE_WARN, TONE_BAD, TONE_HEAD, TONE_DIM };

struct cell {
    struct str text;
    enum tone tone;
};

struct table {
    struct arena arena;
    struct cell *cells; /* row after row, the headings first */
    size_t n, room;
    unsigned columns;
};

void table_init(struct table *t, const char *const *headings, unsigned columns);
/* The next cell, left to right and down; the text is copied, controls shown as '?'. */
void table_cell(struct table *t, enum tone tone, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Prints it (nothing but headings: prints nothing) and frees it. */
void table_print(struct table *t, struct ctl *c);

/* Controls become '?': what comes from files and proxies must not command the terminal. */
void harmless(char *p, size_t n);

/* Escape codes around text, "" without colour. */
const char *tone_on(const struct ctl *c, enum tone tone);
const char *tone_off(const struct ctl *c);

#endif
