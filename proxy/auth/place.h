/* SPDX-License-Identifier: Apache-2.0
 *
 * place: where a credential is in a request. What is there twice is a credential of whom? Of nobody
 * (a backend may look at the other one).
 */
#ifndef SLUICE_PROXY_AUTH_PLACE_H
#define SLUICE_PROXY_AUTH_PLACE_H

#include "lib/model.h"
#include "lib/out.h"
#include "proxy/http/head.h"

enum place { PLACE_NONE, PLACE_ONE, PLACE_TWICE };

/* query: as in the exchange. A query parameter is decoded into room; one that does not fit counts
 * as there twice. */
enum place place_read(const struct model_value_source *s, const struct head *h, struct str query,
                      char *room, size_t cap, struct str *value);

/* A cookie of that name. */
enum place place_cookie(const struct head *h, struct str wanted, struct str *value);

/* All cookies but those of that name, or whose names begin with a prefix that is said, as one
 * value; how many were left out. */
unsigned place_other_cookies(const struct head *h, const struct model_value_source *const *without,
                             unsigned n, struct out *o);
/* The query without these parameters; how many were left out. */
unsigned place_other_query(struct str query, const struct model_value_source *const *without,
                           unsigned n, struct out *o);

#endif
