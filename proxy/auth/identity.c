/* SPDX-License-Identifier: Apache-2.0
 *
 * identity: what the backend sees of the caller, whichever method it was. The same fields of the
 * client were taken away before (S34): forward.c strips all identity headers.
 */
#include "lib/chars.h"
#include "proxy/auth/parts.h"

/* Several values are divided by commas, so that one with a comma would be two. */
struct list_writer {
    struct out *o;
    unsigned n;
    bool bad;
};

static void write_value(struct list_writer *w, struct str v, bool list) {
    const char *end = v.p + v.n;
    w->bad |= chars_value(v.p, end) != end || chars_find(v.p, end, '\t') != end ||
              (list && chars_find(v.p, end, ',') != end);
    w->bad |= v.n > 0 && (v.p[0] == ' ' || v.p[v.n - 1] == ' ');
    if (w->n++ > 0)
        out_char(w->o, ',');
    out_str(w->o, v);
}

static void write_claim(struct list_writer *w, const struct bearer *t, const struct claim *c) {
    if (!c)
        return;
    if (c->kind != CLAIM_LIST) {
        struct str v = claim_text(bearer_claims(t), c);
        if (v.p)
            write_value(w, v, false);
        return;
    }
    struct str word;
    for (struct claim_words words = claim_words(bearer_claims(t), c); claim_next(&words, &word);)
        write_value(w, word, true);
}

static void write_words(struct list_writer *w, const struct bearer *t, const struct claim *c) {
    struct str word;
    if (!c)
        return;
    for (struct claim_words words = claim_words(bearer_claims(t), c); claim_next(&words, &word);)
        write_value(w, word, true);
}

static void write_groups(struct list_writer *w, const struct caller *who) {
    for (uint32_t i = 0; who->known && i < who->consumer.consumer->n_groups; i++)
        write_value(w, who->consumer.consumer->groups[i], true);
    if (who->token && who->jwt->n_group_claim > 0)
        write_words(w, who->token,
                    bearer_claim(who->token, who->jwt->group_claim, who->jwt->n_group_claim));
}

/* A token says what it says; who has none has a name at most. */
static void write_named(struct list_writer *w, const struct caller *who, const struct str *path,
                        size_t n) {
    if (who->token)
        write_claim(w, who->token, bearer_claim(who->token, path, n));
    else if (who->subject.n > 0 && n == 1 && str_eq(path[0], STR("sub")))
        write_value(w, who->subject, false);
}

static void write_from(struct list_writer *w, const struct caller *who,
                       const struct model_identity_header *h) {
    struct str consumer = caller_consumer(who);
    switch (h->from) {
    case MODEL_IDENTITY_CLAIM:
        write_named(w, who, h->path, h->n_path);
        return;
    case MODEL_IDENTITY_CONSUMER:
        if (consumer.n > 0)
            write_value(w, consumer, false);
        return;
    case MODEL_IDENTITY_METHOD:
        if (who->method.n > 0)
            write_value(w, who->method, false);
        return;
    case MODEL_IDENTITY_GROUPS:
        write_groups(w, who);
        return;
    case MODEL_IDENTITY_SCOPES:
        if (who->token)
            write_words(w, who->token, bearer_scopes(who->token, who->jwt));
        return;
    case MODEL_IDENTITY_CUSTOM_ID:
        if (who->known && who->consumer.consumer->custom_id.n > 0)
            write_value(w, who->consumer.consumer->custom_id, false);
        return;
    }
}

int identity_write(struct judging *j, struct out *o) {
    const struct model_identity *id = j->who.law->model->identity;
    for (uint32_t i = 0; id && i < id->n_headers; i++) {
        size_t begin = o->n;
        struct list_writer w = {.o = o};
        if (!policy_is_identity(j->x->snapshot->gateway, id->headers[i].name))
            return judge_refuse(j, REASON_POLICY_UNAVAILABLE,
                                "a header of its identity is none of this gateway's identity "
                                "headers, so clients could set it as well");
        out_str(o, id->headers[i].name);
        out_lit(o, ": ");
        write_from(&w, &j->who, &id->headers[i]);
        if (w.bad)
            return judge_refuse(j, REASON_FORBIDDEN,
                                "a claim for the backend has characters that no header may have");
        if (w.n > 0)
            out_lit(o, "\r\n");
        else if (!o->over)
            o->n = begin; /* nothing is known: no field */
    }
    return id && id->client_certificate ? certificate_write(j, o) : 0;
}
