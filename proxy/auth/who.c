/* SPDX-License-Identifier: Apache-2.0
 *
 * who: the caller of the request that was judged last, for those who come after the judge.
 */
#include "proxy/auth/parts.h"

struct str auth_who_consumer(const struct auth_env *env) {
    return caller_consumer(&env->who);
}

bool auth_who_has_group(const struct auth_env *env, struct str group) {
    return caller_has_group(&env->who, group);
}

bool auth_who_claim(const struct auth_env *env, const struct str *path, size_t n, struct out *o) {
    const struct bearer *t = env->who.token;
    const struct claim *c = t ? bearer_claim(t, path, n) : NULL;
    if (!c)
        return false;
    struct str text = claim_text(bearer_claims(t), c);
    if (text.p)
        out_str(o, text);
    else
        claim_json(bearer_claims(t), c, o);
    return true;
}

const struct model_rate_limit *auth_who_quota(const struct auth_env *env, struct str *consumer) {
    const struct caller *w = &env->who;
    if (!w->known)
        return NULL;
    *consumer = w->consumer.id;
    return w->consumer.consumer->rate_limit;
}
