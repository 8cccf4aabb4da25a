/* SPDX-License-Identifier: Apache-2.0
 *
 * Which CRDs fit, in which words the others are named, and when they are read again. The API server
 * is a fake: kube_call() keeps the calls, and the test answers them.
 */
#include "controller/kube/client.h"
#include "controller/kube/crds.h"
#include "controller/kube/table.h"
#include "lib/json.h"
#include "lib/mem.h"

#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* ---- the shape ---- */

static void the_shape_is_recorded(void **state) {
    (void)state;
    if (kube_schema_hash_all() != kube_schema_recorded())
        fail_msg("the CRDs have another shape than controller/kube/schema.def says: if generation "
                 "%u was released, add GENERATION(%u, 0x%016llx) there, else give it that hash; "
                 "then `make crds docs`",
                 kube_schema_generation(), kube_schema_generation() + 1,
                 (unsigned long long)kube_schema_hash_all());
}

static void each_kind_has_its_own(void **state) {
    (void)state;
    for (enum kube_kind a = KUBE_NONE + 1; a < KUBE_KINDS; a++)
        for (enum kube_kind b = KUBE_NONE + 1; b < a; b++)
            if (kube_schema_is_ours(a) && kube_schema_is_ours(b))
                assert_int_not_equal(kube_schema_hash(a), kube_schema_hash(b));
    assert_false(kube_schema_is_ours(KUBE_Ingress));
    assert_true(kube_schema_is_ours(KUBE_GatewayConfig));
}

/* ---- judging ---- */

/* A CRD whose annotations are hash and generation; NULL: without. */
static cJSON *crd(const char *hash, const char *generation) {
    cJSON *json = cJSON_CreateObject();
    cJSON *meta = cJSON_AddObjectToObject(json, "metadata");
    cJSON *annotations = cJSON_AddObjectToObject(meta, "annotations");
    if (hash)
        cJSON_AddStringToObject(annotations, SCHEMA_HASH, hash);
    if (generation)
        cJSON_AddStringToObject(annotations, SCHEMA_GENERATION, generation);
    return json;
}

static const char *our_hash(char room[20]) {
    snprintf(room, 20, "%016llx", (unsigned long long)kube_schema_hash(KUBE_AuthPolicy));
    return room;
}

static void verdicts(void **state) {
    (void)state;
    char room[20], next[20], same[20];
    snprintf(next, sizeof(next), "%u", kube_schema_generation() + 1);
    snprintf(same, sizeof(same), "%u", kube_schema_generation());
    const struct {
        const char *hash, *generation;
        enum schema_verdict verdict;
    } table[] = {
        {our_hash(room), same, SCHEMA_FITS},
        {our_hash(room), NULL, SCHEMA_FITS}, /* the hash decides */
        {our_hash(room), "0", SCHEMA_FITS},
        {"0000000000000000", next, SCHEMA_FITS}, /* newer */
        {"0000000000000000", same, SCHEMA_OLD},
        {"0000000000000000", "0", SCHEMA_OLD},
        {"0000000000000000", "x", SCHEMA_OLD},
        {"0000000000000000", "-5", SCHEMA_OLD},
        {"0000000000000000", "99999999999999999999", SCHEMA_OLD},
        {"0000000000000000", NULL, SCHEMA_OLD},
        {NULL, next, SCHEMA_OLD}, /* none of ours */
        {NULL, NULL, SCHEMA_OLD},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct why why;
        cJSON *json = crd(table[i].hash, table[i].generation);
        assert_int_equal(kube_schema_judge(KUBE_AuthPolicy, json, &why), table[i].verdict);
        assert_int_equal(why_set(&why), table[i].verdict != SCHEMA_FITS);
        cJSON_Delete(json);
    }
}

static void words(void **state) {
    (void)state;
    struct why why;
    char expected[480];
    assert_int_equal(kube_schema_judge(KUBE_AuthPolicy, NULL, &why), SCHEMA_MISSING);
    assert_string_equal(why.object, "CustomResourceDefinition authpolicies.sluice.dev");
    assert_string_equal(why.text,
                        "is missing, so there can be no AuthPolicy; run `kubectl apply "
                        "--server-side -f crds/` with the crds/ of this version, or `sluicectl "
                        "crds | kubectl apply --server-side -f -`");
    cJSON *json = crd("0000000000000000", "0");
    kube_schema_judge(KUBE_Route, json, &why);
    snprintf(
        expected, sizeof(expected),
        "is older than this controller (its schema is generation 0, this one is %u), so that "
        "fields of its objects may be lost without a word; run `kubectl apply --server-side -f "
        "crds/` with the crds/ of this version, or `sluicectl crds | kubectl apply "
        "--server-side -f -`",
        kube_schema_generation());
    assert_string_equal(why.text, expected);
    cJSON_Delete(json);
}

/* ---- reading ---- */

enum { CALLS_MAX = 32 };
static struct kube_call calls[CALLS_MAX];
static char paths[CALLS_MAX][256];
static size_t n_calls, n_cancelled;

struct kube_request *kube_call(struct kube_client *c, const struct kube_call *what) {
    (void)c;
    assert_true(n_calls < CALLS_MAX);
    snprintf(paths[n_calls], sizeof(paths[0]), "%s %.*s", what->method, STR_FMT(what->path));
    calls[n_calls] = *what;
    return (struct kube_request *)(void *)&calls[n_calls++];
}

void kube_cancel(struct kube_request *r) { n_cancelled += r != NULL; }

void kube_path(struct out *o, const char *group, const char *version, const char *plural,
               struct str ns, struct str name, struct str sub) {
    assert_int_equal(ns.n + sub.n, 0);
    out_fmt(o, "/apis/%s/%s/%s/%.*s", group, version, plural, STR_FMT(name));
}

static void answer(size_t i, int status, const char *body, const char *fault) {
    struct kube_answer a = {.status = status, .body = str_of(body)};
    if (fault)
        why_text(&a.why, "%s", fault);
    calls[i].on_end(calls[i].arg, &a);
}

static void answer_well(size_t i, enum kube_kind kind) {
    char body[200];
    snprintf(body, sizeof(body),
             "{\"metadata\":{\"annotations\":{\"" SCHEMA_HASH "\":\"%016llx\"}}}",
             (unsigned long long)kube_schema_hash(kind));
    answer(i, 200, body, NULL);
}

static enum kube_kind kind_of(size_t call) {
    for (enum kube_kind k = KUBE_NONE + 1; k < KUBE_KINDS; k++)
        if (strstr(paths[call], kube_kinds[k].plural) && kube_schema_is_ours(k))
            return k;
    fail_msg("what is %s?", paths[call]);
    return KUBE_NONE;
}

static void count_change(void *arg) { ++*(unsigned *)arg; }

static const enum kube_kind ours[] = {KUBE_Route, KUBE_AuthPolicy, KUBE_TrafficPolicy,
                                      KUBE_Consumer, KUBE_GatewayConfig};
enum { N_OURS = ARRAY_LEN(ours) };

/* The calls from that one on: well, but for the first kind. */
static void answer_all_but_the_first(size_t from) {
    for (size_t i = from; i < from + N_OURS; i++)
        if (kind_of(i) == ours[0])
            answer(i, 0, "", "connection refused");
        else
            answer_well(i, kind_of(i));
}

static void they_are_read_by_name(void **state) {
    (void)state;
    unsigned changes = 0;
    const struct why *faults[KUBE_KINDS];
    struct event_base *base = event_base_new();
    struct crds *c = crds_new(base, NULL, count_change, &changes);
    n_calls = n_cancelled = 0;
    assert_true(crds_may_lose(c, ours[0])); /* nobody knows yet */
    crds_read(c);
    assert_int_equal(n_calls, N_OURS);
    assert_string_equal(
        paths[0], "GET /apis/apiextensions.k8s.io/v1/customresourcedefinitions/routes.sluice.dev");
    answer_well(0, ours[0]);
    answer(1, 404, "{}", "404 Not Found");
    answer(2, 403, "{}", "403 Forbidden: no");
    answer(3, 200, "{\"metadata\":{}}", NULL);
    assert_false(crds_are_known(c));
    answer(4, 200, "{broken", NULL);
    assert_true(crds_are_known(c));
    assert_int_equal(crds_verdict(c, ours[0]), SCHEMA_FITS);
    assert_int_equal(crds_verdict(c, ours[1]), SCHEMA_MISSING);
    assert_int_equal(crds_verdict(c, ours[2]), SCHEMA_UNKNOWN);
    assert_int_equal(crds_verdict(c, ours[3]), SCHEMA_OLD);
    assert_int_equal(crds_verdict(c, ours[4]), SCHEMA_UNKNOWN);
    for (size_t i = 0; i < N_OURS; i++)
        assert_int_equal(crds_may_lose(c, ours[i]), i == 3);
    assert_int_equal(changes, N_OURS);
    assert_int_equal(crds_faults(c, faults), 4);
    assert_string_equal(faults[0]->object, "CustomResourceDefinition authpolicies.sluice.dev");
    assert_string_equal(faults[1]->text, "cannot be read, so that nobody knows whether it is "
                                         "current: 403 Forbidden: no");

    /* mended, but for one that cannot be read any more: it keeps what is known of it */
    n_calls = changes = 0;
    crds_read(c);
    answer_all_but_the_first(0);
    assert_int_equal(changes, N_OURS);
    assert_int_equal(crds_verdict(c, ours[0]), SCHEMA_FITS);
    assert_int_equal(crds_verdict(c, ours[3]), SCHEMA_FITS);
    assert_int_equal(crds_faults(c, faults), 1);

    /* what changes while it is under way is asked for again; the same once more says nothing */
    n_calls = changes = 0;
    crds_read(c);
    crds_read(c);
    assert_int_equal(n_calls, N_OURS);
    answer_all_but_the_first(0);
    assert_int_equal(n_calls, 2 * N_OURS);
    answer_all_but_the_first(N_OURS);
    assert_int_equal(n_calls, 2 * N_OURS);
    assert_int_equal(changes, 0);
    crds_read(c);
    crds_free(c);
    assert_int_equal(n_cancelled, N_OURS);
    event_base_free(base);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_shape_is_recorded),
        cmocka_unit_test(each_kind_has_its_own),
        cmocka_unit_test(verdicts),
        cmocka_unit_test(words),
        cmocka_unit_test(they_are_read_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
