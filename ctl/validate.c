/* SPDX-License-Identifier: Apache-2.0
 *
 * validate: every refusal and warning, in the words that status and events would have.
 */
#include "ctl/table.h"
#include "ctl/world.h"

static void print_all(struct ctl *c, const struct world *w) {
    for (size_t i = 0; i < w->n_findings; i++)
        world_print_finding(c, c->out, &w->findings[i]);
    fprintf(c->out, "%s%zu resources read; %zu refused, %zu warnings%s\n",
            tone_on(c, w->n_refused > 0 ? TONE_BAD : TONE_GOOD), w->n_resources, w->n_refused,
            w->n_findings - w->n_refused, tone_off(c));
}

static void document(struct ctl *c, const struct world *w) {
    cJSON *doc = cJSON_CreateObject();
    cJSON_AddNumberToObject(doc, "resources", (double)w->n_resources);
    cJSON_AddNumberToObject(doc, "refused", (double)w->n_refused);
    cJSON *list = doc_list(doc, "findings");
    for (size_t i = 0; i < w->n_findings; i++)
        world_finding(&w->findings[i], doc_item(list));
    doc_print(c, doc);
}

enum ctl_exit ctl_validate(struct ctl *c) {
    struct world w;
    enum ctl_exit code = world_open(c, &w);
    if (code == CTL_OK) {
        if (c->format == CTL_TABLE)
            print_all(c, &w);
        else
            document(c, &w);
        code = w.n_refused > 0 ? CTL_PROBLEMS : CTL_OK;
    }
    world_close(&w);
    return code;
}
