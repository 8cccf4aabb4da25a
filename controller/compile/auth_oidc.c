/* SPDX-License-Identifier: Apache-2.0
 *
 * auth_oidc: a login with a browser. The discovery document says where things are; it is read with
 * the keys, so that both are of the same moment:
 *
 *     issuer ─► discovery ─┬─ jwks_uri ──────────────► key_set
 *                          ├─ token_endpoint ────────► backend (outside.h), which proxies call
 *                          └─ authorization_endpoint ► where browsers are sent
 *                             end_session_endpoint
 */
#include "controller/compile/auth_parts.h"

#include "controller/compile/material.h"
#include "controller/compile/outside.h"
#include "controller/fetch/discovery.h"
#include "lib/chars.h"
#include "lib/form.h"

enum {
    SECRET_MAX = 1024,
    COOKIE_NAME_MAX = 64,
    AUTHORIZE_MAX = 4096,
};
#define TTL_MAX_MS  (30LL * 24 * 3600 * 1000)
#define IDLE_MAX_MS (8LL * 3600 * 1000)

/* ---- the client ---- */

/* The line end that an editor has left is none of it. */
static bool secret_make(struct making *m, const struct at *at, const struct kube_oidc *k,
                        struct model_auth_oidc *o) {
    const struct at *there = AT(at, "clientSecretRef");
    o->client_id = k->client_id;
    o->post = str_eq(k->client_auth, STR("ClientSecretPost"));
    if (!k->client_secret_ref)
        return true;
    struct material x =
        material_of(m, m->r, there, KUBE_Secret, STR_NONE, k->client_secret_ref->name);
    x.reason = "InvalidClientSecretRef";
    if (!material_entry(m, &x, k->client_secret_ref->key, STR("client-secret"),
                        &o->client_secret)) {
        close_as(m, "ClientSecretUnavailable", there,
                 "the gateway's password at the identity provider cannot be read, so everything "
                 "that this policy targets is answered with 503 policy_unavailable until it can");
        return false;
    }
    if (o->client_secret.n > 0 && o->client_secret.p[o->client_secret.n - 1] == '\n')
        o->client_secret.n--;
    if (o->client_secret.n > 0 && o->client_secret.n <= SECRET_MAX)
        return true;
    refuse(m, there, "the entry of the Secret is empty, or has more than %d bytes", SECRET_MAX);
    return false;
}

/* ---- paths of ours ---- */

/* As the router has them: what is written in another way never comes. */
static bool path_make(struct making *m, const struct at *at, struct str path, const char *usual,
                      struct str *to) {
    *to = path.n > 0 ? path : str_of(usual);
    bool good = to->n <= 1024 && to->p[0] == '/' && (to->n == 1 || to->p[1] != '/');
    for (size_t i = 0; i < to->n; i++)
        good = good && (char_is(to->p[i], CHAR_HOST) || to->p[i] == '/');
    if (!good)
        refuse(m, at, "write a path of letters, digits, -, ., _, ~ and /, as /oauth2/callback");
    return good;
}

static bool redirect_make(struct making *m, const struct at *at, const struct kube_oidc *k,
                          struct model_auth_oidc *o) {
    struct outside place;
    struct why why = {0};
    struct str path = k->redirect_path;
    if (k->redirect_uri.n > 0) {
        if (outside_read(&place, &m->a, k->redirect_uri, &why) != 0) {
            refuse(m, AT(at, "redirectURI"), "%s", why.text);
            return false;
        }
        if (path.n > 0 && !str_eq(path, place.target)) {
            refuse(m, AT(at, "redirectPath"), "is another path than that of redirectURI");
            return false;
        }
        path = place.target;
        o->redirect_uri = k->redirect_uri;
    }
    return path_make(m, AT(at, k->redirect_uri.n > 0 ? "redirectURI" : "redirectPath"), path,
                     "/oauth2/callback", &o->redirect_path);
}

/* ---- the cookie ---- */

static bool name_is_good(struct str name) {
    for (size_t i = 0; i < name.n; i++)
        if (!char_is(name.p[i], CHAR_TOKEN))
            return false;
    return name.n > 0 && name.n <= COOKIE_NAME_MAX;
}

/* RFC 6265bis 4.1.3: browsers refuse it otherwise. */
static bool cookie_is_good(struct making *m, const struct at *at, const struct model_auth_oidc *o) {
    bool host = str_starts(o->cookie, STR("__Host-"));
    if (!name_is_good(o->cookie)) {
        refuse(m, AT(at, "name"), "is no name of a cookie: letters, digits, - and _, at most %d",
               COOKIE_NAME_MAX);
        return false;
    }
    if (host && (o->cookie_domain.n > 0 || !str_eq(o->cookie_path, STR("/")))) {
        refuse(m, AT(at, "name"),
               "a cookie that begins with __Host- has neither domain nor path; take another name, "
               "or remove them");
        return false;
    }
    if (str_starts(o->cookie_domain, STR("*."))) {
        refuse(m, AT(at, "domain"), "write it without wildcard: it covers what is below");
        return false;
    }
    return true;
}

static bool cookie_make(struct making *m, const struct at *at, const struct kube_oidc_cookie *k,
                        struct model_auth_oidc *o) {
    static const struct kube_oidc_cookie usual = {0};
    k = k ? k : &usual;
    o->cookie_domain = k->domain;
    if (!path_make(m, AT(at, "path"), k->path, "/", &o->cookie_path))
        return false;
    bool host = k->domain.n == 0 && str_eq(o->cookie_path, STR("/"));
    o->cookie = k->name.n > 0 ? k->name : host ? STR("__Host-sluice") : STR("__Secure-sluice");
    o->same_site = str_eq(k->same_site, STR("Strict")) ? MODEL_SITE_STRICT
                   : str_eq(k->same_site, STR("None")) ? MODEL_SITE_NONE
                                                       : MODEL_SITE_LAX;
    return cookie_is_good(m, at, o);
}

/* The session's further cookies, and those of logins, begin with its name (proxy/auth/jar.h). */
static struct model_value_source *place_of(struct making *m, struct str cookie) {
    struct model_value_source *one = arena_zalloc(&m->a, sizeof(*one));
    *one = (struct model_value_source){.from = MODEL_FROM_COOKIE,
                                       .name = cookie,
                                       .prefix = arena_fmt(&m->a, "%.*s-", STR_FMT(cookie))};
    return one;
}

/* ---- session and logout ---- */

static bool time_make(struct making *m, const struct at *at, int64_t ms, int64_t max,
                      const char *most, uint64_t *to) {
    if (ms == 0 || ms > max) {
        refuse(m, at, "is at most %s, and more than nothing", most);
        return false;
    }
    *to = ms > 0 ? (uint64_t)ms : 0;
    return true;
}

static bool session_make(struct making *m, const struct at *at, const struct kube_oidc_session *k,
                         struct model_auth_oidc *o) {
    if (!k)
        return true;
    o->no_refresh = !k->refresh;
    return time_make(m, AT(at, "ttl"), k->ttl, TTL_MAX_MS, "720h", &o->ttl_ms) &&
           time_make(m, AT(at, "idle"), k->idle, IDLE_MAX_MS, "8h", &o->idle_ms);
}

/* A path of the same host, or an address. */
static bool after_logout(struct making *m, const struct at *at, struct str uri,
                         struct model_auth_oidc *o) {
    struct outside place;
    struct why why = {0};
    o->logout_uri = uri;
    if (uri.n == 0)
        return true;
    if (uri.p[0] == '/')
        return path_make(m, at, uri, "/", &o->logout_uri);
    if (outside_read(&place, &m->a, uri, &why) == 0)
        return true;
    refuse(m, at, "%s", why.text);
    return false;
}

static bool logout_make(struct making *m, const struct at *at, const struct kube_oidc_logout *k,
                        struct model_auth_oidc *o) {
    if (!k)
        return true;
    if (k->back_channel_path.n > 0)
        return auth_not_yet(m, AT(at, "backChannelPath"), "a back-channel logout");
    if (!path_make(m, AT(at, "path"), k->path, "/logout", &o->logout_path) ||
        !after_logout(m, AT(at, "redirectURI"), k->redirect_uri, o))
        return false;
    if (!str_eq(o->logout_path, o->redirect_path))
        return true;
    refuse(m, AT(at, "path"), "is the path that the provider sends browsers back to");
    return false;
}

/* ---- the authorisation request (OpenID Connect Core 1.0 section 3.1.2.1) ---- */

/* What the gateway says itself, and what would change the way that the answer comes. */
static bool is_own(struct str name) {
    static const char *const own[] = {"response_type", "client_id",      "redirect_uri",
                                      "scope",         "state",          "nonce",
                                      "request",       "code_challenge", "code_challenge_method",
                                      "response_mode", "request_uri"};
    for (size_t i = 0; i < ARRAY_LEN(own); i++)
        if (str_eq(name, str_of(own[i])))
            return true;
    return false;
}

static bool parameters_put(struct making *m, const struct at *at, const struct kube_oidc *k,
                           struct out *o) {
    struct shown shown;
    for (uint32_t i = 0; i < k->n_parameters; i++) {
        struct str name = k->parameters[i].key;
        bool good = name.n > 0 && !is_own(name);
        for (size_t c = 0; c < name.n; c++)
            good = good && char_is(name.p[c], CHAR_HOST);
        if (!good) {
            refuse(m, AT(at, "parameters"),
                   "%s is no parameter that can be chosen: the gateway says it itself, or it is no "
                   "name",
                   why_show(name, &shown));
            return false;
        }
        form_pair(o, name, k->parameters[i].value);
    }
    return true;
}

static bool authorize_make(struct making *m, const struct at *at, const struct kube_oidc *k,
                           struct str endpoint, struct model_auth_oidc *o) {
    char scopes_room[1024];
    struct out scopes = out_fixed(scopes_room, sizeof(scopes_room));
    struct out all = out_heap(AUTHORIZE_MAX);
    out_lit(&scopes, "openid");
    for (uint32_t i = 0; i < k->n_scopes; i++)
        if (!str_eq(k->scopes[i], STR("openid"))) {
            out_char(&scopes, ' ');
            out_str(&scopes, k->scopes[i]);
        }
    out_str(&all, endpoint);
    if (!memchr(endpoint.p, '?', endpoint.n))
        out_lit(&all, "?");
    else if (endpoint.p[endpoint.n - 1] != '?')
        out_lit(&all, "&");
    out_lit(&all, "response_type=code&code_challenge_method=S256");
    form_pair(&all, STR("client_id"), k->client_id);
    form_pair(&all, STR("scope"), out_done(&scopes));
    bool good = parameters_put(m, at, k, &all);
    bool fits = !all.over && !scopes.over;
    if (good && fits)
        o->authorize = arena_str(&m->a, out_done(&all));
    out_fini(&all);
    if (good && !fits)
        refuse(m, AT(at, "scopes"), "scopes and parameters are longer than %d bytes in all",
               AUTHORIZE_MAX);
    return good && fits;
}

/* ---- the provider ---- */

static struct str discovery_uri(struct making *m, const struct kube_oidc *k) {
    struct str issuer = k->issuer;
    if (k->discovery_uri.n > 0)
        return k->discovery_uri;
    if (issuer.p[issuer.n - 1] == '/')
        issuer.n--;
    return arena_fmt(&m->a, "%.*s/.well-known/openid-configuration", STR_FMT(issuer));
}

/* Strict: it becomes part of an answer's head. */
static bool place_is_good(struct making *m, const struct at *at, const char *name, struct str uri,
                          struct outside *place) {
    struct why why = {0};
    if (outside_read(place, &m->a, uri, &why) == 0)
        return true;
    close_as(m, "InvalidDiscovery", at,
             "its %s cannot be used: %s; until it can everything that this policy targets is "
             "answered with 503 policy_unavailable",
             name, why.text);
    return false;
}

static bool endpoints_make(struct making *m, const struct at *at, const struct at *uri_at,
                           const struct kube_oidc *k, struct str method, struct str document,
                           struct model_auth_oidc *o) {
    struct discovery d;
    struct outside place;
    struct why why = {0};
    if (discovery_login(&d, &m->a, document, k->issuer, &why) != 0) {
        close_as(m, "InvalidDiscovery", uri_at,
                 "%s; until it is otherwise everything that this policy targets is answered with "
                 "503 policy_unavailable",
                 why.text);
        return false;
    }
    if (!place_is_good(m, uri_at, "authorization_endpoint", d.authorization, &place) ||
        (d.end_session.n > 0 &&
         !place_is_good(m, uri_at, "end_session_endpoint", d.end_session, &place)) ||
        !place_is_good(m, uri_at, "token_endpoint", d.token, &place))
        return false;
    o->end_session = d.end_session;
    o->token_host = place.authority;
    o->token_path = place.target;
    o->token = outside_backend(m, uri_at, method, &place, AT(at, "caRef"), k->ca_ref);
    return o->token.n > 0 && authorize_make(m, at, k, d.authorization, o);
}

static bool provider_make(struct making *m, const struct at *at, const struct kube_oidc *k,
                          struct str method, struct model_auth_oidc *o) {
    const struct at *uri_at = AT(at, k->discovery_uri.n > 0 ? "discoveryURI" : "issuer");
    struct model_key_set set = {.origin = origin_of(m, m->r, uri_at)};
    struct str document = STR_NONE;
    const struct auth_fetching f = {.at = uri_at,
                                    .ca_at = AT(at, "caRef"),
                                    .ca = k->ca_ref,
                                    .method = method,
                                    .url = discovery_uri(m, k),
                                    .issuer = k->issuer};
    if (!auth_keys_fetched(m, &f, &set, &document) ||
        !endpoints_make(m, at, uri_at, k, method, document, o))
        return false;
    o->issuer = k->issuer;
    o->key_set = auth_key_set_id(m, method);
    return make(m, MODEL_KIND_key_set, o->key_set, &set) == 0;
}

bool auth_oidc_make(struct making *m, const struct at *at, const struct kube_oidc *k,
                    struct model_auth_method_config *o) {
    struct model_auth_oidc *i = o->oidc = arena_zalloc(&m->a, sizeof(*i));
    i->audiences = k->audiences;
    i->n_audiences = k->n_audiences;
    i->n_claims = k->n_required_claims;
    i->claims = auth_claims(m, at, "requiredClaims", k->required_claims, k->n_required_claims);
    i->access_token = k->access_token_to_backend;
    i->asks = str_eq(k->on_unauthenticated, STR("Redirect")) ? MODEL_OIDC_REDIRECT
              : str_eq(k->on_unauthenticated, STR("Deny"))   ? MODEL_OIDC_DENY
                                                             : MODEL_OIDC_AUTO;
    o->consumers = k->consumers ? auth_scope(m, at, k->consumers) : NULL;
    if (!i->claims || !redirect_make(m, at, k, i) ||
        !cookie_make(m, AT(at, "cookie"), k->cookie, i) ||
        !session_make(m, AT(at, "session"), k->session, i) ||
        !logout_make(m, AT(at, "logout"), k->logout, i) || !secret_make(m, at, k, i) ||
        !provider_make(m, at, k, o->name, i))
        return false;
    if (!k->logout || !k->logout->provider)
        i->end_session = STR_NONE;
    o->from = place_of(m, i->cookie);
    o->n_from = 1;
    return true;
}
