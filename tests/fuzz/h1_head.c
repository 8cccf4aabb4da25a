/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz h1_head: request and response heads. The first byte chooses which, and where the input is
 * cut in two: a head that arrives in two pieces must be judged like one that comes whole. What is
 * accepted must hold the promises of h1.h.
 */
#include "lib/chars.h"
#include "proxy/http/h1.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

struct outcome {
    enum h1 result;
    enum reason reason;
    size_t skipped;
};

static const struct head_limits limits = {.bytes = 8192, .fields = 40, .cookies = 10};

static struct outcome parse(bool request, struct h1_scan *scan, const char *p, size_t n,
                            struct head *h) {
    struct outcome o = {.reason = REASON_NONE};
    const char *detail = NULL;
    if (request)
        o.result = h1_parse_request(scan, p, n, &limits, h, &o.skipped, &o.reason, &detail);
    else
        o.result = h1_parse_response(scan, p, n, &limits, METHOD_GET, h, &o.reason, &detail);
    must(o.result != H1_BAD || (o.reason != REASON_NONE && detail != NULL));
    return o;
}

static void check_field(const struct head *h, const struct head_field *f) {
    must((size_t)f->name.at + f->name.n <= h->n && (size_t)f->value.at + f->value.n <= h->n);
    struct str name = head_name(h, f), value = head_value(h, f);
    must(name.n > 0 && chars_skip(name.p, name.p + name.n, CHAR_TOKEN) == name.p + name.n);
    must(chars_value(value.p, value.p + value.n) == value.p + value.n);
    must(value.n == 0 || (value.p[0] != ' ' && value.p[value.n - 1] != ' '));
}

static void check(bool request, const struct head *h, const char *p, size_t n) {
    must(h->base >= p && (size_t)(h->base - p) + h->n <= n && h->n <= limits.bytes);
    must(h->n_fields <= HEAD_FIELDS_MAX && h->minor <= 1);
    for (unsigned i = 0; i < h->n_fields; i++)
        check_field(h, &h->fields[i]);
    if (!request) {
        must(h->status >= 100 && h->status <= 599);
        return;
    }
    must(h->method != METHOD_CONNECT && h->framing != FRAMING_CLOSE);
    must(h->minor == 0 || h->host.n > 0);
    must(h->minor == 1 || h->framing != FRAMING_CHUNKED);
    struct str path = head_str(h, h->raw_path);
    must(path.n > 0 && (path.p[0] == '/' || str_eq(path, STR("*"))));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static struct head whole, cut;
    if (n < 2)
        return 0;
    bool request = (data[0] & 1) != 0;
    size_t at = ((size_t)data[0] >> 1) * (n - 1) / 128;
    const char *p = (const char *)data + 1;
    n--;
    struct h1_scan once = {0}, twice = {0};
    struct outcome a = parse(request, &once, p, n, &whole);
    struct outcome b = parse(request, &twice, p, at, &cut);
    if (b.result == H1_MORE)
        b = parse(request, &twice, p, n, &cut);
    else
        must(b.result != H1_DONE || a.result == H1_DONE);
    must(a.result == b.result);
    if (a.result != H1_DONE)
        return 0;
    must(a.skipped == b.skipped && whole.n == cut.n && whole.framing == cut.framing &&
         whole.content_length == cut.content_length && whole.n_fields == cut.n_fields);
    check(request, &whole, p, n);
    return 0;
}
