/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz zone: whatever a file of a time zone says, what is read of it is in order, bounded, and the
 * same of any later part of its time.
 */
#include "lib/zone.h"
#include "tests/fuzz/fuzz.h"

enum { FROM = 1735689600, LATER = 1900000000, UNTIL = 2208988800 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    struct str file = str_mk((const char *)data, n);
    struct zone_changes all, part;
    struct why why = {0};
    if (zone_read(file, FROM, UNTIL, &all, &why) != 0) {
        must(why_set(&why));
        return 0;
    }
    must(all.n >= 1 && all.n <= ZONE_CHANGES_MAX && all.v[0].from == FROM);
    for (unsigned i = 0; i < all.n; i++) {
        must(all.v[i].minutes >= -1440 && all.v[i].minutes <= 1440 && all.v[i].from < UNTIL);
        must(i == 0 ||
             (all.v[i].from > all.v[i - 1].from && all.v[i].minutes != all.v[i - 1].minutes));
    }
    must(zone_read(file, LATER, UNTIL, &part, &why) == 0 && part.n <= all.n);
    for (unsigned i = 1; i < part.n; i++)
        must(part.v[part.n - i].from == all.v[all.n - i].from &&
             part.v[part.n - i].minutes == all.v[all.n - i].minutes);
    return 0;
}
