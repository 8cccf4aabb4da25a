/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/config/address.h"

#include "lib/address.h"
#include "proxy/config/resolve.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static const char mapped[12] = {[10] = (char)0xff, [11] = (char)0xff};

static bool inside(struct str address, const char prefix[12]) {
    return address.n == 16 && memcmp(address.p, prefix, 12) == 0;
}

bool resolve_address_ok(struct str address) {
    enum address_sort sort = address_sort(address);
    return (address.n == 4 || address.n == 16) && sort <= ADDRESS_RESERVED;
}

/* The kernel knows the way: connecting a datagram socket looks it up and sends nothing. */
bool address_is_routed(struct str address) {
    union {
        struct sockaddr sa;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } to = {0};
    bool six = address.n == 16;
    to.sa.sa_family = six ? AF_INET6 : AF_INET;
    if (six)
        memcpy(&to.v6.sin6_addr, address.p, 16);
    else
        memcpy(&to.v4.sin_addr, address.p, 4);
    to.v4.sin_port = htons(9); /* the same place in both */
    int fd = socket(to.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    bool routed = connect(fd, &to.sa, six ? sizeof(to.v6) : sizeof(to.v4)) == 0;
    close(fd);
    return routed;
}

/* ---- sets ---- */

void addresses_put(struct addresses *to, struct str address) {
    if (to->n == ADDRESSES_MAX)
        return;
    if (inside(address, mapped))
        address = str_skip(address, 12);
    struct address *a = &to->list[to->n++];
    *a = (struct address){.n = (uint8_t)address.n};
    memcpy(a->bytes, address.p, address.n);
}

void addresses_add(struct addresses *to, const struct addresses *from) {
    for (uint32_t i = 0; i < from->n; i++)
        addresses_put(to, address_bytes(&from->list[i]));
}

static int compare(const void *a, const void *b) {
    const struct address *x = a, *y = b;
    return x->n != y->n ? (int)x->n - (int)y->n : memcmp(x->bytes, y->bytes, x->n);
}

void addresses_sort(struct addresses *a) {
    uint32_t n = 0;
    qsort(a->list, a->n, sizeof(a->list[0]), compare);
    for (uint32_t i = 0; i < a->n; i++)
        if (n == 0 || compare(&a->list[n - 1], &a->list[i]) != 0)
            a->list[n++] = a->list[i];
    a->n = n;
}

bool addresses_equal(const struct addresses *a, const struct addresses *b) {
    if (a->n != b->n)
        return false;
    for (uint32_t i = 0; i < a->n; i++)
        if (compare(&a->list[i], &b->list[i]) != 0)
            return false;
    return true;
}

void addresses_keep_routed(struct addresses *a, bool (*routed)(struct str address)) {
    struct addresses kept = {0};
    for (uint32_t i = 0; i < a->n; i++)
        if (routed(address_bytes(&a->list[i])))
            addresses_put(&kept, address_bytes(&a->list[i]));
    if (kept.n > 0)
        *a = kept;
}
