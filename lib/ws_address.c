/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/ws_address.h"

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

static bool is_loopback(struct ws_address *a) {
    unsigned char room[16];
    static const unsigned char one[16] = {[15] = 1};
    if (inet_pton(AF_INET, a->host, room) == 1)
        return room[0] == 127;
    a->v6 = true;
    return inet_pton(AF_INET6, a->host, room) == 1 && memcmp(room, one, sizeof(one)) == 0;
}

int ws_address_parse(struct str text, struct ws_address *a, struct why *why) {
    struct shown shown;
    struct str host, port = cut_host(text, &host);
    uint64_t number;
    *a = (struct ws_address){0};
    if (host.n == 0 || host.n >= sizeof(a->host) || memchr(host.p, 0, host.n) ||
        !str_to_u64(port, UINT16_MAX, &number))
        return why_text(why, "%s is not an address; write it as 127.0.0.1:7400 or [::1]:7400",
                        why_show(text, &shown));
    if (str_eq(host, STR("localhost")))
        host = STR("127.0.0.1");
    memcpy(a->host, host.p, host.n);
    a->port = (uint16_t)number;
    /* TLS: an address that is not loopback becomes allowed here once the link speaks wss. */
    if (!is_loopback(a))
        return why_text(why,
                        "%s is not a loopback address: private keys travel on this link, so it is "
                        "spoken in plain text on 127.0.0.1, [::1] and localhost alone",
                        why_show(text, &shown));
    return 0;
}

int ws_url_parse(struct str url, struct ws_address *a, struct why *why) {
    struct shown shown;
    if (str_starts(url, STR("wss://")))
        return why_text(why, "%s: wss is not spoken yet; write ws:// and a loopback address",
                        why_show(url, &shown));
    if (!str_starts(url, STR("ws://")))
        return why_text(why, "%s is not a URL of a controller; write it as ws://127.0.0.1:7400",
                        why_show(url, &shown));
    struct str rest = str_skip(url, 5);
    if (str_ends(rest, STR("/")))
        rest.n--;
    return ws_address_parse(rest, a, why);
}

int ws_address_free(const struct ws_address *a) {
    struct sockaddr_in in4 = {.sin_family = AF_INET, .sin_port = htons(a->port)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(a->port)};
    inet_pton(AF_INET, a->host, &in4.sin_addr);
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
