/* SPDX-License-Identifier: Apache-2.0
 *
 * Statuses, the pure part: what is wanted, how it differs from what stands there, what is written,
 * and when. JSON is written with ' for ".
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "controller/status/publish.h"
#include "controller/status/when.h"
#include "lib/mem.h"

#include <stdio.h>

static cJSON *json(const char *text) {
    char *copy = str_dup(str_of(text));
    for (char *p = copy; *p; p++)
        if (*p == '\'')
            *p = '"';
    struct why why = {0};
    cJSON *j = json_parse(str_of(copy), &why);
    if (!j)
        fail_msg("%s: %s", why.text, copy);
    mem_free(copy);
    return j;
}

#define ACCEPTED                                                                                   \
    "{'type':'Accepted','status':'True','reason':'Accepted','message':'','observedGeneration':3,"  \
    "'lastTransitionTime':'2026-01-02T03:04:05Z'}"
#define PROGRAMMED                                                                                 \
    "{'type':'Programmed','status':'True','reason':'Programmed','message':'',"                     \
    "'observedGeneration':3,'lastTransitionTime':'2026-01-02T03:04:05Z'}"
#define PROXIES(summary, ready, current, behind, revision)                                         \
    "'proxies':{'summary':'" summary "','ready':" #ready ",'current':" #current                    \
    ",'behind':" #behind ",'revision':'" revision "'}"
#define R7 "0000000000000007"

/* Accepted and programmed, generation 3, revision 7, on so many of so many proxies. */
static struct status_wanted wanted(size_t current, size_t ready, size_t behind) {
    struct status_wanted w = {
        .counted = true, .served = {ready, current, behind}, .revision = 7, .generation = 3};
    w.conditions[STATUS_ACCEPTED] = (struct status_condition){true, true, "Accepted", STR("")};
    w.conditions[STATUS_PROGRAMMED] =
        current == ready ? (struct status_condition){true, true, "Programmed", STR("")}
                         : (struct status_condition){true, false, "Pending", STR("1 of 2")};
    return w;
}

/* ---- comparing ---- */

static void what_differs(void **state) {
    (void)state;
    const struct {
        const char *have;
        size_t current, ready, behind;
        enum body_differs differs;
        bool late, flipped;
    } rows[] = {
        {"{'conditions':[" ACCEPTED "," PROGRAMMED "]," PROXIES("2/2", 2, 2, 0, R7) "}", 2, 2, 0,
         BODY_SAME, false, false},
        {"{'conditions':[" PROGRAMMED "," ACCEPTED
         ",{'type':'Theirs','status':'False'}],'more':{}," PROXIES("2/2", 2, 2, 0, R7) "}",
         2, 2, 0, BODY_SAME, false, false},
        /* what the fleet makes of it */
        {"{'conditions':[" ACCEPTED "," PROGRAMMED "]," PROXIES("2/2", 2, 2, 0, R7) "}", 3, 3, 0,
         BODY_FLEET, false, false},
        {"{'conditions':[" ACCEPTED "," PROGRAMMED "]," PROXIES("2/2", 2, 2, 0, R7) "}", 2, 2, 1,
         BODY_FLEET, false, false},
        {"{'conditions':[" ACCEPTED "," PROGRAMMED "]," PROXIES("1/2", 2, 1, 0, R7) "}", 2, 2, 0,
         BODY_FLEET, true, false},
        /* what it is told itself */
        {"{'conditions':[" ACCEPTED "," PROGRAMMED
         "]," PROXIES("2/2", 2, 2, 0, "0000000000000008") "}",
         2, 2, 0, BODY_OWN, false, false},
        {"{'conditions':[" PROGRAMMED "]," PROXIES("2/2", 2, 2, 0, R7) "}", 2, 2, 0, BODY_OWN,
         false, true},
        {"{'conditions':[" ACCEPTED "]," PROXIES("2/2", 2, 2, 0, R7) "}", 2, 2, 0, BODY_OWN, false,
         false},
        {"{'conditions':[" ACCEPTED "," PROGRAMMED "]}", 2, 2, 0, BODY_OWN, false, false},
        {"{'conditions':[{'type':'Accepted','status':'True','reason':'Accepted','message':'',"
         "'observedGeneration':2}," PROGRAMMED "]," PROXIES("2/2", 2, 2, 0, R7) "}",
         2, 2, 0, BODY_OWN, false, false},
        {"{'conditions':[{'type':'Accepted','status':'False','reason':'Accepted','message':'',"
         "'observedGeneration':3}," PROGRAMMED "]," PROXIES("2/2", 2, 2, 0, R7) "}",
         2, 2, 0, BODY_OWN, false, true},
        /* whatever somebody wrote there */
        {"{'conditions':'none','proxies':[1]}", 2, 2, 0, BODY_OWN, false, true},
        {"{'conditions':[1,null,{'type':1}],'proxies':{'ready':'x','current':-1}}", 2, 2, 0,
         BODY_OWN, false, true},
        {"[]", 2, 2, 0, BODY_OWN, false, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        cJSON *have = json(rows[i].have);
        struct status_wanted w = wanted(rows[i].current, rows[i].ready, rows[i].behind);
        struct body_look look = body_compare(have, &w);
        if (look.differs != rows[i].differs || look.late != rows[i].late ||
            look.flipped != rows[i].flipped)
            fail_msg("row %zu: differs %d late %d flipped %d", i, look.differs, look.late,
                     look.flipped);
        cJSON_Delete(have);
    }
    struct status_wanted w = wanted(2, 2, 0);
    assert_int_equal(body_compare(NULL, &w).differs, BODY_OWN);
}

/* ---- writing ---- */

static void expect(struct out *o, const char *text) {
    char *copy = str_dup(str_of(text));
    for (char *p = copy; *p; p++)
        if (*p == '\'')
            *p = '"';
    out_char(o, 0);
    assert_string_equal(o->p, copy);
    mem_free(copy);
    out_fini(o);
    *o = out_heap(1 << 16);
}

static void what_is_written(void **state) {
    (void)state;
    struct out o = out_heap(1 << 16);
    struct status_wanted w = wanted(1, 2, 1);
    /* nothing there: the time is now */
    body_write(NULL, &w, 1767323045, &o);
    expect(&o, "{'conditions':[{'type':'Accepted','status':'True','reason':'Accepted','message':'',"
               "'observedGeneration':3,'lastTransitionTime':'2026-01-02T03:04:05Z'},"
               "{'type':'Programmed','status':'False','reason':'Pending','message':'1 of 2',"
               "'observedGeneration':3,'lastTransitionTime':'2026-01-02T03:04:05Z'}],"
               "'proxies':{'summary':'1/2','ready':2,'current':1,'behind':1,"
               "'revision':'" R7 "'}}");
    /* Accepted keeps its time, Programmed flips; theirs stays as it is, at the end */
    cJSON *have = json("{'conditions':[{'type':'Theirs','status':'Maybe','n':[1]}," ACCEPTED
                       "," PROGRAMMED "]}");
    body_write(have, &w, 1767323999, &o);
    expect(&o, "{'conditions':[{'type':'Accepted','status':'True','reason':'Accepted','message':'',"
               "'observedGeneration':3,'lastTransitionTime':'2026-01-02T03:04:05Z'},"
               "{'type':'Programmed','status':'False','reason':'Pending','message':'1 of 2',"
               "'observedGeneration':3,'lastTransitionTime':'2026-01-02T03:19:59Z'},"
               "{'type':'Theirs','status':'Maybe','n':[1]}],"
               "'proxies':{'summary':'1/2','ready':2,'current':1,'behind':1,"
               "'revision':'" R7 "'}}");
    /* it makes nothing any more */
    w = (struct status_wanted){.generation = 4};
    w.conditions[STATUS_ACCEPTED] = (struct status_condition){true, false, "Invalid", STR("\"x\"")};
    body_write(have, &w, 0, &o);
    expect(&o, "{'conditions':[{'type':'Accepted','status':'False','reason':'Invalid','message':"
               "'\\'x\\'','observedGeneration':4,'lastTransitionTime':'1970-01-01T00:00:00Z'},"
               "{'type':'Theirs','status':'Maybe','n':[1]}],'proxies':null}");
    /* it is ours no more, and nobody has written since */
    assert_true(body_clear(have, 4, &o));
    expect(&o, "{'conditions':[{'type':'Theirs','status':'Maybe','n':[1]}],'proxies':null}");
    assert_false(body_clear(have, 3, &o)); /* of this very generation: somebody else's */
    assert_false(body_clear(NULL, 3, &o));
    cJSON_Delete(have);
    out_fini(&o);
}

static void what_was_written_is_the_same(void **state) {
    (void)state;
    for (size_t behind = 0; behind < 2; behind++) {
        struct out o = out_heap(1 << 16);
        struct status_wanted w = wanted(1, 1 + behind, behind);
        w.conditions[STATUS_RESOLVED_REFS] =
            (struct status_condition){true, false, "BackendNotFound", STR("no \"\n\x01 Service")};
        body_write(NULL, &w, 1767323045, &o);
        cJSON *have = json_parse(out_done(&o), NULL);
        assert_int_equal(body_compare(have, &w).differs, BODY_SAME);
        cJSON_Delete(have);
        out_fini(&o);
    }
}

/* ---- Ingress ---- */

static void addresses_of_an_ingress(void **state) {
    (void)state;
    struct addresses two = {.v = {{.ip = STR("192.0.2.1")}, {.hostname = STR("lb.example.com")}},
                            .n = 2};
    struct addresses none = {.n = 0};
    struct out o = out_heap(1 << 16);
    cJSON *have = json("{'loadBalancer':{'ingress':[{'ip':'192.0.2.1'},{'hostname':'lb.example.com'"
                       "},{'ip':'198.51.100.1','ports':[{'port':80}]}]}}");
    cJSON *equal = json("{'loadBalancer':{'ingress':[{'ip':'192.0.2.1'},{'hostname':'lb.example.com"
                        "'}]}}");
    cJSON *other = json("{'loadBalancer':{'ingress':[{'ip':'198.51.100.1'}]}}");
    assert_int_equal(ingress_compare(NULL, &none).differs, BODY_SAME);
    assert_int_equal(ingress_compare(NULL, &two).differs, BODY_OWN);
    assert_int_equal(ingress_compare(equal, &two).differs, BODY_SAME);
    assert_int_equal(ingress_compare(have, &two).differs, BODY_OWN);
    assert_int_equal(ingress_compare(equal, &none).differs, BODY_OWN);
    ingress_write(&two, &o);
    expect(&o, "{'loadBalancer':{'ingress':[{'ip':'192.0.2.1'},{'hostname':'lb.example.com'}]}}");
    assert_true(ingress_clear(have, &two, &o));
    expect(&o, "{'loadBalancer':{'ingress':[{'ip':'198.51.100.1','ports':[{'port':80}]}]}}");
    assert_false(ingress_clear(other, &two, &o));
    assert_true(ingress_hash(&two) != ingress_hash(&none));
    cJSON_Delete(have);
    cJSON_Delete(equal);
    cJSON_Delete(other);
    out_fini(&o);
}

static void addresses_of_a_service(void **state) {
    (void)state;
    const struct {
        const char *service, *want;
    } rows[] = {
        {"{'spec':{'type':'LoadBalancer','clusterIP':'10.0.0.1'},'status':{'loadBalancer':{"
         "'ingress':[{'ip':'192.0.2.1'},{'hostname':'lb.example.com'}]}}}",
         "192.0.2.1 lb.example.com"},
        {"{'spec':{'type':'LoadBalancer','clusterIP':'10.0.0.1'},'status':{'loadBalancer':{}}}",
         ""},
        {"{'spec':{'type':'LoadBalancer','externalIPs':['192.0.2.1','192.0.2.2']},'status':{"
         "'loadBalancer':{'ingress':[{'ip':'192.0.2.1'}]}}}",
         "192.0.2.1 192.0.2.2"},
        {"{'spec':{'type':'NodePort','clusterIP':'10.0.0.1','externalIPs':['2001:db8::1']}}",
         "2001:db8::1"},
        {"{'spec':{'type':'NodePort','clusterIP':'10.0.0.1'}}", "10.0.0.1"},
        {"{'spec':{'type':'ClusterIP','clusterIP':'10.0.0.1'}}", "10.0.0.1"},
        {"{'spec':{'type':'ClusterIP','clusterIP':'None'}}", ""},
        {"{'spec':{'type':'ExternalName','externalName':'gw.example.com'}}", "gw.example.com"},
        {"{'spec':{'type':'LoadBalancer'},'status':{'loadBalancer':{'ingress':[{'ip':'x y'},{},1,"
         "{'ip':7}]}}}",
         ""},
        {"{}", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        cJSON *service = json(rows[i].service);
        struct addresses a;
        char room[256];
        struct out o = out_fixed(room, sizeof(room) - 1);
        publish_of_service(service, &a);
        for (size_t k = 0; k < a.n; k++)
            out_fmt(&o, "%s%.*s%.*s", k > 0 ? " " : "", STR_FMT(a.v[k].ip),
                    STR_FMT(a.v[k].hostname));
        room[o.n] = 0;
        assert_string_equal(room, rows[i].want);
        cJSON_Delete(service);
    }
    struct addresses a;
    struct why why = {0};
    assert_int_equal(publish_parse(STR("192.0.2.1, 2001:db8::1,lb.example.com"), &a, &why), 0);
    assert_int_equal(a.n, 3);
    assert_int_equal(a.v[1].ip.n, 11);
    assert_int_equal(a.v[2].ip.n, 0);
    const char *const bad[] = {"", "192.0.2.1,", "a b", "192.0.2.1,192.0.2.1", "http://x/"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(publish_parse(str_of(bad[i]), &a, &why), -1);
}

/* ---- when ---- */

static struct when_fleet fleet_of(size_t ready, uint64_t since, bool known) {
    return (struct when_fleet){.started = 0, .since = since, .ready = ready, .known = known};
}

static void when_it_is_written(void **state) {
    (void)state;
    enum { NOW = 100000 };
    const struct {
        enum body_differs differs;
        bool late, known;
        enum when_acks acks;
        uint64_t since, fleet_since, want;
    } rows[] = {
        {BODY_SAME, false, true, WHEN_ALL, NOW, 0, WHEN_NEVER},
        {BODY_SAME, true, false, WHEN_SOME, NOW, 0, WHEN_NEVER},
        /* the object itself: at once with all acks, else after a second */
        {BODY_OWN, false, true, WHEN_ALL, NOW, NOW, NOW},
        {BODY_OWN, false, true, WHEN_SOME, NOW - 10, 0, NOW + 990},
        {BODY_OWN, false, true, WHEN_NONE, NOW - 10, 0, NOW + 990},
        {BODY_OWN, false, true, WHEN_SOME, NOW - 1000, 0, NOW},
        /* it was written before all had it: once more, at once */
        {BODY_FLEET, true, true, WHEN_ALL, NOW, NOW - 1, NOW},
        /* the fleet's size: when it is stable */
        {BODY_FLEET, false, true, WHEN_ALL, NOW, NOW - 4000, NOW + 6000},
        {BODY_FLEET, false, true, WHEN_ALL, NOW, NOW - 10000, NOW},
        {BODY_FLEET, false, true, WHEN_NONE, NOW, NOW - 4000, NOW + 6000},
        /* it never says fewer than there are while one catches up */
        {BODY_FLEET, false, true, WHEN_SOME, NOW, NOW - 60000, NOW + 10000},
        {BODY_FLEET, true, true, WHEN_SOME, NOW, NOW - 60000, NOW + 10000},
        /* a controller that has just begun knows nothing of its fleet */
        {BODY_OWN, false, false, WHEN_ALL, NOW, NOW - 4000, 30000},
        {BODY_FLEET, false, false, WHEN_ALL, NOW, 5000, 15000},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct body_look look = {.differs = rows[i].differs, .late = rows[i].late};
        struct when_fleet f = fleet_of(2, rows[i].fleet_since, rows[i].known);
        uint64_t at = when_to_write(&look, rows[i].acks, rows[i].since, &f, NOW);
        if (at != rows[i].want)
            fail_msg("row %zu: %llu, not %llu", i, (unsigned long long)at,
                     (unsigned long long)rows[i].want);
    }
}

static void the_fleet_settles(void **state) {
    (void)state;
    struct when_fleet f;
    when_fleet_init(&f, 1000);
    assert_false(when_fleet_settled(&f, 10999));
    when_fleet_seen(&f, 1, 0, 9000); /* a proxy comes: ten seconds from here */
    assert_int_equal(when_fleet_next(&f), 19000);
    assert_false(when_fleet_settled(&f, 18999));
    assert_false(f.known);
    assert_true(when_fleet_settled(&f, 19000));
    assert_true(f.known);
    assert_false(when_fleet_settled(&f, 19001)); /* once */
    assert_true(when_fleet_next(&f) == WHEN_NEVER);
    when_fleet_seen(&f, 1, 0, 20000); /* nothing new */
    assert_true(when_fleet_next(&f) == WHEN_NEVER);
    /* one goes and comes back: once more */
    when_fleet_seen(&f, 0, 0, 30000);
    when_fleet_seen(&f, 1, 0, 31000);
    assert_true(f.known);
    assert_false(when_fleet_settled(&f, 40999));
    assert_true(when_fleet_settled(&f, 41000));
    /* one is behind */
    when_fleet_seen(&f, 1, 1, 50000);
    assert_true(when_fleet_settled(&f, 60000));
    /* a fleet that never comes to rest is known all the same, after half a minute */
    when_fleet_init(&f, 0);
    for (uint64_t t = 1; t < 30; t++) {
        when_fleet_seen(&f, t, 0, t * 1000);
        assert_false(when_fleet_settled(&f, t * 1000));
        assert_false(f.known);
    }
    when_fleet_settled(&f, 30000);
    assert_true(f.known);
}

static void at_most_so_many_a_second(void **state) {
    (void)state;
    struct when_bucket b = {50, 100, 0};
    uint64_t now = 1000000;
    unsigned taken = 0;
    while (when_take(&b, now))
        taken++;
    assert_int_equal(taken, 100);
    assert_true(when_next(&b, now) > now && when_next(&b, now) <= now + 20);
    for (unsigned ms = 1; ms <= 10000; ms++)
        taken += when_take(&b, now + ms);
    assert_in_range(taken, 599, 601);
    now += 1000000; /* rest: full again, and no fuller */
    taken = 0;
    while (when_take(&b, now))
        taken++;
    assert_int_equal(taken, 100);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_differs),
        cmocka_unit_test(what_is_written),
        cmocka_unit_test(what_was_written_is_the_same),
        cmocka_unit_test(addresses_of_an_ingress),
        cmocka_unit_test(addresses_of_a_service),
        cmocka_unit_test(when_it_is_written),
        cmocka_unit_test(the_fleet_settles),
        cmocka_unit_test(at_most_so_many_a_second),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
