/* SPDX-License-Identifier: Apache-2.0
 *
 * parts: the caller as it takes shape while a policy judges, for the files of this room.
 */
#ifndef SLUICE_PROXY_AUTH_PARTS_H
#define SLUICE_PROXY_AUTH_PARTS_H

#include "lib/claims.h"
#include "lib/credential.h"
#include "lib/mac.h"
#include "lib/regex.h"
#include "proxy/auth/auth.h"
#include "proxy/auth/badge.h"
#include "proxy/auth/bearer.h"
#include "proxy/auth/mint.h"
#include "proxy/auth/place.h"
#include "proxy/auth/service.h"
#include "proxy/auth/verified.h"
#include "proxy/auth/verify.h"

enum {
    QUERY_ROOM = 4096, /* a credential in the query */
    SHOWN_MAX = 8,     /* credentials of one request */
    SAID_BY = 4,       /* services that let one request pass */
};

/* From the worker to main: one writes, one reads. */
enum { UNKNOWN_KEYS = 4, SOURCE_MAX = 300 };
struct unknown_keys {
    _Atomic uint32_t put, taken; /* numbers of those that ever were */
    struct {
        uint16_t n;
        char source[SOURCE_MAX];
    } v[UNKNOWN_KEYS];
};

/* One who has proved something; several methods may add to it. */
struct caller {
    const struct auth_law *law;
    uint64_t methods;  /* bits of those that have authenticated it */
    struct str method; /* the first of them */
    const struct bearer *token;
    const struct model_auth_jwt *jwt; /* of that token */
    bool known;                       /* a Consumer */
    struct consumer_found consumer;
    struct str subject;   /* what it is called by, where it has no token; n == 0: nothing */
    bool certified;       /* a method has verified the certificate */
    struct str anonymous; /* the Consumer that those without credential count as */
    const struct model_value_source *shown[SHOWN_MAX];
    bool accepted[SHOWN_MAX]; /* by the method that looked there */
    unsigned n_shown;
};

struct explaining;

struct auth_env {
    struct explaining *explaining; /* NULL in a proxy: somebody wants to know how (explain.h) */
    struct loop *loop;
    struct callers *calls;
    struct slow_desk *desk; /* NULL: there are no threads */
    struct bearers *tokens;
    struct verified *verified;
    struct verifications *verifications;
    struct badges *badges;
    struct mint *mint;
    struct answers *answers;
    struct services services;
    struct oidc *oidc; /* NULL: nobody has logged in yet */
    struct credential_scratch *digest;
    struct mac_scratch *macs;
    char nobody[MAC_MAX]; /* random: the secret of a name that nobody has */
    struct regex_scratch *regex;
    struct arena arena; /* of one request */
    struct caller who;  /* of the last one; law == NULL: nobody */
    uint64_t turn;      /* number of the judgement that is made */
    struct auth_counts counts;
    struct unknown_keys unknown;
    char query[QUERY_ROOM];
    char path[HEAD_BYTES_MAX]; /* as the backend gets it */
    char text[256];            /* of a detail that is no constant */
};

/* What a method says. */
enum told {
    TOLD_ABSENT,
    TOLD_GOOD,
    TOLD_BAD,
    TOLD_NOTHING, /* cannot say: reason */
    TOLD_OPEN,    /* cannot say, and the request passes all the same: detail */
    TOLD_WAITS,   /* not yet: an errand runs, or judge_body() said so */
};

/* One request before one policy. */
struct judging {
    struct auth_env *env;
    const struct exchange *x;
    const struct auth_known *known;
    const uint8_t *client;
    int64_t now;
    bool waits;
    uint32_t wants_body;
    struct caller who;
    enum reason reason;                       /* of a refusal */
    const char *detail;                       /* a sentence */
    const char *challenge;                    /* error of RFC 6750; NULL: none */
    const struct model_identity_token *token; /* that the backend gets; NULL: none yet */
    bool unknown;         /* something was shown that no method knows, up to now */
    bool audit;           /* by the rule that decides */
    const char *stranger; /* why no certificate counts, up to now; NULL: nobody has asked */
    const struct auth_rule_law *rule; /* that decides; NULL: none */
    struct str path;                  /* p == NULL: not made yet */
    struct verdict *said[SAID_BY];    /* of services that let it pass */
    unsigned n_said;
    struct verdict *denial; /* of the one that does not: its answer is the answer */
    bool open;              /* it passes for want of an answer */
    bool asked;             /* a service was shown its credentials */
    bool lapsed; /* refused: nobody is logged in, or is no more; nobody guesses sessions */
    const struct method_law *login; /* that a browser could log in by; NULL: none */
    /* Of a method of ours, until the judgement is written; fields have their line ends. */
    uint16_t status;       /* refused: with an answer of its own; else 0 */
    struct str answer;     /* its fields */
    struct str to_client;  /* for the answer, whoever makes it */
    struct str to_backend; /* an Authorization, beside its identity */
    bool authorized;       /* another policy has given the backend one */
    struct str hidden;     /* names of fields that do not go on: judge_hide() */
    const char *lacks;     /* explained: waits for what nobody can say here; a sentence */
};

/* judge.c */
int judge_refuse(struct judging *j, enum reason reason, const char *detail); /* -1 */

/* The client's fields of that name do not go on. */
void judge_hide(struct judging *j, struct str name);

/* The request's body, if it has at most max (1 .. 1 MiB) bytes. TOLD_GOOD: *body; TOLD_BAD: it is
 * longer, and the reason is set; TOLD_WAITS: the method says that. */
enum told judge_body(struct judging *j, uint32_t max, struct str *body);

/* One method. */
enum told judge_method(struct judging *j, const struct method_law *m);

/* A token named a key that the method's set does not have. */
void judge_unknown_key(struct auth_env *env, struct str source);

/* key.c */
enum told key_tell(struct judging *j, const struct method_law *m);
bool consumer_counts(const struct model_consumer_scope *s, const struct consumer_found *f);
/* The Consumer that has the credential with that digest, if it is one of the method's. */
bool consumer_with(struct judging *j, const struct method_law *m, const char *digest,
                   struct consumer_found *found);
/* The Consumer whose credential (a, b) it is, if it is one of the method's. */
bool consumer_find(struct judging *j, const struct method_law *m, struct str a, struct str b,
                   struct consumer_found *found);
/* Not that one: any who has a credential as the method takes them, chosen by seed, for who must do
 * for a name that nobody has what it would do for somebody's. strictly: one of the method's, which
 * few looks may not find. False: nobody is found. */
bool consumer_somebody(struct judging *j, const struct method_law *m, uint64_t seed, bool strictly,
                       struct consumer_found *found);
/* The Consumer of that name, "NAMESPACE/NAME" or a NAME of the policy's namespace, likewise. */
bool consumer_named(struct judging *j, const struct method_law *m, struct str name,
                    struct consumer_found *found);
/* It is the caller, unless another method has said who is. */
void consumer_is(struct judging *j, const struct consumer_found *found);
/* Both, of a credential (a, b). */
bool consumer_look(struct judging *j, const struct method_law *m, struct str a, struct str b);
/* The same, of a credential of another kind than the method. */
bool consumer_look_for(struct judging *j, const struct method_law *m, enum model_auth_method type,
                       struct str a, struct str b);

/* external.c, introspect.c */
/* What an answer is found by begins with whose it is: the policy by its name, since a hash of what
 * it says could be met by somebody else's. */
void answer_key_begin(const struct judging *j, const struct method_law *m, struct hash_secret *h);
enum told external_tell(struct judging *j, const struct method_law *m);
enum told introspect_tell(struct judging *j, const struct method_law *m);
struct verdict *introspect_read(const struct method_law *m, const struct call *c, int64_t now,
                                enum reason *reason, const char **detail);

/* basic.c */
enum told basic_tell(struct judging *j, const struct method_law *m);

/* bearer.c */
int64_t bearer_skew(const struct model_auth_jwt *m); /* seconds */
enum told bearer_tell(struct judging *j, const struct method_law *m);

struct jwt;
/* secret.c: the secret that a token was signed with. */
struct secret_proof {
    char digest[CREDENTIAL_DIGEST]; /* by which the credential is found again */
    struct consumer_found consumer;
};
enum { SECRET_UNKNOWN = 1 };
/* 0; -1, or SECRET_UNKNOWN when it names no key of a Consumer that counts; with *why. */
int secret_verify(struct judging *j, const struct method_law *m, const struct jwt *t,
                  struct secret_proof *proof, struct why *why);

/* hmac.c: signed requests. */
enum told hmac_tell(struct judging *j, const struct method_law *m);
/* What the method would take, as fields of a 401. */
void hmac_challenge(const struct method_law *m, struct str realm, struct out *o);

/* A credential is there. False: there are too many, and it is refused. */
bool judge_show(struct judging *j, const struct model_value_source *at);
/* certificate.c */
enum told client_certificate_tell(struct judging *j, const struct method_law *m);
/* That of the connection, if it meets the terms of its listener now. TOLD_BAD: refused. */
enum told certificate_current(struct judging *j, struct badge **b);
/* NULL: the token is bound to it (RFC 8705); else why it is not, a constant. */
const char *certificate_unbound(struct judging *j, const struct claims *token);
/* Client-Cert and its chain for the backend, where one was verified. 0, or -1 with the reason. */
int certificate_write(struct judging *j, struct out *o);

/* The credential of a method where it is first; marks the place as shown. PLACE_TWICE: refused. */
enum place judge_find(struct judging *j, const struct model_value_source *from, uint32_t n,
                      struct str *value);

/* oidc.c, login.c */
enum told oidc_tell(struct judging *j, const struct method_law *m);
/* Nobody is logged in: a browser that navigates is sent to the identity provider, all else is
 * refused. TOLD_BAD or TOLD_NOTHING. */
enum told oidc_login(struct judging *j, const struct method_law *m, const char *detail);
void oidc_free(struct oidc *w); /* NULL is fine */

/* explain.c, all of them with env->explaining */
__attribute__((cold)) enum told explain_tell(struct judging *j, const struct method_law *m);
/* The method would ask a service now: TOLD_WAITS. */
__attribute__((cold)) enum told explain_asks(struct judging *j, const struct method_law *m);
/* No Consumer has what was shown: which is no matter where credentials are hidden. */
__attribute__((cold)) void explain_unfound(struct judging *j);
/* What of the i-th rule does not hold; NULL: it matches. False: that cannot be known. */
__attribute__((cold)) bool explain_rule(struct judging *j, uint32_t i, const char *unmet);
/* A policy was judged; fields: what it says to the backend. */
__attribute__((cold)) void explain_policy(struct judging *j, bool bad, struct str fields);

/* rule.c: 0, or -1 with the reason. */
int rules_judge(struct judging *j);
/* Visits what the caller is called by: a token's scopes, its groups and its Consumer's. */
bool caller_has_scope(const struct caller *w, struct str scope);
bool caller_has_group(const struct caller *w, struct str group);
struct str caller_consumer(const struct caller *w); /* n == 0: none */
/* sub of the token, else what the certificate is called by; n == 0: none. */
struct str caller_subject(const struct caller *w);
bool claims_hold(struct judging *j, struct claim_match *const *list, uint32_t n);

/* identity.c: 0, or -1 with the reason: something cannot be said in a header. */
int identity_write(struct judging *j, struct out *o);

/* mint.c: the internal token, where the policy has one. Likewise. */
int mint_write(struct judging *j, struct out *o);

#endif
