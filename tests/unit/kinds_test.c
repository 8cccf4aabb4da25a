/* SPDX-License-Identifier: Apache-2.0
 *
 * Every refusal of the decoder in its own words, and the values of what it accepts. Objects are
 * written as JSON with ' for ".
 */
#include "controller/kube/table.h"
#include "lib/base64.h"
#include "lib/json.h"
#include "lib/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static cJSON *parse(const char *quoted) {
    struct why why;
    why_clear(&why);
    char *text = str_dup(str_of(quoted));
    for (char *p = text; *p; p++)
        *p = *p == '\'' ? '"' : *p;
    cJSON *json = json_parse(str_of(text), &why);
    if (!json)
        fail_msg("%s: %s in %s", why.field, why.text, text);
    mem_free(text);
    return json;
}

static struct resource *make(const char *quoted, bool *foreign, struct why *why) {
    struct resource_origin from = {STR("shop.yaml"), 7};
    cJSON *json = parse(quoted);
    why_clear(why);
    struct resource *r = resource_new(json, &from, foreign, why);
    cJSON_Delete(json);
    return r;
}

static struct resource *good(const char *quoted) {
    bool foreign;
    struct why why;
    struct resource *r = make(quoted, &foreign, &why);
    if (!r)
        fail_msg("not named: %s: %s: %s", why.object, why.field, why.text);
    if (r->refused)
        fail_msg("refused: %s: %s", r->refused->field, r->refused->text);
    assert_non_null(r->fields);
    return r;
}

static void expect_sentence(const struct why *why, const char *sentence) {
    char room[1024];
    struct out o = out_fixed(room, sizeof(room) - 1);
    why_print(why, &o);
    room[o.n] = 0;
    assert_string_equal(room, sentence);
}

struct refusal {
    const char *spec, *sentence;
};

static void expect_refusals(const char *before, const char *object, const struct refusal *table,
                            size_t n) {
    for (size_t i = 0; i < n; i++) {
        char text[4096], sentence[1024];
        bool foreign;
        struct why why;
        snprintf(text, sizeof(text), "%s%s}", before, table[i].spec);
        struct resource *r = make(text, &foreign, &why);
        assert_non_null(r);
        assert_null(r->fields);
        snprintf(sentence, sizeof(sentence), "%s: %s", object, table[i].sentence);
        expect_sentence(r->refused, sentence);
        resource_drop(r);
    }
}

#define ROUTE                                                                                      \
    "{'apiVersion': 'sluice.dev/v1alpha1', 'kind': 'Route', 'metadata': {'name': 'r', "            \
    "'namespace': 'shop'}, "

static void routes_are_refused_in_words(void **state) {
    (void)state;
    static const struct refusal table[] = {
        {"'spec': {'rules': [{'backendRef': []}]}",
         "spec.rules[0].backendRef: unknown field; did you mean \"backendRefs\"?"},
        {"'spec': {'zzzzzzzzzz': 1}", "spec.zzzzzzzzzz: unknown field; remove it"},
        {"'spek': {}", "spek: unknown field; did you mean \"spec\"?"},
        {"'rules': []", "rules: unknown field; remove it"},
        {"'spec': {'spec.rules': []}", "spec.spec.rules: unknown field; remove it"},
        {"'spec': {'Rules': []}", "spec.Rules: unknown field; did you mean \"rules\"?"},
        {"'spec': []", "spec: must be an object, not a list"},
        {"'spec': {}, 'spec': {}", "spec: is there twice; remove one"},
        {"'spec': {'rules': [{}], 'rules': [{}]}", "spec.rules: is there twice; remove one"},
        {"'spec': {}", "spec.rules: is missing"},
        {"'spec': {'rules': []}", "spec.rules: is empty; write at least one"},
        {"'spec': {'hostnames': ['a.b', 'c.d', 'a.b']}",
         "spec.hostnames[2]: \"a.b\" is there twice; remove one"},
        {"'spec': {'rules': [{'retry': {'codes': [500, 503, 500]}}]}",
         "spec.rules[0].retry.codes[2]: 500 is there twice; remove one"},
        {"'spec': {'rules': [{'filters': [{'type': 'RequestRedirect', 'requestRedirect': "
         "{'scheme': 'ftp'}}]}]}",
         "spec.rules[0].filters[0].requestRedirect.scheme: \"ftp\" is unknown; write http or "
         "https"},
        {"'spec': {'rules': [{'backendRefs': [{'name': 'a', 'kind': '-x'}]}]}",
         "spec.rules[0].backendRefs[0].kind: \"-x\" is not a kind; write it as Service"},
        {"'spec': {'rules': [{'backendRefs': [{'name': 'a', 'group': 'v1/x'}]}]}",
         "spec.rules[0].backendRefs[0].group: \"v1/x\" is not an API group; write it without "
         "version, as sluice.dev or \"\""},
        {"'spec': {'rules': [{'matches': [{'queryParams': [{'name': 'a\\nb'}]}]}]}",
         "spec.rules[0].matches[0].queryParams[0].name: \"a\\nb\" has control characters; remove "
         "them"},
        {"'spec': {'hostnames': ['a.99999999999999999999999']}",
         "spec.hostnames[0]: \"a.99999999999999999999999\" is an address; write a host name"},
        {"'spec': {'tls': {'certificateRefs': [{'namespace': 'x'}]}}",
         "spec.tls.certificateRefs[0].name: is missing"},
        {"'spec': {'tls': {'secretName': 'x'}}", "spec.tls.secretName: unknown field; remove it"},
        {"'spec': {'rules': 'abc'}", "spec.rules: must be a list, not \"abc\""},
        {"'spec': {'rules': [{}, 80]}", "spec.rules[1]: must be an object, not 80"},
        {"'spec': {'rules': [{'name': 'A_b'}]}",
         "spec.rules[0].name: \"A_b\" is not a name; use lower-case letters, digits and \"-\", at "
         "most 63 of them"},
        {"'spec': {'ingressClassName': true}",
         "spec.ingressClassName: must be a string, not true; put it in quotes"},
        {"'spec': {'ingressClassName': 80}",
         "spec.ingressClassName: must be a string, not 80; put it in quotes"},
        {"'spec': {'ingressClassName': ''}",
         "spec.ingressClassName: is empty; write a value, or leave the field out"},
        {"'spec': {'ingressClassName': 'a..b'}",
         "spec.ingressClassName: \"a..b\" is not a name; use lower-case letters, digits, \"-\" and "
         "\".\", at most 253 of them"},
        {"'spec': {'hostnames': ['shop.example.com', 'Shop.example.com']}",
         "spec.hostnames[1]: \"Shop.example.com\" has upper-case letters; write it in lower case"},
        {"'spec': {'hostnames': ['shop.example.com:80']}",
         "spec.hostnames[0]: \"shop.example.com:80\" must be a host name without port or address"},
        {"'spec': {'hostnames': ['10.0.0.1']}",
         "spec.hostnames[0]: \"10.0.0.1\" is an address; write a host name"},
        {"'spec': {'hostnames': ['[::1]']}",
         "spec.hostnames[0]: \"[::1]\" must be a host name without port or address"},
        {"'spec': {'hostnames': ['*']}",
         "spec.hostnames[0]: \"*\" is not a host name; write it as shop.example.com or "
         "*.example.com"},
        {"'spec': {'hostnames': ['a.*.example.com']}",
         "spec.hostnames[0]: \"a.*.example.com\" is not a host name; write it as "
         "shop.example.com or *.example.com"},
        {"'spec': {'hostnames': [null]}", "spec.hostnames[0]: must be a string, not null"},
        {"'spec': {'rules': [{'matches': [{'method': 'get'}]}]}",
         "spec.rules[0].matches[0].method: \"get\" is not a method; write it in upper case, as "
         "GET"},
        {"'spec': {'rules': [{'matches': [{'path': {'type': 'Prefix', 'value': '/'}}]}]}",
         "spec.rules[0].matches[0].path.type: \"Prefix\" is unknown; write PathPrefix, Exact or "
         "RegularExpression"},
        {"'spec': {'rules': [{'matches': [{'headers': [{'name': 'x', 'value': 1}]}]}]}",
         "spec.rules[0].matches[0].headers[0].value: must be a string, not 1; put it in quotes"},
        {"'spec': {'rules': [{'timeouts': {'request': '5x'}}]}",
         "spec.rules[0].timeouts.request: \"5x\" is not a duration; write it as 5s, 250ms or "
         "1h30m"},
        {"'spec': {'rules': [{'timeouts': {'request': 5}}]}",
         "spec.rules[0].timeouts.request: must be a duration as 5s, 250ms or 1h30m, not 5"},
        {"'spec': {'rules': [{'retry': {'attempts': 11}}]}",
         "spec.rules[0].retry.attempts: 11 is not allowed; write a whole number from 0 to 10"},
        {"'spec': {'rules': [{'retry': {'attempts': 1.5}}]}",
         "spec.rules[0].retry.attempts: 1.5 is not allowed; write a whole number from 0 to 10"},
        {"'spec': {'rules': [{'retry': {'attempts': 1e300}}]}",
         "spec.rules[0].retry.attempts: 1e+300 is not allowed; write a whole number from 0 to 10"},
        {"'spec': {'rules': [{'retry': {'attempts': -1}}]}",
         "spec.rules[0].retry.attempts: -1 is not allowed; write a whole number from 0 to 10"},
        {"'spec': {'rules': [{'retry': {'codes': [503, 200]}}]}",
         "spec.rules[0].retry.codes[1]: 200 is not allowed; write a whole number from 400 to 599"},
        {"'spec': {'rules': [{'retry': {'attempts': '2'}}]}",
         "spec.rules[0].retry.attempts: must be a number, not \"2\""},
        {"'spec': {'rules': [{'filters': [{}]}]}", "spec.rules[0].filters[0].type: is missing"},
        {"'spec': {'rules': [{'filters': [{'type': 'None'}]}]}",
         "spec.rules[0].filters[0].type: \"None\" is unknown; write RequestHeaderModifier, "
         "ResponseHeaderModifier, RequestRedirect, URLRewrite, RequestMirror, CORS, "
         "DirectResponse or CookieRewrite"},
        {"'spec': {'rules': [{'filters': [{'type': 'URLRewrite', 'urlRewrite': {'path': {'type': "
         "'Keep'}}}]}]}",
         "spec.rules[0].filters[0].urlRewrite.path.type: \"Keep\" is unknown; write "
         "ReplaceFullPath or ReplacePrefixMatch"},
        {"'spec': {'rules': [{'filters': [{'type': 'RequestHeaderModifier', "
         "'requestHeaderModifier': {'remove': ['a b']}}]}]}",
         "spec.rules[0].filters[0].requestHeaderModifier.remove[0]: \"a b\" is not the name of a "
         "header; write it as x-request-id, at most 256 characters"},
        {"'spec': {'rules': [{'filters': [{'type': 'RequestHeaderModifier', "
         "'requestHeaderModifier': {'set': [{'name': 'a', 'value': 'x\\r\\ny: z'}]}}]}]}",
         "spec.rules[0].filters[0].requestHeaderModifier.set[0].value: \"x\\u000d\\ny: z\" is not "
         "the "
         "value of a header; remove control characters and spaces at its ends"},
        {"'spec': {'rules': [{'filters': [{'type': 'DirectResponse', 'directResponse': "
         "{'statusCode': 99}}]}]}",
         "spec.rules[0].filters[0].directResponse.statusCode: 99 is not allowed; write a whole "
         "number from 200 to 599"},
        {"'spec': {'rules': [{'filters': [{'type': 'CORS', 'cors': {'allowCredentials': "
         "'yes'}}]}]}",
         "spec.rules[0].filters[0].cors.allowCredentials: must be true or false, not \"yes\""},
        {"'spec': {'rules': [{'filters': [{'type': 'RequestMirror', 'requestMirror': {}}]}]}",
         "spec.rules[0].filters[0].requestMirror.backendRef: is missing"},
        {"'spec': {'rules': [{'backendRefs': [{'name': 'a', 'port': 0}]}]}",
         "spec.rules[0].backendRefs[0].port: 0 is not allowed; write a whole number from 1 to "
         "65535"},
        {"'spec': {'rules': [{'backendRefs': [{'name': 'a', 'weight': 1000001}]}]}",
         "spec.rules[0].backendRefs[0].weight: 1000001 is not allowed; write a whole number from "
         "0 to 1000000"},
        {"'spec': {'rules': [{'backendRefs': [{'port': 80}]}]}",
         "spec.rules[0].backendRefs[0].name: is missing"},
        {"'spec': {'rules': [{'backendRefs': [{'name': null}]}]}",
         "spec.rules[0].backendRefs[0].name: is missing"},
    };
    expect_refusals(ROUTE, "Route shop/r", table, ARRAY_LEN(table));
}

static void other_kinds_are_refused_in_words(void **state) {
    (void)state;
    static const struct refusal gateway[] = {
        {"'spec': {'listeners': [{'name': 'a', 'port': 80, 'protocol': 'UDP'}]}",
         "spec.listeners[0].protocol: \"UDP\" is unknown; write HTTP, HTTPS, TLS or TCP"},
        {"'spec': {'listeners': [{'name': 'a', 'port': 80}]}",
         "spec.listeners[0].protocol: is missing"},
        {"'spec': {'trustedProxies': {'cidrs': ['10.0.0.0/8', '10.0.0.1/8']}}",
         "spec.trustedProxies.cidrs[1]: \"10.0.0.1/8\" names an address inside the range; write "
         "it as 10.0.0.0/8"},
        {"'spec': {'limits': {'body': '1.5'}}",
         "spec.limits.body: \"1.5\" is not a whole number of 0 to 9223372036854775807"},
        {"'spec': {'limits': {'body': '1 Mi'}}",
         "spec.limits.body: \"1 Mi\" is not a size; write it as 64k, 1Mi or 1048576"},
        {"'spec': {'limits': {'body': false}}",
         "spec.limits.body: must be a size as 64k or 1Mi, not false"},
        {"'spec': {'hostOwnership': {'mode': 'Newest'}}",
         "spec.hostOwnership.mode: \"Newest\" is unknown; write Oldest, Shared or Assigned"},
        {"'spec': {'ingress': {'foreignAnnotations': 'ignore'}}",
         "spec.ingress.foreignAnnotations: \"ignore\" is unknown; write Refuse or Warn"},
        {"'spec': {'hostOwnership': {'assignments': [{'namespaceSelector': {'matchLabels': {'a': "
         "1}}}]}}",
         "spec.hostOwnership.assignments[0].namespaceSelector.matchLabels[a]: must be a string, "
         "not 1; put it in quotes"},
        {"'spec': {'hostOwnership': {'assignments': [{'namespaceSelector': {'matchLabels': {'a': "
         "'1', 'b': '2', 'a': '3'}}}]}}",
         "spec.hostOwnership.assignments[0].namespaceSelector.matchLabels: \"a\" is there twice; "
         "remove one"},
    };
    expect_refusals("{'apiVersion': 'sluice.dev/v1alpha1', 'kind': 'GatewayConfig', 'metadata': "
                    "{'name': 'g'}, ",
                    "GatewayConfig g", gateway, ARRAY_LEN(gateway));
    static const struct refusal ingress[] = {
        {"'spec': {'rules': [{'http': {'paths': [{'path': '/', 'backend': {}}]}}]}",
         "spec.rules[0].http.paths[0].pathType: is missing"},
        {"'spec': {'defaultBackend': {'service': {'name': 'a', 'port': {'number': 0}}}}",
         "spec.defaultBackend.service.port.number: 0 is not allowed; write a whole number from 1 "
         "to 65535"},
        {"'spec': {'defaultBackend': {'service': {'name': 'a', 'port': {'number': 1, 'name': "
         "'b'}}}}",
         "spec.defaultBackend.service.port: must have either number or name"},
        {"'spec': {'defaultBackend': {'service': {'name': 'a', 'port': [80]}}}",
         "spec.defaultBackend.service.port: must be a number or a name, not a list"},
        {"'spec': {'ingressClassName': ['a']}",
         "spec.ingressClassName: must be a string, not a list"},
    };
    expect_refusals("{'apiVersion': 'networking.k8s.io/v1', 'kind': 'Ingress', 'metadata': "
                    "{'name': 'i'}, ",
                    "Ingress default/i", ingress, ARRAY_LEN(ingress));
    static const struct refusal envelope[] = {
        {"'apiVersion': 'sluice.dev/v1', 'metadata': {'name': 'r'}",
         "apiVersion: \"sluice.dev/v1\" is not a version that is known; write sluice.dev/v1alpha1"},
        {"'apiVersion': 'sluice.dev/v1alpha1', 'metadata': {'name': 'r', 'labels': ['a']}",
         "metadata.labels: must be an object, not a list"},
        {"'apiVersion': 'sluice.dev/v1alpha1', 'metadata': {'name': 'r', 'annotations': {'b/c': "
         "{}}}",
         "metadata.annotations[b/c]: must be a string, not an object"},
    };
    expect_refusals("{'kind': 'Route', ", "Route default/r", envelope, ARRAY_LEN(envelope));
}

static void objects_that_cannot_be_named(void **state) {
    (void)state;
    static const struct {
        const char *json, *sentence;
        bool foreign;
    } table[] = {
        {"[]", "must be an object with apiVersion and kind, not a list", false},
        {"'x'", "must be an object with apiVersion and kind, not \"x\"", false},
        {"{}", "apiVersion: is missing; every object has apiVersion, kind and metadata.name",
         false},
        {"{'apiVersion': 1, 'kind': 'Route'}",
         "apiVersion: is missing; every object has apiVersion, kind and metadata.name", false},
        {"{'apiVersion': 'v1'}",
         "kind: is missing; every object has apiVersion, kind and metadata.name", false},
        {"{'apiVersion': 'sluice.dev/v1alpha1', 'kind': 'Rout'}",
         "kind: \"Rout\" is no kind of sluice.dev; did you mean Route?", false},
        {"{'apiVersion': 'sluice.dev/v1alpha1', 'kind': 'Elephants'}",
         "kind: \"Elephants\" is no kind of sluice.dev; see `kubectl api-resources`", false},
        {"{'apiVersion': 'apps/v1', 'kind': 'Deployment'}",
         "apiVersion \"apps/v1\", kind \"Deployment\" is not for Sluice", true},
        {"{'apiVersion': 'v1', 'kind': 'Pod'}", "apiVersion \"v1\", kind \"Pod\" is not for Sluice",
         true},
        {"{'apiVersion': 'sluice.dev/v1alpha1', 'kind': 'Route'}",
         "Route: metadata.name: is missing; an object without a name cannot be used", false},
        {"{'apiVersion': 'sluice.dev/v1alpha1', 'kind': 'Route', 'metadata': {'name': 'a/b'}}",
         "Route: metadata.name: \"a/b\" is not a name; use lower-case letters, digits, \"-\" and "
         "\".\", at most 253 of them",
         false},
        {"{'apiVersion': 'sluice.dev/v1alpha1', 'kind': 'Route', 'metadata': {'name': 7}}",
         "Route: metadata.name: must be a string, not 7", false},
        {"{'apiVersion': 'sluice.dev/v1alpha1', 'kind': 'Route', 'metadata': {'name': 'a', "
         "'namespace': 'B'}}",
         "Route: metadata.namespace: \"B\" is not a name; use lower-case letters, digits, \"-\" "
         "and \".\", at most 253 of them",
         false},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        bool foreign;
        struct why why;
        assert_null(make(table[i].json, &foreign, &why));
        expect_sentence(&why, table[i].sentence);
        assert_int_equal(foreign, table[i].foreign);
    }
}

static void fields_and_defaults(void **state) {
    (void)state;
    struct resource *r =
        good("{'apiVersion': 'sluice.dev/v1alpha1', 'kind': 'Route', 'metadata': {'name': 'r', "
             "'labels': {'b': '2', 'a': '1'}, 'creationTimestamp': '1970-01-02T00:00:01Z', "
             "'generation': 3, 'uid': 'u', 'resourceVersion': '9'}, 'status': {'x': 1}, 'spec': {"
             "'hostnames': ['*.example.com'], 'auth': {'policyRef': {'name': 'p'}}, 'tls': null, "
             "'rules': [{"
             "'matches': [{'path': {'value': '/a'}}], 'timeouts': {'request': '1h30m'}, 'retry': "
             "{'codes': [500, 503]}, 'backendRefs': [{'name': 'b', 'port': 80}]}, {}]}}");
    const struct kube_Route *f = resource_Route(r);
    assert_true(str_eq(r->meta.namespace, STR("default")));
    assert_int_equal(r->meta.created, 86401);
    assert_int_equal(r->meta.generation, 3);
    assert_true(str_eq(r->from.file, STR("shop.yaml")));
    assert_int_equal(r->from.line, 7);
    assert_true(str_eq(resource_label(r, STR("a")), STR("1")));
    assert_true(str_eq(resource_label(r, STR("b")), STR("2")));
    assert_null(resource_label(r, STR("c")).p);
    assert_null(resource_annotation(r, STR("a")).p);
    assert_int_equal(f->n_hostnames, 1);
    assert_true(str_eq(f->auth->policy_ref->name, STR("p")));
    assert_false(f->tls);
    assert_null(f->ingress_class_name.p);
    assert_int_equal(f->n_rules, 2);
    assert_int_equal(f->rules[0].timeouts->request, 5400000);
    assert_int_equal(f->rules[0].timeouts->backend_request, -1);
    assert_int_equal(f->rules[0].retry->attempts, -1);
    assert_int_equal(f->rules[0].retry->n_codes, 2);
    assert_int_equal(f->rules[0].retry->codes[1], 503);
    assert_int_equal(f->rules[0].matches[0].path->type, MODEL_PATH_PREFIX);
    assert_int_equal(f->rules[0].backend_refs[0].weight, -1);
    assert_null(f->rules[1].timeouts);
    resource_drop(r);

    r = good("{'apiVersion': 'sluice.dev/v1alpha1', 'kind': 'GatewayConfig', 'metadata': {'name': "
             "'g', 'namespace': 'x'}, 'spec': {'ingress': {'bodyLimit': '1Mi'}, 'limits': {'body': "
             "1024}}}");
    const struct kube_GatewayConfig *g = resource_GatewayConfig(r);
    assert_int_equal(r->meta.namespace.n, 0);
    assert_true(g->ingress->ssl_redirect);
    assert_int_equal(g->ingress->body_limit, 1 << 20);
    assert_int_equal(g->limits->body, 1024);
    assert_int_equal(g->limits->memory, -1);
    resource_drop(r);
}

static void kubernetes_kinds_are_lenient(void **state) {
    (void)state;
    struct resource *r = good(
        "{'apiVersion': 'discovery.k8s.io/v1', 'kind': 'EndpointSlice', 'metadata': {'name': 'e', "
        "'labels': {'kubernetes.io/service-name': 's'}}, 'addressType': 'IPv4', 'extra': 1, "
        "'endpoints': [{'addresses': ['10.0.0.1'], 'conditions': {'ready': false}, 'hints': {}}], "
        "'ports': [{'port': 8080, 'protocol': 'TCP'}, {'port': null}]}");
    const struct kube_EndpointSlice *e = resource_EndpointSlice(r);
    assert_int_equal(e->endpoints[0].conditions->ready, 0);
    assert_int_equal(e->endpoints[0].conditions->serving, -1);
    assert_int_equal(e->ports[0].port, 8080);
    assert_int_equal(e->ports[1].port, -1);
    resource_drop(r);
    r = good("{'apiVersion': 'v1', 'kind': 'Service', 'metadata': {'name': 's'}, 'spec': {'ports': "
             "[{'port': 80, 'targetPort': 'web'}, {'port': 81, 'targetPort': 8081}], 'selector': "
             "{'app': 'x'}}}");
    const struct kube_Service *s = resource_Service(r);
    assert_true(str_eq(s->ports[0].target_port.name, STR("web")));
    assert_int_equal(s->ports[1].target_port.number, 8081);
    assert_int_equal(s->n_selector, 1);
    resource_drop(r);
    r = good("{'apiVersion': 'networking.k8s.io/v1', 'kind': 'Ingress', 'metadata': {'name': 'i'}, "
             "'spec': {'defaultBackend': {'service': {'name': 's', 'port': {'name': 'web'}}}}}");
    assert_true(str_eq(resource_Ingress(r)->default_backend->service->port.name, STR("web")));
    resource_drop(r);
}

static uint64_t hash_of(const char *json) {
    bool foreign;
    struct why why;
    struct resource *r = make(json, &foreign, &why);
    assert_non_null(r);
    uint64_t hash = r->hash;
    resource_drop(r);
    return hash;
}

#define WITH(meta, spec)                                                                           \
    "{'apiVersion': 'sluice.dev/v1alpha1', 'kind': 'Route', 'metadata': {'name': 'r'" meta         \
    "}, 'spec': {" spec "}}"
#define RULES "'rules': [{}]"

static void the_hash_is_of_what_is_read(void **state) {
    (void)state;
    uint64_t plain = hash_of(WITH("", RULES));
    static const char *const same[] = {
        WITH(", 'resourceVersion': '5', 'managedFields': [{}]", RULES),
        WITH(", 'namespace': 'default'", RULES ", 'hostnames': null"),
        WITH(", 'labels': {}, 'selfLink': 'x'", RULES ", 'hostnames': []"),
        WITH(", 'annotations': {'kubectl.kubernetes.io/last-applied-configuration': '{}'}", RULES),
    };
    static const char *const differ[] = {
        WITH(", 'labels': {'a': 'b'}", RULES),
        WITH(", 'annotations': {'a': 'b'}", RULES),
        WITH(", 'uid': 'b'", RULES),
        WITH(", 'generation': 2", RULES),
        WITH(", 'creationTimestamp': '2026-01-02T03:04:05Z'", RULES),
        WITH(", 'deletionTimestamp': '2026-01-02T03:04:05Z'", RULES),
        WITH("", "'rules': [{}, {}]"),
        WITH("", RULES ", 'auth': {}"),
        WITH("", RULES ", 'hostnames': ['a.b', 'c']"),
        WITH("", RULES ", 'hostnames': ['a.b.c']"),
        WITH("", ""),
        WITH("", "'rules': []"),
        WITH("", "'rules': 1"),
        WITH("", "'rules': 2"),
    };
    for (size_t i = 0; i < ARRAY_LEN(same); i++)
        assert_int_equal(plain, hash_of(same[i]));
    for (size_t i = 0; i < ARRAY_LEN(differ); i++) {
        assert_int_not_equal(plain, hash_of(differ[i]));
        for (size_t k = 0; k < i; k++)
            assert_int_not_equal(hash_of(differ[k]), hash_of(differ[i]));
    }
    assert_int_equal(hash_of(WITH(", 'labels': {'a': '1', 'b': '2'}", RULES)),
                     hash_of(WITH(", 'labels': {'b': '2', 'a': '1'}", RULES)));
}

static struct resource *from_json(cJSON *json) {
    bool foreign;
    struct why why;
    struct resource_origin from = {0};
    struct resource *r = resource_new(json, &from, &foreign, &why);
    cJSON_Delete(json);
    assert_non_null(r);
    return r;
}

static void sizes_are_bounded(void **state) {
    (void)state;
    cJSON *json = parse(ROUTE "'spec': {'rules': [{'matches': [{'path': {}}]}], 'hostnames': []}}");
    cJSON *spec = cJSON_GetObjectItem(json, "spec"), *big = cJSON_Duplicate(json, true);
    cJSON *rule = cJSON_GetArrayItem(cJSON_GetObjectItem(spec, "rules"), 0);
    cJSON *match = cJSON_GetArrayItem(cJSON_GetObjectItem(rule, "matches"), 0);
    char *path = mem_alloc((1 << 20) + 1);
    memset(path, '/', 1 << 20);
    path[1 << 20] = 0;
    cJSON_AddStringToObject(cJSON_GetObjectItem(match, "path"), "value", path);
    mem_free(path);
    struct resource *r = from_json(json);
    expect_sentence(r->refused,
                    "Route shop/r: spec.rules[0].matches[0].path.value: a string of 1048576 bytes "
                    "is too long; at most 65536 are allowed");
    resource_drop(r);
    cJSON *hosts = cJSON_GetObjectItem(cJSON_GetObjectItem(big, "spec"), "hostnames");
    for (int i = 0; i < 10001; i++)
        cJSON_AddItemToArray(hosts, cJSON_CreateString("a.example.com"));
    r = from_json(big);
    expect_sentence(r->refused,
                    "Route shop/r: spec.hostnames: has 10001 elements; at most 64 are allowed");
    resource_drop(r);
    cJSON *latin = parse(ROUTE "'spec': {'ingressClassName': 'x'}}");
    cJSON_SetValuestring(
        cJSON_GetObjectItem(cJSON_GetObjectItem(latin, "spec"), "ingressClassName"), "\xe9");
    r = from_json(latin);
    assert_string_equal(r->refused->field, "spec.ingressClassName");
    assert_non_null(strstr(r->refused->text, "is not UTF-8; write it anew"));
    resource_drop(r);
}

/* A Secret's values, and that no sentence quotes one, wherever it was put. */

#define SECRET                                                                                     \
    "{'apiVersion': 'v1', 'kind': 'Secret', 'metadata': {'name': 's', 'namespace': 'shop', "       \
    "'annotations': {'a': 'hunter2'}}, "

static void secrets_are_bytes(void **state) {
    (void)state;
    struct resource *r = good(SECRET "'type': 'kubernetes.io/tls', 'data': {'tls.key': 'AP8=', "
                                     "'b': 'aHVu\\ndGVyMg==', 'empty': ''}, "
                                     "'stringData': {'b': 'clear', 'c': 'too'}}");
    assert_true(str_eq(resource_Secret(r)->type, STR("kubernetes.io/tls")));
    assert_true(str_eq(resource_secret(r, STR("tls.key")), STR("\0\xff")));
    assert_true(str_eq(resource_secret(r, STR("b")), STR("clear")));
    assert_true(str_eq(resource_secret(r, STR("c")), STR("too")));
    assert_non_null(resource_secret(r, STR("empty")).p);
    assert_null(resource_secret(r, STR("other")).p);
    assert_int_equal(r->meta.n_annotations, 0);
    struct resource *other = good(SECRET "'type': 'kubernetes.io/tls', 'data': {'tls.key': 'AP4=', "
                                         "'b': 'aHVudGVyMg==', 'empty': ''}, "
                                         "'stringData': {'b': 'clear', 'c': 'too'}}");
    assert_true(other->hash != r->hash);
    resource_drop(other);
    resource_drop(r);
}

static void secrets_are_never_quoted(void **state) {
    (void)state;
    static const struct refusal table[] = {
        {"'data': {'k': 'hunter2'}",
         "data[k]: is not base64; write it so, or in clear under stringData"},
        {"'data': {'k': 'aHVu=dGVy'}",
         "data[k]: is not base64; write it so, or in clear under stringData"},
        {"'data': {'k': 20240101}", "data[k]: must be a string; put it in quotes"},
        {"'stringData': {'k': true}", "stringData[k]: must be a string; put it in quotes"},
        {"'stringData': {'k': ['hunter2']}", "stringData[k]: must be a string; put it in quotes"},
        {"'data': 'aHVudGVyMg=='", "data: must be an object"},
        {"'stringData': {'k': 'hunter2', 'k': 'hunter3'}",
         "stringData: \"k\" is there twice; remove one"},
    };
    expect_refusals(SECRET, "Secret shop/s", table, ARRAY_LEN(table));
    char *long_one = mem_alloc(1 << 21), *text = mem_alloc((1 << 21) + 500);
    memset(long_one, 'A', 1 << 21);
    long_one[(1 << 21) - 1] = 0;
    snprintf(text, (1 << 21) + 500, SECRET "'data': {'k': '%s'}}", long_one);
    struct why why;
    bool foreign;
    struct resource *r = make(text, &foreign, &why);
    expect_sentence(r->refused, "Secret shop/s: data[k]: a value of 2097151 bytes is too long; at "
                                "most 1572864 are allowed");
    resource_drop(r);
    mem_free(long_one);
    mem_free(text);
}

static void base64_is_strict(void **state) {
    (void)state;
    static const struct {
        const char *text;
        struct str bytes; /* p == NULL: refused */
    } table[] = {
        {"", {"", 0}},
        {"Zg==", {"f", 1}},
        {"Zm8=", {"fo", 2}},
        {"Zm9v", {"foo", 3}},
        {"Zm9vYg==", {"foob", 4}},
        {"Zm\r\n9v\n", {"foo", 3}},
        {"+/+/", {"\xfb\xff\xbf", 3}},
        {"Zg=", {0}},
        {"Zg", {0}},
        {"Z", {0}},
        {"Z===", {0}},
        {"====", {0}},
        {"Zh==", {0}},
        /* bits left over */ {"Zm9=", {0}},
        {"Zm9v=", {0}},
        {"Zg==Zg==", {0}},
        {"Zm 9v", {0}},
        {"Zm9-", {0}},
        {"Zm9_", {0}},
        {"=Zm9", {0}},
        {"Zg==Zm9vZm9v", {0}},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        char room[64];
        size_t n;
        bool good = base64_decode(str_of(table[i].text), room, &n);
        if (good != (table[i].bytes.p != NULL) ||
            (good && !str_eq(str_mk(room, n), table[i].bytes)))
            fail_msg("%s", table[i].text);
    }
}

static void check_field(const char *of, const struct kube_field *f, const struct kube_marks *m) {
    if (!f->doc || f->doc[0] == 0 || f->doc[strlen(f->doc) - 1] != '.')
        fail_msg("%s.%s: its description is no sentence: %s", of, f->path, f->doc ? f->doc : "");
    if (m->required && m->later)
        fail_msg("%s.%s: required, and refused when it is there", of, f->path);
    if (f->type == KUBE_T_PICK && f->def[0]) {
        size_t i = 0;
        while (kube_pick(f->picks, i).p && !str_eq(kube_pick(f->picks, i), str_of(f->def)))
            i++;
        if (!kube_pick(f->picks, i).p)
            fail_msg("%s.%s: its default %s is none of %s", of, f->path, f->def, f->picks);
    }
}

static void check_table(const char *of, const struct kube_field *fields) {
    size_t n = 0;
    struct kube_marks marks;
    while (fields[n].type != KUBE_T_END)
        n++;
    assert_true(n < KUBE_FIELDS_MAX);
    for (const struct kube_field *f = fields; (f = kube_field_at(f, &marks)); f++)
        check_field(of, f, &marks);
}

static void tables_fit_the_decoder(void **state) {
    (void)state;
    for (const struct kube_part *const *p = kube_parts; *p; p++) {
        assert_true((*p)->doc[0] != 0);
        check_table((*p)->name, (*p)->fields());
    }
    for (unsigned k = KUBE_NONE + 1; k < KUBE_KINDS; k++) {
        check_table(kube_kinds[k].kind, kube_part_of((enum kube_kind)k)->fields());
        assert_int_equal(kube_kind_of(str_of(kube_kinds[k].group), str_of(kube_kinds[k].kind)), k);
        bool ours = strcmp(kube_kinds[k].group, "sluice.dev") == 0;
        assert_int_equal(kube_kinds[k].strictness, ours ? KUBE_STRICT : KUBE_LENIENT);
    }
}

static void json_behind_a_narrower_door(void **state) {
    (void)state;
    static const struct {
        const char *json, *at, *text;
    } table[] = {
        {"", "1:1", "the text ends too early"},
        {"{\"a\":\n  [1, 2", "2:8", "the text ends too early"},
        {"{\"a\":\n b}", "2:2", "this is not JSON"},
        {"{} x", "1:4", "something follows the JSON value; remove it"},
        {"{\"a\": \"/admin\\u0000/x\"}", "1:14", "\\u0000 is not allowed in a string; remove it"},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct why why;
        why_clear(&why);
        assert_null(json_parse(str_of(table[i].json), &why));
        assert_string_equal(why.text, table[i].text);
        assert_string_equal(why.field, table[i].at);
    }
    struct why why;
    why_clear(&why);
    assert_null(json_parse(str_mk("{}\0", 3), &why));
    assert_string_equal(why.text, "a NUL byte is not JSON");
    char deep[300];
    memset(deep, '[', 299);
    deep[299] = 0;
    why_clear(&why);
    assert_null(json_parse(str_of(deep), &why));
    assert_string_equal(why.text, "this is nested too deeply");
    cJSON *json = json_parse(STR("{\"a\": null, \"b\": \"x\\\\u0000\"}"), &why);
    assert_null(json_get(json, "a"));
    assert_true(str_eq(json_text(json, "b"), STR("x\\u0000")));
    cJSON_Delete(json);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(routes_are_refused_in_words),
        cmocka_unit_test(other_kinds_are_refused_in_words),
        cmocka_unit_test(objects_that_cannot_be_named),
        cmocka_unit_test(fields_and_defaults),
        cmocka_unit_test(kubernetes_kinds_are_lenient),
        cmocka_unit_test(the_hash_is_of_what_is_read),
        cmocka_unit_test(sizes_are_bounded),
        cmocka_unit_test(secrets_are_bytes),
        cmocka_unit_test(secrets_are_never_quoted),
        cmocka_unit_test(base64_is_strict),
        cmocka_unit_test(tables_fit_the_decoder),
        cmocka_unit_test(json_behind_a_narrower_door),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
