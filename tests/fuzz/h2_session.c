/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz h2_session: bytes into a connection that speaks HTTP/2, behind its preface. A stream of the
 * fuzzer's own serves each request as the first letter of its path says, so that answers, bodies,
 * cancellations and refusals meet all that a peer may do. Whatever it does, what was taken is given
 * back: no session, no slab, no byte of nghttp2's memory is left when the connection has ended.
 *
 * The first byte of the input says in how large pieces the rest comes, the second how much memory
 * there is.
 */
#include "lib/mem.h"
#include "proxy/session/session.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/talk.h"

#include <event2/event.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ROOM = 512 };

struct stream { /* serves one request */
    struct client *client;
    char what; /* the path's first letter */
    bool whole, answered, ended;
    unsigned pieces; /* of the body that are to be sent */
};

static struct loop loop;
static struct session_env env;
static struct head head;
static uint32_t n_streams;
static const struct limits limits = {.head = {.bytes = 8192, .fields = 40, .cookies = 10},
                                     .header_timeout_ms = 10000,
                                     .idle_timeout_ms = 75000};

static void stream_end(struct stream *st, bool abort) {
    struct client *c = st->client;
    bool whole = st->whole;
    n_streams--;
    mem_free(st);
    if (abort)
        side_abort(&c->side);
    else
        client_done(c, whole);
}

static bool say(struct client *c, struct str text, bool last) {
    char *p = side_room(&c->side, ROOM);
    if (p == NULL)
        return false;
    memcpy(p, text.p, text.n);
    return side_head(&c->side, text.n, FRAMING_CHUNKED, last);
}

/* The next piece of the answer, when the last one went. False: the stream is over. */
static bool go_on(struct stream *st) {
    static char body[40000];
    while (!st->ended && !side_lending(&st->client->side)) {
        st->ended = --st->pieces == 0;
        if (!side_lend(&st->client->side, str_mk(body, st->what == 'e' ? 0 : sizeof(body)),
                       st->ended)) {
            stream_end(st, true);
            return false;
        }
    }
    return true;
}

static bool answer(struct stream *st) {
    struct client *c = st->client;
    st->answered = true;
    st->pieces = st->what == 'p' ? 20 : 1;
    st->ended = st->what == 'n';
    if (!say(c, STR("HTTP/1.1 200 OK\r\nX-Name: value\r\nconnection: close\r\n\r\n"), st->ended)) {
        stream_end(st, true);
        return false;
    }
    return go_on(st);
}

static void pump(struct stream *st) {
    struct side *s = &st->client->side;
    while (!st->whole && st->what != 'h') { /* h: hangs, and takes nothing */
        struct str piece;
        bool last;
        enum body got = side_take(s, &piece, &last);
        if (got == BODY_AGAIN)
            break;
        if (got != BODY_PIECE) {
            stream_end(st, true);
            return;
        }
        st->whole = last;
        if (piece.n > 1)
            side_repay(s, piece.n / 2);
        side_repay(s, s->loan.left);
    }
    if (st->whole && !st->answered && st->what != 'h')
        (void)answer(st);
}

static void check(const struct head *h) {
    must(h->method != METHOD_CONNECT && h->host.n > 0 && h->minor == 1);
    must(h->upgrade.n == 0 || (h->framing == FRAMING_NONE && h->method == METHOD_GET));
    struct str path = head_str(h, h->raw_path);
    must(path.n > 0 && (path.p[0] == '/' || str_eq(path, STR("*"))));
    must(head_find(h, TOKEN_CONNECTION) == NULL);
    must(head_find(h, TOKEN_TRANSFER_ENCODING) == NULL);
}

static void on_request(struct client *c) {
    check(env.head);
    struct str path = head_str(env.head, env.head->raw_path);
    struct stream *st = mem_alloc(sizeof(*st)); /* never fails */
    *st = (struct stream){.client = c, .what = path.n > 1 ? path.p[1] : '/'};
    n_streams++;
    st->whole = !client_accept(c, st);
    side_deadline(&c->side, loop.now_ms + 1000);
    if (st->what == 'a') {
        stream_end(st, true);
        return;
    }
    if (st->what == '1')
        say(c, STR("HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"), false);
    if (st->what == '2')
        (void)client_proceed(c);
    if (st->what == 'i' && !answer(st)) /* at once, whatever is still to come */
        return;
    pump(st);
}

static void on_refuse(struct client *c, enum reason reason, const char *detail, size_t bytes) {
    must(reason != REASON_NONE && detail != NULL);
    (void)bytes;
    if (say(c, STR("HTTP/1.1 400 Bad Request\r\ncontent-length: 3\r\n\r\n"), false) &&
        side_lend(&c->side, STR("no\n"), true))
        client_done(c, false);
    else
        side_abort(&c->side);
}

static void on_readable(struct client *c) { pump(c->stream); }

static void on_sent(struct client *c, size_t lent, bool all) {
    struct stream *st = c->stream;
    (void)lent;
    if (all && st->answered && st->ended)
        stream_end(st, false);
    else if (all && st->answered)
        go_on(st);
}

static void on_gone(struct client *c) { stream_end(c->stream, true); }
static void on_ended(struct client *c, enum reason reason) {
    must(c->stream == NULL && reason == REASON_RATE_LIMITED);
}

static const struct client_ops ops = {
    .request = on_request,
    .refuse = on_refuse,
    .readable = on_readable,
    .sent = on_sent,
    .gone = on_gone,
    .timeout = on_gone,
    .ended = on_ended,
};

static void turn(void) {
    event_base_loop(loop.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    loop_enter(&loop);
    conns_run_ready(&loop);
    conns_flush(&loop, true);
    conns_end_turn(&loop);
    loop.in_turn = false;
}

static void start(void) {
    if (env.loop != NULL)
        return;
    must(loop_init(&loop, 64 << 20, 1 << 20) == 0);
    env = (struct session_env){.loop = &loop, .ops = &ops, .limits = &limits, .head = &head};
    sessions_init(&env);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    struct addr peer;
    int fd[2];
    start();
    if (n < 2 || !addr_parse(&peer, STR("127.0.0.1:1")))
        return 0;
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd) == 0);
    loop.slabs.limit = data[1] == 0 ? 64 << 20 : (size_t)data[1] * 1024;
    session_accept_fd(&env, fd[0], &peer, NULL, 80);
    ssize_t sent = send(fd[1], preface, sizeof(preface) - 1, MSG_NOSIGNAL);
    must(sent == sizeof(preface) - 1 || env.n_sessions == 0);
    size_t step = data[0] < 128 ? (size_t)data[0] * 4 + 1 : 65536;
    talk(fd[1], (const char *)data + 2, n - 2, step, turn, 2);
    close(fd[1]);
    turn();
    sessions_close_all(&env);
    turn();
    must(env.n_sessions == 0 && env.n_idle == 0 && n_streams == 0 && loop.slabs.used_bytes == 0);
    return 0;
}
