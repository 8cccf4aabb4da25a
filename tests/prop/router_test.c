/* SPDX-License-Identifier: Apache-2.0
 *
 * The router against its oracle: a linear matcher written from the rules ("Order of matches"),
 * which shares nothing with the router but the model. Random tables with everything a route can
 * have, of small alphabets, so that names collide; random transactions on them; every answer must
 * be the oracle's, from the builder that saw all transactions, from one that saw only the result,
 * and from an old snapshot that was held. (S31)
 *
 *   SLUICE_SEED=n    the same run again        SLUICE_LOOKUPS=n    how many (1000000)
 */
#include "tests/unit/route_world.h"

#include "lib/hash.h"

#include <inttypes.h>
#include <regex.h>
#include <stdlib.h>

enum { HOSTS = 14, ROUTES = 40 };

struct table {
    struct model_route *routes[ROUTES]; /* NULL: not there; index is its name */
    bool hosts[HOSTS];                  /* whether the host object is there */
};

static const char *const hostnames[HOSTS] = {
    "a.test", "b.a.test", "c.b.a.test", "*.test",   "*.a.test",   "*.b.a.test", "*.c.b.a.test",
    "",       "test",     "b.test",     "*.b.test", "x.b.a.test", "*.x.b.test", "c.b.test"};
static const char *const asked_hosts[] = {
    "a.test", "b.a.test", "c.b.a.test", "x.c.b.a.test", "test",
    "b.test", "x.b.test", "y.x.b.test", "z.y.x.b.test", "other",
    "",       ".a.test",  "x.y.test",   "x.b.a.test",   "a..test"};

static struct prng rng;
static uint32_t below(uint32_t n) { return prng_below(&rng, n); }
static bool once_in(uint32_t n) { return below(n) == 0; }
#define PICK(list) ((list)[below((uint32_t)ARRAY_LEN(list))])

/* ---- the oracle ---- */

struct asked {
    struct str host, path, method;
    struct str header[4][2], query[3][2], cookie[2][2];
    uint32_t n_header, n_query, n_cookie;
};

struct hit {
    const struct model_route *route;
    const struct model_match *match; /* NULL: none */
    uint32_t index;
};

static bool posix_match(struct str pattern, struct str value) {
    char text[256], subject[600];
    regex_t re;
    snprintf(text, sizeof(text), "^(%.*s)$", STR_FMT(pattern));
    snprintf(subject, sizeof(subject), "%.*s", STR_FMT(value));
    must(regcomp(&re, text, REG_EXTENDED | REG_NOSUB) == 0);
    bool ok = regexec(&re, subject, 0, NULL, 0) == 0;
    regfree(&re);
    return ok;
}

static struct str cut_slash(const struct model_match *m) {
    struct str p = m->path;
    if (m->path_type == MODEL_PATH_PREFIX && p.n > 0 && p.p[p.n - 1] == '/')
        p.n--;
    return p;
}

static bool path_holds(const struct model_match *m, struct str path) {
    struct str p = cut_slash(m);
    if (m->path_type == MODEL_PATH_EXACT)
        return str_eq(p, path);
    if (m->path_type == MODEL_PATH_REGEX)
        return posix_match(p, path);
    return str_starts(path, p) && path.n > 0 && (path.n == p.n || path.p[p.n] == '/');
}

/* join: all of that name, with ", "; else the first */
static bool values_hold(const struct model_value_match *v, uint32_t n, const struct str list[][2],
                        uint32_t n_list, bool join) {
    for (uint32_t i = 0; i < n; i++) {
        char room[200] = "";
        bool found = false;
        for (uint32_t j = 0; j < n_list && !(found && !join); j++)
            if (str_eq(list[j][0], v[i].name)) {
                size_t at = strlen(room);
                snprintf(room + at, sizeof(room) - at, "%s%.*s", found ? ", " : "",
                         STR_FMT(list[j][1]));
                found = true;
            }
        if (!found)
            return false;
        if (v[i].type == MODEL_MATCH_EXACT && !str_eq(str_of(room), v[i].value))
            return false;
        if (v[i].type == MODEL_MATCH_REGEX && !posix_match(v[i].value, str_of(room)))
            return false;
    }
    return true;
}

static bool holds(const struct model_match *m, const struct asked *q) {
    return path_holds(m, q->path) && (m->method.n == 0 || str_eq(m->method, q->method)) &&
           values_hold(m->headers, m->n_headers, q->header, q->n_header, true) &&
           values_hold(m->query, m->n_query, q->query, q->n_query, false) &&
           values_hold(m->cookies, m->n_cookies, q->cookie, q->n_cookie, false);
}

/* Whether a wins over b. */
static bool wins(struct hit a, struct hit b, bool ingress_order) {
    static const int rank[] = {
        [MODEL_PATH_EXACT] = 0, [MODEL_PATH_REGEX] = 1, [MODEL_PATH_PREFIX] = 2};
    const struct model_match *x = a.match, *y = b.match;
    int64_t type = rank[x->path_type] - rank[y->path_type];
    int64_t length = (int64_t)cut_slash(y).n - (int64_t)cut_slash(x).n;
    char xn[100], yn[100];
    snprintf(xn, sizeof(xn), "%.*s/%.*s", STR_FMT(a.route->namespace), STR_FMT(a.route->name));
    snprintf(yn, sizeof(yn), "%.*s/%.*s", STR_FMT(b.route->namespace), STR_FMT(b.route->name));
    int64_t order[] = {
        ingress_order ? length : type,
        ingress_order ? type : length,
        (y->method.n > 0) - (x->method.n > 0),
        (int64_t)y->n_headers - x->n_headers,
        (int64_t)y->n_query - x->n_query,
        (int64_t)y->n_cookies - x->n_cookies,
        (a.route->created ? (int64_t)a.route->created : INT64_MAX) / 2 -
            (b.route->created ? (int64_t)b.route->created : INT64_MAX) / 2,
        strcmp(xn, yn),
        (int64_t)a.route->order - (int64_t)b.route->order,
        str_cmp(a.route->rule, b.route->rule), /* part of the id: no two are equal in all of it */
        (int64_t)a.index - b.index};
    for (size_t i = 0; i < ARRAY_LEN(order); i++)
        if (order[i] != 0)
            return order[i] < 0;
    return false;
}

/* The best of the host's rules on one side; sets *any when the host has rules that apply at all. */
static struct hit best_of(const struct table *t, int host, const struct asked *q, bool deep,
                          bool fallback, bool ingress, bool *any) {
    static const struct model_match every = {.path_type = MODEL_PATH_PREFIX};
    struct hit best = {0};
    for (int i = 0; i < ROUTES; i++) {
        const struct model_route *r = t->routes[i];
        bool here = false;
        for (uint32_t h = 0; r && h < r->n_hosts; h++)
            here |= r->hosts[h].n == (size_t)host; /* see host_list */
        if (!here || (deep && r->one_label))
            continue;
        *any = true;
        if (r->fallback != fallback || (r->source == MODEL_SOURCE_INGRESS) != ingress)
            continue;
        for (uint32_t m = 0; m < (r->n_matches ? r->n_matches : 1); m++) {
            struct hit hit = {r, r->n_matches ? &r->matches[m] : &every, m};
            if (holds(hit.match, q) && (!best.match || wins(hit, best, ingress)))
                best = hit;
        }
    }
    return best;
}

static struct hit decide(const struct table *t, int host, const struct asked *q, bool deep,
                         bool *any) {
    for (int fallback = 0; fallback < 2; fallback++) {
        struct hit a = best_of(t, host, q, deep, fallback, true, any);
        struct hit b = best_of(t, host, q, deep, fallback, false, any);
        if (a.match || b.match)
            return !b.match || (a.match && wins(a, b, false)) ? a : b;
    }
    return (struct hit){0};
}

static struct hit oracle(const struct table *t, const struct asked *q) {
    /* all names that fit: exact is longest, then wildcards by length, "" is the shortest */
    for (int want = 300; want >= 0; want--)
        for (int i = 0; i < HOSTS; i++) {
            struct str name = str_of(hostnames[i]);
            bool wild = name.n > 0 && name.p[0] == '*', deep = false, any = false;
            if (!t->hosts[i] || (want == 300 ? wild || name.n == 0 : (size_t)want != name.n))
                continue;
            if (wild) {
                struct str suffix = str_skip(name, 1);
                if (q->host.n <= suffix.n || !str_ends(q->host, suffix))
                    continue;
                deep = memchr(q->host.p, '.', q->host.n - suffix.n) != NULL;
            } else if (name.n > 0 && !str_eq(name, q->host)) {
                continue;
            }
            struct hit hit = decide(t, i, q, deep, &any);
            if (any)
                return hit;
        }
    return (struct hit){0};
}

/* ---- random things ---- */

/* Routes have shorter ones than requests. */
static struct str random_path(struct arena *a, bool request) {
    static const char *const segments[] = {"a", "b", "ab", "abcdefgh", "abcdefghi-long-one",
                                           "",  "c"};
    char room[200];
    struct out o = out_fixed(room, sizeof(room));
    uint32_t n = below(request ? 5 : 3);
    for (uint32_t i = 0; i < n; i++) {
        out_char(&o, '/');
        out_str(&o, str_of(segments[below(once_in(3) ? ARRAY_LEN(segments) : 3)]));
    }
    if (n == 0 || once_in(6))
        out_char(&o, '/');
    if (request && once_in(100))
        return STR("*");
    return arena_str(a, out_done(&o));
}

static const char *const regexes[] = {
    "/a.*",           "/[ab]", "/(a|b)/.*",        ".*", "/a(/.*)?", "/.*b",
    "/[a-c]+/[a-c]+", "/a/b",  "/(a|b|c|ab)(/.*)?"};
static const char *const value_regexes[] = {"[12]", ".*", "1|3", "1, .*"};
static const char *const values[] = {"1", "2", "3", "1, 2"};

static void random_values(struct arena *a, struct model_value_match **list, uint32_t *n,
                          const char *const names[2]) {
    *n = once_in(3) ? 1 + below(2) : 0;
    *list = arena_array(a, *n, sizeof(**list));
    for (uint32_t i = 0; i < *n; i++) {
        struct model_value_match *v = &(*list)[i];
        *v = (struct model_value_match){.type = (enum model_match_type)below(3),
                                        .name = str_of(names[below(2)])};
        if (v->type == MODEL_MATCH_REGEX)
            v->value = str_of(PICK(value_regexes));
        else if (v->type == MODEL_MATCH_EXACT)
            v->value = str_of(PICK(values));
    }
}

static const char *const headers[2] = {"x-a", "x-b"}, *const queries[2] = {"p", "q"},
                         *const cookies[2] = {"c", "d"};
static const char *const methods[] = {"GET", "POST", "PURGE", "LOCK"};

static struct model_match random_match(struct arena *a) {
    struct model_match m = {.path_type = (enum model_path_type)below(3)};
    m.path = m.path_type == MODEL_PATH_REGEX ? str_of(PICK(regexes)) : random_path(a, false);
    if (m.path_type == MODEL_PATH_REGEX && once_in(2))
        m.path_type = MODEL_PATH_PREFIX, m.path = random_path(a, false);
    if (once_in(4))
        m.method = str_of(PICK(methods));
    if (once_in(3)) {
        random_values(a, &m.headers, &m.n_headers, headers);
        random_values(a, &m.query, &m.n_query, queries);
        random_values(a, &m.cookies, &m.n_cookies, cookies);
    }
    return m;
}

static char host_numbers[HOSTS]; /* a host is named by a text as long as its number */

static struct model_route *random_route(struct arena *a, uint32_t number) {
    static const char *const spaces[] = {"n", "n-b", "na", "m"};
    struct model_route *r = arena_zalloc(a, sizeof(*r));
    r->n_hosts = once_in(4) ? 2 : 1;
    r->hosts = arena_array(a, r->n_hosts, sizeof(*r->hosts));
    for (uint32_t i = 0; i < r->n_hosts; i++)
        r->hosts[i] = str_mk(host_numbers, below(HOSTS));
    r->source = (enum model_route_source)below(4);
    r->one_label = r->source == MODEL_SOURCE_INGRESS ? !once_in(5) : once_in(5);
    r->fallback = once_in(8);
    r->namespace = str_of(PICK(spaces));
    r->name = arena_fmt(a, "r%u", number % 3);
    r->rule = arena_fmt(a, "%03u", number);
    r->created = once_in(3) ? below(3) : 1;
    r->order = below(3);
    r->n_matches = once_in(10) ? 0 : 1 + below(3);
    r->matches = arena_array(a, r->n_matches, sizeof(*r->matches));
    for (uint32_t i = 0; i < r->n_matches; i++)
        r->matches[i] = random_match(a);
    return r;
}

/* The same route but for one thing. */
static struct model_route *edited_route(struct arena *a, const struct model_route *old) {
    struct model_route *r = arena_alloc(a, sizeof(*r)), *other = random_route(a, below(100));
    *r = *old;
    switch (below(9)) {
    case 0:
        r->hosts = other->hosts, r->n_hosts = other->n_hosts;
        break;
    case 1:
        r->source = other->source;
        break;
    case 2:
        r->one_label = !r->one_label;
        break;
    case 3:
        r->fallback = !r->fallback;
        break;
    case 4:
        r->namespace = other->namespace;
        break;
    case 5:
        r->name = other->name;
        break;
    case 6:
        r->created = other->created;
        break;
    case 7:
        r->order = other->order;
        break;
    default:
        r->matches = other->matches, r->n_matches = other->n_matches;
    }
    return r;
}

static struct asked random_request(struct arena *a) {
    struct asked q = {.host = str_of(PICK(asked_hosts)),
                      .path = random_path(a, true),
                      .method = str_of(PICK(methods))};
    for (q.n_header = 0; q.n_header < 4 && once_in(2); q.n_header++)
        q.header[q.n_header][0] = str_of(headers[below(2)]),
        q.header[q.n_header][1] = str_of(PICK(values));
    for (; q.n_query < 3 && once_in(2); q.n_query++)
        q.query[q.n_query][0] = str_of(queries[below(2)]),
        q.query[q.n_query][1] = str_of(values[below(3)]);
    for (; q.n_cookie < 2 && once_in(2); q.n_cookie++)
        q.cookie[q.n_cookie][0] = str_of(cookies[below(2)]),
        q.cookie[q.n_cookie][1] = str_of(values[below(3)]);
    return q;
}

/* ---- the router under test ---- */

static struct str route_name(struct arena *a, uint32_t i) {
    return arena_fmt(a, "route/n/x/%03u", i);
}

static void put(struct builder *b, struct arena *a, const struct table *t, uint32_t i) {
    struct model_route r = *t->routes[i];
    struct str *ids = arena_array(a, r.n_hosts, sizeof(*ids));
    for (uint32_t h = 0; h < r.n_hosts; h++)
        ids[h] = arena_fmt(a, "host/c/%zu", r.hosts[h].n);
    r.hosts = ids;
    builder_put(b, object_new(MODEL_KIND_route, route_name(a, i), &r));
}

static void set_host(struct builder *b, struct arena *a, uint32_t i, bool there) {
    struct model_host h = {.hostname = str_of(hostnames[i])};
    struct str id = arena_fmt(a, "host/c/%u", i);
    if (there)
        builder_put(b, object_new(MODEL_KIND_host, id, &h));
    else
        builder_del(b, id);
}

static void refused(void *arg, struct str id, const struct why *why) {
    (void)arg;
    fail_msg("%.*s: %s: %s", STR_FMT(id), why->field, why->text);
}

static struct snapshot *from_scratch(const struct table *t, struct arena *a) {
    struct builder *b = builder_new();
    builder_begin(b);
    for (uint32_t i = 0; i < ROUTES; i++)
        if (t->routes[i])
            put(b, a, t, i);
    for (uint32_t i = 0; i < HOSTS; i++)
        if (t->hosts[i])
            set_host(b, a, i, true);
    struct snapshot *s = builder_commit(b, 1, refused, NULL);
    builder_free(b); /* the snapshot lives on */
    return s;
}

static void random_transaction(struct builder *b, struct arena *a, struct table *t, bool first) {
    builder_begin(b);
    for (uint32_t n = 1 + below(first || once_in(4) ? ROUTES : 4); n > 0; n--) {
        uint32_t i = below(ROUTES);
        if (once_in(3) && t->routes[i]) {
            t->routes[i] = NULL;
            builder_del(b, route_name(a, i));
        } else {
            t->routes[i] =
                t->routes[i] && !once_in(3) ? edited_route(a, t->routes[i]) : random_route(a, i);
            put(b, a, t, i);
        }
    }
    for (uint32_t n = first ? HOSTS : below(4); n > 0; n--) {
        uint32_t i = first ? n - 1 : below(HOSTS);
        t->hosts[i] = !once_in(4);
        set_host(b, a, i, t->hosts[i]);
    }
}

static void fill_ask(struct ask *k, const struct asked *q) {
    char query[100], cookie[100];
    struct out o = out_fixed(query, sizeof(query) - 1);
    for (uint32_t i = 0; i < q->n_query; i++)
        out_fmt(&o, "%s%.*s=%.*s", i ? "&" : "", STR_FMT(q->query[i][0]), STR_FMT(q->query[i][1]));
    query[o.n] = 0;
    char method[16];
    snprintf(method, sizeof(method), "%.*s", STR_FMT(q->method));
    ask_init(k, method, query);
    for (uint32_t i = 0; i < q->n_header; i++)
        ask_header(k, q->header[i][0].p, q->header[i][1].p);
    for (uint32_t i = 0; i < q->n_cookie; i++) {
        snprintf(cookie, sizeof(cookie), "%.*s=%.*s", STR_FMT(q->cookie[i][0]),
                 STR_FMT(q->cookie[i][1]));
        ask_header(k, "cookie", cookie);
    }
}

static void compare(const struct snapshot *s, struct route_scratch *scratch, const struct table *t,
                    const struct asked *q, const char *which) {
    static struct ask k;
    fill_ask(&k, q);
    struct route_request rq = {.host = q->host, .path = q->path, .head = &k.head, .port = 80};
    struct match_result got = {0};
    bool found = snapshot_route(s, &rq, scratch, &got);
    struct hit want = oracle(t, q);
    if (found != (want.match != NULL) ||
        (found && (!str_eq(got.rule->model->rule, want.route->rule) ||
                   got.match != &got.rule->matches[want.index])))
        fail_msg("%s: %.*s http://%.*s%.*s: route %.*s, the oracle says %.*s", which,
                 STR_FMT(q->method), STR_FMT(q->host), STR_FMT(q->path),
                 STR_FMT(found ? got.rule->model->rule : STR("none")),
                 STR_FMT(want.match ? want.route->rule : STR("none")));
}

static uint64_t of_environment(const char *name, uint64_t otherwise) {
    uint64_t v;
    return str_to_u64(str_of(getenv(name)), UINT64_MAX, &v) ? v : otherwise;
}

/* One history: a builder, some transactions, lookups after each. Returns how many. */
static uint64_t run_history(struct route_scratch *scratch, uint64_t *found) {
    enum { STEPS = 8, EACH = 50 };
    struct arena a;
    arena_init(&a);
    struct builder *b = builder_new();
    struct table t = {0}, old_table = {0};
    struct snapshot *old = NULL, *now = NULL;
    uint64_t n = 0;
    for (int step = 0; step < STEPS; step++) {
        random_transaction(b, &a, &t, step == 0);
        struct snapshot *next = builder_commit(b, 1, refused, NULL);
        assert_non_null(next);
        snapshot_drop(now);
        now = next;
        struct snapshot *fresh = from_scratch(&t, &a);
        for (int i = 0; i < EACH; i++) {
            struct asked q = random_request(&a);
            compare(now, scratch, &t, &q, "incremental");
            compare(fresh, scratch, &t, &q, "from scratch");
            n += 2;
            *found += oracle(&t, &q).match ? 2 : 0;
        }
        snapshot_drop(fresh);
        /* hold this one for later steps, with the table that it was made of */
        if (once_in(3)) {
            snapshot_drop(old);
            old = snapshot_hold(now), old_table = t;
        }
        for (int i = 0; old && i < EACH; i++) {
            struct asked q = random_request(&a);
            compare(old, scratch, &old_table, &q, "held");
            n++;
        }
    }
    if (once_in(2))
        builder_free(b), b = NULL;
    snapshot_drop(old);
    snapshot_drop(now);
    builder_free(b);
    arena_fini(&a);
    return n;
}

static void router_is_the_oracle(void **state) {
    (void)state;
    uint64_t seed;
    random_bytes(&seed, sizeof(seed));
    seed = of_environment("SLUICE_SEED", seed);
    uint64_t want = of_environment("SLUICE_LOOKUPS", 1000000), n = 0, found = 0;
    print_message("SLUICE_SEED=%" PRIu64 "\n", seed);
    rng = (struct prng){{seed, ~seed}};
    memset(host_numbers, 'h', sizeof(host_numbers));
    struct route_scratch *scratch = route_scratch_new();
    while (n < want)
        n += run_history(scratch, &found);
    print_message("%" PRIu64 " lookups, %" PRIu64 " %% of them found a route\n", n,
                  found * 200 / n);
    assert_true(found * 10 > n); /* the tables are not trivially empty */
    route_scratch_free(scratch);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(router_is_the_oracle)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
