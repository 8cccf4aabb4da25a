/* SPDX-License-Identifier: Apache-2.0
 *
 * import_match: which requests a route takes.
 *
 *   Kong                          here
 *   /shop                         PathPrefix /shop (whole segments: /shopping is another path)
 *   ~/orders/\d+                  RegularExpression /orders/\d+.*  (Kong's is open at its end)
 *   ~/orders/\d+$                 RegularExpression /orders/\d+$
 *   regex_priority 10 before 0    the longer expression comes first: a comment (?#...) makes it so
 *   headers {x: [a, B]}           RegularExpression (?i)(?:a|B)
 *   headers {x: ["~*v[0-9]"]}     RegularExpression (?i).*(?:v[0-9]).*
 */
#include "ctl/import.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/path.h"
#include "lib/regex.h"

#include <stdlib.h>
#include <string.h>

/* ---- regular expressions ---- */

/* What Kong 2 takes for a plain path. */
static bool looks_plain(struct str path) {
    for (size_t c = 0; c < path.n; c++) {
        char ch = char_lower(path.p[c]);
        if (!((ch >= 'a' && ch <= 'z') || (ch >= '0' && ch <= '9') || (ch && strchr(".-_~/%", ch))))
            return false;
    }
    return true;
}

bool import_is_regex(const struct import *i, struct str path, struct str *expression) {
    *expression = path;
    if (!i->kong->tilde)
        return !looks_plain(path);
    if (path.n == 0 || path.p[0] != '~')
        return false;
    *expression = str_skip(path, 1);
    return true;
}

static bool ends_itself(struct str e) {
    size_t slashes = 0;
    if (str_ends(e, STR(".*")) && !str_ends(e, STR("\\.*")))
        return true;
    if (!str_ends(e, STR("$")))
        return false;
    while (slashes + 1 < e.n && e.p[e.n - 2 - slashes] == '\\')
        slashes++;
    return slashes % 2 == 0;
}

/* Kong's matches the beginning of a path, ours all of it. */
static struct str whole(struct import *i, struct str e) {
    bool choice = str_find(e, '|', 0) < e.n;
    const char *end = str_has(e, STR("\\Q")) ? "\\E" : ""; /* harmless where none is open */
    if (!choice && end[0] == 0 && ends_itself(e))
        return e;
    return arena_fmt(&i->arena, choice ? "(?:%.*s%s).*" : "%.*s%s.*", STR_FMT(e), end);
}

struct str import_literal(struct str e) {
    size_t n = 0;
    if (str_starts(e, STR("^")))
        e = str_skip(e, 1);
    if (str_find(e, '|', 0) < e.n)
        return STR("/");
    while (n < e.n && !strchr("\\^$.[]()?*+{}", e.p[n]))
        n++;
    if (n < e.n && n > 0 && strchr("?*{", e.p[n]))
        n--; /* what this repeats may not be there */
    return str_mk(e.p, n);
}

void import_quote(struct out *o, struct str s) {
    for (size_t c = 0; c < s.n; c++) {
        if (strchr("\\^$.[]()?*+{}|#", s.p[c]))
            out_char(o, '\\');
        out_char(o, s.p[c]);
    }
}

struct expression {
    const struct kong_entity *route;
    const char *path;
    struct str text;
    int64_t priority;
};

static int by_priority(const void *x, const void *y) {
    const struct expression *a = x, *b = y;
    if (a->priority != b->priority)
        return a->priority < b->priority ? -1 : 1;
    if (a->route->place != b->route->place)
        return a->route->place < b->route->place ? -1 : 1;
    return strcmp(a->path, b->path);
}

/* Makes it longer than those of lower priority, which come later then. */
static void lengthen(struct import *i, struct expression *e, size_t longest) {
    if (e->text.n > longest)
        return;
    struct out o = out_heap(REGEX_MAX);
    out_fmt(&o, "%.*s(?#regex_priority %lld", STR_FMT(e->text), (long long)e->priority);
    while (o.n < longest && !o.over)
        out_char(&o, '.');
    out_char(&o, ')');
    if (o.over)
        import_say(i, IMPORT_DIFFERS, import_object(i, e->route), STR("regex_priority"),
                   arena_fmt(&i->arena, "%lld", (long long)e->priority),
                   "the longer expression comes first here, and this one cannot be made long "
                   "enough; shorten the others");
    else
        e->text = arena_str(&i->arena, out_done(&o));
    out_fini(&o);
}

static size_t find_expressions(struct import *i, struct expression *to) {
    size_t n = 0;
    for (const struct kong_entity *r = NULL; (r = kong_next(i->kong, KONG_ROUTE, r));) {
        const cJSON *path;
        struct str e;
        cJSON_ArrayForEach(path, kong_texts(r->json, "paths")) {
            if (!import_is_regex(i, str_of(path->valuestring), &e))
                continue;
            if (to)
                to[n] = (struct expression){r, path->valuestring, whole(i, e),
                                            kong_int(r->json, "regex_priority", 0)};
            n++;
        }
    }
    return n;
}

void import_expressions(struct import *i) {
    size_t n = find_expressions(i, NULL), below = 0, longest = 0;
    struct expression *all = mem_array(n + 1, sizeof(*all));
    find_expressions(i, all);
    qsort(all, n, sizeof(*all), by_priority);
    for (size_t e = 0; e < n; e++) {
        if (e > 0 && all[e].priority != all[e - 1].priority)
            below = longest;
        if (below > 0)
            lengthen(i, &all[e], below);
        longest = all[e].text.n > longest ? all[e].text.n : longest;
        struct str key = arena_fmt(&i->arena, "%zu/%s", all[e].route->place, all[e].path);
        map_put(&i->expressions, key, (void *)(uintptr_t)arena_str(&i->arena, all[e].text).p);
    }
    mem_free(all);
}

/* ---- hosts ---- */

static bool host_covers(struct str wide, struct str host) {
    return str_starts(wide, STR("*.")) && host.n > wide.n - 1 && str_ends(host, str_skip(wide, 1));
}

bool import_share_host(const struct kong_entity *a, const struct kong_entity *b) {
    const cJSON *x, *y, *as = kong_texts(a->json, "hosts"), *bs = kong_texts(b->json, "hosts");
    if (!as || !bs)
        return true;
    cJSON_ArrayForEach(x, as) {
        cJSON_ArrayForEach(y, bs) {
            struct str s = str_of(x->valuestring), t = str_of(y->valuestring);
            if (str_eq_nocase(s, t) || host_covers(s, t) || host_covers(t, s))
                return true;
        }
    }
    return false;
}

/* Lower case, without port; false: it cannot be written. */
static bool take_host(struct import *i, struct import_route *r, struct str host, struct str *to) {
    struct str name, port = str_cut(host, ':', &name);
    struct why why = {0};
    char *p = arena_alloc(&i->arena, name.n + 1);
    str_lower(p, name);
    p[name.n] = 0;
    *to = str_mk(p, name.n);
    if (port.p)
        import_say(i, IMPORT_DIFFERS, r->object, STR("hosts"), host,
                   "the port is left out: a host counts on every port");
    return kube_rule_check(KUBE_HOSTNAME, *to, &why) == 0;
}

static bool has_text(const cJSON *list, struct str s) {
    const cJSON *item;
    cJSON_ArrayForEach(item, list) {
        if (str_eq(str_of(item->valuestring), s))
            return true;
    }
    return false;
}

static void add_hosts(struct import *i, struct import_route *r, const cJSON *hosts,
                      const char *field) {
    const cJSON *host;
    cJSON_ArrayForEach(host, hosts) {
        struct str name;
        if (!take_host(i, r, str_of(host->valuestring), &name))
            import_say(i, IMPORT_CLOSED, r->object, str_of(field), str_of(host->valuestring),
                       "cannot be a host here, so nothing is served for it; write exact names or "
                       "*.example.com");
        else if (!has_text(r->hostnames, name))
            import_text_item(r->hostnames, name);
    }
}

static void match_hosts(struct import *i, struct import_route *r) {
    const cJSON *hosts = kong_texts(r->e->json, "hosts"), *snis = kong_texts(r->e->json, "snis");
    r->hostnames = hosts || snis ? cJSON_CreateArray() : NULL;
    if (hosts)
        add_hosts(i, r, hosts, "hosts");
    else if (snis)
        add_hosts(i, r, snis, "snis");
    if (snis)
        import_say(i, IMPORT_DIFFERS, r->object, STR("snis"), import_value(i, "snis", snis),
                   hosts ? "hosts alone decide, whatever name the handshake was for"
                         : "are kept as hostnames: the Host of the request decides, not the "
                           "handshake");
    r->nowhere = r->hostnames && !r->hostnames->child;
}

/* ---- headers ---- */

static void add_value(struct out *o, const cJSON *values) {
    const cJSON *value;
    cJSON_ArrayForEach(value, values) {
        if (value != values->child)
            out_char(o, '|');
        import_quote(o, str_of(value->valuestring));
    }
}

static bool has_letters(struct str s) {
    for (size_t c = 0; c < s.n; c++)
        if (char_lower(s.p[c]) >= 'a' && char_lower(s.p[c]) <= 'z')
            return true;
    return false;
}

/* Kong compares without case; false: it cannot be written. */
static bool add_header(cJSON *to, const cJSON *values) {
    struct str only = values->child->next ? STR_NONE : str_of(values->child->valuestring);
    struct out o = out_heap(REGEX_MAX);
    struct why why = {0};
    bool expression = true;
    if (str_starts(only, STR("~*"))) {
        out_fmt(&o, "(?i).*(?:%.*s).*", STR_FMT(str_skip(only, 2)));
    } else if (only.p && !has_letters(only)) {
        expression = false;
        out_str(&o, only);
    } else {
        out_lit(&o, "(?i)(?:");
        add_value(&o, values);
        out_char(&o, ')');
    }
    struct regex *re = expression && !o.over ? regex_new(out_done(&o), &why) : NULL;
    bool good = !o.over && (re || !expression);
    regex_free(re);
    cJSON *h = doc_item(to);
    if (expression)
        cJSON_AddStringToObject(h, "type", "RegularExpression");
    doc_text(h, "name", str_of(values->string));
    doc_text(h, "value", out_done(&o));
    out_fini(&o);
    return good;
}

static void match_headers(struct import *i, struct import_route *r) {
    const cJSON *headers = json_get(r->e->json, "headers"), *values;
    struct why why = {0};
    unsigned n = 0;
    if (!headers || !headers->child)
        return;
    r->headers = cJSON_CreateArray();
    cJSON_ArrayForEach(values, headers) {
        if (n++ == 16 || !kong_texts(headers, values->string) ||
            kube_rule_check(KUBE_HEADER, str_of(values->string), &why) != 0 ||
            !add_header(r->headers, values)) {
            import_close(i, r, r->object, STR("headers"), str_of(values->string),
                         "cannot be matched here; write the headers of its matches");
            cJSON_Delete(r->headers);
            r->headers = NULL;
            return;
        }
    }
}

/* ---- paths ---- */

static void add_match(struct import_route *r, cJSON *to, const char *type, struct str value,
                      struct str method) {
    cJSON *m = doc_item(to), *path = cJSON_AddObjectToObject(m, "path");
    cJSON_AddStringToObject(path, "type", type);
    doc_text(path, "value", value);
    doc_text(m, "method", method);
    if (r->headers)
        cJSON_AddItemToObject(m, "headers", cJSON_Duplicate(r->headers, true));
}

void import_add_matches(struct import *i, struct import_route *r, cJSON *to, const char *type,
                        struct str value) {
    const cJSON *method, *methods = kong_texts(r->e->json, "methods");
    struct why why = {0};
    if (!methods)
        add_match(r, to, type, value, STR_NONE);
    cJSON_ArrayForEach(method, methods) {
        struct str name = str_of(method->valuestring);
        if (kube_rule_check(KUBE_METHOD, name, &why) == 0)
            add_match(r, to, type, value, name);
        else
            import_close(i, r, r->object, STR("methods"), name, "is no method in upper case");
    }
}

static bool has_prefix(const struct import_route *r, struct str path) {
    const cJSON *m;
    cJSON_ArrayForEach(m, r->prefixes) {
        if (str_eq(str_of(doc_get(doc_each(m, "path"), "value")), path))
            return true;
    }
    return false;
}

/* Bytes that stand in no request as they are: spaces and what is no ASCII. */
static struct str encoded(struct import *i, struct str path) {
    struct out o = out_heap(16384);
    for (size_t c = 0; c < path.n; c++)
        if ((unsigned char)path.p[c] > 0x7e || (unsigned char)path.p[c] <= ' ')
            out_fmt(&o, "%%%02X", (unsigned char)path.p[c]);
        else
            out_char(&o, path.p[c]);
    struct str s = arena_str(&i->arena, out_done(&o));
    out_fini(&o);
    return s;
}

static void match_prefix(struct import *i, struct import_route *r, struct str path) {
    struct str canonical = encoded(i, path);
    char *room = arena_alloc(&i->arena, canonical.n + 1);
    if (path.n == 0 || canonical.n > 1024 || path.p[0] != '/' ||
        !path_canonicalise(canonical, room, &canonical)) {
        import_say(i, IMPORT_CLOSED, r->object, STR("paths"), path,
                   "no request can have it here (400 ambiguous_path), so it is left out");
        return;
    }
    if (canonical.n > 1 && str_ends(canonical, STR("/"))) {
        canonical.n--;
        import_say(i, IMPORT_DIFFERS, r->object, STR("paths"), STR("/.../"),
                   "a path with / at its end matches without it too");
    } else if (canonical.n > 1) {
        import_say(i, IMPORT_DIFFERS, r->object, STR("paths"), STR("/..."),
                   "match whole segments: /shop matches /shop and /shop/a, in Kong also "
                   "/shopping");
    }
    if (!has_prefix(r, canonical))
        import_add_matches(i, r, r->prefixes, "PathPrefix", canonical);
}

/* Closes all below what such paths begin with, so that no other route gets them. */
static void close_below(struct import *i, struct import_route *r, struct str literal) {
    struct str canonical = literal;
    size_t n = literal.n > 1024 ? 1024 : literal.n;
    while (n > 0 && literal.p[n - 1] != '/')
        n--;
    canonical.n = n > 1 ? n - 1 : 0;
    if (canonical.n == 0 || !path_is_canonical(canonical))
        canonical = STR("/");
    if (!has_prefix(r, canonical))
        import_add_matches(i, r, r->prefixes, "PathPrefix", canonical);
}

static void match_expression(struct import *i, struct import_route *r, struct str path,
                             struct str bare) {
    struct str key = arena_fmt(&i->arena, "%zu/%.*s", r->e->place, STR_FMT(path));
    struct str text = str_of(map_get(&i->expressions, key));
    struct why why = {0};
    struct regex *re = regex_new(text, &why);
    if (re) {
        import_add_matches(i, r, r->expressions, "RegularExpression", text);
    } else {
        import_close(i, r, r->object, STR("paths"), path, "%s", why.text);
        close_below(i, r, import_literal(bare));
    }
    regex_free(re);
    if (r->strip && !(ends_itself(bare) && str_ends(bare, STR("$"))))
        import_close(i, r, r->object, STR("strip_path"), path,
                     "what a regular expression matched cannot be cut off: set strip_path to false "
                     "if the backend knows the whole path, or write a PathPrefix");
}

static void match_paths(struct import *i, struct import_route *r) {
    const cJSON *path, *paths = kong_texts(r->e->json, "paths");
    struct str bare;
    r->prefixes = cJSON_CreateArray();
    r->expressions = cJSON_CreateArray();
    r->guards = cJSON_CreateArray();
    r->strip = kong_bool(r->e->json, "strip_path", true) && paths;
    if (!paths)
        import_add_matches(i, r, r->prefixes, "PathPrefix", STR("/"));
    cJSON_ArrayForEach(path, paths) {
        struct str text = str_of(path->valuestring);
        if (import_is_regex(i, text, &bare))
            match_expression(i, r, text, bare);
        else
            match_prefix(i, r, text);
    }
}

void import_match(struct import *i, struct import_route *r) {
    match_hosts(i, r);
    match_headers(i, r);
    match_paths(i, r);
}

/* ---- guards ---- */

/* Whether a plain path of another route would get what only begins like prefix. */
static bool takes_rest(struct str other, struct str prefix) {
    if (str_ends(other, STR("/")))
        other.n--;
    return prefix.n > other.n && str_starts(prefix, other) && prefix.p[other.n] == '/';
}

static bool is_threatened(struct import *i, struct import_route *r, struct str prefix) {
    for (const struct kong_entity *e = NULL; (e = kong_next(i->kong, KONG_ROUTE, e));) {
        const cJSON *path, *paths = kong_texts(e->json, "paths");
        struct str expression;
        if (e == r->e || !import_is_served(i, e) || !import_share_host(e, r->e))
            continue;
        if (!paths)
            return true;
        cJSON_ArrayForEach(path, paths) {
            struct str text = str_of(path->valuestring);
            if (!import_is_regex(i, text, &expression) && takes_rest(text, prefix))
                return true;
        }
    }
    return false;
}

/* What other routes have said they want of it stays theirs. */
static void except(struct import *i, struct import_route *r, struct str prefix, bool expressions,
                   struct out *o) {
    for (const struct kong_entity *e = NULL; (e = kong_next(i->kong, KONG_ROUTE, e));) {
        const cJSON *path;
        struct str bare;
        if (!import_is_served(i, e) || !import_share_host(e, r->e))
            continue;
        cJSON_ArrayForEach(path, kong_texts(e->json, "paths")) {
            struct str text = str_of(path->valuestring);
            bool regex = import_is_regex(i, text, &bare);
            struct str literal = import_literal(bare);
            if (regex != expressions)
                continue;
            if (regex && (str_starts(literal, prefix) || str_starts(prefix, literal))) {
                out_fmt(o, "(?!(?:%.*s)$)", STR_FMT(whole(i, bare)));
            } else if (!regex && text.n > prefix.n && str_starts(text, prefix) &&
                       text.p[prefix.n] != '/') {
                if (str_ends(text, STR("/")))
                    text.n--;
                out_lit(o, "(?!");
                import_quote(o, str_skip(text, prefix.n));
                out_lit(o, "(?:/|$))");
            }
        }
    }
}

/* "/+admin/+x" of "/admin/x": Kong takes repeated slashes for one, here they stay. */
static void quote_slashes(struct out *o, struct str prefix) {
    struct str part;
    for (struct str rest = str_skip(prefix, 1); rest.p;) {
        rest = str_cut(rest, '/', &part);
        out_lit(o, "/+");
        import_quote(o, part);
    }
}

/* What begins like a prefix and does not end there at a segment. */
static void guard_prefix(struct import *i, struct import_route *r, struct str prefix) {
    struct out o = out_heap(REGEX_MAX);
    except(i, r, prefix, true, &o);
    out_lit(&o, "(?!");
    import_quote(&o, prefix);
    out_lit(&o, "(?:/|$))");
    quote_slashes(&o, prefix);
    except(i, r, prefix, false, &o);
    out_lit(&o, ".*");
    if (o.over) {
        import_close(i, r, r->object, STR("paths"), prefix,
                     "what only begins like it cannot be kept from another route: too many "
                     "exceptions; compare their policies");
    } else {
        import_add_matches(i, r, r->guards, "RegularExpression",
                           arena_str(&i->arena, out_done(&o)));
        import_say(
            i, IMPORT_DIFFERS, r->object, STR("paths"), prefix,
            "what only begins like it (%.*s-x), or has // in it, is answered with 404, since "
            "a route with other rules would get it",
            STR_FMT(prefix));
    }
    out_fini(&o);
}

static void guard_expressions(struct import *i, struct import_route *r) {
    import_add_matches(i, r, r->guards, "RegularExpression", STR(".*//.*"));
    import_say(
        i, IMPORT_DIFFERS, r->object, STR("paths"), STR("//"),
        "paths with // in them are answered with 404 on its hosts, since Kong takes that for "
        "one slash and another route would get them");
}

/* "/foo/" does not match /foo in Kong: a route that is stricter had it. */
static void guard_slash(struct import *i, struct import_route *r, struct str path) {
    struct str bare = str_mk(path.p, path.n - 1), expression;
    bool had = false;
    for (const struct kong_entity *e = NULL; (e = kong_next(i->kong, KONG_ROUTE, e));) {
        const cJSON *p, *paths = kong_texts(e->json, "paths");
        if (e == r->e || !import_is_served(i, e) || !import_share_host(e, r->e) ||
            !import_is_stricter(i, e, r->e))
            continue;
        had |= !paths;
        cJSON_ArrayForEach(p, paths) {
            had |= import_is_regex(i, str_of(p->valuestring), &expression)
                       ? str_starts(bare, import_literal(expression)) ||
                             str_starts(import_literal(expression), bare)
                       : str_starts(bare, str_of(p->valuestring));
        }
    }
    if (!had)
        return;
    import_add_matches(i, r, r->guards, "Exact", bare);
    import_say(i, IMPORT_DIFFERS, r->object, STR("paths"), path,
               "without the / at its end it is answered with 404: in Kong a route that is guarded "
               "in another way had it");
}

void import_guard(struct import *i, struct import_route *r) {
    const cJSON *path;
    struct str expression;
    bool expressions = false;
    cJSON_ArrayForEach(path, kong_texts(r->e->json, "paths")) {
        struct str text = str_of(path->valuestring);
        if (import_is_regex(i, text, &expression)) {
            expressions |= r->restricted && is_threatened(i, r, STR("/x"));
            continue;
        }
        if (text.n > 2 && text.p[0] == '/' && str_ends(text, STR("/"))) {
            guard_slash(i, r, text);
            text.n--;
        }
        if (text.n > 1 && text.p[0] == '/' && r->restricted && is_threatened(i, r, text))
            guard_prefix(i, r, text);
    }
    if (expressions)
        guard_expressions(i, r);
}
