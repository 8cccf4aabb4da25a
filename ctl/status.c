/* SPDX-License-Identifier: Apache-2.0
 *
 * status: the controller's /status, for people.
 */
#include "ctl/doc.h"
#include "ctl/fetch.h"
#include "ctl/pinned.h"
#include "ctl/table.h"

#include <string.h>
#include <time.h>

static const char *state_of(const cJSON *proxy, enum tone *tone) {
    *tone = TONE_GOOD;
    if (doc_get(proxy, "nack")[0]) {
        *tone = TONE_BAD;
        return "refused";
    }
    if (doc_true(proxy, "behind")) {
        *tone = TONE_BAD;
        return "behind";
    }
    if (doc_true(proxy, "ready") && doc_true(proxy, "current"))
        return "current";
    *tone = TONE_WARN;
    return doc_true(proxy, "ready") ? "waiting" : "starting";
}

static const char *ago(double ms, char *room, size_t n) {
    if (ms <= 0)
        snprintf(room, n, "-");
    else if (ms < 60e3)
        snprintf(room, n, "%.0fs", ms / 1e3);
    else if (ms < 3600e3)
        snprintf(room, n, "%.0fm", ms / 60e3);
    else if (ms < 48 * 3600e3)
        snprintf(room, n, "%.0fh", ms / 3600e3);
    else
        snprintf(room, n, "%.0fd", ms / 86400e3);
    return room;
}

/* How long ago a time (Unix, milliseconds; 0 = never) is. */
static const char *since(const cJSON *proxy, const char *field, char *room, size_t n) {
    double then = doc_number(proxy, field);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    double age = (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6 - then;
    return then > 0 ? ago(age > 0 ? age : 0, room, n) : "never";
}

static void show_proxies(struct ctl *c, const cJSON *doc) {
    static const char *const heads[] = {"PROXY", "STATE",       "REVISION", "LINKED",
                                        "ACKED", "CONNECTIONS", "ACTIVE",   "ADDRESS"};
    struct table t;
    const cJSON *p;
    table_init(&t, heads, ARRAY_LEN(heads));
    cJSON_ArrayForEach(p, doc_each(doc, "proxies")) {
        enum tone tone;
        char linked[16], acked[16];
        const char *state = state_of(p, &tone);
        table_cell(&t, TONE_PLAIN, "%s", doc_get(p, "name"));
        table_cell(&t, tone, "%s", state);
        table_cell(&t, TONE_PLAIN, "%s", doc_get(p, "revision"));
        table_cell(&t, TONE_PLAIN, "%s", since(p, "linked_ms", linked, sizeof(linked)));
        table_cell(&t, TONE_PLAIN, "%s", since(p, "acked_ms", acked, sizeof(acked)));
        table_cell(&t, TONE_PLAIN, "%.0f", doc_number(p, "connections"));
        table_cell(&t, TONE_PLAIN, "%.0f", doc_number(p, "active_requests"));
        table_cell(&t, TONE_DIM, "%s", doc_get(p, "address"));
    }
    fprintf(c->out, "revision %s, %d proxies\n\n", doc_get(doc, "revision"),
            cJSON_GetArraySize(doc_each(doc, "proxies")));
    table_print(&t, c);
    cJSON_ArrayForEach(p, doc_each(doc, "proxies")) if (doc_get(p, "nack")[0])
        fprintf(c->out, "%s refused: %s\n", doc_get(p, "name"), doc_get(p, "nack"));
}

/* ---- resources ---- */

static void row(struct table *t, const cJSON *r, enum tone tone, const char *what,
                const char *message) {
    const char *ns = doc_get(r, "namespace");
    table_cell(t, tone, "%s", what);
    table_cell(t, TONE_PLAIN, "%s %s%s%s", doc_get(r, "kind"), ns, ns[0] ? "/" : "",
               doc_get(r, "name"));
    table_cell(t, TONE_PLAIN, "%s", message);
}

static void conditions(struct table *t, const cJSON *r) {
    bool refused = false;
    const cJSON *k;
    cJSON_ArrayForEach(k, doc_each(r, "conditions")) {
        if (strcmp(doc_get(k, "status"), "False") != 0)
            continue;
        bool accepted = strcmp(doc_get(k, "type"), "Accepted") == 0;
        bool programmed = strcmp(doc_get(k, "type"), "Programmed") == 0;
        const char *message = doc_get(k, "message");
        if (programmed && refused)
            continue;
        refused |= accepted;
        row(t, r, accepted ? TONE_BAD : TONE_WARN,
            accepted ? (doc_true(r, "held") ? "refused, last good serves" : "refused")
            : doc_true(r, "held_back") ? "held back"
            : programmed               ? "not yet everywhere"
                                       : "unresolved",
            message[0] ? message : doc_get(k, "reason"));
    }
}

static void show_resources(struct ctl *c, const cJSON *doc) {
    static const char *const heads[] = {"", "RESOURCE", "WHY"};
    struct table t;
    const cJSON *r, *w;
    table_init(&t, heads, ARRAY_LEN(heads));
    cJSON_ArrayForEach(r, doc_each(doc, "resources")) {
        conditions(&t, r);
        cJSON_ArrayForEach(w, doc_each(r, "warnings"))
            row(&t, r, TONE_WARN, "warning", cJSON_GetStringValue(w) ? w->valuestring : "");
    }
    cJSON_ArrayForEach(r, doc_each(doc, "source")) {
        table_cell(&t, TONE_BAD, "fault");
        table_cell(&t, TONE_PLAIN, "the source");
        table_cell(&t, TONE_PLAIN, "%s", cJSON_IsString(r) ? r->valuestring : "");
    }
    bool any = t.n > t.columns;
    if (any)
        fputc('\n', c->out);
    table_print(&t, c);
    if (!any)
        fprintf(c->out, "\n%sall resources are accepted%s\n", tone_on(c, TONE_GOOD), tone_off(c));
}

/* ---- the whole ---- */

static bool is_refused(const cJSON *resource) {
    const cJSON *k;
    cJSON_ArrayForEach(k, doc_each(resource, "conditions")) {
        if (strcmp(doc_get(k, "type"), "Accepted") == 0)
            return strcmp(doc_get(k, "status"), "False") == 0;
    }
    return false;
}

static bool has_problems(const cJSON *doc) {
    const cJSON *j;
    enum tone tone;
    cJSON_ArrayForEach(j, doc_each(doc, "proxies")) {
        state_of(j, &tone);
        if (tone == TONE_BAD)
            return true;
    }
    cJSON_ArrayForEach(j, doc_each(doc, "resources")) {
        if (is_refused(j))
            return true;
    }
    return cJSON_GetArraySize(doc_each(doc, "source")) > 0;
}

enum ctl_exit ctl_status(struct ctl *c) {
    struct fetched f;
    enum ctl_exit code = fetch_json(c, FROM_CONTROLLER, "/status", &f);
    if (code != CTL_OK)
        return code;
    cJSON *doc = f.json;
    code = has_problems(doc) ? CTL_PROBLEMS : CTL_OK;
    if (c->format == CTL_TABLE) {
        pinned_print(c, doc);
        show_proxies(c, doc);
        show_resources(c, doc);
        cJSON_Delete(doc);
    } else {
        doc_print(c, doc);
    }
    return code;
}
