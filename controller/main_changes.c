/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/main_changes.h"

#include <time.h>

void changes_note(struct changes *c, uint64_t revision, uint64_t puts, uint64_t dels) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    c->list[c->n++ % CHANGES] =
        (struct change){.at_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000,
                        .revision = revision,
                        .puts = puts - c->puts,
                        .dels = dels - c->dels};
    c->puts = puts;
    c->dels = dels;
}

void changes_served(struct changes *c, uint64_t ns) {
    if (c->n > 0)
        c->list[(c->n - 1) % CHANGES].live_us = ns / 1000 + 1;
}

void changes_json(const struct changes *c, struct out *o) {
    out_char(o, '[');
    for (uint64_t i = 0; i < CHANGES && i < c->n; i++) {
        const struct change *k = &c->list[(c->n - 1 - i) % CHANGES];
        out_fmt(o, "%s{\"at_ms\":%lld,\"revision\":\"", i > 0 ? ",\n" : "", (long long)k->at_ms);
        out_hex(o, k->revision, 16);
        out_fmt(o, "\",\"puts\":%llu,\"dels\":%llu,\"live_us\":", (unsigned long long)k->puts,
                (unsigned long long)k->dels);
        if (k->live_us > 0)
            out_u64(o, k->live_us);
        else
            out_lit(o, "null");
        out_char(o, '}');
    }
    out_char(o, ']');
}
