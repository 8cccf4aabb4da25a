/* SPDX-License-Identifier: Apache-2.0
 *
 * trailer: which fields may follow a body (RFC 9110 6.5.1). Those that Sluice or a backend would
 * act on in a head (framing, routing, who asks, how to read the content) never do (S12): it is too
 * late for them, and whoever merges trailers into the head would be fooled.
 */
#include "proxy/policy/policy.h"

#include "lib/chars.h"

/* What means something in a head and has no token. */
static bool is_of_head(struct str name) {
    static const char *const begin[] = {"content-", "if-",    "accept", "access-control-",
                                        "sec-",     "proxy-", "www-",   "sluice-"};
    static const char *const whole[] = {"age",         "authorization", "cache-control", "date",
                                        "expires",     "location",      "pragma",        "range",
                                        "retry-after", "set-cookie",    "vary",          "warning"};
    for (size_t i = 0; i < ARRAY_LEN(begin); i++) {
        struct str b = str_of(begin[i]);
        if (name.n >= b.n && str_eq_nocase(str_mk(name.p, b.n), b))
            return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(whole); i++)
        if (str_eq_nocase(name, str_of(whole[i])))
            return true;
    return false;
}

static bool may_follow(const struct exchange *x, enum trailers_of of, struct str name) {
    if (token_of(name) != TOKEN_OTHER || is_of_head(name))
        return false;
    if (of == TRAILERS_OF_ANSWER)
        return true;
    return str_find(name, '_', 0) == name.n && !policy_is_identity(x->snapshot->gateway, name);
}

void policy_write_trailers(const struct exchange *x, enum trailers_of of, struct str lines,
                           struct out *o) {
    while (lines.n > 0) {
        struct str line, name;
        lines = str_cut(lines, '\n', &line);
        str_cut(line, ':', &name);
        if (!may_follow(x, of, name))
            continue;
        out_str(o, line);
        out_lit(o, "\n");
    }
}

bool policy_takes_trailers(const struct head *request) {
    for (unsigned i = 0; i < request->n_fields; i++) {
        const struct head_field *f = &request->fields[i];
        struct str rest = head_value(request, f), one;
        if (f->token != TOKEN_TE)
            continue;
        while (rest.n > 0) {
            rest = str_cut(rest, ',', &one);
            if (str_eq_nocase(str_trim(one), STR("trailers")))
                return true;
        }
    }
    return false;
}
