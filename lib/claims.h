/* SPDX-License-Identifier: Apache-2.0
 *
 * claims: what a token says, or an answer about one: a JSON object, read once and looked at often.
 *
 *     {"sub":"joe","realm_access":{"roles":["admin","dev"]},"exp":1800003600}
 *
 *     nodes   0 {}          1 sub   2 realm_access {}   3 roles []   4 "admin"  5 "dev"  6 exp
 *             └ end 7               └ end 6             └ end 6
 *     text    the bytes themselves: strings are unescaped where they stand
 *
 * A node is 12 bytes; `end` is the first node behind it and all that is in it. There is no
 * allocation: text and nodes are in the caller's room. (The token of tests/tools/jwt_cost.c costs
 * cJSON 29,000 instructions, and this a quarter of it.)
 *
 * Strict: RFC 8259, UTF-8, no NUL, no name twice in one object at any depth (which of two would
 * count is a matter of the reader). Claims never change: any thread may look.
 */
#ifndef SLUICE_LIB_CLAIMS_H
#define SLUICE_LIB_CLAIMS_H

#include "lib/regex.h"
#include "lib/why.h"

enum {
    CLAIMS_TEXT_MAX = 65535, /* bytes */
    CLAIMS_DEPTH = 32,       /* of nesting */
    CLAIMS_MEMBERS = 128,    /* of one object */
};

enum claim_kind {
    CLAIM_NULL,
    CLAIM_FALSE,
    CLAIM_TRUE,
    CLAIM_NUMBER,
    CLAIM_TEXT,
    CLAIM_LIST,
    CLAIM_OBJECT,
};

struct claim {
    uint16_t name, n_name; /* where in the text; of a member of an object */
    uint16_t at, n;        /* text unescaped; a number, true, false, null as JSON writes it */
    uint16_t end;
    uint8_t kind; /* enum claim_kind */
    uint8_t tag;  /* of the name, while it is read */
};

struct claims {
    const char *text;
    const struct claim *nodes; /* nodes[0] is the object itself */
    uint16_t n_text, n_nodes;
};

/* Reads an object of n bytes; text[n] must be there too, and is overwritten. Borrows text and
 * nodes. -1 with *why, which holds nothing of the text. */
int claims_read(struct claims *c, char *text, size_t n, struct claim *nodes, size_t n_nodes,
                struct why *why) MUST_USE;
/* A copy in one piece of memory, to be kept; mem_free() it. NULL: there is no memory. */
struct claims *claims_copy(const struct claims *c);

/* ---- one claim ---- */

/* By names from the outside in. NULL: there is none, or it is null. */
const struct claim *claims_get(const struct claims *c, const struct str *path, size_t n_path);
const struct claim *claims_named(const struct claims *c, const char *name); /* the outermost */

struct str claim_name(const struct claims *c, const struct claim *one);
/* Of text, number, true and false; STR_NONE of the others, and of NULL. */
struct str claim_text(const struct claims *c, const struct claim *one);
/* As JSON; numbers as they were written. */
void claim_json(const struct claims *c, const struct claim *one, struct out *to);

/* ---- several values in one claim ---- */

/* Elements of a list as they are (those that are text, number, true or false), or the words of a
 * text, which spaces divide (RFC 6749 3.3):
 *
 *     for (struct claim_words w = claim_words(c, one); claim_next(&w, &word);) ... */
struct claim_words {
    const struct claims *c;
    struct str rest;              /* of a text */
    const struct claim *at, *end; /* of a list */
};
struct claim_words claim_words(const struct claims *c, const struct claim *one);
bool claim_next(struct claim_words *w, struct str *value);

/* ---- what a claim must be ---- */

enum claim_how {
    CLAIM_EQUALS,  /* the claim, or one element of it if it is a list, equals one of the values */
    CLAIM_HAS,     /* one word of it does, or of an element */
    CLAIM_PATTERN, /* one of the values, regular expressions, matches the whole of it, or of one */
};

struct claim_match;

/* Borrows path and values. Without values: the claim must be there, whatever it is. Numbers, true
 * and false are compared as JSON writes them. NULL with *why: a pattern is wrong. */
struct claim_match *claim_match_new(const struct str *path, size_t n_path, enum claim_how how,
                                    const struct str *values, size_t n_values, struct why *why);
void claim_match_free(struct claim_match *m); /* NULL is fine */
/* scratch: of the thread; NULL will do unless how is CLAIM_PATTERN. */
bool claim_matches(const struct claim_match *m, const struct claims *c,
                   struct regex_scratch *scratch);

#endif
