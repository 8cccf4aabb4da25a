/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/fetch.h"

#include "ctl/doc.h"
#include "lib/out.h"

#include <curl/curl.h>
#include <string.h>

enum { CONNECT_S = 5, TOTAL_S = 60 };

static size_t take(char *p, size_t size, size_t n, void *arg) {
    struct out *o = arg;
    out_bytes(o, p, size * n);
    return o->over ? 0 : size * n;
}

static bool is_place(const char *place) {
    const char *colon = strrchr(place, ':');
    uint64_t port;
    return colon && colon != place && !strpbrk(place, "/@?# \\") &&
           str_to_u64(str_of(colon + 1), UINT16_MAX, &port) && port > 0;
}

/* protocols: "http", or "http,https". */
static CURLcode get(const char *url, const char *protocols, struct out *body, long *status,
                    char *error) {
    CURL *curl = curl_easy_init();
    must(curl);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, protocols);
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_S);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)TOTAL_S);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, body);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error);
    CURLcode code = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, status);
    curl_easy_cleanup(curl);
    return code;
}

/* The bytes that answer there; named: the place for messages; *unheard: nobody listens. */
static enum ctl_exit ask_text(struct ctl *c, const char *what, const char *place, const char *named,
                              const char *path, struct out *body, bool *unheard) {
    char url[512], error[CURL_ERROR_SIZE] = "";
    long status = 0;
    *unheard = false;
    if (!is_place(place) ||
        snprintf(url, sizeof(url), "http://%s%s", place, path) >= (int)sizeof(url))
        return ctl_fail(c, CTL_USAGE, "'%s' is no HOST:PORT and no pod; write it as 127.0.0.1:7502",
                        place);
    CURLcode code = get(url, "http", body, &status, error);
    *unheard = code == CURLE_COULDNT_CONNECT;
    if (*unheard)
        return CTL_UNREACHABLE;
    if (code != CURLE_OK)
        return ctl_fail(c, CTL_UNREACHABLE, "no %s answers at %s: %s", what, named,
                        error[0] ? error : curl_easy_strerror(code));
    if (status == 404 && body->n > 0 && str_starts(str_of(path), STR("/history?")))
        return ctl_fail(c, CTL_PROBLEMS, "%.*s", (int)size_min(body->n - 1, 1000), body->p);
    if (status != 200)
        return ctl_fail(c, CTL_UNREACHABLE, "the %s at %s answers %ld to %s: %.*s", what, named,
                        status, path, (int)size_min(body->n, 200), body->p ? body->p : "");
    return CTL_OK;
}

/* The same as JSON. */
static enum ctl_exit ask(struct ctl *c, const char *what, const char *place, const char *path,
                         struct fetched *f, bool *unheard) {
    struct out body = out_heap(FETCH_MAX);
    enum ctl_exit result = ask_text(c, what, place, f->place, path, &body, unheard);
    if (result == CTL_OK && !(f->json = cJSON_ParseWithLength(body.p, body.n)))
        result = ctl_fail(c, CTL_UNREACHABLE, "what answers at %s is no Sluice %s", f->place, what);
    out_fini(&body);
    return result;
}

static const struct {
    const char *what;
    unsigned port;
} sources[] = {[FROM_CONTROLLER] = {"controller", CTL_CONTROLLER_PORT},
               [FROM_PROXY] = {"proxy", CTL_PROXY_PORT}};

static enum ctl_exit ask_cluster(struct ctl *c, enum fetch_from from, const char *pod,
                                 const char *path, struct fetch_way *way, struct fetched *f) {
    bool unheard = false;
    enum ctl_exit code =
        cluster_open(c, sources[from].what, sources[from].port, pod, &way->cluster);
    if (code != CTL_OK)
        return code;
    snprintf(way->place, sizeof(way->place), "pod %s", way->cluster.pod);
    snprintf(way->at, sizeof(way->at), "%s", way->cluster.place);
    memcpy(f->place, way->place, sizeof(f->place));
    code = ask(c, sources[from].what, way->at, path, f, &unheard);
    if (unheard)
        ctl_fail(c, code, "kubectl port-forward to %s ended early", f->place);
    if (code != CTL_OK)
        cluster_close(&way->cluster);
    return code;
}

/* Something about a cluster was said. */
static bool means_cluster(const struct ctl *c) {
    return c->in_cluster || c->namespace || c->context || c->kubeconfig;
}

static enum ctl_exit not_there(struct ctl *c, enum ctl_exit code, enum fetch_from from,
                               const char *place) {
    return ctl_fail(c, code,
                    "no %s answers at %s. Is it another port (--%s HOST:PORT)? In a cluster it is "
                    "found by kubectl, which is not on your PATH",
                    sources[from].what, place, sources[from].what);
}

enum ctl_exit fetch_first(struct ctl *c, enum fetch_from from, const char *path,
                          struct fetch_way *way, struct fetched *f) {
    const char *said = from == FROM_PROXY ? c->proxy : c->controller;
    bool place = said && strchr(said, ':'), unheard;
    *f = (struct fetched){0};
    *way = (struct fetch_way){0};
    if (!place && (said || means_cluster(c)))
        return ask_cluster(c, from, said, path, way, f);
    if (said)
        snprintf(way->at, sizeof(way->at), "%s", said);
    else
        snprintf(way->at, sizeof(way->at), "127.0.0.1:%u", sources[from].port);
    memcpy(way->place, way->at, sizeof(way->place));
    memcpy(f->place, way->at, sizeof(f->place));
    enum ctl_exit code = ask(c, sources[from].what, way->at, path, f, &unheard);
    if (unheard && !said && cluster_has_kubectl()) {
        code = ask_cluster(c, from, NULL, path, way, f);
        if (code != CTL_OK)
            ctl_fail(c, code, "nothing listens at 127.0.0.1:%u either", sources[from].port);
        return code;
    }
    return unheard ? not_there(c, code, from, f->place) : code;
}

enum ctl_exit fetch_again(struct ctl *c, enum fetch_from from, const char *path,
                          const struct fetch_way *way, struct fetched *f) {
    bool unheard;
    *f = (struct fetched){0};
    memcpy(f->place, way->place, sizeof(f->place));
    enum ctl_exit code = ask(c, sources[from].what, way->at, path, f, &unheard);
    if (unheard)
        ctl_fail(c, code, "%s answers no more", f->place);
    return code;
}

void fetch_end(struct fetch_way *way) { cluster_close(&way->cluster); }

enum ctl_exit fetch_json(struct ctl *c, enum fetch_from from, const char *path, struct fetched *f) {
    struct fetch_way way;
    enum ctl_exit code = fetch_first(c, from, path, &way, f);
    fetch_end(&way);
    return code;
}

/* ---- every proxy ---- */

static bool listens(const char *place) {
    char url[128], error[CURL_ERROR_SIZE];
    long status;
    struct out body = out_heap(FETCH_MAX);
    snprintf(url, sizeof(url), "http://%s/reasons", place);
    CURLcode code = get(url, "http", &body, &status, error);
    out_fini(&body);
    return code != CURLE_COULDNT_CONNECT;
}

enum ctl_exit fetch_proxies(struct ctl *c, cJSON **places) {
    char here[32];
    *places = cJSON_CreateArray();
    snprintf(here, sizeof(here), "127.0.0.1:%u", (unsigned)CTL_PROXY_PORT);
    const char *one = c->proxy;
    if (!one && !means_cluster(c) && (listens(here) || !cluster_has_kubectl()))
        one = here;
    if (one) {
        cJSON_AddItemToArray(*places, cJSON_CreateString(one));
        return CTL_OK;
    }
    enum ctl_exit code = cluster_ready(c, "proxy", *places);
    if (code != CTL_OK)
        cJSON_Delete(*places);
    return code;
}

static enum ctl_exit text_of_pod(struct ctl *c, const char *pod, const char *path,
                                 struct out *body) {
    struct cluster_way way;
    char named[600];
    bool unheard;
    enum ctl_exit code = cluster_open(c, "proxy", CTL_PROXY_PORT, pod, &way);
    if (code != CTL_OK)
        return code;
    snprintf(named, sizeof(named), "pod %s", way.pod);
    code = ask_text(c, "proxy", way.place, named, path, body, &unheard);
    if (unheard)
        ctl_fail(c, code, "kubectl port-forward to %s ended early", named);
    cluster_close(&way);
    return code;
}

enum ctl_exit fetch_text(struct ctl *c, const char *place, const char *path, struct out *body) {
    bool unheard;
    if (!strchr(place, ':'))
        return text_of_pod(c, place, path, body);
    enum ctl_exit code = ask_text(c, "proxy", place, place, path, body, &unheard);
    if (unheard)
        ctl_fail(c, code, "no proxy answers at %s. Is it another port (--proxy HOST:PORT)?", place);
    return code;
}

/* ---- a Prometheus ---- */

enum ctl_exit fetch_prometheus(struct ctl *c, const char *url, const char *query, cJSON **doc) {
    char error[CURL_ERROR_SIZE] = "";
    long status = 0;
    struct str base = str_of(url);
    struct out body = out_heap(FETCH_MAX), whole = out_heap(1 << 16);
    char *escaped = curl_easy_escape(NULL, query, 0);
    must(escaped);
    while (base.n > 0 && base.p[base.n - 1] == '/')
        base.n--;
    out_str(&whole, base);
    out_lit(&whole, "/api/v1/query?query=");
    out_bytes(&whole, escaped, strlen(escaped) + 1);
    curl_free(escaped);
    CURLcode code =
        whole.over ? CURLE_URL_MALFORMAT : get(whole.p, "http,https", &body, &status, error);
    *doc = code == CURLE_OK ? cJSON_ParseWithLength(body.p ? body.p : "", body.n) : NULL;
    enum ctl_exit result = CTL_OK;
    if (code != CURLE_OK)
        result = ctl_fail(c, CTL_UNREACHABLE, "no Prometheus answers at %s: %s", url,
                          error[0] ? error : curl_easy_strerror(code));
    else if (strcmp(doc_get(*doc, "status"), "success") != 0)
        result = ctl_fail(c, CTL_UNREACHABLE, "what answers %ld at %s is no Prometheus, or: %s",
                          status, url, *doc ? doc_get(*doc, "error") : "it is no JSON");
    if (result != CTL_OK)
        cJSON_Delete(*doc);
    out_fini(&body);
    out_fini(&whole);
    return result;
}
