/* SPDX-License-Identifier: Apache-2.0
 *
 * relay: the floor that proxies are measured against. One thread, one epoll, one upstream
 * connection for each client connection; what one side sends the other gets. It parses nothing:
 * recv, send, recv, send is the least that any proxy can do for a request.
 *
 *   relay --listen ADDRESS:PORT --to ADDRESS:PORT
 *
 *      client ── side ──peer──► side ── upstream        held: what a full peer did not take
 */
#include "lib/mem.h"
#include "lib/str.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER_BYTES = 64 * 1024 };

struct side {
    int fd;
    bool gone; /* closed; freed at the end of the turn, together with its peer */
    struct side *peer;
    char *held; /* bytes for this fd that it did not take yet */
    size_t held_at, held_n;
    struct side *next_gone;
};

static int loop;
static struct sockaddr_in listen_on, to;
static struct side *gone;

_Noreturn static void die(const char *what) {
    fprintf(stderr, "relay: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void watch(int operation, struct side *s, uint32_t events) {
    struct epoll_event e = {.events = events, .data.ptr = s};
    if (epoll_ctl(loop, operation, s->fd, &e) != 0)
        die("epoll_ctl");
}

static void close_both(struct side *s) {
    if (s->gone)
        return;
    for (int i = 0; i < 2; i++, s = s->peer) {
        close(s->fd);
        s->gone = true;
        s->next_gone = gone;
        gone = s;
    }
}

static struct side *side_new(int fd) {
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct side *s = mem_zalloc(sizeof *s);
    s->fd = fd;
    return s;
}

static void on_client(int listener) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    int up = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (up < 0 || connect(up, (struct sockaddr *)&to, sizeof to) != 0) {
        close(fd);
        if (up >= 0)
            close(up);
        return;
    }
    struct side *a = side_new(fd), *b = side_new(up);
    a->peer = b;
    b->peer = a;
    watch(EPOLL_CTL_ADD, a, EPOLLIN);
    watch(EPOLL_CTL_ADD, b, EPOLLIN);
}

/* What `s` did not take waits; its peer is not read until it has. */
static void hold(struct side *s, const char *p, size_t n) {
    s->held = mem_dup(p, n);
    s->held_at = 0;
    s->held_n = n;
    watch(EPOLL_CTL_MOD, s, EPOLLIN | EPOLLOUT);
    watch(EPOLL_CTL_MOD, s->peer, s->peer->held != NULL ? EPOLLOUT : 0);
}

static void on_room(struct side *s) {
    ssize_t n =
        send(s->fd, s->held + s->held_at, s->held_n - s->held_at, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno != EAGAIN) {
        close_both(s);
        return;
    }
    s->held_at += n > 0 ? (size_t)n : 0;
    if (s->held_at < s->held_n)
        return;
    mem_free(s->held);
    s->held = NULL;
    watch(EPOLL_CTL_MOD, s, EPOLLIN);
    watch(EPOLL_CTL_MOD, s->peer, s->peer->held != NULL ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static void on_bytes(struct side *s) {
    static char buffer[BUFFER_BYTES];
    ssize_t n = recv(s->fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        close_both(s);
        return;
    }
    ssize_t sent = send(s->peer->fd, buffer, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno != EAGAIN)
        close_both(s);
    else if (sent < n)
        hold(s->peer, buffer + (sent > 0 ? sent : 0), (size_t)(n - (sent > 0 ? sent : 0)));
}

static void free_gone(void) {
    while (gone != NULL) {
        struct side *s = gone;
        gone = s->next_gone;
        mem_free(s->held);
        mem_free(s);
    }
}

static struct sockaddr_in address(const char *text) {
    struct sockaddr_in a = {.sin_family = AF_INET};
    struct str host;
    struct str port = str_cut(str_of(text), ':', &host);
    uint64_t number;
    char room[INET_ADDRSTRLEN];
    int n = snprintf(room, sizeof room, "%.*s", STR_FMT(host));
    if (n >= (int)sizeof room || inet_pton(AF_INET, room, &a.sin_addr) != 1 ||
        !str_to_u64(port, 65535, &number)) {
        fprintf(stderr, "relay: %s is not ADDRESS:PORT (IPv4)\n", text);
        exit(2);
    }
    a.sin_port = htons((uint16_t)number);
    return a;
}

int main(int argc, char **argv) {
    if (argc != 5 || strcmp(argv[1], "--listen") != 0 || strcmp(argv[3], "--to") != 0) {
        fputs("usage: relay --listen ADDRESS:PORT --to ADDRESS:PORT\n", stderr);
        return 2;
    }
    listen_on = address(argv[2]);
    to = address(argv[4]);
    signal(SIGPIPE, SIG_IGN);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    loop = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event listening = {.events = EPOLLIN}, ready[256];
    if (listener < 0 || loop < 0 ||
        setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(listener, (struct sockaddr *)&listen_on, sizeof listen_on) != 0 ||
        listen(listener, 4096) != 0 || epoll_ctl(loop, EPOLL_CTL_ADD, listener, &listening) != 0)
        die("listen");
    for (;;) {
        int n = epoll_wait(loop, ready, ARRAY_LEN(ready), -1);
        for (int i = 0; i < n; i++) {
            struct side *s = ready[i].data.ptr;
            if (s == NULL)
                on_client(listener);
            else if (!s->gone && s->held != NULL && (ready[i].events & EPOLLOUT) != 0)
                on_room(s);
            else if (!s->gone)
                on_bytes(s);
        }
        free_gone();
    }
}
