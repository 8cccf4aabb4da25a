/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/request.h"

#include "lib/mem.h"
#include "lib/path.h"
#include "proxy/http/h1.h"

#include <errno.h>

/* http://shop.example.com:8080/catalog?x=1 → authority and target. */
static bool split_url(struct str url, struct str *authority, struct str *target,
                      struct request *r) {
    r->port = 80;
    if (str_starts(url, STR("https://"))) {
        r->port = 443;
        r->secure = true;
        url = str_skip(url, 8);
    } else if (str_starts(url, STR("http://"))) {
        url = str_skip(url, 7);
    } else {
        return false;
    }
    size_t n = size_min(str_find(url, '/', 0), str_find(url, '?', 0));
    *authority = str_mk(url.p, n);
    *target = str_skip(url, n);
    return n > 0;
}

/* ---- the token ---- */

static enum ctl_exit read_all(struct ctl *c, FILE *f, const char *name, struct out *o) {
    char room[4096];
    for (size_t n; (n = fread(room, 1, sizeof(room), f)) > 0 && !o->over;)
        out_bytes(o, room, n);
    if (ferror(f))
        return ctl_fail(c, CTL_UNREACHABLE, "%s cannot be read: %s", name, strerror(errno));
    return o->over ? ctl_fail(c, CTL_USAGE, "%s is longer than any token", name) : CTL_OK;
}

/* "-": from standard input; "@FILE"; else itself. */
static enum ctl_exit read_token(struct ctl *c, struct out *o) {
    const char *name = c->token;
    enum ctl_exit code = CTL_OK;
    if (strcmp(name, "-") == 0) {
        code = read_all(c, stdin, "standard input", o);
    } else if (name[0] == '@') {
        FILE *f = fopen(++name, "re");
        if (!f)
            return ctl_fail(c, CTL_UNREACHABLE, "%s cannot be opened: %s", name, strerror(errno));
        code = read_all(c, f, name, o);
        fclose(f);
    } else {
        out_str(o, str_of(name));
    }
    return code;
}

/* As whoever asks writes it (RFC 6750 2.1). */
static enum ctl_exit write_token(struct ctl *c, struct out *o) {
    struct out room = out_heap(HEAD_BYTES_MAX);
    enum ctl_exit code = read_token(c, &room);
    struct str token = out_done(&room);
    while (token.p && token.n > 0 && (unsigned char)token.p[token.n - 1] <= ' ')
        token.n--;
    if (code == CTL_OK && (!token.p || token.n == 0))
        code = ctl_fail(c, CTL_USAGE, "--token is empty");
    else if (code == CTL_OK && memchr(token.p, '\n', token.n))
        code = ctl_fail(c, CTL_USAGE, "--token is one line, without anything around it");
    out_lit(o, "Authorization: Bearer ");
    out_str(o, token);
    out_lit(o, "\r\n");
    out_fini(&room);
    return code;
}

/* ---- the request ---- */

static void write_head(struct ctl *c, struct out *o, const char *method, struct str authority,
                       struct str target) {
    out_str(o, str_of(method));
    out_str(o, target.n > 0 && target.p[0] == '/' ? STR(" ") : STR(" /"));
    out_str(o, target);
    out_lit(o, " HTTP/1.1\r\nHost: ");
    out_str(o, authority);
    out_lit(o, "\r\n");
    for (unsigned i = 0; i < c->n_headers; i++) {
        out_str(o, str_of(c->headers[i]));
        out_lit(o, "\r\n");
    }
}

static void canonical(struct request *r) {
    struct str host = head_str(&r->head, r->head.host), raw = head_str(&r->head, r->head.raw_path);
    r->room = mem_alloc(host.n + raw.n + 1);
    str_lower(r->room, host);
    if (host.n > 0 && host.p[host.n - 1] == '.')
        host.n--; /* the root of the DNS is silent */
    r->host = str_mk(r->room, host.n);
    if (!path_canonicalise(raw, r->room + host.n, &r->path)) {
        r->path = raw;
        r->reason = REASON_AMBIGUOUS_PATH;
        r->detail = "the path could be read in two ways";
    }
}

enum ctl_exit request_read(struct ctl *c, const char *method, const char *url, struct request *r) {
    static const struct head_limits limits = {.bytes = 32768, .fields = 100, .cookies = 100};
    struct str authority, target;
    enum ctl_exit code;
    *r = (struct request){.bytes = out_heap(HEAD_BYTES_MAX)};
    if (!split_url(str_of(url), &authority, &target, r))
        return ctl_fail(c, CTL_USAGE, "'%s' is no URL; write it as http://shop.example.com/path",
                        url);
    for (unsigned i = 0; i < c->n_headers; i++)
        if (!strchr(c->headers[i], ':'))
            return ctl_fail(c, CTL_USAGE, "-H '%s' is no header; write it as 'Name: value'",
                            c->headers[i]);
    write_head(c, &r->bytes, method, authority, target);
    if (c->token && (code = write_token(c, &r->bytes)) != CTL_OK)
        return code;
    out_lit(&r->bytes, "\r\n");
    if (r->bytes.over)
        return ctl_fail(c, CTL_USAGE, "the request is longer than any that a proxy takes");
    struct h1_scan scan = {0};
    size_t skipped;
    enum h1 done = h1_parse_request(&scan, r->bytes.p, r->bytes.n, &limits, &r->head, &skipped,
                                    &r->reason, &r->detail);
    if (done == H1_BAD)
        return CTL_OK;
    if (done != H1_DONE || r->head.n != r->bytes.n)
        return ctl_fail(c, CTL_USAGE, "method, URL and headers do not make one request");
    r->reason = REASON_NONE;
    canonical(r);
    return CTL_OK;
}

void request_fini(struct request *r) {
    out_fini(&r->bytes);
    mem_free(r->room);
}
