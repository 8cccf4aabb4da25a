/* SPDX-License-Identifier: Apache-2.0
 *
 * reflect: one kind, listed and then watched for ever.
 *
 *     no version ──► STREAMING ── initial events end ──┐
 *        │ ▲            │ 4xx: not on this server      ▼        event: version moves on
 *        │ │            ▼                              WATCHING ◄──┐
 *        │ └──────── LISTING ── last page ──► version ──► │ ───────┘
 *        │  page ◄──────┘                                 ├─ ended, silent: again from version
 *        └──◄── 410 in any form, bytes that are no JSON ──┘
 *
 * Whatever fails waits (backoff.h) and goes on from where it stands. What an object brings about (a
 * list anew, a watch that begins) is made due, so that no request ends under its own bytes.
 */
#include "controller/source/kube_parts.h"
#include "lib/log.h"
#include "lib/mem.h"

enum {
    VERSION_MAX = 1 << 10, /* bytes of a resourceVersion */
    NEXT_MAX = 64 << 10,   /* of a continue token */
    PATH_MAX_BYTES = 128 << 10,
    WATCH_S = 300,            /* the server ends a watch after this and up to as much again */
    LIST_TIMEOUT_MS = 120000, /* of one page */
    SHORT_MS = 1000,          /* a watch that ends sooner, and without an event, was no watch */
};

#define ACCEPT_LIST                                                                                \
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
#define ACCEPT_ONE "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"

/* ---- waiting ---- */

static void do_at(struct reflector *r, uint64_t due_ms) {
    r->due_ms = due_ms;
    source_wake(r->s, due_ms);
}

static void wait_longer(struct reflector *r, uint64_t retry_after_ms) {
    r->stage = REFLECT_IDLE;
    do_at(r, source_now() + backoff_next(&r->backoff, &r->s->prng, retry_after_ms));
}

/* A watch that carries something, or has not been refused in its first second: what failed before
 * is forgotten. */
static void is_good(struct reflector *r) {
    backoff_reset(&r->backoff);
    r->expired = r->plain = false;
    r->first_ms = 0;
    source_fault(&r->fault, STR_NONE);
}

static bool has_failed(const struct reflector *r) {
    return r->backoff.next_ms > 0 || r->expired || r->plain || r->first_ms > 0 || r->fault;
}

static void count_in(struct reflector *r) {
    if (r->counts)
        return;
    r->counts = true;
    source_progress(r->s);
}

/* ---- what comes ---- */

static void cut(struct reflector *r, enum reflect_cut how, const struct why *why) {
    r->cut = how;
    r->cut_why = *why;
}

static bool set_version(struct reflector *r, const cJSON *meta) {
    struct str version = json_text(meta, "resourceVersion");
    if (version.n == 0)
        return false;
    r->version.n = 0;
    out_str(&r->version, version);
    return !r->version.over;
}

static void begin_list(struct reflector *r) {
    r->version.n = r->next.n = 0;
    r->list++;
    r->n_foreign = 0;
    r->n.lists++;
}

static void end_list(struct reflector *r) {
    r->read = true;
    if (r->what->listed)
        r->what->listed(r);
    log_debug("source", "listed kind=%s namespace=%.*s events=%llu", r->what->info->kind,
              STR_FMT(r->ns), (unsigned long long)r->n.events);
    count_in(r);
}

static void on_item(struct reflector *r, struct str text) {
    struct why why;
    why_clear(&why);
    cJSON *json = take_parse(text, &why);
    r->n.events++;
    if (json)
        r->what->object(r, json, false, why_set(&why) ? &why : NULL);
    else
        cut(r, CUT_BROKEN, &why);
    cJSON_Delete(json);
}

static void on_error_event(struct reflector *r, const cJSON *status) {
    const cJSON *code = json_get(status, "code");
    struct str reason = json_text(status, "reason"), message = json_text(status, "message");
    struct why why;
    why_clear(&why);
    why_text(&why, "%.*s: %.*s", STR_FMT(reason), STR_FMT(message));
    bool expired = (cJSON_IsNumber(code) && code->valueint == 410) ||
                   str_eq(reason, STR("Expired")) || str_eq(reason, STR("Gone"));
    cut(r, expired ? CUT_EXPIRED : CUT_REFUSED, &why);
}

static void on_bookmark(struct reflector *r, const cJSON *object) {
    const cJSON *meta = json_get(object, "metadata");
    struct str end = json_text(json_get(meta, "annotations"), "k8s.io/initial-events-end");
    if (r->stage != REFLECT_STREAMING || !str_eq(end, STR("true")))
        return;
    r->stage = REFLECT_WATCHING;
    end_list(r);
}

static void tell_event(struct reflector *r, const cJSON *event, const struct why *refused) {
    cJSON *object = cJSON_GetObjectItemCaseSensitive(event, "object");
    struct str type = json_text(event, "type");
    struct why why;
    bool gone = str_eq(type, STR("DELETED"));
    why_clear(&why);
    if (str_eq(type, STR("ERROR"))) {
        on_error_event(r, object);
    } else if (!set_version(r, json_get(object, "metadata"))) {
        why_text(&why, "an event without a resourceVersion");
        cut(r, CUT_BROKEN, &why);
    } else if (str_eq(type, STR("BOOKMARK"))) {
        on_bookmark(r, object);
    } else if (gone || str_eq(type, STR("ADDED")) || str_eq(type, STR("MODIFIED"))) {
        r->what->object(r, object, gone, refused);
    }
}

static void on_event(struct reflector *r, struct str text) {
    struct why why;
    why_clear(&why);
    cJSON *json = take_parse(text, &why);
    r->n.events++;
    if (json)
        tell_event(r, json, why_set(&why) ? &why : NULL);
    else
        cut(r, CUT_BROKEN, &why);
    if (r->cut == CUT_NOT && r->stage == REFLECT_WATCHING)
        is_good(r);
    cJSON_Delete(json);
}

static bool on_bytes(void *arg, struct str bytes) {
    struct reflector *r = arg;
    struct why why;
    struct str object;
    enum split_got got;
    why_clear(&why);
    r->heard_ms = source_now();
    r->n.bytes += bytes.n;
    source_reached(r->s, NULL);
    while (r->cut == CUT_NOT &&
           (got = split_next(&r->split, &bytes, &object, &why)) != SPLIT_MORE) {
        if (got == SPLIT_BAD)
            cut(r, CUT_BROKEN, &why);
        else if (r->stage == REFLECT_LISTING)
            on_item(r, object);
        else
            on_event(r, object);
    }
    return r->cut == CUT_NOT;
}

/* ---- asking ---- */

static void on_end(void *arg, const struct kube_answer *a);

static void ask(struct reflector *r, enum reflect_stage stage, const struct out *path) {
    bool list = stage == REFLECT_LISTING;
    const char *accept = !r->what->metadata ? NULL : list ? ACCEPT_LIST : ACCEPT_ONE;
    const struct kube_call call = {.method = "GET",
                                   .path = out_done(path),
                                   .accept = accept,
                                   .timeout_ms = list ? LIST_TIMEOUT_MS : KUBE_STREAM,
                                   .silence_ms = list ? 0 : KUBE_SILENCE_MS,
                                   .on_bytes = on_bytes,
                                   .on_end = on_end,
                                   .arg = r};
    r->stage = stage;
    r->cut = CUT_NOT;
    r->due_ms = NEVER;
    r->began_ms = source_now();
    if (stage == REFLECT_WATCHING && has_failed(r))
        do_at(r, r->began_ms + SHORT_MS);
    split_init(&r->split, list ? SPLIT_LIST : SPLIT_STREAM, SPLIT_OBJECT_MAX);
    r->request = kube_call(r->s->client, &call);
}

static struct out begin_path(const struct reflector *r) {
    const struct kube_kind_info *i = r->what->info;
    struct out path = out_heap(PATH_MAX_BYTES);
    kube_path(&path, i->group, i->version, i->plural, r->ns, STR_NONE, STR_NONE);
    if (r->what->selector)
        kube_path_param(&path, r->what->selector, str_of(r->what->selected));
    return path;
}

static void ask_list(struct reflector *r) {
    struct out path = begin_path(r);
    char room[24];
    struct out limit = out_fixed(room, sizeof(room));
    out_u64(&limit, KUBE_PAGE);
    kube_path_param(&path, "limit", out_done(&limit));
    if (r->next.n > 0)
        kube_path_param(&path, "continue", out_done(&r->next));
    ask(r, REFLECT_LISTING, &path);
    out_fini(&path);
}

static void ask_watch(struct reflector *r, enum reflect_stage stage) {
    struct out path = begin_path(r);
    char room[24];
    struct out seconds = out_fixed(room, sizeof(room));
    out_u64(&seconds, WATCH_S + prng_below(&r->s->prng, WATCH_S + 1));
    kube_path_param(&path, "watch", STR("1"));
    kube_path_param(&path, "allowWatchBookmarks", STR("true"));
    kube_path_param(&path, "timeoutSeconds", out_done(&seconds));
    if (stage == REFLECT_STREAMING) {
        kube_path_param(&path, "sendInitialEvents", STR("true"));
        kube_path_param(&path, "resourceVersionMatch", STR("NotOlderThan"));
    } else {
        kube_path_param(&path, "resourceVersion", out_done(&r->version));
    }
    ask(r, stage, &path);
    out_fini(&path);
}

/* What is to be done next. */
static void go_on(struct reflector *r) {
    if (r->version.n > 0) {
        ask_watch(r, REFLECT_WATCHING);
        return;
    }
    begin_list(r);
    if (r->s->no_streams || r->plain)
        ask_list(r);
    else
        ask_watch(r, REFLECT_STREAMING);
}

/* ---- ends ---- */

static void fail(struct reflector *r, struct str fault, uint64_t retry_after_ms) {
    r->n.failures++;
    source_fault(&r->fault, fault);
    wait_longer(r, retry_after_ms);
}

/* Bytes that are not what they should be, or a version that is too old: all of it anew. */
static void relist(struct reflector *r) {
    r->version.n = 0;
    if (!r->expired && r->cut != CUT_BROKEN) {
        r->expired = true;
        go_on(r);
    } else {
        wait_longer(r, 0);
    }
}

static void end_broken(struct reflector *r, const struct why *why) {
    char room[1024];
    struct out o = out_fixed(room, sizeof(room));
    const struct kube_kind_info *i = r->what->info;
    out_fmt(&o, "the %s of %s%s%s sent what cannot be read: ",
            r->stage == REFLECT_LISTING ? "list" : "watch", i->plural, i->group[0] ? "." : "",
            i->group);
    why_print(why, &o);
    out_lit(&o, "; it is listed again");
    r->n.failures++;
    source_fault(&r->fault, out_done(&o));
    r->cut = CUT_BROKEN;
    relist(r);
}

static void end_page(struct reflector *r, struct str rest) {
    struct why why;
    why_clear(&why);
    cJSON *json = json_parse(rest, &why);
    const cJSON *meta = json_get(json, "metadata");
    struct str next = json_text(meta, "continue");
    r->next.n = 0;
    out_str(&r->next, next);
    if (json && next.n == 0 && !set_version(r, meta))
        why_text(&why, "a list without a resourceVersion");
    cJSON_Delete(json);
    if (why_set(&why)) {
        end_broken(r, &why);
    } else if (r->next.n > 0) {
        ask_list(r);
    } else {
        end_list(r);
        go_on(r);
    }
}

/* The server has closed a watch, or it was silent for too long, or the connection is gone. */
static void end_watch(struct reflector *r) {
    if (source_now() - r->began_ms < SHORT_MS)
        wait_longer(r, 0);
    else
        go_on(r);
}

static const char *verb_of(const struct reflector *r) {
    return r->stage == REFLECT_LISTING ? "list" : "watch";
}

static void end_refused(struct reflector *r, const struct kube_answer *a) {
    char room[1024];
    struct out o = out_fixed(room, sizeof(room));
    report_refusal(r, verb_of(r), a, &o);
    bool is_none =
        (a->status == 404 && r->what->missing) || (a->status == 403 && r->what->optional);
    fail(r, is_none ? STR_NONE : out_done(&o), a->retry_after_ms);
}

/* Whether a refusal has lasted for so long. */
static bool lasts(struct reflector *r, uint64_t ms) {
    uint64_t now = source_now();
    if (r->first_ms == 0)
        r->first_ms = now;
    return now - r->first_ms >= ms;
}

/* It may not be read: what is known of it stays. A list that may not be streamed may still be read
 * in pages, since that takes another verb. */
static void end_forbidden(struct reflector *r, const struct kube_answer *a) {
    if (r->stage == REFLECT_STREAMING) {
        r->plain = true;
        go_on(r);
        return;
    }
    if (lasts(r, KUBE_REFUSED_MS) || r->what->optional)
        count_in(r);
    r->version.n = 0; /* what may be listed and not watched is listed again and again */
    end_refused(r, a);
}

static void end_absent(struct reflector *r, const struct kube_answer *a) {
    bool had = r->read;
    r->version.n = 0;
    if (r->undefined || (r->what->missing && !had) ||
        lasts(r, had ? KUBE_ABSENT_MS : KUBE_REFUSED_MS)) {
        if (had && r->what->listed)
            begin_list(r), r->what->listed(r);
        r->read = false;
        count_in(r);
    }
    end_refused(r, a);
}

/* A server that cannot stream a list says so with 4xx; what every request may get is not that. */
static bool cannot_stream(int status) {
    return status >= 400 && status < 500 && status != 401 && status != 408 && status != 429;
}

static void end_status(struct reflector *r, const struct kube_answer *a) {
    if (a->status == 403) {
        end_forbidden(r, a);
    } else if (a->status == 404) {
        end_absent(r, a);
    } else if (a->status == 410) {
        relist(r);
    } else if (r->stage == REFLECT_STREAMING && cannot_stream(a->status)) {
        r->s->no_streams = true;
        go_on(r);
    } else {
        end_refused(r, a);
    }
}

static void end_complete(struct reflector *r, const struct kube_answer *a) {
    struct why why;
    struct str rest;
    why_clear(&why);
    if (r->stage == REFLECT_WATCHING)
        end_watch(r);
    else if (why_set(&a->why) || r->stage == REFLECT_STREAMING)
        end_refused(r, a);
    else if (split_end(&r->split, &rest, &why) != 0)
        end_broken(r, &why);
    else
        end_page(r, rest);
}

static void end_cut(struct reflector *r) {
    struct kube_answer a = {.status = 200, .why = r->cut_why};
    if (r->cut == CUT_EXPIRED)
        relist(r);
    else if (r->cut == CUT_REFUSED)
        end_refused(r, &a);
    else
        end_broken(r, &r->cut_why);
}

static void on_end(void *arg, const struct kube_answer *a) {
    struct reflector *r = arg;
    struct split split = r->split; /* the next request has its own */
    r->request = NULL;
    source_reached(r->s, a->status == 0 ? &a->why : NULL);
    if (r->stage == REFLECT_STREAMING)
        r->version.n = 0; /* of some object: nothing to go on from */
    if (r->cut != CUT_NOT) {
        end_cut(r);
    } else if (a->status == 0) {
        r->n.failures++;
        wait_longer(r, 0);
    } else if (a->status >= 200 && a->status < 300) {
        end_complete(r, a);
    } else {
        end_status(r, a);
    }
    split_fini(&split);
}

/* ---- life ---- */

struct reflector *reflector_new(struct kube_source *s, const struct watched *what, struct str ns) {
    struct reflector *r = mem_zalloc(sizeof(*r));
    r->s = s;
    r->what = what;
    r->due_ms = NEVER;
    r->ns = ns.n > 0 ? str_mk(mem_dup(ns.p, ns.n), ns.n) : STR_NONE;
    r->version = out_heap(VERSION_MAX);
    r->next = out_heap(NEXT_MAX);
    list_append(&s->reflectors, &r->link);
    return r;
}

static void cancel(struct reflector *r) {
    if (!r->request)
        return;
    kube_cancel(r->request);
    r->request = NULL;
    split_fini(&r->split);
}

void reflector_free(struct reflector *r) {
    list_del(&r->link);
    cancel(r);
    out_fini(&r->version);
    out_fini(&r->next);
    mem_free(r->fault);
    mem_free((char *)(uintptr_t)r->ns.p);
    mem_free(r);
}

void reflector_begin(struct reflector *r) { do_at(r, source_now()); }

void reflector_relist(struct reflector *r) {
    r->again = true;
    reflector_begin(r);
}

void reflector_defined(struct reflector *r, bool there) {
    r->undefined = !there;
    if (there)
        backoff_reset(&r->backoff); /* what failed before was another state of the server */
    if (there && !r->request)
        reflector_begin(r);
}

void reflector_turn(struct reflector *r) {
    r->due_ms = NEVER;
    if (r->again) {
        r->again = false;
        r->version.n = 0;
        cancel(r);
    }
    if (r->request)
        is_good(r);
    else
        go_on(r);
}
