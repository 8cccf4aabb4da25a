/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/bench_options.h"

#include "ctl/read.h"
#include "lib/units.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <openssl/err.h>

enum {
    RATE_MAX = 10000000,
    CONNECTIONS = 50,
    STREAMS = 10,
    DURATION_MS = 10000,
    STEP_MS = 5000,
    WARMUP_MS = 1000,
    TIMEOUT_MS = 10000,
    OBJECTIVE_MS = 10,
    RATE = 100,
};
#define MS 1000000ULL

static const char *said(const struct ctl *c, enum said_option o) { return c->bench[o]; }

/* ---- numbers and times ---- */

static enum ctl_exit read_number(struct ctl *c, enum said_option o, uint64_t least, uint64_t most,
                                 uint64_t *v) {
    if (!said(c, o))
        return CTL_OK;
    if (!str_to_u64(str_of(said(c, o)), most, v) || *v < least)
        return ctl_fail(c, CTL_USAGE, "--%s is a number from %llu to %llu, not '%s'",
                        bench_names[o], (unsigned long long)least, (unsigned long long)most,
                        said(c, o));
    return CTL_OK;
}

static enum ctl_exit read_time(struct ctl *c, enum said_option o, uint64_t otherwise_ms, bool zero,
                               uint64_t *ns) {
    struct why why = {0};
    int64_t ms = (int64_t)otherwise_ms;
    if (said(c, o) && unit_duration(str_of(said(c, o)), &ms, &why) != 0)
        return ctl_fail(c, CTL_USAGE, "--%s: %s", bench_names[o], why.text);
    if (ms > (int64_t)BENCH_SECONDS_MAX * 1000 || (ms == 0 && !zero))
        return ctl_fail(c, CTL_USAGE, "--%s is %s and at most 24h, not '%s'", bench_names[o],
                        zero ? "0s" : "1ms at least", said(c, o));
    *ns = (uint64_t)ms * MS;
    return CTL_OK;
}

static enum ctl_exit read_rate(struct ctl *c, struct bench_plan *p) {
    uint64_t rate = RATE;
    const char *text = said(c, SAID_RATE), *arrivals = said(c, SAID_ARRIVALS);
    p->max = text && strcmp(text, "max") == 0;
    p->poisson = arrivals && strcmp(arrivals, "poisson") == 0;
    if (arrivals && !p->poisson && strcmp(arrivals, "even") != 0)
        return ctl_fail(c, CTL_USAGE, "--arrivals is even or poisson, not '%s'", arrivals);
    if (text && !p->max && (!str_to_u64(str_of(text), RATE_MAX, &rate) || rate == 0))
        return ctl_fail(c, CTL_USAGE, "--rate is a number from 1 to %d, or max, not '%s'", RATE_MAX,
                        text);
    p->rate = (double)rate;
    return CTL_OK;
}

static enum ctl_exit read_sizes(struct ctl *c, struct bench_plan *p) {
    uint64_t connections = CONNECTIONS, streams = p->http2 ? STREAMS : 1;
    enum ctl_exit code = read_number(c, SAID_CONNECTIONS, 1, BENCH_CONNECTIONS_MAX, &connections);
    if (code == CTL_OK)
        code = read_number(c, SAID_STREAMS, 1, BENCH_STREAMS_MAX, &streams);
    if (code == CTL_OK && streams > 1 && !p->http2)
        code =
            ctl_fail(c, CTL_USAGE,
                     "--streams needs --http2: HTTP/1.1 has one request at a time on a connection");
    if (code == CTL_OK && connections * streams > BENCH_FLIGHTS_MAX)
        code = ctl_fail(c, CTL_USAGE, "--connections times --streams is at most %d",
                        BENCH_FLIGHTS_MAX);
    p->connections = (unsigned)connections;
    p->streams = (unsigned)streams;
    return code;
}

static enum ctl_exit read_times(struct ctl *c, struct bench_asked *a) {
    struct bench_plan *p = &a->plan;
    bool step = a->find_knee || a->n_scale > 0;
    enum ctl_exit code =
        read_time(c, SAID_DURATION, step ? STEP_MS : DURATION_MS, false, &p->duration_ns);
    if (code == CTL_OK)
        code = read_time(c, SAID_WARMUP, WARMUP_MS, true, &p->warmup_ns);
    if (code == CTL_OK)
        code = read_time(c, SAID_TIMEOUT, TIMEOUT_MS, false, &p->timeout_ns);
    if (code == CTL_OK)
        code = read_time(c, SAID_OBJECTIVE, step ? OBJECTIVE_MS : 0, !said(c, SAID_OBJECTIVE),
                         &a->objective_ns);
    return code;
}

/* ---- what does not go together ---- */

static enum ctl_exit check(struct ctl *c) {
    static const struct {
        enum said_option one, other;
        bool needs; /* else they exclude each other */
    } pairs[] = {
        {SAID_REPLAY, SAID_REQUESTS, false},
        {SAID_METHOD, SAID_REQUESTS, false},
        {SAID_BODY, SAID_REQUESTS, false},
        {SAID_METHOD, SAID_REPLAY, false},
        {SAID_BODY, SAID_REPLAY, false},
        {SAID_REPLAY_TIMES, SAID_REPLAY, true},
        {SAID_REPLAY_TIMES, SAID_RATE, false},
        {SAID_REPLAY_TIMES, SAID_ARRIVALS, false},
        {SAID_REPLAY_TIMES, SAID_FIND_KNEE, false},
        {SAID_REPLAY_TIMES, SAID_SCALE, false},
        {SAID_CACERT, SAID_INSECURE, false},
        {SAID_SCALE_DEPLOYMENT, SAID_SCALE, true},
        {SAID_SCALE_COMMAND, SAID_SCALE, true},
        {SAID_SCALE_DEPLOYMENT, SAID_SCALE_COMMAND, false},
        {SAID_TARGET, SAID_SCALE, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        if (!said(c, pairs[i].one) || pairs[i].needs != !said(c, pairs[i].other))
            continue;
        return ctl_fail(c, CTL_USAGE, "--%s %s --%s", bench_names[pairs[i].one],
                        pairs[i].needs ? "needs" : "does not go together with",
                        bench_names[pairs[i].other]);
    }
    const char *rate = said(c, SAID_RATE);
    if ((said(c, SAID_FIND_KNEE) || said(c, SAID_SCALE)) && rate && strcmp(rate, "max") == 0)
        return ctl_fail(c, CTL_USAGE, "--rate of a search is where it begins: a number");
    if (said(c, SAID_SCALE) && !said(c, SAID_SCALE_DEPLOYMENT) && !said(c, SAID_SCALE_COMMAND))
        return ctl_fail(c, CTL_USAGE, "--scale needs --scale-deployment or --scale-command");
    if (said(c, SAID_SCALE_COMMAND) && !strstr(said(c, SAID_SCALE_COMMAND), "{n}"))
        return ctl_fail(c, CTL_USAGE, "--scale-command has no {n}, where the number is put in");
    return CTL_OK;
}

static enum ctl_exit read_scale(struct ctl *c, struct bench_asked *a) {
    uint64_t n = 0, target = 0;
    struct str rest = str_of(said(c, SAID_SCALE)), word;
    a->deployment = said(c, SAID_SCALE_DEPLOYMENT);
    a->command = said(c, SAID_SCALE_COMMAND);
    while (rest.p) {
        rest = str_cut(rest, ',', &word);
        if (a->n_scale == BENCH_POINTS_MAX || !str_to_u64(str_trim(word), BENCH_PODS_MAX, &n) ||
            n == 0)
            return ctl_fail(c, CTL_USAGE,
                            "--scale is numbers as 1,2,4 (at most %d of them), not '%s'",
                            BENCH_POINTS_MAX, said(c, SAID_SCALE));
        a->scale[a->n_scale++] = (unsigned)n;
    }
    enum ctl_exit code = read_number(c, SAID_TARGET, 1, RATE_MAX, &target);
    a->target = (double)target;
    return code;
}

/* ---- where to ---- */

static enum ctl_exit resolve(struct ctl *c, struct bench_plan *p, struct str host, uint16_t port) {
    char name[256], service[8];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    if (host.n >= sizeof(name))
        return ctl_fail(c, CTL_USAGE, "the host of the URL is too long");
    snprintf(name, sizeof(name), "%.*s", STR_FMT(host));
    snprintf(service, sizeof(service), "%u", port);
    int rc = getaddrinfo(name, service, &hints, &list);
    if (rc != 0)
        return ctl_fail(c, CTL_UNREACHABLE, "%s: %s", name, gai_strerror(rc));
    for (struct addrinfo *i = list; i && p->n_to < BENCH_ADDRESSES; i = i->ai_next) {
        memcpy(&p->to[p->n_to].a, i->ai_addr, i->ai_addrlen);
        p->to[p->n_to++].n = i->ai_addrlen;
    }
    freeaddrinfo(list);
    return CTL_OK;
}

static bool is_address(const char *name) {
    uint8_t room[16];
    return inet_pton(AF_INET, name, room) == 1 || inet_pton(AF_INET6, name, room) == 1;
}

static enum ctl_exit find_place(struct ctl *c, struct bench_asked *a, const struct bench_url *url) {
    struct bench_url to = *url;
    char room[300];
    const char *place = said(c, SAID_CONNECT_TO);
    if (place) {
        snprintf(room, sizeof(room), "http://%s", place);
        if (!bench_url(str_of(room), &to) || to.target.n > 0)
            return ctl_fail(c, CTL_USAGE, "--connect-to is HOST:PORT, not '%s'", place);
    }
    if (url->host.n >= sizeof(a->name))
        return ctl_fail(c, CTL_USAGE, "the host of the URL is too long");
    snprintf(a->name, sizeof(a->name), "%.*s", STR_FMT(url->host));
    return resolve(c, &a->plan, to.host, to.port);
}

static enum ctl_exit open_tls(struct ctl *c, struct bench_asked *a) {
    static const unsigned char h2[] = "\x02h2", h1[] = "\x08http/1.1";
    SSL_CTX *t = a->plan.tls = SSL_CTX_new(TLS_client_method());
    const char *file = said(c, SAID_CACERT);
    must(t);
    SSL_CTX_set_mode(t, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_alpn_protos(t, a->plan.http2 ? h2 : h1, a->plan.http2 ? 3 : 9);
    SSL_CTX_set_verify(t, said(c, SAID_INSECURE) ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    a->plan.name = is_address(a->name) ? NULL : a->name;
    if (!a->plan.name)
        X509_VERIFY_PARAM_set1_ip_asc(SSL_CTX_get0_param(t), a->name);
    if (file ? SSL_CTX_load_verify_file(t, file) != 1 : SSL_CTX_set_default_verify_paths(t) != 1)
        return ctl_fail(c, CTL_USAGE, "--cacert %s holds no certificates in PEM", file ? file : "");
    return CTL_OK;
}

/* ---- what is sent ---- */

static enum ctl_exit wrong(struct ctl *c, const char *what, const struct why *why) {
    return ctl_fail(c, CTL_USAGE, "%s: %s%s%s", what, why->field, why->field[0] ? ": " : "",
                    why->text);
}

static enum ctl_exit read_mix_file(struct ctl *c, struct bench_asked *a,
                                   const struct bench_defaults *d, const char *file, bool log) {
    struct why why = {0};
    struct out o = out_heap(READ_MAX);
    enum ctl_exit code = CTL_OK;
    if (read_file(file, &o, &why) != 0)
        code = ctl_fail(c, CTL_UNREACHABLE, "%s %s", file, why.text);
    else if (log ? bench_mix_log(&a->mix, d, out_done(&o), a->plan.replay, &why)
                 : bench_mix_file(&a->mix, d, out_done(&o), &why))
        code = wrong(c, file, &why);
    out_fini(&o);
    return code;
}

static enum ctl_exit read_one(struct ctl *c, struct bench_asked *a, const struct bench_defaults *d,
                              struct str target) {
    struct why why = {0};
    const char *text = said(c, SAID_BODY), *method = said(c, SAID_METHOD);
    struct out o = out_heap(READ_MAX);
    enum ctl_exit code = CTL_OK;
    if (text && text[0] == '@' && read_file(text + 1, &o, &why) != 0)
        code = ctl_fail(c, CTL_UNREACHABLE, "--body: %s %s", text + 1, why.text);
    else if (text && text[0] != '@')
        out_str(&o, str_of(text));
    if (code == CTL_OK && bench_mix_one(&a->mix, d,
                                        str_of(method ? method
                                               : text ? "POST"
                                                      : "GET"),
                                        target, out_done(&o), &why) != 0)
        code = wrong(c, "the request", &why);
    out_fini(&o);
    return code;
}

static enum ctl_exit read_requests(struct ctl *c, struct bench_asked *a,
                                   const struct bench_url *url) {
    struct bench_defaults d = {url->secure, url->authority, c->headers, c->n_headers};
    if (said(c, SAID_REQUESTS))
        return read_mix_file(c, a, &d, said(c, SAID_REQUESTS), false);
    if (said(c, SAID_REPLAY))
        return read_mix_file(c, a, &d, said(c, SAID_REPLAY), true);
    return read_one(c, a, &d, url->target);
}

/* A log ends when it ends. */
static void shorten(struct bench_asked *a, bool said_how_long) {
    uint64_t last = a->mix.at_ns ? a->mix.at_ns[a->mix.n_order - 1] + 1 : 0;
    if (last == 0)
        return;
    a->plan.warmup_ns = 0;
    if (!said_how_long || last < a->plan.duration_ns)
        a->plan.duration_ns = last;
}

enum ctl_exit bench_asked_read(struct ctl *c, struct bench_asked *a) {
    struct bench_url url;
    *a = (struct bench_asked){.url = c->words[0], .plot = said(c, SAID_PLOT)};
    bench_mix_init(&a->mix);
    a->plan.mix = &a->mix;
    a->plan.http2 = said(c, SAID_HTTP2);
    a->plan.replay = said(c, SAID_REPLAY_TIMES);
    a->find_knee = said(c, SAID_FIND_KNEE);
    if (!bench_url(str_of(a->url), &url))
        return ctl_fail(c, CTL_USAGE, "'%s' is no URL; write it as http://shop.example.com/catalog",
                        a->url);
    enum ctl_exit code = check(c);
    if (code == CTL_OK)
        code = read_scale(c, a);
    if (code == CTL_OK)
        code = read_rate(c, &a->plan);
    if (code == CTL_OK)
        code = read_sizes(c, &a->plan);
    if (code == CTL_OK)
        code = read_times(c, a);
    if (code == CTL_OK)
        code = read_requests(c, a, &url);
    if (code == CTL_OK)
        code = find_place(c, a, &url);
    if (code == CTL_OK && url.secure)
        code = open_tls(c, a);
    shorten(a, said(c, SAID_DURATION));
    return code;
}

void bench_asked_fini(struct bench_asked *a) {
    bench_mix_fini(&a->mix);
    SSL_CTX_free(a->plan.tls);
}
