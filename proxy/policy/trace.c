/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/chars.h"
#include "proxy/policy/policy.h"

/* ---- begun or continued ---- */

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

/* Asked of the few that have a tracestate, so nobody remembers it. */
bool policy_trace_continues(const struct exchange *x) {
    unsigned n = 0;
    bool good = false;
    for (unsigned i = 0; i < x->request->n_fields; i++) {
        const struct head_field *f = &x->request->fields[i];
        if (f->token != TOKEN_TRACEPARENT)
            continue;
        good = traceparent_ok(head_value(x->request, f));
        n++;
    }
    return good && n == 1;
}

/* ---- with spans of our own ---- */

enum { TRACE_AT = 3, SPAN_AT = 36, FLAGS_AT = 53, SAMPLED = 1, RANDOM = 2 };

static uint64_t number_of(const char *digits, unsigned n) {
    uint64_t v = 0;
    for (unsigned i = 0; i < n; i++)
        v = v << 4 | char_hex(digits[i]);
    return v;
}

static bool follows(const struct exchange *x) {
    switch (x->snapshot->tracing.model->parent) {
    case MODEL_PARENT_FOLLOW:
        return true;
    case MODEL_PARENT_TRUSTED:
        return x->trusted;
    default:
        return false;
    }
}

static struct str state_of(const struct exchange *x) {
    const struct head_field *f = head_find(x->request, TOKEN_TRACESTATE);
    struct str all = f != NULL ? head_value(x->request, f) : STR_NONE;
    return all.n <= TRACESTATE_BYTES ? all : STR_NONE;
}

void policy_trace_span(char *trace_room, uint64_t span) {
    struct out o = out_fixed(trace_room + SPAN_AT, 16);
    out_hex(&o, span, 16);
}

void policy_trace_anew(struct exchange *x, struct prng *prng, char *trace_room) {
    struct out o = out_fixed(trace_room, TRACEPARENT_BYTES);
    out_lit(&o, "00-");
    out_hex(&o, prng_next(prng) | 1, 16);
    out_hex(&o, prng_next(prng), 16);
    out_lit(&o, "-0000000000000000-00");
    x->traceparent = out_done(&o);
}

void policy_trace_join(struct exchange *x, struct prng *prng, char *trace_room,
                       struct trace_context *c) {
    uint8_t flags = RANDOM;
    bool is_new = x->traceparent.p == trace_room, followed = !is_new && follows(x);
    *c = (struct trace_context){.span = prng_next(prng) | 1};
    if (!is_new) {
        c->state = state_of(x);
        memcpy(trace_room, x->traceparent.p, TRACEPARENT_BYTES);
        memcpy(trace_room, "00", 2); /* of the fields of later versions nothing goes on */
        c->parent = number_of(trace_room + SPAN_AT, 16);
        flags = (uint8_t)number_of(trace_room + FLAGS_AT, 2) & (SAMPLED | RANDOM);
    }
    uint64_t number = number_of(trace_room + TRACE_AT + 18, 14);
    c->sampled = followed ? (flags & SAMPLED) != 0 : number >= x->snapshot->tracing.threshold;
    flags = (uint8_t)((flags & RANDOM) | (c->sampled ? SAMPLED : 0));
    policy_trace_span(trace_room, c->span);
    trace_room[FLAGS_AT] = '0';
    trace_room[FLAGS_AT + 1] = (char)('0' + flags);
    x->traceparent = str_mk(trace_room, TRACEPARENT_BYTES);
}
