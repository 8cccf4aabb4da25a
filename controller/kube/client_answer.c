/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/kube/client_answer.h"

#include "controller/curl/easy.h"
#include "lib/json.h"

/* The server's own words: those of a metav1.Status, else the first line of whatever came. */
static void say(struct why *why, int status, struct str words) {
    struct shown room;
    if (words.n == 0 && status / 100 == 3)
        why_text(why, "%d %s: the API server sends us elsewhere, where no credentials go", status,
                 easy_phrase(status));
    else if (words.n == 0)
        why_text(why, "%d %s", status, easy_phrase(status));
    else
        why_text(why, "%d %s: %s", status, easy_phrase(status), why_show(words, &room));
}

void kube_answer_refused(struct why *why, int status, struct str body) {
    struct why parse = {0};
    struct str line;
    cJSON *json = json_parse(body, &parse);
    struct str message = json_text(json, "message");
    if (message.n > 0) {
        why_text(why, "%d %s: %.*s", status, easy_phrase(status), STR_FMT(message));
    } else {
        str_cut(body, '\n', &line);
        say(why, status, json ? STR_NONE : str_trim(line));
    }
    cJSON_Delete(json);
}
