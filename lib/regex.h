/* SPDX-License-Identifier: Apache-2.0
 *
 * regex: regular expressions (PCRE2, bytes, compiled to machine code where the machine allows it)
 * that must match a whole value. The controller compiles a pattern to say whether it is good, the
 * proxy to match with it.
 *
 * A pattern comes from a user and a value from anybody, so both are bounded: REGEX_MAX bytes of
 * pattern, a limit on the steps and on the memory of one match. A match that hits a limit is "no
 * match" and counted in the scratch.
 *
 * A regex never changes: any number of threads may match with it, each with a scratch of its own.
 */
#ifndef SLUICE_LIB_REGEX_H
#define SLUICE_LIB_REGEX_H

#include "lib/why.h"

enum { REGEX_MAX = 1024 }; /* bytes of a pattern */

struct regex;

/* NULL with *why, which says what is wrong and at which byte. */
struct regex *regex_new(struct str pattern, struct why *why);
void regex_free(struct regex *re); /* NULL is fine */

/* Room to match in; of one thread. */
struct regex_scratch;
struct regex_scratch *regex_scratch_new(void);
void regex_scratch_free(struct regex_scratch *s); /* NULL is fine */
uint64_t regex_limit_hits(const struct regex_scratch *s);

/* Whether all of value matches. */
bool regex_match(const struct regex *re, struct str value, struct regex_scratch *s);

#endif
