/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/bench_mix.h"

#include "ctl/read.h"
#include "lib/json.h"
#include "lib/map.h"
#include "lib/mem.h"
#include "lib/units.h"
#include "proxy/http/token.h"

#include <stdlib.h>

enum { HEAD_MAX = 64 << 10 };

/* A request that is being put together; all of it is borrowed. */
struct draft {
    struct str method, authority, target, body;
    struct str names[BENCH_HEADERS_MAX], values[BENCH_HEADERS_MAX];
    size_t n;
};

void bench_mix_init(struct bench_mix *m) {
    *m = (struct bench_mix){0};
    arena_init(&m->arena);
}

void bench_mix_fini(struct bench_mix *m) {
    mem_free(m->kinds);
    mem_free(m->order);
    mem_free(m->at_ns);
    arena_fini(&m->arena);
}

bool bench_url(struct str text, struct bench_url *u) {
    *u = (struct bench_url){.secure = str_starts(text, STR("https://"))};
    if (!u->secure && !str_starts(text, STR("http://")))
        return false;
    struct str port, rest = str_skip(text, u->secure ? 8 : 7);
    size_t n =
        size_min(size_min(str_find(rest, '/', 0), str_find(rest, '?', 0)), str_find(rest, '#', 0));
    u->authority = str_mk(rest.p, n);
    rest = str_skip(rest, n);
    u->target = str_mk(rest.p, str_find(rest, '#', 0));
    if (str_find(u->authority, '@', 0) < u->authority.n)
        return false;
    if (u->authority.n > 0 && u->authority.p[0] == '[') {
        size_t end = str_find(u->authority, ']', 0);
        if (end == u->authority.n)
            return false;
        u->host = str_mk(u->authority.p + 1, end - 1);
        port = str_skip(u->authority, end + 1);
        if (port.n > 0 && port.p[0] != ':')
            return false;
        port = port.n > 0 ? str_skip(port, 1) : STR_NONE;
    } else {
        port = str_cut(u->authority, ':', &u->host);
    }
    uint64_t number = u->secure ? 443 : 80;
    if (port.p && (!str_to_u64(port, UINT16_MAX, &number) || number == 0))
        return false;
    u->port = (uint16_t)number;
    return u->host.n > 0;
}

/* ---- one request, put together ---- */

static bool is_token(struct str s) {
    for (size_t i = 0; i < s.n; i++)
        if (!((s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= 'A' && s.p[i] <= 'Z') ||
              (s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] && strchr("!#$%&'*+-.^_`|~", s.p[i]))))
            return false;
    return s.n > 0;
}

/* No blank and no control: nothing that would end it. */
static bool is_word(struct str s) {
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] <= ' ' || s.p[i] == 0x7f)
            return false;
    return s.n > 0;
}

static bool is_value(struct str s) {
    for (size_t i = 0; i < s.n; i++)
        if (((unsigned char)s.p[i] < ' ' && s.p[i] != '\t') || s.p[i] == 0x7f)
            return false;
    return true;
}

/* "Name: value". */
static int add_header(struct draft *d, struct str line, struct why *why) {
    struct shown shown;
    struct str name, value = str_cut(line, ':', &name);
    name = str_trim(name);
    value = str_trim(value);
    if (!value.p || !is_token(name) || !is_value(value))
        return why_text(why, "%s is no header; write it as 'Name: value'", why_show(line, &shown));
    if (str_eq_nocase(name, STR("content-length")) || str_eq_nocase(name, STR("transfer-encoding")))
        return why_text(why, "%.*s is written from the body; leave it out", STR_FMT(name));
    if (str_eq_nocase(name, STR("host"))) {
        if (!is_word(value))
            return why_text(why, "%s is no host", why_show(value, &shown));
        d->authority = value;
        return 0;
    }
    if (d->n == BENCH_HEADERS_MAX)
        return why_text(why, "a request has at most %d headers", BENCH_HEADERS_MAX);
    d->names[d->n] = name;
    d->values[d->n++] = value;
    return 0;
}

static bool has(const struct draft *d, struct str name) {
    for (size_t i = 0; i < d->n; i++)
        if (str_eq_nocase(d->names[i], name))
            return true;
    return false;
}

/* Those that everybody has stand behind a request's own, which win. */
static int add_defaults(struct draft *d, const struct bench_defaults *all, struct why *why) {
    struct str authority = d->authority;
    for (unsigned i = 0; i < all->n_headers; i++) {
        struct str name;
        str_cut(str_of(all->headers[i]), ':', &name);
        if (!has(d, str_trim(name)) && add_header(d, str_of(all->headers[i]), why) != 0)
            return -1;
    }
    if (authority.n > 0)
        d->authority = authority;
    else if (d->authority.n == 0)
        d->authority = all->authority;
    if (!has(d, STR("user-agent")) && d->n < BENCH_HEADERS_MAX) {
        d->names[d->n] = STR("User-Agent");
        d->values[d->n++] = STR("sluicectl-bench");
    }
    return 0;
}

static bool needs_length(const struct draft *d) {
    return d->body.n > 0 || str_eq(d->method, STR("POST")) || str_eq(d->method, STR("PUT")) ||
           str_eq(d->method, STR("PATCH"));
}

static void write_h1(struct bench_mix *m, struct bench_kind *k, const struct draft *d) {
    struct out o = out_heap(SIZE_MAX);
    out_str(&o, d->method);
    out_char(&o, ' ');
    out_str(&o, d->target);
    out_lit(&o, " HTTP/1.1\r\nHost: ");
    out_str(&o, d->authority);
    for (size_t i = 0; i < d->n; i++) {
        out_lit(&o, "\r\n");
        out_str(&o, d->names[i]);
        out_lit(&o, ": ");
        out_str(&o, d->values[i]);
    }
    if (needs_length(d)) {
        out_lit(&o, "\r\nContent-Length: ");
        out_u64(&o, d->body.n);
    }
    out_lit(&o, "\r\n\r\n");
    size_t head = o.n;
    out_str(&o, d->body);
    k->h1 = arena_str(&m->arena, out_done(&o));
    k->body = str_skip(k->h1, head);
    out_fini(&o);
}

static nghttp2_nv field(struct str name, struct str value) {
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name.p, (uint8_t *)(uintptr_t)value.p, name.n,
                        value.n, NGHTTP2_NV_FLAG_NONE};
}

/* Fields of one connection are not of HTTP/2 (RFC 9113 8.2.2). */
static void write_h2(struct bench_mix *m, struct bench_kind *k, const struct draft *d,
                     bool secure) {
    struct arena *a = &m->arena;
    nghttp2_nv *nv = arena_array(a, d->n + 5, sizeof(*nv));
    size_t n = 0;
    nv[n++] = field(STR(":method"), arena_str(a, d->method));
    nv[n++] = field(STR(":scheme"), secure ? STR("https") : STR("http"));
    nv[n++] = field(STR(":authority"), arena_str(a, d->authority));
    nv[n++] = field(STR(":path"), arena_str(a, d->target));
    for (size_t i = 0; i < d->n; i++) {
        if (token_flags(token_of(d->names[i])) & TOKEN_IS_HOP)
            continue;
        struct str name = arena_str(a, d->names[i]);
        str_lower((char *)(uintptr_t)name.p, d->names[i]);
        nv[n++] = field(name, arena_str(a, d->values[i]));
    }
    if (needs_length(d))
        nv[n++] = field(STR("content-length"), arena_fmt(a, "%zu", d->body.n));
    k->nv = nv;
    k->n_nv = n;
}

static int check(const struct draft *d, struct why *why) {
    struct shown shown;
    if (!is_token(d->method) || d->method.n > 24 || method_of(d->method) == METHOD_CONNECT)
        return why_text(why, "%s is no method that can be sent", why_show(d->method, &shown));
    if (!is_word(d->target) || d->target.p[0] != '/')
        return why_text(why, "%s is no path; write it as /catalog?page=1, blanks as %%20",
                        why_show(d->target, &shown));
    if (!is_word(d->authority))
        return why_text(why, "%s is no host", why_show(d->authority, &shown));
    if (d->body.n > BENCH_BODY_MAX)
        return why_text(why, "a body has at most %d bytes", BENCH_BODY_MAX);
    return 0;
}

/* Its index, or -1 with *why. */
static int64_t add_kind(struct bench_mix *m, const struct bench_defaults *all, struct draft *d,
                        struct why *why) {
    if (d->target.n == 0)
        d->target = STR("/");
    if (add_defaults(d, all, why) != 0 || check(d, why) != 0)
        return -1;
    if (m->n_kinds == BENCH_KINDS_MAX)
        return why_text(why, "there are more than %d different requests", BENCH_KINDS_MAX);
    if (m->n_kinds == m->room_kinds) {
        m->room_kinds = m->room_kinds ? m->room_kinds * 2 : 16;
        m->kinds = mem_realloc(m->kinds, m->room_kinds * sizeof(*m->kinds));
    }
    struct bench_kind *k = &m->kinds[m->n_kinds];
    *k = (struct bench_kind){.method = method_of(d->method)};
    write_h1(m, k, d);
    write_h2(m, k, d, all->secure);
    return (int64_t)m->n_kinds++;
}

static void add_order(struct bench_mix *m, uint32_t kind) {
    if (m->n_order == m->room_order) {
        m->room_order = m->room_order ? m->room_order * 2 : 256;
        m->order = mem_realloc(m->order, m->room_order * sizeof(*m->order));
    }
    m->order[m->n_order++] = kind;
}

int bench_mix_one(struct bench_mix *m, const struct bench_defaults *d, struct str method,
                  struct str target, struct str body, struct why *why) {
    struct draft draft = {.method = method, .target = target, .body = body};
    int64_t kind = add_kind(m, d, &draft, why);
    if (kind < 0)
        return -1;
    add_order(m, (uint32_t)kind);
    return 0;
}

/* ---- a file ---- */

static struct str next_line(struct str *text) {
    struct str line;
    *text = str_cut(*text, '\n', &line);
    if (line.n > 0 && line.p[line.n - 1] == '\r')
        line.n--;
    return line;
}

/* "[WEIGHT] METHOD URL". */
static int read_request_line(struct str line, const struct bench_defaults *all, struct draft *d,
                             uint64_t *weight, struct why *why) {
    struct shown shown;
    struct bench_url url;
    struct str word, rest = str_cut(line, ' ', &word);
    *weight = 1;
    if (word.n > 0 && word.p[0] >= '0' && word.p[0] <= '9') {
        if (!str_to_u64(word, BENCH_WEIGHTS_MAX, weight) || *weight == 0)
            return why_text(why, "the weight %s is not within 1 and %d", why_show(word, &shown),
                            BENCH_WEIGHTS_MAX);
        rest = str_cut(str_trim(rest), ' ', &word);
    }
    *d = (struct draft){.method = word, .target = str_trim(rest)};
    if (rest.p && !str_starts(d->target, STR("/"))) {
        if (!bench_url(d->target, &url))
            return why_text(why, "%s is no URL and no path", why_show(d->target, &shown));
        if (url.secure != all->secure)
            return why_text(why,
                            "%s is %s, and the load goes to %s; leave the scheme and host out, or "
                            "write the same",
                            why_show(d->target, &shown), url.secure ? "https" : "http",
                            all->secure ? "https" : "http");
        d->authority = url.authority;
        d->target = url.target;
    }
    if (!rest.p || !is_token(d->method))
        return why_text(why, "%s is no request; write it as GET /path or 3 GET /path",
                        why_show(line, &shown));
    return 0;
}

static int read_body(struct bench_mix *m, struct str name, struct draft *d, struct why *why) {
    struct out o = out_heap(READ_MAX);
    struct str path = arena_str(&m->arena, str_trim(name));
    int rc = read_file(path.p, &o, why);
    if (rc == 0)
        d->body = arena_str(&m->arena, out_done(&o));
    out_fini(&o);
    return rc;
}

/* Whether a line is one of the request before it, and not a request. */
static bool is_header(struct str line) {
    struct str name;
    return str_cut(line, ':', &name).p && is_token(name);
}

static uint64_t divisor(uint64_t a, uint64_t b) { return b == 0 ? a : divisor(b, a % b); }

/* Each kind as often as it weighs, as far apart as can be: at each step every kind gains its
 * weight, the richest is taken and pays the sum. */
static int mix_weights(struct bench_mix *m, const uint64_t *weights, struct why *why) {
    uint64_t common = 0, sum = 0;
    for (size_t i = 0; i < m->n_kinds; i++)
        common = divisor(weights[i], common);
    for (size_t i = 0; i < m->n_kinds; i++)
        sum += weights[i] / common;
    bool equal = sum == m->n_kinds;
    if (sum > BENCH_WEIGHTS_MAX || (!equal && sum * m->n_kinds > 100 * (uint64_t)BENCH_WEIGHTS_MAX))
        return why_text(
            why, "%zu requests whose weights are %llu in sum are too many; use smaller weights",
            m->n_kinds, (unsigned long long)sum);
    int64_t *credit = mem_array(m->n_kinds, sizeof(*credit));
    for (uint64_t step = 0; step < sum; step++) {
        size_t best = equal ? step : 0;
        for (size_t i = 0; !equal && i < m->n_kinds; i++) {
            credit[i] += (int64_t)(weights[i] / common);
            if (credit[i] > credit[best])
                best = i;
        }
        credit[best] -= (int64_t)sum;
        add_order(m, (uint32_t)best);
    }
    mem_free(credit);
    return 0;
}

/* The lines behind a request's own, up to the next one. */
static int read_rest(struct bench_mix *m, struct str *text, struct draft *d, unsigned *number,
                     struct why *why) {
    for (struct str ahead = *text; text->p; *text = ahead) {
        struct str line = str_trim(next_line(&ahead));
        bool body = line.n > 0 && line.p[0] == '@';
        if (line.n > 0 && line.p[0] != '#' && !body && !is_header(line))
            return 0;
        ++*number;
        if (line.n == 0 || line.p[0] == '#')
            continue;
        if (body ? read_body(m, str_skip(line, 1), d, why) : add_header(d, line, why))
            return -1;
    }
    return 0;
}

int bench_mix_file(struct bench_mix *m, const struct bench_defaults *all, struct str text,
                   struct why *why) {
    uint64_t *weights = NULL;
    unsigned number = 0;
    int rc = 0;
    while (rc == 0 && text.p) {
        struct draft d;
        uint64_t weight;
        struct str line = str_trim(next_line(&text));
        number++;
        if (line.n == 0 || line.p[0] == '#')
            continue;
        unsigned at = number;
        why_field(why, "line %u", at);
        if (read_request_line(line, all, &d, &weight, why) != 0 ||
            read_rest(m, &text, &d, &number, why) != 0 || add_kind(m, all, &d, why) < 0) {
            rc = -1;
        } else {
            weights = mem_realloc(weights, m->n_kinds * sizeof(*weights));
            weights[m->n_kinds - 1] = weight;
        }
    }
    if (rc == 0)
        why_field(why, "%s", "");
    if (rc == 0)
        rc = weights ? mix_weights(m, weights, why) : why_text(why, "there is no request in it");
    mem_free(weights);
    return rc;
}

/* ---- a log ---- */

/* 2026-11-26T08:00:00.123456Z in nanoseconds; false: it is none. */
static bool read_time(struct str ts, uint64_t *ns) {
    uint64_t seconds, part = 0, unit = 1000000000;
    if (unit_time(ts, &seconds, NULL) != 0)
        return false;
    for (size_t i = str_find(ts, '.', 0) + 1; i < ts.n && ts.p[i] >= '0' && ts.p[i] <= '9'; i++) {
        unit /= 10;
        part += (uint64_t)(ts.p[i] - '0') * unit;
    }
    *ns = seconds * 1000000000ULL + part;
    return true;
}

static bool is_safe(struct str method) {
    enum method k = method_of(method);
    return k == METHOD_GET || k == METHOD_HEAD || k == METHOD_OPTIONS;
}

/* What of a log has been seen: the key of a kind, and its number + 1 as the value. */
struct replay {
    struct map known;
    struct bench_mix *m;
    const struct bench_defaults *all;
    size_t room_at;
    bool times;
};

static int64_t kind_of(struct replay *r, struct str method, struct str host, struct str path,
                       struct why *why) {
    char room[HEAD_MAX];
    struct out o = out_fixed(room, sizeof(room));
    out_str(&o, method);
    out_char(&o, ' ');
    out_str(&o, host);
    out_char(&o, ' ');
    out_str(&o, path);
    if (o.over)
        return why_text(why, "it is too long");
    uintptr_t known = (uintptr_t)map_get(&r->known, out_done(&o));
    if (known > 0)
        return (int64_t)known - 1;
    struct draft d = {.method = method, .authority = host, .target = path};
    int64_t kind = add_kind(r->m, r->all, &d, why);
    if (kind >= 0)
        map_put(&r->known, arena_str(&r->m->arena, out_done(&o)), (void *)(uintptr_t)(kind + 1));
    return kind;
}

static int note_time(struct replay *r, const cJSON *line, struct why *why) {
    struct bench_mix *m = r->m;
    if (m->n_order > r->room_at) {
        r->room_at = r->room_at ? r->room_at * 2 : 256;
        m->at_ns = mem_realloc(m->at_ns, r->room_at * sizeof(*m->at_ns));
    }
    if (!read_time(json_text(line, "ts"), &m->at_ns[m->n_order - 1]))
        return why_text(why, "its ts is no time as 2026-11-26T08:00:00.123Z");
    return 0;
}

static int read_log_line(struct replay *r, struct str text, struct why *why) {
    cJSON *line = json_parse(text, why);
    if (!line)
        return -1;
    struct str method = json_text(line, "method"), path = json_text(line, "path");
    struct str host = json_text(line, "host");
    int64_t kind = 0;
    int rc = 0;
    if (!is_safe(method) || path.n == 0 || path.p[0] != '/') {
        r->m->left_out++; /* of a tunnel, refused before it was read, or a change */
    } else if ((kind = kind_of(r, method, host, path, why)) >= 0) {
        add_order(r->m, (uint32_t)kind);
        rc = r->times ? note_time(r, line, why) : 0;
    }
    cJSON_Delete(line);
    return kind < 0 ? -1 : rc;
}

struct timed {
    uint64_t at_ns;
    uint32_t kind;
};

static int by_time(const void *a, const void *b) {
    const struct timed *x = a, *y = b;
    return (x->at_ns > y->at_ns) - (x->at_ns < y->at_ns);
}

/* Lines are written when a request ends; ts is when it began. */
static void sort_times(struct bench_mix *m) {
    struct timed *t = mem_array(m->n_order, sizeof(*t));
    for (size_t i = 0; i < m->n_order; i++)
        t[i] = (struct timed){m->at_ns[i], m->order[i]};
    qsort(t, m->n_order, sizeof(*t), by_time);
    for (size_t i = 0; i < m->n_order; i++) {
        m->at_ns[i] = t[i].at_ns - t[0].at_ns;
        m->order[i] = t[i].kind;
    }
    mem_free(t);
}

int bench_mix_log(struct bench_mix *m, const struct bench_defaults *d, struct str text, bool times,
                  struct why *why) {
    struct replay r = {.m = m, .all = d, .times = times};
    unsigned number = 0;
    int rc = 0;
    map_init(&r.known);
    while (rc == 0 && text.p) {
        struct str line = str_trim(next_line(&text));
        why_field(why, "line %u", ++number);
        if (line.n > 0)
            rc = read_log_line(&r, line, why);
        if (rc == 0 && m->n_order > BENCH_REPLAY_MAX)
            rc = why_text(why, "a log of more than %d requests is too long", BENCH_REPLAY_MAX);
    }
    map_fini(&r.known);
    if (rc != 0)
        return -1;
    why_field(why, "%s", "");
    if (m->n_order == 0)
        return why_text(why,
                        "there is no request in it that could be replayed (GET, HEAD, OPTIONS)");
    if (times)
        sort_times(m);
    return 0;
}
