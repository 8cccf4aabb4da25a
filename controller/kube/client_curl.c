/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/kube/client_curl.h"

#include "controller/curl/easy.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

enum {
    KEEPALIVE_S = 15,                 /* TCP's, of an idle connection and between probes */
    UNACKNOWLEDGED_MS = 30000,        /* then the connection is dead */
    TEXT_MAX = (64 << 10) + (8 << 10) /* of a URL or header: a token and some more */
};

/* ---- headers ---- */

static void header(struct kube_wire *w, const char *name, struct str value) {
    struct out o = out_heap(TEXT_MAX);
    out_fmt(&o, "%s:", name);
    if (value.n > 0)
        out_char(&o, ' ');
    out_str(&o, value);
    out_char(&o, 0);
    must(!o.over);
    w->headers = curl_slist_append(w->headers, o.p);
    must(w->headers);
    explicit_bzero(o.p, o.n);
    out_fini(&o);
}

static void bearer(struct kube_wire *w, struct str token) {
    struct out o = out_heap(TEXT_MAX);
    out_lit(&o, "Bearer ");
    out_str(&o, token);
    header(w, "Authorization", out_done(&o));
    explicit_bzero(o.p, o.n);
    out_fini(&o);
}

/* ---- where ---- */

struct server {
    struct str scheme; /* "https://" */
    struct str host;   /* "10.96.0.1", "[::1]" */
    struct str port;   /* n == 0: the scheme's */
    struct str prefix; /* "/k8s/clusters/c-1"; n == 0: none */
};

static struct server server_of(struct str url) {
    struct server s;
    size_t scheme = str_find(url, '/', 0) + 2;
    s.scheme = str_mk(url.p, scheme);
    struct str rest = str_skip(url, scheme);
    size_t slash = str_find(rest, '/', 0);
    s.prefix = str_skip(rest, slash);
    s.host = str_mk(rest.p, slash);
    s.port = STR_NONE;
    size_t from = s.host.n > 0 && s.host.p[0] == '[' ? str_find(s.host, ']', 0) : 0;
    size_t colon = str_find(s.host, ':', from);
    if (colon < s.host.n) {
        s.port = str_skip(s.host, colon + 1);
        s.host.n = colon;
    }
    return s;
}

/* Where TLS needs another name than the one that is connected to, the URL has that name, and a
 * detour leads to the address. */
static void set_place(struct kube_wire *w, const struct kube_call *what,
                      const struct kube_credentials *who) {
    struct out url = out_heap(TEXT_MAX), detour = out_heap(TEXT_MAX);
    struct server s = server_of(who->server);
    out_str(&url, s.scheme);
    out_str(&url, who->server_name.n > 0 ? who->server_name : s.host);
    if (s.port.n > 0)
        out_fmt(&url, ":%.*s", STR_FMT(s.port));
    out_str(&url, s.prefix);
    out_str(&url, what->path);
    easy_text(w->curl, CURLOPT_URL, out_done(&url));
    if (who->server_name.n > 0) {
        out_fmt(&detour, "::%.*s:%.*s", STR_FMT(s.host), STR_FMT(s.port));
        out_char(&detour, 0);
        w->connect_to = curl_slist_append(NULL, detour.p);
        must(w->connect_to);
        curl_easy_setopt(w->curl, CURLOPT_CONNECT_TO, w->connect_to);
        header(w, "Host", str_mk(s.host.p, s.host.n + (s.port.n ? s.port.n + 1 : 0)));
    }
    bool tls = str_eq(s.scheme, STR("https://"));
    curl_easy_setopt(w->curl, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(w->curl, CURLOPT_PROTOCOLS_STR, tls ? "https" : "http");
    curl_easy_setopt(w->curl, CURLOPT_PIPEWAIT, (long)tls); /* in vain without ALPN */
    out_fini(&url);
    out_fini(&detour);
}

/* ---- who ---- */

static void set_tls(CURL *curl, const struct kube_credentials *who) {
    easy_trust(curl, who->ca);
    easy_blob(curl, CURLOPT_SSLCERT_BLOB, who->certificate);
    easy_blob(curl, CURLOPT_SSLKEY_BLOB, who->key);
}

/* ---- what ---- */

static void set_method(struct kube_wire *w, const struct kube_call *what) {
    if (what->body.n > 0 || strcmp(what->method, "POST") == 0) {
        curl_easy_setopt(w->curl, CURLOPT_POST, 1L);
        curl_easy_setopt(w->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)what->body.n);
        header(w, "Content-Type", str_of(what->type ? what->type : "application/json"));
        header(w, "Expect", STR_NONE); /* no waiting for 100 Continue */
    }
    if (strcmp(what->method, "GET") != 0)
        curl_easy_setopt(w->curl, CURLOPT_CUSTOMREQUEST, what->method);
    header(w, "Accept", str_of(what->accept ? what->accept : "application/json"));
}

/* ---- how ---- */

static int on_socket(void *arg, curl_socket_t fd, curlsocktype purpose) {
    int ms = UNACKNOWLEDGED_MS;
    (void)arg;
    (void)purpose;
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
    return CURL_SOCKOPT_OK;
}

static void set_connection(CURL *curl, uint32_t left_ms) {
    easy_plain(curl);
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(curl, CURLOPT_TCP_KEEPIDLE, (long)KEEPALIVE_S);
    curl_easy_setopt(curl, CURLOPT_TCP_KEEPINTVL, (long)KEEPALIVE_S);
    curl_easy_setopt(curl, CURLOPT_SOCKOPTFUNCTION, on_socket);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)KUBE_CONNECT_TIMEOUT_MS);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)left_ms);
}

void kube_wire_init(struct kube_wire *w, const struct kube_call *what,
                    const struct kube_credentials *who, uint32_t left_ms) {
    *w = (struct kube_wire){.curl = curl_easy_init()};
    must(w->curl);
    set_place(w, what, who);
    set_tls(w->curl, who);
    set_method(w, what);
    if (who->token.n > 0)
        bearer(w, who->token);
    set_connection(w->curl, left_ms);
    curl_easy_setopt(w->curl, CURLOPT_HTTPHEADER, w->headers);
    curl_easy_setopt(w->curl, CURLOPT_ERRORBUFFER, w->error);
}

void kube_wire_fini(struct kube_wire *w) {
    if (w->curl)
        curl_easy_cleanup(w->curl);
    curl_slist_free_all(w->headers);
    curl_slist_free_all(w->connect_to);
    w->curl = NULL;
    w->headers = w->connect_to = NULL;
}
