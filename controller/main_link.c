/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/main_link.h"

#include "lib/log.h"

#include <stdlib.h>

static void on_identity(void *arg, const struct ws_identity *id) {
    struct push *p = turn_push(arg);
    struct why why = {0};
    if (push_identify(p, id, &why) == 0)
        return;
    log_error("main", "the link cannot be served: %s", why.text);
    if (push_port(p) == 0)
        exit(1);
}

static void on_fleet(void *arg, const struct wire_fleet *fleet) {
    push_fleet(turn_push(arg), fleet);
}

static void on_admit(void *arg, uint64_t proxy, struct str pod) {
    push_admit(turn_push(arg), proxy, pod);
}

static void on_refuse(void *arg, uint64_t proxy, const char *reason) {
    push_refuse(turn_push(arg), proxy, reason);
}

/* What the pod's environment says, else what its credentials do. */
static struct str namespace(const struct kube_client *client) {
    const char *set = getenv("POD_NAMESPACE");
    return set && *set ? str_of(set) : kube_access_namespace(kube_client_access(client));
}

struct trust *link_trust(struct event_base *base, struct kube_client *client,
                         const struct options *o, struct turn *turn, struct why *why) {
    static const struct trust_events events = {on_identity, on_fleet, on_admit, on_refuse};
    const struct trust_options to = {.client = client,
                                     .namespace = namespace(client),
                                     .pod = str_of(getenv("POD_NAME")),
                                     .secret = o->link_secret,
                                     .configmap = o->link_configmap,
                                     .service = o->link_service,
                                     .accounts = o->link_accounts};
    struct trust *t = trust_new(base, &to, &events, turn, why);
    if (t)
        turn_trust(turn, t);
    return t;
}
