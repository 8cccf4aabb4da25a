/* SPDX-License-Identifier: Apache-2.0
 *
 *   kube_call ──► calls ──┐ (at most KUBE_CALLS_MAX run)
 *             └─► streams ┴─► running ──► conclude ──► on_end, gone
 *                    ▲                        │
 *                    └─── newer credentials ◄─┘ 401
 *
 * Whatever a caller does from inside libcurl (multi.h) is only noted, and done in the next turn;
 * and what it frees from inside a callback is freed when the outermost of our own functions returns
 * (depth).
 */
#include "controller/kube/client.h"

#include "controller/curl/easy.h"
#include "controller/curl/multi.h"
#include "controller/kube/client_answer.h"
#include "controller/kube/client_curl.h"
#include "lib/list.h"
#include "lib/log.h"
#include "lib/mem.h"

#include <event2/event.h>
#include <time.h>

enum {
    CREDENTIALS_AGE_MS = 60000, /* files older than this are read again before a request */
    SILENCE_MS = 30000,
    ANSWER_MS = 15000,
    REFUSAL_MAX = 64 << 10, /* bytes of a refusal's body */
    HTTP2_STREAMS = 1000,   /* on one connection, if the server likes */
};

struct kube_client {
    struct event_base *base;
    struct kube_access *access;
    struct multi *multi;
    struct event *turn;         /* something is to be started or buried */
    struct event *pulse;        /* pending while streams run */
    struct list calls, streams; /* to be started */
    struct list running;
    struct list buried;          /* cancelled while libcurl was at work */
    unsigned n_calls, n_streams; /* running */
    unsigned depth;              /* of our functions that call back */
    bool gone;
    uint64_t heard_ms;   /* when the server last said anything */
    uint32_t silence_ms; /* after so long it is asked whether it lives */
    uint32_t answer_ms;  /* and has so long to say so */
    struct kube_request *probe;
    struct kube_client_counters counters;
};

enum stop { /* why a request ended, where libcurl cannot know */
            STOP_NONE,
            STOP_ENOUGH, /* on_bytes() said so */
            STOP_LARGE,
            STOP_LATE, /* before it began */
            STOP_SILENT,
            STOP_DEAD, /* as everything else under way */
};

struct kube_request {
    struct kube_client *client;
    struct list link;
    struct kube_call what; /* path and body are ours */
    struct kube_wire wire;
    struct out body;       /* gathered */
    size_t sent;           /* of what.body */
    uint64_t asked_ms;     /* when it was called */
    uint64_t began_ms;     /* and started */
    uint64_t heard_ms;     /* and its last byte came */
    uint64_t version;      /* of the credentials that it showed */
    struct event *silence; /* NULL: never */
    enum stop stop;
    bool again, ended, cancelled;
};

static uint64_t now_ms(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void arm(struct event *ev, uint64_t ms) {
    struct timeval tv = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};
    evtimer_add(ev, &tv);
}

static struct kube_request *request_at(struct list *link) {
    return list_entry(link, struct kube_request, link);
}

static bool is_stream(const struct kube_request *r) { return r->what.timeout_ms == KUBE_STREAM; }

static void soon(struct kube_client *c) { event_active(c->turn, EV_TIMEOUT, 1); }

static void client_destroy(struct kube_client *c);

static void enter(struct kube_client *c) { c->depth++; }
static void leave(struct kube_client *c) {
    if (--c->depth == 0 && c->gone && !multi_is_busy(c->multi))
        client_destroy(c);
}

/* ---- requests ---- */

/* Out of libcurl, not out of the world. */
static void stop(struct kube_request *r) {
    struct kube_client *c = r->client;
    if (!r->wire.curl)
        return;
    multi_remove(c->multi, r->wire.curl);
    kube_wire_fini(&r->wire);
    if (is_stream(r))
        c->n_streams--;
    else
        c->n_calls--;
    if (c->n_streams == 0)
        evtimer_del(c->pulse);
    if (!list_empty(&c->calls))
        soon(c);
}

static void request_free(struct kube_request *r) {
    stop(r);
    list_del(&r->link);
    if (r->silence)
        event_free(r->silence);
    if (r->client->probe == r)
        r->client->probe = NULL;
    out_fini(&r->body);
    mem_free((char *)(uintptr_t)r->what.path.p);
    mem_free((char *)(uintptr_t)r->what.body.p);
    mem_free(r);
}

static void free_all(struct list *requests) {
    while (!list_empty(requests))
        request_free(request_at(requests->next));
}

void kube_cancel(struct kube_request *r) {
    if (!r || r->ended)
        return;
    struct kube_client *c = r->client;
    if (!multi_is_busy(c->multi)) {
        request_free(r);
        return;
    }
    r->cancelled = true;
    list_del(&r->link);
    list_append(&c->buried, &r->link);
    soon(c);
}

static void explain(struct kube_request *r, CURLcode code, struct kube_answer *a) {
    struct kube_client *c = r->client;
    struct str path;
    str_cut(r->what.path, '?', &path);
    why_object(&a->why, "%s %.*s", r->what.method, STR_FMT(path));
    if (r->stop == STOP_ENOUGH)
        why_text(&a->why, "the caller ended it");
    else if (a->status != 0 && a->status / 100 != 2)
        kube_answer_refused(&a->why, a->status, a->body);
    else if (r->stop == STOP_LARGE)
        why_text(&a->why, "the answer is larger than %d bytes", KUBE_ANSWER_MAX);
    else if (r->stop == STOP_LATE)
        why_text(&a->why, "it waited too long for its turn; %u calls are under way", c->n_calls);
    else if (r->stop == STOP_SILENT)
        why_text(&a->why, "no byte came for %u ms", r->what.silence_ms);
    else if (r->stop == STOP_DEAD)
        why_text(&a->why, "the API server was not heard for %llu s and does not answer",
                 (unsigned long long)(now_ms() - c->heard_ms) / 1000);
    else if (code != CURLE_OK)
        easy_failed(&a->why, code, r->wire.error, kube_access_credentials(c->access)->server);
}

static uint64_t retry_after(CURL *curl) {
    curl_off_t s = 0;
    curl_easy_getinfo(curl, CURLINFO_RETRY_AFTER, &s);
    if (s <= 0)
        return 0;
    return s < KUBE_RETRY_AFTER_MAX_MS / 1000 ? (uint64_t)s * 1000 : KUBE_RETRY_AFTER_MAX_MS;
}

/* The end of a request: its caller hears of it, and it is gone. */
static void end(struct kube_request *r, CURLcode code) {
    struct kube_client *c = r->client;
    struct kube_answer a = {.body = out_done(&r->body)};
    long status = 0;
    if (r->wire.curl) {
        curl_easy_getinfo(r->wire.curl, CURLINFO_RESPONSE_CODE, &status);
        a.status = (int)status;
        a.retry_after_ms = retry_after(r->wire.curl);
    }
    explain(r, code, &a);
    if (why_set(&a.why) && r->stop != STOP_ENOUGH)
        c->counters.failures++;
    r->ended = true;
    stop(r);
    list_del(&r->link);
    enter(c);
    r->what.on_end(r->what.arg, &a);
    request_free(r);
    leave(c);
}

/* ---- is the server alive? ---- */

static struct multi *connections(struct kube_client *c);

/* Nobody answers: all that is under way ends, and the next request finds no old connection. */
static void hang_up(struct kube_client *c) {
    log_warn("kube", "the API server does not answer, its connections are closed silent_ms=%llu",
             (unsigned long long)(now_ms() - c->heard_ms));
    enter(c);
    free_all(&c->buried);
    while (!c->gone && !list_empty(&c->running)) {
        struct kube_request *r = request_at(c->running.next);
        r->stop = STOP_DEAD;
        end(r, CURLE_OK);
    }
    if (!c->gone) {
        multi_free(c->multi);
        c->multi = connections(c);
    }
    leave(c);
}

static void on_probe_end(void *arg, const struct kube_answer *a) {
    struct kube_client *c = arg;
    c->probe = NULL;
    if (a->status == 0 && now_ms() - c->heard_ms >= c->answer_ms)
        hang_up(c);
}

static void probe(struct kube_client *c) {
    if (c->probe)
        return;
    struct kube_call what = {.method = "GET",
                             .path = STR("/version"),
                             .timeout_ms = c->answer_ms,
                             .on_end = on_probe_end,
                             .arg = c};
    c->probe = kube_call(c, &what);
    list_del(&c->probe->link);
    list_push(&c->streams, &c->probe->link); /* before all that wait for calls without answer */
}

static void on_pulse(evutil_socket_t fd, short what, void *arg) {
    struct kube_client *c = arg;
    uint64_t silent = now_ms() - c->heard_ms;
    (void)fd;
    (void)what;
    if (silent >= c->silence_ms)
        probe(c);
    arm(c->pulse, silent < c->silence_ms ? c->silence_ms - silent : c->silence_ms);
}

static void on_silence(evutil_socket_t fd, short what, void *arg) {
    struct kube_request *r = arg;
    uint64_t silent = now_ms() - r->heard_ms;
    (void)fd;
    (void)what;
    if (silent < r->what.silence_ms) {
        arm(r->silence, r->what.silence_ms - silent);
        return;
    }
    r->stop = STOP_SILENT;
    end(r, CURLE_OK);
}

/* ---- what libcurl calls ---- */

static void heard(struct kube_request *r) { r->heard_ms = r->client->heard_ms = now_ms(); }

static size_t on_header(char *p, size_t size, size_t n, void *arg) {
    (void)p;
    heard(arg);
    return size * n;
}

static size_t keep(struct kube_request *r, struct str bytes, size_t max) {
    if (r->body.n + bytes.n > max) {
        r->stop = STOP_LARGE;
        return 0;
    }
    out_str(&r->body, bytes);
    return bytes.n;
}

static size_t on_body(char *p, size_t size, size_t n, void *arg) {
    struct kube_request *r = arg;
    struct str bytes = str_mk(p, size * n);
    long status = 0;
    if (r->cancelled || r->client->gone)
        return 0;
    heard(r);
    r->client->counters.bytes += bytes.n;
    curl_easy_getinfo(r->wire.curl, CURLINFO_RESPONSE_CODE, &status);
    if (status / 100 != 2)
        return keep(r, bytes, REFUSAL_MAX);
    if (!r->what.on_bytes)
        return keep(r, bytes, KUBE_ANSWER_MAX);
    if (r->what.on_bytes(r->what.arg, bytes))
        return bytes.n;
    r->stop = STOP_ENOUGH;
    return 0;
}

/* Without a way to rewind it, libcurl does not send a body again on a connection of its choice. */
static size_t on_send(char *room, size_t size, size_t n, void *arg) {
    struct kube_request *r = arg;
    size_t piece = size_min(size * n, r->what.body.n - r->sent);
    if (piece > 0)
        memcpy(room, r->what.body.p + r->sent, piece);
    r->sent += piece;
    return piece;
}

/* ---- from the list to the wire and back ---- */

static void start(struct kube_request *r) {
    struct kube_client *c = r->client;
    uint64_t waited = now_ms() - r->asked_ms;
    uint32_t left = is_stream(r) ? 0 : r->what.timeout_ms;
    if (!is_stream(r) && waited >= left) {
        r->stop = STOP_LATE;
        end(r, CURLE_OK);
        return;
    }
    if (list_empty(&c->running))
        c->heard_ms = now_ms(); /* until now nothing was to be heard */
    list_append(&c->running, &r->link);
    kube_access_refresh(c->access, CREDENTIALS_AGE_MS);
    const struct kube_credentials *who = kube_access_credentials(c->access);
    kube_wire_init(&r->wire, &r->what, who, left > 0 ? left - (uint32_t)waited : 0);
    curl_easy_setopt(r->wire.curl, CURLOPT_PRIVATE, r);
    curl_easy_setopt(r->wire.curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(r->wire.curl, CURLOPT_WRITEDATA, r);
    curl_easy_setopt(r->wire.curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(r->wire.curl, CURLOPT_HEADERDATA, r);
    curl_easy_setopt(r->wire.curl, CURLOPT_READFUNCTION, on_send);
    curl_easy_setopt(r->wire.curl, CURLOPT_READDATA, r);
    r->version = who->version;
    r->began_ms = r->heard_ms = now_ms();
    r->sent = 0;
    c->counters.requests++;
    c->counters.writes += strcmp(r->what.method, "GET") != 0;
    if (!is_stream(r))
        c->n_calls++;
    else if (c->n_streams++ == 0)
        arm(c->pulse, c->silence_ms);
    if (r->silence)
        arm(r->silence, r->what.silence_ms);
    multi_add(c->multi, r->wire.curl);
}

/* After a 401: true if there are newer credentials, and it is on its way with them. */
static bool once_more(struct kube_request *r) {
    struct kube_client *c = r->client;
    if (r->again)
        return false;
    kube_access_refresh(c->access, 0);
    if (kube_access_credentials(c->access)->version == r->version)
        return false;
    r->again = true;
    stop(r);
    list_del(&r->link);
    r->body.n = 0;
    r->stop = STOP_NONE;
    list_push(is_stream(r) ? &c->streams : &c->calls, &r->link);
    soon(c);
    return true;
}

static void conclude(struct kube_request *r, CURLcode code) {
    struct kube_client *c = r->client;
    long status = 0;
    curl_easy_getinfo(r->wire.curl, CURLINFO_RESPONSE_CODE, &status);
    if (status == 401 && once_more(r))
        return;
    if (code == CURLE_OPERATION_TIMEDOUT && c->heard_ms <= r->began_ms && r != c->probe)
        probe(c);
    end(r, code);
}

static void on_ended(void *arg, CURL *curl, CURLcode code) {
    const struct kube_client *c = arg;
    char *p = NULL;
    curl_easy_getinfo(curl, CURLINFO_PRIVATE, &p);
    struct kube_request *r = (struct kube_request *)(void *)p;
    if (c->gone)
        return;
    if (r->cancelled)
        request_free(r);
    else
        conclude(r, code);
}

/* Whoever freed the client from inside libcurl is heard now. */
static void on_after(void *arg) {
    struct kube_client *c = arg;
    enter(c);
    leave(c);
}

static void on_turn(evutil_socket_t fd, short what, void *arg) {
    struct kube_client *c = arg;
    struct list *next;
    (void)fd;
    (void)what;
    enter(c);
    free_all(&c->buried);
    while (!c->gone && ((next = list_pop(&c->streams)) ||
                        (c->n_calls < KUBE_CALLS_MAX && (next = list_pop(&c->calls)))))
        start(request_at(next));
    leave(c);
}

struct kube_request *kube_call(struct kube_client *c, const struct kube_call *what) {
    struct kube_request *r = mem_zalloc(sizeof(*r));
    must(what->on_end && what->method);
    r->client = c;
    r->what = *what;
    if (r->what.timeout_ms == 0)
        r->what.timeout_ms = KUBE_CALL_TIMEOUT_MS;
    r->what.path = str_mk(str_dup(what->path), what->path.n);
    r->what.body = str_mk(str_dup(what->body), what->body.n);
    r->body = out_heap(KUBE_ANSWER_MAX);
    r->asked_ms = now_ms();
    if (is_stream(r) && what->silence_ms > 0) {
        r->silence = evtimer_new(c->base, on_silence, r);
        must(r->silence);
    }
    list_append(is_stream(r) ? &c->streams : &c->calls, &r->link);
    soon(c);
    return r;
}

/* ---- life ---- */

static struct multi *connections(struct kube_client *c) {
    static const struct multi_events events = {on_ended, on_after};
    struct multi *m = multi_new(c->base, &events, c);
    curl_multi_setopt(multi_curl(m), CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
    curl_multi_setopt(multi_curl(m), CURLMOPT_MAX_CONCURRENT_STREAMS, (long)HTTP2_STREAMS);
    return m;
}

struct kube_client *kube_client_new(struct event_base *base, struct kube_access *access) {
    struct kube_client *c = mem_zalloc(sizeof(*c));
    c->base = base;
    kube_client_patience(c, SILENCE_MS, ANSWER_MS);
    c->access = access;
    list_init(&c->calls);
    list_init(&c->streams);
    list_init(&c->running);
    list_init(&c->buried);
    c->turn = event_new(base, -1, 0, on_turn, c);
    c->pulse = evtimer_new(base, on_pulse, c);
    must(c->turn && c->pulse);
    c->multi = connections(c);
    return c;
}

static void client_destroy(struct kube_client *c) {
    free_all(&c->calls);
    free_all(&c->streams);
    free_all(&c->running);
    free_all(&c->buried);
    multi_free(c->multi);
    event_free(c->turn);
    event_free(c->pulse);
    mem_free(c);
}

void kube_client_free(struct kube_client *c) {
    if (!c || c->gone)
        return;
    c->gone = true;
    enter(c);
    leave(c);
}

void kube_client_patience(struct kube_client *c, uint32_t silence_ms, uint32_t answer_ms) {
    c->silence_ms = silence_ms;
    c->answer_ms = answer_ms;
}

const struct kube_client_counters *kube_client_counters(const struct kube_client *c) {
    return &c->counters;
}

const struct kube_access *kube_client_access(const struct kube_client *c) { return c->access; }
