/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/ticket.h"

static int check(const struct model_ticket_key *keys, uint32_t n, uint64_t period_s, const char *of,
                 struct why *why) {
    if (n == 0 || n > TICKET_KEYS_MAX)
        return why_text(why, "%u keys of %s; 1 to %d are possible", n, of, TICKET_KEYS_MAX);
    if (period_s == 0 || period_s > TICKET_PERIOD_MAX_S)
        return why_text(why, "a key of %s seals for 1 to %d s", of, TICKET_PERIOD_MAX_S);
    for (uint32_t i = 0; i < n; i++) {
        if (keys[i].secret.n != TICKET_SECRET)
            return why_text(why, "key %u of %s has %zu bytes instead of %d", i + 1, of,
                            keys[i].secret.n, TICKET_SECRET);
        if (keys[i].from > UINT32_MAX || (i > 0 && keys[i].from <= keys[i - 1].from))
            return why_text(why, "key %u of %s is not behind the one before it", i + 1, of);
    }
    return 0;
}

int ticket_keys_check(const struct model_ticket_keys *m, struct why *why) {
    return check(m->keys, m->n_keys, m->period_s, "tickets", why);
}

int session_keys_check(const struct model_session_keys *m, struct why *why) {
    return check(m->keys, m->n_keys, m->period_s, "sessions", why);
}

const struct model_ticket_key *session_key_sealing(const struct model_session_keys *m,
                                                   uint64_t at) {
    for (uint32_t i = m->n_keys; i-- > 0;)
        if (m->keys[i].from <= at)
            return at < m->keys[i].from + m->period_s ? &m->keys[i] : NULL;
    return NULL;
}

const struct model_ticket_key *session_key_opening(const struct model_session_keys *m,
                                                   uint64_t from, uint64_t at) {
    for (uint32_t i = 0; i < m->n_keys; i++)
        if (m->keys[i].from == from)
            return at < from + 2 * m->period_s ? &m->keys[i] : NULL;
    return NULL;
}
