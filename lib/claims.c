/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/claims.h"

#include "lib/chars.h"
#include "lib/hash.h"
#include "lib/mem.h"

/* ---- reading ---- */

/* A NUL stands at the end of the text, and is wrong wherever it is met: so nothing here asks
 * whether the text ends. */
struct reader {
    char *text, *at, *end;
    struct claim *nodes;
    size_t n, max;
    uint16_t name, n_name; /* of the next value */
    uint8_t tag;
    unsigned depth;
    uint16_t open[CLAIMS_DEPTH];    /* nodes that are not closed */
    uint16_t members[CLAIMS_DEPTH]; /* of them */
    const char *fault;
};

static bool fail(struct reader *r, const char *fault) {
    r->fault = fault;
    return false;
}
static bool not_json(struct reader *r) { return fail(r, "this is not JSON"); }

static void space(struct reader *r) {
    while (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r')
        r->at++;
}

static struct claim *add(struct reader *r, enum claim_kind kind) {
    if (r->n == r->max) {
        fail(r, "there are too many values");
        return NULL;
    }
    struct claim *one = &r->nodes[r->n++];
    *one = (struct claim){.name = r->name,
                          .n_name = r->n_name,
                          .tag = r->tag,
                          .at = (uint16_t)(r->at - r->text),
                          .end = (uint16_t)r->n,
                          .kind = (uint8_t)kind};
    return one;
}

static bool hex4(const char *p, unsigned *v) {
    *v = 0;
    for (int i = 0; i < 4; i++) {
        if (!char_is(p[i], CHAR_HEX))
            return false;
        *v = *v << 4 | char_hex(p[i]);
    }
    return true;
}

static char *put_utf8(char *to, unsigned v) {
    if (v < 0x80) {
        *to++ = (char)v;
        return to;
    }
    if (v < 0x800) {
        *to++ = (char)(0xc0 | v >> 6);
    } else {
        if (v < 0x10000) {
            *to++ = (char)(0xe0 | v >> 12);
        } else {
            *to++ = (char)(0xf0 | v >> 18);
            *to++ = (char)(0x80 | (v >> 12 & 63));
        }
        *to++ = (char)(0x80 | (v >> 6 & 63));
    }
    *to++ = (char)(0x80 | (v & 63));
    return to;
}

/* Behind "\u". */
static bool code_point(struct reader *r, char **to) {
    unsigned v, low;
    if (!hex4(r->at, &v))
        return not_json(r);
    r->at += 4;
    if (v == 0)
        return fail(r, "\\u0000 is not allowed");
    if (v >= 0xd800 && v < 0xe000) {
        if (v >= 0xdc00 || r->at[0] != '\\' || r->at[1] != 'u' || !hex4(r->at + 2, &low) ||
            low < 0xdc00 || low >= 0xe000)
            return fail(r, "half a character (a lone surrogate) is not allowed");
        r->at += 6;
        v = 0x10000 + ((v - 0xd800) << 10) + (low - 0xdc00);
    }
    *to = put_utf8(*to, v);
    return true;
}

static bool escape(struct reader *r, char **to) {
    static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
    char c = *++r->at;
    if (c == 'u') {
        r->at++;
        return code_point(r, to);
    }
    const char *which = c ? strchr(from, c) : NULL;
    if (!which)
        return not_json(r);
    *(*to)++ = into[which - from];
    r->at++;
    return true;
}

static bool is_plain(char c) {
    return c >= 0x20 && (unsigned char)c < 0x80 && c != '"' && c != '\\';
}

/* From behind the opening quote to behind the closing one; unescaped to where it stands, which is
 * never longer. */
static bool quoted(struct reader *r, uint16_t *at, uint16_t *n) {
    char *start = ++r->at, *to;
    while (is_plain(*r->at))
        r->at++;
    for (to = r->at; *r->at != '"';) {
        size_t len = 1;
        if (*r->at == '\\') {
            if (!escape(r, &to))
                return false;
            continue;
        }
        if ((unsigned char)*r->at < 0x20)
            return not_json(r);
        if ((unsigned char)*r->at >= 0x80)
            len = str_utf8(str_mk(r->at, (size_t)(r->end - r->at)));
        if (len == 0)
            return fail(r, "this is not UTF-8");
        for (; len > 0; len--)
            *to++ = *r->at++;
    }
    r->at++;
    *at = (uint16_t)(start - r->text);
    *n = (uint16_t)(to - start);
    return true;
}

static bool text(struct reader *r) {
    struct claim *one = add(r, CLAIM_TEXT);
    return one && quoted(r, &one->at, &one->n);
}

static bool digits(struct reader *r) {
    if (*r->at < '0' || *r->at > '9')
        return false;
    while (*r->at >= '0' && *r->at <= '9')
        r->at++;
    return true;
}

static bool number(struct reader *r) {
    struct claim *one = add(r, CLAIM_NUMBER);
    char *start = r->at;
    if (!one)
        return false;
    r->at += *r->at == '-';
    bool zero = *r->at == '0';
    char *first = r->at;
    if (!digits(r) || (zero && r->at != first + 1))
        return not_json(r);
    if (*r->at == '.') {
        r->at++;
        if (!digits(r))
            return not_json(r);
    }
    if (*r->at == 'e' || *r->at == 'E') {
        r->at++;
        r->at += *r->at == '+' || *r->at == '-';
        if (!digits(r))
            return not_json(r);
    }
    one->n = (uint16_t)(r->at - start);
    return true;
}

static bool word(struct reader *r, struct str is, enum claim_kind kind) {
    if (!str_starts(str_mk(r->at, (size_t)(r->end - r->at)), is))
        return not_json(r);
    struct claim *one = add(r, kind);
    if (!one)
        return false;
    one->n = (uint16_t)is.n;
    r->at += is.n;
    return true;
}

static bool opening(struct reader *r, enum claim_kind kind) {
    if (r->depth == CLAIMS_DEPTH)
        return fail(r, "this is nested too deeply");
    struct claim *one = add(r, kind);
    if (!one)
        return false;
    r->at++;
    r->members[r->depth] = 0;
    r->open[r->depth++] = (uint16_t)(one - r->nodes);
    return true;
}

static bool value(struct reader *r) {
    space(r);
    switch (*r->at) {
    case '"':
        return text(r);
    case '{':
        return opening(r, CLAIM_OBJECT);
    case '[':
        return opening(r, CLAIM_LIST);
    case 't':
        return word(r, STR("true"), CLAIM_TRUE);
    case 'f':
        return word(r, STR("false"), CLAIM_FALSE);
    case 'n':
        return word(r, STR("null"), CLAIM_NULL);
    default:
        return number(r);
    }
}

static struct claim *innermost(const struct reader *r) { return &r->nodes[r->open[r->depth - 1]]; }

/* The tag spares most comparisons: 8 kB that are made to cost much cost a third of what they did.
 */
static bool is_new(struct reader *r) {
    const char *name = r->text + r->name;
    r->tag = (uint8_t)hash_keyed(str_mk(name, r->n_name));
    for (size_t i = r->open[r->depth - 1] + 1U; i < r->n; i = r->nodes[i].end)
        if (r->nodes[i].tag == r->tag && r->nodes[i].n_name == r->n_name &&
            memcmp(r->text + r->nodes[i].name, name, r->n_name) == 0)
            return false;
    return true;
}

/* In an object, the name and colon of the next value. */
static bool name(struct reader *r) {
    r->name = r->n_name = r->tag = 0;
    if (r->depth == 0 || innermost(r)->kind != CLAIM_OBJECT)
        return true;
    space(r);
    if (*r->at != '"')
        return not_json(r);
    if (!quoted(r, &r->name, &r->n_name))
        return false;
    if (++r->members[r->depth - 1] > CLAIMS_MEMBERS)
        return fail(r, "an object has too many members");
    if (!is_new(r))
        return fail(r, "a name is there twice in one object");
    space(r);
    if (*r->at != ':')
        return not_json(r);
    r->at++;
    return true;
}

static bool closes(const struct reader *r) {
    return *r->at == (innermost(r)->kind == CLAIM_OBJECT ? '}' : ']');
}

static bool read_all(struct reader *r) {
    for (;;) {
        unsigned outside = r->depth;
        if (!name(r) || !value(r))
            return false;
        space(r);
        if (r->depth > outside && !closes(r))
            continue;
        while (r->depth > 0 && closes(r)) {
            innermost(r)->end = (uint16_t)r->n;
            r->depth--;
            r->at++;
            space(r);
        }
        if (r->depth == 0)
            return r->at == r->end || not_json(r);
        if (*r->at != ',')
            return not_json(r);
        r->at++;
    }
}

int claims_read(struct claims *c, char *bytes, size_t n, struct claim *nodes, size_t n_nodes,
                struct why *why) {
    struct reader r;
    if (n > CLAIMS_TEXT_MAX)
        return why_text(why, "%zu bytes, more than %d", n, CLAIMS_TEXT_MAX);
    r.text = r.at = bytes;
    r.end = bytes + n;
    r.nodes = nodes;
    r.n = 0;
    r.max = size_min(n_nodes, UINT16_MAX);
    r.depth = 0;
    r.fault = NULL;
    bytes[n] = 0;
    if (!read_all(&r))
        return why_text(why, "%s, at byte %zu", r.fault, (size_t)(r.at - r.text));
    if (nodes[0].kind != CLAIM_OBJECT)
        return why_text(why, "it is no object");
    *c = (struct claims){bytes, nodes, (uint16_t)n, (uint16_t)r.n};
    return 0;
}

struct claims *claims_copy(const struct claims *c) {
    size_t nodes = sizeof(struct claim) * c->n_nodes;
    struct claims *copy = mem_try(sizeof(*copy) + nodes + c->n_text);
    if (!copy)
        return NULL;
    char *room = (char *)(copy + 1);
    memcpy(room, c->nodes, nodes);
    memcpy(room + nodes, c->text, c->n_text);
    *copy = (struct claims){room + nodes, (const struct claim *)(const void *)room, c->n_text,
                            c->n_nodes};
    return copy;
}

/* ---- one claim ---- */

static const struct claim *end_of(const struct claims *c, const struct claim *one) {
    return c->nodes + one->end;
}

static const struct claim *member(const struct claims *c, const struct claim *object,
                                  struct str wanted) {
    if (object->kind != CLAIM_OBJECT)
        return NULL;
    for (const struct claim *i = object + 1; i < end_of(c, object); i = end_of(c, i))
        if (str_eq(claim_name(c, i), wanted))
            return i->kind == CLAIM_NULL ? NULL : i;
    return NULL;
}

const struct claim *claims_get(const struct claims *c, const struct str *path, size_t n_path) {
    const struct claim *at = c->nodes;
    for (size_t i = 0; at && i < n_path; i++)
        at = member(c, at, path[i]);
    return at;
}

const struct claim *claims_named(const struct claims *c, const char *wanted) {
    return member(c, c->nodes, str_of(wanted));
}

struct str claim_name(const struct claims *c, const struct claim *one) {
    return str_mk(c->text + one->name, one->n_name);
}

struct str claim_text(const struct claims *c, const struct claim *one) {
    if (!one || one->kind == CLAIM_NULL || one->kind > CLAIM_TEXT)
        return STR_NONE;
    return str_mk(c->text + one->at, one->n);
}

void claim_json(const struct claims *c, const struct claim *one, struct out *to) {
    if (one->kind == CLAIM_TEXT) {
        out_json(to, claim_text(c, one));
        return;
    }
    if (one->kind < CLAIM_TEXT) {
        out_bytes(to, c->text + one->at, one->n);
        return;
    }
    out_char(to, one->kind == CLAIM_OBJECT ? '{' : '[');
    for (const struct claim *i = one + 1; i < end_of(c, one); i = end_of(c, i)) {
        if (i > one + 1)
            out_char(to, ',');
        if (one->kind == CLAIM_OBJECT) {
            out_json(to, claim_name(c, i));
            out_char(to, ':');
        }
        claim_json(c, i, to); /* at most CLAIMS_DEPTH deep */
    }
    out_char(to, one->kind == CLAIM_OBJECT ? '}' : ']');
}

/* ---- several values ---- */

struct claim_words claim_words(const struct claims *c, const struct claim *one) {
    struct claim_words w = {.c = c};
    if (one && one->kind == CLAIM_TEXT)
        w.rest = claim_text(c, one);
    if (one && one->kind == CLAIM_LIST) {
        w.at = one + 1;
        w.end = end_of(c, one);
    }
    return w;
}

/* The next word, by spaces; false: no more. */
static bool next_word(struct str *rest, struct str *next) {
    while (rest->n > 0) {
        *rest = str_cut(*rest, ' ', next);
        if (next->n > 0)
            return true;
    }
    return false;
}

bool claim_next(struct claim_words *w, struct str *next) {
    for (; w->at < w->end; w->at = end_of(w->c, w->at)) {
        *next = claim_text(w->c, w->at);
        if (next->p) {
            w->at = end_of(w->c, w->at);
            return true;
        }
    }
    return next_word(&w->rest, next);
}

/* ---- what a claim must be ---- */

struct claim_match {
    const struct str *path, *values;
    size_t n_path, n_values;
    enum claim_how how;
    struct regex *patterns[]; /* as many as values, of CLAIM_PATTERN */
};

struct claim_match *claim_match_new(const struct str *path, size_t n_path, enum claim_how how,
                                    const struct str *values, size_t n_values, struct why *why) {
    size_t patterns = how == CLAIM_PATTERN ? n_values : 0;
    struct claim_match *m = mem_zalloc(sizeof(*m) + patterns * sizeof(m->patterns[0]));
    m->path = path;
    m->n_path = n_path;
    m->how = how;
    m->values = values;
    m->n_values = n_values;
    for (size_t i = 0; i < patterns; i++) {
        m->patterns[i] = regex_new(values[i], why);
        if (!m->patterns[i]) {
            claim_match_free(m);
            return NULL;
        }
    }
    return m;
}

void claim_match_free(struct claim_match *m) {
    if (!m)
        return;
    for (size_t i = 0; m->how == CLAIM_PATTERN && i < m->n_values; i++)
        regex_free(m->patterns[i]);
    mem_free(m);
}

static bool is_one_of(const struct claim_match *m, struct str s) {
    for (size_t i = 0; i < m->n_values; i++)
        if (str_eq(m->values[i], s))
            return true;
    return false;
}

static bool has_word(const struct claim_match *m, struct str s) {
    struct str one;
    while (next_word(&s, &one))
        if (is_one_of(m, one))
            return true;
    return false;
}

static bool text_matches(const struct claim_match *m, struct str s, struct regex_scratch *scratch) {
    if (m->how != CLAIM_PATTERN)
        return m->how == CLAIM_HAS ? has_word(m, s) : is_one_of(m, s);
    for (size_t i = 0; i < m->n_values; i++)
        if (regex_match(m->patterns[i], s, scratch))
            return true;
    return false;
}

bool claim_matches(const struct claim_match *m, const struct claims *c,
                   struct regex_scratch *scratch) {
    const struct claim *one = claims_get(c, m->path, m->n_path);
    if (!one || m->n_values == 0)
        return one != NULL;
    if (one->kind != CLAIM_LIST) {
        struct str s = claim_text(c, one);
        return s.p && text_matches(m, s, scratch);
    }
    struct claim_words w = claim_words(c, one);
    for (struct str s; claim_next(&w, &s);)
        if (text_matches(m, s, scratch))
            return true;
    return false;
}
