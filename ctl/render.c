/* SPDX-License-Identifier: Apache-2.0
 *
 * render: the objects that proxies would get, without their secrets. What is refused is said on
 * stderr.
 */
#include "ctl/certificate.h"

enum ctl_exit ctl_render(struct ctl *c) {
    struct world w;
    enum ctl_exit code = world_open(c, &w);
    if (code == CTL_OK) {
        cJSON *doc = cJSON_CreateObject();
        cJSON *list = doc_list(doc, "objects");
        for (size_t i = 0; i < w.n_objects; i++)
            cJSON_AddItemToArray(list, certificate_object(&w.arena, w.objects[i]));
        doc_print(c, doc);
        for (size_t i = 0; i < w.n_findings; i++)
            world_print_finding(c, c->err, &w.findings[i]);
        code = w.n_refused > 0 ? CTL_PROBLEMS : CTL_OK;
    }
    world_close(&w);
    return code;
}
