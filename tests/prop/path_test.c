/* SPDX-License-Identifier: Apache-2.0
 *
 * S30: random spellings of paths, made of what parsers disagree on. The canonical path is compared
 * with a second opinion that is written in another way (every step of RFC 3986 on its own), and
 * read as backends read it that decode once or until nothing is left, cut parameters off, or take a
 * backslash for a slash: none of them may find a dot segment, and one that decodes finds the same
 * segments.
 */
#include "lib/path.h"

#include "lib/hash.h"
#include "lib/mem.h"
#include "lib/out.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { ROUNDS = 1000000, ROOM = 512 };

static struct prng rng;

static uint32_t below(uint32_t n) { return prng_below(&rng, n); }

/* ---- spellings ---- */

static struct str spelling(char *room) {
    static const char *const pieces[] = {
        "/",     "/",      "/",    "admin", "a",    "b",    ".",       "..",   "%2e",   "%2E",
        "%2f",   "%5c",    "\\",   ";",     ";x=y", ";/",   "%3b",     "%25",  "%252e", "%252f",
        "%00",   "#",      "%",    "%2",    "%zz",  "%61",  "%41",     "%7e",  "%20",   "%25252e",
        "%2525", "%c0%ae", "\x80", "?",     "//",   "/./",  "/../",    "/..;", "/.;/",  "admin/",
        "A",     "~",      "...",  "..%2f", ".%2e", "%2e.", "/%2e%2e", "%5C",  "%255c", "\x01"};
    struct out o = out_fixed(room, ROOM);
    out_char(&o, '/');
    for (uint32_t n = below(8) + 1; n > 0; n--) {
        bool tame = below(3) > 0;
        out_str(&o, str_of(pieces[below(tame ? 9 : ARRAY_LEN(pieces))]));
    }
    return out_done(&o);
}

/* ---- the second opinion ---- */

static int hex(char c) {
    const char *digits = "0123456789abcdef0123456789ABCDEF", *at = c ? strchr(digits, c) : NULL;
    return at ? (int)((at - digits) % 16) : -1;
}

static bool unreserved(int c) { /* RFC 3986 2.3 */
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("-._~", c));
}

/* Escapes of unreserved characters are decoded, others in upper case. False: something that must
 * not stand there. */
static bool unescape(struct str raw, struct out *o) {
    for (size_t i = 0; i < raw.n; i++) {
        unsigned char c = (unsigned char)raw.p[i];
        if (c <= ' ' || c >= 0x7f || strchr("\\#?", c))
            return false;
        if (c != '%') {
            out_char(o, (char)c);
            continue;
        }
        int high = i + 2 < raw.n ? hex(raw.p[i + 1]) : -1, low = high >= 0 ? hex(raw.p[i + 2]) : -1;
        if (low < 0)
            return false;
        int value = 16 * high + low;
        i += 2;
        if (value == 0 || value == '/' || value == '\\')
            return false;
        if (unreserved(value))
            out_char(o, (char)value);
        else
            out_fmt(o, "%%%02X", (unsigned)value);
    }
    return true;
}

/* RFC 3986 5.2.4, by whole segments. False: it goes above the root. */
static bool remove_dots(struct str path, struct out *o) {
    struct str kept[ROOM];
    size_t n = 0;
    bool directory = false;
    for (size_t at = 1; at <= path.n;) {
        size_t end = str_find(path, '/', at);
        struct str s = str_mk(path.p + at, end - at);
        bool one = str_eq(s, STR(".")), two = str_eq(s, STR(".."));
        directory = one || two;
        if (two && n == 0)
            return false;
        if (two)
            n--;
        else if (!one)
            kept[n++] = s;
        at = end + 1;
    }
    for (size_t i = 0; i < n; i++) {
        out_char(o, '/');
        out_str(o, kept[i]);
    }
    if (directory || n == 0)
        out_char(o, '/');
    return true;
}

/* ---- how backends read ---- */

enum reading { ONCE = 1, ALWAYS = 2, CUT = 4, BACKSLASH = 8, SLASH_FIRST = 16, READINGS = 32 };

static struct str decode(struct str s, char *room) {
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        bool escape = s.p[i] == '%' && i + 2 < s.n && hex(s.p[i + 1]) >= 0 && hex(s.p[i + 2]) >= 0;
        room[n++] = escape ? (char)(16 * hex(s.p[i + 1]) + hex(s.p[i + 2])) : s.p[i];
        i += escape ? 2 : 0;
    }
    return str_mk(room, n);
}

static struct str cut(struct str s, char *room) {
    size_t n = 0;
    bool off = false;
    for (size_t i = 0; i < s.n; i++) {
        off = s.p[i] == '/' ? false : off || s.p[i] == ';';
        if (!off)
            room[n++] = s.p[i];
    }
    return str_mk(room, n);
}

static struct str turn_slashes(struct str s, char *room) {
    for (size_t i = 0; i < s.n; i++)
        room[i] = s.p[i] == '\\' ? '/' : s.p[i];
    return str_mk(room, s.n);
}

static struct str read_as(struct str s, unsigned how, char room[2][ROOM]) {
    unsigned turn = 0;
    struct str before;
    do {
        before = s;
        if (how & (ONCE | ALWAYS))
            s = decode(s, room[turn ^= 1]);
    } while ((how & ALWAYS) && !str_eq(before, s));
    if ((how & BACKSLASH) && (how & SLASH_FIRST))
        s = turn_slashes(s, room[turn ^= 1]);
    if (how & CUT)
        s = cut(s, room[turn ^= 1]);
    if ((how & BACKSLASH) && !(how & SLASH_FIRST))
        s = turn_slashes(s, room[turn ^= 1]);
    return s;
}

static bool has_dots(struct str path) {
    for (size_t at = 1; at <= path.n;) {
        size_t end = str_find(path, '/', at);
        struct str s = str_mk(path.p + at, end - at);
        if (str_eq(s, STR(".")) || str_eq(s, STR("..")))
            return true;
        at = end + 1;
    }
    return false;
}

static size_t segments(struct str path) {
    size_t n = 0;
    for (size_t i = 0; i < path.n; i++)
        n += path.p[i] == '/';
    return n;
}

/* ---- the property ---- */

static void say(struct str raw, struct str path) {
    printf("spelling %.*s, canonical %.*s\n", STR_FMT(raw), STR_FMT(path));
}

/* Our own word against that of whoever decodes unreserved characters and removes dots. */
static bool agrees(struct str raw, bool good, struct str path) {
    char clear[ROOM], room[ROOM];
    struct out a = out_fixed(clear, ROOM), b = out_fixed(room, ROOM);
    struct out in_clear = out_fixed((char[ROOM]){0}, ROOM);
    if (!unescape(raw, &a))
        return !good;
    /* Dots are removed where they stand in clear, so on the raw path; then nothing may be left. */
    if (!remove_dots(raw, &b) || !unescape(out_done(&b), &in_clear))
        return !good;
    if (!good)
        return true; /* judged below: some reading must find dots */
    return str_eq(out_done(&in_clear), path);
}

static bool somebody_finds_dots(struct str path) {
    char rooms[2][ROOM];
    for (unsigned how = 0; how < READINGS; how++)
        if (has_dots(read_as(path, how, rooms)))
            return true;
    return false;
}

/* A segment that is no dots in clear, and is read as such by somebody. */
static bool has_disguised_dots(struct str raw) {
    for (size_t at = 0; at < raw.n;) {
        size_t end = str_find(raw, '/', at + 1);
        struct str s = str_mk(raw.p + at, end - at);
        if (!str_eq(s, STR("/.")) && !str_eq(s, STR("/..")) && somebody_finds_dots(s))
            return true;
        at = end;
    }
    return false;
}

static bool refusal_has_a_reason(struct str raw) {
    char room[2][ROOM];
    struct out a = out_fixed(room[0], ROOM), b = out_fixed(room[1], ROOM);
    return !unescape(raw, &a) || !remove_dots(raw, &b) || has_disguised_dots(raw);
}

static void every_reading_is_the_same(void **state) {
    (void)state;
    const char *given = getenv("SEED");
    uint64_t good = 0;
    prng_init(&rng);
    uint64_t seed = given ? strtoull(given, NULL, 10) : prng_next(&rng);
    printf("seed %llu\n", (unsigned long long)seed);
    rng = (struct prng){{seed | 1, hash_mix(seed, 7)}};
    for (int i = 0; i < ROUNDS; i++) {
        char raw_room[ROOM], room[ROOM], again[ROOM], rooms[2][ROOM];
        struct str raw = spelling(raw_room), path = STR_NONE, same;
        bool ok = path_canonicalise(raw, room, &path);
        bool fine = agrees(raw, ok, path) && (!path_is_canonical(raw) || (ok && str_eq(raw, path)));
        if (!ok)
            fine = fine && refusal_has_a_reason(raw);
        if (ok) {
            good++;
            fine = fine && path_is_canonical(path) && path_canonicalise(path, again, &same) &&
                   str_eq(path, same) && !somebody_finds_dots(path);
            fine = fine && segments(read_as(path, ONCE, rooms)) == segments(path);
        }
        if (!fine) {
            say(raw, path);
            fail_msg("round %d: %s", i, ok ? "accepted" : "refused");
        }
    }
    printf("%llu of %d are good\n", (unsigned long long)good, ROUNDS);
    assert_true(good > ROUNDS / 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_reading_is_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
