/* SPDX-License-Identifier: Apache-2.0
 *
 * Poisoned resources beside good ones: whatever somebody writes, what others have stays byte for
 * byte as it was. (A policy that cannot be used closes what it names in its own namespace; that is
 * tests/unit/compile_closed_test.c.)
 */
#include "tests/unit/compile_world.h"

enum { GOOD = 1000 };

#define API            "'apiVersion':'sluice.dev/v1alpha1','kind':'Route',"
#define NET            "'apiVersion':'networking.k8s.io/v1',"
#define HOSTS          "'hostnames':['evil.example.com'],"
#define RULES          "'rules':[{'backendRefs':[{'name':'web','port':80}]}]"
#define R(spec)        API META("evil", "evil", "") ",'spec':{" spec "}"
#define RULE(rule)     R(HOSTS "'rules':[{" rule "}]")
#define FILTER(filter) RULE("'filters':[{" filter "}]")
#define I(spec)        NET "'kind':'Ingress'," META("evil", "evil", "") ",'spec':{" spec "}"
#define T(spec)                                                                                    \
    "'apiVersion':'sluice.dev/v1alpha1','kind':'TrafficPolicy'," META("evil", "evil",              \
                                                                      "") ",'spec':{" spec "}"
#define G(spec)                                                                                    \
    "'apiVersion':'sluice.dev/"                                                                    \
    "v1alpha1','kind':'GatewayConfig','metadata':{'name':'evil'},'spec':{" spec "}"

static const char *const poison[] = {
    R(""),
    R("'rules':[]"),
    R("'rules':{}"),
    R("'rules':[1]"),
    R("'rules':[null]"),
    R("'rules':'x'"),
    R("'hostnames':['*']," RULES),
    R("'hostnames':['a b']," RULES),
    R("'hostnames':'a'," RULES),
    R("'hostnames':['a.example.com']," RULES), /* another namespace's host */
    R("'hostnames':['g1.example.com','g2.example.com']," RULES),
    R(HOSTS "'tls':{}," RULES),
    R(HOSTS "'tls':{'certificateRefs':[{'name':'c','namespace':'shop'}]}," RULES), /* not granted */
    R(HOSTS "'tls':{'certificateRefs':[{'name':'junk'},{'name':'none'}]}," RULES),
    R("'hostnames':['g1.example.com'],'tls':{'certificateRefs':[{'name':'junk'}]}," RULES),
    "'apiVersion':'v1','kind':'Secret'," META("junk", "evil",
                                              "") ",'type':'kubernetes.io/tls',"
                                                  "'data':{'tls.crt':'AAAA','tls.key':'AAAA'}",
    "'apiVersion':'v1','kind':'Secret'," META("junk", "evil", "") ",'data':[]",
    R(HOSTS "'unknown':1," RULES),
    R("'ingressClassName':'nobody'," RULES),
    R("'ingressClassName':7," RULES),
    RULE("'name':'a/b'"),
    RULE("'name':'../../x'"),
    RULE("'matches':[{'path':{'value':'x'}}]"),
    RULE("'matches':[{'path':{'value':'/..'}}]"),
    RULE("'matches':[{'path':{'type':'RegularExpression','value':'(((((('}}]"),
    RULE("'matches':[{'path':{'type':'RegularExpression','value':'(a+)+$'}}]"),
    RULE("'matches':[{'path':{'value':'/\\u0000'}}]"),
    RULE("'matches':[{'method':'G T'}]"),
    RULE("'matches':[{'headers':[{'name':'a\\r\\nb','value':'x'}]}]"),
    RULE("'matches':[{'headers':[{'name':'a','value':'x\\r\\ny'}]}]"),
    RULE("'backendRefs':[{'name':'web','namespace':'shop','port':80}]"), /* not granted */
    RULE("'backendRefs':[{'name':'../x','port':80}]"),
    RULE("'backendRefs':[{'name':'web','port':0}]"),
    RULE("'backendRefs':[{'name':'web','port':80,'weight':-5}]"),
    RULE("'backendRefs':[{'name':'web','port':99999999999999999999}]"),
    RULE("'timeouts':{'request':'99999999999h'}"),
    RULE("'timeouts':{'request':'0.5s'}"),
    RULE("'retry':{'attempts':1000000}"),
    FILTER("'type':'URLRewrite'"),
    FILTER("'type':'Nothing'"),
    FILTER("'type':'RequestHeaderModifier','requestHeaderModifier':{'set':[{'name':'host','value':'"
           "x'}]}"),
    FILTER("'type':'RequestRedirect','requestRedirect':{'hostname':'a\\r\\nb'}"),
    FILTER("'type':'DirectResponse','directResponse':{'statusCode':9}"),
    FILTER("'type':'RequestMirror','requestMirror':{'backendRef':{'name':'web','namespace':'shop','"
           "port':80}}"),
    I(""),
    I("'rules':[{'host':'*'}]"),
    I("'rules':[{'host':'a.example.com','http':{'paths':[{'path':'/"
      "','pathType':'Prefix','backend':{'service':{'name':'web','port':{'number':80}}}}]}}]"),
    I("'tls':[{}],'rules':[{'host':'evil.example.com'}]"),
    I("'tls':[{'hosts':['g1.example.com'],'secretName':'../../shop/c'}],"
      "'rules':[{'host':'evil.example.com'}]"),
    I("'tls':[{'hosts':['g1.example.com'],'secretName':'junk'}],'rules':[{'host':'g1.example.com'}"
      "]"),
    I("'rules':[{'host':'evil.example.com','http':{'paths':[{'path':'/"
      "','pathType':'Odd','backend':{}}]}}]"),
    I("'defaultBackend':{'resource':{'kind':'x','name':'y'}}"),
    I("'defaultBackend':{'service':{'name':'web','port':{}}}"),
    T("'targetRefs':[]"),
    T("'targetRefs':[{'kind':'Route','name':'g1'}],'timeouts':{'connect':'1s'}"),
    T("'targetRefs':[{'group':'sluice.dev','kind':'Route','name':'nobody'}],'compression':{}"),
    T("'targetRefs':'x'"),
    T("'targetRefs':[{'kind':'Route','name':'g1','namespace':'shop'}],'unknown':1"),
    T("'targetRefs':[{'kind':'Namespace','name':'shop'}],'unknown':1"),
    G("'listeners':[{}]"),
    G("'identityHeaders':['*']"),
    G("'limits':{'memory':'1Zi'}"),
    NET
    "'kind':'IngressClass','metadata':{'name':'evil','annotations':{'ingressclass.kubernetes.io/"
    "is-default-class':'true','x':'y'},'creationTimestamp':'2030-01-01T00:00:00Z'},'spec':{'"
    "controller':'sluice.dev/ingress-controller','parameters':{'kind':'x','name':'y'}}",
    "'apiVersion':'v1','kind':'Service'," META("evil", "evil", "") ",'spec':{'ports':'x'}",
    "'apiVersion':'discovery.k8s.io/v1','kind':'EndpointSlice'," META(
        "evil", "evil",
        ",'labels':{'kubernetes.io/service-name':'web'}") ",'addressType':'IPv9','endpoints':[{'"
                                                          "addresses':['x']}]",
    "'apiVersion':'sluice.dev/v1alpha1','kind':'Consumer'," META("evil", "shop", "") ",'spec':{}",
    "'apiVersion':'gateway.networking.k8s.io/v1beta1','kind':'ReferenceGrant'," META(
        "evil", "evil", "") ",'spec':{'from':'x','to':[{}]}",
};

static void test_poison(void **state) {
    struct world *w = *state;
    struct map before;
    map_init(&before);
    for (unsigned i = 0; i < GOOD; i++) {
        char name[16], host[64], rule[128];
        snprintf(name, sizeof(name), "g%u", i);
        snprintf(host, sizeof(host), "g%u.example.com", i);
        snprintf(rule, sizeof(rule), "'name':'one','timeouts':{'request':'%us'},", i + 1);
        add_route(w, "shop", name, 2020, host, rule);
    }
    run(w);
    assert_true(w->objects.n >= 2 * GOOD);
    for (struct map_slot *s = NULL; (s = map_next(&w->objects, s));)
        map_put(&before, s->key, object_hold(s->value));
    assert_true(ARRAY_LEN(poison) >= 50);
    for (size_t i = 0; i < ARRAY_LEN(poison); i++) {
        add(w, "{%s}", poison[i]);
        run(w);
        for (struct map_slot *s = NULL; (s = map_next(&before, s));) {
            const struct object *o = map_get(&w->objects, s->key);
            if (!o || o->hash != ((struct object *)s->value)->hash)
                fail_msg("%.*s was changed by %s", STR_FMT(s->key), poison[i]);
        }
    }
    for (struct map_slot *s = NULL; (s = map_next(&before, s));)
        object_drop(s->value);
    map_fini(&before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_poison, world_setup, world_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
