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

/* ---- request id and trace ---- */

/* Eight digits at once, of every other nibble: 6 is added to carry those from ten on over to where
 * the letters are. */
static inline uint64_t digits(uint64_t v) {
    uint64_t x = v & UINT64_C(0x0f0f0f0f0f0f0f0f);
    uint64_t letters = (x + UINT64_C(0x0606060606060606)) >> 4 & UINT64_C(0x0101010101010101);
    return x + UINT64_C(0x3030303030303030) + letters * ('a' - '0' - 10);
}

/* Random digits: in which order they stand says nothing. */
static void hex_16(char *to, uint64_t v) {
    uint64_t high = digits(v >> 4), low = digits(v);
    memcpy(to, &high, 8);
    memcpy(to + 8, &low, 8);
}

/* What may be continued: it will stand in logs and other people's systems. */
static bool id_ok(struct str s) {
    if (s.n == 0 || s.n > REQUEST_ID_MAX)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool word = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!word && c != '-' && c != '_' && c != '.' && c != ':' && c != '/' && c != '+' &&
            c != '=')
            return false;
    }
    return true;
}

static bool lower_hex(struct str s, size_t at, size_t n, bool *zero) {
    *zero = true;
    for (size_t i = at; i < at + n; i++) {
        char c = s.p[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return false;
        *zero = *zero && c == '0';
    }
    return true;
}

/* W3C Trace Context 3.2: version 00 exactly; of a later version the known part must be so. */
static bool traceparent_ok(struct str s) {
    bool zero, version_zero, parent_zero, flags_zero;
    if (s.n < TRACEPARENT_BYTES || s.p[2] != '-' || s.p[35] != '-' || s.p[52] != '-')
        return false;
    if (!lower_hex(s, 0, 2, &version_zero) || !lower_hex(s, 3, 32, &zero) ||
        !lower_hex(s, 36, 16, &parent_zero) || !lower_hex(s, 53, 2, &flags_zero))
        return false;
    if (memcmp(s.p, "ff", 2) == 0 || (version_zero && s.n != TRACEPARENT_BYTES) ||
        (s.n > TRACEPARENT_BYTES && s.p[TRACEPARENT_BYTES] != '-'))
        return false;
    return !zero && !parent_zero;
}

void policy_trace(struct exchange *x, struct prng *prng, char *id_room, char *trace_room) {
    const struct head *h = x->request;
    struct str id = STR_NONE, trace = STR_NONE;
    for (unsigned i = 0; i < h->n_fields; i++) {
        const struct head_field *f = &h->fields[i];
        if (f->token == TOKEN_X_REQUEST_ID && id.p == NULL)
            id = head_value(h, f);
        else if (f->token == TOKEN_TRACEPARENT)
            trace = trace.p == NULL ? head_value(h, f) : str_mk(head_value(h, f).p, 0);
    }
    bool new_id = id.p == NULL || !id_ok(id);
    bool new_trace = trace.p == NULL || !traceparent_ok(trace);
    char *number = new_id ? id_room : trace_room + 3; /* of both, when both begin here */
    if (new_id || new_trace) {
        hex_16(number, prng_next(prng) | 1);
        hex_16(number + 16, prng_next(prng));
    }
    if (new_id)
        id = str_mk(id_room, 32);
    if (new_trace) {
        memcpy(trace_room, "00-", 3);
        if (new_id)
            memcpy(trace_room + 3, id_room, 32);
        trace_room[35] = '-';
        hex_16(trace_room + 36, prng_next(prng) | 1);
        memcpy(trace_room + 52, "-00", 3);
        trace = str_mk(trace_room, TRACEPARENT_BYTES);
    }
    x->request_id = id;
    x->traceparent = trace;
}
