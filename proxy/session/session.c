/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/session/h2.h"
#include "proxy/session/parts.h"

#include "lib/chars.h"
#include "lib/mem.h"

#include <errno.h>
#include <unistd.h>

enum { SHED_LOOKS = 64, FREE_MAX = 256, GRACE_MS = 1000 };

void session_idle(struct session *s, bool idle) {
    if (s->idle == idle)
        return;
    s->idle = idle;
    counter_add(&s->client.env->n_idle, idle ? 1 : (uint64_t)-1);
}

static void freed(struct conn *c) {
    struct session *s = container_of(c, struct session, conn);
    struct session_env *env = s->client.env;
    h2_free(s->h2);
    h1_side_fini(&s->h1);
    if (env->n_free >= FREE_MAX) {
        mem_free(s);
        return;
    }
    list_push(&env->free, &s->link);
    env->n_free++;
}

/* Over, or it is over with it. */
static void handshake_ends(struct session *s) {
    struct session_env *env = s->client.env;
    if (s->state != SESSION_SHAKING)
        return;
    s->state = SESSION_HEAD;
    counter_sub(&env->n_shaking, 1);
    list_del(&s->link);
    list_append(&env->sessions, &s->link);
}

void session_end(struct session *s, bool reset) {
    if (s->conn.closed)
        return;
    handshake_ends(s);
    session_idle(s, false);
    timer_fini(&s->client.side.timer);
    list_del(&s->link);
    counter_sub(&s->client.env->n_sessions, 1);
    counter_sub(&s->client.env->n_h2, s->h2 != NULL);
    if (unlikely(!list_empty(&s->visitor.lines)))
        s->client.env->ops->left(&s->visitor);
    conn_close(&s->conn, reset, freed);
}

bool visitor_local(const struct visitor *v, struct addr *to) {
    const struct session *s = container_of(v, struct session, visitor);
    socklen_t n = sizeof(*to);
    *to = v->local;
    return v->told || getsockname(s->conn.fd, &to->sa, &n) == 0;
}

/* ---- linger ---- */

void session_linger(struct session *s) {
    s->state = SESSION_LINGER;
    s->client.stream = NULL;
    conn_shutdown(&s->conn);
    side_deadline(&s->client.side, s->conn.loop->now_ms + SESSION_LINGER_MS);
}

/* Reads on and forgets, until the client has seen the end too. */
static void linger_read(struct session *s) {
    struct conn *c = &s->conn;
    for (;;) {
        size_t n = conn_unread(c).n;
        s->lingered += (uint32_t)n;
        conn_consume(c, n);
        enum io io = s->lingered > SESSION_LINGER_BYTES ? IO_FAIL : conn_read(c);
        if (io == IO_AGAIN)
            return;
        if (io != IO_OK) {
            if (conn_pending(c) == 0)
                session_end(s, false);
            return;
        }
    }
}

/* ---- heads ---- */

static void wait_for_more(struct session *s) {
    struct client *cl = &s->client;
    uint64_t now = s->conn.loop->now_ms;
    bool nothing = conn_unread(&s->conn).n == 0;
    if (!nothing)
        conn_shrink(&s->conn);
    const struct limits *l = cl->env->limits;
    if (nothing && cl->started_ns == 0) {
        session_idle(s, true);
        side_deadline(&cl->side, now + l->idle_timeout_ms);
    } else if (s->h1.scan.seen == 0 || !timer_is_set(&cl->side.timer) || s->idle) {
        session_idle(s, false);
        side_deadline(&cl->side, now + l->header_timeout_ms);
    }
}

static void refuse(struct session *s, enum reason reason, const char *detail) {
    session_idle(s, false);
    s->client.env->ops->refuse(&s->client, reason, detail, conn_unread(&s->conn).n);
}

/* More bytes of a head; false when there are none now and the session waits, or is over. */
static bool more(struct session *s) {
    switch (conn_read(&s->conn)) {
    case IO_OK:
        if (s->client.started_ns == 0)
            s->client.started_ns = s->conn.loop->now_ns;
        return true;
    case IO_AGAIN:
        wait_for_more(s);
        return false;
    case IO_FULL:
        refuse(s, REASON_HEADER_TOO_LARGE, "the head is longer than the limit");
        return false;
    case IO_NOMEM:
        refuse(s, REASON_OVERLOADED, "no memory for a request");
        return false;
    case IO_EOF:
    case IO_FAIL:
        break;
    }
    session_end(s, false);
    return false;
}

/* Words of something else than HTTP/1.x, such as a wrong preface of HTTP/2: whoever says that would
 * take an answer of HTTP/1.1 for frames (RFC 9113 3.4). */
static bool is_other(struct str in) {
    struct str line, word;
    str_cut(in, '\n', &line);
    str_cut(line, ' ', &word);
    return word.n > 0 && char_is(word.p[0], CHAR_TOKEN) && method_of(word) == METHOD_OTHER &&
           memmem(line.p, line.n, "HTTP/1.", 7) == NULL;
}

static void hang_up(struct session *s, enum reason reason) {
    session_idle(s, false);
    s->client.env->ops->ended(&s->client, reason);
    session_linger(s);
    conn_again(&s->conn);
}

static void read_head(struct session *s) {
    struct session_env *env = s->client.env;
    struct conn *c = &s->conn;
    while (s->state == SESSION_HEAD && !c->closed) {
        struct str in = conn_unread(c);
        if (in.n == 0) {
            if (!more(s))
                return;
            continue;
        }
        size_t skipped = 0;
        enum reason reason;
        const char *detail;
        switch (h1_parse_request(&s->h1.scan, in.p, in.n, &env->limits->head, env->head, &skipped,
                                 &reason, &detail)) {
        case H1_MORE:
            if (!more(s))
                return;
            break;
        case H1_BAD:
            if (s->requests == 0 && h2_is_preface(in))
                session_speak_h2(s);
            else if (s->requests == 0 && is_other(in))
                hang_up(s, reason);
            else
                refuse(s, reason, detail);
            return;
        case H1_DONE:
            conn_consume(c, skipped);
            session_idle(s, false);
            s->requests++;
            env->ops->request(&s->client);
            break;
        }
    }
}

void session_speak_h2(struct session *s) {
    s->h2 = h2_new(s);
    if (s->h2 == NULL) {
        session_end(s, true);
        return;
    }
    s->state = SESSION_H2;
    counter_add(&s->client.env->n_h2, 1);
    h2_readable(s->h2);
}

/* ---- one exchange: the codec of side.h ---- */

static struct session *of_side(const struct side *x) {
    return (struct session *)(uintptr_t)container_of(x, struct session, client.side);
}
static struct session *of_client(struct client *c) {
    return container_of(c, struct session, client);
}

static bool h1_accept(struct client *c, struct stream *st) {
    struct session *s = of_client(c);
    s->state = SESSION_BUSY;
    c->stream = st;
    return h1_side_begin(&s->h1, c->env->head);
}

static void h1_abort(struct side *x) { session_end(of_side(x), true); }

static bool h1_proceed(struct client *c) {
    static const struct str text = {"HTTP/1.1 100 Continue\r\n\r\n", 25};
    struct conn *to = &of_client(c)->conn;
    if (conn_unread(to).n > 0)
        return true;
    char *p = conn_room(to, text.n);
    if (p == NULL)
        return false;
    memcpy(p, text.p, text.n);
    conn_wrote(to, text.n);
    return true;
}

/* A FIN is taken for its going, as it nearly always is, unless another request came before it. */
static bool h1_gone(struct client *c) {
    struct conn *from = &of_client(c)->conn;
    return conn_unread(from).n == 0 && conn_peer_gone(from);
}

static void h1_done(struct client *c, bool keep) {
    struct session *s = of_client(c);
    struct conn *from = &s->conn;
    if (from->closed)
        return;
    c->stream = NULL;
    if (s->h1.tunnel && from->eof && conn_pending(from) == 0) {
        session_end(s, false); /* both have said that it is the end */
        return;
    }
    if (!keep || c->env->draining || from->eof) {
        session_linger(s);
        return;
    }
    s->state = SESSION_HEAD;
    h1_side_reset(&s->h1);
    from->read_size = SLAB_16K;
    c->started_ns = 0;
    if (conn_unread(from).n > 0 || from->can_read) {
        c->started_ns = conn_unread(from).n > 0 ? from->loop->now_ns : 0;
        conn_again(from);
    }
    wait_for_more(s);
}

static const struct side_codec codec = {
    H1_SIDE_CODEC,         .abort = h1_abort, .accept = h1_accept,
    .proceed = h1_proceed, .gone = h1_gone,   .done = h1_done,
};

/* ---- the connection's events ---- */

static void on_readable(struct conn *c) {
    struct session *s = container_of(c, struct session, conn);
    if (s->state == SESSION_HEAD)
        read_head(s);
    else if (s->state == SESSION_BUSY)
        s->client.env->ops->readable(&s->client);
    else if (s->state == SESSION_H2)
        h2_readable(s->h2);
    else
        linger_read(s);
}

static void on_flushed(struct conn *c, size_t lent, bool all) {
    struct session *s = container_of(c, struct session, conn);
    if (s->state == SESSION_BUSY)
        s->client.env->ops->sent(&s->client, lent, all);
    else if (s->state == SESSION_H2)
        h2_flushed(s->h2, all);
    else if (s->state == SESSION_LINGER && all)
        linger_read(s);
}

static void on_broken(struct conn *c, enum conn_end why, int err) {
    struct session *s = container_of(c, struct session, conn);
    (void)err;
    if (s->state == SESSION_SHAKING && why != CONN_INSECURE)
        secure_broken(s->client.env->secure, &s->visitor);
    handshake_ends(s);
    if (s->state == SESSION_BUSY)
        s->client.env->ops->gone(&s->client);
    else if (s->state == SESSION_H2)
        h2_close(s->h2, true);
    else if (why == CONN_INSECURE)
        session_linger(s);
    else
        session_end(s, true);
}

static void on_fill(struct conn *c) {
    struct session *s = container_of(c, struct session, conn);
    if (s->state == SESSION_H2)
        h2_fill(s->h2);
}

static void on_secured(struct conn *c) {
    struct session *s = container_of(c, struct session, conn);
    handshake_ends(s);
    if (str_eq(tls_protocol(c), STR("h2")))
        session_speak_h2(s);
    else
        wait_for_more(s);
}

static void on_connected(struct conn *c) { (void)c; /* sessions are accepted, never connected */ }

static const struct conn_ops conn_ops = {
    .readable = on_readable,
    .flushed = on_flushed,
    .fill = on_fill,
    .connected = on_connected,
    .secured = on_secured,
    .broken = on_broken,
};

static void on_timer(struct timer *t) {
    struct session *s = container_of(t, struct session, client.side.timer);
    if (s->state == SESSION_SHAKING)
        secure_timeout(s->client.env->secure, &s->visitor);
    if (s->state == SESSION_BUSY)
        s->client.env->ops->timeout(&s->client);
    else if (s->state == SESSION_H2)
        h2_timeout(s->h2);
    else if (s->state == SESSION_HEAD && s->client.started_ns != 0)
        refuse(s, REASON_CLIENT_TIMEOUT, "the head did not come in time");
    else
        session_end(s, s->state == SESSION_LINGER && conn_pending(&s->conn) > 0);
}

/* ---- life ---- */

void sessions_init(struct session_env *env) {
    list_init(&env->sessions);
    list_init(&env->shaking);
    list_init(&env->free);
    env->h2 = h2_shared_new(env->loop);
    env->secure = secure_new(env->loop);
}

static struct session *take(struct session_env *env) {
    struct list *n = list_pop(&env->free);
    if (n == NULL)
        return mem_try(sizeof(struct session));
    env->n_free--;
    return list_entry(n, struct session, link);
}

/* Whether one more handshake may begin. What waits in the ready list waits for us. */
static bool may_shake(struct session_env *env) {
    unsigned looked = 0;
    if (env->n_shaking < SESSIONS_SHAKING_MAX)
        return true;
    list_each(it, &env->shaking) {
        struct session *s = list_entry(it, struct session, link);
        if (looked++ == SHED_LOOKS)
            break;
        if (!list_empty(&s->conn.ready_link))
            continue;
        secure_shed(env->secure, &s->visitor);
        session_end(s, true);
        return true;
    }
    secure_shed(env->secure, NULL);
    return false;
}

void session_accept_fd(struct session_env *env, int fd, const struct addr *peer,
                       const struct addr *local, uint16_t port) {
    struct tls_server *server = secure_server(env->secure, port);
    struct session *s = server == NULL || may_shake(env) ? take(env) : NULL;
    if (s == NULL) {
        close(fd);
        return;
    }
    *s = (struct session){.client = {.side = {.codec = &codec, .own = &s->h1, .loop = env->loop},
                                     .env = env,
                                     .visitor = &s->visitor},
                          .h1 = {.conn = &s->conn},
                          .visitor = {.peer = *peer, .port = port, .arrival = ARRIVAL_PLAIN},
                          .state = SESSION_HEAD};
    timer_init(&s->client.side.timer, on_timer);
    list_init(&s->link);
    list_init(&s->visitor.lines);
    if (local != NULL) {
        s->visitor.local = *local;
        s->visitor.told = true;
    }
    struct out o = out_fixed(s->visitor.text, sizeof(s->visitor.text));
    addr_print_ip(peer, &o);
    s->visitor.text_n = (uint8_t)o.n;
    if ((server != NULL ? conn_init_secure(&s->conn, env->loop, fd, &conn_ops, server)
                        : conn_init(&s->conn, env->loop, fd, &conn_ops)) != 0) {
        mem_free(s);
        return;
    }
    list_append(server == NULL ? &env->sessions : &env->shaking, &s->link);
    counter_add(&env->n_sessions, 1);
    if (server == NULL) {
        wait_for_more(s);
        return;
    }
    s->state = SESSION_SHAKING;
    counter_add(&env->n_shaking, 1);
    s->visitor.secure = &s->conn;
    side_deadline(&s->client.side, env->loop->now_ms + env->limits->header_timeout_ms);
}

bool sessions_shed_idle(struct session_env *env) {
    unsigned looked = 0;
    list_each(it, &env->sessions) {
        struct session *s = list_entry(it, struct session, link);
        if (looked++ == SHED_LOOKS)
            return false;
        if (!s->idle || s->conn.can_read)
            continue;
        session_end(s, false);
        return true;
    }
    return false;
}

void sessions_drain(struct session_env *env) {
    env->draining = true;
    list_each(it, &env->sessions) {
        struct session *s = list_entry(it, struct session, link);
        if (s->state == SESSION_H2)
            h2_drain(s->h2);
    }
}

void sessions_close_idle(struct session_env *env) {
    list_each_safe(it, &env->sessions) {
        struct session *s = list_entry(it, struct session, link);
        if (!s->idle || s->state == SESSION_H2) /* which was told to end, and will */
            continue;
        if (s->requests == 0) { /* it has just come: its request is on its way */
            session_idle(s, false);
            side_deadline(&s->client.side, env->loop->now_ms + GRACE_MS);
        } else if (!s->conn.can_read && !conn_has_bytes(&s->conn)) {
            session_end(s, false);
        }
    }
}

void sessions_close_all(struct session_env *env) {
    while (!list_empty(&env->shaking))
        session_end(list_entry(env->shaking.next, struct session, link), false);
    while (!list_empty(&env->sessions)) { /* the end of one may be the end of another */
        struct session *s = list_entry(env->sessions.next, struct session, link);
        if (s->state == SESSION_BUSY)
            env->ops->gone(&s->client);
        else if (s->state == SESSION_H2)
            h2_close(s->h2, false);
        else
            session_end(s, false);
    }
}

void sessions_fini(struct session_env *env) {
    must(list_empty(&env->sessions));
    secure_free(env->secure);
    for (struct list *n; (n = list_pop(&env->free)) != NULL;)
        mem_free(list_entry(n, struct session, link));
    h2_shared_free(env->h2);
}
