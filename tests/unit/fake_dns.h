/* SPDX-License-Identifier: Apache-2.0
 *
 * A DNS server on the test's own loop that answers as the test says. Included by one test program.
 */
#ifndef SLUICE_TESTS_FAKE_DNS_H
#define SLUICE_TESTS_FAKE_DNS_H

#include "lib/out.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { TYPE_A = 1, TYPE_AAAA = 28, OK = 0, SERVFAIL = 2, NXDOMAIN = 3, REFUSED = 5 };
enum { SILENT = 100, GARBAGE, CUT };

/* ---- the server ---- */

struct script { /* what is answered to one type */
    int rcode;
    uint32_t ttl;
    const char *addresses; /* separated by blanks; NULL: none */
    unsigned asked;
};

static struct {
    int fd;
    char address[32];
    char name[300]; /* asked last, in lower case */
    struct script a, aaaa;
    uint64_t asked_ms, asked_before_ms; /* for A */
    struct event *readable;
} server;

static inline uint64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static inline void put16(struct out *o, unsigned v) {
    out_char(o, (char)(v >> 8));
    out_char(o, (char)v);
}

static inline void put_records(struct out *o, struct script *s, unsigned type) {
    struct str rest = str_of(s->addresses ? s->addresses : ""), one;
    while (rest.n > 0) {
        char text[64], bytes[16];
        rest = str_cut(rest, ' ', &one);
        snprintf(text, sizeof(text), "%.*s", STR_FMT(one));
        must(inet_pton(type == TYPE_A ? AF_INET : AF_INET6, text, bytes) == 1);
        put16(o, 0xc00c); /* the name that was asked for */
        put16(o, type);
        put16(o, 1);
        put16(o, s->ttl >> 16);
        put16(o, s->ttl & 0xffff);
        put16(o, type == TYPE_A ? 4 : 16);
        out_bytes(o, bytes, type == TYPE_A ? 4 : 16);
    }
}

static inline unsigned count_addresses(const struct script *s) {
    unsigned n = s->addresses ? 1 : 0;
    for (const char *p = s->addresses; p && *p; p++)
        n += *p == ' ';
    return n;
}

/* The question's name, without its last dot; the number of bytes it has in the packet. */
static inline size_t read_name(const unsigned char *p, size_t n, struct out *o) {
    size_t at = 0;
    while (at < n && p[at] > 0) {
        for (size_t i = 1; i <= p[at] && at + i < n; i++)
            out_char(o, char_lower((char)p[at + i]));
        at += p[at] + 1U;
        if (at < n && p[at] > 0)
            out_char(o, '.');
    }
    return at + 1;
}

static inline void on_question(evutil_socket_t fd, short what, void *arg) {
    unsigned char in[1024];
    char room[2048];
    struct sockaddr_storage from;
    socklen_t from_n = sizeof(from);
    (void)what, (void)arg;
    ssize_t got = recvfrom(fd, in, sizeof(in), 0, (struct sockaddr *)&from, &from_n);
    if (got < 17)
        return;
    struct out name = out_fixed(server.name, sizeof(server.name) - 1);
    size_t name_n = read_name(in + 12, (size_t)got - 12, &name);
    server.name[name.n] = 0;
    unsigned type = (unsigned)(in[12 + name_n] << 8 | in[13 + name_n]);
    struct script *s = type == TYPE_A ? &server.a : &server.aaaa;
    struct out o = out_fixed(room, sizeof(room));
    s->asked++;
    if (type == TYPE_A) {
        server.asked_before_ms = server.asked_ms;
        server.asked_ms = now_ms();
    }
    if (s->rcode == SILENT)
        return;
    out_bytes(&o, in, 2);
    put16(&o, s->rcode == CUT ? 0x8380 : 0x8180 | (unsigned)(s->rcode < SILENT ? s->rcode : 0));
    put16(&o, 1);
    put16(&o, s->rcode == GARBAGE ? 0xffff : count_addresses(s));
    put16(&o, 0);
    put16(&o, 0);
    out_bytes(&o, in + 12, name_n + 4);
    if (s->rcode == GARBAGE)
        for (int i = 0; i < 200; i++)
            out_char(&o, (char)(i * 37));
    else if (s->rcode == OK)
        put_records(&o, s, type);
    must(!o.over);
    sendto(fd, room, o.n, 0, (struct sockaddr *)&from, from_n);
}

static inline void start_server(struct event_base *base) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t n = sizeof(to);
    memset(&server, 0, sizeof(server));
    server.fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    must(bind(server.fd, (struct sockaddr *)&to, n) == 0);
    must(getsockname(server.fd, (struct sockaddr *)&to, &n) == 0);
    snprintf(server.address, sizeof(server.address), "127.0.0.1:%u", ntohs(to.sin_port));
    server.readable = event_new(base, server.fd, EV_READ | EV_PERSIST, on_question, NULL);
    event_add(server.readable, NULL);
}

static inline void stop_server(void) {
    event_free(server.readable);
    close(server.fd);
}

#endif
