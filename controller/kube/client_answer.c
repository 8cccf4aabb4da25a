/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/kube/client_answer.h"

#include "lib/json.h"

#include <curl/curl.h>

static const char *phrase(int status) {
    static const struct {
        int status;
        const char *words;
    } known[] = {
        {301, "Moved Permanently"},
        {302, "Found"},
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

/* The server's own words: those of a metav1.Status, else the first line of whatever came. */
static void say(struct why *why, int status, struct str words) {
    struct shown room;
    if (words.n == 0 && status / 100 == 3)
        why_text(why, "%d %s: the API server sends us elsewhere, where no credentials go", status,
                 phrase(status));
    else if (words.n == 0)
        why_text(why, "%d %s", status, phrase(status));
    else
        why_text(why, "%d %s: %s", status, phrase(status), why_show(words, &room));
}

void kube_answer_refused(struct why *why, int status, struct str body) {
    struct why parse = {0};
    struct str line;
    cJSON *json = json_parse(body, &parse);
    struct str message = json_text(json, "message");
    if (message.n > 0) {
        why_text(why, "%d %s: %.*s", status, phrase(status), STR_FMT(message));
    } else {
        str_cut(body, '\n', &line);
        say(why, status, json ? STR_NONE : str_trim(line));
    }
    cJSON_Delete(json);
}

void kube_answer_failed(struct why *why, int code, const char *detail, struct str server) {
    switch ((CURLcode)code) {
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
                 *detail ? detail : curl_easy_strerror((CURLcode)code));
        break;
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
        why_text(why, "%.*s cannot be reached: %s", STR_FMT(server), detail);
        break;
    case CURLE_OPERATION_TIMEDOUT:
        why_text(why, "no answer in time: %s", detail);
        break;
    default:
        why_text(why, "%s", *detail ? detail : curl_easy_strerror((CURLcode)code));
    }
}
