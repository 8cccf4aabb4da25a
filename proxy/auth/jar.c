/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/auth/jar.h"

#include "lib/base64url.h"

static struct str name_of(const struct model_auth_oidc *o, const char *more,
                          char room[JAR_NAME_MAX]) {
    struct out name = out_fixed(room, JAR_NAME_MAX);
    out_str(&name, o->cookie);
    out_str(&name, str_of(more));
    return name.over ? STR_NONE : out_done(&name);
}

static const char *piece_name(unsigned i) {
    static const char *const names[JAR_PIECES] = {"", "-1", "-2", "-3"};
    return names[i];
}

/* ---- read ---- */

enum place jar_read(const struct head *h, const struct model_auth_oidc *o, const char *more,
                    struct str *value) {
    char room[JAR_NAME_MAX];
    return place_cookie(h, name_of(o, more, room), value);
}

enum place jar_session(const struct head *h, const struct model_auth_oidc *o,
                       struct jar_pieces *to) {
    *to = (struct jar_pieces){0};
    enum place p = place_cookie(h, o->cookie, &to->v[0]);
    if (p != PLACE_ONE)
        return p;
    char digit = to->v[0].n > 0 ? to->v[0].p[0] : '0';
    if (digit < '1' || digit > '0' + JAR_PIECES)
        return PLACE_TWICE;
    to->n = (unsigned)(digit - '0');
    for (unsigned i = 1; i < to->n; i++)
        if (jar_read(h, o, piece_name(i), &to->v[i]) != PLACE_ONE)
            return PLACE_TWICE;
    return PLACE_ONE;
}

bool jar_box(const struct jar_pieces *p, char *room, struct str *box) {
    char text[JAR_TEXT_MAX];
    struct out all = out_fixed(text, sizeof(text));
    size_t n = 0;
    for (unsigned i = 0; i < p->n; i++)
        out_str(&all, p->v[i]);
    if (all.over || all.n == 0 || !base64url_decode(str_skip(out_done(&all), 1), room, &n))
        return false;
    *box = str_mk(room, n);
    return true;
}

/* ---- written ---- */

static unsigned pieces_for(size_t n) { return (unsigned)((n + JAR_PIECE - 1) / JAR_PIECE); }

void jar_text(struct str box, struct out *o) {
    size_t n = 1 + (box.n * 4 + 2) / 3;
    o->over = o->over || pieces_for(n) > JAR_PIECES;
    out_char(o, (char)('0' + pieces_for(n)));
    base64url_put(o, box.p, box.n);
}

/* Of about the same length each. */
unsigned jar_cut(struct str text, struct jar_pieces *to) {
    size_t each;
    to->n = pieces_for(text.n);
    must(to->n > 0 && to->n <= JAR_PIECES);
    each = (text.n + to->n - 1) / to->n;
    for (unsigned i = 0; i < to->n; i++) {
        size_t n = size_min(each, text.n);
        to->v[i] = str_mk(text.p, n);
        text = str_skip(text, n);
    }
    return to->n;
}

static void set(const struct model_auth_oidc *o, const char *more, struct str value, uint64_t age,
                struct str path, enum model_same_site site, struct out *to) {
    static const char *const words[] = {"Lax", "Strict", "None"};
    char room[JAR_NAME_MAX];
    out_lit(to, "set-cookie: ");
    out_str(to, name_of(o, more, room));
    out_char(to, '=');
    out_str(to, value);
    out_lit(to, "; Path=");
    out_str(to, path.n > 0 ? path : STR("/"));
    if (o->cookie_domain.n > 0) {
        out_lit(to, "; Domain=");
        out_str(to, o->cookie_domain);
    }
    out_lit(to, "; Max-Age=");
    out_u64(to, age);
    out_lit(to, "; HttpOnly; Secure; SameSite=");
    out_str(to, str_of(words[site]));
    out_lit(to, "\r\n");
}

void jar_set_login(const struct model_auth_oidc *o, const char *more, struct str value,
                   uint64_t age, struct out *to) {
    set(o, more, value, age, STR("/"), MODEL_SITE_LAX, to);
}

static void set_piece(const struct model_auth_oidc *o, unsigned i, struct str value, uint64_t age,
                      struct out *to) {
    set(o, piece_name(i), value, age, o->cookie_path, (enum model_same_site)o->same_site, to);
}

/* From the piece i on. */
static void clear_from(const struct head *h, const struct model_auth_oidc *o, unsigned i,
                       struct out *to) {
    struct str value;
    for (; i < JAR_PIECES; i++)
        if (jar_read(h, o, piece_name(i), &value) != PLACE_NONE)
            set_piece(o, i, STR_NONE, 0, to);
}

void jar_set_session(const struct head *h, const struct model_auth_oidc *o, struct str text,
                     uint64_t age, struct out *to) {
    struct jar_pieces p;
    jar_cut(text, &p);
    for (unsigned i = 0; i < p.n; i++)
        set_piece(o, i, p.v[i], age, to);
    clear_from(h, o, p.n, to);
}

void jar_clear_session(const struct head *h, const struct model_auth_oidc *o, struct out *to) {
    clear_from(h, o, 0, to);
}
