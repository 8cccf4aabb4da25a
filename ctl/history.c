/* SPDX-License-Identifier: Apache-2.0
 *
 * history: the controller's revisions, newest first; or one of them, whole.
 */
#include "ctl/fetch.h"
#include "ctl/moves.h"
#include "ctl/pinned.h"
#include "ctl/table.h"
#include "lib/mem.h"

#include <string.h>
#include <time.h>

enum { BRIEF = 60, NAMES_MAX = 200, PATH_MAX_ = 128 };

/* ---- words ---- */

static void out_cause(const cJSON *cause, struct out *o) {
    const char *ns = doc_get(cause, "namespace");
    out_fmt(o, "%s %s%s%s", doc_get(cause, "kind"), ns, ns[0] ? "/" : "", doc_get(cause, "name"));
}

/* "Route shop/shop and 3 more" */
static void out_causes(const cJSON *revision, struct out *o) {
    const cJSON *causes = doc_each(revision, "causes");
    double n = doc_number(revision, "n_causes");
    const char *note = doc_get(revision, "note");
    if (note[0])
        out_str(o, str_of(note));
    else if (cJSON_GetArraySize(causes) > 0)
        out_cause(cJSON_GetArrayItem(causes, 0), o);
    else
        out_lit(o, "-");
    if (!note[0] && n > 1)
        out_fmt(o, " and %.0f more", n - 1);
}

static const char *who_of(const cJSON *cause) {
    return doc_get(cause, "manager")[0] ? doc_get(cause, "manager") : doc_get(cause, "file");
}

/* Each of those who changed something, once. */
static void out_who(const cJSON *revision, struct out *o) {
    const cJSON *cause, *before, *causes = doc_each(revision, "causes");
    size_t begin = o->n;
    if (doc_get(revision, "note")[0])
        causes = NULL; /* the resources are as somebody left them long ago */
    cJSON_ArrayForEach(cause, causes) {
        bool told = false;
        cJSON_ArrayForEach(before, causes) {
            if (before == cause)
                break;
            told |= strcmp(who_of(before), who_of(cause)) == 0;
        }
        if (!told && who_of(cause)[0] && o->n - begin < NAMES_MAX)
            out_fmt(o, "%s%s", o->n > begin ? "," : "", who_of(cause));
    }
    if (o->n == begin)
        out_char(o, '-');
}

static void out_age(double time_ms, struct out *o) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    double s = (double)now.tv_sec + (double)now.tv_nsec / 1e9 - time_ms / 1e3;
    s = s > 0 ? s : 0;
    if (s < 60)
        out_fmt(o, "%.0fs", s);
    else if (s < 3600)
        out_fmt(o, "%.0fm", s / 60);
    else if (s < 48 * 3600)
        out_fmt(o, "%.0fh", s / 3600);
    else
        out_fmt(o, "%.0fd", s / 86400);
}

static void out_live(const cJSON *revision, struct out *o) {
    const cJSON *p = doc_each(revision, "proxies");
    out_fmt(o, "%.0f/%.0f", doc_number(p, "current"), doc_number(p, "ready"));
}

/* The one that the pin names, and those that are the same as it. */
static bool is_pinned(const cJSON *doc, const cJSON *revision) {
    const char *pinned = doc_get(doc_each(doc, "pinned"), "revision");
    return pinned[0] && (strcmp(pinned, doc_get(revision, "revision")) == 0 ||
                         strcmp(doc_get(doc, "revision"), doc_get(revision, "serves")) == 0);
}

/* The moves that are in it, and how many there are more. */
static enum ctl_exit out_moves(struct ctl *c, const cJSON *revision, struct out *o) {
    struct moves m;
    double there = doc_number(revision, "n_moves");
    double n = cJSON_GetArraySize(doc_each(revision, "moves"));
    moves_init(&m);
    enum ctl_exit code = moves_read(c, &m, doc_each(revision, "moves"), false);
    moves_brief(&m, BRIEF, o);
    if (there > n)
        out_fmt(o, " and %.0f more", there - n);
    if (there == 0 && doc_number(revision, "changed") + doc_number(revision, "added") > 0)
        out_lit(o, "too much to be kept");
    if (o->n == 0)
        out_char(o, '-');
    moves_fini(&m);
    return code;
}

/* ---- the list ---- */

static enum ctl_exit row(struct ctl *c, struct table *t, const cJSON *doc, const cJSON *revision) {
    char room[7][1024];
    struct out o[7];
    for (size_t i = 0; i < ARRAY_LEN(o); i++)
        o[i] = out_fixed(room[i], sizeof(room[i]));
    bool pinned = is_pinned(doc, revision);
    out_age(doc_number(revision, "time_ms"), &o[0]);
    out_live(revision, &o[1]);
    out_who(revision, &o[2]);
    out_causes(revision, &o[3]);
    enum ctl_exit code = out_moves(c, revision, &o[4]);
    table_cell(t, pinned ? TONE_WARN : TONE_PLAIN, "%s", doc_get(revision, "revision"));
    table_cell(t, TONE_PLAIN, "%.*s", STR_FMT(out_done(&o[0])));
    table_cell(t, pinned ? TONE_WARN : TONE_PLAIN, "%.*s%s", STR_FMT(out_done(&o[1])),
               pinned                             ? " pinned"
               : !doc_true(revision, "reachable") ? " no way back"
                                                  : "");
    for (size_t i = 2; i < 5; i++)
        table_cell(t, i == 2 ? TONE_PLAIN : TONE_DIM, "%.*s", STR_FMT(out_done(&o[i])));
    return code;
}

void pinned_print(struct ctl *c, const cJSON *doc) {
    const cJSON *p = doc_each(doc, "pinned");
    double held = doc_number(p, "held_back");
    if (!cJSON_IsObject(p))
        return;
    char *text = str_dup(str_of(doc_get(p, "text")));
    harmless(text, strlen(text));
    fprintf(c->out, "%s%s%s", tone_on(c, TONE_WARN), text, tone_off(c));
    mem_free(text);
    if (held > 0)
        fprintf(c->out, "; %.0f resource%s held back", held, held > 1 ? "s are" : " is");
    fputs("\n\n", c->out);
}

static enum ctl_exit list(struct ctl *c, const cJSON *doc) {
    static const char *const heads[] = {"REVISION", "AGE", "LIVE", "WHO", "CAUSE", "WHAT MOVED"};
    struct table t;
    const cJSON *r;
    enum ctl_exit code = CTL_OK;
    table_init(&t, heads, ARRAY_LEN(heads));
    pinned_print(c, doc);
    cJSON_ArrayForEach(r, doc_each(doc, "revisions")) {
        enum ctl_exit one = row(c, &t, doc, r);
        code = code == CTL_OK ? one : code;
    }
    table_print(&t, c);
    return code;
}

/* ---- one ---- */

static enum ctl_exit one(struct ctl *c, const cJSON *r) {
    const cJSON *cause;
    char room[256];
    struct out o = out_fixed(room, sizeof(room));
    struct moves m;
    out_age(doc_number(r, "time_ms"), &o);
    fprintf(c->out, "revision %s, %.*s ago; served by ", doc_get(r, "revision"),
            STR_FMT(out_done(&o)));
    o.n = 0;
    out_live(r, &o);
    fprintf(c->out, "%.*s ready proxies\n", STR_FMT(out_done(&o)));
    if (doc_get(r, "note")[0])
        fprintf(c->out, "%s\n", doc_get(r, "note"));
    fputs("\ncaused by\n", c->out);
    cJSON_ArrayForEach(cause, doc_each(r, "causes")) {
        o = out_fixed(room, sizeof(room));
        out_cause(cause, &o);
        harmless(room, o.n);
        fprintf(c->out, "  %.*s %s", STR_FMT(out_done(&o)), doc_get(cause, "change"));
        if (who_of(cause)[0])
            fprintf(c->out, " by %s", who_of(cause));
        if (doc_number(cause, "generation") > 0)
            fprintf(c->out, ", generation %.0f", doc_number(cause, "generation"));
        if (doc_get(cause, "resource_version")[0])
            fprintf(c->out, ", resourceVersion %s", doc_get(cause, "resource_version"));
        fputc('\n', c->out);
    }
    if (!doc_each(r, "causes") || !doc_each(r, "causes")->child)
        fputs("  nothing that was written\n", c->out);
    fputs("\nmoved\n", c->out);
    moves_init(&m);
    enum ctl_exit code = moves_read(c, &m, doc_each(r, "moves"), false);
    moves_print(c, &m);
    if (m.n == 0)
        fputs("  nothing that is kept\n", c->out);
    moves_fini(&m);
    return code;
}

/* ---- for machines: words in the place of bytes ---- */

static enum ctl_exit worded(struct ctl *c, cJSON *revision, bool pinned) {
    struct moves m;
    moves_init(&m);
    enum ctl_exit code = moves_read(c, &m, doc_each(revision, "moves"), false);
    cJSON_DeleteItemFromObject(revision, "moves");
    cJSON *words = cJSON_CreateObject();
    moves_document(&m, words);
    cJSON_AddItemToObject(revision, "moves", cJSON_DetachItemFromObject(words, "moves"));
    cJSON_Delete(words);
    cJSON_AddBoolToObject(revision, "pinned", pinned);
    moves_fini(&m);
    return code;
}

static enum ctl_exit document(struct ctl *c, cJSON *doc) {
    enum ctl_exit code = CTL_OK;
    cJSON *r, *of = cJSON_GetObjectItem(doc, "of");
    if (of) {
        code = worded(c, of, is_pinned(doc, of));
        cJSON_DetachItemViaPointer(doc, of);
        cJSON_Delete(doc);
        doc_print(c, of);
        return code;
    }
    cJSON_ArrayForEach(r, cJSON_GetObjectItem(doc, "revisions")) {
        enum ctl_exit one_code = worded(c, r, is_pinned(doc, r));
        code = code == CTL_OK ? one_code : code;
    }
    doc_print(c, doc);
    return code;
}

enum ctl_exit ctl_history(struct ctl *c) {
    struct fetched f;
    char path[PATH_MAX_] = "/history";
    enum ctl_exit code;
    if (c->n_words > 0 && (code = pinned_path(c, "revision", c->words[0], path, sizeof(path))))
        return code;
    code = fetch_json(c, FROM_CONTROLLER, path, &f);
    if (code != CTL_OK)
        return code;
    if (c->format != CTL_TABLE)
        return document(c, f.json);
    const cJSON *of = doc_each(f.json, "of");
    code = of ? one(c, of) : list(c, f.json);
    cJSON_Delete(f.json);
    return code;
}
