/* SPDX-License-Identifier: Apache-2.0
 *
 * words: how a rule, its conditions and its backends are called in front of people.
 */
#ifndef SLUICE_CTL_WORDS_H
#define SLUICE_CTL_WORDS_H

#include "ctl/world.h"

/* "shop/shop/catalog" */
struct str words_rule(struct arena *a, const struct model_route *r);
/* "Route shop/shop" */
struct str words_origin(struct arena *a, const struct model_origin *o);
/* "PathPrefix /catalog, method GET, header x-tenant=acme"; a NULL match is every path. */
struct str words_match(struct arena *a, const struct model_match *m);
/* "*" for any host */
struct str words_host(struct arena *a, struct str hostname);
/* "shop/catalog:80" from "backend/shop/catalog/80" */
struct str words_backend(struct arena *a, struct str id);
/* "monolith 90%, catalog 10%", or what it answers instead: "redirect 301" */
struct str words_shares(struct arena *a, const struct model_route *r);
/* The same of a rule that a proxy has made of it: also "503 no_backend" */
struct str words_target(struct arena *a, const struct rule *r);

#endif
