/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz h2_upstream: what a hostile backend says over HTTP/2, to a connection that carries several
 * requests at once. Owners of the fuzzer's own take the answers as a stream does: heads, bodies in
 * halves, trailers; some have a body to send, one goes in the middle. Whatever comes, heads are
 * sane, and all that was taken is given back when the connection has ended.
 *
 * The first byte of the input says in how large pieces the rest comes, the second how much memory
 * there is.
 */
#include "lib/mem.h"
#include "proxy/session/h2_link.h"
#include "proxy/upstream/upstream.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/talk.h"

#include <event2/event.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

enum { OWNERS = 4, ROOM = 512 };

struct owner {
    struct upstream *up; /* NULL: done */
    struct waiter waiter;
    bool answering, asked, said;
    unsigned turns; /* it goes after so many; 0: it stays */
};

static struct loop loop;
static struct upstreams us;
static struct h2_shared *shared;
static struct head head;
static struct owner owners[OWNERS];
static int listener = -1;
static struct endpoint endpoint = {.slot = 0, .generation = 1, .family = 4};
static struct model_backend model;
static struct backend backend = {.model = &model,
                                 .protocol = MODEL_H2C,
                                 .keepalive_idle_ms = 4000,
                                 .max_connections = 1,
                                 .max_pending = 1,
                                 .max_requests = UINT32_MAX};

static void leave(struct owner *o, bool complete) {
    struct upstream *u = o->up;
    o->up = NULL;
    u->side.loan.open = false;
    upstream_release(u, &backend, complete);
}

static void on_ready(struct upstream *u) {
    struct owner *o = u->owner;
    static const char get[] = "GET /a?b HTTP/1.1\r\nhost: a.test\r\nX-Name: v\r\n\r\n";
    static const char post[] =
        "POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n";
    bool body = (o - owners) % 2 != 0;
    struct str text = body ? STR(post) : STR(get);
    char *p = side_room(&u->side, ROOM);
    memcpy(p, text.p, text.n);
    o->asked = true;
    if (!side_head(&u->side, text.n, body ? FRAMING_CHUNKED : FRAMING_NONE, !body)) {
        leave(o, false);
        return;
    }
    o->said = !body;
    side_deadline(&u->side, loop.now_ms + 1000);
}

static void check(const struct head *h) {
    must(h->status >= 100 && h->status <= 599 && h->minor == 1);
    must(head_find(h, TOKEN_CONNECTION) == NULL);
    must(head_find(h, TOKEN_TRANSFER_ENCODING) == NULL);
}

/* False: it is over. */
static bool read_head(struct owner *o) {
    struct side *s = &o->up->side;
    while (!o->answering) {
        enum reason reason;
        if (!side_answer(s, METHOD_GET, &head, &reason)) {
            if (reason != REASON_NONE)
                leave(o, false);
            return false;
        }
        check(&head);
        o->answering = head.status >= 200;
        if (!side_answered(s, &head) && o->answering) {
            leave(o, o->said);
            return false;
        }
    }
    return true;
}

static void on_readable(struct upstream *u) {
    static char body[3000];
    struct owner *o = u->owner;
    struct side *s = &u->side;
    if (!o->said && !side_lending(s)) {
        o->said = o->turns % 3 == 1;
        must(side_lend(s, str_mk(body, sizeof(body)), o->said));
    }
    if (o->turns > 0 && --o->turns == 0) {
        leave(o, false);
        return;
    }
    if (!read_head(o))
        return;
    for (bool last = false; !last;) {
        struct str piece;
        enum body got = side_take(s, &piece, &last);
        if (got == BODY_AGAIN)
            return;
        if (got != BODY_PIECE) {
            leave(o, false);
            return;
        }
        if (piece.n > 1)
            side_repay(s, piece.n / 2);
        side_repay(s, s->loan.left);
    }
    must(side_trailers(s).n <= TRAILERS_MAX);
    leave(o, o->said && !side_lending(s));
}

static void on_sent(struct upstream *u, size_t lent, bool all) { (void)u, (void)lent, (void)all; }
static void on_broken(struct upstream *u, enum conn_end why) {
    (void)why;
    leave(u->owner, false);
}
static void on_timeout(struct upstream *u) { leave(u->owner, false); }
static void on_turn(struct waiter *w) { (void)w; }

static const struct upstream_ops ops = {
    .ready = on_ready,
    .readable = on_readable,
    .sent = on_sent,
    .broken = on_broken,
    .timeout = on_timeout,
    .turn = on_turn,
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
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(at);
    if (listener >= 0)
        return;
    must(loop_init(&loop, 64 << 20, 1 << 20) == 0);
    shared = h2_shared_new(&loop);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    must(bind(listener, (struct sockaddr *)&at, sizeof(at)) == 0 && listen(listener, 8) == 0);
    must(getsockname(listener, (struct sockaddr *)&at, &n) == 0);
    memcpy(endpoint.address, &at.sin_addr, 4);
    endpoint.port = ntohs(at.sin_port);
}

static void ask(unsigned turns) {
    for (unsigned i = 0; i < OWNERS; i++) {
        struct owner *o = &owners[i];
        *o = (struct owner){.turns = i == 2 ? turns + 1 : 0};
        if (upstream_get(&us, &backend, &endpoint, false, false, o, &o->waiter, &o->up) ==
            UPSTREAM_WAIT)
            upstream_unwait(&o->waiter);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static const struct snapshot room = {.endpoint_slots = 1, .backend_slots = 1};
    start();
    if (n < 2)
        return 0;
    loop.slabs.limit = 64 << 20;
    upstreams_init(&us, &loop, &ops, shared, 1);
    must(upstreams_adopt(&us, &room));
    ask(data[1] % 8);
    int fd = accept(listener, NULL, NULL);
    must(fd >= 0);
    turn();
    loop.slabs.limit = data[1] == 0 ? 64 << 20 : (size_t)data[1] * 4096;
    size_t step = data[0] < 128 ? (size_t)data[0] * 4 + 1 : 65536;
    talk(fd, (const char *)data + 2, n - 2, step, turn, 3);
    close(fd);
    turn();
    turn();
    for (unsigned i = 0; i < OWNERS; i++)
        if (owners[i].up != NULL)
            leave(&owners[i], false);
    upstreams_fini(&us);
    turn();
    must(loop.slabs.used_bytes == 0);
    return 0;
}
