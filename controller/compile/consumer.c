/* SPDX-License-Identifier: Apache-2.0
 *
 * consumer: a Consumer's credentials, as the sixteen bytes by which they are found, and the secrets
 * that something is signed with. Of two Consumers with the same one the older keeps it. What is
 * said of a credential never shows it.
 *
 *     digest ─► struct held ─► by: the units that have it, the older first
 */
#include "controller/compile/auth.h"
#include "controller/compile/auth_parts.h"
#include "controller/compile/limits.h"
#include "controller/compile/material.h"
#include "lib/chars.h"
#include "lib/credential.h"
#include "lib/jwt.h"
#include "lib/mem.h"
#include "lib/password.h"

enum {
    KEYS_MAX = 4096,   /* of one Consumer */
    KEY_BYTES_MIN = 8, /* a shorter one is guessed */
    SECRET_BYTES_MIN = 16,
    SECRET_BYTES_MAX = 1024,
};

/* One digest, whoever has it. */
struct held {
    char digest[CREDENTIAL_DIGEST];
    struct list by; /* struct holding */
};

struct holding {
    struct list unit_link, held_link;
    struct held *held;
    struct unit *unit;
};

static struct str key_of(const struct held *h) { return str_mk(h->digest, sizeof(h->digest)); }

static void others_look_again(struct compiler *c, const struct held *h, const struct unit *u) {
    list_each(l, &h->by) {
        struct unit *other = list_entry(l, struct holding, held_link)->unit;
        if (other != u)
            store_unit_dirty(c->store, other->su);
    }
}

void consumer_none(struct compiler *c, struct unit *u) {
    list_each_safe(l, &u->holds) {
        struct holding *x = list_entry(l, struct holding, unit_link);
        others_look_again(c, x->held, u);
        list_del(&x->held_link);
        if (list_empty(&x->held->by)) {
            map_del(&c->credentials, key_of(x->held));
            mem_free(x->held);
        }
        mem_free(x);
    }
    list_init(&u->holds);
}

static bool older(const struct compiler *c, const struct unit *a, const struct unit *b) {
    const struct resource *x = store_get(c->store, KUBE_Consumer, a->ns, a->name);
    const struct resource *y = store_get(c->store, KUBE_Consumer, b->ns, b->name);
    uint64_t s = x && x->meta.created ? x->meta.created : UINT64_MAX;
    uint64_t t = y && y->meta.created ? y->meta.created : UINT64_MAX;
    if (s != t)
        return s < t;
    int order = str_cmp(a->ns, b->ns);
    return order ? order < 0 : str_cmp(a->name, b->name) < 0;
}

static struct held *held_get(struct compiler *c, const char *digest) {
    struct held *h = map_get(&c->credentials, str_mk(digest, CREDENTIAL_DIGEST));
    if (h)
        return h;
    h = mem_zalloc(sizeof(*h));
    memcpy(h->digest, digest, CREDENTIAL_DIGEST);
    list_init(&h->by);
    map_put(&c->credentials, key_of(h), h);
    return h;
}

static void take(struct compiler *c, struct unit *u, const char *digest) {
    struct held *h = held_get(c, digest);
    struct holding *x = mem_zalloc(sizeof(*x));
    others_look_again(c, h, u);
    x->held = h;
    x->unit = u;
    list_append(&h->by, &x->held_link);
    list_append(&u->holds, &x->unit_link);
}

static bool same(const struct unit *u, const struct model_consumer *o) {
    uint32_t i = 0;
    list_each(l, &u->holds) {
        const struct holding *x = list_entry(l, struct holding, unit_link);
        if (i == o->n_credentials ||
            memcmp(x->held->digest, o->credentials[i].digest.p, CREDENTIAL_DIGEST) != 0)
            return false;
        i++;
    }
    return i == o->n_credentials;
}

/* Whether an older Consumer has it. */
static bool is_taken(const struct compiler *c, const struct unit *u, const char *digest) {
    const struct held *h = map_get(&c->credentials, str_mk(digest, CREDENTIAL_DIGEST));
    list_each(l, &h->by) {
        const struct unit *other = list_entry(l, struct holding, held_link)->unit;
        if (other != u && older(c, other, u))
            return true;
    }
    return false;
}

static struct str said_name(const struct model_credential *c) {
    return c->name.n > 0 ? c->name : STR("credential-0"); /* its only one */
}

/* Those that another one keeps are left out. */
static void keep_own(struct making *m, struct model_consumer *o) {
    uint32_t kept = 0;
    if (!same(m->u, o)) {
        consumer_none(m->c, m->u);
        for (uint32_t i = 0; i < o->n_credentials; i++)
            take(m->c, m->u, o->credentials[i].digest.p);
    }
    for (uint32_t i = 0; i < o->n_credentials; i++) {
        if (!is_taken(m->c, m->u, o->credentials[i].digest.p))
            o->credentials[kept++] = o->credentials[i];
        else
            close_as(m, "Conflicted", AT(AT(NULL, "spec"), "credentials"),
                     "%.*s: an older Consumer has the same credential and keeps it, so it does not "
                     "count here; make a new one for this Consumer",
                     STR_FMT(said_name(&o->credentials[i])));
    }
    o->n_credentials = kept;
}

/* ---- credentials ---- */

struct filling {
    struct making *m;
    struct model_consumer *o;
    uint32_t cap;
};

static bool has(const struct model_consumer *o, const char *digest) {
    for (uint32_t i = 0; i < o->n_credentials; i++)
        if (memcmp(o->credentials[i].digest.p, digest, CREDENTIAL_DIGEST) == 0)
            return true;
    return false;
}

static struct model_credential *room(struct filling *f) {
    struct model_consumer *o = f->o;
    if (o->n_credentials == f->cap) {
        struct model_credential *old = o->credentials;
        f->cap = f->cap ? 2 * f->cap : 4;
        o->credentials = arena_array(&f->m->a, f->cap, sizeof(*old));
        if (old)
            memcpy(o->credentials, old, o->n_credentials * sizeof(*old));
    }
    return &o->credentials[o->n_credentials++];
}

/* By which it is found; word: lib/credential.h's method. */
static void add_as(struct filling *f, const struct at *at, const char *word, struct str a,
                   struct str b, struct model_credential made) {
    struct making *m = f->m;
    char *digest = arena_alloc(&m->a, CREDENTIAL_DIGEST);
    if (!m->c->digests)
        m->c->digests = credential_scratch_new();
    credential_digest(m->c->digests, word, a, b, digest);
    made.digest = str_mk(digest, CREDENTIAL_DIGEST);
    if (f->o->n_credentials == KEYS_MAX)
        warn(m, at, "more than %d credentials; this one does not count", KEYS_MAX);
    else if (has(f->o, digest))
        warn(m, at, "the same credential as one before it; remove it");
    else
        *room(f) = made;
}

static void add(struct filling *f, const struct at *at, enum model_auth_method type,
                struct str name, struct str a, struct str b) {
    add_as(f, at, model_word(&model_words_auth_method, type), a, b,
           (struct model_credential){.type = type, .name = name});
}

/* The secret of a reference; a line end that an editor has left is none of a text. False: it
 * cannot be had, and it was said. */
static bool secret_of(struct filling *f, const struct at *ref, const struct kube_key_ref *k,
                      struct str *secret) {
    struct making *m = f->m;
    struct material x = material_of(m, m->r, ref, KUBE_Secret, STR_NONE, k->name);
    x.reason = "InvalidSecretRef";
    if (!material_entry(m, &x, k->key, STR("secret"), secret))
        return false;
    size_t n = secret->n;
    while (n > 1 && secret->p[n - 2] >= ' ' && secret->p[n - 2] <= '~')
        n--;
    if (n == 1 && secret->p[secret->n - 1] == '\n')
        secret->n--;
    if (secret->n <= SECRET_BYTES_MAX)
        return true;
    warn(m, ref, "a secret of %zu bytes is longer than the limit of %d, and does not count",
         secret->n, SECRET_BYTES_MAX);
    return false;
}

static void add_hmac(struct filling *f, const struct at *at, struct str name,
                     const struct kube_credential_hmac *k) {
    const struct at *ref = AT(AT(at, "hmac"), "secretRef");
    struct str own = f->m->r->meta.name, ns = f->m->r->meta.namespace, secret;
    if (!secret_of(f, ref, k->secret_ref, &secret))
        return;
    if (secret.n < SECRET_BYTES_MIN) {
        warn(f->m, ref,
             "a secret of %zu bytes would be guessed from one signature, and does not count; take "
             "a random one of %d or more",
             secret.n, SECRET_BYTES_MIN);
        return;
    }
    add_as(f, ref, model_word(&model_words_auth_method, MODEL_AUTH_HMAC), ns,
           k->key_id.n > 0 ? k->key_id : own,
           (struct model_credential){.type = MODEL_AUTH_HMAC, .name = name, .secret = secret});
}

/* Without the line end that editors leave. */
static struct str one_line(struct str s) {
    if (s.n > 0 && s.p[s.n - 1] == '\n')
        s.n--;
    return s;
}

static void add_key(struct filling *f, const struct at *at, struct str name, struct str key) {
    key = one_line(key);
    if (key.n < KEY_BYTES_MIN)
        warn(f->m, at, "a key of %zu bytes would be guessed, and does not count; write at least %d",
             key.n, KEY_BYTES_MIN);
    else
        add(f, at, MODEL_AUTH_API_KEY, name, key, STR_NONE);
}

static void add_keys(struct filling *f, const struct at *at, struct str name,
                     const struct kube_credential_api_key *k) {
    struct making *m = f->m;
    const struct at *ref = AT(AT(at, "apiKey"), "secretRef");
    struct material x = material_of(m, m->r, ref, KUBE_Secret, STR_NONE, k->secret_ref->name);
    struct str value;
    x.reason = "InvalidSecretRef";
    if (k->secret_ref->key.n > 0) {
        if (material_entry(m, &x, k->secret_ref->key, STR_NONE, &value))
            add_key(f, ref, name, value);
        return;
    }
    const struct resource *r = material_read(m, &x);
    const struct kube_Secret *s = r && material_is_credential(m, &x, r) ? resource_Secret(r) : NULL;
    for (uint32_t i = 0; s && i < s->n_data; i++)
        add_key(f, ref, name, s->data[i].value);
    for (uint32_t i = 0; s && i < s->n_string_data; i++)
        add_key(f, ref, name, s->string_data[i].value);
}

/* A token that is signed with a secret of its own, by what names it. */
static void add_jwt_secret(struct filling *f, const struct at *jwt, struct str name,
                           const struct kube_credential_jwt *k) {
    const struct at *ref = AT(jwt, "secretRef");
    struct str claim = k->key_claim.n > 0 ? k->key_claim : STR("iss"), secret;
    struct why why = {0};
    enum jwt_alg alg;
    if (!jwt_alg_named(k->algorithm, &alg) || !(JWT_ALG(alg) & JWT_ALGS_SECRET)) {
        warn(f->m, AT(jwt, "algorithm"),
             "write HS256, HS384 or HS512; this credential does not count");
        return;
    }
    if (!secret_of(f, ref, k->secret_ref, &secret))
        return;
    if (jwt_secret_check(alg, secret, &why) != 0) {
        warn(f->m, ref, "%s; this one does not count", why.text);
        return;
    }
    add_as(f, ref, CREDENTIAL_JWT_SECRET,
           arena_fmt(&f->m->a, "%.*s/%.*s", STR_FMT(f->m->r->meta.namespace), STR_FMT(claim)),
           k->key,
           (struct model_credential){
               .type = MODEL_AUTH_JWT, .name = name, .secret = secret, .algorithm = k->algorithm});
}

static void add_jwt(struct filling *f, const struct at *at, struct str name,
                    const struct kube_credential_jwt *k) {
    const struct at *jwt = AT(at, "jwt");
    if (k->issuer.n > 0 && k->subject.n > 0 && k->key.n == 0 && !k->secret_ref)
        add(f, jwt, MODEL_AUTH_JWT, name, k->issuer, k->subject);
    else if (k->issuer.n == 0 && k->subject.n == 0 && k->key.n > 0 && k->secret_ref)
        add_jwt_secret(f, jwt, name, k);
    else
        warn(f->m, jwt,
             "write either issuer and subject, or key, algorithm and secretRef; it does "
             "not count");
}

/* ---- user name and password ---- */

/* RFC 7617 2: no colon, no control character. */
static bool is_user(struct str s) {
    bool good = s.n > 0 && s.n <= PASSWORD_USER_MAX;
    for (size_t i = 0; i < s.n && good; i++)
        good = (unsigned char)s.p[i] >= 0x20 && s.p[i] != 0x7f && s.p[i] != ':';
    return good;
}

/* "$2y$", "{SHA}": made by a program. One that is not known here is refused, and not taken for a
 * password in clear, which whoever reads the hash would then know. */
static bool is_hash(struct str s) {
    char end = s.n == 0 ? 0 : s.p[0] == '$' ? '$' : s.p[0] == '{' ? '}' : 0;
    size_t i = 1;
    while (end && i < s.n && char_is(s.p[i], CHAR_HOST))
        i++;
    return end && i > 1 && i < s.n && s.p[i] == end;
}

/* From Kong: its hash is made of the consumer's id as well. */
static int stored_from_kong(const struct filling *f, struct str hash, struct out *o,
                            struct why *why) {
    if (f->o->custom_id.n == 0)
        return why_text(why, "legacy: KongSHA1 needs spec.customID, the consumer's id in Kong");
    return password_from_kong(f->o->custom_id, hash, o, why);
}

/* Its salt is the Secret's own, whichever controller makes it. */
static int stored_from_clear(struct making *m, const struct kube_meta *secret, struct str user,
                             struct str password, struct out *o, struct why *why) {
    struct str place = arena_fmt(&m->a, "%.*s/%.*s/%.*s/%.*s", STR_FMT(secret->uid),
                                 STR_FMT(secret->namespace), STR_FMT(secret->name), STR_FMT(user));
    return password_make(password, place, o, why);
}

/* The stored form, in the unit's arena; n == 0: *why says what is wrong. */
static struct str stored_of(struct filling *f, const struct kube_credential_basic *k,
                            const struct resource *secret, struct str user, struct str password,
                            struct why *why) {
    char room[PASSWORD_STORED_MAX];
    struct out o = out_fixed(room, sizeof(room));
    struct password p;
    int bad;
    if (k->legacy.n > 0) {
        bad = stored_from_kong(f, password, &o, why);
    } else if (is_hash(password)) {
        bad = password_read(&p, password, why);
        out_str(&o, password);
    } else {
        bad = stored_from_clear(f->m, &secret->meta, user, password, &o, why);
    }
    return bad || o.over ? STR_NONE : arena_str(&f->m->a, out_done(&o));
}

static void add_basic(struct filling *f, const struct at *at, struct str name,
                      const struct kube_credential_basic *k) {
    struct making *m = f->m;
    const struct at *ref = AT(AT(at, "basic"), "secretRef");
    struct material x = material_of(m, m->r, ref, KUBE_Secret, STR_NONE, k->secret_ref->name);
    struct str user = k->username, password;
    struct why why = {0};
    x.reason = "InvalidSecretRef";
    if ((user.n == 0 && !material_entry(m, &x, STR("username"), STR_NONE, &user)) ||
        !material_entry(m, &x, k->secret_ref->key, STR("password"), &password))
        return;
    user = one_line(user);
    if (!is_user(user)) {
        warn(m, at,
             "a user name has 1 to %d bytes, no colon and no control character; this credential "
             "does not count",
             PASSWORD_USER_MAX);
        return;
    }
    const struct resource *secret = material_read(m, &x);
    struct str stored = stored_of(f, k, secret, user, one_line(password), &why);
    if (stored.n == 0)
        warn(m, ref, "%s; this credential does not count", why.text);
    else
        add_as(f, AT(at, "basic"), model_word(&model_words_auth_method, MODEL_AUTH_BASIC), user,
               m->r->meta.namespace,
               (struct model_credential){.type = MODEL_AUTH_BASIC, .name = name, .secret = stored});
}

/* As people write it: in either case, with colons or without. Room: 64 bytes. */
static bool fingerprint_is_good(struct str text, char to[64]) {
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++) {
        char c = char_lower(text.p[i]);
        bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
        if (c == ':' && n % 2 == 0 && n > 0)
            continue;
        if (!hex || n == 64)
            return false;
        to[n++] = c;
    }
    return n == 64;
}

/* A name with an asterisk stands for many: for nobody. */
static void add_san(struct filling *f, const struct at *at, struct str name,
                    const struct kube_client_san *k) {
    const char *why;
    struct str text = auth_san(f->m, k, &why);
    if (text.n == 0)
        warn(f->m, at, "%s; it does not count", why);
    else if (str_find(text, '*', 0) < text.n)
        warn(f->m, at,
             "a name with * stands for many, and a credential is one Consumer's; it does not "
             "count. Write the whole name");
    else
        add(f, at, MODEL_AUTH_CLIENT_CERTIFICATE, name, k->type, text);
}

static void add_certificate(struct filling *f, const struct at *at, struct str name,
                            const struct kube_credential_certificate *k) {
    char fingerprint[64];
    if ((k->subject_alt_name != NULL) + (k->common_name.n > 0) + (k->fingerprint.n > 0) != 1)
        warn(f->m, at,
             "write exactly one of subjectAltName, commonName and fingerprint; it does not count");
    else if (k->subject_alt_name)
        add_san(f, AT(at, "subjectAltName"), name, k->subject_alt_name);
    else if (k->common_name.n > 0)
        add(f, AT(at, "commonName"), MODEL_AUTH_CLIENT_CERTIFICATE, name, STR("commonName"),
            k->common_name);
    else if (fingerprint_is_good(k->fingerprint, fingerprint))
        add(f, AT(at, "fingerprint"), MODEL_AUTH_CLIENT_CERTIFICATE, name, STR("fingerprint"),
            str_mk(fingerprint, sizeof(fingerprint)));
    else
        warn(f->m, AT(at, "fingerprint"),
             "it is no SHA-256 in hexadecimal, of 64 digits; it does not count. \"openssl x509 "
             "-noout -fingerprint -sha256\" shows it");
}

static void add_credential(struct filling *f, const struct at *at, struct str name,
                           const struct kube_credential *k) {
    if (k->api_key)
        add_keys(f, at, name, k->api_key);
    else if (k->basic)
        add_basic(f, at, name, k->basic);
    else if (k->jwt)
        add_jwt(f, at, name, k->jwt);
    else if (k->hmac)
        add_hmac(f, at, name, k->hmac);
    else if (k->client_certificate)
        add_certificate(f, AT(at, "clientCertificate"), name, k->client_certificate);
}

/* In the log: as the user calls it, else its place among several. */
static struct str name_of(struct making *m, const struct kube_Consumer *k, uint32_t i) {
    struct str own = k->credentials[i].name;
    return own.n > 0 || k->n_credentials == 1 ? own : arena_fmt(&m->a, "credential-%u", i);
}

void consumer_make(struct making *m, const struct kube_Consumer *k) {
    struct model_consumer o = {.groups = k->groups,
                               .n_groups = k->n_groups,
                               .custom_id = k->custom_id,
                               .disabled = k->disabled,
                               .n_labels = m->r->meta.n_labels};
    struct filling f = {m, &o, 0};
    o.labels = arena_array(&m->a, o.n_labels, sizeof(*o.labels));
    for (uint32_t i = 0; i < o.n_labels; i++)
        o.labels[i] = (struct model_label){m->r->meta.labels[i].key, m->r->meta.labels[i].value};
    o.rate_limit = quota_make(m, AT(AT(NULL, "spec"), "rateLimit"), k->rate_limit);
    if (k->rate_limit && !o.rate_limit)
        return; /* refused, and goes on as it was when it was last good */
    for (uint32_t i = 0; i < k->n_credentials && !k->disabled; i++)
        add_credential(&f, AT_I(AT(NULL, "spec"), "credentials", i), name_of(m, k, i),
                       &k->credentials[i]);
    keep_own(m, &o);
    make(m, MODEL_KIND_consumer,
         model_id(&m->a, MODEL_KIND_consumer, m->r->meta.namespace, m->r->meta.name, STR_NONE), &o);
}
