/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/curl/easy.h"

#include "lib/mem.h"

void easy_text(CURL *curl, CURLoption option, struct str text) {
    char *copy = str_dup(text);
    must(curl_easy_setopt(curl, option, copy) == CURLE_OK);
    mem_free(copy);
}

void easy_blob(CURL *curl, CURLoption option, struct str bytes) {
    struct curl_blob blob = {(void *)(uintptr_t)bytes.p, bytes.n, CURL_BLOB_COPY};
    if (bytes.n > 0)
        must(curl_easy_setopt(curl, option, &blob) == CURLE_OK);
}

void easy_plain(CURL *curl) {
    struct out agent = out_heap(256);
    out_fmt(&agent, "sluice/%s", sluice_version);
    easy_text(curl, CURLOPT_USERAGENT, out_done(&agent));
    out_fini(&agent);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_QUICK_EXIT, 1L); /* never waits for a resolver's thread */
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
}

void easy_trust(CURL *curl, struct str ca) {
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (ca.n == 0)
        return;
    easy_blob(curl, CURLOPT_CAINFO_BLOB, ca);
    curl_easy_setopt(curl, CURLOPT_CAPATH, NULL); /* else the system's count as well */
}

const char *easy_phrase(int status) {
    static const struct {
        int status;
        const char *words;
    } known[] = {
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {409, "Conflict"},
        {410, "Gone"},
        {413, "Content Too Large"},
        {415, "Unsupported Media Type"},
        {422, "Unprocessable Entity"},
        {429, "Too Many Requests"},
        {500, "Internal Server Error"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
    };
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (known[i].status == status)
            return known[i].words;
    return "Refused";
}

void easy_failed(struct why *why, CURLcode code, const char *detail, struct str server) {
    switch (code) {
    case CURLE_PEER_FAILED_VERIFICATION:
        why_text(why,
                 "%.*s is not who it should be: %s; check the CA and the names in its certificate",
                 STR_FMT(server), detail);
        break;
    case CURLE_PARTIAL_FILE:
    case CURLE_HTTP2_STREAM:
    case CURLE_HTTP2:
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
        why_text(why, "the connection ended before the answer did: %s",
                 *detail ? detail : curl_easy_strerror(code));
        break;
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
        why_text(why, "%.*s cannot be reached: %s", STR_FMT(server), detail);
        break;
    case CURLE_OPERATION_TIMEDOUT:
        why_text(why, "no answer in time: %s", detail);
        break;
    default:
        why_text(why, "%s", *detail ? detail : curl_easy_strerror(code));
    }
}
