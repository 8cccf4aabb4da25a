/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/fetch.h"

#include "lib/out.h"

#include <curl/curl.h>
#include <string.h>

enum { ANSWER_MAX = 256 << 20, CONNECT_S = 5, TOTAL_S = 60 };

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

static CURLcode get(const char *url, struct out *body, long *status, char *error) {
    CURL *curl = curl_easy_init();
    must(curl);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http");
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

enum ctl_exit fetch_json(struct ctl *c, const char *what, const char *place, const char *path,
                         cJSON **json) {
    char url[512], error[CURL_ERROR_SIZE] = "";
    long status = 0;
    if (!is_place(place) ||
        snprintf(url, sizeof(url), "http://%s%s", place, path) >= (int)sizeof(url))
        return ctl_fail(c, CTL_USAGE, "'%s' is no HOST:PORT; write it as 127.0.0.1:7502", place);
    struct out body = out_heap(ANSWER_MAX);
    CURLcode code = get(url, &body, &status, error);
    enum ctl_exit result = CTL_OK;
    if (code != CURLE_OK)
        result =
            ctl_fail(c, CTL_UNREACHABLE,
                     "no %s answers at %s: %s\nIs it another port (--%s HOST:PORT), or does it "
                     "need kubectl port-forward?",
                     what, place, error[0] ? error : curl_easy_strerror(code), what);
    else if (status != 200)
        result = ctl_fail(c, CTL_UNREACHABLE, "the %s at %s answers %ld to %s: %.*s", what, place,
                          status, path, (int)size_min(body.n, 200), body.p ? body.p : "");
    else if (!(*json = cJSON_ParseWithLength(body.p, body.n)))
        result = ctl_fail(c, CTL_UNREACHABLE, "what answers at %s is no Sluice %s", place, what);
    out_fini(&body);
    return result;
}
