/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/kube/client.h"
#include "lib/chars.h"

/* What is not unreserved (RFC 3986 2.3) becomes %XX: one segment or value, whatever is in it. */
static void escape(struct out *o, struct str s) {
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (char_is(s.p[i], CHAR_HOST))
            out_char(o, s.p[i]);
        else
            out_fmt(o, "%%%02X", c);
    }
}

static void segment(struct out *o, struct str s) {
    if (s.n == 0)
        return;
    out_char(o, '/');
    escape(o, s);
}

void kube_path(struct out *o, const char *group, const char *version, const char *plural,
               struct str ns, struct str name, struct str sub) {
    out_str(o, *group ? STR("/apis") : STR("/api"));
    segment(o, str_of(group));
    segment(o, str_of(version));
    if (ns.n > 0)
        out_lit(o, "/namespaces");
    segment(o, ns);
    segment(o, str_of(plural));
    segment(o, name);
    segment(o, sub);
}

void kube_path_param(struct out *o, const char *name, struct str value) {
    bool first = o->n == 0 || !memchr(o->p, '?', o->n);
    out_char(o, first ? '?' : '&');
    out_fmt(o, "%s=", name);
    escape(o, value);
}
