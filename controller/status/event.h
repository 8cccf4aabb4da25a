/* SPDX-License-Identifier: Apache-2.0
 *
 * event: refusals as Events (events.k8s.io/v1), for who looks with `kubectl describe` or `kubectl
 * get events`. Warning; reason: that of the condition; note: its sentence; regarding: the object.
 *
 *     event_say ──► queue, at most 5/s ──► GET by its name ─ 404 ──► POST
 *                                             └─ 200: it was said before, by us or by who led
 *                                                before: PATCH series, if that was 30 min ago
 *     30 min later, while it lasts ──► PATCH series {count, lastObservedTime} ─ 404 ──► POST
 *
 * The name of an Event is made of what it says, so the same refusal is the same Event for every
 * controller and after every restart. Only the leader says anything. Needs get, create and patch on
 * events; without them it is said in words.
 */
#ifndef SLUICE_CONTROLLER_STATUS_EVENT_H
#define SLUICE_CONTROLLER_STATUS_EVENT_H

#include "controller/kube/client.h"
#include "controller/kube/kinds.h"
#include "controller/status/fault.h"

struct event_base;
struct events;

struct events_config {
    struct event_base *base;
    struct kube_client *client;
    struct str instance; /* this pod; at most 128 bytes of it are said */
    struct faults *faults;
    bool (*leads)(void *arg); /* asked before each request */
    void *arg;
};

struct events *events_new(const struct events_config *config);
void events_free(struct events *e); /* NULL is fine */

/* r is refused. topic: constant, one thing is said of an object under each: "Accepted". lasts: it
 * is to be said again every 30 minutes until event_over(); else it is said once. To say the same
 * twice within a minute, or while it lasts, is to say it once. */
void event_say(struct events *e, const struct resource *r, const char *topic, const char *reason,
               struct str note, bool lasts);
void event_over(struct events *e, const struct resource *r, const char *topic);
void events_forget(struct events *e); /* all of it: we do not lead any more */

uint64_t events_sent(const struct events *e); /* POST and PATCH that succeeded */

#endif
