/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/status/lease.h"

#include "controller/kube/backoff.h"
#include "controller/status/clock.h"
#include "controller/status/lease_rule.h"
#include "controller/status/owner.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/mem.h"

#include <event2/event.h>
#include <stdio.h>

enum { CALL_MS = 5000, VERSION_MAX = 64, PATH_ROOM = 1024 };

struct lease {
    struct lease_config c;
    struct lease_rule rule;
    struct prng prng;
    struct backoff backoff;
    struct event *timer;
    struct kube_request *request;
    char version[VERSION_MAX]; /* of the record; "": not known */
    uint64_t sent;             /* when the request under way was */
    bool led, releasing;
    void (*released)(void *arg);
    void *released_arg;
};

static void look(struct lease *l);
static void renew(struct lease *l, enum lease_next how);

/* ---- telling ---- */

bool lease_leads(const struct lease *l) {
    return !l || (!l->releasing && lease_rule_leads(&l->rule, status_now_ms()));
}

static void tell(struct lease *l) {
    bool leads = lease_leads(l);
    if (leads == l->led)
        return;
    l->led = leads;
    log_info("status", "%s lease=%.*s/%.*s me=%s", leads ? "leads" : "does not lead any more",
             STR_FMT(l->c.ns), STR_FMT(l->c.name), l->rule.me);
    l->c.on_change(l->c.arg, leads);
}

/* In ms; the end of our time as leader comes first. */
static void wait(struct lease *l, uint64_t ms) {
    uint64_t now = status_now_ms();
    if (l->rule.until > now && l->rule.until - now < ms)
        ms = l->rule.until - now;
    struct timeval tv = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};
    evtimer_add(l->timer, &tv);
}

/* ---- the record ---- */

static void print_spec(struct lease *l, enum lease_next how, struct out *o) {
    out_lit(o, "\"spec\":{");
    unsigned long long transitions = l->rule.transitions;
    if (how == LEASE_TAKE && !l->rule.mine)
        transitions++;
    if (how != LEASE_KEEP) {
        out_lit(o, "\"holderIdentity\":");
        out_json(o, str_of(l->rule.me));
        out_lit(o, ",\"acquireTime\":\"");
        status_print_micro_now(o);
        out_fmt(o, "\",\"leaseTransitions\":%llu,", transitions);
    }
    out_fmt(o, "\"leaseDurationSeconds\":%d,\"renewTime\":\"", LEASE_DURATION_MS / 1000);
    status_print_micro_now(o);
    out_lit(o, "\"}");
}

static void print_meta(const struct lease *l, bool create, struct out *o) {
    out_lit(o, "\"metadata\":{");
    if (create) {
        out_lit(o, "\"name\":");
        out_json(o, l->c.name);
        owner_print(l->c.owner, o);
    } else {
        out_lit(o, "\"resourceVersion\":");
        out_json(o, str_of(l->version));
    }
    out_lit(o, "},");
}

static bool read_record(struct lease *l, struct str body, cJSON **json, struct lease_record *r) {
    *json = json_parse(body, NULL);
    const cJSON *spec = json_get(*json, "spec");
    const cJSON *duration = json_get(spec, "leaseDurationSeconds");
    const cJSON *transitions = json_get(spec, "leaseTransitions");
    *r =
        (struct lease_record){.holder = json_text(spec, "holderIdentity"),
                              .version = json_text(json_get(*json, "metadata"), "resourceVersion")};
    if (cJSON_IsNumber(duration) && duration->valueint > 0)
        r->duration_ms = (uint64_t)duration->valueint * 1000;
    if (cJSON_IsNumber(transitions) && transitions->valueint > 0)
        r->transitions = (uint64_t)transitions->valueint;
    bool good = r->version.n > 0 && r->version.n < sizeof(l->version);
    if (good)
        snprintf(l->version, sizeof(l->version), "%.*s", STR_FMT(r->version));
    return good;
}

/* ---- requests ---- */

static void call(struct lease *l, const char *method, struct str body, const char *type,
                 void (*on_end)(void *arg, const struct kube_answer *a)) {
    char room[PATH_ROOM];
    struct out path = out_fixed(room, sizeof(room));
    bool create = strcmp(method, "POST") == 0;
    kube_path(&path, "coordination.k8s.io", "v1", "leases", l->c.ns, create ? STR_NONE : l->c.name,
              STR_NONE);
    l->sent = status_now_ms();
    wait(l, LEASE_RETRY_MS); /* on_timer sees if our time ends before the answer comes */
    l->request = kube_call(l->c.client, &(struct kube_call){.method = method,
                                                            .path = out_done(&path),
                                                            .body = body,
                                                            .type = type,
                                                            .timeout_ms = CALL_MS,
                                                            .on_end = on_end,
                                                            .arg = l});
}

static void failed(struct lease *l, const struct kube_answer *a) {
    if (a->status == 403 || a->status == 401 || !lease_leads(l))
        fault_set(l->c.faults, "lease", "nobody here leads, so no status is written", &a->why);
    log_debug("status", "lease: %s: %s", a->why.object, a->why.text);
    uint64_t ms = backoff_next(&l->backoff, &l->prng, a->retry_after_ms);
    wait(l, lease_leads(l) && ms > LEASE_RETRY_MS ? LEASE_RETRY_MS : ms);
}

static void worked(struct lease *l) {
    backoff_reset(&l->backoff);
    fault_clear(l->c.faults, "lease");
}

static void on_read(void *arg, const struct kube_answer *a) {
    struct lease *l = arg;
    struct lease_record r;
    cJSON *json = NULL;
    enum lease_next next;
    l->request = NULL;
    if (a->status == 404) {
        next = lease_rule_read(&l->rule, NULL, status_now_ms());
    } else if (a->status == 200 && read_record(l, a->body, &json, &r)) {
        next = lease_rule_read(&l->rule, &r, status_now_ms());
        worked(l);
    } else {
        cJSON_Delete(json);
        failed(l, a);
        tell(l);
        return;
    }
    cJSON_Delete(json);
    tell(l);
    if (next == LEASE_LATER)
        wait(l, lease_rule_pause(&l->prng));
    else
        renew(l, next);
}

static void on_written(void *arg, const struct kube_answer *a) {
    struct lease *l = arg;
    struct lease_record r;
    cJSON *json = NULL;
    l->request = NULL;
    if ((a->status == 200 || a->status == 201) && read_record(l, a->body, &json, &r)) {
        lease_rule_written(&l->rule, l->sent);
        worked(l);
        wait(l, lease_rule_pause(&l->prng));
    } else if (a->status == 409 || a->status == 404) {
        l->version[0] = 0;
        wait(l, prng_below(&l->prng, 200)); /* somebody else was faster, or it is gone: read */
    } else {
        l->version[0] = 0; /* it may have been written all the same */
        failed(l, a);
    }
    cJSON_Delete(json);
    tell(l);
}

static void look(struct lease *l) { call(l, "GET", STR_NONE, NULL, on_read); }

static void renew(struct lease *l, enum lease_next how) {
    char room[2048];
    struct out o = out_fixed(room, sizeof(room));
    bool create = how == LEASE_CREATE;
    out_lit(&o, "{\"apiVersion\":\"coordination.k8s.io/v1\",\"kind\":\"Lease\",");
    print_meta(l, create, &o);
    print_spec(l, how, &o);
    out_char(&o, '}');
    must(!o.over);
    call(l, create ? "POST" : "PATCH", out_done(&o), create ? NULL : "application/merge-patch+json",
         on_written);
}

static void on_timer(evutil_socket_t fd, short what, void *arg) {
    struct lease *l = arg;
    (void)fd, (void)what;
    lease_rule_expired(&l->rule, status_now_ms());
    tell(l);
    if (l->request)
        wait(l, LEASE_RETRY_MS); /* it has an end of its own */
    else if (lease_leads(l) && l->version[0])
        renew(l, LEASE_KEEP);
    else
        look(l);
}

/* ---- life ---- */

struct lease *lease_new(const struct lease_config *config) {
    struct lease *l = mem_zalloc(sizeof(*l));
    l->c = *config;
    lease_rule_init(&l->rule, config->me);
    prng_init(&l->prng);
    l->timer = evtimer_new(config->base, on_timer, l);
    wait(l, 0);
    return l;
}

void lease_free(struct lease *l) {
    if (!l)
        return;
    kube_cancel(l->request);
    event_free(l->timer);
    mem_free(l);
}

static void on_released(void *arg, const struct kube_answer *a) {
    struct lease *l = arg;
    l->request = NULL;
    if (a->status != 200)
        log_info("status", "the lease was not given back: %s", a->why.text);
    l->released(l->released_arg);
}

void lease_release(struct lease *l, void (*done)(void *arg), void *arg) {
    bool mine = lease_leads(l);
    char room[512];
    struct out o = out_fixed(room, sizeof(room));
    kube_cancel(l->request);
    l->request = NULL;
    evtimer_del(l->timer);
    l->releasing = true;
    l->released = done;
    l->released_arg = arg;
    tell(l);
    if (!mine) {
        done(arg);
        return;
    }
    /* Only if the name in it is ours: a renewal may be on its way that makes it a newer version. */
    out_lit(&o, "[{\"op\":\"test\",\"path\":\"/spec/holderIdentity\",\"value\":");
    out_json(&o, str_of(l->rule.me));
    out_lit(&o, "},{\"op\":\"replace\",\"path\":\"/spec/holderIdentity\",\"value\":\"\"},"
                "{\"op\":\"replace\",\"path\":\"/spec/leaseDurationSeconds\",\"value\":1}]");
    must(!o.over);
    call(l, "PATCH", out_done(&o), "application/json-patch+json", on_released);
}
