/* SPDX-License-Identifier: Apache-2.0 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "lib/regex.h"

#include "lib/mem.h"

#include <pcre2.h>

enum {
    STEPS_MAX = 20000,     /* backtracking steps of one match: about a millisecond */
    HEAP_KIB_MAX = 256,    /* of the interpreter, where there is no machine code */
    STACK_MIN = 32 * 1024, /* of the machine code */
    STACK_MAX = 128 * 1024,
};

struct regex {
    pcre2_code *code;
};

struct regex_scratch {
    pcre2_match_data *data;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
    uint64_t limit_hits;
};

/* NEVER_*: a pattern may not switch on UTF-8, whose checks fail on arbitrary bytes, nor \C. */
enum {
    OPTIONS = PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_UTF |
              PCRE2_NEVER_UCP | PCRE2_NEVER_BACKSLASH_C
};

struct regex *regex_new(struct str pattern, struct why *why) {
    struct shown shown;
    if (pattern.n > REGEX_MAX) {
        why_text(why, "the regular expression has %zu bytes; at most %d are allowed", pattern.n,
                 REGEX_MAX);
        return NULL;
    }
    int error;
    PCRE2_SIZE at;
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)(pattern.p ? pattern.p : ""), pattern.n, OPTIONS,
                                     &error, &at, NULL);
    if (!code) {
        char text[160] = "";
        pcre2_get_error_message(error, (PCRE2_UCHAR *)text, sizeof(text));
        why_text(why, "%s is not a regular expression: %s at byte %zu", why_show(pattern, &shown),
                 text, (size_t)at);
        return NULL;
    }
    /* Fails where memory may not be made executable; the interpreter does the work then. */
    pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
    struct regex *re = mem_alloc(sizeof(*re));
    re->code = code;
    return re;
}

void regex_free(struct regex *re) {
    if (!re)
        return;
    pcre2_code_free(re->code);
    mem_free(re);
}

struct regex_scratch *regex_scratch_new(void) {
    struct regex_scratch *s = mem_zalloc(sizeof(*s));
    s->data = pcre2_match_data_create(1, NULL);
    s->context = pcre2_match_context_create(NULL);
    must(s->data && s->context);
    pcre2_set_match_limit(s->context, STEPS_MAX);
    pcre2_set_heap_limit(s->context, HEAP_KIB_MAX);
    s->stack = pcre2_jit_stack_create(STACK_MIN, STACK_MAX, NULL); /* NULL without JIT support */
    if (s->stack)
        pcre2_jit_stack_assign(s->context, NULL, s->stack);
    return s;
}

void regex_scratch_free(struct regex_scratch *s) {
    if (!s)
        return;
    pcre2_jit_stack_free(s->stack);
    pcre2_match_context_free(s->context);
    pcre2_match_data_free(s->data);
    mem_free(s);
}

uint64_t regex_limit_hits(const struct regex_scratch *s) { return s->limit_hits; }

bool regex_match(const struct regex *re, struct str value, struct regex_scratch *s) {
    int got = pcre2_match(re->code, (PCRE2_SPTR)(value.p ? value.p : ""), value.n, 0, 0, s->data,
                          s->context);
    if (got < 0 && got != PCRE2_ERROR_NOMATCH)
        s->limit_hits++;
    return got >= 0;
}
