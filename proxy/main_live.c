/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/main_live.h"

#include "lib/live.h"
#include "lib/mem.h"
#include "proxy/net/loop.h"

#include <time.h>

struct main_live {
    const struct observe *observe;
    const char *name;
    struct sample *sample; /* NULL: nobody looks */
    uint64_t until_ms;
    size_t routes;
    struct live *own; /* NULL: nobody looks at this proxy's page */
    uint64_t own_until_ms;
    struct wire_report report; /* the last one, without its lists */
};

static uint64_t now_ms(void) { return loop_clock_ns() / 1000000; }

struct main_live *main_live_new(const struct observe *o, const char *name) {
    struct main_live *l = mem_zalloc(sizeof(*l));
    l->observe = o;
    l->name = name;
    return l;
}

void main_live_free(struct main_live *l) {
    sample_free(l->sample);
    live_free(l->own);
    mem_free(l);
}

void main_live_watched(struct main_live *l, const struct wire_watch *w) {
    uint64_t until = now_ms() + w->for_ms;
    l->until_ms = until > l->until_ms ? until : l->until_ms;
    l->routes = w->routes < LIVE_ASKED_MAX ? w->routes : LIVE_ASKED_MAX;
    if (!l->sample)
        l->sample = sample_new(l->observe);
}

static void end_own(struct main_live *l) {
    live_free(l->own);
    l->own = NULL;
}

void main_live_tick(struct main_live *l, struct config *c, const struct wire_report *r) {
    uint64_t now = now_ms();
    l->report = *r;
    l->report.unknown_keys = NULL;
    l->report.n_unknown_keys = 0;
    if (now >= l->own_until_ms)
        end_own(l);
    if (now >= l->until_ms) {
        sample_free(l->sample);
        l->sample = NULL;
        return;
    }
    const struct wire_live *m = sample_take(l->sample, l->routes);
    config_live(c, m);
    if (l->own)
        live_take(l->own, 1, m, now);
}

static void json_self(const struct main_live *l, const struct config *c, struct out *o) {
    const struct wire_report *r = &l->report;
    out_lit(o, "{\"name\":");
    out_json(o, str_of(l->name));
    out_lit(o, ",\"version\":");
    out_json(o, str_of(sluice_version));
    out_lit(o, ",\"revision\":\"");
    out_hex(o, config_revision(c), 16);
    out_fmt(o, "\",\"ready\":%s,\"current\":%s,\"behind\":false,\"live\":true,\"lag_ms\":0",
            config_ready(c) ? "true" : "false", config_linked(c) ? "true" : "false");
    out_fmt(o, ",\"requests_per_second\":%llu.%03llu,\"gateway_p99_us\":%llu",
            (unsigned long long)r->requests_milli / 1000,
            (unsigned long long)r->requests_milli % 1000, (unsigned long long)r->gateway_p99_us);
    out_fmt(o, ",\"connections\":%llu,\"active_requests\":%llu,\"memory_bytes\":%llu}",
            (unsigned long long)r->connections, (unsigned long long)r->active_requests,
            (unsigned long long)r->memory_bytes);
}

void main_live_json(struct main_live *l, const struct config *c, struct out *o) {
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    if (!l->own)
        l->own = live_new();
    l->own_until_ms = now_ms() + LIVE_WATCH_MS;
    main_live_watched(l, &(struct wire_watch){.for_ms = LIVE_WATCH_MS, .routes = LIVE_ASKED});
    out_lit(o, "{\"of\":\"proxy\",\"version\":");
    out_json(o, str_of(sluice_version));
    out_fmt(o, ",\"now_ms\":%lld,\"revision\":\"",
            (long long)wall.tv_sec * 1000 + wall.tv_nsec / 1000000);
    out_hex(o, config_revision(c), 16);
    out_lit(o, "\",\"proxies\":[");
    json_self(l, c, o);
    out_lit(o, "],");
    live_json(l->own, now_ms(), LIVE_ROUTES, o);
    out_lit(o, ",\"changes\":[],\"refused\":[],\"faults\":[]}\n");
}
