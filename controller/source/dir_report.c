/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/source/dir_parts.h"
#include "lib/mem.h"

#include <stdlib.h>

void dir_error_print(const struct dir_error *e, struct out *o) {
    if (e->file.n > 0) {
        out_str(o, e->file);
        if (e->line > 0)
            out_fmt(o, ":%u", e->line);
        if (e->line > 0 && e->column > 0)
            out_fmt(o, ":%u", e->column);
        out_lit(o, ": ");
    }
    why_print(&e->why, o);
}

void dir_report(struct dir_source *d, struct file *f, uint32_t line, uint32_t column,
                const struct why *why) {
    struct dir_error e = {f->path, line, column, *why};
    if (f->n_errors < FILE_ERRORS_MAX) {
        f->errors = mem_realloc(f->errors, (f->n_errors + 1) * sizeof(*f->errors));
        f->errors[f->n_errors++] = e;
    }
    if (d->on_report)
        d->on_report(d->arg, &e);
}

void dir_forget_errors(struct file *f) {
    mem_free(f->errors);
    f->errors = NULL;
    f->n_errors = 0;
}

static void loser_error(const struct claim *c, struct dir_error *e) {
    const struct claim *first = list_entry(c->object->claims.next, struct claim, in_object);
    struct out o;
    *e = (struct dir_error){.file = c->file->path, .line = c->r->from.line};
    o = out_fixed(e->why.object, sizeof(e->why.object) - 1);
    resource_print_name(c->r, &o);
    why_text(&e->why, "is in %.*s:%u too, which comes first and keeps it; remove one of the two",
             (int)size_min(first->file->path.n, 200), first->file->path.p, first->r->from.line);
}

void dir_report_loser(struct dir_source *d, const struct claim *loser) {
    struct dir_error e;
    if (!d->on_report)
        return;
    loser_error(loser, &e);
    d->on_report(d->arg, &e);
}

void dir_report_fault(struct dir_source *d, const struct why *why) {
    d->fault = (struct dir_error){.why = *why};
    if (d->on_report)
        d->on_report(d->arg, &d->fault);
}

/* ---- the list ---- */

static size_t errors_of(const struct file *f, struct dir_error *room) {
    size_t n = 0;
    for (uint32_t i = 0; i < f->n_errors; i++, n++)
        if (room)
            room[n] = f->errors[i];
    for (const struct list *it = f->claims.next; f->n_losing > 0 && it != &f->claims;
         it = it->next) {
        const struct claim *c = list_entry(it, struct claim, in_file);
        if (!c->losing)
            continue;
        if (room)
            loser_error(c, &room[n]);
        n++;
    }
    return n;
}

static int compare(const void *a, const void *b) {
    const struct dir_error *x = a, *y = b;
    int c = str_cmp(x->file, y->file);
    return c != 0 ? c : x->line < y->line ? -1 : x->line > y->line;
}

const struct dir_error *dir_source_errors(struct dir_source *d, size_t *n) {
    size_t count = why_set(&d->fault.why) ? 1 : 0, at = count;
    for (struct map_slot *s = NULL; (s = map_next(&d->files, s));)
        count += errors_of(s->value, NULL);
    mem_free(d->all);
    d->all = mem_array(count, sizeof(*d->all));
    if (at > 0)
        d->all[0] = d->fault;
    for (struct map_slot *s = NULL; (s = map_next(&d->files, s));)
        at += errors_of(s->value, d->all + at);
    if (count > 1)
        qsort(d->all, count, sizeof(*d->all), compare);
    *n = count;
    return d->all;
}

/* ---- as a source ---- */

static void tell_faults(struct source *s, void (*each)(void *arg, struct str fault), void *arg) {
    size_t n;
    const struct dir_error *errors = dir_source_errors((struct dir_source *)s, &n);
    for (size_t i = 0; i < n; i++) {
        char room[1024];
        struct out line = out_fixed(room, sizeof(room));
        dir_error_print(&errors[i], &line);
        each(arg, out_done(&line));
    }
}

/* A file as a whole, not an object in it: then there is a column, or no line. */
static bool unread(const struct source *s) {
    size_t n;
    const struct dir_error *e = dir_source_errors((struct dir_source *)(uintptr_t)s, &n);
    for (size_t i = 0; i < n; i++)
        if (e[i].column > 0 || e[i].line == 0)
            return true;
    return false;
}

static void one(struct metric_text *t, enum metric_type type, const char *name, const char *help,
                uint64_t v) {
    metric_family(t, type, name, help);
    metric_count(t, STR_NONE, v);
}

static void metrics(struct source *s, struct metric_text *t) {
    const struct dir_counters *n = dir_source_counters((const struct dir_source *)s);
    one(t, METRIC_GAUGE, "sluice_controller_watch_files", "Files that are watched.", n->files);
    one(t, METRIC_COUNTER, "sluice_controller_watch_parsed", "Files parsed, good or not.",
        n->parsed);
    one(t, METRIC_COUNTER, "sluice_controller_watch_changes", "Resources that came or changed.",
        n->upserted);
    one(t, METRIC_COUNTER, "sluice_controller_watch_deletions", "Resources that went.", n->deleted);
}

static void end(struct source *s) { dir_source_free((struct dir_source *)s); }

const struct source_verbs dir_source_verbs = {tell_faults, unread, metrics, end};
