/* SPDX-License-Identifier: Apache-2.0
 *
 * key: API keys. One hash and one look into the table of Consumers (proxy/route/consumers.h): the
 * time that takes says nothing about the keys that are there.
 */
#include "proxy/auth/parts.h"

#include "lib/hash.h"

enum { SOMEBODY_LOOKS = 8 };

static bool has_label(const struct model_consumer *c, const struct model_label *label) {
    for (uint32_t i = 0; i < c->n_labels; i++)
        if (str_eq(c->labels[i].key, label->key))
            return str_eq(c->labels[i].value, label->value);
    return false;
}

static struct str namespace_of(struct str id) {
    struct str ns;
    str_cut(id, '/', &ns);
    return ns;
}

bool consumer_counts(const struct model_consumer_scope *s, const struct consumer_found *f) {
    struct str ns = namespace_of(f->id);
    bool in = false;
    for (uint32_t i = 0; i < s->n_namespaces && !in; i++)
        in = str_eq(s->namespaces[i], ns);
    for (uint32_t i = 0; i < s->n_labels && in; i++)
        in = has_label(f->consumer, &s->labels[i]);
    return in;
}

bool consumer_with(struct judging *j, const struct method_law *m, const char *digest,
                   struct consumer_found *found) {
    if (consumers_find(snapshot_consumers(j->x->snapshot), m->model->type, digest, &j->env->arena,
                       found))
        return consumer_counts(m->model->consumers, found);
    if (unlikely(j->env->explaining != NULL))
        explain_unfound(j);
    return false;
}

bool consumer_find(struct judging *j, const struct method_law *m, struct str a, struct str b,
                   struct consumer_found *found) {
    char digest[CREDENTIAL_DIGEST];
    const char *word = model_word(&model_words_auth_method, m->model->type);
    credential_digest(j->env->digest, word, a, b, digest);
    return consumer_with(j, m, digest, found);
}

/* A longer name is nobody's. */
bool consumer_named(struct judging *j, const struct method_law *m, struct str name,
                    struct consumer_found *found) {
    char room[MODEL_ID_MAX];
    struct out whole = out_fixed(room, sizeof(room));
    if (str_find(name, '/', 0) == name.n) {
        out_str(&whole, namespace_of(j->who.law->name));
        out_char(&whole, '/');
    }
    out_str(&whole, name);
    return !whole.over &&
           consumers_named(snapshot_consumer_names(j->x->snapshot), out_done(&whole),
                           &j->env->arena, found) &&
           consumer_counts(m->model->consumers, found);
}

/* A few looks, since not everyone counts here. */
bool consumer_somebody(struct judging *j, const struct method_law *m, uint64_t seed, bool strictly,
                       struct consumer_found *found) {
    bool any = false;
    for (uint64_t i = 0; i < SOMEBODY_LOOKS; i++) {
        if (!consumers_some(snapshot_consumers(j->x->snapshot), m->model->type, hash_mix(seed, i),
                            &j->env->arena, found))
            break;
        if (consumer_counts(m->model->consumers, found))
            return true;
        any = true;
    }
    return any && !strictly;
}

void consumer_is(struct judging *j, const struct consumer_found *found) {
    if (!j->who.known)
        j->who.consumer = *found;
    j->who.known = true;
}

bool consumer_look(struct judging *j, const struct method_law *m, struct str a, struct str b) {
    struct consumer_found found;
    if (!consumer_find(j, m, a, b, &found))
        return false;
    consumer_is(j, &found);
    return true;
}

bool consumer_look_for(struct judging *j, const struct method_law *m, enum model_auth_method type,
                       struct str a, struct str b) {
    struct consumer_found found;
    char digest[CREDENTIAL_DIGEST];
    credential_digest(j->env->digest, model_word(&model_words_auth_method, type), a, b, digest);
    if (!consumers_find(snapshot_consumers(j->x->snapshot), type, digest, &j->env->arena, &found) ||
        !consumer_counts(m->model->consumers, &found))
        return false;
    consumer_is(j, &found);
    return true;
}

enum told key_tell(struct judging *j, const struct method_law *m) {
    struct str key;
    enum place p = judge_find(j, m->model->from, m->model->n_from, &key);
    if (p == PLACE_NONE)
        return TOLD_ABSENT;
    if (p == PLACE_TWICE)
        judge_refuse(j, REASON_UNAUTHENTICATED, "the key is there twice");
    else if (key.n > 0 && consumer_look(j, m, key, STR_NONE))
        return TOLD_GOOD;
    else
        judge_refuse(j, REASON_UNAUTHENTICATED, "no Consumer that counts here has this key");
    return TOLD_BAD;
}
