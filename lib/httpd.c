/* SPDX-License-Identifier: Apache-2.0
 *
 * One request a connection: read a head, answer, close. So a connection is in one of two states,
 * and what follows the head is never looked at.
 *
 *     accept ──► head, at most HTTPD_TIMEOUT_S ──► answer, at most HTTPD_TIMEOUT_S of silence ──►
 * gone
 *
 * An answer in pieces is hungry whenever all that it has made is written. The hungry ones are in a
 * ring, and one turn of the loop feeds the first of them: so many readers hold it up as little as
 * one.
 *
 * On bufferevents and not on evhttp, because that one cannot bound its connections (it says nobody
 * when one ends); its parsers of targets and queries are used.
 */
#include "lib/httpd.h"

#include "lib/list.h"
#include "lib/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <time.h>

struct httpd {
    struct event_base *base;
    struct evconnlistener *listener;
    SSL_CTX *tls;
    struct httpd_route *routes;
    size_t n_routes;
    unsigned flags;
    unsigned n_connections;
    struct list connections;
    struct list hungry; /* struct connection, hungry_link */
    struct event *feed; /* pending while somebody is */
    uint16_t port;
};

struct connection {
    struct httpd *server;
    struct bufferevent *io;
    struct event *late; /* the answer is not there in time */
    struct list link, hungry_link;
    struct httpd_later *later;
    struct httpd_pieces pieces; /* more == NULL: there are none to come */
    bool answered, head_only;
    bool chunked; /* else the end of the connection is that of the answer: HTTP/1.0 */
};

struct httpd_later {
    struct connection *c; /* NULL: it is gone */
};

/* ---- the address ---- */

struct place {
    struct sockaddr_storage sa;
    socklen_t n;
};

static bool place_of_ip(struct place *p, struct str ip, uint16_t port) {
    struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)&p->sa;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(void *)&p->sa;
    char text[INET6_ADDRSTRLEN];
    memset(p, 0, sizeof(*p));
    if (ip.n >= sizeof(text))
        return false;
    memcpy(text, ip.p, ip.n);
    text[ip.n] = 0;
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        p->n = sizeof(*v4);
        return true;
    }
    if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        p->n = sizeof(*v6);
        return true;
    }
    return false;
}

/* "127.0.0.1:7501", "[::1]:7501", ":7501" */
static bool place_parse(struct place *p, struct str text) {
    size_t colon = text.n;
    while (colon > 0 && text.p[colon - 1] != ':')
        colon--;
    uint64_t port;
    if (colon == 0 || !str_to_u64(str_skip(text, colon), UINT16_MAX, &port))
        return false;
    struct str ip = str_mk(text.p, colon - 1);
    if (ip.n >= 2 && ip.p[0] == '[' && ip.p[ip.n - 1] == ']')
        ip = str_mk(ip.p + 1, ip.n - 2);
    else if (str_find(ip, ':', 0) < ip.n)
        return false;
    return place_of_ip(p, ip.n > 0 ? ip : STR("::"), (uint16_t)port);
}

static bool place_is_loopback(const struct place *p) {
    if (p->sa.ss_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)(const void *)&p->sa)->sin_addr.s_addr) >> 24 ==
               127;
    return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)&p->sa)->sin6_addr);
}

static uint16_t port_of_fd(int fd) {
    struct place p = {.n = sizeof(p.sa)};
    if (getsockname(fd, (struct sockaddr *)&p.sa, &p.n) < 0)
        return 0;
    if (p.sa.ss_family == AF_INET)
        return ntohs(((struct sockaddr_in *)(void *)&p.sa)->sin_port);
    return ntohs(((struct sockaddr_in6 *)(void *)&p.sa)->sin6_port);
}

/* ---- answers ---- */

struct str httpd_param(const struct httpd_request *rq, const char *name) {
    struct str wanted = str_of(name);
    for (size_t i = 0; i < rq->n_params; i++)
        if (str_eq(rq->params[i].name, wanted))
            return rq->params[i].value;
    return STR_NONE;
}

static const char *phrase(int status) {
    static const struct {
        int status;
        const char *words;
    } known[] = {{200, "OK"},
                 {308, "Permanent Redirect"},
                 {400, "Bad Request"},
                 {401, "Unauthorized"},
                 {403, "Forbidden"},
                 {404, "Not Found"},
                 {405, "Method Not Allowed"},
                 {431, "Request Header Fields Too Large"},
                 {500, "Internal Server Error"},
                 {503, "Service Unavailable"}};
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (known[i].status == status)
            return known[i].words;
    return "Answer";
}

/* framing: how long the body is, a line of the head. */
static void reply_head(struct connection *c, int status, const char *type, const char *framing,
                       const char *fields) {
    c->answered = true;
    event_del(c->late);
    bufferevent_disable(c->io, EV_READ);
    evbuffer_add_printf(bufferevent_get_output(c->io),
                        "HTTP/1.1 %d %s\r\nContent-Type: %s\r\n%s"
                        "%sCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
                        "Connection: close\r\n\r\n",
                        status, phrase(status), type, framing, fields);
}

static void reply(struct connection *c, int status, const char *type, const char *fields,
                  struct str body) {
    char framing[64];
    snprintf(framing, sizeof(framing), "Content-Length: %zu\r\n", body.n);
    reply_head(c, status, type, framing, fields);
    if (!c->head_only)
        evbuffer_add(bufferevent_get_output(c->io), body.p, body.n);
}

static void reply_text(struct connection *c, int status, const char *text) {
    reply(c, status, "text/plain; charset=utf-8", status == 405 ? "Allow: GET, HEAD\r\n" : "",
          str_of(text));
}

/* ---- answers in pieces ---- */

static void connection_free(struct connection *c);

static void pieces_end(struct httpd_pieces *p) {
    if (p->more)
        p->end(p->arg);
    *p = (struct httpd_pieces){0};
}

static void be_hungry(struct connection *c) {
    static const struct timeval now = {0, 0};
    struct httpd *h = c->server;
    list_del(&c->hungry_link);
    list_append(&h->hungry, &c->hungry_link);
    if (!evtimer_pending(h->feed, NULL))
        evtimer_add(h->feed, &now);
}

static void write_piece(struct connection *c, struct str piece) {
    struct evbuffer *to = bufferevent_get_output(c->io);
    if (piece.n == 0)
        return;
    if (c->chunked)
        evbuffer_add_printf(to, "%zx\r\n", piece.n);
    evbuffer_add(to, piece.p, piece.n);
    if (c->chunked)
        evbuffer_add(to, "\r\n", 2);
}

/* What has been written is all; where the end says so, that is written too. */
static void last_piece(struct connection *c) {
    pieces_end(&c->pieces);
    if (c->chunked)
        evbuffer_add(bufferevent_get_output(c->io), "0\r\n\r\n", 5);
    if (evbuffer_get_length(bufferevent_get_output(c->io)) == 0)
        connection_free(c);
}

static int64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* One slice: a piece is there, or the time is over, or that was all. */
static bool make_piece(struct connection *c, struct out *o) {
    int64_t until = now_us() + HTTPD_SLICE_US;
    bool more;
    do {
        more = c->pieces.more(c->pieces.arg, o);
    } while (more && o->n < HTTPD_PIECE && now_us() < until);
    return more;
}

static void feed(struct connection *c) {
    struct out o = out_heap(HTTPD_BODY_MAX);
    bool more = make_piece(c, &o);
    bool over = o.over, empty = o.n == 0;
    if (!over)
        write_piece(c, out_done(&o));
    out_fini(&o);
    if (over) /* cut, so that nobody takes it for the whole */
        connection_free(c);
    else if (!more)
        last_piece(c);
    else if (empty)
        be_hungry(c);
}

static void on_feed(evutil_socket_t fd, short what, void *arg) {
    static const struct timeval now = {0, 0};
    struct httpd *h = arg;
    (void)fd, (void)what;
    struct list *first = list_pop(&h->hungry);
    if (!list_empty(&h->hungry))
        evtimer_add(h->feed, &now);
    if (first)
        feed(list_entry(first, struct connection, hungry_link));
}

/* Takes the pieces. */
static void reply_pieces(struct connection *c, struct httpd_answer *a) {
    static const struct timeval all = {HTTPD_PIECES_S, 0};
    reply_head(c, a->status, a->content_type, c->chunked ? "Transfer-Encoding: chunked\r\n" : "",
               a->fields ? a->fields : "");
    if (c->head_only)
        return;
    evtimer_add(c->late, &all);
    write_piece(c, out_done(&a->body));
    c->pieces = a->pieces;
    a->pieces = (struct httpd_pieces){0};
}

/* ---- answers, whole ---- */

/* Takes the body and the pieces. */
static void reply_answer(struct connection *c, struct httpd_answer *a) {
    if (a->body.over)
        reply_text(c, 500, "the answer is too large; ask for a part of it\n");
    else if (a->pieces.more)
        reply_pieces(c, a);
    else
        reply(c, a->status, a->content_type, a->fields ? a->fields : "", out_done(&a->body));
}

static void answer_fini(struct httpd_answer *a) {
    pieces_end(&a->pieces);
    out_fini(&a->body);
}

struct httpd_answer httpd_answer(void) {
    return (struct httpd_answer){.status = 200,
                                 .content_type = "text/plain; charset=utf-8",
                                 .body = out_heap(HTTPD_BODY_MAX)};
}

static void call(struct connection *c, const struct httpd_route *route,
                 const struct httpd_request *rq) {
    struct httpd_answer a = httpd_answer();
    route->handle(route->arg, rq, &a);
    if (!c->later && !c->answered)
        reply_answer(c, &a);
    answer_fini(&a);
}

struct httpd_later *httpd_defer(const struct httpd_request *rq) {
    struct httpd_later *l = mem_zalloc(sizeof(*l));
    l->c = rq->incoming;
    l->c->later = l;
    return l;
}

void httpd_finish(struct httpd_later *l, struct httpd_answer *a) {
    if (l->c) {
        l->c->later = NULL;
        reply_answer(l->c, a);
    }
    answer_fini(a);
    mem_free(l);
}

/* ---- requests ---- */

struct head {
    struct str method, target, host, accept;
    struct str fields; /* all lines but the first */
    bool chunks;       /* HTTP/1.1 */
};

static bool head_parse(struct head *h, struct str text) {
    struct str line, version;
    *h = (struct head){0};
    for (bool first = true; text.n > 0; first = false) {
        text = str_cut(text, '\n', &line);
        if (line.n == 0 || line.p[line.n - 1] != '\r')
            return false;
        line.n--;
        if (first) {
            struct str rest = str_cut(line, ' ', &h->method);
            version = str_cut(rest, ' ', &h->target);
            if (h->target.n == 0 ||
                !(str_eq(version, STR("HTTP/1.1")) || str_eq(version, STR("HTTP/1.0"))))
                return false;
            h->chunks = str_eq(version, STR("HTTP/1.1"));
            h->fields = text;
            continue;
        }
        struct str name, value = str_trim(str_cut(line, ':', &name));
        if (str_eq_nocase(name, STR("host")))
            h->host = value;
        else if (str_eq_nocase(name, STR("accept")))
            h->accept = value;
    }
    return true;
}

bool httpd_field(const struct httpd_request *rq, size_t *at, struct str *name, struct str *value) {
    struct str line;
    if (*at >= rq->fields.n)
        return false;
    struct str rest = str_cut(str_skip(rq->fields, *at), '\n', &line);
    *at = rest.p ? (size_t)(rest.p - rq->fields.p) : rq->fields.n;
    *value = str_trim(str_cut(str_mk(line.p, line.n - 1), ':', name)); /* without its '\r' */
    return true;
}

/* A browser that was given a name pointing at loopback still sends that name. */
static bool host_is_loopback(struct str host) {
    size_t end = host.n;
    while (end > 0 && host.p[end - 1] >= '0' && host.p[end - 1] <= '9')
        end--;
    if (end > 0 && host.p[end - 1] == ':')
        host.n = end - 1;
    if (host.n == 0 || str_eq_nocase(host, STR("localhost")))
        return true;
    if (host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
        host = str_mk(host.p + 1, host.n - 2);
    struct place p;
    return place_of_ip(&p, host, 0) && place_is_loopback(&p);
}

static bool read_params(struct evkeyvalq *pairs, struct httpd_param *to, size_t *n) {
    struct evkeyval *pair;
    TAILQ_FOREACH(pair, pairs, next) {
        if (*n == HTTPD_PARAMS)
            return false;
        to[(*n)++] = (struct httpd_param){str_of(pair->key), str_of(pair->value)};
    }
    return true;
}

static const struct httpd_route *route_of(const struct httpd *h, struct str path) {
    for (size_t i = 0; i < h->n_routes; i++) {
        struct str known = str_of(h->routes[i].path);
        bool open = str_ends(known, STR("*"));
        if (open ? str_starts(path, str_mk(known.p, known.n - 1)) : str_eq(known, path))
            return &h->routes[i];
    }
    return NULL;
}

/* target is NUL-terminated and only this function's. */
static void serve(struct connection *c, const struct head *h, char *target) {
    char *query = strchr(target, '?');
    if (query)
        *query++ = 0;
    struct evkeyvalq pairs;
    TAILQ_INIT(&pairs);
    struct httpd_param params[HTTPD_PARAMS];
    struct httpd_request rq = {.path = str_of(target),
                               .accept = h->accept,
                               .params = params,
                               .fields = h->fields,
                               .tls = c->server->tls ? bufferevent_openssl_get_ssl(c->io) : NULL,
                               .incoming = c};
    const struct httpd_route *route = route_of(c->server, rq.path);
    if ((c->server->flags & HTTPD_LOOPBACK_ONLY) && !host_is_loopback(h->host))
        reply_text(c, 403, "this port answers to localhost only\n");
    else if (!c->head_only && !str_eq(h->method, STR("GET")))
        reply_text(c, 405, "GET and HEAD only\n");
    else if (!route)
        reply_text(c, 404, "there is nothing here\n");
    else if (query && evhttp_parse_query_str(query, &pairs) < 0)
        reply_text(c, 400, "the query cannot be read; write it as name=value&name=value\n");
    else if (!read_params(&pairs, params, &rq.n_params))
        reply_text(c, 400, "too many query parameters\n");
    else
        call(c, route, &rq);
    evhttp_clear_headers(&pairs);
}

/* ---- connections ---- */

static void connection_free(struct connection *c) {
    struct httpd *h = c->server;
    if (c->later)
        c->later->c = NULL;
    pieces_end(&c->pieces);
    list_del(&c->hungry_link);
    list_del(&c->link);
    if (h->n_connections-- == HTTPD_CONNECTIONS)
        evconnlistener_enable(h->listener);
    event_free(c->late);
    bufferevent_free(c->io);
    mem_free(c);
}

static void on_read(struct bufferevent *io, void *arg) {
    struct connection *c = arg;
    struct evbuffer *in = bufferevent_get_input(io);
    struct evbuffer_ptr end = evbuffer_search(in, "\r\n\r\n", 4, NULL);
    if (c->answered || c->later)
        return;
    if (end.pos < 0) {
        if (evbuffer_get_length(in) >= HTTPD_HEAD_MAX)
            reply_text(c, 431, "the request head is too large\n");
        return;
    }
    size_t n = (size_t)end.pos + 2;
    struct str text = str_mk((const char *)evbuffer_pullup(in, (ev_ssize_t)n), n);
    struct head head;
    if (memchr(text.p, 0, n) || !head_parse(&head, text)) {
        reply_text(c, 400, "this is not an HTTP/1.1 request\n");
        return;
    }
    c->head_only = str_eq(head.method, STR("HEAD"));
    c->chunked = head.chunks;
    char *target = str_dup(head.target);
    serve(c, &head, target);
    mem_free(target);
}

static void on_written(struct bufferevent *io, void *arg) {
    struct connection *c = arg;
    if (!c->answered || evbuffer_get_length(bufferevent_get_output(io)) > 0)
        return;
    if (c->pieces.more)
        be_hungry(c);
    else
        connection_free(c);
}

static void on_end(struct bufferevent *io, short what, void *arg) {
    (void)io;
    if (!(what & BEV_EVENT_CONNECTED)) /* that is the end of a TLS handshake */
        connection_free(arg);
}

static void on_late(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    connection_free(arg);
}

static struct bufferevent *io_new(struct httpd *h, evutil_socket_t fd) {
    if (!(h->flags & HTTPD_TLS))
        return bufferevent_socket_new(h->base, fd, BEV_OPT_CLOSE_ON_FREE);
    SSL *tls = h->tls ? SSL_new(h->tls) : NULL;
    if (!tls)
        return NULL;
    struct bufferevent *io = bufferevent_openssl_socket_new(
        h->base, fd, tls, BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
    must(io);
    bufferevent_openssl_set_allow_dirty_shutdown(io, 1); /* Content-Length says what is whole */
    return io;
}

static void on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *from, int n,
                      void *arg) {
    (void)from;
    (void)n;
    struct httpd *h = arg;
    static const struct timeval timeout = {HTTPD_TIMEOUT_S, 0};
    struct bufferevent *io = io_new(h, fd);
    if (!io) {
        evutil_closesocket(fd);
        return;
    }
    struct connection *c = mem_zalloc(sizeof(*c));
    c->server = h;
    c->io = io;
    c->late = evtimer_new(h->base, on_late, c);
    must(c->late);
    evtimer_add(c->late, &timeout);
    bufferevent_setcb(c->io, on_read, on_written, on_end, c);
    bufferevent_setwatermark(c->io, EV_READ, 0, HTTPD_HEAD_MAX);
    bufferevent_set_timeouts(c->io, NULL, &timeout);
    bufferevent_enable(c->io, EV_READ);
    list_init(&c->hungry_link);
    list_push(&h->connections, &c->link);
    if (++h->n_connections == HTTPD_CONNECTIONS)
        evconnlistener_disable(l);
}

/* ---- life ---- */

static bool listen_at(struct httpd *h, const struct place *p) {
    h->listener = evconnlistener_new_bind(
        h->base, on_accept, h, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE,
        128, (const struct sockaddr *)(const void *)&p->sa, (int)p->n);
    if (!h->listener)
        return false;
    h->port = port_of_fd(evconnlistener_get_fd(h->listener));
    return true;
}

static bool place_allowed(struct place *p, const char *address, unsigned flags, struct why *why) {
    struct shown room;
    if (!place_parse(p, str_of(address))) {
        why_text(why, "%s is not an address to listen on; write it as 127.0.0.1:7501 or [::1]:7501",
                 why_show(str_of(address), &room));
        return false;
    }
    if ((flags & HTTPD_LOOPBACK_ONLY) && !place_is_loopback(p)) {
        why_text(why,
                 "%s is not a loopback address; this port shows configuration and is only served "
                 "on 127.0.0.1 or [::1]",
                 why_show(str_of(address), &room));
        return false;
    }
    return true;
}

struct httpd *httpd_new(struct event_base *base, const char *address,
                        const struct httpd_route *routes, size_t n_routes, unsigned flags,
                        struct why *why) {
    struct place p;
    if (!place_allowed(&p, address, flags, why))
        return NULL;
    struct httpd *h = mem_zalloc(sizeof(*h));
    list_init(&h->connections);
    list_init(&h->hungry);
    h->feed = evtimer_new(base, on_feed, h);
    must(h->feed);
    h->base = base;
    h->flags = flags;
    h->n_routes = n_routes;
    h->routes = mem_array(n_routes, sizeof(*routes));
    for (size_t i = 0; i < n_routes; i++)
        h->routes[i] = routes[i];
    if (!listen_at(h, &p)) {
        struct shown room;
        why_text(why, "cannot listen on %s: %s", why_show(str_of(address), &room), strerror(errno));
        httpd_free(h);
        return NULL;
    }
    return h;
}

void httpd_set_tls(struct httpd *h, SSL_CTX *context) {
    must(h->flags & HTTPD_TLS);
    SSL_CTX_up_ref(context);
    SSL_CTX_free(h->tls);
    h->tls = context;
}

void httpd_free(struct httpd *h) {
    if (!h)
        return;
    list_each_safe(l, &h->connections)
        connection_free(list_entry(l, struct connection, link));
    if (h->listener)
        evconnlistener_free(h->listener);
    event_free(h->feed);
    SSL_CTX_free(h->tls);
    mem_free(h->routes);
    mem_free(h);
}

uint16_t httpd_port(const struct httpd *h) { return h->port; }

unsigned httpd_connections(const struct httpd *h) { return h->n_connections; }
