/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/net/conn.h"

#include <arpa/inet.h>

socklen_t addr_len(const struct addr *a) {
    return a->sa.sa_family == AF_INET ? sizeof(a->v4) : sizeof(a->v6);
}

bool addr_set(struct addr *a, struct str bytes, uint16_t port) {
    memset(a, 0, sizeof(*a));
    if (bytes.n == 4) {
        a->v4.sin_family = AF_INET;
        a->v4.sin_port = htons(port);
        memcpy(&a->v4.sin_addr, bytes.p, 4);
        return true;
    }
    if (bytes.n != 16)
        return false;
    a->v6.sin6_family = AF_INET6;
    a->v6.sin6_port = htons(port);
    memcpy(&a->v6.sin6_addr, bytes.p, 16);
    return true;
}

bool addr_parse(struct addr *a, struct str text) {
    char host[INET6_ADDRSTRLEN];
    uint8_t bytes[16];
    uint64_t port;
    bool six = text.n > 0 && text.p[0] == '[';
    size_t end = six ? str_find(text, ']', 0) : str_find(text, ':', 0);
    size_t colon = six ? end + 1 : end, start = six ? 1 : 0;
    if (colon >= text.n || text.p[colon] != ':' || end - start >= sizeof(host) ||
        !str_to_u64(str_skip(text, colon + 1), UINT16_MAX, &port))
        return false;
    memcpy(host, text.p + start, end - start);
    host[end - start] = 0;
    return inet_pton(six ? AF_INET6 : AF_INET, host, bytes) == 1 &&
           addr_set(a, str_mk((char *)bytes, six ? 16 : 4), (uint16_t)port);
}

void addr_v6(const struct addr *a, uint8_t to[16]) {
    if (a->sa.sa_family == AF_INET6) {
        memcpy(to, &a->v6.sin6_addr, 16);
        return;
    }
    memset(to, 0, 10);
    to[10] = to[11] = 0xff;
    memcpy(to + 12, &a->v4.sin_addr, 4);
}

static bool is_v4(const struct addr *a, uint8_t v4[4]) {
    if (a->sa.sa_family == AF_INET)
        memcpy(v4, &a->v4.sin_addr, 4);
    else if (IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr))
        memcpy(v4, a->v6.sin6_addr.s6_addr + 12, 4);
    else
        return false;
    return true;
}

void addr_print_ip(const struct addr *a, struct out *o) {
    uint8_t v4[4];
    if (is_v4(a, v4)) {
        for (int i = 0; i < 4; i++) {
            if (i > 0)
                out_char(o, '.');
            out_u64(o, v4[i]);
        }
        return;
    }
    char text[INET6_ADDRSTRLEN];
    inet_ntop(AF_INET6, &a->v6.sin6_addr, text, sizeof(text));
    out_str(o, str_of(text));
}

void addr_print(const struct addr *a, struct out *o) {
    uint8_t v4[4];
    bool six = !is_v4(a, v4);
    if (six)
        out_char(o, '[');
    addr_print_ip(a, o);
    if (six)
        out_char(o, ']');
    out_char(o, ':');
    out_u64(o, ntohs(a->sa.sa_family == AF_INET ? a->v4.sin_port : a->v6.sin6_port));
}
