/* SPDX-License-Identifier: Apache-2.0
 *
 * sfv: Structured Field Values for HTTP (RFC 9651, which has all of RFC 8941): lists, dictionaries
 * and items, read in place and written again.
 *
 *     sig1=("@method" "date";x);created=1618884473;tag="a"  ,  other=?0
 *     └key └inner list          └ parameters of the member      └ the next member
 *
 * Nothing is allocated: a value is a view of the text. What the algorithms of RFC 9651 4.2 refuse
 * is refused; where they leave a choice, the stricter one is taken: base64 has its padding and no
 * bits left over. Sizes are bounded by what every implementation must bear, so a field costs time
 * in proportion to its length.
 *
 *     struct sfv at;                                    one field whose lines are joined by ", "
 *     sfv_begin(&at, text);
 *     while ((step = sfv_dictionary(&at, &key, &value)) == SFV_ONE)
 *         ...
 *     if (step == SFV_BAD) forget all of it             a field is right as a whole, or not at all
 *
 * A value that was handed out is right with all that is in it: inner lists and parameters cannot
 * fail any more. No state, any thread.
 */
#ifndef SLUICE_LIB_SFV_H
#define SLUICE_LIB_SFV_H

#include "lib/out.h"

enum {
    SFV_MEMBERS_MAX = 1024, /* of a list or dictionary */
    SFV_INNER_MAX = 256,    /* items of an inner list */
    SFV_PARAMS_MAX = 256,   /* of one value */
    SFV_KEY_MAX = 64,       /* bytes */
    SFV_STRING_MAX = 1024,  /* characters; of a display string bytes, when it is decoded */
    SFV_TOKEN_MAX = 512,
    SFV_BYTES_MAX = 16384, /* when they are decoded */
};

enum sfv_type {
    SFV_INTEGER,
    SFV_DECIMAL,
    SFV_STRING,
    SFV_TOKEN,
    SFV_BYTES,
    SFV_BOOLEAN,
    SFV_DATE,    /* RFC 9651 only */
    SFV_DISPLAY, /* likewise */
    SFV_INNER,   /* an inner list */
};

struct sfv_value {
    enum sfv_type type;
    int64_t number;    /* INTEGER, DATE (seconds), BOOLEAN (0 or 1); of a DECIMAL thousandths */
    struct str text;   /* of the rest what stands between the delimiters, as it came; TOKEN: all */
    struct str params; /* ";a=1;b", as it came; n == 0: none, and p is where the value ends */
};

enum sfv_step {
    SFV_END, /* there is no more, and all of it was right */
    SFV_ONE,
    SFV_BAD,
};

struct sfv { /* where a reader stands */
    struct str left;
    unsigned n; /* members so far */
};

static inline void sfv_begin(struct sfv *at, struct str text) { *at = (struct sfv){text, 0}; }

/* The next member. A key may come again; its last value is the one that counts. */
enum sfv_step sfv_dictionary(struct sfv *at, struct str *key, struct sfv_value *value);
enum sfv_step sfv_list(struct sfv *at, struct sfv_value *value);
/* A field that is one item. False: it is not. */
bool sfv_item(struct str text, struct sfv_value *value) MUST_USE;

/* What is in a value: sfv_begin(&at, value.text) and sfv_begin(&at, value.params). */
enum sfv_step sfv_inner(struct sfv *at, struct sfv_value *item);
enum sfv_step sfv_param(struct sfv *at, struct str *key, struct sfv_value *value);

/* The value of a key, its last one, when the whole dictionary is right. SFV_END: it has none. */
enum sfv_step sfv_dictionary_get(struct str text, struct str key, struct sfv_value *value);
bool sfv_param_get(const struct sfv_value *of, struct str key, struct sfv_value *value);

/* What a STRING, TOKEN, DISPLAY or BYTES stands for. */
void sfv_text(const struct sfv_value *v, struct out *o);

/* In the one canonical form (RFC 9651 4.1): with parameters, each key once. Of a list or dictionary
 * the caller writes ", " and `key=` between; sfv_write_member() does the latter, and leaves out
 * what is implied by true. Time grows with the square of the number of parameters. */
void sfv_write(struct out *o, const struct sfv_value *v);
void sfv_write_member(struct out *o, struct str key, const struct sfv_value *v);
/* A string of visible ASCII and spaces, in quotes; other bytes set o->over. */
void sfv_write_string(struct out *o, struct str s);

#endif
