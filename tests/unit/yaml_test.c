/* SPDX-License-Identifier: Apache-2.0
 *
 * Files of objects: what YAML and JSON become, and every refusal with its place and words.
 */
#include "controller/kube/yaml.h"
#include "lib/json.h"
#include "lib/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void expect(const char *text, enum yaml_form form, const char *json) {
    struct yaml y;
    struct why why;
    struct out o = out_heap(1 << 20);
    why_clear(&why);
    if (yaml_parse(str_of(text), form, STR("f"), &y, &why) != 0)
        fail_msg("%s: %s", why.object, why.text);
    for (size_t i = 0; i < y.n; i++) {
        char *printed = cJSON_PrintUnformatted(y.documents[i].json);
        out_fmt(&o, "%s%u %s", i == 0 ? "" : "; ", y.documents[i].line, printed);
        cJSON_free(printed);
    }
    out_char(&o, 0);
    assert_string_equal(o.p, json);
    out_fini(&o);
    yaml_fini(&y);
}

static void scalars_of_the_core_schema(void **state) {
    (void)state;
    static const struct {
        const char *yaml, *json;
    } table[] = {
        {"a", "1 \"a\""},
        {"[1, -2, +3, 0x1F, 0o17, 017, 1.5, 1e3, .5, 5.]", "1 [1,-2,3,31,15,17,1.5,1000,0.5,5]"},
        {"[true, True, FALSE, null, ~, 'true', \"1\"]",
         "1 [true,true,false,null,null,\"true\",\"1\"]"},
        {"[yes, no, on, off, y, 1_000, 0b1, 1:30, 0x, 0o8, 1.2.3, .]",
         "1 [\"yes\",\"no\",\"on\",\"off\",\"y\",\"1_000\",\"0b1\",\"1:30\",\"0x\",\"0o8\","
         "\"1.2.3\",\".\"]"},
        {"a: |\n  x\n  y\nb: >-\n  x\n  y\n", "1 {\"a\":\"x\\ny\\n\",\"b\":\"x y\"}"},
        {"at: 2026-01-02T03:04:05Z", "1 {\"at\":\"2026-01-02T03:04:05Z\"}"},
        {"80: http\ntrue: x\n", "1 {\"80\":\"http\",\"true\":\"x\"}"},
        {"a: \"\\u00e9\\U0001F600\"", "1 {\"a\":\"é😀\"}"},
        {"a:\nb: {}\nc: []\n", "1 {\"a\":null,\"b\":{},\"c\":[]}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        expect(table[i].yaml, YAML_YAML, table[i].json);
}

static void documents_and_lists(void **state) {
    (void)state;
    expect("", YAML_YAML, "");
    expect("\n  \n", YAML_YAML, "");
    expect("# nothing\n", YAML_YAML, "");
    expect("---\n---\n# x\n---\n", YAML_YAML, "");
    expect("a: 1\n---\nb: 2\n...\n---\n# c\nc: 3\n", YAML_YAML,
           "1 {\"a\":1}; 3 {\"b\":2}; 7 {\"c\":3}");
    expect("apiVersion: v1\nkind: List\nitems:\n- a: 1\n-\n  b: 2\n- {c: 3}\n- 4\n---\nd: 5\n",
           YAML_YAML, "4 {\"a\":1}; 6 {\"b\":2}; 7 {\"c\":3}; 1 4; 10 {\"d\":5}");
    expect("{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [{\"a\": 1}, {\"b\": 2}]}",
           YAML_JSON, "1 {\"a\":1}; 1 {\"b\":2}");
    expect("\n{\"a\": \"\\u00e9\\ud83d\\ude00\"}\n", YAML_JSON, "1 {\"a\":\"é😀\"}");
    expect("kind: List\nitems: []\n", YAML_YAML, "1 {\"kind\":\"List\",\"items\":[]}");
}

static void aliases_are_copied(void **state) {
    (void)state;
    expect("a: &x {b: [1]}\nc: *x\nd: [*x, &x 2, *x]\n", YAML_YAML,
           "1 {\"a\":{\"b\":[1]},\"c\":{\"b\":[1]},\"d\":[{\"b\":[1]},2,2]}");
    expect("- &a x\n- *a\n", YAML_YAML, "1 [\"x\",\"x\"]");
}

static void expect_refused(struct str text, enum yaml_form form, const char *sentence) {
    struct yaml y;
    struct why why;
    char room[1024];
    struct out o = out_fixed(room, sizeof(room) - 1);
    why_clear(&why);
    assert_int_equal(yaml_parse(text, form, STR("shop.yaml"), &y, &why), -1);
    why_print(&why, &o);
    room[o.n] = 0;
    assert_string_equal(room, sentence);
    assert_int_equal(y.n, 0);
    assert_true(y.line > 0 && y.column > 0);
    yaml_fini(&y);
}

static void refusals(void **state) {
    (void)state;
    static const struct {
        const char *text, *sentence;
    } table[] = {
        {"a: 1\nb: [1, 2\n",
         "shop.yaml:3:1: this is not YAML: flow sequence without a closing bracket"},
        {"a: b: c\n", "shop.yaml:1:5: this is not YAML: invalid nested block "
                      "mapping on the same line"},
        {"a:\n\t- b\n",
         "shop.yaml:2:1: this is not YAML: tab character may not be used as indentation"},
        {"a: \"x\n", "shop.yaml:1:5: this is not YAML: double-quoted scalar without closing quote"},
        {"a: 1\nb: {c: 1, c: 2}\n",
         "shop.yaml:2:1: \"c\" is there twice in this object; remove one"},
        {"a: !!str 1\n",
         "shop.yaml:1:4: tags are not supported; remove it, and put text in quotes"},
        {"a: &x {b: 1}\nc: {<<: *x}\n",
         "shop.yaml:2:5: merge keys (<<) are not supported; write the fields out"},
        {"a: *x\n", "shop.yaml:1:5: no anchor of this name stands before it"},
        {"a: &x [*x]\n", "shop.yaml:1:9: no anchor of this name stands before it"},
        {"a: &x 1\n---\nb: *x\n", "shop.yaml:3:5: no anchor of this name stands before it"},
        {"? [a]\n: 1\n", "shop.yaml:1:3: a key must be a word, not a list or an object"},
        {"a: &x b\n*x : 1\n", "shop.yaml:2:2: a key must be a word; write it out"},
        {"&x a: 1\n", "shop.yaml:1:2: a key cannot have an anchor; remove it"},
        {"a: .inf\n", "shop.yaml:1:4: this number is too large; put text in quotes"},
        {"a: 1e999\n", "shop.yaml:1:4: this number is too large; put text in quotes"},
        {"a: \"x\\0y\"\n", "shop.yaml:1:5: a NUL character is not allowed; remove it"},
        {"a: \xff\n", "shop.yaml:1:4: this is not UTF-8; save the file as UTF-8"},
        {"a: \xed\xa0\x80\n", "shop.yaml:1:4: this is not UTF-8; save the file as UTF-8"},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        expect_refused(str_of(table[i].text), YAML_YAML, table[i].sentence);
    expect_refused(str_mk("a: x\0y\n", 7), YAML_YAML,
                   "shop.yaml:1:5: a NUL character is not allowed; remove it");
    expect_refused(STR("{\"a\":\n b}"), YAML_JSON, "shop.yaml:2:2: this is not JSON");
    expect_refused(STR("{\"a\": 1, \"b\": {\"a\": 1, \"a\": 2}}"), YAML_JSON,
                   "shop.yaml:1:1: \"a\" is there twice in this object; remove one");
}

static void bounded(void **state) {
    (void)state;
    struct out o = out_heap(64 << 20);
    for (int i = 0; i < 33; i++)
        out_char(&o, '[');
    expect_refused(out_done(&o), YAML_YAML, "shop.yaml:1:33: this is nested too deeply");
    o.n = 0;
    out_lit(&o, "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"); /* billion laughs */
    for (int i = 1; i < 10; i++) {
        out_fmt(&o, "a%d: &a%d [", i, i);
        for (int k = 0; k < 10; k++)
            out_fmt(&o, "%s*a%d", k ? ", " : "", i - 1);
        out_lit(&o, "]\n");
    }
    expect_refused(out_done(&o), YAML_YAML,
                   "shop.yaml:5:11: aliases make this document too large; write the values out");
    o.n = 0;
    out_lit(&o, "a0: &a0 []\n");
    for (int i = 1; i < 40; i++)
        out_fmt(&o, "a%d: &a%d [*a%d]\n", i, i, i - 1);
    expect_refused(out_done(&o), YAML_YAML, "shop.yaml:32:13: this is nested too deeply");
    o.n = 0;
    for (int i = 0; i < 101; i++)
        out_fmt(&o, "a%d: &a%d 1\n", i, i);
    expect_refused(out_done(&o), YAML_YAML,
                   "shop.yaml:101:8: there are more than 100 anchors; write the values out");
    o.n = 0;
    for (int i = 0; i < 100000; i++)
        out_fmt(&o, "a%d: 1\n", i);
    out_lit(&o, "a7: 1\n");
    expect_refused(out_done(&o), YAML_YAML,
                   "shop.yaml:1:1: \"a7\" is there twice in this object; remove one");
    out_fini(&o);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scalars_of_the_core_schema),
        cmocka_unit_test(documents_and_lists),
        cmocka_unit_test(aliases_are_copied),
        cmocka_unit_test(refusals),
        cmocka_unit_test(bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
