/* SPDX-License-Identifier: Apache-2.0
 *
 * A small machine over places. Within an object, or a member of a list that is no item, only
 * brackets and quotes are looked at; strings are crossed sixteen bytes at a step.
 *
 *   stream   GAP ──{──► OBJECT ──}──► GAP
 *
 *   list     TOP ──{──► NAME_OR_END ──"──► NAME ──"──► COLON ──:──► VALUE
 *                          ▲                                        │ items: [
 *                          │ ,                                      ├──────────► ITEM_OR_END
 *                       MEMBER_END ◄── , or } ── MEMBER ◄───────────┘               │ {
 *                          │ ▲                                                      ▼
 *                          } └──────────────────── ] ◄───────────── ITEM_END ◄── OBJECT
 *                          ▼
 *                         DONE
 */
#include "controller/kube/split.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum place {
    GAP,
    OBJECT,
    TOP,
    NAME_OR_END,
    NAME_START, /* behind a comma there must be one */
    NAME,
    COLON,
    VALUE,
    MEMBER,
    MEMBER_END,
    ITEM_OR_END,
    ITEM_START,
    ITEM_END,
    DONE,
    BAD,
};

void split_init(struct split *s, enum split_form form, size_t object_max) {
    *s = (struct split){.form = form, .max = object_max};
    s->place = form == SPLIT_STREAM ? GAP : TOP;
    s->held = out_heap(object_max);
    s->rest = out_heap(SPLIT_REST_MAX);
}

void split_fini(struct split *s) {
    out_fini(&s->held);
    out_fini(&s->rest);
}

/* ---- within a value ---- */

/* The first quote or backslash in p..end, or end. */
static const char *string_skip(const char *p, const char *end) {
#ifdef __SSE2__
    const __m128i quote = _mm_set1_epi8('"'), backslash = _mm_set1_epi8('\\');
    for (; end - p >= 16; p += 16) {
        __m128i b = _mm_loadu_si128((const __m128i *)(const void *)p);
        unsigned hit = (unsigned)_mm_movemask_epi8(
            _mm_or_si128(_mm_cmpeq_epi8(b, quote), _mm_cmpeq_epi8(b, backslash)));
        if (hit != 0)
            return p + __builtin_ctz(hit);
    }
#endif
    while (p < end && *p != '"' && *p != '\\')
        p++;
    return p;
}

static const char *string_scan(struct split_scan *scan, const char *p, const char *end) {
    while (p < end) {
        if (scan->escaped) {
            scan->escaped = false;
            p++;
            continue;
        }
        p = string_skip(p, end);
        if (p == end)
            break;
        if (*p++ == '"') {
            scan->quoted = false;
            break;
        }
        scan->escaped = true;
    }
    return p;
}

static bool scan_open(struct split_scan *scan, bool list) {
    if (scan->depth == JSON_DEPTH)
        return false;
    uint64_t bit = 1ULL << (scan->depth % 64), *word = &scan->lists[scan->depth / 64];
    *word = list ? *word | bit : *word & ~bit;
    scan->depth++;
    return true;
}

static bool scan_close(struct split_scan *scan, bool list) {
    scan->depth--;
    return (scan->lists[scan->depth / 64] >> (scan->depth % 64) & 1) == list;
}

enum scanned { SCAN_MORE, SCAN_CLOSED, SCAN_NEXT, SCAN_DEEP, SCAN_CROSSED };

/* Goes on from *at to behind the bracket that closes the value (SCAN_CLOSED); or to the comma or
 * bracket behind a value that stands for itself, which is not taken (SCAN_NEXT); or to end. */
static enum scanned scan_value(struct split_scan *scan, const char **at, const char *end) {
    const char *p = *at;
    enum scanned got = SCAN_MORE;
    while (got == SCAN_MORE) {
        if (scan->quoted)
            p = string_scan(scan, p, end);
        if (p == end)
            break;
        char c = *p++;
        switch (c) {
        case '"':
            scan->quoted = true;
            break;
        case '{':
        case '[':
            got = scan_open(scan, c == '[') ? SCAN_MORE : SCAN_DEEP;
            break;
        case '}':
        case ']':
            if (scan->depth == 0)
                p--, got = SCAN_NEXT;
            else if (!scan_close(scan, c == ']'))
                got = SCAN_CROSSED;
            else if (scan->depth == 0)
                got = SCAN_CLOSED;
            break;
        case ',':
            if (scan->depth == 0)
                p--, got = SCAN_NEXT;
            break;
        default:
            break;
        }
    }
    *at = p;
    return got;
}

/* ---- refusing ---- */

static enum split_got bad(struct split *s, struct why *why, const char *text) {
    s->place = BAD;
    why_field(why, "byte %llu", (unsigned long long)s->seen);
    why_text(why, "%s", text);
    return SPLIT_BAD;
}

static enum split_got unexpected(struct split *s, struct why *why, const char *wanted, char c) {
    struct shown room;
    s->place = BAD;
    why_field(why, "byte %llu", (unsigned long long)s->seen);
    why_text(why, "%s was expected, not %s", wanted, why_show(str_mk(&c, 1), &room));
    return SPLIT_BAD;
}

static enum split_got crossed(struct split *s, struct why *why, enum scanned got) {
    return bad(s, why,
               got == SCAN_DEEP ? "this is nested too deeply"
                                : "a bracket closes what another kind of bracket opened");
}

/* ---- objects ---- */

static void take(struct split *s, struct str *bytes, size_t n) {
    *bytes = str_skip(*bytes, n);
    s->seen += n;
}

static void object_begin(struct split *s) {
    s->place = OBJECT;
    s->size = 0;
    s->held.n = 0;
    s->scan = (struct split_scan){0};
}

static enum split_got object_go_on(struct split *s, struct str *bytes, struct str *object,
                                   struct why *why) {
    const char *from = bytes->p, *p = from;
    size_t room = size_min(bytes->n, s->max - s->size);
    enum scanned got = scan_value(&s->scan, &p, from + room);
    struct str piece = str_mk(from, (size_t)(p - from));
    take(s, bytes, piece.n);
    if (got == SCAN_DEEP || got == SCAN_CROSSED)
        return crossed(s, why, got);
    if (got == SCAN_MORE && bytes->n > 0)
        return bad(s, why, "this object is larger than any that the API server stores");
    s->size += piece.n;
    if (got == SCAN_CLOSED)
        s->place = s->form == SPLIT_STREAM ? GAP : ITEM_END;
    if (got == SCAN_CLOSED && s->held.n == 0) {
        *object = piece;
        return SPLIT_OBJECT;
    }
    out_str(&s->held, piece);
    *object = out_done(&s->held);
    if (got == SCAN_CLOSED)
        s->held.n = 0; /* the bytes stay until the next call */
    return got == SCAN_CLOSED ? SPLIT_OBJECT : SPLIT_MORE;
}

/* ---- a list around its items ---- */

/* One byte that is no white space, in a place where one byte decides. */
static enum split_got step(struct split *s, char c, struct why *why) {
    switch ((enum place)s->place) {
    case TOP:
        if (c != '{')
            return unexpected(s, why, "a list, which begins with {,", c);
        out_char(&s->rest, c);
        s->place = NAME_OR_END;
        break;
    case NAME_OR_END:
    case NAME_START:
        if (c == '}' && s->place == NAME_OR_END) {
            out_char(&s->rest, c);
            s->place = DONE;
            break;
        }
        if (c != '"')
            return unexpected(s, why, "the name of a field", c);
        s->name = s->rest.n;
        if (s->rest.n > 1)
            out_char(&s->rest, ',');
        out_char(&s->rest, c);
        s->place = NAME;
        break;
    case COLON:
        if (c != ':')
            return unexpected(s, why, "a colon", c);
        out_char(&s->rest, c);
        s->place = VALUE;
        break;
    case MEMBER_END:
        if (c != ',' && c != '}')
            return unexpected(s, why, "a comma or }", c);
        if (c == '}')
            out_char(&s->rest, c);
        s->place = c == ',' ? NAME_START : DONE;
        break;
    case ITEM_OR_END:
    case ITEM_END:
        if (c == ']') {
            s->place = MEMBER_END;
            break;
        }
        if (s->place == ITEM_OR_END)
            return unexpected(s, why, "an object or ]", c);
        if (c != ',')
            return unexpected(s, why, "a comma or ]", c);
        s->place = ITEM_START;
        break;
    case ITEM_START:
        return unexpected(s, why, "an object", c);
    case DONE:
        return unexpected(s, why, "nothing more", c);
    default:
        must(!"a place for one byte");
    }
    return SPLIT_MORE;
}

/* The rest of a name, up to its closing quote. */
static enum split_got name_go_on(struct split *s, struct str *bytes, struct why *why) {
    const char *end = string_skip(bytes->p, bytes->p + bytes->n);
    size_t n = (size_t)(end - bytes->p);
    bool whole = n < bytes->n;
    if (whole && *end == '\\') {
        take(s, bytes, n);
        return bad(s, why, "a backslash in the name of a list's field");
    }
    out_bytes(&s->rest, bytes->p, n + whole);
    take(s, bytes, n + whole);
    if (whole)
        s->place = COLON;
    return SPLIT_MORE;
}

/* At the first byte of a member's value: are these the items? */
static enum split_got value_begin(struct split *s, char c, struct str *bytes, struct why *why) {
    struct str member = str_skip(out_done(&s->rest), s->name + (s->name > 1));
    if (s->rest.over || !str_eq(member, STR("\"items\":")) || c == 'n') {
        s->scan = (struct split_scan){0};
        s->place = MEMBER;
        return SPLIT_MORE;
    }
    if (s->items)
        return bad(s, why, "a second \"items\"");
    if (c != '[')
        return unexpected(s, why, "the list of items", c);
    s->items = true;
    s->rest.n = s->name;
    s->place = ITEM_OR_END;
    take(s, bytes, 1);
    return SPLIT_MORE;
}

static enum split_got member_go_on(struct split *s, struct str *bytes, struct why *why) {
    const char *p = bytes->p;
    enum scanned got = scan_value(&s->scan, &p, bytes->p + bytes->n);
    size_t n = (size_t)(p - bytes->p);
    out_bytes(&s->rest, bytes->p, n);
    take(s, bytes, n);
    if (got == SCAN_DEEP || got == SCAN_CROSSED)
        return crossed(s, why, got);
    if (got != SCAN_MORE)
        s->place = MEMBER_END;
    return SPLIT_MORE;
}

/* ---- the machine ---- */

static bool is_space(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

static enum split_got go_on(struct split *s, struct str *bytes, struct str *object,
                            struct why *why) {
    if (s->place == OBJECT)
        return object_go_on(s, bytes, object, why);
    if (s->place == NAME)
        return name_go_on(s, bytes, why);
    if (s->place == MEMBER)
        return member_go_on(s, bytes, why);
    char c = bytes->p[0];
    if (is_space(c)) {
        take(s, bytes, 1);
        return SPLIT_MORE;
    }
    if (s->place == VALUE)
        return value_begin(s, c, bytes, why);
    if (s->place == GAP && c != '{')
        return unexpected(s, why, "an object", c);
    if (c == '{' && (s->place == GAP || s->place == ITEM_OR_END || s->place == ITEM_START)) {
        object_begin(s);
        return SPLIT_MORE;
    }
    enum split_got got = step(s, c, why);
    if (got != SPLIT_BAD)
        take(s, bytes, 1);
    return got;
}

enum split_got split_next(struct split *s, struct str *bytes, struct str *object, struct why *why) {
    if (s->place == BAD)
        return bad(s, why, "this was already found to be no JSON");
    while (bytes->n > 0) {
        enum split_got got = go_on(s, bytes, object, why);
        if (got != SPLIT_MORE)
            return got;
        if (s->rest.over)
            return bad(s, why, "this list is too large, its items left out");
    }
    return SPLIT_MORE;
}

int split_end(struct split *s, struct str *rest, struct why *why) {
    *rest = STR_NONE;
    if (s->place == BAD)
        return bad(s, why, "this was already found to be no JSON"), -1;
    if (s->place != (s->form == SPLIT_STREAM ? GAP : DONE))
        return bad(s, why, "the text ends too early"), -1;
    *rest = out_done(&s->rest);
    return 0;
}
