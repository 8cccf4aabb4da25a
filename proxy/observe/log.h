/* SPDX-License-Identifier: Apache-2.0
 *
 * log: the access log, one JSON line a request, and one a connection that was passed on as it came.
 *
 *   worker 0 ── line ──► ring, 1 MiB ──┐
 *   worker 1 ── line ──► ring, 1 MiB ──┴─► writer thread ── few large writes ──► stdout or a file
 *
 * A worker never waits: a line that does not fit in its ring is dropped and counted
 * (sluice_log_dropped_total). One worker writes a ring and one thread reads it, so two numbers with
 * acquire and release are all that they share. The writer looks every ACCESS_LOG_WAIT_MS, and at
 * once when a ring is half full.
 *
 *   {"ts":"2026-01-02T03:04:05.678Z","id":...,"route":"shop/shop/catalog","consumer":"","method":"GET",
 *    "host":...,"path":...,"status":200,"reason":"","origin":"","duration":0.001234,"gateway":0.000031,
 *    "upstream":0.001180,"connect":0,"bytes":512,"client":"10.0.0.7","upstream_addr":"10.1.0.3:8080",
 *    "attempts":1,"tls":"","trace":"4bf92f3577b34da6a3ce929d0e0e4736"}
 *
 * and
 * "auth":{"decision":"allow","policy":"shop/customers","method":"workforce","rule":"readers","sub":"joe",
 * "detail":""} where an AuthPolicy was asked ("deny", or "dryDeny" for one that only records;
 * detail says why); and "headers":{...} where GatewayConfig accessLog.headers names some (8 at
 * most; credentials among them are redacted). Times are seconds. Query strings are never written:
 * they carry secrets. Everything that came from outside is escaped and bounded. A connection of a
 * TCP or TLS listener is
 *
 *   {"ts":...,"listener":"db","sni":"db.example.com","reason":"","origin":"","duration":12.5,"connect":0.0004,
 *    "bytes":5120,"received":512,"client":"10.0.0.7","upstream_addr":"10.1.0.3:5432","attempts":1,
 *    "protocol":"tls"}
 *
 * of which bytes were sent to the client and received from it. An audit line says who wanted what,
 * and what was decided by which version of which policy:
 *
 *   {"ts":...,"id":...,"audit":"deny","reason":"forbidden","detail":"no rule allows
 * it","policy":"shop/customers",
 *    "version":"04886fb3f438264a","auth_method":"workforce","rule":"","sub":"joe","consumer":"",
 *    "route":"shop/shop/catalog","method":"DELETE","host":...,"path":...,"status":403,"client":"10.0.0.7","trace":...}
 */
#ifndef SLUICE_PROXY_OBSERVE_LOG_H
#define SLUICE_PROXY_OBSERVE_LOG_H

#include "lib/metric.h"
#include "lib/why.h"
#include "proxy/observe/record.h"

struct access_log;
struct access_log_worker;

enum {
    ACCESS_LOG_RING = 1 << 20,  /* bytes a worker */
    ACCESS_LOG_LINE = 32 << 10, /* longest line */
    ACCESS_LOG_WAIT_MS = 50,
    ACCESS_LOG_FLUSH_MS = 2000, /* at most so long for the last lines at the end */
};

/* where: "stdout", "off", or a file, appended to and made 0640. Starts the writer. NULL with *why.
 */
struct access_log *access_log_new(const char *where, unsigned workers, struct why *why);
/* Main, when the workers have ended: writes what is there. NULL is fine. */
void access_log_free(struct access_log *l);
/* Main, on SIGHUP: opens the file anew. It happens soon, on the writer's thread. */
void access_log_reopen(struct access_log *l);

struct access_log_worker *access_log_worker(struct access_log *l, unsigned i);
/* On the worker's thread. settings: the gateway's; NULL: every request. */
void access_log_request(struct access_log_worker *w, const struct record *r,
                        const struct model_access_log *settings);

/* An audit line, where there is to be one: the caller was refused, would have been but for a dry
 * run, or was decided about by a rule with `audit`. No setting of the gateway leaves it out. */
void access_log_audit(struct access_log_worker *w, const struct record *r);

/* The same for a connection of a TCP or TLS listener, at its end. */
void access_log_passed(struct access_log_worker *w, const struct passed *p,
                       const struct model_access_log *settings);

/* sluice_log_lines_total, sluice_log_dropped_total, ..., of all of them together (NULL: off). */
void access_log_metrics(const struct access_log *const *logs, unsigned n, struct metric_text *t);

#endif
