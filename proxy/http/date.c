/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/http/date.h"

#include <time.h>

static void digits(char *to, int value, int n) {
    for (int i = n - 1; i >= 0; i--, value /= 10)
        to[i] = (char)('0' + value % 10);
}

/* Not strftime: its names depend on the locale. */
static void write_date(char *to, int64_t second) {
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    time_t t = (time_t)second;
    struct tm tm;
    must(gmtime_r(&t, &tm) != NULL);
    memcpy(to, "Sun, 00 Jan 0000 00:00:00 GMT", HTTP_DATE_BYTES);
    memcpy(to, days + 3 * tm.tm_wday, 3);
    digits(to + 5, tm.tm_mday, 2);
    memcpy(to + 8, months + 3 * tm.tm_mon, 3);
    digits(to + 12, tm.tm_year + 1900, 4);
    digits(to + 17, tm.tm_hour, 2);
    digits(to + 20, tm.tm_min, 2);
    digits(to + 23, tm.tm_sec, 2);
}

struct str http_date(struct http_date *cache, int64_t second) {
    if (unlikely(cache->second != second || cache->text[0] == 0)) {
        write_date(cache->text, second);
        cache->second = second;
    }
    return str_mk(cache->text, HTTP_DATE_BYTES);
}
