/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/http/authority.h"

#include "lib/chars.h"

#include <arpa/inet.h>

static bool ipv6_ok(struct str inner) {
    char text[INET6_ADDRSTRLEN];
    struct in6_addr address;
    if (inner.n == 0 || inner.n >= sizeof(text) || memchr(inner.p, 0, inner.n) != NULL)
        return false;
    memcpy(text, inner.p, inner.n);
    text[inner.n] = 0;
    return inet_pton(AF_INET6, text, &address) == 1;
}

static bool port_parse(struct str s, uint16_t *port) {
    if (s.n == 0)
        return true;
    uint64_t value;
    if (s.n > 5 || !str_to_u64(s, UINT16_MAX, &value) || value == 0)
        return false;
    *port = (uint16_t)value;
    return true;
}

bool authority_parse(struct str s, struct authority *a) {
    const char *end = s.p + s.n, *at;
    a->port = 0;
    if (s.n > 0 && s.p[0] == '[') {
        at = chars_find(s.p, end, ']');
        if (at == end || !ipv6_ok(str_mk(s.p + 1, (size_t)(at - s.p - 1))))
            return false;
        at++;
    } else {
        at = chars_skip(s.p, end, CHAR_HOST);
    }
    a->host = str_mk(s.p, (size_t)(at - s.p));
    if (a->host.n == 0 || a->host.n > AUTHORITY_HOST_MAX)
        return false;
    return at == end ||
           (*at == ':' && port_parse(str_mk(at + 1, (size_t)(end - at - 1)), &a->port));
}
