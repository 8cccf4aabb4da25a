/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/ticket.h"

int ticket_keys_check(const struct model_ticket_keys *m, struct why *why) {
    if (m->n_keys == 0 || m->n_keys > TICKET_KEYS_MAX)
        return why_text(why, "%u keys of tickets; 1 to %d are possible", m->n_keys,
                        TICKET_KEYS_MAX);
    if (m->period_s == 0 || m->period_s > TICKET_PERIOD_MAX_S)
        return why_text(why, "a key of tickets seals for 1 to %d s", TICKET_PERIOD_MAX_S);
    for (uint32_t i = 0; i < m->n_keys; i++) {
        if (m->keys[i].secret.n != TICKET_SECRET)
            return why_text(why, "key %u of tickets has %zu bytes instead of %d", i + 1,
                            m->keys[i].secret.n, TICKET_SECRET);
        if (m->keys[i].from > UINT32_MAX || (i > 0 && m->keys[i].from <= m->keys[i - 1].from))
            return why_text(why, "key %u of tickets is not behind the one before it", i + 1);
    }
    return 0;
}
