/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/status/fault.h"

#include "lib/log.h"

#include <stdio.h>

static size_t find(const struct faults *f, const char *key) {
    size_t i = 0;
    while (i < f->n && strcmp(f->key[i], key) != 0)
        i++;
    return i;
}

void fault_set(struct faults *f, const char *key, const char *what, const struct why *why) {
    size_t i = find(f, key);
    if (i < f->n)
        return;
    log_warn("status", "%s: %s: %s", what, why->object, why->text);
    if (i == FAULTS_MAX)
        return;
    snprintf(f->key[i], sizeof(f->key[i]), "%s", key);
    why_clear(&f->why[i]);
    why_object(&f->why[i], "%s", what);
    why_field(&f->why[i], "%s", why->object);
    why_text(&f->why[i], "%s", why->text);
    f->n++;
}

void fault_clear(struct faults *f, const char *key) {
    size_t i = find(f, key);
    if (i == f->n)
        return;
    log_info("status", "works again: %s", key);
    f->n--;
    if (i < f->n) {
        f->why[i] = f->why[f->n];
        memcpy(f->key[i], f->key[f->n], sizeof(f->key[i]));
    }
}

const struct why *status_faults(const struct faults *f, size_t *n) {
    *n = f->n;
    return f->why;
}
