/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/compile/certificate.h"

#include "lib/certificate.h"
#include "lib/hash.h"
#include "lib/staple.h"

static struct str certificate_id(struct arena *a, const struct unit *u) {
    return model_id(a, MODEL_KIND_certificate, u->ns, u->name, STR_NONE);
}

void certificate_begin(struct compiler *c, struct unit *u) {
    list_append(&c->certificates, &u->certificate_link);
}

/* ---- from the Secret to the object ---- */

static void check_day(struct making *m, uint64_t not_after) {
    m->u->expires = not_after;
    if (not_after < m->c->now)
        warn(m, NULL, "the certificate has expired on %.*s; put a new one into the Secret",
             STR_FMT(certificate_day(&m->a, not_after)));
}

/* What is wrong with a staple never costs the certificate: it is left out, and said. */
static void staple(struct making *m, struct model_certificate *o) {
    struct str der = resource_secret(m->r, STR("tls.ocsp-staple"));
    struct why why = {0};
    struct staple s;
    if (der.n == 0)
        return;
    if (staple_read(der, o->chain, &s, &why) != 0) {
        warn(m, NULL, "tls.ocsp-staple is not shown to clients: %s", why.text);
        return;
    }
    if (s.until <= m->c->now) {
        warn(m, NULL,
             "tls.ocsp-staple is not shown to clients: it held until %.*s; put a new one "
             "into the Secret",
             STR_FMT(certificate_day(&m->a, s.until)));
        return;
    }
    certificate_expires(m, s.until);
    o->ocsp = der;
    o->ocsp_until = s.until;
}

static int make_object(struct making *m, const struct certificate *c) {
    struct model_certificate o = {.origin = origin_of(m, m->r, NULL),
                                  .chain = c->chain,
                                  .key = c->key,
                                  .names = c->names,
                                  .n_names = c->n_names,
                                  .not_after = c->not_after};
    staple(m, &o);
    if (c->n_names == 0)
        warn(m, NULL,
             "the certificate has no DNS name in its subjectAltName, so no client will "
             "trust it");
    if (c->gap > 0)
        warn(m, NULL,
             "certificate %u in tls.crt was not issued by the one behind it; put the "
             "chain in order, the leaf first",
             c->gap);
    return make(m, MODEL_KIND_certificate, certificate_id(&m->a, m->u), &o);
}

static int from_secret(struct making *m) {
    const struct kube_Secret *s = resource_Secret(m->r);
    struct certificate c;
    struct why why = {0};
    struct shown shown;
    if (!s) {
        m->why = *m->r->refused;
        return -1;
    }
    if (!str_eq(s->type, STR("kubernetes.io/tls")))
        return refuse(m, AT(NULL, "type"), "%s is not kubernetes.io/tls",
                      why_show(s->type.n > 0 ? s->type : STR("Opaque"), &shown));
    if (certificate_read(resource_secret(m->r, STR("tls.crt")),
                         resource_secret(m->r, STR("tls.key")), &m->a, &c, &why) != 0)
        return refuse(m, NULL, "%s", why.text);
    check_day(m, c.not_after);
    return make_object(m, &c);
}

static enum certificate_state compile(struct making *m) {
    const struct unit *u = m->u;
    const struct why *why;
    m->r = store_read(m->c->store, u->su, KUBE_Secret, u->ns, u->name);
    if (m->r)
        return from_secret(m) == 0 ? CERTIFICATE_GOOD : CERTIFICATE_BAD;
    if (store_is_unknown(m->c->store, KUBE_Secret, u->ns, u->name, &why))
        return CERTIFICATE_UNKNOWN;
    if (!why)
        return CERTIFICATE_ABSENT;
    refuse(m, NULL, "it cannot be read: %s", why->text);
    return CERTIFICATE_BAD;
}

void certificate_compile(struct making *m) {
    m->u->certificate = compile(m);
    m->keep = m->u->certificate == CERTIFICATE_UNKNOWN || m->u->certificate == CERTIFICATE_BAD;
    if (m->u->certificate == CERTIFICATE_ABSENT)
        m->u->expires = 0;
}

static const struct model_certificate *live_one(const struct unit *u, struct arena *a) {
    return u->objects.n > 0 ? object_decode(u->objects.v[0], a, NULL) : NULL;
}

/* What readers see. */
static uint64_t fact_of(const struct unit *u, uint64_t said) {
    struct arena a;
    arena_init(&a);
    const struct model_certificate *c = live_one(u, &a);
    uint64_t h = hash_mix(said, u->certificate | (c ? 256U : 0U));
    for (uint32_t i = 0; c && i < c->n_names; i++)
        h = hash_mix(h, hash_content(c->names[i]));
    arena_fini(&a);
    return h;
}

void certificate_tell(struct compiler *c, struct unit *u, uint64_t said) {
    bool blind = u->certificate == CERTIFICATE_UNKNOWN || u->certificate == CERTIFICATE_BAD;
    uint64_t fact = fact_of(u, said);
    if (!blind)
        u->restored = false;
    if (!blind || (u->objects.n == 0 && !u->restored))
        unit_lost(c, u, blind);
    if (fact == u->fact)
        return;
    struct arena a;
    arena_init(&a);
    u->fact = fact;
    store_touch(c->store, certificate_id(&a, u));
    arena_fini(&a);
}

/* ---- for those who name it ---- */

static void say(struct making *m, const struct at *at, const char *shown, const struct unit *u) {
    const struct compile_status *s = &u->status;
    const struct why *why = s->conditions[CONDITION_ACCEPTED].why;
    if (u->certificate == CERTIFICATE_ABSENT)
        unresolved(m, "InvalidCertificateRef", at, "there is no %s", shown);
    else if (u->certificate == CERTIFICATE_BAD && why)
        unresolved(m, "InvalidCertificateRef", at, "%s cannot be used: %s%s%s%s", shown, why->field,
                   why->field[0] ? ": " : "", why->text,
                   u->objects.n > 0 ? "; its last good version goes on" : "");
    for (size_t i = 0; i < s->n_warnings; i++)
        warn(m, at, "%s: %s", shown, s->warnings[i].text);
}

const char *certificate_ref_fault(struct making *m, const struct kube_certificate_ref *k) {
    struct shown room;
    if (k->group.n == 0 && (k->kind.n == 0 || str_eq(k->kind, STR("Secret"))))
        return NULL;
    return arena_fmt(&m->a, "%s holds no certificates; only Secrets do",
                     why_show(k->kind.n > 0 ? k->kind : k->group, &room))
        .p;
}

void certificate_ref(struct making *m, const struct at *at, const char *shown, struct str ns,
                     struct str name, struct certificate_ref *ref) {
    struct unit *u = unit_get(m->c, UNIT_CERTIFICATE, ns, name, STR_NONE);
    *ref = (struct certificate_ref){.id = certificate_id(&m->a, u)};
    want(m, u);
    store_read_key(m->c->store, m->u->su, ref->id);
    if (u->su->dirty) {
        m->wait = true;
        return;
    }
    if (u->certificate == CERTIFICATE_UNKNOWN)
        m->keep = true;
    else
        say(m, at, shown, u);
    const struct model_certificate *c = live_one(u, &m->a);
    ref->live = c != NULL;
    ref->names = c ? c->names : NULL;
    ref->n_names = c ? c->n_names : 0;
}

/* ---- the time ---- */

void certificate_expires(struct making *m, uint64_t seconds) {
    struct unit *u = m->u;
    if (seconds < m->c->now)
        return;
    if (list_empty(&u->certificate_link))
        list_append(&m->c->certificates, &u->certificate_link);
    if (u->expires < m->c->now || seconds < u->expires)
        u->expires = seconds;
}

void compile_clock(struct compiler *c, uint64_t seconds) {
    uint64_t was = c->now;
    c->now = seconds;
    list_each(l, &c->certificates) {
        struct unit *u = list_entry(l, struct unit, certificate_link);
        if (u->expires > 0 && (u->expires < was) != (u->expires < seconds))
            store_unit_dirty(c->store, u->su);
    }
}
