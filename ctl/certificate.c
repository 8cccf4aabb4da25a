/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/certificate.h"

#include "ctl/table.h"
#include "ctl/words.h"
#include "lib/certificate.h"

#include <string.h>

/* ---- a certificate object ---- */

static void add_day(struct arena *a, cJSON *to, const char *name, uint64_t seconds) {
    doc_text(to, name, certificate_day(a, seconds));
}

static cJSON *chain_of(struct arena *a, struct str chain) {
    cJSON *list = cJSON_CreateArray();
    struct str der;
    while (certificate_next(&chain, &der)) {
        struct certificate_info info;
        cJSON *j = doc_item(list);
        if (certificate_describe(der, a, &info, NULL) != 0)
            continue;
        doc_text(j, "subject", info.subject);
        doc_text(j, "issuer", info.issuer);
        doc_text(j, "key", info.key);
        add_day(a, j, "notBefore", info.not_before);
        add_day(a, j, "notAfter", info.not_after);
    }
    return list;
}

cJSON *certificate_object(struct arena *a, const struct object *o) {
    cJSON *j = doc_of_object(o);
    if (o->kind != MODEL_KIND_certificate)
        return j;
    const struct model_certificate *m = object_decode(o, a, NULL);
    cJSON_DeleteItemFromObjectCaseSensitive(j, "chain");
    cJSON_AddItemToObject(j, "chain", chain_of(a, m->chain));
    return j;
}

/* ---- what a host shows ---- */

static void add_shown(struct world *w, cJSON *to, struct str id) {
    const struct object *o = world_object(w, id);
    struct certificate_info info;
    struct str der;
    doc_text(to, "id", id);
    const struct model_certificate *m = o ? object_decode(o, &w->arena, NULL) : NULL;
    struct str chain = m ? m->chain : STR_NONE;
    if (!m || !certificate_next(&chain, &der) ||
        certificate_describe(der, &w->arena, &info, NULL) != 0) {
        cJSON_AddTrueToObject(to, "missing");
        return;
    }
    doc_text(to, "subject", info.subject);
    cJSON *names = doc_list(to, "names");
    for (uint32_t i = 0; i < m->n_names; i++)
        cJSON_AddItemToArray(names, cJSON_CreateString(arena_str(&w->arena, m->names[i]).p));
    doc_text(to, "key", info.key);
    add_day(&w->arena, to, "notAfter", m->not_after);
}

static const struct model_host *host_of(struct world *w, const struct model_route *r,
                                        struct str hostname) {
    for (uint32_t i = 0; i < r->n_hosts; i++) {
        const struct object *o = world_object(w, r->hosts[i]);
        const struct model_host *h = o ? object_decode(o, &w->arena, NULL) : NULL;
        if (h && str_eq(h->hostname, hostname))
            return h;
    }
    return NULL;
}

void certificate_tls(struct world *w, cJSON *to, const struct model_route *r, struct str hostname) {
    const struct model_host *h = r->tls ? host_of(w, r, hostname) : NULL;
    if (!h)
        return;
    cJSON *tls = cJSON_AddObjectToObject(to, "tls");
    cJSON *list = doc_list(tls, "certificates");
    for (uint32_t i = 0; i < h->n_certificates; i++)
        add_shown(w, doc_item(list), h->certificates[i]);
    if (h->default_certificate)
        cJSON_AddTrueToObject(tls, "default");
    if (r->tls->redirect)
        cJSON_AddTrueToObject(tls, "redirect");
}

/* ---- in lines ---- */

static void print_one(struct ctl *c, const cJSON *j) {
    const cJSON *name;
    const char *comma = "  ";
    fprintf(c->out, "    %s", doc_get(j, "id"));
    if (doc_true(j, "missing")) {
        fprintf(c->out, "  %sis not there%s\n", tone_on(c, TONE_BAD), tone_off(c));
        return;
    }
    fprintf(c->out, "  %s  %s", doc_get(j, "subject"), doc_get(j, "key"));
    cJSON_ArrayForEach(name, doc_each(j, "names")) {
        fprintf(c->out, "%s%s", comma, cJSON_GetStringValue(name));
        comma = ", ";
    }
    fprintf(c->out, "  until %s\n", doc_get(j, "notAfter"));
}

void certificate_print(struct ctl *c, const cJSON *tls) {
    const cJSON *j;
    if (!tls)
        return;
    fprintf(c->out, "  tls%s\n", doc_true(tls, "redirect") ? ", redirect 308" : "");
    cJSON_ArrayForEach(j, doc_each(tls, "certificates")) print_one(c, j);
    if (doc_true(tls, "default"))
        fputs("    the listener's default certificates\n", c->out);
}
