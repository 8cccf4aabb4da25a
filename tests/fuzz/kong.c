/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz kong: a file of Kong's, from its bytes to our resources. Whatever it says, what comes out is
 * YAML of kinds that we know, in which nothing is refused but what is not built yet.
 */
#include "ctl/import.h"
#include "lib/mem.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

enum ctl_exit ctl_fail(struct ctl *c, enum ctl_exit code, const char *fmt, ...) {
    (void)c, (void)fmt;
    return code;
}

static void check(const cJSON *json) {
    struct why why = {0};
    struct resource_origin from = {STR("out.yaml"), 1};
    bool foreign = false;
    struct resource *r = resource_new(json, &from, &foreign, &why);
    must(r && !foreign);
    if (r->refused && !strstr(r->refused->text, "not supported yet")) {
        fprintf(stderr, "%s: %s: %s\n", r->refused->object, r->refused->field, r->refused->text);
        must(!"a resource that is refused");
    }
    resource_drop(r);
}

static void check_all(char *text, size_t n) {
    struct yaml y;
    struct why why = {0};
    int rc = yaml_parse(str_mk(text, n), YAML_YAML, STR("out.yaml"), &y, &why);
    must(rc == 0);
    for (size_t i = 0; i < y.n; i++)
        check(y.documents[i].json);
    yaml_fini(&y);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct kong k;
    struct why why = {0};
    char *out = NULL, *err = NULL;
    size_t n_out, n_err;
    if (size == 0)
        return 0;
    struct str text = str_mk((const char *)data + 1, size - 1);
    if (kong_read(&k, text, data[0] == 'j' ? YAML_JSON : YAML_YAML, "kong.yaml", &why) == 0) {
        struct ctl c = {.namespace = "shop", .gateway_config = data[0] & 1 ? "main" : NULL};
        c.out = open_memstream(&out, &n_out);
        c.err = open_memstream(&err, &n_err);
        (void)import_run(&c, &k);
        fclose(c.out);
        fclose(c.err);
        check_all(out, n_out);
        free(out);
        free(err);
    } else {
        must(why_set(&why));
    }
    kong_fini(&k);
    return 0;
}

/* As in yaml.c: libfyaml loses what many escapes took. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:libfyaml"; }
