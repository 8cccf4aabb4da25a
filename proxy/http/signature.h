/* SPDX-License-Identifier: Apache-2.0
 *
 * signature: HTTP Message Signatures (RFC 9421) of requests, made with a shared secret: a profile
 * that is verified, not the whole of the RFC.
 *
 *     Signature-Input: sig1=("@method" "@target-uri" "content-digest");created=16…;keyid="partner"
 *     Signature: sig1=:pxcQ…:     │                                            │
 *                         ▼       ▼                                            ▼
 *     "@method": POST\n"@target-uri": https://…\n"content-digest": …\n"@signature-params": (…);…
 *                                the base, over which HMAC goes
 *
 *     found = signature_read(&s, head, rules, now, &detail)    what is signed, by whom, and when
 *     key   = of s.keyid                                       the caller's: whose secret it is
 *     good  = signature_verify(&s, head, secure, &key, &detail)
 *     and the body, where s.covers_digest                      digest.h
 *
 * Which one: that with our tag; without a tag in the rules the only one. More than one is refused
 * then, as it would be a guess. What others have signed beside is not looked at.
 *
 * Components: @method @target-uri @authority @scheme @request-target @path @query
 * @query-param;name="x", and fields, with ;key="member" of a dictionary. They are taken from what
 * the client sent, before anything is rewritten: path and query as they stand, host in lower case
 * without the port of its scheme. Not taken: ;sf (it would need the type of every field), ;bs, ;tr
 * (trailers are not passed on), ;req and @status (of answers). Hop-by-hop fields are not there.
 * Parameters: created, expires, keyid, alg, nonce, tag.
 *
 * Refused: what is not written in its one canonical form, a component or parameter twice, strings
 * with escapes, parameters that are not known, a component that is not there, more than
 * SIGNATURE_PARTS, a member of a dictionary with more than four parameters.
 *
 * The hash is that of the key. `alg` in the message can only agree. A nonce is not remembered:
 * within its time (max_age_s) a signature can be used again.
 *
 * No state, no I/O, no memory but the caller's. 2 to 3 µs for a usual one.
 */
#ifndef SLUICE_PROXY_HTTP_SIGNATURE_H
#define SLUICE_PROXY_HTTP_SIGNATURE_H

#include "lib/mac.h"
#include "lib/sfv.h"
#include "proxy/http/head.h"

enum {
    SIGNATURE_PARTS = 32,           /* components of one signature */
    SIGNATURE_FIELD_MAX = 4096,     /* bytes of all lines of Signature-Input, and of Signature */
    SIGNATURE_BASE_MAX = 16 * 1024, /* bytes of what is signed */
    SIGNATURE_KEYID_MAX = 255,
};

/* What the policy asks for. Times are seconds. What is signed to expire does so at that second: how
 * long it counts is the signer's word. */
struct signature_rules {
    struct str tag;          /* n == 0: any */
    const struct str *parts; /* names that must be covered, as "@method" or "content-type". What
                              * @target-uri or @request-target imply is covered by them. */
    size_t n_parts;
    bool body;          /* a request with a body must cover content-digest */
    uint32_t max_age_s; /* since `created`, which is then needed; 0: no matter */
    uint32_t skew_s;    /* that `created` may lie ahead */
};

struct signature_part {
    struct str text;  /* as it stands in the list: "\"@query-param\";name=\"Pet\"" */
    struct str name;  /* in lower case; begins with '@' when it is derived */
    struct str param; /* of ;name or ;key; p == NULL: none */
};

struct signature {
    struct str keyid, alg, nonce, tag; /* n == 0: not said; keyid always is */
    int64_t created, expires;          /* Unix seconds; -1: not said */
    bool covers_digest;                /* content-digest, as a whole */
    struct signature_part parts[SIGNATURE_PARTS];
    unsigned n_parts;
    struct str params; /* the value of @signature-params */
    unsigned char mac[MAC_MAX];
    uint8_t mac_n;
    char room[2 * SIGNATURE_FIELD_MAX]; /* for fields of several lines */
};

enum signature_found {
    SIGNATURE_NONE, /* there is none for us: no Signature-Input, or none with our tag */
    SIGNATURE_READ, /* right in itself, and in time; not yet verified */
    SIGNATURE_BAD,  /* *detail: a constant sentence, without anything of the request */
};

/* now: Unix seconds. What it finds are views of the head and of s->room. */
enum signature_found signature_read(struct signature *s, const struct head *h,
                                    const struct signature_rules *rules, int64_t now,
                                    const char **detail);

/* What the signer must have signed. False with *detail: a component is not there, or it is too
 * long. secure: the client's connection is TLS (or a trusted proxy says so): https, else http. */
bool signature_base(const struct signature *s, const struct head *h, bool secure, struct out *base,
                    const char **detail) MUST_USE;

struct signature_key {
    enum mac mac; /* not SHA1 */
    struct str secret;
};

/* False with *detail. For a keyid that nobody has, a key of random bytes takes as long. */
bool signature_verify(const struct signature *s, const struct head *h, bool secure,
                      const struct signature_key *key, struct mac_scratch *macs,
                      const char **detail) MUST_USE;

#endif
