/* SPDX-License-Identifier: Apache-2.0
 *
 * external: a service that decides. What it is asked and what its answer means is a matter of two
 * protocols; whom it is asked about, and what becomes of the answer, is not:
 *
 *     external.c   the method: the answer that is known, or the question
 *     forward.c    the request itself, without its body: 2xx passes; 4xx and redirects go to the
 * client check.c      envoy.service.auth.v3.Authorization/Check over gRPC said.c       fields of an
 * answer, to the backend and to the client
 *
 * Private to them.
 */
#ifndef SLUICE_PROXY_AUTH_EXTERNAL_H
#define SLUICE_PROXY_AUTH_EXTERNAL_H

#include "proxy/auth/parts.h"
#include "proxy/auth/service.h"

enum {
    SAID_MAX = 32 << 10,
    DENIAL_MAX = 64 << 10,
    QUESTION_MAX = 60 << 10 /* of a head; a connection's room for one */
};

/* ---- the two protocols ---- */

/* The question's head; body: of the client's request, where the policy says so, else n == 0. */
void forward_write(struct judging *j, const struct method_law *m, struct str body, struct out *o);
struct verdict *forward_read(const struct method_law *m, const struct call *c, int64_t now,
                             enum reason *reason, const char **detail);

/* The head, and the message with its frame. */
void check_write_head(struct judging *j, const struct method_law *m, size_t n, struct out *o);
void check_write(struct judging *j, const struct method_law *m, struct str body, struct out *o);
struct verdict *check_read(const struct method_law *m, const struct call *c, int64_t now,
                           enum reason *reason, const char **detail);

/* Whether the service gets that field of the client. */
bool external_shows(const struct judging *j, const struct method_law *m,
                    const struct head_field *f);
/* The request's path and query, in their canonical form. */
void external_write_path(const struct exchange *x, struct out *o);
uint32_t external_timeout(const struct model_auth_external *e);

/* ---- said.c: an answer as it takes shape ---- */

struct said {
    const struct model_auth_external *how;
    struct verdict verdict;
    struct out to_backend, to_client, hidden;
    unsigned n_named; /* how often a Consumer was */
};

void said_begin(struct said *s, const struct method_law *m);
/* A field of an answer that lets the request pass; what the policy does not name goes nowhere.
 * False: it is no field, and the answer is none. */
bool said_field(struct said *s, struct str name, struct str value);
bool said_to_backend(struct said *s, struct str name, struct str value); /* of these, one side */
bool said_to_client(struct said *s, struct str name, struct str value);
/* A name that does not go on to the backend. */
void said_hide(struct said *s, struct str name);
/* A field of a refusal. */
bool said_refusal_field(struct said *s, struct str name, struct str value);
/* NULL: too large, or no memory; with *detail. Ends it in any case. */
struct verdict *said_end(struct said *s, const char **detail);
void said_fini(struct said *s);

#endif
