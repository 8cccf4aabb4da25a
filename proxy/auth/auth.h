/* SPDX-License-Identifier: Apache-2.0
 *
 * auth: who asks, and whether it may. One answer for each request of a guarded rule, from its own
 * AuthPolicy and from the one that all must pass:
 *
 *     place.c     where a credential is: header, cookie, query
 *        ▼
 *     judge.c     methods in their order ──► bearer.c     JSON Web Tokens, and those seen before
 *        │        Any or All             │     └ secret.c  signed with a Consumer's own secret
 *        │                               ├─► key.c       API keys of Consumers
 *        │                               ├─► basic.c     passwords, and those seen before
 *        │                               ├─► hmac.c      requests that a Consumer has signed
 *        │                               ├─► certificate.c  certificates, and badge.c: those seen
 *        │                               ├─► oidc.c      browsers that have logged in
 *        │                               └─► external.c, introspect.c  who else knows (service.h)
 *        ▼
 *     rule.c      what the caller may do: the first rule that matches decides
 *        ▼
 *     identity.c  what the backend sees of it; the credential is taken away
 *        ▼
 *     who.c       who it was, for limits
 *     mint.c      an internal token of it
 *
 * A worker's own: its tokens, its scratch. Nothing here waits: what lacks something sends an errand
 * (proxy/errand) and says so, and all is judged anew when it is back. A request that was seen
 * before costs neither a system call nor memory from the heap.
 */
#ifndef SLUICE_PROXY_AUTH_H
#define SLUICE_PROXY_AUTH_H

#include "proxy/errand/errand.h"
#include "proxy/net/loop.h"
#include "proxy/policy/policy.h"
#include "proxy/route/auth.h"

struct auth_env;
struct callers;
struct slow_desk;
struct verdict;

struct auth_env *auth_env_new(struct loop *l, struct callers *calls);
void auth_env_free(struct auth_env *env); /* NULL is fine */
/* What verifies passwords; lives longer. Without it they are answered with OVERLOADED. */
void auth_env_threads(struct auth_env *env, struct slow_desk *desk);

/* What was decided of one request. In one block of the loop's slabs, until auth_drop(). */
struct auth {
    uint8_t slab;
    bool waits;          /* nothing is decided: errands run, or the body is wanted */
    uint32_t wants_body; /* waits: for the body, if it has at most so many bytes; 0: not */
    bool refused;
    bool dry;                     /* a policy that only records would have refused it: `reason` */
    enum reason reason;           /* refused or dry: why */
    bool audit;                   /* by a rule that says so */
    uint8_t method_n;             /* the method's place in the policy; AUTH_METHODS_MAX: none */
    uint32_t slot;                /* of the policy that decided */
    uint64_t identity, version;   /* of that policy; 0: none was there */
    struct str policy;            /* that decided: NS/NAME; n == 0: none was there */
    struct str method, rule;      /* of it; n == 0: none */
    struct str consumer, subject; /* NS/NAME; sub of the token, user name; n == 0: none */
    struct str detail;            /* refused or dry: a sentence for the log, nothing secret */
    struct str challenge;         /* refused: fields of the answer (WWW-Authenticate) */
    uint16_t status;              /* refused by an answer of a method's or a service's; else 0 */
    struct str body;              /* of it */
    struct verdict *denial;       /* which has that body; held */
    struct str to_client;         /* passes: fields for the answer, each with its line end */
    struct str hidden;            /* names of fields that do not go on, each with a line end */
    bool asked;                   /* a service was shown what it has */
    bool lapsed;                  /* refused: by a session that is none, or is no more */
    struct str fields;            /* for the backend, each with its line end */
    struct str query;             /* without the credential, where that was in it */
    bool has_query, edits_query;
    bool authorizes;      /* fields have an Authorization of our own */
    bool own_certificate; /* Client-Cert is ours alone, also where the peer is trusted */
    unsigned n_shown;     /* places where a credential is */
    const struct model_value_source *shown[8];
    bool kept[8]; /* it goes on to the backend all the same */
};

/* What is known beside the request's head. */
struct auth_known {
    const uint8_t *client;   /* 16 bytes, v4 as v4-mapped */
    int64_t now;             /* seconds since 1970 */
    struct errands *errands; /* of the request, from one judgement to the next */
    struct str body;         /* what was read of it */
    bool body_whole;         /* and that is all of it */
    bool body_over;          /* it is longer than what was wanted */
};

/* The rule is guarded and x->request is its head. NULL: no memory; the request must be refused.
 * Only `shown` borrows from the snapshot. */
struct auth *auth_judge(struct auth_env *env, const struct exchange *x,
                        const struct auth_known *known);
void auth_drop(struct auth_env *env, struct auth *a); /* NULL is fine */

/* Marks what does not go on in the request's head; whenever that was parsed anew. secrets: and
 * every other credential, so that no log has it. */
void auth_hide(const struct auth *a, struct head *h, bool secrets);
/* The snapshot goes. */
void auth_leave_law(struct auth *a);

/* ---- who it was: of the request that was judged last, until the next one is ---- */

/* As a policy that counts has found out; one that only records makes nobody known. */
struct str auth_who_consumer(const struct auth_env *env); /* NS/NAME; n == 0: none */
bool auth_who_has_group(const struct auth_env *env, struct str group);
/* Writes a claim of its token: its text, or a list or an object as JSON. False: it has none. */
bool auth_who_claim(const struct auth_env *env, const struct str *path, size_t n, struct out *o);
/* NULL: it is no Consumer, or one without a quota. */
const struct model_rate_limit *auth_who_quota(const struct auth_env *env, struct str *consumer);

/* ---- keys that were asked for and are not there ---- */

/* Main thread: calls each() with the sources (key_set.source) that the worker met since the last
 * call; a few, and each of them once in a while. */
void auth_unknown_keys(struct auth_env *env, void (*each)(void *arg, struct str source), void *arg);

/* ---- for the metrics; counters of the worker ---- */

struct auth_counts {
    uint64_t seen, verified, refused; /* tokens: known, judged by their signature, of no use */
};
const struct auth_counts *auth_counts(const struct auth_env *env);

#endif
