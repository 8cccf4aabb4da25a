/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/policy/forwarded.h"
#include "proxy/policy/policy.h"

#include <arpa/inet.h>

/* ---- the client's address ---- */

static bool address_of(struct str text, uint8_t to[16]) {
    char z[INET6_ADDRSTRLEN];
    if (text.n > 1 && text.p[0] == '[' && text.p[text.n - 1] == ']')
        text = str_mk(text.p + 1, text.n - 2);
    if (text.n == 0 || text.n >= sizeof(z))
        return false;
    memcpy(z, text.p, text.n);
    z[text.n] = 0;
    if (inet_pton(AF_INET6, z, to) == 1)
        return true;
    memset(to, 0, 10);
    to[10] = to[11] = 0xff;
    return inet_pton(AF_INET, z, to + 12) == 1;
}

/* Takes the last comma-separated element off; false when nothing is left. */
static bool take_last(struct str *list, struct str *element) {
    if (list->p == NULL)
        return false;
    size_t n = list->n;
    while (n > 0 && list->p[n - 1] != ',')
        n--;
    *element = str_trim(str_mk(list->p + n, list->n - n));
    *list = n > 0 ? str_mk(list->p, n - 1) : STR_NONE;
    return true;
}

/* RFC 7239's word, where X-Forwarded-For says nothing. A node without an address hides who is
 * behind it: what we know then is the last one that we know. */
static void client_of_forwarded(const struct exchange *x, uint8_t client[16]) {
    const struct head *h = x->request;
    for (unsigned i = h->n_fields; i-- > 0;) {
        const struct head_field *f = &h->fields[i];
        struct str nodes[FORWARDED_MAX];
        unsigned n;
        if (f->token != TOKEN_FORWARDED || f->dropped)
            continue;
        if (!forwarded_read(head_value(h, f), nodes, &n))
            return;
        while (n-- > 0) {
            uint8_t address[16];
            if (!forwarded_address(nodes[n], address))
                return;
            memcpy(client, address, 16);
            if (!snapshot_trusts(x->snapshot, address))
                return;
        }
    }
}

void policy_client(struct exchange *x, const uint8_t peer[16], uint8_t client[16]) {
    memcpy(client, peer, 16);
    x->trusted = x->snapshot->n_trusted > 0 && snapshot_trusts(x->snapshot, peer);
    if (!x->trusted)
        return;
    const struct head *h = x->request;
    if (head_find(h, TOKEN_X_FORWARDED_FOR) == NULL) {
        client_of_forwarded(x, client);
        return;
    }
    for (unsigned i = h->n_fields; i-- > 0;) { /* the last field is the nearest hop's */
        const struct head_field *f = &h->fields[i];
        if (f->token != TOKEN_X_FORWARDED_FOR || f->dropped)
            continue;
        struct str list = head_value(h, f), one;
        while (take_last(&list, &one)) {
            uint8_t address[16];
            if (!address_of(one, address))
                return; /* what stands left of nonsense was not said by a trusted peer */
            memcpy(client, address, 16);
            if (!snapshot_trusts(x->snapshot, address))
                return;
        }
    }
}
