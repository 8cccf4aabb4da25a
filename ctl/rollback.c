/* SPDX-License-Identifier: Apache-2.0
 *
 * rollback and resume: a pin (controller/history/pin.h) is written, or taken away, where the
 * resources are: as a ConfigMap by the user's kubectl, or as a file of the directory. The
 * controller's admin port only says what to write.
 */
#include "ctl/cluster.h"
#include "ctl/fetch.h"
#include "ctl/moves.h"
#include "ctl/pinned.h"
#include "ctl/table.h"
#include "lib/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    PATH_ROOM = 200,
    LIVE_S = 30, /* until proxies serve it */
    WAIT_MS = 300,
};

enum ctl_exit pinned_path(struct ctl *c, const char *what, const char *revision, char *room,
                          size_t n) {
    size_t digits = strspn(revision, "0123456789abcdef");
    if (digits < 4 || digits > 16 || revision[digits])
        return ctl_fail(c, CTL_USAGE,
                        "'%s' is no revision; it is 4 to 16 hexadecimal digits, see sluicectl "
                        "history",
                        revision);
    snprintf(room, n, "/history?%s=%s", what, revision);
    return CTL_OK;
}

/* ---- where it is written ---- */

struct place {
    bool directory;
    char path[PATH_MAX];
    const char *ns, *name; /* borrowed from the document */
    const cJSON *meta;     /* those two, and who owns it; the same */
};

static enum ctl_exit place_of(struct ctl *c, const cJSON *doc, struct place *p) {
    const cJSON *pin = doc_each(doc, "pin");
    const char *directory = doc_get(doc, "directory");
    *p = (struct place){.directory = strcmp(doc_get(doc, "source"), "dir") == 0,
                        .ns = doc_get(pin, "namespace"),
                        .name = doc_get(pin, "name"),
                        .meta = pin};
    if (!p->name[0])
        return ctl_fail(c, CTL_PROBLEMS,
                        "this controller has no place for a pin: start it with --pin NAME");
    if (p->directory && snprintf(p->path, sizeof(p->path), "%s/%s.json", directory, p->name) >=
                            (int)sizeof(p->path))
        return ctl_fail(c, CTL_PROBLEMS, "the path of its directory is too long");
    return CTL_OK;
}

static enum ctl_exit write_path(struct ctl *c, const char *path, const char *text) {
    char beside[PATH_MAX + 8];
    const char *slash = strrchr(path, '/');
    snprintf(beside, sizeof(beside), "%.*s/.%s.new", (int)(slash - path), path, slash + 1);
    FILE *f = fopen(beside, "we");
    bool bad = !f || fputs(text, f) < 0;
    bad |= f && fclose(f) != 0;
    if (!bad && rename(beside, path) == 0)
        return CTL_OK;
    enum ctl_exit code = ctl_fail(c, CTL_PROBLEMS,
                                  "%s cannot be written: %s; a pin is a file of the directory that "
                                  "the controller reads, on its machine",
                                  path, strerror(errno));
    (void)unlink(beside);
    return code;
}

/* ---- what it says ---- */

static void add_head(struct ctl *c, cJSON *data) {
    char when[32];
    time_t now = time(NULL);
    struct tm tm;
    const struct passwd *me = getpwuid(getuid());
    strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
    cJSON_AddStringToObject(data, "since", when);
    if (me && me->pw_name[0])
        cJSON_AddStringToObject(data, "by", me->pw_name);
    if (c->reason)
        cJSON_AddStringToObject(data, "reason", c->reason);
}

/* Takes data. */
static char *config_map(const struct place *p, cJSON *data) {
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "apiVersion", "v1");
    cJSON_AddStringToObject(o, "kind", "ConfigMap");
    cJSON_AddItemToObject(o, "metadata", cJSON_Duplicate(p->meta, true));
    cJSON_AddItemToObject(o, "data", data);
    char *text = cJSON_Print(o);
    cJSON_Delete(o);
    return text;
}

/* ---- asking ---- */

/* CTL_PROBLEMS: no. */
static enum ctl_exit ask(struct ctl *c, const char *question) {
    char answer[16] = "";
    if (c->yes)
        return CTL_OK;
    if (!isatty(STDIN_FILENO))
        return ctl_fail(c, CTL_USAGE, "nobody can be asked here; say --yes, or --dry-run");
    fprintf(c->out, "%s [y/N] ", question);
    fflush(c->out);
    return fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y')
               ? CTL_OK
               : CTL_PROBLEMS;
}

/* ---- what comes of it ---- */

static bool is_served(const cJSON *doc, const char *revision) {
    const char *pinned = doc_get(doc_each(doc, "pinned"), "revision");
    const cJSON *newest = cJSON_GetArrayItem(doc_each(doc, "revisions"), 0);
    const cJSON *p = doc_each(newest, "proxies");
    return strcmp(pinned, revision) == 0 && doc_number(p, "current") == doc_number(p, "ready");
}

/* revision: "" = of none. */
static enum ctl_exit await(struct ctl *c, const char *revision, double *ready) {
    struct timespec wait = {0, WAIT_MS * 1000000L};
    time_t end = time(NULL) + LIVE_S;
    do {
        struct fetched f;
        enum ctl_exit code = fetch_json(c, FROM_CONTROLLER, "/history", &f);
        if (code != CTL_OK)
            return code;
        bool served = is_served(f.json, revision);
        const cJSON *newest = cJSON_GetArrayItem(doc_each(f.json, "revisions"), 0);
        *ready = doc_number(doc_each(newest, "proxies"), "ready");
        cJSON_Delete(f.json);
        if (served)
            return CTL_OK;
        nanosleep(&wait, NULL);
    } while (time(NULL) < end);
    return ctl_fail(c, CTL_PROBLEMS,
                    "it is written, and not served by every ready proxy after %d s; see sluicectl "
                    "status",
                    LIVE_S);
}

static bool is_refused(const cJSON *resource, const char **why) {
    const cJSON *k;
    cJSON_ArrayForEach(k, doc_each(resource, "conditions")) {
        *why = doc_get(k, "message");
        if (strcmp(doc_get(k, "type"), "Accepted") == 0 &&
            strcmp(doc_get(k, "status"), "False") == 0)
            return true;
    }
    return false;
}

/* What was put back and cannot be used today, say since a Secret is not there any more. */
static enum ctl_exit say_refused(struct ctl *c, const cJSON *data) {
    struct fetched f;
    const cJSON *r;
    const char *why;
    enum ctl_exit code = fetch_json(c, FROM_CONTROLLER, "/status", &f);
    if (code != CTL_OK)
        return code;
    cJSON_ArrayForEach(r, doc_each(f.json, "resources")) {
        char key[600];
        snprintf(key, sizeof(key), "%s.%s.%s", doc_get(r, "kind"), doc_get(r, "namespace"),
                 doc_get(r, "name"));
        if (cJSON_GetObjectItemCaseSensitive(data, key) && is_refused(r, &why))
            code = ctl_fail(c, CTL_PROBLEMS, "%s %s/%s cannot be used as it was then: %s",
                            doc_get(r, "kind"), doc_get(r, "namespace"), doc_get(r, "name"), why);
    }
    cJSON_Delete(f.json);
    return code;
}

/* ---- rollback ---- */

/* What will move, from now to then. */
static enum ctl_exit show(struct ctl *c, const char *revision, struct moves *m) {
    struct fetched f;
    char path[PATH_ROOM];
    snprintf(path, sizeof(path), "/history?since=%s", revision);
    enum ctl_exit code = fetch_json(c, FROM_CONTROLLER, path, &f);
    if (code != CTL_OK)
        return code;
    code = moves_read(c, m, doc_each(f.json, "moves"), true);
    cJSON_Delete(f.json);
    return code;
}

static enum ctl_exit pin(struct ctl *c, const struct place *p, cJSON *data) {
    double ready = 0;
    const char *revision = doc_get(data, "revision");
    cJSON *whole = cJSON_Duplicate(data, true);
    add_head(c, whole);
    char *text = config_map(p, whole);
    enum ctl_exit code =
        p->directory ? write_path(c, p->path, text) : cluster_write(c, p->ns, p->name, text);
    cJSON_free(text);
    if (code == CTL_OK)
        code = await(c, revision, &ready);
    if (code != CTL_OK)
        return code;
    fprintf(c->out,
            "the fleet is pinned to revision %s: %.0f of %.0f ready proxies serve it. What is "
            "written from now on is held back until `sluicectl resume`.\n",
            revision, ready, ready);
    return say_refused(c, data);
}

static enum ctl_exit roll(struct ctl *c, const cJSON *doc, struct moves *m) {
    struct place p;
    char room[128];
    struct out o = out_fixed(room, sizeof(room));
    cJSON *data = cJSON_GetObjectItem((cJSON *)(uintptr_t)doc, "data");
    enum ctl_exit code = place_of(c, doc, &p);
    if (code != CTL_OK || (code = show(c, doc_get(data, "revision"), m)) != CTL_OK)
        return code;
    if (c->format != CTL_TABLE) {
        cJSON *told = cJSON_CreateObject();
        doc_text(told, "revision", str_of(doc_get(data, "revision")));
        moves_document(m, told);
        doc_print(c, told);
    } else {
        moves_sum(m, &o);
        moves_print(c, m);
        fprintf(c->out, "%s%.*s\n", m->n > 0 ? "\n" : "", STR_FMT(out_done(&o)));
    }
    if (c->dry_run)
        return CTL_OK;
    code = ask(c, "Pin the fleet to this, and hold back what is written from now on?");
    return code == CTL_OK ? pin(c, &p, data) : code;
}

enum ctl_exit ctl_rollback(struct ctl *c) {
    struct fetched f;
    struct moves m;
    char path[PATH_ROOM];
    enum ctl_exit code = pinned_path(c, "pin", c->words[0], path, sizeof(path));
    if (code != CTL_OK || (code = fetch_json(c, FROM_CONTROLLER, path, &f)) != CTL_OK)
        return code;
    moves_init(&m);
    code = roll(c, f.json, &m);
    moves_fini(&m);
    cJSON_Delete(f.json);
    return code;
}

/* ---- resume ---- */

static enum ctl_exit unpin(struct ctl *c, const struct place *p) {
    double ready = 0;
    enum ctl_exit code = CTL_OK;
    if (!p->directory)
        code = cluster_delete(c, p->ns, p->name);
    else if (unlink(p->path) != 0)
        code = ctl_fail(c, CTL_PROBLEMS,
                        "%s cannot be removed: %s; is the pin in another file of "
                        "that directory?",
                        p->path, strerror(errno));
    if (code == CTL_OK)
        code = await(c, "", &ready);
    if (code == CTL_OK)
        fprintf(c->out,
                "what the resources say counts again: %.0f of %.0f ready proxies serve it\n", ready,
                ready);
    return code;
}

static void show_held_back(struct ctl *c) {
    struct fetched f;
    const cJSON *r;
    if (fetch_json(c, FROM_CONTROLLER, "/status", &f) != CTL_OK)
        return;
    cJSON_ArrayForEach(r, doc_each(f.json, "resources")) {
        if (doc_true(r, "held_back"))
            fprintf(c->out, "  %s %s%s%s\n", doc_get(r, "kind"), doc_get(r, "namespace"),
                    doc_get(r, "namespace")[0] ? "/" : "", doc_get(r, "name"));
    }
    cJSON_Delete(f.json);
}

enum ctl_exit ctl_resume(struct ctl *c) {
    struct fetched f;
    struct place p;
    enum ctl_exit code = fetch_json(c, FROM_CONTROLLER, "/history", &f);
    if (code != CTL_OK)
        return code;
    code = place_of(c, f.json, &p);
    if (code == CTL_OK && !cJSON_IsObject(doc_each(f.json, "pinned")))
        code = ctl_fail(c, CTL_PROBLEMS, "the fleet is not pinned");
    if (code == CTL_OK) {
        pinned_print(c, f.json);
        show_held_back(c);
        if (!c->dry_run)
            code = ask(c, "Let what the resources say count again?");
        if (!c->dry_run && code == CTL_OK)
            code = unpin(c, &p);
    }
    cJSON_Delete(f.json);
    return code;
}
