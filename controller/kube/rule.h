/* SPDX-License-Identifier: Apache-2.0
 *
 * rule: what a string must look like, checked and refused with a sentence that says how to write
 * it.
 */
#ifndef SLUICE_CONTROLLER_KUBE_RULE_H
#define SLUICE_CONTROLLER_KUBE_RULE_H

#include "controller/kube/kinds.h"

enum { KUBE_TEXT_MAX = 64 << 10 }; /* bytes of any string */

/* 0, or -1 with why->text. Length and UTF-8 are checked for every rule. */
int kube_rule_check(enum kube_rule rule, struct str s, struct why *why);

/* The same for a schema, which knows only so much: whatever kube_rule_check() accepts fits it. */
struct kube_rule_form {
    const char *pattern; /* RE2; NULL: any */
    uint32_t most;       /* characters */
    bool may_be_empty;
};
const struct kube_rule_form *kube_rule_form(enum kube_rule rule);

/* A name that Kubernetes gives to objects: RFC 1123 subdomain, at most 253 bytes. */
bool kube_is_name(struct str s);

/* How many bytes from the start are UTF-8 without NUL. */
size_t kube_utf8(struct str s);

#endif
