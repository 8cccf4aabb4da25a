/* SPDX-License-Identifier: Apache-2.0
 *
 *   contexts[name]: {cluster, user, namespace} ──► clusters[name].cluster, users[name].user
 */
#include "controller/kube/kubeconfig.h"

#include "controller/kube/near.h"
#include "controller/kube/yaml.h"
#include "lib/base64.h"
#include "lib/json.h"
#include "lib/mem.h"

#include <stdlib.h>

struct reader {
    const cJSON *root;
    const char *file;
    const char *list; /* the entry that is being read: clusters[name] */
    struct str name;
    struct why *why;
    struct kubeconfig *k;
};

/* ---- finding entries ---- */

/* A text that was set before, nearer to the fault, stays. */
static int refuse(struct reader *r, const char *text) { return why_text(r->why, "%s", text); }

/* contexts, clusters and users are lists of {name, context|cluster|user}. NULL, with *why unless
 * the entry is there and empty. */
static const cJSON *find(struct reader *r, const char *list, const char *inner, struct str name) {
    const cJSON *all = json_get(r->root, list);
    struct near n = near_to(name);
    struct shown a, b;
    r->list = list;
    r->name = name;
    for (const cJSON *entry = all ? all->child : NULL; entry; entry = entry->next) {
        if (str_eq(json_text(entry, "name"), name)) {
            why_field(r->why, "%s[%.*s]", list, STR_FMT(name));
            return json_get(entry, inner);
        }
        near_try(&n, json_text(entry, "name"));
    }
    why_field(r->why, "%s", list);
    if (n.best.n > 0)
        why_text(r->why, "there is no %s; do you mean %s?", why_show(name, &a),
                 why_show(n.best, &b));
    else
        why_text(r->why, "there is no %s", why_show(name, &a));
    return NULL;
}

/* The string `name` of an entry in *to, a copy; what is no string is refused. */
static int take(struct reader *r, const cJSON *from, const char *name, char **to) {
    const cJSON *member = json_get(from, name);
    if (!member)
        return 0;
    if (!cJSON_IsString(member))
        return why_text(r->why, "%s must be a string", name);
    struct str s = str_of(cJSON_GetStringValue(member));
    if (s.n > 0)
        *to = str_dup(s);
    return 0;
}

/* ---- credentials ---- */

static char *beside(const char *kubeconfig, char *path) {
    const char *slash = strrchr(kubeconfig, '/');
    if (path[0] == '/' || !slash)
        return path;
    struct out o = out_heap(1 << 16);
    out_bytes(&o, kubeconfig, (size_t)(slash + 1 - kubeconfig));
    out_str(&o, str_of(path));
    mem_free(path);
    char *joined = str_dup(out_done(&o));
    out_fini(&o);
    return joined;
}

/* NULL when it is no base64. A NUL inside ends it, as PEM has none. */
static char *decode(const char *text) {
    struct str encoded = str_of(text);
    char *bytes = mem_alloc(BASE64_ROOM(encoded.n));
    size_t n;
    if (encoded.n > 0 && base64_decode(encoded, bytes, &n))
        return bytes;
    mem_free(bytes);
    return NULL;
}

static void forget(char *secret) {
    if (secret)
        explicit_bzero(secret, strlen(secret));
    mem_free(secret);
}

/* One part from `file` or its -data, as kubectl: the data wins. */
static int take_pem(struct reader *r, const cJSON *from, enum kubeconfig_part part,
                    const char *file, const char *data) {
    char *encoded = NULL;
    if (take(r, from, file, &r->k->part[part].file) != 0 || take(r, from, data, &encoded) != 0)
        return -1;
    if (r->k->part[part].file)
        r->k->part[part].file = beside(r->file, r->k->part[part].file);
    if (!encoded)
        return 0;
    r->k->part[part].text = decode(encoded);
    forget(encoded);
    return r->k->part[part].text ? 0 : why_text(r->why, "%s is no base64", data);
}

/* ---- the three entries ---- */

/* What changes the meaning of an entry and is not done here. */
static int refuse_others(struct reader *r, const cJSON *entry) {
    static const struct {
        const char *name, *text;
    } others[] = {
        {"exec", "programs that make credentials are not run; use a token, tokenFile or client "
                 "certificate"},
        {"auth-provider", "auth-provider was removed from Kubernetes; use a token, tokenFile or "
                          "client certificate"},
        {"username", "the API server has no passwords any more; use a token or client certificate"},
        {"as", "impersonation is not supported; use credentials of the user itself"},
        {"insecure-skip-tls-verify",
         "the API server's certificate is always verified; give certificate-authority-data"},
        {"proxy-url", "proxies are not supported; give the server's own address"},
    };
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        if (json_get(entry, others[i].name) && !cJSON_IsFalse(json_get(entry, others[i].name))) {
            why_field(r->why, "%s[%.*s].%s", r->list, STR_FMT(r->name), others[i].name);
            return refuse(r, others[i].text);
        }
    return 0;
}

static int take_cluster(struct reader *r, const cJSON *cluster) {
    if (!cluster || refuse_others(r, cluster) != 0)
        return refuse(r, "this must hold a cluster");
    if (take(r, cluster, "server", &r->k->server) != 0 ||
        take(r, cluster, "tls-server-name", &r->k->server_name) != 0)
        return -1;
    if (!r->k->server)
        return refuse(r, "server is missing; write it as https://10.0.0.1:6443");
    return take_pem(r, cluster, KUBECONFIG_CA, "certificate-authority",
                    "certificate-authority-data");
}

static int take_user(struct reader *r, const cJSON *user) {
    if (!user || refuse_others(r, user) != 0)
        return refuse(r, "this must hold a user");
    struct kubeconfig *k = r->k;
    if (take_pem(r, user, KUBECONFIG_CERTIFICATE, "client-certificate",
                 "client-certificate-data") != 0 ||
        take_pem(r, user, KUBECONFIG_KEY, "client-key", "client-key-data") != 0 ||
        take(r, user, "token", &k->part[KUBECONFIG_TOKEN].text) != 0 ||
        take(r, user, "tokenFile", &k->part[KUBECONFIG_TOKEN].file) != 0)
        return -1;
    if (k->part[KUBECONFIG_TOKEN].file)
        k->part[KUBECONFIG_TOKEN].file = beside(r->file, k->part[KUBECONFIG_TOKEN].file);
    bool certificate = k->part[KUBECONFIG_CERTIFICATE].file || k->part[KUBECONFIG_CERTIFICATE].text;
    bool key = k->part[KUBECONFIG_KEY].file || k->part[KUBECONFIG_KEY].text;
    if (certificate != key)
        return refuse(r, "client-certificate and client-key belong together; give both");
    return 0;
}

static int take_context(struct reader *r, const char *name) {
    struct str chosen = name ? str_of(name) : json_text(r->root, "current-context");
    if (chosen.n == 0)
        return why_text(r->why, "it has no current-context; choose one with --context");
    const cJSON *context = find(r, "contexts", "context", chosen);
    if (!context)
        return refuse(r, "this must hold a context");
    if (take(r, context, "namespace", &r->k->namespace) != 0)
        return -1;
    struct str cluster = json_text(context, "cluster"), user = json_text(context, "user");
    if (take_cluster(r, find(r, "clusters", "cluster", cluster)) != 0)
        return -1;
    return user.n == 0 ? 0 : take_user(r, find(r, "users", "user", user));
}

/* ---- the file ---- */

int kubeconfig_parse(struct str text, const char *file, const char *context, struct kubeconfig *k,
                     struct why *why) {
    struct yaml y;
    struct reader r = {.file = file, .why = why, .k = k};
    *k = (struct kubeconfig){0};
    int rc = yaml_parse(text, YAML_YAML, str_of(file), &y, why);
    if (rc == 0) {
        why_object(why, "%s", file);
        r.root = y.n > 0 ? y.documents[0].json : NULL;
        rc = y.n == 1 && str_eq(json_text(r.root, "kind"), STR("Config"))
                 ? take_context(&r, context)
                 : refuse(&r, "this is not a kubeconfig; it must be one document of kind: Config");
    }
    yaml_fini(&y);
    if (rc == 0)
        why_clear(why);
    else
        kubeconfig_fini(k);
    return rc;
}

void kubeconfig_fini(struct kubeconfig *k) {
    mem_free(k->server);
    mem_free(k->server_name);
    mem_free(k->namespace);
    for (size_t i = 0; i < KUBECONFIG_PARTS; i++) {
        mem_free(k->part[i].file);
        forget(k->part[i].text);
    }
    *k = (struct kubeconfig){0};
}
