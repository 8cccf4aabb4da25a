/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/l4/intro.h"

#include "lib/log.h"
#include "lib/mem.h"
#include "proxy/net/proxy_header.h"

#include <sys/socket.h>
#include <unistd.h>

struct intro {
    struct conn conn;
    struct intro_env *env;
    struct list link;
    struct timer timer;
    bool header; /* a PROXY header may come, or must */
    bool spoken; /* a byte has come */
    size_t need; /* fewer bytes than these have been looked at */
    struct newcomer who;
};

enum step { STEP_WAIT, STEP_NEXT, STEP_OVER };

static struct intro *of_conn(struct conn *c) { return container_of(c, struct intro, conn); }

/* ---- ends ---- */

static void freed(struct conn *c) { mem_free(of_conn(c)); }

static void leave(struct intro *in) {
    timer_fini(&in->timer);
    list_del(&in->link);
    counter_sub(&in->env->n, 1);
}

static enum step refuse(struct intro *in, enum reason reason, const char *detail) {
    struct intro_env *env = in->env;
    char room[64];
    struct out o = out_fixed(room, sizeof(room));
    if (reason != REASON_NONE && log_on(LOG_LEVEL_DEBUG)) {
        addr_print(&in->who.peer, &o);
        log_debug("l4", "a connection was refused client=%.*s port=%u reason=\"%s\"",
                  STR_FMT(out_done(&o)), in->who.port, detail);
    }
    leave(in);
    conn_close(&in->conn, false, freed);
    env->refused(env->arg, &in->who, reason);
    return STEP_OVER;
}

static enum step finish(struct intro *in) {
    struct intro_env *env = in->env;
    leave(in);
    env->done(env->arg, conn_give_up(&in->conn, freed), &in->who);
    return STEP_OVER;
}

/* ---- what is said ---- */

/* The bytes of a look go out of the socket. */
static bool take(struct intro *in, size_t n) {
    return recv(in->conn.fd, in->env->bytes, n, 0) == (ssize_t)n;
}

static enum step wait_for(struct intro *in, size_t need) {
    if (in->conn.hangup) /* and no more will come */
        return refuse(in, REASON_CLIENT_CLOSED, "it ended in the middle of its first bytes");
    in->need = need;
    return STEP_WAIT;
}

static enum step read_header(struct intro *in, size_t n) {
    struct proxy_header h;
    const char *detail;
    switch (proxy_header_read(in->env->bytes, n, &h, &detail)) {
    case PROXY_HEADER_MORE:
        return wait_for(in, h.need);
    case PROXY_HEADER_BAD:
        return refuse(in, REASON_BAD_REQUEST, detail);
    case PROXY_HEADER_NONE:
        in->header = false;
        if (in->env->law->gateway->proxy_protocol == MODEL_PROXY_REQUIRE)
            return refuse(in, REASON_BAD_REQUEST,
                          "a trusted peer must send a PROXY header, and it does not");
        return STEP_NEXT;
    case PROXY_HEADER_DONE:
        in->header = false;
        in->need = 0;
        if (!take(in, h.n))
            return refuse(in, REASON_CLIENT_CLOSED, "it ended behind its PROXY header");
        if (h.known) {
            in->who.peer = h.from;
            in->who.local = h.to;
            in->who.told = true;
        }
        return STEP_NEXT;
    }
    return STEP_OVER;
}

/* RFC 8446 6.2; what it has sent is taken first, else closing would reset the connection and the
 * alert be lost. */
static enum step refuse_name(struct intro *in, size_t n) {
    static const char unrecognized_name[] = {21, 3, 3, 0, 2, 2, 112};
    if (take(in, n))
        (void)!send(in->conn.fd, unrecognized_name, sizeof(unrecognized_name), MSG_NOSIGNAL);
    return refuse(in, REASON_NO_ROUTE, "no listener of the port serves the name");
}

static enum step read_hello(struct intro *in, size_t n) {
    const struct snapshot *law = in->env->law;
    uint16_t port = in->who.port;
    bool ends_here = snapshot_listener(law, port) != NULL;
    const char *detail;
    switch (client_hello_read(in->env->bytes, n, &in->who.hello, &detail)) {
    case CLIENT_HELLO_MORE:
        return wait_for(in, in->who.hello.need);
    case CLIENT_HELLO_BAD: /* whoever ends TLS says what is wrong */
        return ends_here ? finish(in) : refuse(in, REASON_BAD_REQUEST, detail);
    case CLIENT_HELLO_DONE:
        break;
    }
    const struct listener_law *l = snapshot_named(law, port, client_hello_name(&in->who.hello));
    if (l == NULL && !ends_here)
        return refuse_name(in, n);
    if (l != NULL && l->model->protocol == MODEL_TLS)
        in->who.passed = l;
    return finish(in);
}

static enum step look(struct intro *in) {
    ssize_t n = conn_look(&in->conn, in->env->bytes, CLIENT_HELLO_MAX);
    if (n < 0)
        return refuse(in, in->spoken ? REASON_CLIENT_CLOSED : REASON_NONE, "it went away");
    in->spoken = in->spoken || n > 0;
    if (n == 0 || (size_t)n < in->need)
        return wait_for(in, in->need);
    return in->header ? read_header(in, (size_t)n) : read_hello(in, (size_t)n);
}

static void go_on(struct intro *in) {
    for (;;) {
        if (!in->header && !snapshot_passes_by_name(in->env->law, in->who.port)) {
            finish(in);
            return;
        }
        if (look(in) != STEP_NEXT)
            return;
    }
}

/* ---- events ---- */

static void on_readable(struct conn *c) { go_on(of_conn(c)); }
static void on_flushed(struct conn *c, size_t lent, bool all) { (void)c, (void)lent, (void)all; }
static void on_nothing(struct conn *c) { (void)c; }
static void on_broken(struct conn *c, enum conn_end why, int err) {
    (void)why, (void)err;
    refuse(of_conn(c), REASON_CLIENT_CLOSED, "it broke");
}

static const struct conn_ops conn_ops = {
    .readable = on_readable,
    .flushed = on_flushed,
    .fill = on_nothing,
    .connected = on_nothing,
    .secured = on_nothing,
    .broken = on_broken,
};

/* One that has said nothing at all is one that was opened for later. */
static void on_timer(struct timer *t) {
    struct intro *in = container_of(t, struct intro, timer);
    refuse(in, in->spoken ? REASON_CLIENT_TIMEOUT : REASON_NONE,
           "its first bytes did not come in time");
}

/* ---- life ---- */

void intros_init(struct intro_env *env) {
    list_init(&env->all);
    env->bytes = mem_alloc(CLIENT_HELLO_MAX);
}

void intros_close_all(struct intro_env *env) {
    list_each_safe(it, &env->all)
        refuse(list_entry(it, struct intro, link), REASON_NONE, "");
}

void intros_fini(struct intro_env *env) {
    must(list_empty(&env->all));
    mem_free(env->bytes);
}

static bool may_speak_for_others(const struct intro_env *env, const struct addr *peer) {
    uint8_t address[16];
    if (env->law->gateway->proxy_protocol == MODEL_PROXY_OFF)
        return false;
    addr_v6(peer, address);
    return snapshot_trusts(env->law, address);
}

bool intro_needed(const struct intro_env *env, const struct addr *peer, uint16_t port) {
    return may_speak_for_others(env, peer) || snapshot_passes_by_name(env->law, port);
}

void intro_begin(struct intro_env *env, int fd, const struct addr *peer, uint16_t port) {
    struct intro *in = mem_try_zero(sizeof(*in));
    if (in == NULL) {
        close(fd);
        return;
    }
    in->env = env;
    in->who = (struct newcomer){.peer = *peer, .port = port, .start_ns = env->loop->now_ns};
    in->header = may_speak_for_others(env, peer);
    timer_init(&in->timer, on_timer);
    list_init(&in->link);
    if (conn_init(&in->conn, env->loop, fd, &conn_ops) != 0) {
        mem_free(in);
        return;
    }
    list_append(&env->all, &in->link);
    counter_add(&env->n, 1);
    timer_set(env->loop->wheel, &in->timer, env->loop->now_ms + env->law->limits.header_timeout_ms);
}
