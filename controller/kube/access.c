/* SPDX-License-Identifier: Apache-2.0
 *
 *   where       struct kubeconfig: the server and, for each secret, its file or itself; made from
 *      │        a kubeconfig, or from what every pod has
 *      ▼
 *   values      read from those files, whenever somebody asks for it
 *      │
 *      ▼
 *   credentials views of the values, with the version that counts their changes
 */
#include "controller/kube/access.h"

#include "controller/kube/kubeconfig.h"
#include "lib/chars.h"
#include "lib/hash.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/units.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { FILE_MAX = 1 << 20, TOKEN_MAX = 64 << 10 };

struct kube_access {
    char *config, *context; /* the kubeconfig and what was chosen in it; NULL: of a pod, default */
    uint64_t config_hash;
    struct kubeconfig where;
    char *value[KUBECONFIG_PARTS]; /* NULL: none */
    struct kube_credentials credentials;
    uint64_t read_ms;
    bool failing; /* the last refresh did not read it all, and this was said */
};

static uint64_t now_ms(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* ---- files ---- */

static void forget(char *secret) {
    if (secret)
        explicit_bzero(secret, strlen(secret));
    mem_free(secret);
}

/* What is at fault from here on, unless something already is. */
static void at(struct why *why, const char *what) {
    if (!why_set(why))
        why_object(why, "%s", what);
}

/* What is in the file, NUL-terminated; NULL with *why. A NUL in it ends it. */
static char *read_file(const char *path, struct why *why) {
    struct out o = out_heap(FILE_MAX);
    char room[4096], *text = NULL;
    ssize_t n = -1;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    while (fd >= 0 && (n = read(fd, room, sizeof(room))) > 0)
        out_bytes(&o, room, (size_t)n);
    at(why, path);
    if (n < 0)
        why_text(why, "it cannot be read: %s", strerror(errno));
    else if (o.over)
        why_text(why, "it is larger than %d bytes", FILE_MAX);
    else
        text = str_dup(out_done(&o));
    if (fd >= 0)
        close(fd);
    explicit_bzero(room, sizeof(room));
    if (o.n > 0)
        explicit_bzero(o.p, o.n);
    out_fini(&o);
    return text;
}

/* ---- are they usable? ---- */

static int check_pem(const char *text, struct why *why) {
    return strstr(text, "-----BEGIN ")
               ? 0
               : why_text(why, "this is no PEM; it must hold -----BEGIN CERTIFICATE----- or a key");
}

static int no_password(char *room, int n, int writing, void *arg) {
    (void)room;
    (void)n;
    (void)writing;
    (void)arg;
    return -1;
}

static int check_pair(const char *certificate, const char *key, struct why *why) {
    BIO *c = BIO_new_mem_buf(certificate, -1), *k = BIO_new_mem_buf(key, -1);
    X509 *x = PEM_read_bio_X509(c, NULL, no_password, NULL);
    EVP_PKEY *p = PEM_read_bio_PrivateKey(k, NULL, no_password, NULL);
    int rc = 0;
    if (!x)
        rc = why_text(why, "the client certificate is no certificate in PEM");
    else if (!p)
        rc = why_text(why, "the client key is no key in PEM without a password");
    else if (X509_check_private_key(x, p) != 1)
        rc = why_text(why, "the client key does not belong to the client certificate");
    EVP_PKEY_free(p);
    X509_free(x);
    BIO_free(k);
    BIO_free(c);
    ERR_clear_error();
    return rc;
}

/* Without the white space at its ends; what would be a header of its own is refused. */
static int trim_token(char *text, struct why *why) {
    size_t n = strlen(text), skip = strspn(text, " \t\r\n");
    while (n > skip && strchr(" \t\r\n", text[n - 1]))
        n--;
    memmove(text, text + skip, n - skip);
    text[n - skip] = 0;
    if (text[0] == 0)
        return why_text(why, "this token is empty");
    for (const char *p = text; *p; p++)
        if (*p <= ' ' || *p > '~')
            return why_text(why, "this is no token; it has a byte that none may have");
    return n - skip <= TOKEN_MAX ? 0 : why_text(why, "this token is too long");
}

static bool is_loopback(struct str host) {
    return str_eq(host, STR("localhost")) || str_eq(host, STR("[::1]")) ||
           (str_starts(host, STR("127.")) &&
            strspn(host.p, "0123456789.") >= host.n); /* the rest of the URL follows */
}

static int check_server(char *server, struct why *why) {
    struct shown room;
    struct str url = str_of(server), scheme, host;
    while (url.n > 0 && url.p[url.n - 1] == '/')
        server[--url.n] = 0;
    bool tls = str_starts(url, STR("https://"));
    if (!tls && !str_starts(url, STR("http://")))
        return why_text(why, "%s is no server; write it as https://10.0.0.1:6443",
                        why_show(url, &room));
    scheme = tls ? STR("https://") : STR("http://");
    struct str rest = str_skip(url, scheme.n);
    const char *end = rest.p + rest.n;
    str_cut(rest, '/', &host);
    if (host.n > 0 && host.p[0] == '[')
        host.n = size_min(str_find(host, ']', 0) + 1, host.n);
    else
        str_cut(host, ':', &host);
    if (host.n == 0 || chars_skip(rest.p, end, CHAR_TARGET) < end ||
        str_find(rest, '@', 0) < rest.n)
        return why_text(why, "%s is no server; write it as https://10.0.0.1:6443",
                        why_show(url, &room));
    if (!tls && !is_loopback(host))
        return why_text(why, "%s would be read by others on the way; write it with https://",
                        why_show(url, &room));
    return 0;
}

/* ---- values ---- */

static char *read_part(const struct kubeconfig *where, enum kubeconfig_part part, struct why *why) {
    static const char *const inlined[KUBECONFIG_PARTS] = {
        "certificate-authority-data", "client-certificate-data", "client-key-data", "token"};
    const char *given = where->part[part].text;
    if (given)
        at(why, inlined[part]);
    char *text = given ? str_dup(str_of(given)) : read_file(where->part[part].file, why);
    if (!text)
        return NULL;
    int rc = part == KUBECONFIG_TOKEN ? trim_token(text, why) : check_pem(text, why);
    if (rc == 0)
        return text;
    forget(text);
    return NULL;
}

static bool is_wanted(const struct kubeconfig *where, enum kubeconfig_part part) {
    return where->part[part].file || where->part[part].text;
}

static bool same(const char *a, const char *b) { return a && b ? strcmp(a, b) == 0 : a == b; }

/* `fresh`, which is owned, in place of what is there. True if that is a change. */
static bool replace(char **value, char *fresh) {
    bool changed = !same(*value, fresh);
    forget(*value);
    *value = fresh;
    return changed;
}

/* A secret that stands for itself. -1 with *why: it keeps its value. */
static int take_single(struct kube_access *a, enum kubeconfig_part part, bool *changed,
                       struct why *why) {
    char *fresh = NULL;
    if (is_wanted(&a->where, part) && !(fresh = read_part(&a->where, part, why)))
        return -1;
    *changed |= replace(&a->value[part], fresh);
    return 0;
}

/* Certificate and key: both or none, since a rotation may be between the two. */
static int take_pair(struct kube_access *a, bool *changed, struct why *why) {
    char *certificate = NULL, *key = NULL;
    if (is_wanted(&a->where, KUBECONFIG_CERTIFICATE)) {
        certificate = read_part(&a->where, KUBECONFIG_CERTIFICATE, why);
        key = read_part(&a->where, KUBECONFIG_KEY, why);
        if (!certificate || !key || check_pair(certificate, key, why) != 0) {
            forget(certificate);
            forget(key);
            return -1;
        }
    }
    *changed |= replace(&a->value[KUBECONFIG_CERTIFICATE], certificate);
    *changed |= replace(&a->value[KUBECONFIG_KEY], key);
    return 0;
}

static void show(struct kube_access *a) {
    a->credentials.server = str_of(a->where.server);
    a->credentials.server_name = str_of(a->where.server_name);
    a->credentials.ca = str_of(a->value[KUBECONFIG_CA]);
    a->credentials.certificate = str_of(a->value[KUBECONFIG_CERTIFICATE]);
    a->credentials.key = str_of(a->value[KUBECONFIG_KEY]);
    a->credentials.token = str_of(a->value[KUBECONFIG_TOKEN]);
}

/* Everything that can be read is taken; -1 with *why when something could not. */
static int take_values(struct kube_access *a, bool *changed, struct why *why) {
    int ca = take_single(a, KUBECONFIG_CA, changed, why);
    int token = take_single(a, KUBECONFIG_TOKEN, changed, why);
    int pair = take_pair(a, changed, why);
    show(a);
    return ca == 0 && token == 0 && pair == 0 ? 0 : -1;
}

/* ---- where ---- */

static int read_config(struct kube_access *a, bool *changed, struct why *why) {
    char *text = read_file(a->config, why);
    if (!text)
        return -1;
    uint64_t hash = hash_content(str_of(text));
    struct kubeconfig fresh = {0};
    int rc = 0;
    if (a->where.server && hash == a->config_hash)
        goto out;
    rc = kubeconfig_parse(str_of(text), a->config, a->context, &fresh, why);
    if (rc == 0)
        at(why, a->config);
    if (rc == 0)
        rc = check_server(fresh.server, why);
    if (rc == 0 && fresh.server_name)
        rc = unit_dns_name(str_of(fresh.server_name), why);
    if (rc != 0) {
        kubeconfig_fini(&fresh);
        goto out;
    }
    *changed |=
        !same(a->where.server, fresh.server) || !same(a->where.server_name, fresh.server_name);
    kubeconfig_fini(&a->where);
    a->where = fresh;
    a->config_hash = hash;
out:
    forget(text);
    return rc;
}

static char *join(const char *a, const char *middle, const char *b) {
    struct out o = out_heap(1 << 16);
    out_fmt(&o, "%s%s%s", a, middle, b);
    char *joined = str_dup(out_done(&o));
    out_fini(&o);
    return joined;
}

static char *pod_server(const char *host, const char *port) {
    bool v6 = strchr(host, ':') != NULL;
    char *from = join("https://", v6 ? "[" : "", host);
    char *server = join(from, v6 ? "]:" : ":", port && *port ? port : "443");
    mem_free(from);
    return server;
}

static char *pod_namespace(const char *folder) {
    struct why why = {0};
    char *file = join(folder, "/", "namespace");
    char *text = read_file(file, &why);
    if (text)
        text[strcspn(text, " \r\n")] = 0;
    mem_free(file);
    return text;
}

/* ---- life ---- */

static struct kube_access *start(struct kube_access *a, struct why *why) {
    bool changed = false;
    if ((a->config && read_config(a, &changed, why) != 0) || take_values(a, &changed, why) != 0) {
        kube_access_free(a);
        return NULL;
    }
    a->credentials.version = 1;
    a->read_ms = now_ms();
    return a;
}

struct kube_access *kube_access_of_pod(const char *folder, struct why *why) {
    const char *host = getenv("KUBERNETES_SERVICE_HOST");
    if (!host || !*host) {
        why_object(why, "KUBERNETES_SERVICE_HOST");
        why_text(why, "it is not set; inside a pod it always is, elsewhere give --kubeconfig");
        return NULL;
    }
    struct kube_access *a = mem_zalloc(sizeof(*a));
    a->where.server = pod_server(host, getenv("KUBERNETES_SERVICE_PORT"));
    a->where.namespace = pod_namespace(folder);
    a->where.part[KUBECONFIG_CA].file = join(folder, "/", "ca.crt");
    a->where.part[KUBECONFIG_TOKEN].file = join(folder, "/", "token");
    at(why, "KUBERNETES_SERVICE_HOST");
    if (check_server(a->where.server, why) != 0) {
        kube_access_free(a);
        return NULL;
    }
    return start(a, why);
}

static char *default_config(struct why *why) {
    const char *file = getenv("KUBECONFIG"), *home = getenv("HOME");
    if (!file || !*file)
        return join(home ? home : "", "/", ".kube/config");
    if (!strchr(file, ':'))
        return str_dup(str_of(file));
    why_object(why, "KUBECONFIG");
    why_text(why, "it names several files, which are not merged here; give one with --kubeconfig");
    return NULL;
}

struct kube_access *kube_access_new(const char *file, const char *context, struct why *why) {
    const char *host = getenv("KUBERNETES_SERVICE_HOST");
    if (!file && !context && host && *host)
        return kube_access_of_pod(KUBE_ACCOUNT_FOLDER, why);
    char *config = file ? str_dup(str_of(file)) : default_config(why);
    if (!config)
        return NULL;
    struct kube_access *a = mem_zalloc(sizeof(*a));
    a->config = config;
    a->context = context ? str_dup(str_of(context)) : NULL;
    return start(a, why);
}

void kube_access_free(struct kube_access *a) {
    if (!a)
        return;
    kubeconfig_fini(&a->where);
    for (size_t i = 0; i < KUBECONFIG_PARTS; i++)
        forget(a->value[i]);
    mem_free(a->config);
    mem_free(a->context);
    mem_free(a);
}

const struct kube_credentials *kube_access_credentials(const struct kube_access *a) {
    return &a->credentials;
}

bool kube_access_refresh(struct kube_access *a, uint64_t min_age_ms) {
    struct why why = {0};
    char line[1024];
    struct out o = out_fixed(line, sizeof(line));
    bool changed = false;
    if (now_ms() - a->read_ms < min_age_ms)
        return false;
    a->read_ms = now_ms();
    int config = a->config ? read_config(a, &changed, &why) : 0;
    int values = take_values(a, &changed, &why);
    bool failing = config != 0 || values != 0;
    if (failing)
        why_print(&why, &o);
    if (failing && !a->failing)
        log_warn("kube", "credentials could not be read again, the last ones stay why=\"%.*s\"",
                 STR_FMT(out_done(&o)));
    a->failing = failing;
    a->credentials.version += changed;
    return changed;
}

struct str kube_access_namespace(const struct kube_access *a) {
    return a->where.namespace ? str_of(a->where.namespace) : STR("default");
}
