/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/ws_address.h"

#include "lib/units.h"

#include <arpa/inet.h>
#include <errno.h>
#include <unistd.h>

/* Cuts HOST off HOST:PORT; the port's digits, or STR_NONE. */
static struct str cut_host(struct str text, struct str *host) {
    if (text.n > 0 && text.p[0] == '[') {
        size_t end = str_find(text, ']', 1);
        *host = str_mk(text.p + 1, end - 1);
        struct str rest = end < text.n ? str_skip(text, end + 1) : STR_NONE;
        return str_starts(rest, STR(":")) ? str_skip(rest, 1) : STR_NONE;
    }
    return str_cut(text, ':', host);
}

/* An address as it is written; false: it is none. */
static bool literal(struct str host, struct ws_address *a, bool *loopback) {
    unsigned char room[16];
    static const unsigned char one[16] = {[15] = 1};
    if (str_eq(host, STR("localhost")))
        host = STR("127.0.0.1");
    if (host.n == 0 || host.n >= sizeof(a->host) || memchr(host.p, 0, host.n))
        return false;
    memcpy(a->host, host.p, host.n);
    a->host[host.n] = 0;
    if (inet_pton(AF_INET, a->host, room) == 1) {
        *loopback = room[0] == 127;
        return true;
    }
    a->v6 = inet_pton(AF_INET6, a->host, room) == 1;
    *loopback = a->v6 && memcmp(room, one, sizeof(one)) == 0;
    return a->v6;
}

static int not_loopback(struct str text, struct why *why) {
    struct shown shown;
    return why_text(why,
                    "%s is not a loopback address: private keys travel on this link, so it is "
                    "spoken in plain text on 127.0.0.1, [::1] and localhost alone",
                    why_show(text, &shown));
}

int ws_address_parse(struct str text, bool secure, struct ws_address *a, struct why *why) {
    struct shown shown;
    struct str host, port = cut_host(text, &host);
    uint64_t number;
    bool loopback = false;
    *a = (struct ws_address){0};
    bool good = str_to_u64(port, UINT16_MAX, &number);
    bool every = secure && host.n == 0 && str_starts(text, STR(":"));
    if (!good || (!every && !literal(host, a, &loopback)))
        return why_text(why, "%s is not an address; write it as 127.0.0.1:7400 or [::1]:7400",
                        why_show(text, &shown));
    a->port = (uint16_t)number;
    return secure || loopback ? 0 : not_loopback(text, why);
}

/* What wss may name: a literal of IPv6 has no form that libwebsockets would verify. */
static int check_name(struct str url, const struct ws_url *u, struct why *why) {
    struct shown shown;
    struct why inner = {0};
    if (u->literal && u->at.v6)
        return why_text(why, "%s: write a name, or an IPv4 address, with wss",
                        why_show(url, &shown));
    if (!u->literal && unit_dns_name(str_of(u->name), &inner) != 0)
        return why_text(why, "%s: %s", why_show(url, &shown), inner.text);
    return 0;
}

int ws_url_parse(struct str url, struct ws_url *u, struct why *why) {
    struct shown shown;
    struct str host, rest = url;
    uint64_t port = 0;
    bool loopback = false;
    *u = (struct ws_url){.secure = str_starts(url, STR("wss://"))};
    if (!u->secure && !str_starts(url, STR("ws://")))
        return why_text(why,
                        "%s is not a URL of a controller; write it as ws://127.0.0.1:7400 or "
                        "wss://sluice-controller.sluice.svc:7400",
                        why_show(url, &shown));
    rest = str_skip(rest, u->secure ? 6 : 5);
    if (str_ends(rest, STR("/")))
        rest.n--;
    struct str digits = cut_host(rest, &host);
    if (host.n == 0 || host.n > WS_NAME_MAX || memchr(host.p, 0, host.n) ||
        !str_to_u64(digits, UINT16_MAX, &port) || port == 0)
        return why_text(why, "%s is not an address; write it as 127.0.0.1:7400 or [::1]:7400",
                        why_show(url, &shown));
    u->literal = literal(host, &u->at, &loopback);
    u->at.port = (uint16_t)port;
    memcpy(u->name, host.p, host.n);
    if (u->secure)
        return check_name(url, u, why);
    return loopback ? 0 : not_loopback(rest, why);
}

int ws_address_free(const struct ws_address *a) {
    struct sockaddr_in in4 = {.sin_family = AF_INET, .sin_port = htons(a->port)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(a->port)};
    inet_pton(AF_INET, a->host, &in4.sin_addr); /* "": every address */
    inet_pton(AF_INET6, a->host, &in6.sin6_addr);
    int on = 1, fd = socket(a->v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    const struct sockaddr *at = a->v6 ? (struct sockaddr *)&in6 : (struct sockaddr *)&in4;
    int error = bind(fd, at, a->v6 ? sizeof(in6) : sizeof(in4)) == 0 ? 0 : errno;
    close(fd);
    return error;
}
