/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/auth/external.h"

enum { TIMEOUT_MS = 500 };

uint32_t external_timeout(const struct model_auth_external *e) {
    return e->timeout_ms > 0 && e->timeout_ms < UINT32_MAX ? (uint32_t)e->timeout_ms : TIMEOUT_MS;
}

/* ---- the question ---- */

void answer_key_begin(const struct judging *j, const struct method_law *m, struct hash_secret *h) {
    hash_secret_begin(h);
    hash_secret_str(h, j->who.law->id);
    hash_secret_u64(h, m->version);
}

/* By what the answer is found again. False: the request has nothing of it, or something twice. */
static bool find_key(struct judging *j, const struct method_law *m, struct hash_wide *key) {
    const struct model_auth_external *e = m->model->external;
    struct hash_secret h;
    unsigned there = 0;
    answer_key_begin(j, m, &h);
    for (uint32_t i = 0; i < e->n_cache_key; i++) {
        struct str value = STR_NONE;
        enum place p = place_read(&e->cache_key[i], j->x->request, j->x->query, j->env->query,
                                  sizeof(j->env->query), &value);
        if (p == PLACE_TWICE)
            return false;
        hash_secret_u64(&h, p == PLACE_ONE);
        if (p == PLACE_ONE)
            hash_secret_str(&h, value);
        there += p == PLACE_ONE && value.n > 0;
    }
    *key = hash_secret_end(&h);
    return there > 0;
}

static struct question *ask(struct judging *j, const struct method_law *m, struct str body,
                            const struct hash_wide *key) {
    const struct model_auth_external *e = m->model->external;
    struct out head = out_heap(QUESTION_MAX), message = out_heap(2 * QUESTION_MAX + body.n);
    struct service_want want = {.method = m,
                                .max_concurrent = e->max_concurrent,
                                .read = e->grpc ? check_read : forward_read,
                                .answers = key ? j->env->answers : NULL,
                                .keep_ms = e->cache_ms};
    if (key)
        want.key = *key;
    if (e->grpc) {
        check_write(j, m, body, &message);
        check_write_head(j, m, message.n, &head);
    } else {
        forward_write(j, m, body, &head);
    }
    want.call = (struct call_want){.backend = snapshot_backend(j->x->snapshot, m->backend),
                                   .head = out_done(&head),
                                   .body = e->grpc ? out_done(&message) : body,
                                   .timeout_ms = external_timeout(e),
                                   .body_max = DENIAL_MAX,
                                   .head_request = !e->grpc && j->x->method == METHOD_HEAD};
    struct question *q = NULL;
    if (!head.over && !message.over)
        q = service_ask(&j->env->services, j->env->calls, j->known->errands, &want);
    else
        judge_refuse(j, REASON_HEADER_TOO_LARGE, "the request is too large to ask about it");
    out_fini(&head);
    out_fini(&message);
    return q;
}

/* ---- the answer ---- */

static enum told without(struct judging *j, const struct method_law *m, enum reason reason,
                         const char *detail) {
    judge_refuse(j, reason, detail);
    return m->model->external->allow_on_error ? TOLD_OPEN : TOLD_NOTHING;
}

/* A field of that name that only we can set: another gateway may have another list. */
static bool names_are_ours(const struct judging *j, const struct model_auth_external *e) {
    for (uint32_t i = 0; i < e->n_headers_to_backend; i++)
        if (!policy_is_identity(j->x->snapshot->gateway, e->headers_to_backend[i]))
            return false;
    return true;
}

/* Looked up with each request, so that a Consumer counts as it is now. */
static bool names_somebody(struct judging *j, const struct method_law *m, const struct verdict *v) {
    struct consumer_found found;
    if (v->consumer.n == 0) {
        judge_refuse(j, REASON_FORBIDDEN, "the service names no Consumer, or more than one");
        return false;
    }
    if (!consumer_named(j, m, v->consumer, &found)) {
        judge_refuse(j, REASON_FORBIDDEN, "the service names a Consumer that does not count here");
        return false;
    }
    consumer_is(j, &found);
    return true;
}

static enum told says(struct judging *j, const struct method_law *m, struct verdict *v) {
    const struct model_auth_external *e = m->model->external;
    if (!v->good) {
        bool who = v->status == 401 || v->status < 400;
        j->denial = v;
        judge_refuse(j, who ? REASON_UNAUTHENTICATED : REASON_FORBIDDEN, v->detail);
        return TOLD_BAD;
    }
    if (!names_are_ours(j, e)) {
        judge_refuse(j, REASON_POLICY_UNAVAILABLE,
                     "a header of headersToBackend is none of this gateway's identity headers, so "
                     "clients could set it as well");
        return TOLD_NOTHING;
    }
    if (e->consumer_header.n > 0 && !names_somebody(j, m, v))
        return TOLD_BAD;
    if (j->n_said == ARRAY_LEN(j->said)) {
        judge_refuse(j, REASON_POLICY_UNAVAILABLE, "too many services have something to say");
        return TOLD_NOTHING;
    }
    j->said[j->n_said++] = v;
    return TOLD_GOOD;
}

static enum told came(struct judging *j, const struct method_law *m, const struct question *q) {
    if (!q->errand.is_done)
        return TOLD_WAITS;
    if (q->errand.reason == REASON_NONE)
        return says(j, m, q->verdict);
    return without(j, m, q->errand.reason,
                   q->detail ? q->detail : "the service could not be asked");
}

enum told external_tell(struct judging *j, const struct method_law *m) {
    const struct model_auth_external *e = m->model->external;
    const struct backend *b = snapshot_backend(j->x->snapshot, m->backend);
    const struct question *q = service_asked(j->known->errands, m);
    struct hash_wide key;
    struct str body = STR_NONE;
    j->asked = true;
    if (e->consumer_header.n > 0)
        judge_hide(j, e->consumer_header); /* what a client says there */
    if (q)
        return came(j, m, q);
    bool kept = e->n_cache_key > 0 && find_key(j, m, &key);
    struct verdict *v = kept ? answers_get(j->env->answers, key, j->env->loop->now_ms) : NULL;
    if (v)
        return says(j, m, v);
    if (!b || b->refusal != REASON_NONE) {
        judge_refuse(j, REASON_POLICY_UNAVAILABLE, "the service is not there, or is closed");
        return TOLD_NOTHING;
    }
    if (e->grpc && b->protocol == MODEL_H1)
        return without(j, m, REASON_AUTH_SERVICE_FAILED,
                       "gRPC needs HTTP/2: appProtocol: kubernetes.io/h2c is missing at the "
                       "service's port");
    if (e->body_max > 0) {
        enum told told = judge_body(j, (uint32_t)e->body_max, &body);
        if (told != TOLD_GOOD)
            return told;
    }
    if (unlikely(j->env->explaining != NULL))
        return explain_asks(j, m);
    judge_refuse(j, REASON_OVERLOADED, "no memory for a question to the service");
    q = ask(j, m, body, kept ? &key : NULL);
    return q ? came(j, m, q)
             : TOLD_NOTHING; /* also with onError: Allow, it is no fault of theirs */
}
