/* SPDX-License-Identifier: Apache-2.0
 *
 * admin: the proxy's two small HTTP ports, on main's event_base.
 *
 *   telemetry (the pod's address)   /live  /ready  /metrics
 *   admin     (loopback only)       /config  /reasons  /live  /ui/
 *
 *   /config                  {"revision":"16 hex","objects":[...]}: all that is applied, as JSON
 *   /config?kind=route       of one kind;  ?id=route/shop/shop/catalog  one object
 *   /config?format=wire      each object as {"kind":5,"id":...,"bytes":"base64"}: the model's
 * encoding, for sluicectl, which builds the same tables from it /reasons
 * [{"name","origin","status","text","count"}]
 *
 * /config is the state at the moment of the request, told in pieces (lib/httpd.h): however much it
 * is, and however slowly it is read, a turn of main's loop makes only a little of it.
 *
 * Keys and secrets (HIDE in lib/model.def) are in neither form.
 */
#ifndef SLUICE_PROXY_ADMIN_ADMIN_H
#define SLUICE_PROXY_ADMIN_ADMIN_H

#include "lib/httpd.h"
#include "lib/model.h"
#include "proxy/observe/observe.h"

/* What main knows. Called on main's thread, from inside a request. */
struct admin_host {
    /* True: a configuration is applied and the proxy is not draining. false: says why in a few
     * words. */
    bool (*ready)(void *arg, struct out *why);
    uint64_t (*revision)(void *arg);
    /* Every applied object, a count each; the caller frees the array. */
    struct object **(*objects)(void *arg, size_t *n);
    void (*live)(void *arg, struct out *o); /* JSON: what this proxy does now, docs/live.md */
    void *arg;
};

struct admin;

/* Addresses as in httpd_new(). NULL with *why. */
struct admin *admin_new(struct event_base *base, const char *telemetry, const char *loopback,
                        const struct admin_host *host, struct observe *observe, struct why *why);
void admin_free(struct admin *a); /* NULL is fine */

#endif
