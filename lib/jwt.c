/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/jwt.h"

#include "lib/jwt_room.h"

#include <stdlib.h>

/* ---- algorithms ---- */

const struct jwt_algorithm jwt_algorithms[JWT_ALGS] = {
    [JWT_RS256] = {.name = "RS256", .family = FAMILY_RSA, .hash = HASH_256},
    [JWT_RS384] = {.name = "RS384", .family = FAMILY_RSA, .hash = HASH_384},
    [JWT_RS512] = {.name = "RS512", .family = FAMILY_RSA, .hash = HASH_512},
    [JWT_PS256] = {.name = "PS256", .family = FAMILY_PSS, .hash = HASH_256},
    [JWT_PS384] = {.name = "PS384", .family = FAMILY_PSS, .hash = HASH_384},
    [JWT_PS512] = {.name = "PS512", .family = FAMILY_PSS, .hash = HASH_512},
    [JWT_ES256] = {"ES256", FAMILY_EC, HASH_256, "P-256", "prime256v1", 32},
    [JWT_ES384] = {"ES384", FAMILY_EC, HASH_384, "P-384", "secp384r1", 48},
    [JWT_ES512] = {"ES512", FAMILY_EC, HASH_512, "P-521", "secp521r1", 66},
    [JWT_EDDSA] = {.name = "EdDSA", .family = FAMILY_ED},
    [JWT_HS256] = {.name = "HS256", .family = FAMILY_SECRET, .hash = HASH_256, .size = 32},
    [JWT_HS384] = {.name = "HS384", .family = FAMILY_SECRET, .hash = HASH_384, .size = 48},
    [JWT_HS512] = {.name = "HS512", .family = FAMILY_SECRET, .hash = HASH_512, .size = 64},
};

const char *jwt_alg_name(enum jwt_alg alg) {
    must(alg < JWT_ALGS);
    return jwt_algorithms[alg].name;
}

bool jwt_alg_named(struct str name, enum jwt_alg *alg) {
    for (size_t i = 0; i < JWT_ALGS; i++)
        if (str_eq(name, str_of(jwt_algorithms[i].name))) {
            *alg = (enum jwt_alg)i;
            return true;
        }
    return false;
}

/* ---- taking apart ---- */

/* What of a scratch is not used yet. */
struct rest {
    struct jwt_scratch *s;
    size_t text, nodes;
};

static bool decode(struct rest *room, struct str text, struct str *to) {
    to->p = room->s->text + room->text;
    if (!base64url_decode(text, room->s->text + room->text, &to->n))
        return false;
    room->text += to->n + 1; /* claims_read() puts a NUL there */
    return true;
}

static int read_part(struct rest *room, struct str part, const char *what, struct claims *to,
                     struct why *why) {
    struct why inner;
    char *text = room->s->text + (part.p - room->s->text);
    why_clear(&inner);
    if (claims_read(to, text, part.n, room->s->nodes + room->nodes,
                    ARRAY_LEN(room->s->nodes) - room->nodes, &inner) != 0)
        return why_text(why, "its %s cannot be used: %s", what, inner.text);
    room->nodes += to->n_nodes;
    return 0;
}

static int read_algorithm(struct jwt *t, struct why *why) {
    struct shown shown;
    const struct claim *alg = claims_named(&t->header, "alg");
    struct str name = claim_text(&t->header, alg);
    if (!alg || alg->kind != CLAIM_TEXT)
        return why_text(why, "its header names no algorithm");
    if (jwt_alg_named(name, &t->alg))
        return 0;
    if (str_eq_nocase(name, STR("none")))
        return why_text(why, "it is not signed (alg none)");
    return why_text(why, "its algorithm %s is not known", why_show(name, &shown));
}

/* A text; n == 0: not said. */
static int read_text(const struct claims *c, const char *name, const char *what, size_t max,
                     struct str *to, struct why *why) {
    const struct claim *one = claims_named(c, name);
    *to = STR_NONE;
    if (!one)
        return 0;
    if (one->kind != CLAIM_TEXT || one->n == 0 || one->n > max)
        return why_text(why, "its %s %s is not a text of 1 to %zu bytes", what, name, max);
    *to = claim_text(c, one);
    return 0;
}

static int read_header(struct jwt *t, struct why *why) {
    /* RFC 7515 4.1.11, RFC 7797: also if it is null */
    const struct claim *end = t->header.nodes + t->header.n_nodes;
    for (const struct claim *i = t->header.nodes + 1; i < end; i = t->header.nodes + i->end)
        if (str_eq(claim_name(&t->header, i), STR("crit")) ||
            str_eq(claim_name(&t->header, i), STR("b64")))
            return why_text(why, "it demands an extension (crit, b64) that is not known");
    if (read_algorithm(t, why) != 0 ||
        read_text(&t->header, "kid", "header's", JWT_KID_MAX, &t->kid, why) != 0)
        return -1;
    return read_text(&t->header, "typ", "header's", 255, &t->typ, why);
}

static int cut(struct str token, struct str part[3], struct why *why) {
    size_t dots = 0;
    struct str rest = token;
    if (token.n > JWT_TOKEN_MAX)
        return why_text(why, "a token of %zu bytes, more than %d", token.n, JWT_TOKEN_MAX);
    for (size_t at = str_find(token, '.', 0); at < token.n; at = str_find(token, '.', at + 1))
        dots++;
    if (dots == 4)
        return why_text(why, "it is encrypted (JWE, five parts); only signed tokens are read");
    if (dots != 2)
        return why_text(why, "it has not three parts, as a signed token has");
    for (size_t i = 0; i < 3; i++)
        rest = str_cut(rest, '.', &part[i]);
    return part[2].n > 0 ? 0 : why_text(why, "it is not signed");
}

static int read_signed(struct jwt *t, struct str token, struct rest *room, struct why *why) {
    struct str part[3] = {{0}}, header;
    *t = (struct jwt){0};
    if (cut(token, part, why) != 0)
        return -1;
    t->signed_part = str_mk(token.p, part[0].n + 1 + part[1].n);
    if (!decode(room, part[0], &header))
        return why_text(why, "its header is not base64url");
    if (read_part(room, header, "header", &t->header, why) != 0 || read_header(t, why) != 0)
        return -1;
    if (!decode(room, part[1], &t->payload))
        return why_text(why, "its payload is not base64url");
    if (!decode(room, part[2], &t->signature))
        return why_text(why, "its signature is not base64url");
    return 0;
}

int jws_read(struct jwt *t, struct str token, struct jwt_scratch *s, struct why *why) {
    struct rest room = {s, 0, 0};
    return read_signed(t, token, &room, why);
}

/* ---- claims ---- */

/* What a number says as whole seconds. */
static bool seconds(struct str s, int64_t *to) {
    char room[32], *end;
    uint64_t whole;
    if (str_to_u64(s, 999999999999999, &whole)) {
        *to = (int64_t)whole;
        return whole > 0;
    }
    struct out o = out_fixed(room, sizeof(room));
    out_str(&o, s);
    out_char(&o, 0);
    double v = o.over ? 0 : strtod(room, &end); /* a fraction, or an exponent */
    if (!(v >= 1 && v < 1e15))
        return false;
    *to = (int64_t)v;
    return true;
}

/* A NumericDate (RFC 7519 2). */
static int read_time(const struct jwt *t, const struct claim *one, const char *name, int64_t *to,
                     struct why *why) {
    if (one->kind != CLAIM_NUMBER || !seconds(claim_text(&t->claims, one), to))
        return why_text(why, "its claim %s is not a time", name);
    return 0;
}

/* Texts by RFC 7519 4.1, yet there are issuers that number. */
static int read_name(const struct jwt *t, const struct claim *one, const char *name, struct str *to,
                     struct why *why) {
    if (one->kind != CLAIM_TEXT && one->kind != CLAIM_NUMBER)
        return why_text(why, "its claim %s is not a text", name);
    *to = claim_text(&t->claims, one);
    return 0;
}

static int read_claim(struct jwt *t, const struct claim *one, struct why *why) {
    struct str name = claim_name(&t->claims, one);
    if (name.n != 3)
        return 0;
    if (memcmp(name.p, "exp", 3) == 0)
        return read_time(t, one, "exp", &t->expires, why);
    if (memcmp(name.p, "nbf", 3) == 0)
        return read_time(t, one, "nbf", &t->not_before, why);
    if (memcmp(name.p, "iat", 3) == 0)
        return read_time(t, one, "iat", &t->issued, why);
    if (memcmp(name.p, "sub", 3) == 0)
        return read_name(t, one, "sub", &t->subject, why);
    if (memcmp(name.p, "jti", 3) == 0)
        return read_name(t, one, "jti", &t->id, why);
    if (memcmp(name.p, "iss", 3) == 0) {
        if (one->kind != CLAIM_TEXT)
            return why_text(why, "its claim iss is not a text");
        t->issuer = claim_text(&t->claims, one);
    }
    if (memcmp(name.p, "aud", 3) == 0)
        t->audience = one;
    return 0;
}

int jwt_read(struct jwt *t, struct str token, struct jwt_scratch *s, struct why *why) {
    struct rest room = {s, 0, 0};
    if (read_signed(t, token, &room, why) != 0)
        return -1;
    if (read_part(&room, t->payload, "payload", &t->claims, why) != 0)
        return -1;
    t->payload = STR_NONE;
    const struct claim *end = t->claims.nodes + t->claims.n_nodes;
    for (const struct claim *i = t->claims.nodes + 1; i < end; i = t->claims.nodes + i->end)
        if (read_claim(t, i, why) != 0)
            return -1;
    return 0;
}

/* ---- whether it counts ---- */

bool jwt_is_for(const struct jwt *t, struct str audience) {
    const struct claim *aud = t->audience;
    if (!aud)
        return false;
    if (aud->kind != CLAIM_LIST)
        return aud->kind == CLAIM_TEXT && str_eq(claim_text(&t->claims, aud), audience);
    for (const struct claim *i = aud + 1; i < t->claims.nodes + aud->end;
         i = t->claims.nodes + i->end)
        if (i->kind == CLAIM_TEXT && str_eq(claim_text(&t->claims, i), audience))
            return true;
    return false;
}

static bool is_for_one(const struct jwt *t, const struct jwt_rules *rules) {
    for (size_t i = 0; i < rules->n_audiences; i++)
        if (jwt_is_for(t, rules->audiences[i]))
            return true;
    return rules->n_audiences == 0;
}

static struct str media_type(struct str typ) {
    static const char before[] = "application/";
    struct str head = str_mk(typ.p, sizeof(before) - 1);
    return typ.n > head.n && str_eq_nocase(head, STR("application/")) ? str_skip(typ, head.n) : typ;
}

static bool is_of_type(const struct jwt *t, struct str wanted) {
    struct str typ = media_type(t->typ);
    if (wanted.n > 0)
        return str_eq_nocase(typ, media_type(wanted));
    return typ.n == 0 || str_eq_nocase(typ, STR("JWT")) || str_eq_nocase(typ, STR("at+jwt"));
}

static int judge_times(const struct jwt *t, int64_t skew, int64_t now, struct why *why) {
    if (t->expires == 0)
        return why_text(why, "it never expires, and so is not believed");
    if (t->expires + skew <= now)
        return why_text(why, "it has expired %lld s ago", (long long)(now - t->expires));
    if (t->not_before > now + skew)
        return why_text(why, "it counts only in %lld s", (long long)(t->not_before - now));
    if (t->issued > now + skew)
        return why_text(why, "it will have been issued in %lld s", (long long)(t->issued - now));
    return 0;
}

int jwt_judge(const struct jwt *t, const struct jwt_rules *rules, int64_t now, struct why *why) {
    struct shown shown;
    if (!is_of_type(t, rules->typ))
        return why_text(why, "it is of another type, %s", why_show(t->typ, &shown));
    if (rules->issuer.n > 0 && !str_eq(rules->issuer, t->issuer))
        return why_text(why, "it is of another issuer, %s", why_show(t->issuer, &shown));
    if (!is_for_one(t, rules))
        return why_text(why, "it is not for the audience %s%s",
                        why_show(rules->audiences[0], &shown),
                        rules->n_audiences > 1 ? ", nor another one that is accepted" : "");
    return judge_times(t, rules->skew_s, now, why);
}

bool jwt_is_bound_to(const struct jwt *t, const unsigned char sha256[32]) {
    static const struct str path[] = {{"cnf", 3}, {"x5t#S256", 8}};
    char room[BASE64URL_ROOM(43)];
    size_t n;
    struct str bound = claim_text(&t->claims, claims_get(&t->claims, path, ARRAY_LEN(path)));
    return bound.n == 43 && base64url_decode(bound, room, &n) && memcmp(room, sha256, 32) == 0;
}
