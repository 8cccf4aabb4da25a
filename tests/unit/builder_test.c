/* SPDX-License-Identifier: Apache-2.0
 *
 * Transactions: what they make, what they share, what they refuse, and that nothing is left.
 */
#include "tests/unit/route_world.h"

#include "proxy/route/build.h"

static const struct rule *rule_at(struct world *w, const char *host, const char *path) {
    static struct ask q;
    struct match_result r = {0};
    ask_init(&q, "GET", NULL);
    return ask_route(w, &q, host, path, &r) ? r.rule : NULL;
}

static const struct backend *backend_at(struct world *w, const char *host, const char *path) {
    const struct rule *r = rule_at(w, host, path);
    assert_non_null(r);
    assert_int_equal(r->n_shares, 1);
    return snapshot_backend(w->s, r->shares[0].backend);
}

static void shop(struct world *w) {
    world_init(w);
    put_host(w, "h");
    put_backend(w, "app", "10.0.0.1:80", "10.0.0.2:80", NULL);
    put_route(w, "r", "h", PREFIX("/"), "app");
    world_commit(w);
}

static void defaults(void **state) {
    (void)state;
    struct world w;
    shop(&w);
    const struct rule *r = rule_at(&w, "h", "/");
    const struct backend *b = backend_at(&w, "h", "/");
    assert_int_equal(r->request_ms, UINT32_MAX);
    assert_int_equal(r->backend_request_ms, UINT32_MAX);
    assert_int_equal(r->retry.attempts, 0);
    assert_int_equal(r->retry.budget_percent, 20);
    assert_true(r->body_limit == UINT64_MAX);
    assert_int_equal(r->refusal, REASON_NONE);
    assert_int_equal(b->connect_ms, 5000);
    assert_int_equal(b->idle_ms, 60000);
    assert_int_equal(b->keepalive_idle_ms, 4000);
    assert_int_equal(b->max_pending, 1024);
    assert_int_equal(b->max_connections, UINT32_MAX);
    assert_int_equal(b->passive.consecutive_errors, 0);
    assert_int_equal(b->passive.ejection_ms, 10000);
    assert_true(str_eq(b->name, STR("ns/app:80")));
    assert_int_equal(w.s->limits.head.bytes, 32768);
    assert_int_equal(w.s->limits.head.fields, 100);
    assert_int_equal(w.s->limits.header_timeout_ms, 10000);
    assert_int_equal(w.s->limits.idle_timeout_ms, 75000);
    assert_non_null(w.s->gateway);
    world_fini(&w);
}

static void put_traffic(struct world *w, const char *name, uint64_t request_ms, uint64_t connect_ms,
                        uint64_t attempts) {
    struct model_timeouts t = {.request_ms = request_ms, .connect_ms = connect_ms};
    struct model_retry r = {.attempts = attempts, .codes = str_mk("\x01\xf6\x01\xf7", 4)};
    struct model_traffic m = {.timeouts = &t, .retry = attempts ? &r : NULL};
    world_put(w, MODEL_KIND_traffic, world_id(w, MODEL_KIND_traffic, name, ""), &m);
}

/* The rule's own, else its policy's, else its backend's Service's; a changed policy reaches both.
 */
static void policies_are_joined(void **state) {
    (void)state;
    struct world w;
    world_init(&w);
    put_host(&w, "h");
    struct model_backend b = {.namespace = STR("ns"),
                              .service = STR("app"),
                              .port = 80,
                              .traffic = STR("traffic/ns/service")};
    world_put(&w, MODEL_KIND_backend, backend_id(&w, "app"), &b);
    put_route(&w, "plain", "h", PREFIX("/plain"), "app");
    put_route_as(&w, (struct model_route){.traffic = STR("traffic/ns/rule")}, "policy", "h",
                 PREFIX("/policy"), "app");
    struct model_timeouts own = {.request_ms = 3};
    put_route_as(&w, (struct model_route){.traffic = STR("traffic/ns/rule"), .timeouts = &own},
                 "own", "h", PREFIX("/own"), "app");
    world_commit(&w); /* neither policy is there yet */
    assert_int_equal(rule_at(&w, "h", "/policy")->request_ms, UINT32_MAX);
    put_traffic(&w, "service", 1000, 77, 2);
    put_traffic(&w, "rule", 200, 0, 0);
    world_commit(&w);
    assert_int_equal(rule_at(&w, "h", "/plain")->request_ms, 1000);
    assert_int_equal(rule_at(&w, "h", "/policy")->request_ms, 200);
    assert_int_equal(rule_at(&w, "h", "/own")->request_ms, 3);
    assert_int_equal(rule_at(&w, "h", "/own")->retry.attempts, 2);
    assert_int_equal(rule_at(&w, "h", "/own")->retry.n_codes, 2);
    assert_int_equal(rule_at(&w, "h", "/own")->retry.codes[1], 503);
    assert_int_equal(backend_at(&w, "h", "/own")->connect_ms, 77);
    assert_int_equal(rule_at(&w, "h", "/own")->connect_ms, 0);
    put_traffic(&w, "service", 1001, 78, 1);
    world_commit(&w);
    assert_int_equal(rule_at(&w, "h", "/plain")->request_ms, 1001);
    assert_int_equal(rule_at(&w, "h", "/plain")->retry.attempts, 1);
    assert_int_equal(backend_at(&w, "h", "/own")->connect_ms, 78);
    builder_del(w.b, STR("traffic/ns/service"));
    world_commit(&w);
    assert_int_equal(backend_at(&w, "h", "/own")->connect_ms, 5000);
    assert_int_equal(rule_at(&w, "h", "/plain")->request_ms, UINT32_MAX);
    world_fini(&w);
}

static void put_limits(struct world *w, const char *a, uint64_t requests, const char *b) {
    struct model_rate_limit l[2] = {
        {.name = str_of(a), .requests = requests, .per_ms = 60000, .fleet = true},
        {.name = str_of(b ? b : ""), .requests = 5, .per_ms = 1500, .burst = 9, .dry_run = true}};
    struct model_traffic m = {.rate_limits = l, .n_rate_limits = b ? 2 : 1};
    world_put(w, MODEL_KIND_traffic, world_id(w, MODEL_KIND_traffic, "rule", ""), &m);
}

/* A limit keeps its number and its identity as long as its policy has one of that name. */
static void limits_keep_their_numbers(void **state) {
    (void)state;
    struct world w;
    shop(&w);
    put_route_as(&w, (struct model_route){.traffic = STR("traffic/ns/rule")}, "limited", "h",
                 PREFIX("/limited"), "app");
    put_limits(&w, "first", 100, "second");
    world_commit(&w);
    assert_false(rule_at(&w, "h", "/")->limited);
    const struct rule *r = rule_at(&w, "h", "/limited");
    assert_true(r->limited && r->n_limits == 2);
    const struct limit_law *l = r->limits;
    assert_true(str_eq(l[0].policy, STR("ns/rule")) && l[0].fleet && !l[0].dry_run);
    assert_true(str_eq(l[0].item, STR("\"first\";q=100;w=60")));
    assert_true(str_eq(l[0].alone, STR("ratelimit-policy: \"first\";q=100;w=60\r\n"
                                       "ratelimit: \"first\"")));
    assert_true(str_eq(l[1].item, STR("\"second\";q=5"))); /* a second and a half */
    assert_int_equal(l[0].rate.burst, 100);
    assert_int_equal(l[1].rate.burst, 9);
    uint32_t slot = l[1].slot;
    uint64_t identity = l[1].identity;
    assert_int_not_equal(l[0].slot, slot);
    put_limits(&w, "other", 7, "second");
    world_commit(&w);
    l = rule_at(&w, "h", "/limited")->limits;
    assert_int_equal(l[1].slot, slot);
    assert_true(l[1].identity == identity && l[0].identity != identity);
    assert_true(snapshot_limit(w.s, slot) == &l[1] && slot < w.s->limit_slots);
    put_limits(&w, "other", 7, NULL);
    world_commit(&w);
    assert_int_equal(rule_at(&w, "h", "/limited")->n_limits, 1);
    assert_null(snapshot_limit(w.s, slot));
    builder_del(w.b, STR("traffic/ns/rule"));
    world_commit(&w);
    assert_false(rule_at(&w, "h", "/limited")->limited);
    world_fini(&w);
}

static void children_come_later(void **state) {
    (void)state;
    struct world w;
    world_init(&w);
    put_route(&w, "r", "h", PREFIX("/"), "app");
    put_route_as(&w, (struct model_route){.source = MODEL_SOURCE_INGRESS}, "i", "h", PREFIX("/i"),
                 "app");
    world_commit(&w);
    assert_null(rule_at(&w, "h", "/"));
    put_host(&w, "h");
    world_commit(&w);
    assert_int_equal(rule_at(&w, "h", "/")->shares[0].backend, UINT32_MAX);
    assert_int_equal(rule_at(&w, "h", "/")->shares[0].status, 500);
    assert_int_equal(rule_at(&w, "h", "/i")->shares[0].status, 503);
    put_backend(&w, "app", NULL);
    world_commit(&w);
    assert_int_equal(backend_at(&w, "h", "/")->n_endpoints, 0);
    put_backend(&w, "app", "10.0.0.1:80", NULL);
    world_commit(&w);
    assert_int_equal(backend_at(&w, "h", "/")->n_usable, 1);
    builder_del(w.b, backend_id(&w, "app"));
    world_commit(&w);
    assert_int_equal(rule_at(&w, "h", "/")->shares[0].backend, UINT32_MAX);
    builder_del(w.b, host_id(&w, "h"));
    world_commit(&w);
    assert_null(rule_at(&w, "h", "/"));
    world_fini(&w);
}

static void endpoints_in_order(void **state) {
    (void)state;
    struct world w;
    shop(&w);
    put_backend(&w, "app", "10.0.0.1:80-", "10.0.0.2:80~", "10.0.0.3:80", "10.0.0.4:80", NULL);
    world_commit(&w);
    const struct backend *b = backend_at(&w, "h", "/");
    assert_int_equal(b->n_endpoints, 4);
    assert_int_equal(b->n_ready, 2);
    assert_int_equal(b->n_usable, 2);
    const uint8_t last[] = {3, 4, 2, 1};
    for (int i = 0; i < 4; i++)
        assert_int_equal(b->endpoints[i].address[3], last[i]);
    put_backend(&w, "app", "10.0.0.1:80-", "10.0.0.2:80~", NULL); /* KEP-1669 */
    world_commit(&w);
    b = backend_at(&w, "h", "/");
    assert_int_equal(b->n_usable, 1);
    assert_int_equal(b->endpoints[0].address[3], 2);
    assert_int_equal(b->endpoints[0].state, ENDPOINT_SERVING);
    put_backend(&w, "app", "10.0.0.1:80-", NULL);
    world_commit(&w);
    assert_int_equal(backend_at(&w, "h", "/")->n_usable, 0);
    world_fini(&w);
}

/* S37: an address that somebody has written down leads to public places, and where it is allowed.
 */
static void guarded_addresses(void **state) {
    (void)state;
    struct str allowed[] = {STR("10.1.0.0/16"), STR("127.0.0.1/32")};
    struct world w;
    shop(&w);
    struct model_backend b = {.namespace = STR("ns"),
                              .service = STR("app"),
                              .port = 80,
                              .endpoints = world_id(&w, MODEL_KIND_endpoints, "app", "80"),
                              .guarded = true};
    put_backend(&w, "app", "10.0.0.1:80", "10.1.0.1:80", "127.0.0.1:80", "127.0.0.2:80",
                "169.254.169.254:80", "93.184.216.34:80", NULL);
    world_put(&w, MODEL_KIND_backend, backend_id(&w, "app"), &b);
    world_commit(&w);
    assert_int_equal(backend_at(&w, "h", "/")->n_endpoints, 1);
    assert_int_equal(backend_at(&w, "h", "/")->endpoints[0].address[0], 93);
    b.private_cidrs = allowed;
    b.n_private_cidrs = 2;
    world_put(&w, MODEL_KIND_backend, backend_id(&w, "app"), &b);
    world_commit(&w);
    assert_int_equal(backend_at(&w, "h", "/")->n_usable, 3);
    world_fini(&w);
}

/* A number is used again only when no snapshot is left that had it. */
static void numbers_outlive_snapshots(void **state) {
    (void)state;
    struct world w;
    shop(&w);
    struct endpoint one = backend_at(&w, "h", "/")->endpoints[0];
    uint32_t rule = rule_at(&w, "h", "/")->slot;
    struct snapshot *held = snapshot_hold(w.s);
    put_backend(&w, "app", "10.0.0.2:80", NULL);
    world_commit(&w);
    assert_int_not_equal(backend_at(&w, "h", "/")->endpoints[0].slot, one.slot);
    put_backend(&w, "app", "10.0.0.2:80", "10.0.0.9:80", NULL);
    builder_del(w.b, route_id(&w, "r"));
    put_route(&w, "r2", "h", PREFIX("/"), "app");
    world_commit(&w);
    struct endpoint second = backend_at(&w, "h", "/")->endpoints[0];
    assert_int_not_equal(backend_at(&w, "h", "/")->endpoints[1].slot, one.slot);
    assert_int_not_equal(rule_at(&w, "h", "/")->slot, rule);
    assert_true(str_eq(snapshot_rule(held, rule)->model->name, STR("r")));
    assert_null(snapshot_rule(w.s, rule));
    snapshot_drop(held);
    put_backend(&w, "app", "10.0.0.2:80", "10.0.0.9:80", "10.0.0.10:80", NULL);
    put_route(&w, "r3", "h", PREFIX("/3"), "app");
    world_commit(&w);
    const struct backend *b = backend_at(&w, "h", "/");
    assert_int_equal(b->endpoints[0].slot, second.slot); /* the same address keeps its number */
    bool again = false;
    for (uint32_t i = 0; i < b->n_endpoints; i++)
        if (b->endpoints[i].slot == one.slot) {
            again = true;
            assert_int_equal(b->endpoints[i].generation, one.generation + 1);
        }
    assert_true(again);
    assert_int_equal(rule_at(&w, "h", "/3")->slot, rule);
    world_fini(&w);
}

static uint32_t vhosts_that_differ(const struct snapshot *a, const struct snapshot *b) {
    const struct host_root *x = a->parts->hosts.root, *y = b->parts->hosts.root;
    uint32_t n = 0;
    assert_int_equal(x->n_pages, y->n_pages);
    for (uint32_t i = 0; i < x->n_pages; i++)
        for (uint32_t j = 0; x->page[i] != y->page[i] && j < HOST_PAGE; j++)
            n += x->page[i]->vhost[j] != y->page[i]->vhost[j];
    return n;
}

static uint32_t rules_that_differ(const struct snapshot *a, const struct snapshot *b) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < a->rule_slots; i++)
        n += snapshot_rule(a, i) != snapshot_rule(b, i);
    return n;
}

static void a_change_costs_what_changed(void **state) {
    (void)state;
    enum { N = 10000 };
    struct world w;
    world_init(&w);
    put_backend(&w, "app", "10.0.0.1:80", NULL);
    for (unsigned i = 0; i < N; i++) {
        struct str host = arena_fmt(&w.a, "h%u.test", i), name = arena_fmt(&w.a, "r%u", i);
        put_host(&w, host.p);
        put_route(&w, name.p, host.p, PREFIX("/"), "app");
    }
    world_commit(&w);
    struct snapshot *before = snapshot_hold(w.s);
    put_route(&w, "r77", "h77.test", PREFIX("/other"), "app");
    world_commit(&w);
    assert_int_equal(vhosts_that_differ(before, w.s), 1);
    assert_int_equal(rules_that_differ(before, w.s), 1);
    snapshot_drop(before);
    before = snapshot_hold(w.s);
    struct model_timeouts t = {.request_ms = 5};
    put_route_as(&w, (struct model_route){.timeouts = &t}, "r78", "h78.test", PREFIX("/"), "app");
    world_commit(&w);
    assert_int_equal(rule_at(&w, "h78.test", "/")->request_ms, 5);
    assert_int_equal(vhosts_that_differ(before, w.s), 0); /* the way to it is the same */
    assert_int_equal(rules_that_differ(before, w.s), 1);
    snapshot_drop(before);
    before = snapshot_hold(w.s);
    put_backend(&w, "app", "10.0.0.2:80", NULL); /* endpoints alone */
    world_commit(&w);
    assert_int_equal(rules_that_differ(before, w.s), 0);
    assert_int_equal(backend_at(&w, "h1.test", "/")->endpoints[0].address[3], 2);
    snapshot_drop(before);
    for (unsigned i = 0; i < N; i += 2)
        builder_del(w.b, host_id(&w, arena_fmt(&w.a, "h%u.test", i).p));
    world_commit(&w);
    for (unsigned i = 0; i < N; i++)
        if ((rule_at(&w, arena_fmt(&w.a, "h%u.test", i).p, "/") != NULL) != (i % 2 == 1) && i != 77)
            fail_msg("host %u", i);
    world_fini(&w);
}

static void assert_refused(struct world *w, const char *field, const char *text) {
    struct snapshot *before = w->s;
    assert_false(world_try(w));
    assert_ptr_equal(before, w->s);
    assert_int_equal(w->n_bad, 1);
    assert_non_null(strstr(w->why.field, field));
    if (!strstr(w->why.text, text))
        fail_msg("\"%s\" is not in \"%s\"", text, w->why.text);
    world_commit(w); /* nothing of it is left */
    assert_non_null(rule_at(w, "h", "/"));
    assert_null(rule_at(w, "h2", "/"));
}

static void bad_objects_change_nothing(void **state) {
    (void)state;
    struct world w;
    shop(&w);
    struct model_origin origin = {.kind = STR("Route"),
                                  .namespace = STR("ns"),
                                  .name = STR("bad"),
                                  .field = STR("spec.rules[0]")};
    struct model_route r = {.origin = &origin};
    put_host(&w, "h2"); /* a good one in the same transaction does not come either */
    put_route(&w, "good", "h2", PREFIX("/"), "app");
    put_route_as(&w, r, "bad", "h", REGEX("/a("), "app");
    assert_refused(&w, "spec.rules[0].matches[0].path.value", "is not a regular expression");
    assert_string_equal(w.why.object, "Route ns/bad");
    put_route_as(&w, r, "bad", "h", PREFIX("a"), "app");
    assert_refused(&w, "path.value", "is not a canonical path");
    put_route_as(&w, r, "bad", "h", EXACT("/a/../b"), "app");
    assert_refused(&w, "path.value", "is not a canonical path");
    struct model_value_match header = {.name = STR("X-Upper"), .value = STR("1")};
    struct model_match m = PREFIX("/");
    m.headers = &header, m.n_headers = 1;
    put_route_as(&w, r, "bad", "h", m, "app");
    assert_refused(&w, "matches[0].headers", "lower case");
    struct model_retry retry = {.codes = str_mk("\x01", 1)};
    r.retry = &retry;
    put_route_as(&w, r, "bad", "h", PREFIX("/"), "app");
    assert_refused(&w, "retry", "from 400 to 599");
    r.retry = NULL;
    struct model_header_value split = {.name = STR("x"), .value = STR("a\r\nb: c")};
    struct model_header_edit edit = {.set = &split, .n_set = 1};
    struct model_filter filter = {.type = MODEL_FILTER_REQUEST_HEADERS, .headers = &edit};
    r.filters = &filter, r.n_filters = 1;
    put_route_as(&w, r, "bad", "h", PREFIX("/"), "app");
    assert_refused(&w, "filters", "no header value may have");
    filter.headers = NULL;
    put_route_as(&w, r, "bad", "h", PREFIX("/"), "app");
    assert_refused(&w, "filters", "has no RequestHeaderModifier part");
    put_host(&w, "Upper.test");
    assert_refused(&w, "", "is not a host name");
    put_host(&w, "a.*.test");
    assert_refused(&w, "", "is not a host name");
    struct model_endpoint e = {.address = STR("abc"), .port = 80};
    struct model_endpoints list = {.endpoints = &e, .n_endpoints = 1};
    world_put(&w, MODEL_KIND_endpoints, STR("endpoints/ns/x/80"), &list);
    assert_refused(&w, "", "must be 4 or 16");
    e = (struct model_endpoint){.address = STR("abcd"), .port = 65536};
    world_put(&w, MODEL_KIND_endpoints, STR("endpoints/ns/x/80"), &list);
    assert_refused(&w, "", "must be 1 to 65535");
    struct str cidr = STR("10.0.0.0/33");
    struct model_gateway g = {.trusted_cidrs = &cidr, .n_trusted_cidrs = 1};
    world_put(&w, MODEL_KIND_gateway, STR("gateway/-/c"), &g);
    assert_refused(&w, "trustedProxies.cidrs", "is not a network");
    world_put(&w, MODEL_KIND_backend, STR("route/ns/x/80"), &(struct model_backend){0});
    assert_refused(&w, "", "is not the id of a backend");
    world_fini(&w);
}

static void what_cannot_be_asked_is_closed(void **state) {
    (void)state;
    struct world w;
    shop(&w);
    put_route_as(&w, (struct model_route){.auth = STR("auth/ns/a")}, "auth", "h", PREFIX("/auth"),
                 "app");
    put_route_as(&w, (struct model_route){.refusal = MODEL_REFUSE_NO_BACKEND}, "none", "h",
                 PREFIX("/none"), "app");
    put_route_as(&w, (struct model_route){.source = (enum model_route_source)99}, "newer", "h",
                 PREFIX("/newer"), "app");
    world_commit(&w);
    assert_int_equal(rule_at(&w, "h", "/auth")->refusal, REASON_POLICY_UNAVAILABLE);
    assert_int_equal(rule_at(&w, "h", "/none")->refusal, REASON_NO_BACKEND);
    assert_int_equal(rule_at(&w, "h", "/newer")->refusal, REASON_POLICY_UNAVAILABLE);
    assert_int_equal(rule_at(&w, "h", "/")->refusal, REASON_NONE);
    struct model_gateway g = {.auth_required = true};
    world_put(&w, MODEL_KIND_gateway, STR("gateway/-/c"), &g);
    world_commit(&w);
    assert_int_equal(rule_at(&w, "h", "/")->refusal, REASON_POLICY_UNAVAILABLE);
    builder_del(w.b, STR("gateway/-/c"));
    world_commit(&w);
    assert_int_equal(rule_at(&w, "h", "/")->refusal, REASON_NONE);
    world_fini(&w);
}

static void gateway_and_listeners(void **state) {
    (void)state;
    struct world w;
    shop(&w);
    struct str cidrs[] = {STR("10.0.0.0/8"), STR("192.0.2.128/25"), STR("fd00::/7"), STR("::1")};
    struct model_limits limits = {.header_bytes = 4096, .header_count = 7, .body_bytes = 99};
    struct model_gateway g = {.trusted_cidrs = cidrs, .n_trusted_cidrs = 4, .limits = &limits};
    struct model_listener l = {.port = 8443}, l2 = {.port = 80};
    world_put(&w, MODEL_KIND_gateway, STR("gateway/-/c"), &g);
    world_put(&w, MODEL_KIND_listener, STR("listener/c/https"), &l);
    world_put(&w, MODEL_KIND_listener, STR("listener/c/http"), &l2);
    world_commit(&w);
    const uint8_t v4[16] = {[10] = 0xff, 0xff, 10, 1, 2, 3}, out[16] = {[10] = 0xff, 0xff, 11, 0},
                  low[16] = {[10] = 0xff, 0xff, 192, 0, 2, 127},
                  high[16] = {[10] = 0xff, 0xff, 192, 0, 2, 128}, v6[16] = {0xfc, 1},
                  v6_out[16] = {0xfe, 0x80}, one[16] = {[15] = 1};
    assert_true(snapshot_trusts(w.s, v4));
    assert_false(snapshot_trusts(w.s, out));
    assert_false(snapshot_trusts(w.s, low));
    assert_true(snapshot_trusts(w.s, high));
    assert_true(snapshot_trusts(w.s, v6));
    assert_false(snapshot_trusts(w.s, v6_out));
    assert_true(snapshot_trusts(w.s, one));
    assert_int_equal(w.s->limits.head.bytes, 4096);
    assert_int_equal(w.s->limits.head.fields, 7);
    assert_true(rule_at(&w, "h", "/")->body_limit == 99); /* made anew with the gateway */
    assert_int_equal(w.s->n_listeners, 2);
    assert_int_equal(w.s->listeners[0].port, 80);
    world_fini(&w);
}

static void put_tied(struct world *w, struct model_route r, const char *id, const char *name) {
    struct str host = host_id(w, "h");
    struct model_match m = PREFIX("/tie");
    r.hosts = &host, r.n_hosts = 1;
    r.matches = &m, r.n_matches = 1;
    r.name = str_of(name);
    if (r.namespace.n == 0)
        r.namespace = STR("ns");
    world_put(w, MODEL_KIND_route, route_id(w, id), &r);
}

/* Each thing that only the order depends on reaches the vhost when it alone is edited. */
static void an_edit_of_the_order_is_seen(void **state) {
    (void)state;
    struct world w;
    shop(&w);
    put_tied(&w, (struct model_route){.created = 5, .order = 1}, "1", "m");
    put_tied(&w, (struct model_route){.created = 5, .order = 1}, "2", "m");
    world_commit(&w);
    assert_true(str_eq(rule_at(&w, "h", "/tie")->id, route_id(&w, "1")));
    const struct {
        struct model_route r;
        const char *name;
    } better[] = {
        {{.created = 5, .order = 0}, "m"},
        {{.created = 5, .order = 1}, "l"},
        {{.created = 5, .order = 1, .namespace = STR("nr")}, "m"},
        {{.created = 5, .order = 1, .namespace = STR("ns-")}, "m"}, /* '-' is before '/' */
        {{.created = 4, .order = 1}, "m"},
    };
    for (size_t i = 0; i < ARRAY_LEN(better); i++) {
        put_tied(&w, better[i].r, "2", better[i].name);
        world_commit(&w);
        if (!str_eq(rule_at(&w, "h", "/tie")->id, route_id(&w, "2")))
            fail_msg("edit %zu was not seen", i);
        put_tied(&w, (struct model_route){.created = 5, .order = 1}, "2", "m");
        world_commit(&w);
        assert_true(str_eq(rule_at(&w, "h", "/tie")->id, route_id(&w, "1")));
    }
    world_fini(&w);
}

static void later_words_win_and_abort_forgets(void **state) {
    (void)state;
    struct world w;
    shop(&w);
    put_route(&w, "r", "h", PREFIX("/one"), "app");
    builder_del(w.b, route_id(&w, "r"));
    put_route(&w, "r", "h", PREFIX("/two"), "app");
    builder_del(w.b, STR("route/ns/unknown/r"));
    put_host(&w, "gone");
    builder_del(w.b, host_id(&w, "gone"));
    world_commit(&w);
    assert_null(rule_at(&w, "h", "/one"));
    assert_non_null(rule_at(&w, "h", "/two"));
    put_route(&w, "r", "h", PREFIX("/three"), "app");
    builder_abort(w.b);
    builder_begin(w.b);
    world_commit(&w);
    assert_non_null(rule_at(&w, "h", "/two"));
    world_fini(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(policies_are_joined),
        cmocka_unit_test(children_come_later),
        cmocka_unit_test(endpoints_in_order),
        cmocka_unit_test(guarded_addresses),
        cmocka_unit_test(numbers_outlive_snapshots),
        cmocka_unit_test(a_change_costs_what_changed),
        cmocka_unit_test(limits_keep_their_numbers),
        cmocka_unit_test(bad_objects_change_nothing),
        cmocka_unit_test(what_cannot_be_asked_is_closed),
        cmocka_unit_test(gateway_and_listeners),
        cmocka_unit_test(an_edit_of_the_order_is_seen),
        cmocka_unit_test(later_words_win_and_abort_forgets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
