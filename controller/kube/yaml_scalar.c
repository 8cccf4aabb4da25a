/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/kube/yaml_scalar.h"

#include <math.h>
#include <stdlib.h>

static bool is_one_of(struct str s, const char *const *words) {
    for (size_t i = 0; words[i]; i++)
        if (str_eq(s, str_of(words[i])))
            return true;
    return false;
}

static size_t digits(struct str s, size_t from) {
    size_t n = 0;
    while (from + n < s.n && s.p[from + n] >= '0' && s.p[from + n] <= '9')
        n++;
    return n;
}

/* [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )? */
static bool is_decimal(struct str s) {
    size_t i = s.n > 0 && (s.p[0] == '-' || s.p[0] == '+') ? 1 : 0;
    size_t before = digits(s, i), behind = 0;
    i += before;
    if (i < s.n && s.p[i] == '.') {
        behind = digits(s, i + 1);
        i += 1 + behind;
    }
    if (before + behind == 0)
        return false;
    if (i < s.n && (s.p[i] == 'e' || s.p[i] == 'E')) {
        i++;
        if (i < s.n && (s.p[i] == '-' || s.p[i] == '+'))
            i++;
        size_t exponent = digits(s, i);
        if (exponent == 0)
            return false;
        i += exponent;
    }
    return i == s.n;
}

/* 0o17, 0xff */
static bool is_other_base(struct str s, double *number) {
    unsigned base = str_starts(s, STR("0o")) ? 8 : str_starts(s, STR("0x")) ? 16 : 0;
    if (base == 0 || s.n == 2)
        return false;
    *number = 0;
    for (size_t i = 2; i < s.n; i++) {
        char c = char_lower(s.p[i]);
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                                                : 16;
        if (digit >= base)
            return false;
        *number = *number * base + digit;
    }
    return true;
}

enum yaml_scalar yaml_scalar(struct str text, double *number) {
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const trues[] = {"true", "True", "TRUE", NULL};
    static const char *const falses[] = {"false", "False", "FALSE", NULL};
    static const char *const infinite[] = {".inf",  ".Inf",  ".INF",  "-.inf", "-.Inf",
                                           "-.INF", "+.inf", "+.Inf", "+.INF", ".nan",
                                           ".NaN",  ".NAN",  NULL};
    if (is_one_of(text, nulls))
        return YAML_NULL;
    if (is_one_of(text, trues))
        return YAML_TRUE;
    if (is_one_of(text, falses))
        return YAML_FALSE;
    if (is_one_of(text, infinite))
        return YAML_NOT_FINITE;
    if (is_decimal(text))
        *number = strtod(text.p, NULL);
    else if (!is_other_base(text, number))
        return YAML_STRING;
    return isfinite(*number) ? YAML_NUMBER : YAML_NOT_FINITE;
}
