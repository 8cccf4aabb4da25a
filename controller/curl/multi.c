/* SPDX-License-Identifier: Apache-2.0
 *
 * What is freed from inside a callback of ours goes when the outermost of our functions returns
 * (depth).
 */
#include "controller/curl/multi.h"

#include "lib/list.h"
#include "lib/mem.h"

#include <event2/event.h>

struct multi {
    struct event_base *base;
    const struct multi_events *events;
    void *arg;
    CURLM *curl;
    struct event *timer; /* libcurl's */
    struct list watches; /* its sockets */
    unsigned depth;      /* of our functions that call back */
    bool busy, gone;
};

struct watch { /* a socket of libcurl's */
    struct list link;
    struct event *event;
    struct multi *multi;
};

static void watch_free(struct watch *w) {
    list_del(&w->link);
    event_free(w->event);
    mem_free(w);
}

static void destroy(struct multi *m) {
    m->busy = true;
    curl_multi_cleanup(m->curl);
    while (!list_empty(&m->watches))
        watch_free(list_entry(m->watches.next, struct watch, link));
    event_free(m->timer);
    mem_free(m);
    curl_global_cleanup();
}

/* ---- libcurl at work ---- */

static void tell_ends(struct multi *m) {
    CURLMsg *end;
    int left;
    while (!m->gone && (end = curl_multi_info_read(m->curl, &left)))
        if (end->msg == CURLMSG_DONE)
            m->events->ended(m->arg, end->easy_handle, end->data.result);
    if (!m->gone && m->events->after)
        m->events->after(m->arg);
}

static void act(struct multi *m, curl_socket_t fd, int what) {
    int running;
    m->depth++;
    m->busy = true;
    curl_multi_socket_action(m->curl, fd, what, &running);
    m->busy = false;
    tell_ends(m);
    if (--m->depth == 0 && m->gone)
        destroy(m);
}

static void on_ready(evutil_socket_t fd, short what, void *arg) {
    struct watch *w = arg;
    act(w->multi, fd,
        (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0));
}

static void on_timer(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    act(arg, CURL_SOCKET_TIMEOUT, 0);
}

/* ---- what libcurl calls ---- */

static int set_timer(CURLM *curl, long ms, void *arg) {
    struct multi *m = arg;
    struct timeval tv = {ms / 1000, ms % 1000 * 1000};
    (void)curl;
    if (ms < 0)
        evtimer_del(m->timer);
    else
        evtimer_add(m->timer, &tv);
    return 0;
}

static int set_socket(CURL *curl, curl_socket_t fd, int what, void *arg, void *old) {
    struct multi *m = arg;
    struct watch *w = old;
    (void)curl;
    if (what == CURL_POLL_REMOVE) {
        if (w)
            watch_free(w);
        curl_multi_assign(m->curl, fd, NULL);
        return 0;
    }
    short events = (short)(EV_PERSIST | (what & CURL_POLL_IN ? EV_READ : 0) |
                           (what & CURL_POLL_OUT ? EV_WRITE : 0));
    if (!w) {
        w = mem_zalloc(sizeof(*w));
        w->multi = m;
        list_append(&m->watches, &w->link);
        curl_multi_assign(m->curl, fd, w);
    } else {
        event_free(w->event);
    }
    w->event = event_new(m->base, fd, events, on_ready, w);
    must(w->event);
    event_add(w->event, NULL);
    return 0;
}

/* ---- transfers ---- */

void multi_add(struct multi *m, CURL *curl) {
    must(!m->busy);
    m->busy = true;
    must(curl_multi_add_handle(m->curl, curl) == CURLM_OK);
    m->busy = false;
}

void multi_remove(struct multi *m, CURL *curl) {
    must(!m->busy);
    m->busy = true;
    curl_multi_remove_handle(m->curl, curl);
    m->busy = false;
}

bool multi_is_busy(const struct multi *m) { return m->busy; }

CURLM *multi_curl(struct multi *m) { return m->curl; }

/* ---- life ---- */

struct multi *multi_new(struct event_base *base, const struct multi_events *events, void *arg) {
    struct multi *m = mem_zalloc(sizeof(*m));
    must(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
    m->base = base;
    m->events = events;
    m->arg = arg;
    list_init(&m->watches);
    m->timer = evtimer_new(base, on_timer, m);
    m->curl = curl_multi_init();
    must(m->timer && m->curl);
    curl_multi_setopt(m->curl, CURLMOPT_SOCKETFUNCTION, set_socket);
    curl_multi_setopt(m->curl, CURLMOPT_SOCKETDATA, m);
    curl_multi_setopt(m->curl, CURLMOPT_TIMERFUNCTION, set_timer);
    curl_multi_setopt(m->curl, CURLMOPT_TIMERDATA, m);
    return m;
}

void multi_free(struct multi *m) {
    must(!m->busy);
    m->gone = true;
    if (m->depth == 0)
        destroy(m);
}
