/* SPDX-License-Identifier: Apache-2.0
 *
 *     fetch_start ─► turn ─► begin ─► libcurl ─► on_ended ─┬─► end: done()
 *                              ▲                           │
 *                              └──── follow: the next URL ◄┘
 */
#include "controller/fetch/fetch.h"

#include "controller/curl/easy.h"
#include "controller/curl/multi.h"
#include "lib/address.h"
#include "lib/list.h"
#include "lib/mem.h"

#include <event2/event.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <time.h>

struct fetcher {
    struct event_base *base;
    struct multi *multi;
    struct list all;
    uint32_t connect_ms, whole_ms;
};

enum stop { /* why reading ended, where libcurl cannot know */
            STOP_NONE,
            STOP_STATUS, /* not 200: nobody reads the body */
            STOP_HEAD,
            STOP_LARGE,
};

struct fetch {
    struct fetcher *fetcher;
    struct list link;
    struct event *turn;
    struct fetch_what what; /* url is of the hop under way; texts and ranges are ours */
    CURL *curl;             /* NULL: nothing is under way */
    struct curl_slist *headers, *connect_to;
    char error[CURL_ERROR_SIZE];
    char refused[INET6_ADDRSTRLEN]; /* the first address that may not be connected to; "": none */
    enum address_sort refused_sort;
    struct out body;
    size_t head; /* bytes */
    unsigned hops;
    uint64_t began_ms;
    enum stop stop;
};

static uint64_t now_ms(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static struct str copy(struct str s) { return str_mk(str_dup(s), s.n); }
static void drop(struct str s) { mem_free((char *)(uintptr_t)s.p); }

/* ---- addresses as they are written ---- */

struct place { /* freed by libcurl's own functions */
    char *scheme, *host, *port;
};

static void place_fini(struct place *p) {
    curl_free(p->scheme);
    curl_free(p->host);
    curl_free(p->port);
}

static int place_read(struct str url, bool clear, struct place *p, struct why *why) {
    struct shown shown;
    char *copied = str_dup(url), *user = NULL, *password = NULL;
    CURLU *u = curl_url();
    int bad = 0;
    must(u);
    *p = (struct place){0};
    if (url.n > FETCH_URL_MAX || memchr(url.p, 0, url.n) ||
        curl_url_set(u, CURLUPART_URL, copied, 0) != CURLUE_OK ||
        curl_url_get(u, CURLUPART_SCHEME, &p->scheme, 0) != CURLUE_OK ||
        curl_url_get(u, CURLUPART_HOST, &p->host, 0) != CURLUE_OK ||
        curl_url_get(u, CURLUPART_PORT, &p->port, CURLU_DEFAULT_PORT) != CURLUE_OK)
        bad = why_text(why, "%s is no address; write it as https://idp.example.com/keys",
                       why_show(url, &shown));
    else if (strcmp(p->scheme, "https") != 0 && !(clear && strcmp(p->scheme, "http") == 0))
        bad = why_text(why, "%s is not https, so anybody on the way could change it",
                       why_show(url, &shown));
    else if (curl_url_get(u, CURLUPART_USER, &user, 0) == CURLUE_OK ||
             curl_url_get(u, CURLUPART_PASSWORD, &password, 0) == CURLUE_OK)
        bad = why_text(why, "there is a user or password in the address; nothing is shown there, "
                            "remove it");
    curl_free(user);
    curl_free(password);
    curl_url_cleanup(u);
    mem_free(copied);
    if (bad) {
        place_fini(p);
        *p = (struct place){0};
    }
    return bad;
}

int fetch_url_check(struct str url, bool clear, struct why *why) {
    struct place p;
    int bad = place_read(url, clear, &p, why);
    place_fini(&p);
    return bad;
}

static bool same_place(const struct place *a, const struct place *b) {
    return strcmp(a->scheme, b->scheme) == 0 && strcmp(a->port, b->port) == 0 &&
           str_eq_nocase(str_of(a->host), str_of(b->host));
}

/* ---- where a connection may go ---- */

static bool is_endpoint(const struct fetch *r) { return r->what.connect.n > 0; }

static bool may_reach(struct fetch *r, struct str address) {
    enum address_sort sort = address_sort(address);
    if (sort == ADDRESS_PUBLIC || address_within(address, r->what.allowed, r->what.n_allowed))
        return true;
    if (is_endpoint(r) && (sort == ADDRESS_PRIVATE || sort == ADDRESS_RESERVED))
        return true;
    if (r->refused[0] == 0) {
        struct out o = out_fixed(r->refused, sizeof(r->refused));
        address_print(&o, address);
        out_char(&o, 0);
        r->refused_sort = sort;
    }
    return false;
}

static struct str address_of(const struct curl_sockaddr *a) {
    const struct sockaddr_in *v4 = (const void *)&a->addr;
    const struct sockaddr_in6 *v6 = (const void *)&a->addr;
    if (a->family == AF_INET)
        return str_mk((const char *)&v4->sin_addr, 4);
    return a->family == AF_INET6 ? str_mk((const char *)&v6->sin6_addr, 16) : STR_NONE;
}

/* libcurl connects this socket to that very address. */
static curl_socket_t on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *a) {
    struct str address = address_of(a);
    if (purpose != CURLSOCKTYPE_IPCXN || address.n == 0 || !may_reach(arg, address))
        return CURL_SOCKET_BAD;
    return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

/* ---- what comes ---- */

static int status_of(const struct fetch *r) {
    long status = 0;
    curl_easy_getinfo(r->curl, CURLINFO_RESPONSE_CODE, &status);
    return (int)status;
}

static size_t on_header(char *p, size_t size, size_t n, void *arg) {
    struct fetch *r = arg;
    (void)p;
    r->head += size * n;
    if (r->head <= FETCH_HEAD_MAX)
        return size * n;
    r->stop = STOP_HEAD;
    return 0;
}

/* libcurl says where a redirect leads when it has seen its end. */
static size_t on_body(char *p, size_t size, size_t n, void *arg) {
    struct fetch *r = arg;
    int status = status_of(r);
    if (status != 200 && status / 100 != 3)
        r->stop = STOP_STATUS;
    else if (r->body.n + size * n > FETCH_BODY_MAX)
        r->stop = STOP_LARGE;
    else
        out_bytes(&r->body, p, size * n);
    return r->stop == STOP_NONE ? size * n : 0;
}

/* ---- what went wrong ---- */

static void explain_refused(const struct fetch *r, struct why *why) {
    bool six = strchr(r->refused, ':') != NULL;
    const char *rule =
        is_endpoint(r) ? "no Service is asked there" : "only public ones are fetched from";
    why_text(why,
             "it is at %s, %s, and %s; if that is meant, put %s/%d into auth.allowedPrivateCIDRs "
             "of the GatewayConfig",
             r->refused, address_sort_words(r->refused_sort), rule, r->refused, six ? 128 : 32);
}

static void explain_status(const struct fetch *r, int status, struct why *why) {
    char *to = NULL;
    struct shown shown;
    curl_easy_getinfo(r->curl, CURLINFO_REDIRECT_URL, &to);
    if (to && r->hops == FETCH_REDIRECTS)
        why_text(why, "it redirects more than %d times", FETCH_REDIRECTS);
    else if (to)
        why_text(why,
                 "it redirects to %s, which is not followed: another host, port or protocol; if "
                 "that is the right address, write it here",
                 why_show(str_of(to), &shown));
    else if (status / 100 == 5 || status == 429)
        why_text(why, "it answers %d %s; it is asked again later", status, easy_phrase(status));
    else
        why_text(why, "it answers %d %s, not 200; check the address", status, easy_phrase(status));
}

/* No figures of libcurl's: they would make the same fault another text each time. */
static void explain_code(const struct fetch *r, CURLcode code, struct why *why) {
    curl_off_t sent = 0;
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
        why_text(why, "its name cannot be resolved; check it, and whether the controller's DNS "
                      "knows it");
        break;
    case CURLE_COULDNT_CONNECT:
        why_text(why, "there is no connection to it; check host and port, and firewalls and "
                      "NetworkPolicies on the way");
        break;
    case CURLE_OPERATION_TIMEDOUT:
        curl_easy_getinfo(r->curl, CURLINFO_PRETRANSFER_TIME_T, &sent);
        if (sent > 0)
            why_text(why, "it has not answered wholly within %u ms", r->fetcher->whole_ms);
        else
            why_text(why,
                     "there is no connection to it within %u ms; check firewalls and "
                     "NetworkPolicies on the way",
                     r->fetcher->connect_ms);
        break;
    case CURLE_SSL_CACERT_BADFILE:
        why_text(why, "the authorities that it is verified by cannot be read; check %s",
                 r->what.ca.n > 0 ? "their PEM" : "the system's, or name some for it");
        break;
    default:
        easy_failed(why, code, r->error, STR("the server"));
    }
}

static void explain(const struct fetch *r, CURLcode code, struct why *why) {
    int status = status_of(r);
    if (r->stop == STOP_HEAD)
        why_text(why, "its header is larger than %d bytes", FETCH_HEAD_MAX);
    else if (r->stop == STOP_LARGE)
        why_text(why,
                 "its answer is larger than %d bytes, which no such document is; check the "
                 "address",
                 FETCH_BODY_MAX);
    else if (status != 0 && status != 200)
        explain_status(r, status, why);
    else if (r->refused[0] && code == CURLE_COULDNT_CONNECT)
        explain_refused(r, why);
    else if (code != CURLE_OK)
        explain_code(r, code, why);
}

/* ---- from start to end ---- */

static void stop(struct fetch *r) {
    if (r->curl) {
        multi_remove(r->fetcher->multi, r->curl);
        curl_easy_cleanup(r->curl);
    }
    curl_slist_free_all(r->headers);
    curl_slist_free_all(r->connect_to);
    r->curl = NULL;
    r->headers = r->connect_to = NULL;
}

static void fetch_free(struct fetch *r) {
    stop(r);
    list_del(&r->link);
    event_free(r->turn);
    out_fini(&r->body);
    drop(r->what.url);
    drop(r->what.connect);
    drop(r->what.ca);
    mem_free((void *)(uintptr_t)r->what.allowed);
    mem_free(r);
}

void fetch_cancel(struct fetch *r) {
    if (r)
        fetch_free(r);
}

/* Its caller hears of it, and it is gone. */
static void end(struct fetch *r, struct why *why) {
    struct fetch_answer a = {.why = *why};
    struct str shown;
    str_cut(r->what.url, '?', &shown);
    why_object(&a.why, "GET %.*s", STR_FMT(shown));
    struct out body = r->body;
    struct fetch_what what = r->what;
    if (!why_set(&a.why))
        a.body = out_done(&body);
    r->body = out_heap(0);
    fetch_free(r);
    what.done(what.arg, &a);
    out_fini(&body);
}

static struct curl_slist *lines(struct curl_slist *to, const char *fmt, struct str s) {
    struct out o = out_heap(FETCH_URL_MAX);
    out_fmt(&o, fmt, STR_FMT(s));
    out_char(&o, 0);
    must(!o.over);
    to = curl_slist_append(to, o.p);
    must(to);
    out_fini(&o);
    return to;
}

static void set_bounds(struct fetch *r, uint32_t left_ms) {
    CURL *c = r->curl;
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, is_endpoint(r) ? "http,https" : "https");
    curl_easy_setopt(c, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(c, CURLOPT_FRESH_CONNECT, 1L);
    curl_easy_setopt(c, CURLOPT_FORBID_REUSE, 1L);
    curl_easy_setopt(c, CURLOPT_SSL_SESSIONID_CACHE, 0L);
    curl_easy_setopt(c, CURLOPT_DNS_CACHE_TIMEOUT, 0L);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)r->fetcher->connect_ms);
    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)left_ms);
}

static void set_callbacks(struct fetch *r) {
    CURL *c = r->curl;
    curl_easy_setopt(c, CURLOPT_PRIVATE, r);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, r->error);
    curl_easy_setopt(c, CURLOPT_OPENSOCKETFUNCTION, on_open);
    curl_easy_setopt(c, CURLOPT_OPENSOCKETDATA, r);
    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(c, CURLOPT_HEADERDATA, r);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, r);
}

/* One hop. */
static void begin(struct fetch *r) {
    struct why why = {0};
    uint64_t spent = now_ms() - r->began_ms;
    if (spent >= r->fetcher->whole_ms)
        why_text(&why, "it has not answered wholly within %u ms", r->fetcher->whole_ms);
    if (why_set(&why) || fetch_url_check(r->what.url, is_endpoint(r), &why) != 0) {
        end(r, &why);
        return;
    }
    r->curl = curl_easy_init();
    must(r->curl);
    r->error[0] = 0;
    r->stop = STOP_NONE;
    easy_plain(r->curl);
    easy_text(r->curl, CURLOPT_URL, r->what.url);
    easy_trust(r->curl, r->what.ca);
    r->headers = lines(NULL, "Accept: %.*s", str_of(r->what.accept));
    curl_easy_setopt(r->curl, CURLOPT_HTTPHEADER, r->headers);
    if (is_endpoint(r)) {
        r->connect_to = lines(NULL, "::%.*s", r->what.connect);
        curl_easy_setopt(r->curl, CURLOPT_CONNECT_TO, r->connect_to);
    }
    set_bounds(r, r->fetcher->whole_ms - (uint32_t)spent);
    set_callbacks(r);
    multi_add(r->fetcher->multi, r->curl);
}

static void on_turn(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    begin(arg);
}

/* Where a redirect leads; n == 0: it is none, or to be refused. */
static struct str next_of(struct fetch *r) {
    char *to = NULL;
    struct place here, there = {0};
    curl_easy_getinfo(r->curl, CURLINFO_REDIRECT_URL, &to);
    if (!to || r->hops == FETCH_REDIRECTS)
        return STR_NONE;
    bool good = place_read(r->what.url, is_endpoint(r), &here, NULL) == 0 &&
                place_read(str_of(to), is_endpoint(r), &there, NULL) == 0 &&
                same_place(&here, &there);
    place_fini(&here);
    place_fini(&there);
    return good ? copy(str_of(to)) : STR_NONE;
}

static void on_ended(void *arg, CURL *curl, CURLcode code) {
    struct why why = {0};
    char *p = NULL;
    (void)arg;
    curl_easy_getinfo(curl, CURLINFO_PRIVATE, &p);
    struct fetch *r = (struct fetch *)(void *)p;
    struct str next = r->stop == STOP_HEAD ? STR_NONE : next_of(r);
    if (next.n == 0) {
        explain(r, code, &why);
        end(r, &why);
        return;
    }
    stop(r);
    drop(r->what.url);
    r->what.url = next;
    r->body.n = 0;
    r->hops++;
    begin(r);
}

struct fetch *fetch_start(struct fetcher *f, const struct fetch_what *what) {
    struct fetch *r = mem_zalloc(sizeof(*r));
    struct unit_cidr *allowed = mem_array(what->n_allowed + 1, sizeof(*allowed));
    must(what->done && what->accept);
    if (what->n_allowed > 0)
        memcpy(allowed, what->allowed, what->n_allowed * sizeof(*allowed));
    r->fetcher = f;
    r->what = *what;
    r->what.url = copy(what->url);
    r->what.connect = copy(what->connect);
    r->what.ca = copy(what->ca);
    r->what.allowed = allowed;
    r->body = out_heap(FETCH_BODY_MAX);
    r->began_ms = now_ms();
    r->turn = event_new(f->base, -1, 0, on_turn, r);
    must(r->turn);
    list_append(&f->all, &r->link);
    event_active(r->turn, EV_TIMEOUT, 1);
    return r;
}

/* ---- life ---- */

struct fetcher *fetcher_new(struct event_base *base) {
    static const struct multi_events events = {.ended = on_ended};
    struct fetcher *f = mem_zalloc(sizeof(*f));
    f->base = base;
    list_init(&f->all);
    f->multi = multi_new(base, &events, f);
    fetcher_patience(f, FETCH_CONNECT_MS, FETCH_WHOLE_MS);
    return f;
}

void fetcher_patience(struct fetcher *f, uint32_t connect_ms, uint32_t whole_ms) {
    f->connect_ms = connect_ms;
    f->whole_ms = whole_ms;
}

void fetcher_free(struct fetcher *f) {
    if (!f)
        return;
    while (!list_empty(&f->all))
        fetch_free(list_entry(f->all.next, struct fetch, link));
    multi_free(f->multi);
    mem_free(f);
}
