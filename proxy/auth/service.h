/* SPDX-License-Identifier: Apache-2.0
 *
 * service: one that is asked while a request waits, an authentication service or an authorisation
 * server, and the question.
 *
 *     method ─► service_ask() ─► struct question ─► call (proxy/errand) ─► read() ─► verdict
 *                  │ too many run, or it has not answered lately             └► answers.h
 *                  └──────► no question: at once, so nobody waits for one that is gone
 *
 * How it does is remembered for each method, whichever version of the policy it is of: how many
 * questions run (maxConcurrent, divided by the workers), and how many in a row were not answered at
 * all. After BREAK_AFTER of these all questions fail at once for BREAK_MS, then one is let through;
 * its answer opens the way again. What it answers is no failure here, not even 5xx: a client that
 * can make it say that must not shut out all others. A worker's own.
 */
#ifndef SLUICE_PROXY_AUTH_SERVICE_H
#define SLUICE_PROXY_AUTH_SERVICE_H

#include "lib/map.h"
#include "proxy/auth/answers.h"
#include "proxy/errand/call.h"
#include "proxy/route/auth.h"

enum { BREAK_AFTER = 5, BREAK_MS = 1000, SERVICES_IDLE_MAX = 1024, QUESTIONS_DEFAULT = 1024 };

struct service;
struct services {
    struct map by_place; /* of their methods */
};
void services_init(struct services *all);
void services_fini(struct services *all); /* no question runs */

struct question {
    struct errand errand; /* about the method; done without a reason: there is a verdict */
    struct verdict *verdict;
    const char *detail; /* done with a reason: a constant sentence, or NULL */
};

/* What came, as a verdict. NULL: it is none, with *reason and a constant sentence. It runs when the
 * request's head is not at hand. */
typedef struct verdict *(*service_read)(const struct method_law *m, const struct call *c,
                                        int64_t now, enum reason *reason, const char **detail);

struct service_want {
    const struct method_law *method; /* of the request's snapshot */
    struct call_want call;
    uint64_t max_concurrent; /* of this proxy; 0: QUESTIONS_DEFAULT */
    service_read read;
    struct answers *answers; /* NULL: the answer is not kept */
    struct hash_wide key;
    uint64_t keep_ms;
};

/* It may be done at once. NULL: no memory. */
struct question *service_ask(struct services *all, struct callers *calls, struct errands *errands,
                             const struct service_want *want) MUST_USE;
/* The name that it is called by in Host. */
void service_write_host(const struct backend *b, struct out *o);
/* The one about that method; NULL: none was asked. */
static inline struct question *service_asked(const struct errands *errands,
                                             const struct method_law *m) {
    return (struct question *)errand_about(errands, m);
}

#endif
