/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/upstream/trust.h"

#include "lib/log.h"
#include "lib/mem.h"
#include "lib/ws_tls.h"

struct trust {
    struct list link;
    uint32_t slot;
    uint64_t id_hash, version;
    uint8_t protocol; /* enum model_app_protocol, a policy's word */
    struct tls_client *client;
};

void trusts_init(struct trusts *t) {
    *t = (struct trusts){0};
    list_init(&t->list);
}

static void trust_free(struct trusts *t, struct trust *x) {
    list_del(&x->link);
    t->n--;
    tls_client_free(x->client);
    mem_free(x);
}

void trusts_fini(struct trusts *t) {
    list_each_safe(it, &t->list)
        trust_free(t, list_entry(it, struct trust, link));
    X509_STORE_free(t->system);
}

static bool is_of(const struct trust *x, const struct backend *b) {
    return x->slot == b->slot && x->id_hash == b->id_hash && x->version == b->version &&
           x->protocol == b->protocol;
}

void trusts_adopt(struct trusts *t, const struct snapshot *law) {
    list_each_safe(it, &t->list) {
        struct trust *x = list_entry(it, struct trust, link);
        const struct backend *b = snapshot_backend(law, x->slot);
        if (b == NULL || !is_of(x, b))
            trust_free(t, x);
    }
}

/* ---- from the law ---- */

/* Read once, by the first connection that needs it: some milliseconds. */
static X509_STORE *system_store(struct trusts *t) {
    if (t->system == NULL) {
        t->system = X509_STORE_new();
        must(t->system);
        if (X509_STORE_set_default_paths(t->system) != 1)
            log_error("tls", "the system's certificates of authorities cannot be read");
    }
    X509_STORE_up_ref(t->system);
    return t->system;
}

/* What the user has named is trusted, whether it is a root or not. */
static X509_STORE *own_store(const struct model_upstream_tls *m, struct why *why) {
    X509_STORE *s = ws_store_new(m->ca, why);
    if (s != NULL)
        X509_STORE_set_flags(s, X509_V_FLAG_PARTIAL_CHAIN);
    return s;
}

static const char *protocols_of(const struct backend *b) {
    return b->protocol == MODEL_H2 ? "\x02h2" : "\x08http/1.1";
}

static struct tls_client *client_new(struct trusts *t, const struct backend *b, struct why *why) {
    const struct model_upstream_tls *m = b->model->tls;
    struct tls_client_policy p = {.min_version = m->min_version == MODEL_TLS13 ? TLS1_3_VERSION
                                                                               : TLS1_2_VERSION,
                                  .protocols = protocols_of(b),
                                  .name = m->sni,
                                  .hosts = m->hosts,
                                  .n_hosts = m->n_hosts,
                                  .uris = m->uris,
                                  .n_uris = m->n_uris};
    struct keypair pair = {0};
    struct tls_client *k = NULL;
    if (!m->insecure_skip_verify) {
        p.authorities = m->ca.n > 0 ? own_store(m, why) : system_store(t);
        if (p.authorities == NULL)
            return NULL;
    }
    if (m->client_chain.n == 0 ||
        keypair_load(&pair, NULL, m->client_chain, m->client_key, why) == 0) {
        p.pair = pair.leaf != NULL ? &pair : NULL;
        k = tls_client_new(&p, why);
        keypair_free(&pair);
    }
    X509_STORE_free(p.authorities);
    return k;
}

struct tls_client *trust_of(struct trusts *t, const struct backend *b) {
    struct why why = {0};
    list_each(it, &t->list) {
        struct trust *x = list_entry(it, struct trust, link);
        if (!is_of(x, b))
            continue;
        list_del(&x->link);
        list_push(&t->list, &x->link);
        return x->client;
    }
    struct tls_client *k = client_new(t, b, &why);
    if (k == NULL) { /* it could be when it was taken */
        log_error("tls", "TLS to a backend cannot be used backend=%.*s reason=%s", STR_FMT(b->name),
                  why.text);
        return NULL;
    }
    if (t->n == TRUSTS_MAX)
        trust_free(t, list_entry(t->list.prev, struct trust, link));
    struct trust *x = mem_zalloc(sizeof(*x));
    *x = (struct trust){.slot = b->slot,
                        .id_hash = b->id_hash,
                        .version = b->version,
                        .protocol = b->protocol,
                        .client = k};
    list_push(&t->list, &x->link);
    t->n++;
    return k;
}
