/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/main_autoscale.h"

#include "controller/main_link.h"
#include "controller/main_status.h"

struct listing {
    void (*each)(void *to, const struct autoscale_pod *p);
    void *to;
};

static void one_pod(void *arg, const struct push_proxy *p) {
    const struct listing *l = arg;
    const struct autoscale_pod pod = {.name = str_of(p->name),
                                      .requests_milli = p->requests_milli,
                                      .connections = p->connections,
                                      .gateway_p99_us = p->gateway_p99_us,
                                      .reported_ms = p->reported_ms};
    l->each(l->to, &pod);
}

static void pods(void *arg, void (*each)(void *to, const struct autoscale_pod *p), void *to) {
    struct listing l = {each, to};
    push_each(turn_push(arg), one_pod, &l);
}

static bool leads(void *arg) { return main_status_leads(arg); }

struct autoscale *main_autoscale_new(struct event_base *base, struct kube_client *client,
                                     const struct options *o, struct turn *turn,
                                     struct main_status *status, struct why *why) {
    const struct autoscale_options options = {.address = o->custom_metrics,
                                              .namespace = link_namespace(client),
                                              .service = o->custom_metrics_service,
                                              .owner = o->custom_metrics_owner};
    const struct autoscale_host host = {pods, turn, leads, status};
    return autoscale_new(base, client, &options, &host, why);
}

void main_autoscale_faults(struct autoscale *a, void (*each)(void *arg, struct str fault),
                           void *arg) {
    size_t n = 0;
    const struct why *faults = a ? autoscale_faults(a, &n) : NULL;
    for (size_t i = 0; i < n; i++) {
        char room[1024];
        struct out o = out_fixed(room, sizeof(room));
        why_print(&faults[i], &o);
        each(arg, out_done(&o));
    }
}
