/* SPDX-License-Identifier: Apache-2.0
 *
 * import_tls: certificates of hosts, of clients and of authorities.
 */
#include "ctl/import.h"
#include "lib/json.h"
#include "lib/mem.h"

static const char *const known[] = {"cert", "key", "cert_alt", "key_alt", "snis", NULL};

static void add_pair(cJSON *doc, struct str cert, struct str key) {
    cJSON_AddStringToObject(doc, "type", "kubernetes.io/tls");
    cJSON *data = cJSON_AddObjectToObject(doc, "data");
    import_secret_add(data, "tls.crt", cert);
    import_secret_add(data, "tls.key", key);
}

static bool is_pem(struct str s) { return str_starts(str_trim(s), STR("-----BEGIN")); }

/* The first of its names, as a name for the Secret. */
static struct str wanted_of(struct import *i, const struct kong_entity *e) {
    for (const struct kong_entity *s = NULL; (s = kong_next(i->kong, KONG_SNI, s));)
        if (s->of[KONG_CERTIFICATE] == e)
            return str_of(s->name);
    return arena_fmt(&i->arena, "certificate-%zu", e->place + 1);
}

struct str import_certificate_in(struct import *i, const struct kong_entity *e,
                                 struct str namespace) {
    struct str cert = kong_text(e->json, "cert"), key = kong_text(e->json, "key");
    if (!is_pem(cert) || !is_pem(key)) {
        import_say(i, IMPORT_LOST, import_object(i, e), STR("cert, key"), STR("(not shown)"),
                   "is no PEM in this file (a vault?); make a Secret of type kubernetes.io/tls and "
                   "name it where the certificate belongs");
        return STR_NONE;
    }
    struct str made = arena_fmt(&i->arena, "secret/%.*s/%zu", STR_FMT(namespace), e->place);
    const char *have = map_get(&i->made, made);
    if (have)
        return str_of(have);
    struct str name = import_name(i, KUBE_Secret, namespace, wanted_of(i, e));
    map_put(&i->made, made, (void *)(uintptr_t)name.p);
    add_pair(import_doc(i, KUBE_Secret, namespace, name, e), cert, key);
    return name;
}

void import_certificates(struct import *i) {
    struct kong_list *l = &i->kong->lists[KONG_CERTIFICATE];
    i->secrets = arena_array(&i->arena, l->n + 1, sizeof(*i->secrets));
    for (size_t n = 0; n < l->n; n++) {
        const struct kong_entity *e = l->all[n];
        import_unknown(i, e, e->json, "", known);
        i->secrets[n] = import_certificate_in(i, e, i->namespace);
        if (kong_text(e->json, "cert_alt").n > 0)
            import_say(i, IMPORT_LOST, import_object(i, e), STR("cert_alt"), STR("(not shown)"),
                       "make a second Secret of it and name both in tls.certificateRefs");
    }
}

/* *.example.com is good for one label, as in certificates. */
static bool covers(struct str sni, struct str host) {
    if (str_eq_nocase(sni, host))
        return true;
    if (!str_starts(sni, STR("*.")) || str_starts(host, STR("*.")))
        return false;
    struct str first, rest = str_cut(host, '.', &first);
    return rest.p && str_eq_nocase(rest, str_skip(sni, 2));
}

static bool in_list(const cJSON *list, struct str name) {
    const cJSON *item;
    cJSON_ArrayForEach(item, list) {
        if (str_eq(str_of(doc_get(item, "name")), name))
            return true;
    }
    return false;
}

cJSON *import_certificates_for(struct import *i, const cJSON *hostnames) {
    cJSON *list = cJSON_CreateArray();
    for (const struct kong_entity *s = NULL; (s = kong_next(i->kong, KONG_SNI, s));) {
        const struct kong_entity *e = s->of[KONG_CERTIFICATE];
        const cJSON *host;
        if (!e || i->secrets[e->place].n == 0)
            continue;
        cJSON_ArrayForEach(host, hostnames) {
            if (covers(str_of(s->name), str_of(host->valuestring)) &&
                !in_list(list, i->secrets[e->place]) && cJSON_GetArraySize(list) < 16)
                doc_text(doc_item(list), "name", i->secrets[e->place]);
        }
    }
    if (list->child)
        return list;
    cJSON_Delete(list);
    return NULL;
}

/* PEM of all; false when one of them is not there. */
static bool all_authorities(struct import *i, const cJSON *ids, struct out *pem) {
    const cJSON *id;
    cJSON_ArrayForEach(id, ids) {
        const struct kong_entity *a = kong_find(i->kong, KONG_AUTHORITY, str_of(id->valuestring));
        struct str cert = a ? kong_text(a->json, "cert") : STR_NONE;
        if (!is_pem(cert))
            return false;
        out_str(pem, cert);
        if (!str_ends(cert, STR("\n")))
            out_char(pem, '\n');
    }
    return true;
}

/* One ConfigMap for the same ones, since a caRef is one entry. */
struct str import_authorities_in(struct import *i, const cJSON *ids, struct str namespace) {
    struct out pem = out_heap(1 << 20);
    struct str name = STR_NONE;
    if (all_authorities(i, ids, &pem) && !pem.over) {
        struct str made =
            arena_fmt(&i->arena, "ca/%.*s/%.*s", STR_FMT(namespace), STR_FMT(out_done(&pem)));
        const char *have = map_get(&i->made, made);
        name = have ? str_of(have)
                    : import_name(i, KUBE_ConfigMap, namespace, STR("kong-authorities"));
        if (!have) {
            map_put(&i->made, made, (void *)(uintptr_t)name.p);
            cJSON *doc = import_doc(i, KUBE_ConfigMap, namespace, name, NULL);
            doc_text(cJSON_AddObjectToObject(doc, "data"), "ca.crt", out_done(&pem));
        }
    }
    out_fini(&pem);
    return name;
}
