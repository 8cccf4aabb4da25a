/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz yaml: files of a directory source, from their bytes to resources. Byte 0 'j' is JSON,
 * any other YAML.
 */
#include "controller/kube/yaml.h"
#include "controller/kube/kinds.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct yaml y;
    struct why why;
    struct resource_origin from = {STR("fuzz.yaml"), 0};
    why_clear(&why);
    if (size == 0)
        return 0;
    struct str text = str_mk((const char *)data + 1, size - 1);
    int rc = yaml_parse(text, data[0] == 'j' ? YAML_JSON : YAML_YAML, from.file, &y, &why);
    must(why_set(&why) == (rc != 0));
    for (size_t i = 0; i < y.n; i++) {
        bool foreign;
        why_clear(&why);
        from.line = y.documents[i].line;
        struct resource *r = resource_new(y.documents[i].json, &from, &foreign, &why);
        must(why_set(&why) == (r == NULL));
        must(!r || (r->fields == NULL) == (r->refused != NULL));
        resource_drop(r);
    }
    yaml_fini(&y);
    return 0;
}

/* libfyaml 0.7.12 loses 4 KiB when it gives out the text of a quoted scalar with very many escapes:
 * once for each parse of such a file, and not ours to free. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:libfyaml"; }
