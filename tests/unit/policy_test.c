/* SPDX-License-Identifier: Apache-2.0
 *
 * Policies: what becomes of a request's head on its way to the backend, and which answers are our
 * own (S32-S34). Heads are parsed from text, and what is written is compared with text.
 */
#include "proxy/http/h1.h"
#include "proxy/policy/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h> /* needs those */

static struct head head;
static struct exchange x;
static struct model_gateway gateway;
static struct cidr trusted[] = {{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10}, 104}};
static struct snapshot snapshot;
static struct model_route route;
static struct model_match match;
static struct rule rule;
static struct share share;
static struct model_backend_ref ref;
static char room[16384];

static struct str text_of(const struct out *o) {
    assert_false(o->over);
    room[o->n] = 0;
    return out_done(o);
}
static struct out writer(void) { return out_fixed(room, sizeof(room) - 1); }

/* A request "METHOD target HTTP/1.1" to shop.test with those field lines. */
static void request(const char *line, const char *fields) {
    static char text[8192];
    struct h1_scan s = {0};
    const struct head_limits l = {8192, 100, 100};
    size_t skipped;
    enum reason reason;
    const char *detail;
    int n =
        snprintf(text, sizeof(text), "%s HTTP/1.1\r\nHost: Shop.test:8080\r\n%s\r\n", line, fields);
    assert_int_equal(h1_parse_request(&s, text, (size_t)n, &l, &head, &skipped, &reason, &detail),
                     H1_DONE);
    gateway = (struct model_gateway){0};
    snapshot = (struct snapshot){.gateway = &gateway, .trusted = trusted, .n_trusted = 1};
    route = (struct model_route){0};
    match = (struct model_match){.path_type = MODEL_PATH_PREFIX};
    ref = (struct model_backend_ref){0};
    share = (struct share){.model = &ref};
    rule = (struct rule){.model = &route, .has_filters = true};
    x = (struct exchange){.snapshot = &snapshot,
                          .request = &head,
                          .rule = &rule,
                          .match = &match,
                          .share = &share,
                          .host = STR("shop.test"),
                          .path = head_str(&head, head.raw_path),
                          .query = head_str(&head, head.query),
                          .has_query = head.has_query,
                          .method = head.method,
                          .port = 80,
                          .host_port = head.port,
                          .peer = STR("192.0.2.1"),
                          .request_id = STR("id"),
                          .traceparent = STR("trace")};
}

static const char *written(void) {
    struct out o = writer();
    policy_write_request(&x, &o);
    return text_of(&o).p;
}
static void has(const char *text, const char *part) {
    if (strstr(text, part) == NULL)
        fail_msg("\"%s\" is not in:\n%s", part, text);
}
static void has_not(const char *text, const char *part) {
    if (strcasestr(text, part) != NULL)
        fail_msg("\"%s\" is in:\n%s", part, text);
}

/* ---- paths ---- */

/* The table of Gateway API's HTTPPathModifier, ReplacePrefixMatch; prefixes are in the model's
 * form, without a slash at their end. */
static void prefixes_are_replaced(void **state) {
    (void)state;
    static const struct {
        const char *path, *prefix, *with, *result;
    } rows[] = {
        {"/foo/bar", "/foo", "/xyz", "/xyz/bar"},
        {"/foo/bar", "/foo", "/xyz/", "/xyz/bar"},
        {"/foo/", "/foo", "/xyz", "/xyz/"},
        {"/foo/", "/foo", "/xyz/", "/xyz/"},
        {"/foo", "/foo", "/xyz", "/xyz"},
        {"/foo", "/foo", "/xyz/", "/xyz/"},
        {"/foo/bar", "/foo", "", "/bar"},
        {"/foo/bar", "/foo", "/", "/bar"},
        {"/foo/", "/foo", "", "/"},
        {"/foo", "/foo", "", "/"},
        {"/foo/", "/foo", "/", "/"},
        {"/foo", "/foo", "/", "/"},
        {"/foo", "", "/xyz", "/xyz/foo"},
        {"/", "", "/xyz", "/xyz/"},
        {"/", "", "/", "/"},
        {"/foo//bar", "/foo", "/x", "/x//bar"},
    };
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        request("GET /", "");
        x.path = str_of(rows[i].path);
        match.path = str_of(rows[i].prefix);
        struct out o = writer();
        policy_write_path(&x, MODEL_PATH_REPLACE_PREFIX, str_of(rows[i].with), &o);
        assert_string_equal(text_of(&o).p, rows[i].result);
    }
    match.path_type = MODEL_PATH_EXACT;
    x.path = match.path = STR("/foo");
    struct out o = writer();
    policy_write_path(&x, MODEL_PATH_REPLACE_PREFIX, STR("/bar"), &o);
    assert_string_equal(text_of(&o).p, "/bar");
    o = writer();
    policy_write_path(&x, MODEL_PATH_REPLACE_FULL, STR("/all"), &o);
    assert_string_equal(text_of(&o).p, "/all");
}

static void a_rewrite_changes_host_and_path(void **state) {
    (void)state;
    request("GET /foo/bar?q", "");
    match.path = STR("/foo");
    struct model_rewrite r = {
        .hostname = STR("in.test"), .path_edit = MODEL_PATH_REPLACE_PREFIX, .path = STR("/v1")};
    struct model_filter f = {.type = MODEL_FILTER_REWRITE, .rewrite = &r};
    route.filters = &f, route.n_filters = 1;
    has(written(), "GET /v1/bar?q HTTP/1.1\r\nhost: in.test\r\n");
    has(room, "x-forwarded-host: Shop.test\r\n");
}

/* ---- redirects ---- */

static void redirects(void **state) {
    (void)state;
    static const struct {
        struct model_redirect r;
        uint16_t listener;
        const char *location;
        unsigned status;
    } rows[] = {
        {{.port = 0}, 80, "http://shop.test/a/b?q", 302},
        {{.port = 0}, 8080, "http://shop.test:8080/a/b?q", 302},
        {{.scheme = {"https", 5}, .status = 301}, 8080, "https://shop.test/a/b?q", 301},
        {{.scheme = {"http", 4}, .status = 308}, 8080, "http://shop.test/a/b?q", 308},
        {{.scheme = {"https", 5}, .port = 443}, 80, "https://shop.test/a/b?q", 302},
        {{.scheme = {"https", 5}, .port = 80}, 80, "https://shop.test:80/a/b?q", 302},
        {{.scheme = {"http", 4}, .port = 80}, 8080, "http://shop.test/a/b?q", 302},
        {{.port = 8443}, 80, "http://shop.test:8443/a/b?q", 302},
        {{.port = 80}, 8080, "http://shop.test/a/b?q", 302},
        {{.hostname = {"o.test", 6}}, 80, "http://o.test/a/b?q", 302},
        {{.path_edit = MODEL_PATH_REPLACE_FULL, .path = {"/n", 2}},
         80,
         "http://shop.test/n?q",
         302},
        {{.path_edit = MODEL_PATH_REPLACE_PREFIX, .path = {"/n", 2}},
         80,
         "http://shop.test/n/b?q",
         302},
    };
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        struct model_redirect r = rows[i].r;
        struct model_filter f = {.type = MODEL_FILTER_REDIRECT, .redirect = &r};
        struct answer a;
        request("GET /a/b?q", "");
        match.path = STR("/a");
        x.port = rows[i].listener;
        route.filters = &f, route.n_filters = 1;
        assert_true(policy_answers(&x, &a, room, sizeof(room)));
        assert_int_equal(a.status, rows[i].status);
        if (!str_eq(a.location, str_of(rows[i].location)))
            fail_msg("%.*s is not %s", STR_FMT(a.location), rows[i].location);
        assert_true(policy_answers(&x, &a, room, 8)); /* too small a room */
        assert_int_equal(a.reason, REASON_INTERNAL);
    }
}

/* ---- header filters ---- */

#define VALUE(n, v) ((struct model_header_value){STR(n), STR(v)})

/* The rule's first, then the share's, each on the result of the one before. */
static void header_filters_in_sequence(void **state) {
    (void)state;
    request("GET /", "X-A: 1\r\nx-a: 2\r\nX-B: 1\r\nX-C: 1\r\nX-D: 1\r\n");
    struct model_header_value set1[] = {VALUE("x-a", "set"), VALUE("x-e", "first")};
    struct model_header_value add1[] = {VALUE("x-b", "added"), VALUE("x-f", "gone")};
    struct model_header_value set2[] = {VALUE("x-e", "second")}, add2[] = {VALUE("x-e", "third")};
    struct str remove1[] = {STR("x-c")}, remove2[] = {STR("x-f")};
    struct model_header_edit one = {
        .set = set1, .n_set = 2, .add = add1, .n_add = 2, .remove = remove1, .n_remove = 1};
    struct model_header_edit two = {
        .set = set2, .n_set = 1, .add = add2, .n_add = 1, .remove = remove2, .n_remove = 1};
    struct model_filter f1 = {.type = MODEL_FILTER_REQUEST_HEADERS, .headers = &one};
    struct model_filter f2 = {.type = MODEL_FILTER_REQUEST_HEADERS, .headers = &two};
    route.filters = &f1, route.n_filters = 1;
    ref.filters = &f2, ref.n_filters = 1;
    const char *text = written();
    has(text, "\r\nX-B: 1\r\n");
    has(text, "\r\nX-D: 1\r\n");
    has(text, "\r\nx-a: set\r\n");
    has(text, "\r\nx-b: added\r\n");
    has(text, "\r\nx-e: second\r\nx-e: third\r\n");
    has_not(text, "x-a: 1");
    has_not(text, "x-a: 2");
    has_not(text, "x-c:");
    has_not(text, "x-f:");
    has_not(text, "first");
}

/* ---- who asks: S32, S33 ---- */

static void strangers_say_nothing_of_where_they_came_from(void **state) {
    (void)state;
    request("GET /",
            "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: https\r\nX-Real-IP: 1.1.1.1\r\n"
            "X-Forwarded-Host: a\r\nX-Forwarded-Port: 1\r\nForwarded: for=1.1.1.1\r\n"
            "X-Forwarded-Anything: 1\r\nX-Envoy-Internal: 1\r\nX-Original-URL: /admin\r\n"
            "True-Client-IP: 1.1.1.1\r\nX-Forwarded-Client-Cert: c\r\nClient-Cert: c\r\n"
            "X_Forwarded_For: 1.1.1.1\r\nConnection: x-forwarded-for, x-real-ip\r\n");
    const char *text = written();
    has_not(text, "1.1.1.1");
    has_not(text, "envoy");
    has_not(text, "admin");
    has_not(text, "cert");
    has_not(text, "anything");
    has_not(text, "connection");
    has(text, "\r\nx-forwarded-for: 192.0.2.1\r\n");
    has(text, "\r\nx-forwarded-proto: http\r\n");
    has(text, "\r\nx-forwarded-host: Shop.test\r\n");
    has(text, "\r\nx-forwarded-port: 80\r\n");
    has(text, "\r\nhost: Shop.test:8080\r\n");
}

static void trusted_peers_are_continued(void **state) {
    (void)state;
    request("GET /", "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 10.0.0.2\r\nForwarded: for=a\r\n"
                     "X-Forwarded-Proto: https\r\nX-Forwarded-Host: a\r\nX-Forwarded-Port: 1\r\n");
    x.trusted = true;
    const char *text = written();
    has(text, "\r\nx-forwarded-for: 1.1.1.1, 10.0.0.2, 192.0.2.1\r\n");
    has(text, "\r\nX-Forwarded-Proto: https\r\n");
    has(text, "\r\nX-Forwarded-Host: a\r\n");
    has(text, "\r\nX-Forwarded-Port: 1\r\n");
    has_not(text, "proto: http\r\n");
    has_not(text, "shop.test\r\n");
    has(text, "\r\nforwarded: for=a, for=192.0.2.1;host=\"Shop.test\";proto=http\r\n");
}

/* RFC 7239 4: several fields are one list, and ours is its last element. */
static void forwarded_is_continued_and_never_begun(void **state) {
    (void)state;
    request("GET /", "X-Forwarded-For: 1.1.1.1\r\n");
    x.trusted = true;
    has_not(written(), "forwarded: ");
    request("GET /", "Forwarded: for=1.1.1.1;proto=https\r\n"
                     "Forwarded: for=\"[2001:db8::1]:4711\" , for=_hidden\r\n");
    x.trusted = true;
    x.secure = true;
    x.peer = STR("2001:db8::7");
    const char *text = written();
    has(text, "\r\nforwarded: for=1.1.1.1;proto=https, for=\"[2001:db8::1]:4711\" , for=_hidden, "
              "for=\"[2001:db8::7]\";host=\"Shop.test\";proto=https\r\n");
    /* A quote that is not closed would make ours a part of it: all of it is left out. */
    request("GET /", "Forwarded: for=1.1.1.1\r\nForwarded: for=\"2.2.2.2\r\n");
    x.trusted = true;
    text = written();
    has(text, "\r\nforwarded: for=192.0.2.1;host=\"Shop.test\";proto=http\r\n");
    has_not(text, "1.1.1.1");
    has_not(text, "2.2.2.2");
}

static void the_client_is_who_trusted_peers_say(void **state) {
    (void)state;
    static const struct {
        const char *peer, *fields, *client;
    } rows[] = {
        {"192.0.2.9", "X-Forwarded-For: 1.1.1.1\r\n", "192.0.2.9"},
        {"10.0.0.1", "", "10.0.0.1"},
        {"10.0.0.1", "X-Forwarded-For: 1.1.1.1\r\n", "1.1.1.1"},
        {"10.0.0.1", "X-Forwarded-For: 2.2.2.2, 1.1.1.1\r\n", "1.1.1.1"},
        {"10.0.0.1", "X-Forwarded-For: 1.1.1.1, 10.0.0.3 ,10.0.0.2\r\n", "1.1.1.1"},
        {"10.0.0.1", "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 10.0.0.2\r\n", "1.1.1.1"},
        {"10.0.0.1", "X-Forwarded-For: 10.0.0.3, 10.0.0.2\r\n", "10.0.0.3"},
        {"10.0.0.1", "X-Forwarded-For: 1.1.1.1, nonsense, 10.0.0.2\r\n", "10.0.0.2"},
        {"10.0.0.1", "X-Forwarded-For: 1.1.1.1,\r\n", "10.0.0.1"},
        {"10.0.0.1", "X-Forwarded-For: 1.1.1.1:80\r\n", "10.0.0.1"},
        {"10.0.0.1", "X-Forwarded-For:\r\n", "10.0.0.1"},
        /* Forwarded, where X-Forwarded-For says nothing */
        {"192.0.2.9", "Forwarded: for=1.1.1.1\r\n", "192.0.2.9"},
        {"10.0.0.1", "Forwarded: for=1.1.1.1\r\n", "1.1.1.1"},
        {"10.0.0.1", "Forwarded: for=1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\n", "2.2.2.2"},
        {"10.0.0.1", "Forwarded: FOR=\"1.1.1.1:4711\";Proto=http;by=10.0.0.9\r\n", "1.1.1.1"},
        {"10.0.0.1", "Forwarded: for=2.2.2.2, for=1.1.1.1; proto=http ,for=10.0.0.2\r\n",
         "1.1.1.1"},
        {"10.0.0.1", "Forwarded: for=1.1.1.1\r\nForwarded: for=10.0.0.2\r\n", "1.1.1.1"},
        {"10.0.0.1", "Forwarded: for=\"[::ffff:1.1.1.1]:80\"\r\n", "1.1.1.1"},
        {"10.0.0.1", "Forwarded: for=1.1.1.1, for=_hidden, for=10.0.0.2\r\n", "10.0.0.2"},
        {"10.0.0.1", "Forwarded: for=1.1.1.1, for=unknown\r\n", "10.0.0.1"},
        {"10.0.0.1", "Forwarded: for=1.1.1.1, proto=https\r\n", "10.0.0.1"},
        {"10.0.0.1", "Forwarded: for=1.1.1.1, for=\"10.0.0.2\r\n", "10.0.0.1"},
        {"10.0.0.1", "Forwarded: for=1.1.1.1;for=2.2.2.2\r\n", "10.0.0.1"},
        {"10.0.0.1", "Forwarded: for=1.1.1.1:80\r\n", "10.0.0.1"},
        {"10.0.0.1", "Forwarded: for=\"1.1.1\\.1\"\r\n", "10.0.0.1"},
        {"10.0.0.1", "Forwarded: for=\"[1.1.1.1]\"\r\n", "10.0.0.1"},
        {"10.0.0.1", "Forwarded: for=\"1.1.1.1 \"\r\n", "10.0.0.1"},
        {"10.0.0.1", "Forwarded: for =1.1.1.1\r\n", "10.0.0.1"},
        {"10.0.0.1", "Forwarded: for\r\n", "10.0.0.1"},
        {"10.0.0.1", "Forwarded: secret=\"a,for=2.2.2.2;\", for=1.1.1.1\r\n", "1.1.1.1"},
        {"10.0.0.1", "Forwarded:\r\n", "10.0.0.1"},
    };
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        uint8_t peer[16] = {[10] = 0xff, [11] = 0xff}, client[16];
        unsigned b[4];
        char got[32];
        request("GET /", rows[i].fields);
        assert_int_equal(sscanf(rows[i].peer, "%u.%u.%u.%u", b, b + 1, b + 2, b + 3), 4);
        for (int k = 0; k < 4; k++)
            peer[12 + k] = (uint8_t)b[k];
        policy_client(&x, peer, client);
        snprintf(got, sizeof(got), "%u.%u.%u.%u", client[12], client[13], client[14], client[15]);
        if (strcmp(got, rows[i].client) != 0)
            fail_msg("%s: %s is not %s", rows[i].fields, got, rows[i].client);
    }
}

static void identity_headers_are_stripped(void **state) {
    (void)state;
    request("GET /", "X-User: root\r\nX-Consumer-Name: a\r\nx-consumer-id: b\r\nX-Users: ok\r\n");
    struct str patterns[] = {STR("x-user"), STR("x-consumer-*")};
    gateway.identity_headers = patterns, gateway.n_identity_headers = 2;
    x.trusted = true; /* whoever says it */
    const char *text = written();
    has_not(text, "root");
    has_not(text, "consumer");
    has(text, "X-Users: ok\r\n");
}

/* ---- ids ---- */

static void ids_are_continued_or_begun(void **state) {
    (void)state;
#define TRACE "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    static const struct {
        const char *fields;
        bool id, trace; /* continued */
    } rows[] = {
        {"X-Request-Id: a-b_c.d:e/f+g=\r\nTraceparent: " TRACE "\r\n", true, true},
        {"X-Request-Id: a b\r\nTraceparent: 00-"
         "00000000000000000000000000000000-b7ad6b7169203331-01\r\n",
         false, false},
        {"X-Request-Id:\r\nTraceparent: ff"
         "-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n",
         false, false},
        {"X-Request-Id: a\"b\r\nTraceparent: " TRACE "-x\r\n", false, false},
        {"Traceparent: " TRACE "\r\nTraceparent: " TRACE "\r\n", false, false},
        {"Traceparent: 01"
         "-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more\r\n",
         false, true},
        {"Traceparent: 00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01\r\n", false, false},
        {"", false, false},
    };
    struct prng prng;
    prng_init(&prng);
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        char id[REQUEST_ID_MAX], trace[TRACEPARENT_BYTES];
        request("GET /", rows[i].fields);
        policy_trace(&x, &prng, id, trace);
        if ((x.request_id.p != id) != rows[i].id || (x.traceparent.p != trace) != rows[i].trace)
            fail_msg("%s: %.*s %.*s", rows[i].fields, STR_FMT(x.request_id),
                     STR_FMT(x.traceparent));
        if (rows[i].trace)
            continue;
        char fields[256], other[TRACEPARENT_BYTES]; /* the next one continues what was begun */
        snprintf(fields, sizeof(fields), "Traceparent: %.*s\r\nX-Request-Id: %.*s\r\n",
                 STR_FMT(x.traceparent), STR_FMT(x.request_id));
        request("GET /", fields);
        policy_trace(&x, &prng, id, other);
        assert_true(x.traceparent.p != other && x.request_id.p != id);
    }
}

/* The caller decides where it is followed; else the last 56 bits of the trace id. */
static void samples_are_agreed_on(void **state) {
    (void)state;
    enum { NONE, FIRST_QUARTER, ALL };
    static const uint64_t thresholds[] = {TRACE_NUMBERS, 3 * (TRACE_NUMBERS / 4), 0};
#define LOW  "0af7651916cd43dd80bfffffffffffff"
#define HIGH "0af7651916cd43dd80c0000000000000"
#define SPAN "-b7ad6b7169203331-"
    static const struct {
        const char *id, *flags; /* NULL: no parent */
        enum model_trace_parent parent;
        bool trusted;
        unsigned share;
        bool sampled;
        const char *out; /* flags */
    } rows[] = {
        {LOW, "01", MODEL_PARENT_FOLLOW, false, NONE, true, "01"},
        {HIGH, "00", MODEL_PARENT_FOLLOW, false, ALL, false, "00"},
        {HIGH, "fe", MODEL_PARENT_FOLLOW, false, ALL, false, "02"}, /* bits that nobody knows go */
        {LOW, "03", MODEL_PARENT_FOLLOW, false, NONE, true, "03"},
        {LOW, "01", MODEL_PARENT_TRUSTED, false, FIRST_QUARTER, false, "00"},
        {HIGH, "00", MODEL_PARENT_TRUSTED, false, FIRST_QUARTER, true, "01"},
        {LOW, "01", MODEL_PARENT_TRUSTED, true, FIRST_QUARTER, true, "01"},
        {HIGH, "00", MODEL_PARENT_TRUSTED, true, FIRST_QUARTER, false, "00"},
        {LOW, "01", MODEL_PARENT_IGNORE, true, FIRST_QUARTER, false, "00"},
        {HIGH, "00", MODEL_PARENT_IGNORE, true, FIRST_QUARTER, true, "01"},
        {NULL, NULL, MODEL_PARENT_FOLLOW, false, ALL, true, "03"},
        {NULL, NULL, MODEL_PARENT_FOLLOW, false, NONE, false, "02"},
    };
    struct prng prng;
    prng_init(&prng);
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        char id[REQUEST_ID_MAX], trace[TRACEPARENT_BYTES], fields[256] = "";
        struct model_tracing tracing = {.parent = rows[i].parent};
        struct trace_context c;
        if (rows[i].id)
            snprintf(fields, sizeof(fields), "Traceparent: 00-%s" SPAN "%s\r\nTracestate: a=b\r\n",
                     rows[i].id, rows[i].flags);
        request("GET /", fields);
        snapshot.tracing = (struct trace_law){&tracing, 0, thresholds[rows[i].share]};
        x.trusted = rows[i].trusted;
        policy_trace(&x, &prng, id, trace);
        policy_trace_join(&x, &prng, trace, &c);
        if (c.sampled != rows[i].sampled || memcmp(trace + 53, rows[i].out, 2) != 0)
            fail_msg("row %u: %d %.55s", i, c.sampled, trace);
        assert_int_equal(c.parent, rows[i].id ? UINT64_C(0xb7ad6b7169203331) : 0);
        assert_true(x.traceparent.p == trace && c.span != 0 && c.span != c.parent);
        assert_int_equal(c.state.n, rows[i].id ? 3 : 0);
        char text[17];
        snprintf(text, sizeof(text), "%016llx", (unsigned long long)c.span);
        assert_memory_equal(trace + 36, text, 16);
        if (rows[i].id)
            assert_memory_equal(trace + 3, rows[i].id, 32);
    }
}

static void a_state_stays_with_its_trace(void **state) {
    (void)state;
    struct prng prng;
    char id[REQUEST_ID_MAX], trace[TRACEPARENT_BYTES];
    prng_init(&prng);
    request("GET /", "Traceparent: " TRACE "\r\nTracestate: a=b\r\n");
    policy_trace(&x, &prng, id, trace);
    has(written(), "Tracestate: a=b\r\n");
    request("GET /", "Traceparent: nonsense\r\nTracestate: a=b\r\n");
    policy_trace(&x, &prng, id, trace);
    has_not(written(), "tracestate");
}

/* ---- CORS ---- */

static const char *answered(bool *own) {
    struct answer a = {0};
    char made[512];
    *own = policy_answers(&x, &a, made, sizeof(made));
    struct out o = writer();
    if (*own)
        policy_write_answer(&x, &a, STR("now"), false, &o);
    else
        policy_write_cors(&x, &o);
    return o.n > 0 ? text_of(&o).p : "";
}

static void cors(void **state) {
    (void)state;
    struct str origins[] = {STR("https://a.test"), STR("https://*.b.test")};
    struct str methods[] = {STR("GET"), STR("PUT")}, star[] = {STR("*")};
    struct model_cors c = {.allow_origins = origins,
                           .n_allow_origins = 2,
                           .allow_methods = methods,
                           .n_allow_methods = 2,
                           .allow_headers = star,
                           .n_allow_headers = 1};
    struct model_filter f = {.type = MODEL_FILTER_CORS, .cors = &c};
    const char *ask = "Access-Control-Request-Method: PUT\r\n"
                      "Access-Control-Request-Headers: x-a, x-b\r\n";
    bool own;
    request("OPTIONS /", ask);
    route.filters = &f, route.n_filters = 1;
    x.origin = STR("https://x.b.test");
    const char *text = answered(&own);
    assert_true(own);
    has(text, "HTTP/1.1 204 ");
    has(text, "\r\naccess-control-allow-origin: https://x.b.test\r\nvary: origin\r\n");
    has(text, "\r\naccess-control-allow-methods: GET, PUT\r\n");
    has(text, "\r\naccess-control-allow-headers: *\r\n");
    has(text, "\r\naccess-control-max-age: 5\r\n");
    has_not(text, "credentials");
    has_not(text, "content-length");
    c.allow_credentials = true;
    text = answered(&own);
    has(text, "\r\naccess-control-allow-credentials: true\r\n");
    has(text, "\r\naccess-control-allow-headers: x-a, x-b\r\n");
    static const char *const others[] = {
        "https://b.test", "https://.b.test", "http://x.b.test", "https://a.test.evil",
        "null",           "https://xb.test"};
    for (unsigned i = 0; i < ARRAY_LEN(others); i++) {
        x.origin = str_of(others[i]);
        text = answered(&own);
        assert_true(own);
        has_not(text, "access-control");
    }
    request("GET /", "");
    route.filters = &f, route.n_filters = 1;
    x.origin = STR("https://a.test");
    text = answered(&own);
    assert_false(own);
    has(text, "access-control-allow-origin: https://a.test\r\n");
    c.allow_origins = star, c.n_allow_origins = 1, c.allow_credentials = false;
    has(answered(&own), "access-control-allow-origin: *\r\n");
    has_not(room, "vary");
    c.allow_credentials = true; /* a star means nothing to a browser then */
    has(answered(&own), "access-control-allow-origin: https://a.test\r\n");
    request("OPTIONS /", ""); /* no preflight: asked as any other */
    route.filters = &f, route.n_filters = 1;
    x.origin = STR("https://a.test");
    (void)answered(&own);
    assert_false(own);
}

/* ---- refusals ---- */

static void refusals_say_why(void **state) {
    (void)state;
    for (enum reason r = REASON_NONE + 1; r < REASONS; r++) {
        struct answer a;
        char expected[600];
        request("GET /", "");
        policy_refusal(&a, r, 0);
        assert_int_equal(a.status, reasons[r].status);
        snprintf(expected, sizeof(expected), "%s: %s\n", reasons[r].name, reasons[r].text);
        assert_true(str_eq(policy_answer_body(&x, &a), str_of(expected)));
        gateway.reason_header = MODEL_REASON_5XX;
        struct out o = writer();
        policy_write_answer(&x, &a, STR("now"), true, &o);
        const char *text = text_of(&o).p;
        assert_int_equal(strstr(text, "sluice-reason: ") != NULL, a.status >= 500);
        assert_int_equal(strstr(text, "retry-after: 1\r\n") != NULL, a.status == 503);
        has(text, "\r\nconnection: close\r\n");
        has(text, "\r\nx-request-id: id\r\n");
        gateway.reason_header = MODEL_REASON_NEVER;
        o = writer();
        policy_write_answer(&x, &a, STR("now"), false, &o);
        has_not(text_of(&o).p, "sluice-reason");
        has_not(room, "connection: close");
        x.method = METHOD_HEAD;
        assert_int_equal(policy_answer_body(&x, &a).n, 0);
    }
}

/* ---- gRPC-Web ---- */

static void ask(const char *fields, struct grpc_web *web, struct backend *b) {
    request("POST /a.B/C", fields);
    *web = (struct grpc_web){0};
    *b = (struct backend){.protocol = MODEL_H2C};
    x.backend = b;
    x.web = policy_grpc_web(&head, web) ? web : NULL;
}

static void a_call_of_grpc_web_becomes_one_of_grpc(void **state) {
    (void)state;
    struct grpc_web web;
    struct backend b;
    ask("Content-Type: application/grpc-web+proto\r\nContent-Length: 5\r\nX-Grpc-Web: 1\r\n", &web,
        &b);
    assert_int_equal(web.answers, GRPC_WEB_BINARY);
    const char *text = written();
    has(text, "\r\ncontent-type: application/grpc+proto\r\n");
    has(text, "\r\nte: trailers\r\n");
    has(text, "\r\ncontent-length: 5\r\n"); /* the bytes are the same */
    has_not(text, "application/grpc-web");
    ask("Content-Type: application/grpc-web-text\r\nContent-Length: 8\r\n", &web, &b);
    assert_int_equal(web.answers, GRPC_WEB_TEXT);
    text = written();
    has(text, "\r\ncontent-type: application/grpc\r\n");
    has_not(text, "content-length");
    ask("Content-Type: application/grpc-web-text\r\nContent-Type: text/plain\r\n", &web, &b);
    has_not(written(), "text/plain");
    /* a filter of the rule has the last word */
    struct model_header_value v[] = {
        {.name = STR("content-type"), .value = STR("application/grpc+x")}};
    struct model_header_edit e = {.set = v, .n_set = 1};
    struct model_filter f = {.type = MODEL_FILTER_REQUEST_HEADERS, .headers = &e};
    ask("Content-Type: application/grpc-web-text\r\n", &web, &b);
    route.filters = &f;
    route.n_filters = 1;
    text = written();
    has(text, "\r\ncontent-type: application/grpc+x\r\n");
    has_not(text, "application/grpc\r\n");
    /* others are not touched */
    ask("Content-Type: application/grpc+proto\r\nContent-Length: 5\r\n", &web, &b);
    assert_null(x.web);
    has(written(), "Content-Type: application/grpc+proto\r\n");
}

static void accept_says_how_it_is_answered(void **state) {
    (void)state;
    static const struct {
        const char *accept;
        enum grpc_web_form form;
    } rows[] = {
        {"*/*", GRPC_WEB_BINARY},
        {"application/json", GRPC_WEB_BINARY},
        {"*/*;q=0.1, application/grpc-web-text;q=1", GRPC_WEB_TEXT},
        {"application/grpc-web-text+proto", GRPC_WEB_TEXT},
        {"application/grpc-web+proto,application/grpc-web-text", GRPC_WEB_BINARY},
    };
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        char fields[256];
        struct grpc_web web;
        struct backend b;
        snprintf(fields, sizeof(fields), "Content-Type: application/grpc-web\r\nAccept: %s\r\n",
                 rows[i].accept);
        ask(fields, &web, &b);
        assert_int_equal(web.answers, rows[i].form);
    }
}

/* What the client gets of that answer's head. */
static const char *head_for_web(struct grpc_web *web, const char *fields, uint8_t framing) {
    static char text[1024];
    static struct head h;
    struct h1_scan s = {0};
    const struct head_limits l = {8192, 100, 100};
    enum reason reason;
    const char *detail;
    int n = snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\n%s\r\n", fields);
    assert_int_equal(h1_parse_response(&s, text, (size_t)n, &l, METHOD_POST, &h, &reason, &detail),
                     H1_DONE);
    policy_grpc_web_answer(web, &h);
    struct out o = writer();
    policy_write_response(&x, &h, framing, STR("now"), false, &o);
    return text_of(&o).p;
}

static void the_type_of_an_answer_is_mirrored(void **state) {
    (void)state;
    struct grpc_web web;
    struct backend b;
    ask("Content-Type: application/grpc-web-text+proto\r\n", &web, &b);
    const char *text = head_for_web(&web, "content-type: application/grpc\r\ncontent-length: 7\r\n",
                                    FRAMING_CHUNKED);
    has(text, "\r\ncontent-type: application/grpc-web-text+proto\r\n");
    has(text, "\r\ntransfer-encoding: chunked\r\n");
    has_not(text, "content-length");
    has_not(text, "application/grpc\r\n");
    ask("Content-Type: application/grpc-web+proto\r\n", &web, &b);
    text = head_for_web(&web, "content-type: application/grpc+json\r\n", FRAMING_CHUNKED);
    has(text, "\r\ncontent-type: application/grpc-web+json\r\n");
    ask("Content-Type: application/grpc-web+proto\r\n", &web, &b);
    text = head_for_web(&web, "content-type: text/html\r\ncontent-length: 7\r\n", FRAMING_LENGTH);
    assert_int_equal(web.answers, GRPC_WEB_NONE);
    has(text, "\r\ncontent-type: text/html\r\n");
    has(text, "\r\ncontent-length: 7\r\n");
}

static void trailers_of(struct str lines, bool told, const char *expected) {
    struct out o = writer();
    policy_write_web_trailers(&x, lines, told, &o);
    assert_string_equal(text_of(&o).p, expected);
}

static void trailers_end_an_answer(void **state) {
    (void)state;
    struct grpc_web web;
    struct backend b;
    ask("Content-Type: application/grpc-web\r\n", &web, &b);
    trailers_of(STR("grpc-status: 0\r\nx-a: b\r\nset-cookie: c\r\n"), false,
                "grpc-status: 0\r\nx-a: b\r\n");
    trailers_of(STR("x-grpc-status: 0\r\n"), false,
                "x-grpc-status: 0\r\ngrpc-status: 2\r\n"
                "grpc-message: the backend has not said a grpc-status\r\n");
    trailers_of(STR_NONE, true, "");
}

static void a_caller_of_grpc_web_is_refused_as_such(void **state) {
    (void)state;
    struct grpc_web web;
    struct backend b;
    struct answer a;
    ask("Content-Type: application/grpc-web-text+proto; x=1\r\n", &web, &b);
    struct str type = policy_grpc_type(&head, false);
    policy_refusal(&a, REASON_NO_ENDPOINT, 0);
    policy_grpc_answer(&a, type);
    struct out o = writer();
    policy_write_answer(&x, &a, STR("now"), false, &o);
    const char *text = text_of(&o).p;
    has(text, "HTTP/1.1 200 OK\r\n");
    has(text, "\r\ncontent-type: application/grpc-web-text+proto\r\n");
    has(text, "\r\ngrpc-status: 14\r\ngrpc-message: no_endpoint: ");
    has(text, "\r\ncontent-length: 0\r\n");
    request("POST /", "Content-Type: application/grpc\r\n");
    assert_int_equal(policy_grpc_type(&head, false).n, 0);
    assert_true(str_eq(policy_grpc_type(&head, true), STR("application/grpc")));
}

/* A page is told why: it would see no answer without these fields. */
static void refusals_are_shown_to_allowed_origins(void **state) {
    (void)state;
    struct str origins[] = {STR("https://a.test")};
    struct model_cors c = {.allow_origins = origins, .n_allow_origins = 1};
    struct model_filter f = {.type = MODEL_FILTER_CORS, .cors = &c};
    for (int allowed = 0; allowed < 2; allowed++) {
        struct answer a;
        request("GET /", "");
        route.filters = &f;
        route.n_filters = 1;
        x.origin = allowed ? STR("https://a.test") : STR("https://b.test");
        policy_refusal(&a, REASON_NO_ENDPOINT, 0);
        struct out o = writer();
        policy_write_answer(&x, &a, STR("now"), false, &o);
        const char *text = text_of(&o).p;
        assert_int_equal(strstr(text, "access-control-allow-origin: https://a.test\r\n") != NULL,
                         allowed);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prefixes_are_replaced),
        cmocka_unit_test(a_rewrite_changes_host_and_path),
        cmocka_unit_test(redirects),
        cmocka_unit_test(header_filters_in_sequence),
        cmocka_unit_test(strangers_say_nothing_of_where_they_came_from),
        cmocka_unit_test(trusted_peers_are_continued),
        cmocka_unit_test(forwarded_is_continued_and_never_begun),
        cmocka_unit_test(the_client_is_who_trusted_peers_say),
        cmocka_unit_test(identity_headers_are_stripped),
        cmocka_unit_test(ids_are_continued_or_begun),
        cmocka_unit_test(samples_are_agreed_on),
        cmocka_unit_test(a_state_stays_with_its_trace),
        cmocka_unit_test(cors),
        cmocka_unit_test(refusals_say_why),
        cmocka_unit_test(a_call_of_grpc_web_becomes_one_of_grpc),
        cmocka_unit_test(accept_says_how_it_is_answered),
        cmocka_unit_test(the_type_of_an_answer_is_mirrored),
        cmocka_unit_test(trailers_end_an_answer),
        cmocka_unit_test(a_caller_of_grpc_web_is_refused_as_such),
        cmocka_unit_test(refusals_are_shown_to_allowed_origins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
