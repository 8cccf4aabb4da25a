/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/main_link.h"

#include "lib/log.h"
#include "lib/mem.h"

#include <stdlib.h>

struct main_link {
    struct turn *turn;
    struct autoscale *metrics;
    struct trust *trust;
};

static struct push *push_of(void *arg) {
    const struct main_link *l = arg;
    return turn_push(l->turn);
}

static void on_identity(void *arg, const struct ws_identity *id, struct str cas) {
    const struct main_link *l = arg;
    struct push *p = push_of(arg);
    struct why why = {0};
    if (l->metrics)
        autoscale_set_certificate(l->metrics, cas, id->cert, id->key);
    if (push_identify(p, id, &why) == 0)
        return;
    log_error("main", "the link cannot be served: %s", why.text);
    if (push_port(p) == 0)
        exit(1);
}

static void on_fleet(void *arg, const struct wire_fleet *fleet) { push_fleet(push_of(arg), fleet); }

static void on_tickets(void *arg, const struct tickets *t) {
    const struct main_link *l = arg;
    turn_keys(l->turn, tickets_object(t));
}

static void on_signing(void *arg, const struct signing *s) {
    const struct main_link *l = arg;
    compile_keyless(turn_compiler(l->turn), s->n == 0);
    if (s->n > 0)
        turn_keys(l->turn, signing_object(s));
    turn_wake(l->turn);
}

static void on_sessions(void *arg, const struct tickets *t) {
    const struct main_link *l = arg;
    turn_keys(l->turn, tickets_sessions_object(t));
}

static void on_admit(void *arg, uint64_t proxy, struct str pod) {
    push_admit(push_of(arg), proxy, pod);
}

static void on_refuse(void *arg, uint64_t proxy, const char *reason) {
    push_refuse(push_of(arg), proxy, reason);
}

struct str link_namespace(const struct kube_client *client) {
    const char *set = getenv("POD_NAMESPACE");
    return set && *set ? str_of(set) : kube_access_namespace(kube_client_access(client));
}

struct main_link *main_link_new(struct event_base *base, struct kube_client *client,
                                const struct options *o, struct turn *turn,
                                struct autoscale *metrics, struct why *why) {
    static const struct trust_events events = {on_identity, on_fleet,  on_tickets, on_sessions,
                                               on_admit,    on_refuse, on_signing};
    struct main_link *l = mem_zalloc(sizeof(*l));
    const struct trust_options to = {.client = client,
                                     .namespace = link_namespace(client),
                                     .pod = str_of(getenv("POD_NAME")),
                                     .secret = o->link_secret,
                                     .configmap = o->link_configmap,
                                     .service = o->link_service,
                                     .metrics = metrics ? o->custom_metrics_service : NULL,
                                     .accounts = o->link_accounts,
                                     .ticket_s = o->ticket_s,
                                     .signing_s = o->signing_s};
    l->turn = turn;
    l->metrics = metrics;
    l->trust = trust_new(base, &to, &events, l, why);
    if (!l->trust) {
        mem_free(l);
        return NULL;
    }
    turn_trust(turn, l->trust);
    return l;
}

void main_link_free(struct main_link *l) {
    if (l)
        trust_free(l->trust);
    mem_free(l);
}

struct trust *main_link_trust(struct main_link *l) {
    return l->trust;
}
