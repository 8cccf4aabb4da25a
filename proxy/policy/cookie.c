/* SPDX-License-Identifier: Apache-2.0
 *
 * cookie: a Set-Cookie field's Domain and Path (RFC 6265 5.2), so that a session which a backend
 * begins under its own name goes on under the gateway's. Only attributes that are there are
 * changed: a cookie without Domain belongs to the host that the client asked, which is right
 * already.
 */
#include "proxy/policy/policy.h"

static void write_attribute(struct str attribute, const struct model_cookie_rewrite *c,
                            struct out *o) {
    struct str name, old = str_cut(attribute, '=', &name), new = STR_NONE;
    if (str_eq_nocase(str_trim(name), STR("domain")))
        new = c->domain;
    else if (str_eq_nocase(str_trim(name), STR("path")))
        new = c->path;
    out_lit(o, "; ");
    if (old.p == NULL || new.n == 0) {
        out_str(o, str_trim(attribute));
        return;
    }
    out_str(o, str_trim(name));
    out_char(o, '=');
    out_str(o, new);
}

bool policy_write_cookie(const struct exchange *x, struct str set_cookie, struct out *o) {
    const struct model_filter *f = policy_find(x, MODEL_FILTER_COOKIES);
    if (f == NULL || f->cookies == NULL)
        return false;
    struct str rest, one;
    out_lit(o, "set-cookie: ");
    rest = str_cut(set_cookie, ';', &one);
    out_str(o, str_trim(one));
    while (rest.p != NULL) {
        rest = str_cut(rest, ';', &one);
        write_attribute(one, f->cookies, o);
    }
    out_lit(o, "\r\n");
    return true;
}
