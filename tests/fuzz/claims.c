/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz claims: JSON of anybody, in exactly as much memory as it may use. What is taken, cJSON takes
 * too; written and read again it is the same.
 */
#include "lib/claims.h"

#include "lib/json.h"
#include "lib/mem.h"

#include "tests/fuzz/fuzz.h"

enum { NODES = 600 };

/* cJSON reads numbers of at most 63 bytes. */
static bool is_for_cjson(const struct claims *c) {
    for (uint16_t i = 0; i < c->n_nodes; i++)
        if (c->nodes[i].kind == CLAIM_NUMBER && c->nodes[i].n > 60)
            return false;
    return true;
}

static void look_everywhere(const struct claims *c) {
    for (uint16_t i = 0; i < c->n_nodes; i++) {
        const struct claim *one = &c->nodes[i];
        struct str s = claim_text(c, one);
        must(one->end > i && one->end <= c->n_nodes);
        must(!s.p || (s.p >= c->text && s.p + s.n <= c->text + c->n_text));
        for (struct claim_words w = claim_words(c, one); claim_next(&w, &s);)
            must(s.p >= c->text && s.p + s.n <= c->text + c->n_text);
    }
}

static struct out written(const struct claims *c) {
    struct out o = out_heap(1 << 20);
    claim_json(c, c->nodes, &o);
    must(!o.over);
    return o;
}

static void write_and_read(const struct claims *c) {
    static struct claim nodes[NODES];
    struct out first = written(c), again;
    struct claims second;
    if (first.n > CLAIMS_TEXT_MAX) { /* escapes may be longer than what they stand for */
        out_fini(&first);
        return;
    }
    char *text = mem_alloc(first.n + 1);
    memcpy(text, first.p, first.n);
    must(claims_read(&second, text, first.n, nodes, NODES, NULL) == 0);
    must(second.n_nodes == c->n_nodes);
    again = written(&second);
    must(str_eq(out_done(&first), out_done(&again)));
    out_fini(&first);
    out_fini(&again);
    mem_free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct why why = {0};
    struct claims c;
    struct claim *nodes = mem_array(NODES, sizeof(*nodes));
    char *text = mem_alloc(size + 1);
    memcpy(text, data, size);
    int bad = claims_read(&c, text, size, nodes, NODES, &why);
    must(why_set(&why) == (bad != 0));
    if (!bad) {
        cJSON *json = json_parse(str_mk((const char *)data, size), NULL);
        must(json || !is_for_cjson(&c));
        cJSON_Delete(json);
        look_everywhere(&c);
        write_and_read(&c);
    }
    mem_free(text);
    mem_free(nodes);
    return 0;
}
