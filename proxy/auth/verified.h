/* SPDX-License-Identifier: Apache-2.0
 *
 * verified: passwords that were right a short while ago. To verify one costs as much as a hundred
 * thousand requests, and a client shows the same one with each.
 *
 *     hash_secret(stored form, password) ─► 16 bytes, until it is idle for long
 *
 * What is kept says nothing about the password without the key, which dies with the process. It
 * hangs on the stored form and on nothing else: with another one, or none, what is kept is never
 * asked for again, and everything else about the caller is judged anew with each request. Wrong
 * passwords are not remembered. A worker's own.
 */
#ifndef SLUICE_PROXY_AUTH_VERIFIED_H
#define SLUICE_PROXY_AUTH_VERIFIED_H

#include "lib/hash.h"

enum {
    VERIFIED_MAX = 4096, /* the one that was not shown for the longest time gives way */
    VERIFIED_IDLE_S = 300,
};

struct verified;

struct verified *verified_new(void);
void verified_free(struct verified *v); /* NULL is fine */
size_t verified_count(const struct verified *v);

struct hash_wide verified_key(struct str stored, struct str password);
/* now_ns: of the loop. */
bool verified_has(struct verified *v, struct hash_wide key, uint64_t now_ns);
void verified_add(struct verified *v, struct hash_wide key, uint64_t now_ns);

#endif
