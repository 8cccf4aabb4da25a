/* SPDX-License-Identifier: Apache-2.0
 *
 * access: kubeconfigs of all kinds and what is refused in them, the account of a pod, and
 * credentials that change under our feet.
 */
#include "controller/kube/access.h"

#include "lib/log.h"
#include "lib/mem.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static char folder[200];
static char room[400];

static const char *in(const char *name) {
    snprintf(room, sizeof(room), "%s/%s", folder, name);
    return room;
}

static void put(const char *name, const char *text) {
    FILE *f = fopen(in(name), "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

/* A key and a certificate of its own making, in NAME.crt and NAME.key. */
static void make_pair(const char *name) {
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    X509_gmtime_adj(X509_getm_notBefore(x), 0);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_set_pubkey(x, key);
    X509_sign(x, key, EVP_sha256());
    char file[100];
    snprintf(file, sizeof(file), "%s.crt", name);
    FILE *f = fopen(in(file), "w");
    PEM_write_X509(f, x);
    fclose(f);
    snprintf(file, sizeof(file), "%s.key", name);
    f = fopen(in(file), "w");
    PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
    fclose(f);
    X509_free(x);
    EVP_PKEY_free(key);
}

static void copy(const char *from, const char *to) {
    char text[4096];
    FILE *f = fopen(in(from), "r");
    assert_non_null(f);
    size_t n = fread(text, 1, sizeof(text) - 1, f);
    text[n] = 0;
    fclose(f);
    put(to, text);
}

static int setup(void **state) {
    (void)state;
    const char *tmp = getenv("TMPDIR");
    log_level(LOG_LEVEL_ERROR);
    snprintf(folder, sizeof(folder), "%s/access-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(folder))
        return -1;
    make_pair("a");
    make_pair("b");
    return 0;
}

static int teardown(void **state) {
    (void)state;
    char command[300];
    snprintf(command, sizeof(command), "rm -r '%s'", folder);
    return system(command);
}

static int no_environment(void **state) {
    (void)state;
    unsetenv("KUBERNETES_SERVICE_HOST");
    unsetenv("KUBERNETES_SERVICE_PORT");
    unsetenv("KUBECONFIG");
    return setenv("HOME", folder, 1);
}

static void config(const char *cluster, const char *user, const char *context) {
    char text[2000];
    snprintf(text, sizeof(text),
             "apiVersion: v1\nkind: Config\ncurrent-context: here\n"
             "clusters:\n- name: cluster\n  cluster: {%s}\n"
             "users:\n- name: ann\n  user: {%s}\n"
             "contexts:\n- name: here\n  context: {cluster: cluster, user: ann%s}\n"
             "- name: there\n  context: {cluster: nowhere}\n",
             cluster, user, context);
    put("config", text);
}

static struct kube_access *open_config(void) {
    struct why why = {0};
    struct kube_access *a = kube_access_new(in("config"), NULL, &why);
    if (!a)
        fail_msg("%s: %s: %s", why.object, why.field, why.text);
    return a;
}

static void is(struct str got, const char *wanted) { assert_true(str_eq(got, str_of(wanted))); }

#define SERVER "server: 'https://10.1.2.3:6443/'"

static void a_token_and_a_ca(void **state) {
    (void)state;
    /* "-----BEGIN CERTIFICATE-----" */
    config(SERVER ", certificate-authority-data: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t, "
                  "tls-server-name: kubernetes.default",
           "token: secret", ", namespace: shop");
    struct kube_access *a = open_config();
    const struct kube_credentials *c = kube_access_credentials(a);
    is(c->server, "https://10.1.2.3:6443");
    is(c->server_name, "kubernetes.default");
    is(c->ca, "-----BEGIN CERTIFICATE-----");
    is(c->token, "secret");
    assert_int_equal(c->certificate.n + c->key.n, 0);
    assert_int_equal(c->version, 1);
    is(kube_access_namespace(a), "shop");
    kube_access_free(a);
}

static void files_beside_the_kubeconfig(void **state) {
    (void)state;
    put("token", " \n from-file\n");
    config(SERVER ", certificate-authority: a.crt",
           "client-certificate: a.crt, client-key: a.key, "
           "tokenFile: token",
           "");
    struct kube_access *a = open_config();
    const struct kube_credentials *c = kube_access_credentials(a);
    assert_true(c->ca.n > 100 && str_eq(c->ca, c->certificate));
    assert_true(str_starts(c->key, STR("-----BEGIN PRIVATE KEY-----")));
    is(c->token, "from-file");
    is(c->server_name, "");
    is(kube_access_namespace(a), "default");
    kube_access_free(a);
}

static void servers(void **state) {
    (void)state;
    static const struct {
        const char *server, *fault; /* NULL: none */
    } cases[] = {
        {"https://[fd00::1]:6443", NULL},
        {"https://api.example.com", NULL},
        {"https://rancher.example.com/k8s/clusters/c-1//", NULL},
        {"http://127.0.0.1:8001", NULL},
        {"http://localhost:8001", NULL},
        {"http://[::1]:8001", NULL},
        {"http://10.0.0.1:8080", "would be read by others"},
        {"http://127.0.0.1.example.com", "would be read by others"},
        {"http://127.evil.example.com:80", "would be read by others"},
        {"http://localhost.example.com", "would be read by others"},
        {"http://127.0.0.1@evil.example.com", "is no server"},
        {"ftp://10.0.0.1", "is no server"},
        {"https://", "is no server"},
        {"https:///x", "is no server"},
        {"https://:443", "is no server"},
        {"https://a b", "is no server"},
        {"https://a/?x", "is no server"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct why why = {0};
        char cluster[200];
        snprintf(cluster, sizeof(cluster), "server: '%s'", cases[i].server);
        config(cluster, "token: x", "");
        struct kube_access *a = kube_access_new(in("config"), NULL, &why);
        if ((a != NULL) != (cases[i].fault == NULL) || (!a && !strstr(why.text, cases[i].fault)))
            fail_msg("%s: %s", cases[i].server, a ? "was taken" : why.text);
        kube_access_free(a);
    }
}

static void what_is_refused(void **state) {
    (void)state;
    put("many-lines", "one\ntwo\n");
    put("nothing", "\n");
    static const struct {
        const char *cluster, *user, *field, *text;
    } cases[] = {
        {SERVER, "exec: {command: aws}", "users[ann].exec", "are not run"},
        {SERVER, "auth-provider: {name: gcp}", "users[ann].auth-provider", "was removed"},
        {SERVER, "username: u, password: p", "users[ann].username", "no passwords"},
        {SERVER, "token: x, as: root", "users[ann].as", "impersonation"},
        {SERVER ", insecure-skip-tls-verify: true", "token: x",
         "clusters[cluster].insecure-skip-tls-verify", "always verified"},
        {SERVER ", proxy-url: 'http://p'", "token: x", "clusters[cluster].proxy-url",
         "not supported"},
        {"certificate-authority: a.crt", "token: x", "clusters[cluster]", "server is missing"},
        {"server: 7", "token: x", "clusters[cluster]", "server must be a string"},
        {SERVER ", certificate-authority-data: '%%%%'", "token: x", "clusters[cluster]",
         "certificate-authority-data is no base64"},
        {SERVER ", certificate-authority-data: aGVsbG8=", "token: x", "", "no PEM"},
        {SERVER ", certificate-authority: gone.crt", "token: x", "",
         "cannot be read: No such file"},
        {SERVER ", tls-server-name: 'a/b'", "token: x", "", "a/b"},
        {SERVER, "client-certificate: a.crt", "users[ann]", "give both"},
        {SERVER, "client-certificate: a.crt, client-key: b.key", "", "does not belong"},
        {SERVER, "client-certificate: a.key, client-key: a.key", "", "no certificate in PEM"},
        {SERVER, "client-certificate: a.crt, client-key: a.crt", "", "no key in PEM"},
        {SERVER, "tokenFile: many-lines", "", "a byte that none may have"},
        {SERVER, "tokenFile: nothing", "", "empty"},
        {SERVER, "token: \"a\\r\\nHost: x\"", "", "a byte that none may have"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct why why = {0};
        config(cases[i].cluster, cases[i].user, "");
        struct kube_access *a = kube_access_new(in("config"), NULL, &why);
        if (a || strcmp(why.field, cases[i].field) != 0 || !strstr(why.text, cases[i].text))
            fail_msg("%s | %s: %s: %s: %s", cases[i].cluster, cases[i].user, why.object, why.field,
                     why.text);
    }
}

static void refused(const char *context, const char *text) {
    struct why why = {0};
    assert_null(kube_access_new(in("config"), context, &why));
    if (!strstr(why.text, text))
        fail_msg("%s", why.text);
}

static void contexts(void **state) {
    (void)state;
    config(SERVER, "token: x", "");
    refused("hree", "there is no \"hree\"; do you mean \"here\"?");
    refused("somewhere-else", "there is no \"somewhere-else\"");
    refused("there", "there is no \"nowhere\"");
    put("config", "kind: Config\nclusters: []\n");
    refused(NULL, "choose one with --context");
    put("config", "kind: Pod\n");
    refused(NULL, "not a kubeconfig");
    put("config", "{");
    refused(NULL, "");
}

static void where_a_kubeconfig_is_found(void **state) {
    (void)state;
    struct why why = {0};
    config(SERVER, "token: x", "");
    setenv("KUBECONFIG", in("config"), 1);
    struct kube_access *a = kube_access_new(NULL, NULL, &why);
    assert_non_null(a);
    kube_access_free(a);
    unsetenv("KUBECONFIG");
    assert_null(kube_access_new(NULL, NULL, &why));
    assert_string_equal(why.object, in(".kube/config"));
    mkdir(in(".kube"), 0700);
    copy("config", ".kube/config");
    assert_non_null(a = kube_access_new(NULL, NULL, &why));
    kube_access_free(a);
    setenv("KUBECONFIG", "/a:/b", 1);
    why_clear(&why);
    assert_null(kube_access_new(NULL, NULL, &why));
    assert_non_null(strstr(why.text, "several files"));
}

static void in_a_pod(void **state) {
    (void)state;
    struct why why = {0};
    assert_null(kube_access_of_pod(folder, &why));
    assert_non_null(strstr(why.text, "--kubeconfig"));
    setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1", 1);
    setenv("KUBERNETES_SERVICE_PORT", "443", 1);
    why_clear(&why);
    assert_null(kube_access_new(NULL, NULL, &why)); /* not even when there is a kubeconfig */
    assert_true(str_starts(str_of(why.object), STR(KUBE_ACCOUNT_FOLDER)));
    copy("a.crt", "ca.crt");
    put("token", "t1");
    put("namespace", "sluice-system\n");
    struct kube_access *a = kube_access_of_pod(folder, &why);
    assert_non_null(a);
    is(kube_access_credentials(a)->server, "https://10.96.0.1:443");
    is(kube_access_credentials(a)->token, "t1");
    is(kube_access_namespace(a), "sluice-system");
    kube_access_free(a);
    setenv("KUBERNETES_SERVICE_HOST", "fd00::1", 1);
    unsetenv("KUBERNETES_SERVICE_PORT");
    assert_non_null(a = kube_access_of_pod(folder, &why));
    is(kube_access_credentials(a)->server, "https://[fd00::1]:443");
    kube_access_free(a);
}

static void a_token_that_rotates(void **state) {
    (void)state;
    put("token", "t1");
    config(SERVER, "tokenFile: token", "");
    struct kube_access *a = open_config();
    const struct kube_credentials *c = kube_access_credentials(a);
    assert_false(kube_access_refresh(a, 0)); /* the same */
    assert_int_equal(c->version, 1);
    put("token", "t2");
    assert_false(kube_access_refresh(a, 3600000)); /* young enough */
    is(c->token, "t1");
    assert_true(kube_access_refresh(a, 0));
    is(c->token, "t2");
    assert_int_equal(c->version, 2);
    unlink(in("token"));
    assert_false(kube_access_refresh(a, 0));
    is(c->token, "t2");
    put("token", "");
    assert_false(kube_access_refresh(a, 0));
    is(c->token, "t2");
    put("token", "t3\n");
    assert_true(kube_access_refresh(a, 0));
    is(c->token, "t3");
    kube_access_free(a);
}

/* The others are still taken when one of them cannot be read. */
static void a_pair_that_rotates(void **state) {
    (void)state;
    copy("a.crt", "client.crt");
    copy("a.key", "client.key");
    put("token", "t1");
    config(SERVER, "client-certificate: client.crt, client-key: client.key, tokenFile: token", "");
    struct kube_access *a = open_config();
    const struct kube_credentials *c = kube_access_credentials(a);
    char *before = str_dup(c->certificate);
    copy("b.crt", "client.crt"); /* half of the way */
    put("token", "t2");
    assert_true(kube_access_refresh(a, 0));
    is(c->certificate, before);
    is(c->token, "t2");
    copy("b.key", "client.key");
    assert_true(kube_access_refresh(a, 0));
    assert_false(str_eq(c->certificate, str_of(before)));
    assert_int_equal(c->version, 3);
    mem_free(before);
    kube_access_free(a);
}

static void a_kubeconfig_that_is_written_again(void **state) {
    (void)state;
    config(SERVER, "token: t1", "");
    struct kube_access *a = open_config();
    const struct kube_credentials *c = kube_access_credentials(a);
    config("server: 'https://10.9.9.9'", "token: t1", "");
    assert_true(kube_access_refresh(a, 0));
    is(c->server, "https://10.9.9.9");
    config("server: 'https://10.9.9.9'", "token: t2", "");
    assert_true(kube_access_refresh(a, 0));
    is(c->token, "t2");
    put("config", "kind: Conf");
    assert_false(kube_access_refresh(a, 0));
    is(c->server, "https://10.9.9.9");
    is(c->token, "t2");
    kube_access_free(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_token_and_a_ca, no_environment),
        cmocka_unit_test_setup(files_beside_the_kubeconfig, no_environment),
        cmocka_unit_test_setup(servers, no_environment),
        cmocka_unit_test_setup(what_is_refused, no_environment),
        cmocka_unit_test_setup(contexts, no_environment),
        cmocka_unit_test_setup(where_a_kubeconfig_is_found, no_environment),
        cmocka_unit_test_setup(in_a_pod, no_environment),
        cmocka_unit_test_setup(a_token_that_rotates, no_environment),
        cmocka_unit_test_setup(a_pair_that_rotates, no_environment),
        cmocka_unit_test_setup(a_kubeconfig_that_is_written_again, no_environment),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
