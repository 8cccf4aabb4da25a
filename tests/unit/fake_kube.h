/* SPDX-License-Identifier: Apache-2.0
 *
 * A clock and an API server that a test plays: in place of controller/status/clock.c and
 * controller/kube/client.c.
 */
#ifndef SLUICE_TESTS_FAKE_KUBE_H
#define SLUICE_TESTS_FAKE_KUBE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "controller/kube/client.h"
#include "controller/status/clock.h"

#include <stdio.h>

/* ---- the clock ---- */

static uint64_t now_ms;
uint64_t status_now_ms(void) { return now_ms; }
uint64_t status_unix_s(void) { return 1767323045 + now_ms / 1000; }
void status_print_time(uint64_t unix_s, struct out *o) {
    out_fmt(o, "2026-01-02T%02u:%02u:%02uZ", (unsigned)(unix_s / 3600 % 24),
            (unsigned)(unix_s / 60 % 60), (unsigned)(unix_s % 60));
}
void status_print_micro_now(struct out *o) { out_lit(o, "2026-01-02T03:04:05.000000Z"); }

/* ---- the API server ---- */

struct kube_request {
    struct kube_call call;
    char method[8], path[512], body[8192];
    bool live;
};
static struct kube_request requests[1000];
static size_t n_requests;

struct kube_request *kube_call(struct kube_client *c, const struct kube_call *what) {
    struct kube_request *r = &requests[n_requests++];
    (void)c;
    assert_true(n_requests < ARRAY_LEN(requests));
    r->call = *what;
    snprintf(r->method, sizeof(r->method), "%s", what->method);
    snprintf(r->path, sizeof(r->path), "%.*s", STR_FMT(what->path));
    snprintf(r->body, sizeof(r->body), "%.*s", STR_FMT(what->body));
    r->live = true;
    return r;
}
void kube_cancel(struct kube_request *r) {
    if (r)
        r->live = false;
}

static inline size_t live(void) {
    size_t n = 0;
    for (size_t i = 0; i < n_requests; i++)
        n += requests[i].live;
    return n;
}

static inline void answer(struct kube_request *r, int status, const char *body) {
    struct kube_answer a = {.status = status, .body = str_of(body)};
    assert_true(r->live);
    if (status / 100 != 2)
        why_text(&a.why, "refused by the test");
    r->live = false;
    r->call.on_end(r->call.arg, &a);
}

/* As the server does: the status as it was sent, in a new version. */
static inline void take(struct kube_request *r, const char *version) {
    char text[9000];
    const char *status = strstr(r->body, "\"status\":");
    assert_non_null(status);
    snprintf(text, sizeof(text), "{\"metadata\":{\"resourceVersion\":\"%s\"},%s", version, status);
    answer(r, 200, text);
}

#endif
