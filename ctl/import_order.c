/* SPDX-License-Identifier: Apache-2.0
 *
 * import_order: where two routes want the same request and Kong would have taken another one than
 * Sluice.
 *
 *   Kong    more kinds of conditions; then regular expressions before plain paths and plain hosts
 *           before wildcards; more headers; regex_priority; the longer plain path; the older
 *   here    the more special host; then regular expressions, the longer first; then the longer
 *           path; method; more headers
 *
 * Kong's order cannot be written down in ours. Where the one that Kong prefers restricts access and
 * the other does not in the same way, the other is closed.
 */
#include "ctl/import.h"
#include "lib/json.h"

#include <string.h>

enum { ROUTES_MAX = 2000, PAIRS_MAX = 100, WILDCARD_PORT = 4, PLAIN_HOSTS = 2, HAS_REGEX = 1 };

struct ranked {
    const struct kong_entity *e;
    unsigned weight, sub;
    int headers;
    int64_t priority, created;
    size_t longest;
};

static unsigned count(const cJSON *json, const char *field) {
    const cJSON *f = json_get(json, field);
    return f && f->child ? 1 : 0;
}

static void rank_hosts(struct ranked *r) {
    const cJSON *host, *hosts = kong_texts(r->e->json, "hosts");
    bool wild = false, port = false;
    cJSON_ArrayForEach(host, hosts) {
        bool star = strchr(host->valuestring, '*') != NULL;
        wild |= star;
        port |= star && strchr(host->valuestring, ':');
    }
    r->sub |= (hosts && !wild ? PLAIN_HOSTS : 0u) | (port ? WILDCARD_PORT : 0u);
}

static void rank(struct import *i, struct ranked *r) {
    const cJSON *json = r->e->json, *path;
    struct str e;
    r->weight = count(json, "hosts") + count(json, "paths") + count(json, "methods") +
                count(json, "headers") + count(json, "snis");
    r->headers = cJSON_GetArraySize(json_get(json, "headers"));
    r->priority = kong_int(json, "regex_priority", 0);
    r->created = kong_int(json, "created_at", 0);
    rank_hosts(r);
    cJSON_ArrayForEach(path, kong_texts(json, "paths")) {
        struct str text = str_of(path->valuestring);
        if (import_is_regex(i, text, &e))
            r->sub |= HAS_REGEX;
        else
            r->longest = text.n > r->longest ? text.n : r->longest;
    }
}

static int sign(int64_t d) { return (d > 0) - (d < 0); }

/* < 0: Kong looks at a first; 0: nobody knows. */
static int kong_order(const struct ranked *a, const struct ranked *b) {
    int c = (int)b->weight - (int)a->weight;
    c = c ? c : (int)b->sub - (int)a->sub;
    c = c ? c : b->headers - a->headers;
    if (!c && (a->sub & HAS_REGEX))
        c = sign(b->priority - a->priority);
    c = c ? c : sign((int64_t)b->longest - (int64_t)a->longest);
    return c ? c : a->created && b->created ? sign(a->created - b->created) : 0;
}

/* ---- where they meet ---- */

struct way { /* one host and one path of a route */
    struct str host, path;
    bool regex;
    struct str text; /* of the expression, as it is written in the Route */
};

static bool covers(struct str wide, struct str host) {
    if (wide.n == 0)
        return true;
    return str_eq_nocase(wide, host) ||
           (str_starts(wide, STR("*.")) && host.n >= wide.n && str_ends(host, str_skip(wide, 1)));
}

static bool same_request(const struct way *a, const struct way *b) {
    struct str x = a->regex ? import_literal(a->path) : a->path;
    struct str y = b->regex ? import_literal(b->path) : b->path;
    return (covers(a->host, b->host) || covers(b->host, a->host)) &&
           (str_starts(x, y) || str_starts(y, x));
}

static int specific(struct str host) {
    if (host.n == 0)
        return 0;
    return host.p[0] == '*' ? 1 + (int)host.n : 1000;
}

static int our_order(const struct way *a, const struct way *b, const struct ranked *x,
                     const struct ranked *y) {
    int c = specific(b->host) - specific(a->host);
    c = c ? c : (int)b->regex - (int)a->regex;
    c = c ? c : a->regex ? (int)b->text.n - (int)a->text.n : (int)b->path.n - (int)a->path.n;
    c = c ? c : (int)count(y->e->json, "methods") - (int)count(x->e->json, "methods");
    return c ? c : y->headers - x->headers;
}

static bool share_method(const cJSON *a, const cJSON *b) {
    const cJSON *x, *y, *as = kong_texts(a, "methods"), *bs = kong_texts(b, "methods");
    if (!as || !bs)
        return true;
    cJSON_ArrayForEach(x, as) {
        cJSON_ArrayForEach(y, bs) {
            if (strcmp(x->valuestring, y->valuestring) == 0)
                return true;
        }
    }
    return false;
}

/* Of its hosts the h-th, of its paths the p-th; false: there is none. */
static bool way_of(struct import *i, const struct kong_entity *e, int h, int p, struct way *w) {
    const cJSON *hosts = kong_texts(e->json, "hosts"), *paths = kong_texts(e->json, "paths");
    const cJSON *host = hosts ? cJSON_GetArrayItem(hosts, h) : NULL;
    const cJSON *path = paths ? cJSON_GetArrayItem(paths, p) : NULL;
    if ((hosts ? !host : h > 0) || (paths ? !path : p > 0))
        return false;
    *w = (struct way){.host = host ? str_of(host->valuestring) : STR_NONE, .path = STR("/")};
    if (!path)
        return true;
    w->regex = import_is_regex(i, str_of(path->valuestring), &w->path);
    if (w->regex) {
        struct str key = arena_fmt(&i->arena, "%zu/%s", e->place, path->valuestring);
        w->text = str_of(map_get(&i->expressions, key));
    }
    return true;
}

static bool differs(struct import *i, const struct ranked *a, const struct ranked *b,
                    struct way *x) {
    struct way y;
    for (int h = 0; way_of(i, a->e, h, 0, x); h++)
        for (int p = 0; way_of(i, a->e, h, p, x); p++)
            for (int g = 0; way_of(i, b->e, g, 0, &y); g++)
                for (int q = 0; way_of(i, b->e, g, q, &y); q++)
                    if (same_request(x, &y) && our_order(x, &y, a, b) >= 0)
                        return true;
    return false;
}

/* a is the one that Kong prefers. */
static void tell(struct import *i, const struct kong_entity *a, const struct kong_entity *b,
                 struct str path, unsigned pairs) {
    if (import_is_stricter(i, a, b))
        i->outranked[b->place] = a;
    if (pairs < PAIRS_MAX)
        import_say(i, IMPORT_DIFFERS, import_object(i, a), STR("order"), path,
                   "Kong takes %.*s before %.*s, here that one can come first: compare with "
                   "sluicectl explain",
                   STR_FMT(import_object(i, a)), STR_FMT(import_object(i, b)));
}

static void compare(struct import *i, const struct ranked *all, size_t n) {
    unsigned pairs = 0;
    for (size_t a = 0; a < n; a++)
        for (size_t b = 0; b < n; b++) {
            struct way w;
            if (a != b && kong_order(&all[a], &all[b]) < 0 &&
                import_share_host(all[a].e, all[b].e) &&
                share_method(all[a].e->json, all[b].e->json) && differs(i, &all[a], &all[b], &w))
                tell(i, all[a].e, all[b].e, w.path, pairs++);
        }
    if (pairs > PAIRS_MAX)
        import_say(i, IMPORT_DIFFERS, STR("routes"), STR("order"),
                   arena_fmt(&i->arena, "%u pairs", pairs),
                   "the first 100 pairs that are taken in another order are named");
}

void import_order(struct import *i) {
    size_t n = 0, most = i->kong->lists[KONG_ROUTE].n;
    struct ranked *all = arena_array(&i->arena, most + 1, sizeof(*all));
    i->outranked = arena_array(&i->arena, most + 1, sizeof(*i->outranked));
    if (most > ROUTES_MAX) {
        import_say(i, IMPORT_NOTE, STR("routes"), STR("order"), arena_fmt(&i->arena, "%zu", most),
                   "more than 2000 routes are not compared pair by pair");
        return;
    }
    for (const struct kong_entity *e = NULL; (e = kong_next(i->kong, KONG_ROUTE, e));)
        if (import_is_served(i, e)) {
            all[n].e = e;
            rank(i, &all[n++]);
        }
    compare(i, all, n);
}
