/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/json.h"

/* One pass over the text before cJSON sees it: nesting, and \u0000 in strings. Anything else that
 * is wrong is left to cJSON. The offset of the fault, or text.n. */
static size_t survey(struct str text, const char **fault) {
    unsigned depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (c == 0) {
            *fault = "a NUL byte is not JSON";
            return i;
        }
        if (quoted && c == '\\') {
            if (str_starts(str_skip(text, i), STR("\\u0000"))) {
                *fault = "\\u0000 is not allowed in a string; remove it";
                return i;
            }
            i++;
        } else if (c == '"') {
            quoted = !quoted;
        } else if (!quoted && (c == '{' || c == '[') && ++depth > JSON_DEPTH) {
            *fault = "this is nested too deeply";
            return i;
        } else if (!quoted && (c == '}' || c == ']') && depth > 0) {
            depth--;
        }
    }
    return text.n;
}

static int refuse(struct str text, size_t at, const char *fault, struct why *why) {
    size_t line = 1, column = 1;
    for (size_t i = 0; i < at; i++) {
        column = text.p[i] == '\n' ? 1 : column + 1;
        line += text.p[i] == '\n';
    }
    why_field(why, "%zu:%zu", line, column);
    return why_text(why, "%s", fault);
}

cJSON *json_parse(struct str text, struct why *why) {
    const char *fault = NULL, *end = NULL;
    if (!text.p)
        text = STR("");
    size_t at = survey(text, &fault);
    if (fault) {
        refuse(text, at, fault, why);
        return NULL;
    }
    cJSON *json = cJSON_ParseWithLengthOpts(text.p, text.n, &end, false);
    if (!json) {
        at = end ? size_min((size_t)(end - text.p), text.n) : 0;
        bool early = at + 1 >= text.n;
        refuse(text, early ? text.n : at, early ? "the text ends too early" : "this is not JSON",
               why);
        return NULL;
    }
    at = (size_t)(end - text.p);
    while (at < text.n && memchr(" \t\r\n", text.p[at], 4))
        at++;
    if (at < text.n) {
        refuse(text, at, "something follows the JSON value; remove it", why);
        cJSON_Delete(json);
        return NULL;
    }
    return json;
}

const cJSON *json_get(const cJSON *object, const char *name) {
    const cJSON *member = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsNull(member) ? NULL : member;
}

struct str json_text(const cJSON *object, const char *name) {
    return str_of(cJSON_GetStringValue(json_get(object, name)));
}
