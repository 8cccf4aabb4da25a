/* SPDX-License-Identifier: Apache-2.0
 *
 * explain: auth_judge() on one request with somebody who looks on, for sluicectl: which method said
 * what, which rule decided, what the backend would be told.
 *
 *     exchange ─► auth_judge() ─► methods ─► rules ─► identity
 *                     └───────────── each says what it found ──► struct explained
 *
 * Nobody is asked, and not everything is known: a service's answer, hashes and secrets of a running
 * proxy, a body, keys that the controller fetches. Whatever depends on that is EXPLAIN_UNKNOWN with
 * a sentence; it is never guessed. Nothing here is a secret: no token, no key, no password.
 */
#ifndef SLUICE_PROXY_AUTH_EXPLAIN_H
#define SLUICE_PROXY_AUTH_EXPLAIN_H

#include "proxy/policy/exchange.h"
#include "proxy/route/auth.h"

enum explain_outcome {
    EXPLAIN_NOT_ASKED,
    EXPLAIN_ABSENT, /* no credential of its own was shown */
    EXPLAIN_GOOD,
    EXPLAIN_BAD,     /* refused */
    EXPLAIN_NOTHING, /* it cannot say, and the request is refused */
    EXPLAIN_OPEN,    /* it cannot say, and the request passes all the same */
    EXPLAIN_UNKNOWN, /* it cannot be known here */
};

enum explain_decision { EXPLAIN_ALLOW, EXPLAIN_DENY, EXPLAIN_DRY_DENY, EXPLAIN_UNDECIDED };

struct explained_method {
    enum explain_outcome outcome;
    enum reason reason; /* of BAD and NOTHING */
    struct str detail;  /* a sentence; n == 0: none */
};

struct explained_rule {
    bool asked;
    const char *unmet; /* asked: the first of its fields that does not hold; NULL: it matches */
};

/* One policy, as far as it was asked. Strings are in the arena of the want. */
struct explained_policy {
    const struct auth_law *law;
    enum explain_decision decision;
    enum reason reason; /* of DENY and DRY_DENY; DENY with REASON_NONE: see status */
    uint16_t status;    /* of an answer of a method's own; 0: the reason's */
    struct str detail;  /* why it is refused, or not known; n == 0: nothing */
    struct explained_method methods[AUTH_METHODS_MAX];
    struct explained_rule *rules; /* as many as the law has */
    uint32_t rule;                /* that decides; UINT32_MAX: none */
    struct str method, consumer, subject;
    const struct model_value_source *shown[8]; /* places where a credential is */
    unsigned n_shown;
    struct str fields; /* for the backend, each with its line end */
};

struct explained {
    struct explained_policy policies[2]; /* the one that all must pass comes first */
    unsigned n_policies;
    enum explain_decision decision; /* of all */
    enum reason reason;             /* as above */
    uint16_t status;
};

struct explain_want {
    const struct exchange *x; /* of a rule that is guarded; the request's head is there */
    const uint8_t *client;    /* 16 bytes; NULL: not known */
    int64_t now;              /* seconds since 1970 */
    const char *unseen;       /* why credentials are missing in the snapshot; NULL: none are */
    const char *unfetched;    /* why keys of an issuer are not its own; NULL: they are */
    struct arena *arena;
};

/* -1: there is no memory, or no room for what the backend would be told. */
int auth_explain(const struct explain_want *want, struct explained *to) MUST_USE;

#endif
