/* SPDX-License-Identifier: Apache-2.0
 *
 * ctl: sluicectl from its words to what it prints and its exit code: on the quickstart, on files
 * that are wrong, and against a proxy's and a controller's admin ports.
 */
#include "ctl/commands.h"
#include "ctl/doc.h"
#include "lib/httpd.h"
#include "lib/mem.h"
#include "proxy/admin/admin.h"
#include "tests/unit/certificate_make.h"

#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define QUICKSTART "examples/quickstart/manifests"

static char *out_text, *err_text;

/* Words up to a NULL; what was printed is in out_text and err_text until the next call. */
static int ctl(const char *first, ...) {
    char *argv[24] = {(char *)(uintptr_t) "sluicectl"};
    int argc = 1;
    size_t n;
    va_list words;
    va_start(words, first);
    for (const char *w = first; w && argc < 23; w = va_arg(words, const char *))
        argv[argc++] = (char *)(uintptr_t)w;
    va_end(words);
    free(out_text);
    free(err_text);
    FILE *out = open_memstream(&out_text, &n), *err = open_memstream(&err_text, &n);
    int code = (int)ctl_main(argc, argv, out, err);
    fclose(out);
    fclose(err);
    return code;
}

static void assert_has(const char *text, const char *part) {
    if (!strstr(text, part))
        fail_msg("not there: %s\nin:\n%s", part, text);
}
static void assert_lacks(const char *text, const char *part) {
    if (strstr(text, part))
        fail_msg("there: %s\nin:\n%s", part, text);
}

static size_t count(const char *text, const char *part) {
    size_t n = 0;
    for (const char *p = text; (p = strstr(p, part)); p += strlen(part))
        n++;
    return n;
}

/* ---- a directory of one's own ---- */

static char dir[64];

static int dir_make(void **state) {
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/ctl-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}
static int dir_drop(void **state) {
    (void)state;
    char command[128];
    snprintf(command, sizeof(command), "rm -r %s", dir);
    return system(command);
}
static const char *put_file(const char *name, const char *text) {
    static char path[128];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    return path;
}

#define CLASS                                                                                      \
    "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata:\n  name: sluice\n"            \
    "  annotations: {ingressclass.kubernetes.io/is-default-class: \"true\"}\n"                     \
    "spec: {controller: sluice.dev/ingress-controller}\n"
#define ROUTE(name)                                                                                \
    "apiVersion: sluice.dev/v1alpha1\nkind: Route\nmetadata: {name: " name ", namespace: shop}\n"

/* ---- words and options ---- */

static void words_and_options(void **state) {
    (void)state;
    assert_int_equal(ctl(NULL), CTL_USAGE);
    assert_has(err_text, "usage: sluicectl COMMAND");
    assert_int_equal(ctl("--help", NULL), CTL_OK);
    assert_has(out_text, "exit codes: 0 all is well");
    assert_int_equal(ctl("--version", NULL), CTL_OK);
    assert_has(out_text, "sluicectl ");
    static const char *const commands[] = {"status", "routes", "explain", "render", "validate"};
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        assert_int_equal(ctl(commands[i], "--help", NULL), CTL_OK);
        assert_has(out_text, "\n  sluicectl ");
    }
    ctl("render", "--help", NULL); /* its own options only */
    assert_has(out_text, "  -f, --file FILE|DIR          resources as YAML");
    assert_lacks(out_text, "--proxy");
    assert_lacks(out_text, "7402");
}

static void wrong_words(void **state) {
    (void)state;
    assert_int_equal(ctl("explian", "GET", "http://a.example/", NULL), CTL_USAGE);
    assert_has(err_text, "no command 'explian'; do you mean 'explain'?");
    assert_int_equal(ctl("frobnicate", NULL), CTL_USAGE);
    assert_has(err_text, "see sluicectl --help");
    assert_int_equal(ctl("routes", "--flie", "x", NULL), CTL_USAGE);
    assert_has(err_text, "do you mean --file?");
    assert_int_equal(ctl("routes", "-f", NULL), CTL_USAGE);
    assert_has(err_text, "-f needs a value");
    assert_int_equal(ctl("routes", "-H", "a: b", NULL), CTL_USAGE);
    assert_has(err_text, "routes takes no -H");
    assert_int_equal(ctl("routes", "-f", "x", "--proxy", "h:1", NULL), CTL_USAGE);
    assert_has(err_text, "say one");
    assert_int_equal(ctl("render", NULL), CTL_USAGE);
    assert_has(err_text, "render needs -f");
    assert_int_equal(ctl("explain", "GET", NULL), CTL_USAGE);
    assert_has(err_text, "usage: sluicectl explain METHOD URL");
    assert_int_equal(ctl("routes", "-o", "xml", "-f", QUICKSTART, NULL), CTL_USAGE);
    assert_has(err_text, "not 'xml'");
}

/* ---- completion, and the manual page ---- */

static void completes_commands(void **state) {
    (void)state;
    const struct command *all;
    size_t n = ctl_commands(&all);
    assert_int_equal(ctl("__complete", "", NULL), CTL_OK);
    assert_int_equal(count(out_text, "\n"), n + 1);
    for (size_t i = 0; i < n; i++) {
        char line[256];
        snprintf(line, sizeof line, "%s\t%s\n", all[i].name, all[i].summary);
        assert_has(out_text, line);
    }
    ctl("__complete", "val", NULL);
    assert_string_equal(out_text, "validate\tevery refusal and warning, with file and line\n:4\n");
    ctl("__complete", NULL); /* kubectl says nothing where nothing is written */
    assert_int_equal(count(out_text, "\n"), n + 1);
}

static void completes_options_of_the_command(void **state) {
    (void)state;
    ctl("__complete", "crds", "-", NULL);
    assert_has(out_text, "--directory\t");
    assert_has(out_text, "-d\t");
    assert_has(out_text, "--help\t");
    assert_lacks(out_text, "--proxy");
    ctl("__complete", "crds", "--di", NULL);
    assert_string_equal(out_text, "--directory\twhere files are written (crds, import)\n:4\n");
    ctl("__complete", "-", NULL);
    assert_has(out_text, "--proxy\t");
}

static void completes_values(void **state) {
    (void)state;
    static const char *const ways[][3] = {{"-o", "j", "json\thow"},
                                          {"--output", "j", "json\thow"},
                                          {"--output=j", NULL, "--output=json\thow"},
                                          {"-oj", NULL, "-ojson\thow"},
                                          {"--output", "=", "yaml\thow"}};
    for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
        ctl("__complete", "render", ways[i][0], ways[i][1], NULL);
        assert_has(out_text, ways[i][2]);
    }
    ctl("__complete", "render", "--output", "=", "y", NULL);
    assert_has(out_text, "yaml\thow");
    ctl("__complete", "render", "-f", "man", NULL);
    assert_string_equal(out_text, ":0\n");
    ctl("__complete", "crds", "-d", "", NULL);
    assert_string_equal(out_text, ":16\n");
    ctl("__complete", "status", "-n", "", NULL);
    assert_string_equal(out_text, ":4\n");
}

static void completes_words(void **state) {
    (void)state;
    ctl("__complete", "completion", "z", NULL);
    assert_has(out_text, "zsh\t");
    ctl("__complete", "import", "-n", "shop", "k", NULL);
    assert_has(out_text, "kong\t");
    ctl("__complete", "import", "kong", "", NULL);
    assert_string_equal(out_text, ":0\n");
    ctl("__complete", "import", "kong", "kong.yaml", "", NULL);
    assert_string_equal(out_text, ":4\n");
    ctl("__complete", "explain", "", NULL);
    assert_string_equal(out_text, ":4\n");
    ctl("__complete", "nonsense", "--", "-", "-x", "=", "", NULL);
    assert_has(out_text, ":4\n");
}

static void prints_scripts_and_the_manual(void **state) {
    (void)state;
    static const char *const shells[] = {"bash", "zsh", "fish"};
    for (size_t i = 0; i < ARRAY_LEN(shells); i++) {
        assert_int_equal(ctl("completion", shells[i], NULL), CTL_OK);
        assert_has(out_text, "__complete");
    }
    assert_int_equal(ctl("completion", "csh", NULL), CTL_USAGE);
    assert_has(err_text, "for bash, zsh or fish, not for 'csh'");
    const struct option_of *options;
    size_t n = ctl_options(&options);
    assert_int_equal(ctl("man", NULL), CTL_OK);
    assert_int_equal(count(out_text, ".TP\n"), n + CTL_EXITS + 2);
    assert_has(out_text, "\\fB\\-f\\fR, \\fB\\-\\-file\\fR \\fIFILE|DIR\\fR");
}

/* ---- the quickstart ---- */

static void validates_the_quickstart(void **state) {
    (void)state;
    assert_int_equal(ctl("validate", "-f", QUICKSTART, NULL), CTL_OK);
    assert_has(out_text, "7 resources read; 0 refused, 0 warnings");
    assert_int_equal(ctl("validate", "-f", QUICKSTART, "-o", "yaml", NULL), CTL_OK);
    assert_string_equal(out_text, "resources: 7\nrefused: 0\nfindings: []\n");
}

static void lists_the_quickstart(void **state) {
    (void)state;
    assert_int_equal(ctl("routes", "-f", QUICKSTART, NULL), CTL_OK);
    assert_has(out_text, "HOST ");
    assert_has(out_text, "shop/monolith:8080 90%, shop/catalog:80 10%");
    assert_has(out_text, "redirect 301");
    assert_has(out_text, "Ingress shop/legacy examples/quickstart/manifests/shop.yaml:");
    assert_int_equal(ctl("routes", "-f", QUICKSTART, "-o", "json", NULL), CTL_OK);
    cJSON *doc = cJSON_Parse(out_text);
    assert_int_equal(cJSON_GetArraySize(doc_each(doc, "routes")), 4);
    const cJSON *first = doc_each(doc, "routes")->child;
    assert_string_equal(doc_get(first, "host"), "legacy.example.com");
    cJSON_Delete(doc);
}

static void renders_the_quickstart(void **state) {
    (void)state;
    assert_int_equal(ctl("render", "-f", QUICKSTART, NULL), CTL_OK);
    cJSON *doc = cJSON_Parse(out_text);
    const cJSON *o;
    char before[256] = "";
    size_t routes = 0;
    cJSON_ArrayForEach(o, doc_each(doc, "objects")) {
        assert_true(strcmp(before, doc_get(o, "id")) < 0); /* in order */
        snprintf(before, sizeof(before), "%s", doc_get(o, "id"));
        routes += strcmp(doc_get(o, "kind"), "route") == 0;
    }
    assert_int_equal(routes, 4);
    cJSON_Delete(doc);
    assert_int_equal(ctl("render", "-f", QUICKSTART, "-o", "yaml", NULL), CTL_OK);
    assert_has(out_text, "    id: host/sluice/shop.example.com\n");
}

static void explains_a_winner(void **state) {
    (void)state;
    assert_int_equal(
        ctl("explain", "GET", "http://shop.example.com/catalog/7?x=1", "-f", QUICKSTART, NULL),
        CTL_OK);
    assert_has(out_text, "rule shop/shop/catalog  Route shop/shop spec.rules[0]");
    assert_has(out_text, "manifests/shop.yaml:");
    assert_has(out_text, "because   host shop.example.com, PathPrefix /catalog\n");
    assert_has(out_text, "90.0 %  shop/monolith:8080            127.0.0.1:9001 ready");
    assert_has(out_text, "10.0 %  shop/catalog:80               127.0.0.1:9002 ready");
    assert_has(out_text, "shop/shop/everything-else  PathPrefix /  its path is shorter");
    assert_has(out_text, "shop/shop/old-paths  PathPrefix /products  the path is another");
    assert_lacks(out_text, "shop/legacy"); /* of another host */
    assert_lacks(out_text, "\033");
    assert_int_equal(ctl("explain", "GET", "https://shop.example.com./products/", "-f", QUICKSTART,
                         "-o", "json", NULL),
                     CTL_OK);
    cJSON *doc = cJSON_Parse(out_text);
    const cJSON *winner = doc_each(doc, "winner");
    assert_string_equal(doc_get(winner, "rule"), "shop/shop/old-paths");
    assert_string_equal(doc_get(doc_each(winner, "filters")->child, "type"), "RequestRedirect");
    cJSON_Delete(doc);
}

static void explains_what_is_refused(void **state) {
    (void)state;
    assert_int_equal(ctl("explain", "GET", "http://other.example.com/", "-f", QUICKSTART, NULL),
                     CTL_PROBLEMS);
    assert_has(out_text, "answers 404 no_route (client)");
    assert_int_equal(ctl("explain", "GET", "http://shop.example.com/a%2fb", "-f", QUICKSTART, NULL),
                     CTL_PROBLEMS);
    assert_has(out_text, "answers 400 ambiguous_path");
    assert_int_equal(ctl("explain", "GET", "http://shop.example.com/", "-f", QUICKSTART, "-H",
                         "Transfer-Encoding: gzip", NULL),
                     CTL_PROBLEMS);
    assert_has(out_text, "answers 400 bad_request");
    assert_int_equal(ctl("explain", "GET", "shop.example.com/", "-f", QUICKSTART, NULL), CTL_USAGE);
    assert_has(err_text, "is no URL; write it as http://");
    assert_int_equal(
        ctl("explain", "GET", "http://a.example/", "-H", "nonsense", "-f", QUICKSTART, NULL),
        CTL_USAGE);
    assert_has(err_text, "is no header");
    assert_int_equal(ctl("explain", "GET", "http://a.example/", "-H", "A: b\r\n\r\nGET / HTTP/1.1",
                         "-f", QUICKSTART, NULL),
                     CTL_USAGE);
    assert_has(err_text, "do not make one request");
}

static void explains_conditions(void **state) {
    (void)state;
    const char *file = put_file(
        "conditions.yaml",
        CLASS "---\n" ROUTE(
            "a") "spec:\n  hostnames: [a.example.com]\n  rules:\n"
                 "    - name: post\n      matches: [{path: {value: /x}, method: POST}]\n"
                 "    - name: tenant\n      matches:\n"
                 "        - {path: {value: /x}, headers: [{name: x-tenant, value: acme}]}\n"
                 "    - name: beta\n      matches:\n"
                 "        - {path: {value: /x}, queryParams: [{name: beta, value: '1'}]}\n"
                 "    - name: cookie\n      matches:\n"
                 "        - {path: {value: /x}, cookies: [{name: group, value: canary}]}\n"
                 "    - name: odd\n      matches:\n"
                 "        - {path: {value: /x}, headers: [{name: x-odd, value: \"a\\e[31m\"}]}\n"
                 "    - name: rest\n      matches: [{path: {value: /x}}]\n");
    assert_int_equal(ctl("explain", "GET", "http://a.example.com/x", "-f", file, NULL),
                     CTL_PROBLEMS);
    assert_has(out_text, "rule shop/a/rest");
    assert_has(out_text, "the method is another");
    assert_has(out_text, "a header is missing or has another value");
    assert_has(out_text, "a query parameter is missing or has another value");
    assert_has(out_text, "a cookie is missing or has another value");
    assert_has(out_text, "x-odd=a?[31m"); /* what a file holds does not command the terminal */
    assert_lacks(out_text, "\033");
    assert_has(out_text, "answers 500 no_backend"); /* it has none */
    assert_int_equal(ctl("explain", "POST", "http://a.example.com/x?beta=1", "-H", "X-Tenant: acme",
                         "-H", "Cookie: group=canary", "-f", file, NULL),
                     CTL_PROBLEMS);
    assert_has(out_text, "rule shop/a/post");
    assert_has(out_text, "it names no method");
    assert_has(out_text, "it has fewer header conditions");
    assert_has(out_text, "it has fewer query conditions");
    assert_has(out_text, "it has fewer cookie conditions");
    assert_lacks(out_text, "the method is another");
}

/* ---- certificates ---- */

/* A Secret of that name in YAML; at returns its end. */
static char *put_secret(const char *name, const char *not_after, char *at, const char *end) {
    char pems[2][4096];
    EVP_PKEY *key = make_ec("P-256");
    X509 *x = make_x509(key, &(struct making_x509){.subject = "the shop",
                                                   .names = "DNS:a.example.com",
                                                   .not_after = not_after});
    put_x509(x, pems[0], pems[0] + sizeof(pems[0]));
    put_key(key, pems[1], pems[1] + sizeof(pems[1]));
    at += snprintf(at, (size_t)(end - at),
                   "---\napiVersion: v1\nkind: Secret\nmetadata: {name: %s, namespace: shop}\n"
                   "type: kubernetes.io/tls\nstringData:\n",
                   name);
    for (int i = 0; i < 2; i++) {
        struct str line, rest = str_of(pems[i]);
        at += snprintf(at, (size_t)(end - at), "  tls.%s: |\n", i == 0 ? "crt" : "key");
        while (rest.n > 0) {
            rest = str_cut(rest, '\n', &line);
            at += snprintf(at, (size_t)(end - at), "    %.*s\n", STR_FMT(line));
        }
    }
    X509_free(x);
    EVP_PKEY_free(key);
    return at;
}

static void shows_certificates_without_their_keys(void **state) {
    (void)state;
    static char text[32768];
    char *end = text + sizeof(text);
    char *at = stpcpy(text, CLASS "---\n" ROUTE("a") "spec:\n  hostnames: [a.example.com]\n"
                                                     "  tls:\n    certificateRefs: [{name: c}, "
                                                     "{name: old}, {name: gone}]\n"
                                                     "    redirect: true\n"
                                                     "  rules: [{}]\n");
    put_secret("old", "20210101000000Z", put_secret("c", NULL, at, end), end);
    const char *file = put_file("tls.yaml", text);
    assert_int_equal(ctl("explain", "GET", "http://a.example.com/", "-f", file, NULL),
                     CTL_PROBLEMS);
    assert_has(out_text, "  tls, redirect 308\n"
                         "    certificate/shop/c  CN=the shop  ECDSA P-256  a.example.com  until "
                         "2031-02-28\n"
                         "    certificate/shop/old  CN=the shop  ECDSA P-256  a.example.com  until "
                         "2021-01-01\n"
                         "    certificate/shop/gone  is not there\n");
    assert_lacks(out_text, "(hidden)");
    assert_int_equal(ctl("render", "-f", file, "-o", "json", NULL), CTL_OK);
    assert_has(out_text, "\"subject\": \"CN=the shop\"");
    assert_has(out_text, "\"notAfter\": \"2031-02-28\"");
    assert_has(out_text, "\"key\": \"(hidden)\"");
    assert_int_equal(ctl("validate", "-f", file, NULL), CTL_OK);
    assert_has(out_text, "warning: Secret shop/old: the certificate has expired on 2021-01-01");
    assert_has(out_text, "warning: Route shop/a: spec.tls.certificateRefs[2]: there is no Secret "
                         "gone");
}

/* ---- wrong files ---- */

static void says_what_is_wrong(void **state) {
    (void)state;
    put_file("class.yaml", CLASS);
    put_file("unknown.yaml",
             "# a comment\n" ROUTE("unknown") "spec: {hostname: [a.example.com]}\n");
    put_file("broken.yaml", "a: [1,\n");
    put_file("twice.yaml", CLASS);
    put_file("gone.yaml", ROUTE("gone") "spec: {hostnames: [b.example.com], rules: [{backendRefs: "
                                        "[{name: nowhere, port: 80}]}]}\n");
    put_file("notes.txt", "not a manifest");
    put_file(".hidden.yaml", "a: [1,\n");
    put_file("foreign.yaml", "apiVersion: example.org/v1\nkind: Thing\nmetadata: {name: x}\n");
    assert_int_equal(ctl("validate", "-f", dir, NULL), CTL_PROBLEMS);
    assert_has(out_text, "unknown.yaml:2: refused: Route shop/unknown: spec.hostname: ");
    assert_has(out_text, "did you mean \"hostnames\"?");
    assert_has(out_text, "broken.yaml:");
    assert_has(
        out_text,
        "twice.yaml:1: refused: IngressClass sluice: is in class.yaml:1 too, which comes first");
    assert_has(out_text, "gone.yaml:1: warning: Route shop/gone: spec.rules[0].backendRefs[0]: ");
    assert_has(out_text, "3 refused, 1 warnings");
    assert_lacks(out_text, "notes.txt");
    assert_lacks(out_text, ".hidden");
    assert_lacks(out_text, "foreign");
    assert_int_equal(ctl("render", "-f", dir, NULL), CTL_PROBLEMS);
    assert_has(err_text, "spec.hostname");
    assert_int_equal(ctl("validate", "-f", "/nonexistent", NULL), CTL_UNREACHABLE);
    assert_has(err_text, "/nonexistent cannot be read");
    assert_int_equal(ctl("validate", "-f", "/dev/zero", NULL), CTL_PROBLEMS);
    assert_has(out_text, "is no file");
}

/* ---- admin ports, in a process of their own ---- */

static pid_t server;
static char proxy_at[32], controller_at[32];

static bool ready(void *arg, struct out *why) {
    (void)arg;
    out_lit(why, "draining");
    return false;
}
static uint64_t revision(void *arg) {
    (void)arg;
    return 0xabc;
}

/* A route with all that a proxy needs, and a consumer with a secret. */
static struct object **objects(void *arg, size_t *n) {
    (void)arg;
    struct str host = STR("host/sluice/p.example.com");
    struct model_host h = {.hostname = STR("p.example.com")};
    struct model_match m = {.path = STR("/p")};
    struct model_direct d = {.status = 200, .body = STR("hello")};
    struct model_filter f = {.type = MODEL_FILTER_DIRECT, .direct = &d};
    struct model_origin origin = {.kind = STR("Route"),
                                  .namespace = STR("n"),
                                  .name = STR("p"),
                                  .field = STR("spec.rules[0]")};
    struct model_route r = {.origin = &origin,
                            .hosts = &host,
                            .n_hosts = 1,
                            .namespace = STR("n"),
                            .name = STR("p"),
                            .rule = STR("direct"),
                            .matches = &m,
                            .n_matches = 1,
                            .filters = &f,
                            .n_filters = 1};
    struct model_credential secret = {.name = STR("id"), .digest = STR("hunter2hunter2hu")};
    struct model_consumer c = {.credentials = &secret, .n_credentials = 1};
    *n = 3;
    struct object **all = mem_array(*n, sizeof(*all));
    all[0] = object_new(MODEL_KIND_host, host, &h);
    all[1] = object_new(MODEL_KIND_route, STR("route/n/p/direct"), &r);
    all[2] = object_new(MODEL_KIND_consumer, STR("consumer/n/c"), &c);
    return all;
}

static const char status_text[] =
    "{\"revision\":\"00000000000000ff\",\"proxies\":["
    "{\"name\":\"p-1\",\"address\":\"10.0.0.1\",\"ready\":true,\"current\":true,\"behind\":false,"
    "\"revision\":\"00000000000000ff\",\"linked_ms\":%lld,\"acked_ms\":%lld,\"connections\":3},"
    "{\"name\":\"p-2\",\"address\":\"10.0.0.2\",\"ready\":true,\"current\":false,\"behind\":true,"
    "\"revision\":\"00000000000000fe\",\"linked_ms\":%lld,\"acked_ms\":0,\"nack\":\"\"}],"
    "\"source\":[],\"resources\":["
    "{\"kind\":\"Route\",\"namespace\":\"shop\",\"name\":\"shop\",\"conditions\":[{\"type\":"
    "\"Accepted\",\"status\":\"True\",\"reason\":\"Accepted\"}],\"warnings\":[\"look here\"]},"
    "{\"kind\":\"Route\",\"namespace\":\"shop\",\"name\":\"bad\\u001b[31m\",\"held\":true,"
    "\"conditions\":[{\"type\":\"Accepted\",\"status\":\"False\",\"reason\":\"Invalid\","
    "\"message\":\"spec.rules[0]: no\"}]}]}";

static void status(void *arg, const struct httpd_request *rq, struct httpd_answer *a) {
    (void)arg, (void)rq;
    long long now = (long long)time(NULL) * 1000;
    a->content_type = "application/json";
    out_fmt(&a->body, status_text, now - 600000, now - 7200000, now - 40 * 86400000LL);
}

static int serve(void **state) {
    (void)state;
    const struct admin_host host = {ready, revision, objects, NULL, NULL};
    const struct httpd_route routes[] = {{"/status", status, NULL}};
    struct event_base *base = event_base_new();
    struct observe *o = observe_new(1);
    struct admin *admin = NULL;
    for (unsigned port = 25000; !admin && port < 25900; port++) {
        struct why why = {0};
        snprintf(proxy_at, sizeof(proxy_at), "127.0.0.1:%u", port);
        admin = admin_new(base, "127.0.0.1:0", proxy_at, &host, o, &why);
    }
    struct why why = {0};
    struct httpd *h = httpd_new(base, "127.0.0.1:0", routes, 1, HTTPD_LOOPBACK_ONLY, &why);
    if (!admin || !h)
        return -1;
    snprintf(controller_at, sizeof(controller_at), "127.0.0.1:%u", httpd_port(h));
    server = fork();
    if (server == 0) {
        event_base_dispatch(base);
        _exit(0);
    }
    event_reinit(base);
    admin_free(admin);
    httpd_free(h);
    observe_free(o);
    event_base_free(base);
    return server > 0 ? 0 : -1;
}
static int unserve(void **state) {
    (void)state;
    kill(server, SIGKILL);
    return waitpid(server, NULL, 0) == server ? 0 : -1;
}

static void from_a_live_proxy(void **state) {
    (void)state;
    assert_int_equal(ctl("routes", "--proxy", proxy_at, NULL), CTL_OK);
    assert_has(out_text, "p.example.com  PathPrefix /p  n/p/direct  answer 200  Route n/p\n");
    assert_int_equal(ctl("explain", "GET", "http://P.example.com/p", "--proxy", proxy_at, NULL),
                     CTL_OK);
    assert_has(out_text, "rule n/p/direct  Route n/p spec.rules[0]");
    assert_has(out_text, "DirectResponse");
    assert_int_equal(ctl("routes", "--proxy", controller_at, NULL), CTL_UNREACHABLE);
    assert_has(err_text, "answers 404");
    assert_int_equal(ctl("routes", "--proxy", "127.0.0.1:1", NULL), CTL_UNREACHABLE);
    assert_has(err_text, "no proxy answers at 127.0.0.1:1");
    assert_int_equal(ctl("routes", "--proxy", "user@127.0.0.1:80/x:1", NULL), CTL_USAGE);
}

static void from_a_live_controller(void **state) {
    (void)state;
    assert_int_equal(ctl("status", "--controller", controller_at, NULL), CTL_PROBLEMS);
    assert_has(out_text, "revision 00000000000000ff, 2 proxies");
    assert_has(out_text, "p-1    current  00000000000000ff  10m     2h     3 ");
    assert_has(out_text, "p-2    behind   00000000000000fe  40d     never  0 ");
    assert_has(out_text, "warning");
    assert_has(out_text, "refused, last good serves  Route shop/bad?[31m");
    assert_lacks(out_text, "\033");
    assert_int_equal(ctl("status", "--controller", controller_at, "-o", "json", NULL),
                     CTL_PROBLEMS);
    cJSON *doc = cJSON_Parse(out_text);
    assert_int_equal(cJSON_GetArraySize(doc_each(doc, "proxies")), 2);
    cJSON_Delete(doc);
}

/* ---- in a cluster ---- */

static void put_kubectl(const char *pods, const char *forward) {
    char script[4096];
    snprintf(script, sizeof(script),
             "#!/bin/sh\necho \"$@\" >> %s/calls\ncase \"$*\" in\n*'get pods'*) %s ;;\n"
             "*port-forward*) %s ;;\nesac\n",
             dir, pods, forward);
    assert_int_equal(chmod(put_file("kubectl", script), 0755), 0);
}

static int in_cluster_make(void **state) {
    static char path[4096];
    if (dir_make(state) != 0 || serve(state) != 0)
        return -1;
    snprintf(path, sizeof(path), "%s:/usr/bin:/bin", dir);
    return setenv("PATH", path, 1);
}
static int in_cluster_drop(void **state) {
    int bad = unserve(state);
    return dir_drop(state) | bad;
}

#define POD(ns, name, ready)                                                                       \
    "{\"metadata\":{\"namespace\":\"" ns "\",\"name\":\"" name "\"},\"status\":{\"conditions\":"   \
    "[{\"type\":\"Ready\",\"status\":\"" ready "\"}]}}"
#define PODS(items) "printf '%s' '{\"items\":[" items "]}'"

static void put_pods(const char *pods, const char *at) {
    char forward[256];
    snprintf(forward, sizeof(forward), "echo Forwarding from %s -\\> 7502; exec sleep 60", at);
    put_kubectl(pods, forward);
}

/* As kubectl forwards: a line for each connection, before anything of it is passed on. */
static void put_relay(const char *pods, const char *at) {
    static const char relay[] =
        "import socket, sys, threading\n"
        "s = socket.create_server(('127.0.0.1', 0))\n"
        "print(f'Forwarding from 127.0.0.1:{s.getsockname()[1]} -> 7502', flush=True)\n"
        "a = s.accept()[0]\n"
        "print('Handling connection for 7502', flush=True)\n"
        "host, port = sys.argv[1].split(':')\n"
        "b = socket.create_connection((host, int(port)))\n"
        "def copy(x, y):\n"
        "    while data := x.recv(65536):\n"
        "        y.sendall(data)\n"
        "threading.Thread(target=copy, args=(b, a), daemon=True).start()\n"
        "copy(a, b)\n";
    char forward[512];
    snprintf(forward, sizeof(forward), "exec python3 %s %s", put_file("relay.py", relay), at);
    put_kubectl(pods, forward);
}

static void assert_called(const char *part) {
    char path[128], text[8192] = "";
    snprintf(path, sizeof(path), "%s/calls", dir);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    text[fread(text, 1, sizeof(text) - 1, f)] = 0;
    fclose(f);
    assert_has(text, part);
}

static void asks_a_ready_pod_by_kubectl(void **state) {
    (void)state;
    put_pods(PODS(POD("sluice", "p-1", "False") "," POD("sluice", "p-2", "True")), proxy_at);
    assert_int_equal(ctl("routes", "--context", "prod", "--kubeconfig", "k.yaml", NULL), CTL_OK);
    assert_has(out_text, "p.example.com  PathPrefix /p  n/p/direct");
    assert_called("--kubeconfig k.yaml --context prod get pods");
    assert_called("component=proxy --all-namespaces");
    assert_called("--namespace sluice port-forward --address=127.0.0.1 pod/p-2 :7502");
    put_relay(PODS(POD("sluice", "c-1", "True")), controller_at);
    assert_int_equal(ctl("status", "-n", "sluice", NULL), CTL_PROBLEMS);
    assert_has(out_text, "revision 00000000000000ff, 2 proxies");
    assert_called("component=controller --namespace sluice");
    assert_called("pod/c-1 :7402");
}

static void asks_the_pod_that_is_named(void **state) {
    (void)state;
    put_pods(PODS(POD("sluice", "p-1", "False") "," POD("sluice", "p-2", "True")), proxy_at);
    assert_int_equal(ctl("routes", "--proxy", "p-1", NULL), CTL_OK);
    assert_called("pod/p-1 :7502");
    assert_int_equal(ctl("routes", "--proxy", "p-3", NULL), CTL_UNREACHABLE);
    assert_has(err_text, "there is no proxy pod p-3");
}

static void says_why_the_cluster_does_not_answer(void **state) {
    (void)state;
    put_pods(PODS(POD("a", "p-1", "True") "," POD("b", "p-1", "True")), proxy_at);
    assert_int_equal(ctl("routes", "--context", "x", NULL), CTL_USAGE);
    assert_has(err_text, "namespaces a and b; say which: -n a");
    put_pods(PODS(POD("a", "p-1", "False")), proxy_at);
    assert_int_equal(ctl("routes", "-n", "a", NULL), CTL_UNREACHABLE);
    assert_has(err_text, "no proxy pod is ready in namespace a; is Sluice installed there?");
    put_kubectl("echo Forbidden: no >&2; exit 1", "exit 1");
    assert_int_equal(ctl("routes", "-n", "a", NULL), CTL_UNREACHABLE);
    assert_has(err_text, "kubectl get pods failed: Forbidden: no\n");
    put_kubectl("echo this is no JSON", "exit 1");
    assert_int_equal(ctl("routes", "-n", "a", NULL), CTL_UNREACHABLE);
    put_kubectl(PODS(POD("a", "p-1", "True")), "echo pods are forbidden >&2; exit 1");
    assert_int_equal(ctl("routes", "-n", "a", NULL), CTL_UNREACHABLE);
    assert_has(err_text, "kubectl port-forward failed: pods are forbidden\n");
    assert_int_equal(ctl("routes", "-n", "a", "-f", "x", NULL), CTL_USAGE);
    assert_int_equal(ctl("validate", "-n", "a", "-f", "x", NULL), CTL_USAGE);
}

static void secrets_stay(void **state) {
    (void)state;
    struct model_credential secret = {.name = STR("id"), .digest = STR("hunter2")};
    struct model_consumer c = {.credentials = &secret, .n_credentials = 1};
    struct object *o = object_new(MODEL_KIND_consumer, STR("consumer/n/c"), &c);
    struct model_consumer without = c;
    struct model_credential name_only = {.name = STR("id")};
    without.credentials = &name_only;
    struct object *wanted = object_new(MODEL_KIND_consumer, STR("consumer/n/c"), &without);
    struct out a = out_heap(4096), b = out_heap(4096);
    object_wire_json(o, &a);
    object_wire_json(wanted, &b);
    out_char(&a, 0);
    out_char(&b, 0);
    assert_has(a.p, "{\"kind\":10,\"id\":\"consumer/n/c\",\"hash\":\"");
    const char *bytes = strstr(a.p, "\"bytes\":\""), *expected = strstr(b.p, "\"bytes\":\"");
    assert_true(bytes && expected);
    assert_string_equal(bytes, expected);
    out_fini(&a);
    out_fini(&b);
    object_drop(o);
    object_drop(wanted);
}

static void writes_the_crds(void **state) {
    (void)state;
    assert_int_equal(ctl("crds", NULL), CTL_OK);
    assert_int_equal(count(out_text, "kind: CustomResourceDefinition\n"), 5);
    assert_int_equal(count(out_text, "\n---\n"), 4);
    assert_has(out_text, "sluice.dev/schema-generation: ");
    assert_has(out_text, "NOT SUPPORTED YET: refused.");
    assert_lacks(out_text, "ingressclasses");
    assert_int_equal(ctl("crds", "-o", "json", "-d", dir, NULL), CTL_OK);
    assert_int_equal(count(out_text, ".json\n"), 5);
    assert_int_equal(ctl("crds", "-d", dir, NULL), CTL_OK);
    assert_has(out_text, "/routes.yaml\n");
    assert_int_equal(ctl("crds", "-d", "/nowhere", NULL), CTL_PROBLEMS);
    assert_has(err_text, "/nowhere/routes.yaml: No such file or directory");
    assert_int_equal(ctl("crds", "-f", dir, NULL), CTL_USAGE);
    assert_int_equal(ctl("status", "-d", dir, NULL), CTL_USAGE);
    assert_has(err_text, "status takes no -d");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_and_options),
        cmocka_unit_test(wrong_words),
        cmocka_unit_test(completes_commands),
        cmocka_unit_test(completes_options_of_the_command),
        cmocka_unit_test(completes_values),
        cmocka_unit_test(completes_words),
        cmocka_unit_test(prints_scripts_and_the_manual),
        cmocka_unit_test(validates_the_quickstart),
        cmocka_unit_test(lists_the_quickstart),
        cmocka_unit_test(renders_the_quickstart),
        cmocka_unit_test(explains_a_winner),
        cmocka_unit_test(explains_what_is_refused),
        cmocka_unit_test_setup_teardown(explains_conditions, dir_make, dir_drop),
        cmocka_unit_test_setup_teardown(shows_certificates_without_their_keys, dir_make, dir_drop),
        cmocka_unit_test_setup_teardown(says_what_is_wrong, dir_make, dir_drop),
        cmocka_unit_test_setup_teardown(writes_the_crds, dir_make, dir_drop),
        cmocka_unit_test_setup_teardown(from_a_live_proxy, serve, unserve),
        cmocka_unit_test_setup_teardown(from_a_live_controller, serve, unserve),
        cmocka_unit_test_setup_teardown(asks_a_ready_pod_by_kubectl, in_cluster_make,
                                        in_cluster_drop),
        cmocka_unit_test_setup_teardown(asks_the_pod_that_is_named, in_cluster_make,
                                        in_cluster_drop),
        cmocka_unit_test_setup_teardown(says_why_the_cluster_does_not_answer, in_cluster_make,
                                        in_cluster_drop),
        cmocka_unit_test(secrets_stay),
    };
    int failed = cmocka_run_group_tests_name("ctl", tests, NULL, NULL);
    free(out_text);
    free(err_text);
    return failed;
}
