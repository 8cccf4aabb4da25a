/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/signing.h"

int signing_keys_check(const struct model_signing_keys *m, struct why *why) {
    if (m->n_keys == 0 || m->n_keys > SIGNING_KEYS_MAX)
        return why_text(why, "%u keys of internal tokens; 1 to %d are possible", m->n_keys,
                        SIGNING_KEYS_MAX);
    if (m->period_s == 0 || m->period_s > SIGNING_PERIOD_MAX_S)
        return why_text(why, "a key of internal tokens signs for 1 to %d s", SIGNING_PERIOD_MAX_S);
    for (uint32_t i = 0; i < m->n_keys; i++) {
        if (m->keys[i].secret.n == 0 || m->keys[i].secret.n > SIGNING_SECRET_MAX)
            return why_text(why, "key %u of internal tokens has %zu bytes; 1 to %d are possible",
                            i + 1, m->keys[i].secret.n, SIGNING_SECRET_MAX);
        if (m->keys[i].from > UINT32_MAX || (i > 0 && m->keys[i].from <= m->keys[i - 1].from))
            return why_text(why, "key %u of internal tokens is not behind the one before it",
                            i + 1);
    }
    return 0;
}
