/* SPDX-License-Identifier: Apache-2.0
 *
 * import_doc: the resources: free names for them, and printing in an order that depends on nothing
 * but their names.
 */
#include "ctl/import.h"
#include "lib/json.h"
#include "lib/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LABEL_MAX = 63, STEM_MAX = 54 }; /* room for a number behind */

/* ---- names ---- */

static struct str label_of(struct import *i, struct str wanted, struct str otherwise) {
    char room[STEM_MAX];
    size_t n = 0;
    for (size_t c = 0; c < wanted.n && n < sizeof(room); c++) {
        char ch = char_lower(wanted.p[c]);
        bool good = (ch >= 'a' && ch <= 'z') || (ch >= '0' && ch <= '9');
        if (good)
            room[n++] = ch;
        else if (n > 0 && room[n - 1] != '-')
            room[n++] = '-';
    }
    while (n > 0 && room[n - 1] == '-')
        n--;
    if (n == 0)
        return otherwise;
    /* A Service begins with a letter (RFC 1035); so that all do. */
    if (room[0] >= '0' && room[0] <= '9')
        return arena_fmt(&i->arena, "k%.*s", (int)n, room);
    return arena_str(&i->arena, str_mk(room, n));
}

struct str import_name(struct import *i, enum kube_kind kind, struct str namespace,
                       struct str wanted) {
    struct str stem = label_of(i, wanted, STR("unnamed")), name = stem;
    for (unsigned n = 2;; n++) {
        struct str key =
            arena_fmt(&i->arena, "%d/%.*s/%.*s", (int)kind, STR_FMT(namespace), STR_FMT(name));
        if (!map_get(&i->names, key)) {
            map_put(&i->names, key, i);
            return name;
        }
        name = arena_fmt(&i->arena, "%.*s-%u", STR_FMT(stem), n);
    }
}

/* ---- documents ---- */

static struct str version_of(struct import *i, const struct kube_kind_info *k) {
    return arena_fmt(&i->arena, "%s%s%s", k->group, k->group[0] ? "/" : "", k->version);
}

static void add_tags(cJSON *doc, const struct kong_entity *e) {
    const cJSON *tags = kong_texts(e->json, "tags"), *tag;
    struct out o = out_heap(4096);
    cJSON_ArrayForEach(tag, tags) {
        if (o.n > 0)
            out_char(&o, ',');
        out_str(&o, str_of(tag->valuestring));
    }
    import_annotate(doc, "sluice.dev/kong-tags", out_done(&o));
    out_fini(&o);
}

void import_annotate(cJSON *doc, const char *key, struct str value) {
    cJSON *meta = cJSON_GetObjectItemCaseSensitive(doc, "metadata");
    cJSON *notes = cJSON_GetObjectItemCaseSensitive(meta, "annotations");
    if (value.n == 0)
        return;
    if (!notes)
        notes = cJSON_AddObjectToObject(meta, "annotations");
    doc_text(notes, key, value);
}

cJSON *import_doc(struct import *i, enum kube_kind kind, struct str namespace, struct str name,
                  const struct kong_entity *e) {
    if ((i->n_docs & (i->n_docs - 1)) == 0)
        i->docs = mem_realloc(i->docs, (i->n_docs ? i->n_docs * 2 : 1) * sizeof(*i->docs));
    cJSON *doc = cJSON_CreateObject();
    doc_text(doc, "apiVersion", version_of(i, &kube_kinds[kind]));
    doc_text(doc, "kind", str_of(kube_kinds[kind].kind));
    cJSON *meta = cJSON_AddObjectToObject(doc, "metadata");
    doc_text(meta, "name", name);
    doc_text(meta, "namespace", namespace);
    i->docs[i->n_docs++] =
        (struct import_doc){kind, arena_str(&i->arena, namespace), arena_str(&i->arena, name), doc};
    if (!e)
        return doc;
    bool secret = e->type >= KONG_API_KEY && e->type <= KONG_HMAC;
    import_annotate(doc, "sluice.dev/kong-name", secret ? STR_NONE : str_of(e->name));
    import_annotate(doc, "sluice.dev/kong-id", str_of(e->id));
    add_tags(doc, e);
    return doc;
}

cJSON *import_spec(cJSON *doc) {
    cJSON *spec = cJSON_GetObjectItemCaseSensitive(doc, "spec");
    return spec ? spec : cJSON_AddObjectToObject(doc, "spec");
}

cJSON *import_item(cJSON *list, cJSON *item) {
    cJSON_AddItemToArray(list, item);
    return item;
}

void import_text_item(cJSON *list, struct str text) {
    char *copy = str_dup(text);
    cJSON_AddItemToArray(list, cJSON_CreateString(copy));
    mem_free(copy);
}

cJSON *import_secret(struct import *i, struct str namespace, struct str name,
                     const struct kong_entity *e) {
    cJSON *doc = import_doc(i, KUBE_Secret, namespace, name, e);
    cJSON *meta = cJSON_GetObjectItemCaseSensitive(doc, "metadata");
    cJSON *labels = cJSON_AddObjectToObject(meta, "labels");
    cJSON_AddStringToObject(labels, "sluice.dev/credential", "true");
    cJSON_AddStringToObject(doc, "type", "Opaque");
    return cJSON_AddObjectToObject(doc, "data");
}

void import_secret_add(cJSON *data, const char *key, struct str bytes) {
    char *room = mem_alloc(bytes.n / 3 * 4 + 8);
    EVP_EncodeBlock((unsigned char *)room, (const unsigned char *)bytes.p, (int)bytes.n);
    cJSON_AddStringToObject(data, key, room);
    OPENSSL_cleanse(room, bytes.n / 3 * 4 + 8);
    mem_free(room);
}

/* ---- printing ---- */

/* What others need comes first: classes, Secrets, Services, then policies, Routes last. */
static unsigned rank_of(enum kube_kind kind) {
    static const enum kube_kind order[] = {
        KUBE_GatewayConfig, KUBE_IngressClass,  KUBE_ReferenceGrant, KUBE_ConfigMap,
        KUBE_Secret,        KUBE_Service,       KUBE_EndpointSlice,  KUBE_Consumer,
        KUBE_AuthPolicy,    KUBE_TrafficPolicy, KUBE_Route};
    unsigned rank = 0;
    while (rank < ARRAY_LEN(order) && order[rank] != kind)
        rank++;
    return rank;
}

static int doc_cmp(const void *x, const void *y) {
    const struct import_doc *a = x, *b = y;
    int c = (a->namespace.n > 0) - (b->namespace.n > 0);
    c = c ? c : str_cmp(a->namespace, b->namespace);
    c = c ? c : (int)rank_of(a->kind) - (int)rank_of(b->kind);
    return c ? c : str_cmp(a->name, b->name);
}

static void print_one(struct import *i, FILE *to, struct import_doc *d, bool first) {
    struct ctl c = *i->c;
    c.out = to;
    c.format = CTL_YAML;
    if (!first)
        fputs("---\n", to);
    doc_print(&c, d->json);
    d->json = NULL;
}

static int folder(struct import *i, const char *path) {
    if (mkdir(path, 0777) == 0 || errno == EEXIST)
        return 0;
    ctl_fail(i->c, CTL_PROBLEMS, "%s: %s", path, strerror(errno));
    return -1;
}

/* DIR/shop/routes.yaml; of a Secret nobody else may read it. */
static FILE *file_for(struct import *i, const struct import_doc *d) {
    struct str below = d->namespace.n > 0 ? d->namespace : STR("cluster");
    struct str dir = arena_fmt(&i->arena, "%s/%.*s", i->c->directory, STR_FMT(below));
    struct str path = arena_fmt(&i->arena, "%s/%s.yaml", dir.p, kube_kinds[d->kind].plural);
    if (folder(i, i->c->directory) != 0 || folder(i, dir.p) != 0)
        return NULL;
    int fd = open(path.p, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
                  d->kind == KUBE_Secret ? 0600 : 0666);
    FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (!f) {
        ctl_fail(i->c, CTL_PROBLEMS, "%s: %s", path.p, strerror(errno));
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    fprintf(i->c->out, "%s\n", path.p);
    return f;
}

static bool same_file(const struct import_doc *a, const struct import_doc *b) {
    return a->kind == b->kind && str_eq(a->namespace, b->namespace);
}

static enum ctl_exit into_files(struct import *i) {
    FILE *f = NULL;
    bool bad = false;
    for (size_t n = 0; n < i->n_docs; n++) {
        bool first = n == 0 || !same_file(&i->docs[n - 1], &i->docs[n]);
        if (first && f)
            bad |= fclose(f) != 0;
        if (first && !(f = file_for(i, &i->docs[n])))
            return CTL_PROBLEMS;
        print_one(i, f, &i->docs[n], first);
    }
    if (f)
        bad |= fclose(f) != 0;
    return bad ? ctl_fail(i->c, CTL_PROBLEMS, "%s: cannot be written", i->c->directory) : CTL_OK;
}

enum ctl_exit import_print_docs(struct import *i) {
    if (i->n_docs > 0)
        qsort(i->docs, i->n_docs, sizeof(*i->docs), doc_cmp);
    if (i->c->directory)
        return into_files(i);
    for (size_t n = 0; n < i->n_docs; n++)
        print_one(i, i->c->out, &i->docs[n], n == 0);
    return CTL_OK;
}

void import_docs_fini(struct import *i) {
    for (size_t n = 0; n < i->n_docs; n++)
        cJSON_Delete(i->docs[n].json);
    mem_free(i->docs);
    map_fini(&i->names);
    map_fini(&i->policies);
    map_fini(&i->made);
    map_fini(&i->expressions);
    map_fini(&i->plugins);
}
