/* SPDX-License-Identifier: Apache-2.0
 *
 * auth_zone: the time zone of a rule, as proxies count with it: from which moment on local time is
 * how far ahead of UTC.
 *
 *     2025        2030        2035        2040
 *      ├─ now ─────┼───────────┼──────────►│      what is made in 2025 .. 2029
 *                  ├─ now ─────┼───────────┼──────────►     from 2030 on
 *
 * It begins with a year that five divides, so that all controllers make the same of it, and a
 * policy changes by it every five years only; proxies that hear nothing more know ten years.
 */
#include "controller/compile/auth_parts.h"
#include "controller/compile/certificate.h"
#include "lib/zone.h"

#include <time.h>

enum { STEP_YEARS = 5, YEARS = 15 };

static int64_t year_begins(int year) {
    struct tm tm = {.tm_year = year - 1900, .tm_mday = 1};
    return timegm(&tm);
}

static int year_of(uint64_t seconds) {
    time_t t = (time_t)seconds;
    struct tm tm = {0};
    return gmtime_r(&t, &tm) ? tm.tm_year + 1900 : 1970;
}

static int changes_of(const struct making *m, struct str name, int first, struct zone_changes *z,
                      struct why *why) {
    struct out file = out_heap(ZONE_BYTES_MAX);
    int bad = m->c->zones ? m->c->zones(name, &file, why)
                          : why_text(why, "there is no time zone database here");
    if (!bad)
        bad = zone_read(out_done(&file), year_begins(first), year_begins(first + YEARS), z, why);
    out_fini(&file);
    return bad;
}

void compile_zones(struct compiler *c, compile_zone file) { c->zones = file; }

bool auth_zone_make(struct making *m, const struct at *at, struct str name,
                    struct model_auth_rule *o) {
    int year = year_of(m->c->now), first = year - year % STEP_YEARS;
    struct zone_changes z;
    struct shown shown;
    struct why why = {0};
    if (str_eq(name, STR("UTC")))
        return true;
    if (changes_of(m, name, first, &z, &why) != 0) {
        refuse(m, at, "%s: %s; write the name of one, as Europe/Berlin", why_show(name, &shown),
               why.text);
        return false;
    }
    certificate_expires(m, (uint64_t)year_begins(first + STEP_YEARS));
    if (z.n == 1 && z.v[0].minutes == 0)
        return true;
    o->zone = arena_array(&m->a, z.n, sizeof(*o->zone));
    o->n_zone = z.n;
    for (unsigned i = 0; i < z.n; i++)
        o->zone[i] = (struct model_zone_change){.from = (uint64_t)z.v[i].from,
                                                .minutes = (uint64_t)(z.v[i].minutes + ZONE_SHIFT)};
    return true;
}
