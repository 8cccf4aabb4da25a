/* SPDX-License-Identifier: Apache-2.0
 *
 * certificate: a certificate that the client has shown in the handshake of its connection. It is
 * asked for by the listener. The listener's terms, as they are now, come first, if it has some;
 * those of the method come on top of them. Nothing is ever taken from headers.
 *
 *     connection ─► tls_peer ─► of the listener's ─► of the method's ─► names ─► Consumer
 *        │ none                     │ no                 │ no             │ no      │ no
 *        ▼                          ▼                    ▼                ▼         ▼
 *      absent                    refused              absent: it may be          refused
 *                                                     another method's
 */
#include "lib/base64url.h"
#include "proxy/auth/parts.h"

/* Where it is, beside headers, cookies and parameters. */
static const struct model_value_source connection = {MODEL_FROM_ADDRESS, {"", 0}, {NULL, 0}};

static enum told bad(struct judging *j, const char *detail) {
    judge_refuse(j, REASON_UNAUTHENTICATED, detail);
    return TOLD_BAD;
}

/* ---- the certificate of the connection ---- */

/* NULL: the listener asks nobody, so nothing counts. */
static const struct listener_law *listener_of(const struct judging *j) {
    const struct listener_law *l = snapshot_listener(j->x->snapshot, j->x->port);
    return l != NULL && l->asks ? l : NULL;
}

/* Whether the listener judges it itself. */
static bool is_judged(const struct judging *j) {
    const struct listener_law *l = listener_of(j);
    return l != NULL && l->clients.ca.n > 0;
}

enum told certificate_current(struct judging *j, struct badge **b) {
    const struct tls_peer *p = j->x->shown;
    const struct listener_law *l = p != NULL ? listener_of(j) : NULL;
    const char *why;
    if (l == NULL)
        return TOLD_ABSENT;
    *b = badge_of(j->env->badges, p, j->env->digest);
    if (*b == NULL)
        return bad(j, "the certificate cannot be read");
    bool good = l->clients.ca.n > 0
                    ? badge_meets(j->env->badges, *b, p, &l->clients, j->now, &why) == BADGE_GOOD
                    : badge_is_current(*b, j->now, &why);
    return good ? TOLD_GOOD : bad(j, why);
}

/* ---- names ---- */

/* a.example.com, or *.example.com itself, for *.example.com. A certificate's own asterisk stands
 * for itself: it names no caller. */
static bool host_fits(struct str pattern, struct str name) {
    if (!str_starts(pattern, STR("*.")))
        return str_eq(pattern, name);
    size_t dot = str_find(name, '.', 0);
    return dot > 0 && dot < name.n && str_eq(str_skip(name, dot), str_skip(pattern, 1));
}

static bool uri_fits(struct str pattern, struct str uri) {
    if (!str_ends(pattern, STR("*")))
        return str_eq(pattern, uri);
    return str_starts(uri, str_mk(pattern.p, pattern.n - 1));
}

/* joe@example.com, or anybody there for *@example.com. */
static bool email_fits(struct str pattern, struct str name) {
    if (!str_starts(pattern, STR("*@")))
        return str_eq(pattern, name);
    return str_eq(str_skip(pattern, 1), str_skip(name, str_find(name, '@', 0)));
}

static bool any_fits(const struct str *list, uint32_t n, struct str name,
                     bool (*fits)(struct str pattern, struct str name)) {
    for (uint32_t i = 0; i < n; i++)
        if (fits(list[i], name))
            return true;
    return false;
}

/* The first name of the certificate that the method asks for; n == 0: there is none. */
static struct str name_asked_for(const struct model_auth_certificate *m, const struct badge *b) {
    uint32_t n;
    const struct badge_name *names = badge_names(b, &n);
    for (uint32_t i = 0; i < n; i++)
        if (names[i].kind == BADGE_HOST ? any_fits(m->hosts, m->n_hosts, names[i].text, host_fits)
            : names[i].kind == BADGE_URI
                ? any_fits(m->uris, m->n_uris, names[i].text, uri_fits)
                : any_fits(m->emails, m->n_emails, names[i].text, email_fits))
            return names[i].text;
    return STR_NONE;
}

static bool common_name_fits(const struct model_auth_certificate *m, const struct badge *b) {
    struct str name = badge_common_name(b);
    for (uint32_t i = 0; i < m->n_common_names; i++)
        if (name.n > 0 && str_eq(m->common_names[i], name))
            return true;
    return m->n_common_names == 0;
}

/* What it is called by: the name that was asked for, else its first one, else its common name. */
static struct str subject_of(const struct model_auth_certificate *m, const struct badge *b,
                             struct str asked) {
    uint32_t n;
    const struct badge_name *names = badge_names(b, &n);
    if (asked.n > 0)
        return asked;
    return n > 0 && m->n_common_names == 0 ? names[0].text
           : badge_common_name(b).n > 0    ? badge_common_name(b)
           : n > 0                         ? names[0].text
                                           : STR_NONE;
}

/* ---- the method ---- */

/* The method's own, on top of the listener's. Its lists alone are about the listener's authorities:
 * terms of their own, which are as these two. */
static enum badge_told meets_own(struct judging *j, const struct method_law *m, struct badge *b,
                                 const char **why) {
    struct terms t = m->terms;
    if (t.ca.n == 0 && !is_judged(j)) {
        *why = "neither the listener nor the policy names an authority that counts";
        return BADGE_BAD;
    }
    if (t.ca.n == 0 && t.crl.n == 0)
        return BADGE_GOOD;
    if (t.ca.n == 0) {
        const struct terms *l = &listener_of(j)->clients;
        t.ca = l->ca;
        for (unsigned i = 0; i < TERMS_ID; i++)
            t.id[i] ^= l->id[i];
    }
    return badge_meets(j->env->badges, b, j->x->shown, &t, j->now, why);
}

static bool belongs_to(struct judging *j, const struct method_law *m, const char *digest) {
    struct consumer_found found;
    if (!consumer_with(j, m, digest, &found))
        return false;
    consumer_is(j, &found);
    return true;
}

/* By its fingerprint, else by a name of its subjectAltName, else by its common name. */
static bool stands_for(struct judging *j, const struct method_law *m, const struct badge *b) {
    uint32_t n;
    const struct badge_name *names = badge_names(b, &n);
    if (belongs_to(j, m, badge_fingerprint_digest(b)))
        return true;
    for (uint32_t i = 0; i < n; i++)
        if (belongs_to(j, m, names[i].digest))
            return true;
    return badge_common_name(b).n > 0 && belongs_to(j, m, badge_common_name_digest(b));
}

/* It may be another method's. */
static enum told stranger(struct judging *j, const char *why) {
    j->stranger = why;
    return TOLD_ABSENT;
}

static enum told none_shown(struct judging *j) {
    return stranger(j, !j->x->secure ? "no credential, and without TLS no certificate can be shown"
                       : listener_of(j) == NULL
                           ? "no credential, and the listener asks for no certificate"
                           : "no credential, and no certificate was shown");
}

enum told client_certificate_tell(struct judging *j, const struct method_law *m) {
    const struct model_auth_certificate *want = m->model->certificate;
    const char *why = NULL;
    struct badge *b;
    if (j->x->shown == NULL)
        return none_shown(j);
    if (j->who.n_shown == SHOWN_MAX)
        return bad(j, "too many credentials");
    j->who.shown[j->who.n_shown++] = &connection;
    enum told told = certificate_current(j, &b);
    if (told == TOLD_ABSENT)
        return stranger(j, "the listener asks for no certificate any more");
    if (told != TOLD_GOOD)
        return told;
    switch (meets_own(j, m, b, &why)) {
    case BADGE_GOOD:
        break;
    case BADGE_STRANGER:
        return stranger(j, why);
    case BADGE_BAD:
        return bad(j, why);
    }
    struct str asked = name_asked_for(want, b);
    if ((asked.n == 0 && want->n_hosts + want->n_uris + want->n_emails > 0) ||
        !common_name_fits(want, b))
        return stranger(j, "the certificate has none of the names that count here");
    if (m->model->consumers && !stands_for(j, m, b))
        return bad(j, "no Consumer that counts here has this certificate");
    j->who.subject = subject_of(want, b, asked);
    j->who.certified = true;
    return TOLD_GOOD;
}

/* ---- of others ---- */

/* RFC 8705 3.1: the claim cnf, its member x5t#S256. */
const char *certificate_unbound(struct judging *j, const struct claims *token) {
    static const struct str path[] = {{"cnf", 3}, {"x5t#S256", 8}};
    char text[48];
    struct out o = out_fixed(text, sizeof(text));
    struct badge *b;
    const struct claim *c = claims_get(token, path, ARRAY_LEN(path));
    if (c == NULL || c->kind != CLAIM_TEXT)
        return "the token is bound to no certificate";
    switch (certificate_current(j, &b)) {
    case TOLD_GOOD:
        break;
    case TOLD_ABSENT:
        return "the token is bound to a certificate, and none was shown";
    default:
        return j->detail;
    }
    base64url_put(&o, j->x->shown->fingerprint, TLS_FINGERPRINT);
    return str_eq(claim_text(token, c), out_done(&o)) ? NULL
                                                      : "the token is bound to another certificate";
}

int certificate_write(struct judging *j, struct out *o) {
    struct badge *b;
    enum reason reason = j->reason;
    const char *detail = j->detail;
    if ((!j->who.certified && !is_judged(j)) || certificate_current(j, &b) != TOLD_GOOD) {
        j->reason = reason; /* nothing to pass on is no fault */
        j->detail = detail;
        return 0;
    }
    struct str fields = badge_fields(j->env->badges, b, j->x->shown);
    if (fields.n == 0)
        return judge_refuse(j, REASON_FORBIDDEN, "the certificates are too large for headers");
    out_str(o, fields);
    return 0;
}
