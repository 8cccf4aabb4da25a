/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/auth/place.h"

/* ---- headers ---- */

/* Without the prefix it is another credential, or none. */
static bool cut_prefix(struct str *value, struct str prefix) {
    if (value->n < prefix.n || !str_eq_nocase(str_mk(value->p, prefix.n), prefix))
        return false;
    *value = str_trim(str_skip(*value, prefix.n));
    return true;
}

static enum place read_header(const struct model_value_source *s, const struct head *h,
                              struct str *value) {
    unsigned from = 0, n = 0;
    const struct head_field *f;
    while ((f = head_each(h, s->name, &from))) {
        struct str v = head_value(h, f);
        if (!cut_prefix(&v, s->prefix))
            continue;
        *value = v;
        n++;
    }
    return n == 0 ? PLACE_NONE : n == 1 ? PLACE_ONE : PLACE_TWICE;
}

/* ---- cookies ---- */

struct cookies {
    const struct head *h;
    unsigned field;
    struct str rest;
};

/* The next one, RFC 6265 4.2.1; `whole` is the pair as it came. */
static bool next_cookie(struct cookies *c, struct str *whole, struct str *name, struct str *value) {
    while (!c->rest.p) {
        while (c->field < c->h->n_fields &&
               (c->h->fields[c->field].token != TOKEN_COOKIE || c->h->fields[c->field].dropped))
            c->field++;
        if (c->field == c->h->n_fields)
            return false;
        c->rest = head_value(c->h, &c->h->fields[c->field++]);
    }
    c->rest = str_cut(c->rest, ';', whole);
    *whole = str_trim(*whole);
    *value = str_cut(*whole, '=', name);
    return true;
}

enum place place_cookie(const struct head *h, struct str wanted, struct str *value) {
    struct cookies c = {.h = h};
    struct str whole, name, v;
    unsigned n = 0;
    while (next_cookie(&c, &whole, &name, &v)) {
        if (!v.p || !str_eq(name, wanted))
            continue;
        *value = v;
        n++;
    }
    return n == 0 ? PLACE_NONE : n == 1 ? PLACE_ONE : PLACE_TWICE;
}

static bool is_one_of(struct str name, const struct model_value_source *const *list, unsigned n) {
    for (unsigned i = 0; i < n; i++)
        if (list[i]->from == MODEL_FROM_COOKIE &&
            (str_eq(list[i]->name, name) ||
             (list[i]->prefix.n > 0 && str_starts(name, list[i]->prefix))))
            return true;
    return false;
}

unsigned place_other_cookies(const struct head *h, const struct model_value_source *const *without,
                             unsigned n, struct out *o) {
    struct cookies c = {.h = h};
    struct str whole, name, v;
    unsigned left_out = 0;
    size_t begin = o->n;
    while (next_cookie(&c, &whole, &name, &v)) {
        if (is_one_of(name, without, n)) {
            left_out++;
            continue;
        }
        if (o->n > begin)
            out_lit(o, "; ");
        out_str(o, whole);
    }
    return left_out;
}

/* ---- query ---- */

static enum place read_query(const struct model_value_source *s, struct str query, char *room,
                             size_t cap, struct str *value) {
    struct str rest = query, pair, encoded;
    unsigned n = 0;
    while (rest.p) {
        rest = str_cut(rest, '&', &pair);
        if (!head_form_is(pair, s->name, &encoded))
            continue;
        if (n++ > 0 || !head_form_decode(encoded, room, cap, value))
            return PLACE_TWICE;
    }
    return n == 0 ? PLACE_NONE : PLACE_ONE;
}

static bool names_one(struct str pair, const struct model_value_source *const *list, unsigned n) {
    struct str encoded;
    for (unsigned i = 0; i < n; i++)
        if (list[i]->from == MODEL_FROM_QUERY && head_form_is(pair, list[i]->name, &encoded))
            return true;
    return false;
}

unsigned place_other_query(struct str query, const struct model_value_source *const *without,
                           unsigned n, struct out *o) {
    struct str rest = query, pair;
    unsigned left_out = 0, kept = 0;
    while (rest.p) {
        rest = str_cut(rest, '&', &pair);
        if (names_one(pair, without, n)) {
            left_out++;
            continue;
        }
        if (kept++ > 0)
            out_char(o, '&');
        out_str(o, pair);
    }
    return left_out;
}

enum place place_read(const struct model_value_source *s, const struct head *h, struct str query,
                      char *room, size_t cap, struct str *value) {
    switch (s->from) {
    case MODEL_FROM_HEADER:
        return read_header(s, h, value);
    case MODEL_FROM_COOKIE:
        return place_cookie(h, s->name, value);
    case MODEL_FROM_QUERY:
        return read_query(s, query, room, cap, value);
    default:
        return PLACE_NONE;
    }
}
