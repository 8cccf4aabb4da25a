/* SPDX-License-Identifier: Apache-2.0
 *
 * origin: the HTTP/1.1 backend of the quickstart, the tests and the benchmarks.
 *
 *   origin --listen ADDRESS:PORT --name NAME [--workers N] [--body BYTES] [--always WISH]
 *
 * It answers with a line that names itself and the request line; with --body, with that many bytes;
 * with --always /delay/200, as if each request had asked for that.
 * The first segments of the path, or of `do=` in the query, ask for something else:
 *
 *   /echo         the request, head and body, byte for byte as it came
 *   /status/503   that status             /delay/200     the answer 200 ms later
 *   /bytes/N      N bytes                 /chunked/N     the same in chunks, then a trailer
 *   /close        a body until the end    /hang          no answer at all
 *   /reset[/N]    RST instead of an answer, or after N bytes of a body of 2N
 *   /cut/N        as /reset/N, but an orderly end
 *   /slow-body    the head, then ten pieces of ten bytes, 100 ms apart
 *   /drip         the whole answer byte by byte, 10 ms apart
 *   /hints        103 Early Hints, then the answer
 *   /_count       how many requests it has answered, those to /_count apart
 *
 * Each worker is a thread with its own listening socket (SO_REUSEPORT), epoll and connections. A
 * connection holds one input buffer and one output buffer; requests are answered in order, and
 * while an answer waits (for time or room) no further request is read. Not hardened: it stands on
 * loopback behind the thing that is tested.
 */
#include "lib/mem.h"
#include "lib/str.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    INPUT_BYTES = 64 * 1024,      /* first size of an input buffer */
    INPUT_MAX = 32 * 1024 * 1024, /* an echoed request may be that long */
    FILL_BYTES = 64 * 1024,       /* of a generated body at a time */
    CHUNK_BYTES = 8 * 1024,       /* of one chunk of /chunked */
    OUTPUT_MAX = 1024 * 1024,     /* pipelined answers wait while more is unsent */
    SLOW_PIECE = 10,
    SLOW_MS = 100, /* /slow-body */
    DRIP_MS = 10,
};

enum body { BODY_NONE, BODY_LENGTH, BODY_CHUNKED };
enum finish { KEEP, END, RESET }; /* what follows an answer */

struct conn {
    int fd;
    bool want_write;
    char *in;
    size_t in_n, in_cap;
    size_t seen;   /* of `in`, searched for the end of the head */
    bool skipping; /* a body that nobody wants is being read: */
    uint64_t skip; /* so many bytes of it are left */
    char *out;
    size_t out_n, out_cap, out_at;
    uint64_t fill; /* bytes of a generated body that are not yet in `out` */
    bool fill_chunked;
    uint64_t fill_stop; /* /reset/N and /cut/N: stop when `fill` has come down to this */
    enum finish finish;
    int64_t wake_ms; /* 0 = not waiting; else when the next part may be sent */
    size_t step;     /* bytes that may be sent at each waking; 0 = all */
    int64_t step_ms;
    size_t allowed;           /* of `out`, what may be sent now; SIZE_MAX = all */
    struct conn *prev, *next; /* in the worker's list of waiting connections */
};

struct request {
    struct str line, method, target, head; /* head: with its empty line */
    enum body body;
    uint64_t length;
    bool keep, expects;
};

struct worker {
    int epoll, listener;
    struct conn *waiting;
};

static const char *name = "origin";
static struct str plain;  /* the whole answer of --body, made once */
static struct str always; /* of --always */
static struct sockaddr_in address;
static char pattern[FILL_BYTES];
static _Atomic uint64_t count;

_Noreturn static void die(const char *what) {
    fprintf(stderr, "origin: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- the request ---- */

static bool field_is(struct str line, struct str wanted, struct str *value) {
    struct str field;
    struct str rest = str_cut(line, ':', &field);
    if (rest.p == NULL || !str_eq_nocase(field, wanted))
        return false;
    *value = str_trim(rest);
    return true;
}

static void read_fields(struct request *r, struct str fields) {
    while (fields.n > 0) {
        struct str line, value;
        fields = str_cut(fields, '\n', &line);
        if (line.n > 0 && line.p[line.n - 1] == '\r')
            line.n--;
        if (field_is(line, STR("content-length"), &value) && r->body != BODY_CHUNKED) {
            r->body = str_to_u64(value, INT64_MAX, &r->length) ? BODY_LENGTH : BODY_NONE;
        } else if (field_is(line, STR("transfer-encoding"), &value)) {
            r->body = BODY_CHUNKED;
        } else if (field_is(line, STR("connection"), &value)) {
            if (str_eq_nocase(value, STR("close")))
                r->keep = false;
            else if (str_eq_nocase(value, STR("keep-alive")))
                r->keep = true;
        } else if (field_is(line, STR("expect"), &value)) {
            r->expects = true;
        }
    }
}

static struct request read_head(struct str head) {
    struct request r = {.head = head};
    struct str fields = str_cut(head, '\n', &r.line);
    if (r.line.n > 0 && r.line.p[r.line.n - 1] == '\r')
        r.line.n--;
    struct str rest = str_cut(r.line, ' ', &r.method);
    struct str version = str_cut(rest, ' ', &r.target);
    r.keep = !str_eq(version, STR("HTTP/1.0"));
    read_fields(&r, fields);
    return r;
}

/* Behind the end of a chunked body in s, 0 when it is not complete, SIZE_MAX when it is none. */
static size_t chunked_end(struct str s) {
    size_t at = 0;
    for (;;) {
        size_t eol = str_find(s, '\n', at);
        if (eol == s.n)
            return 0;
        char *end;
        uint64_t n = strtoull(s.p + at, &end, 16);
        if (end == s.p + at)
            return SIZE_MAX;
        at = eol + 1;
        if (n == 0)
            break;
        if (n > INPUT_MAX || s.n - at < n + 2)
            return n > INPUT_MAX ? SIZE_MAX : 0;
        at += n + 2;
    }
    for (;;) { /* trailers */
        size_t eol = str_find(s, '\n', at);
        if (eol == s.n)
            return 0;
        bool empty = eol - at <= 1;
        at = eol + 1;
        if (empty)
            return at;
    }
}

/* ---- the answer ---- */

static void put(struct conn *c, const char *p, size_t n) {
    if (c->out_cap - c->out_n < n) {
        c->out_cap = size_max(c->out_n + n, c->out_cap * 2);
        c->out = mem_realloc(c->out, c->out_cap);
    }
    if (n > 0)
        memcpy(c->out + c->out_n, p, n);
    c->out_n += n;
}
static void put_str(struct conn *c, struct str s) { put(c, s.p, s.n); }

PRINTF_LIKE(2, 3) static void put_fmt(struct conn *c, const char *fmt, ...) {
    char room[512];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(room, sizeof room, fmt, args);
    va_end(args);
    put(c, room, size_min((size_t)n, sizeof room - 1));
}

static void put_head(struct conn *c, unsigned status, uint64_t length, bool keep) {
    put_fmt(c, "HTTP/1.1 %u %s\r\nContent-Type: text/plain\r\nX-Origin: %s\r\n", status,
            status == 200 ? "OK" : "Asked For", name);
    if (status != 204 && status != 304)
        put_fmt(c, "Content-Length: %" PRIu64 "\r\n", length);
    put_fmt(c, keep ? "\r\n" : "Connection: close\r\n\r\n");
}

static void put_pieces(struct conn *c, struct str a, struct str b, struct str d, unsigned status,
                       const struct request *r) {
    put_head(c, status, a.n + b.n + d.n, r->keep);
    if (str_eq(r->method, STR("HEAD")) || status == 204 || status == 304)
        return;
    put_str(c, a);
    put_str(c, b);
    put_str(c, d);
}

static void put_name(struct conn *c, const struct request *r, unsigned status) {
    char room[300];
    int n = snprintf(room, sizeof room, "%s: ", name);
    put_pieces(c, str_mk(room, (size_t)n), r->line, STR("\n"), status, r);
}

/* Starts a body of n pattern bytes; the head is in `out` already. */
static void fill(struct conn *c, const struct request *r, uint64_t n, bool chunked) {
    if (str_eq(r->method, STR("HEAD")))
        return;
    c->fill = n;
    c->fill_chunked = chunked;
    c->fill_stop = 0;
    if (chunked && n == 0)
        put_str(c, STR("0\r\nX-Trailer: yes\r\n\r\n"));
}

/* More of a generated body into `out`. */
static void refill(struct conn *c) {
    uint64_t left = c->fill - c->fill_stop;
    size_t n = (size_t)(left < FILL_BYTES ? left : FILL_BYTES);
    if (!c->fill_chunked) {
        put(c, pattern, n);
        c->fill -= n;
        return;
    }
    n = size_min(n, CHUNK_BYTES);
    put_fmt(c, "%zx\r\n", n);
    put(c, pattern, n);
    c->fill -= n;
    put_str(c, c->fill == 0 ? STR("\r\n0\r\nX-Trailer: yes\r\n\r\n") : STR("\r\n"));
}

static void wait_from(struct worker *w, struct conn *c, int64_t ms) {
    c->wake_ms = now_ms() + ms;
    c->prev = NULL;
    c->next = w->waiting;
    if (w->waiting != NULL)
        w->waiting->prev = c;
    w->waiting = c;
}

static void wait_no_more(struct worker *w, struct conn *c) {
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        w->waiting = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    c->wake_ms = 0;
}

/* Only so much of `out` from now on: `first` bytes at once, `step` more each `ms`. */
static void drip(struct worker *w, struct conn *c, size_t first, size_t step, int64_t ms) {
    c->allowed = c->out_at + first;
    c->step = step;
    c->step_ms = ms;
    wait_from(w, c, ms);
}

/* "/word/123..." → the number (or `missing`); false when the path is of another word. */
static bool asks(struct str path, struct str word, uint64_t missing, uint64_t *n) {
    if (!str_starts(path, word))
        return false;
    struct str rest = str_skip(path, word.n);
    if (rest.n > 0 && rest.p[0] != '/')
        return false;
    struct str number;
    str_cut(rest.n > 0 ? str_skip(rest, 1) : rest, '/', &number);
    if (!str_to_u64(number, INT64_MAX, n))
        *n = missing;
    return true;
}

/* The path, or the value of do= in the query; whatever they are with --always. */
static struct str wish_of(const struct request *r) {
    struct str path;
    if (always.n > 0)
        return always;
    struct str query = str_cut(r->target, '?', &path);
    while (query.n > 0) {
        struct str pair;
        query = str_cut(query, '&', &pair);
        if (str_starts(pair, STR("do=")))
            return str_skip(pair, 3);
    }
    return path;
}

static void answer_cut(struct conn *c, const struct request *r, uint64_t n, enum finish finish) {
    c->finish = finish;
    if (n == 0)
        return;
    put_head(c, 200, 2 * n, true);
    fill(c, r, 2 * n, false);
    c->fill_stop = n;
}

static void answer_slowly(struct worker *w, struct conn *c, const struct request *r) {
    size_t from = c->out_n;
    put_head(c, 200, 10 * SLOW_PIECE, r->keep);
    size_t head = c->out_n - from;
    if (!str_eq(r->method, STR("HEAD")))
        put(c, pattern, 10 * SLOW_PIECE);
    drip(w, c, head + SLOW_PIECE, SLOW_PIECE, SLOW_MS);
}

/* Answers one whole request; body is it as it came. */
static void answer(struct worker *w, struct conn *c, const struct request *r, struct str body) {
    struct str wish = wish_of(r);
    uint64_t n = 0;
    if (asks(wish, STR("/_count"), 0, &n)) {
        char room[32];
        int digits = snprintf(room, sizeof room, "%" PRIu64 "\n", atomic_load(&count));
        put_pieces(c, str_mk(room, (size_t)digits), STR_NONE, STR_NONE, 200, r);
        return;
    }
    atomic_fetch_add_explicit(&count, 1, memory_order_relaxed);
    c->finish = r->keep ? KEEP : END;
    if (plain.n > 0 && r->keep && !str_eq(r->method, STR("HEAD"))) {
        put_str(c, plain);
    } else if (asks(wish, STR("/echo"), 0, &n)) {
        put_pieces(c, r->head, body, STR_NONE, 200, r);
    } else if (asks(wish, STR("/status"), 200, &n)) {
        put_name(c, r, (unsigned)(n >= 200 && n <= 999 ? n : 200));
    } else if (asks(wish, STR("/bytes"), 0, &n)) {
        put_head(c, 200, n, r->keep);
        fill(c, r, n, false);
    } else if (asks(wish, STR("/chunked"), 0, &n)) {
        put_fmt(c, "HTTP/1.1 200 OK\r\nX-Origin: %s\r\nTransfer-Encoding: chunked\r\n%s\r\n", name,
                r->keep ? "" : "Connection: close\r\n");
        fill(c, r, n, true);
    } else if (asks(wish, STR("/close"), 0, &n)) {
        put_fmt(c, "HTTP/1.1 200 OK\r\nX-Origin: %s\r\n\r\n%s: until the end\n", name, name);
        c->finish = END;
    } else if (asks(wish, STR("/reset"), 0, &n)) {
        answer_cut(c, r, n, RESET);
    } else if (asks(wish, STR("/cut"), 0, &n)) {
        answer_cut(c, r, n, END);
    } else if (asks(wish, STR("/hang"), 0, &n)) {
        wait_from(w, c, INT32_MAX);
    } else if (asks(wish, STR("/slow-body"), 0, &n)) {
        answer_slowly(w, c, r);
    } else if (asks(wish, STR("/drip"), 0, &n)) {
        put_name(c, r, 200);
        drip(w, c, 1, 1, DRIP_MS);
    } else if (asks(wish, STR("/delay"), 0, &n)) {
        put_name(c, r, 200);
        drip(w, c, 0, 0, (int64_t)(n < 3600000 ? n : 3600000));
    } else {
        if (asks(wish, STR("/hints"), 0, &n))
            put_str(c, STR("HTTP/1.1 103 Early Hints\r\nLink: </s.css>; rel=preload\r\n\r\n"));
        put_name(c, r, 200);
    }
}

/* ---- the connection ---- */

static void close_conn(struct worker *w, struct conn *c) {
    if (c->wake_ms != 0)
        wait_no_more(w, c);
    close(c->fd);
    mem_free(c->in);
    mem_free(c->out);
    mem_free(c);
}

static void watch(const struct worker *w, struct conn *c, bool want_write) {
    if (want_write == c->want_write)
        return;
    c->want_write = want_write;
    struct epoll_event e = {.events = want_write ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.ptr = c};
    epoll_ctl(w->epoll, EPOLL_CTL_MOD, c->fd, &e);
}

static void reset_conn(struct worker *w, struct conn *c) {
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close_conn(w, c);
}

static bool answering(const struct conn *c) {
    return c->fill > c->fill_stop || c->wake_ms != 0 || c->finish != KEEP ||
           c->out_n - c->out_at > OUTPUT_MAX;
}

/* Sends what may be sent. False: the connection is gone. */
static bool flush(struct worker *w, struct conn *c) {
    for (;;) {
        if (c->out_at == c->out_n) {
            c->out_at = c->out_n = 0;
            if (c->fill > c->fill_stop)
                refill(c);
            else
                break;
        }
        size_t end = size_min(c->out_n, c->allowed);
        if (end <= c->out_at)
            return true; /* until the clock allows more */
        ssize_t n = send(c->fd, c->out + c->out_at, end - c->out_at, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) {
            watch(w, c, true);
            return true;
        }
        if (n < 0) {
            close_conn(w, c);
            return false;
        }
        c->out_at += (size_t)n;
    }
    watch(w, c, false);
    c->fill = c->fill_stop = 0;
    if (c->finish == KEEP || c->wake_ms != 0)
        return true;
    if (c->finish == RESET)
        reset_conn(w, c);
    else
        close_conn(w, c);
    return false;
}

/* How much of `in` is the next whole request (0: more is needed), which is answered. */
static size_t take_request(struct worker *w, struct conn *c) {
    const char *from = c->in;
    size_t back = c->seen > 3 ? c->seen - 3 : 0;
    const char *end = memmem(from + back, c->in_n - back, "\r\n\r\n", 4);
    c->seen = c->in_n;
    if (end == NULL)
        return 0;
    size_t head_n = (size_t)(end - from) + 4;
    struct request r = read_head(str_mk(from, head_n));
    struct str rest = str_mk(from + head_n, c->in_n - head_n);
    bool echo = str_starts(wish_of(&r), STR("/echo"));
    struct str body = str_mk(rest.p, 0);
    if (r.body == BODY_CHUNKED) {
        body.n = chunked_end(rest);
        if (body.n == SIZE_MAX) {
            c->finish = END;
            put_head(c, 400, 0, false);
            return c->in_n;
        }
    } else if (r.body == BODY_LENGTH) {
        body.n = rest.n >= r.length ? (size_t)r.length : 0;
    }
    bool whole = r.body == BODY_NONE || body.n > 0 || (r.body == BODY_LENGTH && r.length == 0);
    if (!whole && r.expects && rest.n == 0)
        put_str(c, STR("HTTP/1.1 100 Continue\r\n\r\n"));
    if (!whole && r.body == BODY_LENGTH && !echo && head_n + r.length > INPUT_BYTES) {
        /* Too long to be kept and nobody wants it: answered when all of it has come. */
        c->skip = r.length - rest.n;
        c->skipping = true;
        c->seen = head_n;
        return 0;
    }
    if (!whole) {
        c->seen = head_n - 3; /* the head is found again at once */
        return 0;
    }
    answer(w, c, &r, body);
    c->seen = 0;
    return head_n + body.n;
}

/* Answers what is whole in `in`. False: the connection is gone. */
static bool serve(struct worker *w, struct conn *c) {
    while (!c->skipping && !answering(c) && c->in_n > 0) {
        size_t n = take_request(w, c);
        if (n == 0)
            break;
        if (n == c->in_n) {
            c->in_n = 0;
            break;
        }
        c->in_n -= n;
        memmove(c->in, c->in + n, c->in_n);
    }
    if (c->out_n > c->out_at || c->finish != KEEP)
        return flush(w, c);
    return true;
}

static bool room_for_more(struct conn *c) {
    if (c->in_n < c->in_cap)
        return true;
    if (c->in_cap >= INPUT_MAX)
        return false;
    c->in_cap = c->in_cap == 0 ? INPUT_BYTES : c->in_cap * 2;
    c->in = mem_realloc(c->in, c->in_cap);
    return true;
}

/* The rest of a long body is thrown away; its request is answered behind it. */
static bool skip_body(struct worker *w, struct conn *c, size_t n) {
    c->skip -= size_min(n, (size_t)c->skip);
    if (c->skip > 0)
        return true;
    c->skipping = false;
    struct request r = read_head(str_mk(c->in, c->seen));
    answer(w, c, &r, STR_NONE);
    c->in_n = c->seen = 0;
    return flush(w, c);
}

static void on_input(struct worker *w, struct conn *c) {
    static _Thread_local char waste[FILL_BYTES];
    if (c->wake_ms != 0 && c->in_n >= INPUT_BYTES)
        return; /* a client that pipelines behind a slow answer waits */
    ssize_t n;
    if (c->skipping) {
        n = recv(c->fd, waste, (size_t)(c->skip < sizeof waste ? c->skip : sizeof waste), 0);
    } else {
        if (!room_for_more(c)) {
            close_conn(w, c);
            return;
        }
        n = recv(c->fd, c->in + c->in_n, c->in_cap - c->in_n, 0);
    }
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        close_conn(w, c);
        return;
    }
    if (c->skipping) {
        skip_body(w, c, (size_t)n);
        return;
    }
    c->in_n += (size_t)n;
    serve(w, c);
}

static void on_accept(const struct worker *w) {
    int fd = accept4(w->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct conn *c = mem_zalloc(sizeof *c);
    c->fd = fd;
    c->allowed = SIZE_MAX;
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(w->epoll, EPOLL_CTL_ADD, fd, &e) != 0)
        die("epoll_ctl");
}

/* c has waited long enough: sends its next part. */
static void wake(struct worker *w, struct conn *c) {
    wait_no_more(w, c);
    c->allowed = c->step == 0 ? SIZE_MAX : c->allowed + c->step;
    if (c->allowed >= c->out_n) {
        c->allowed = SIZE_MAX;
        c->step = 0;
    } else {
        wait_from(w, c, c->step_ms);
    }
    if (flush(w, c) && c->wake_ms == 0)
        serve(w, c);
}

/* Wakes whoever is due. The time until the next is, in ms; -1 when nobody waits. */
static int wake_all(struct worker *w) {
    if (w->waiting == NULL)
        return -1;
    int64_t now = now_ms(), soonest = INT64_MAX;
    for (struct conn *c = w->waiting, *next; c != NULL; c = next) {
        next = c->next;
        if (c->wake_ms <= now)
            wake(w, c);
    }
    for (struct conn *c = w->waiting; c != NULL; c = c->next)
        soonest = c->wake_ms < soonest ? c->wake_ms : soonest;
    if (w->waiting == NULL)
        return -1;
    return soonest <= now ? 1 : (int)(soonest - now < 1000 ? soonest - now : 1000);
}

static void on_event(struct worker *w, const struct epoll_event *e) {
    struct conn *c = e->data.ptr;
    if (c == NULL) {
        on_accept(w);
        return;
    }
    if ((e->events & EPOLLOUT) != 0 && (!flush(w, c) || !serve(w, c)))
        return;
    if ((e->events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0)
        on_input(w, c);
}

static int listen_on_address(void) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 4096) != 0)
        die("listen");
    return fd;
}

_Noreturn static void *run_worker(void *arg) {
    struct worker *w = arg;
    struct epoll_event listening = {.events = EPOLLIN}, ready[256];
    w->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (w->epoll < 0 || epoll_ctl(w->epoll, EPOLL_CTL_ADD, w->listener, &listening) != 0)
        die("epoll");
    for (;;) {
        int n = epoll_wait(w->epoll, ready, ARRAY_LEN(ready), wake_all(w));
        for (int i = 0; i < n; i++)
            on_event(w, &ready[i]);
    }
}

/* ---- start ---- */

static void parse_address(const char *s) {
    struct str host;
    struct str port = str_cut(str_of(s), ':', &host);
    uint64_t number;
    char room[INET_ADDRSTRLEN];
    int n = snprintf(room, sizeof room, "%.*s", STR_FMT(host));
    address.sin_family = AF_INET;
    if (n >= (int)sizeof room || inet_pton(AF_INET, room, &address.sin_addr) != 1 ||
        !str_to_u64(port, 65535, &number)) {
        fprintf(stderr, "origin: %s is not ADDRESS:PORT (IPv4)\n", s);
        exit(2);
    }
    address.sin_port = htons((uint16_t)number);
}

static void make_plain(size_t body) {
    char head[256];
    int n = snprintf(head, sizeof head,
                     "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n",
                     body);
    char *p = mem_alloc((size_t)n + body);
    memcpy(p, head, (size_t)n);
    memset(p + n, 'x', body);
    plain = str_mk(p, (size_t)n + body);
}

static uint64_t number(const char *s, uint64_t max) {
    uint64_t n;
    if (!str_to_u64(str_of(s), max, &n)) {
        fprintf(stderr, "origin: %s is not a number up to %" PRIu64 "\n", s, max);
        exit(2);
    }
    return n;
}

_Noreturn static void usage(void) {
    fputs("usage: origin --listen ADDRESS:PORT --name NAME [--workers N] [--body BYTES] "
          "[--always WISH]\n",
          stderr);
    exit(2);
}

int main(int argc, char **argv) {
    static const struct option options[] = {
        {"listen", required_argument, NULL, 'l'},  {"name", required_argument, NULL, 'n'},
        {"workers", required_argument, NULL, 'w'}, {"body", required_argument, NULL, 'b'},
        {"always", required_argument, NULL, 'a'},  {0}};
    uint64_t workers = 1;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (o) {
        case 'l':
            parse_address(optarg);
            break;
        case 'n':
            name = optarg;
            break;
        case 'w':
            workers = number(optarg, 64);
            break;
        case 'b':
            make_plain((size_t)number(optarg, 1U << 30));
            break;
        case 'a':
            always = str_of(optarg);
            break;
        default:
            usage();
        }
    }
    if (address.sin_family == 0 || optind != argc || workers == 0 || strlen(name) > 200)
        usage();
    signal(SIGPIPE, SIG_IGN);
    memset(pattern, 'x', sizeof pattern);
    struct worker *all = mem_array((size_t)workers, sizeof *all);
    for (uint64_t i = 0; i < workers; i++)
        all[i].listener = listen_on_address();
    printf("%s: listening on %s:%u\n", name, inet_ntoa(address.sin_addr), ntohs(address.sin_port));
    fflush(stdout);
    for (uint64_t i = 1; i < workers; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, run_worker, &all[i]) != 0)
            die("pthread_create");
    }
    run_worker(&all[0]);
}
