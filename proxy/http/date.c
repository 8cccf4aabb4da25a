/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/http/date.h"

#include <time.h>

static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

static void digits(char *to, int value, int n) {
    for (int i = n - 1; i >= 0; i--, value /= 10)
        to[i] = (char)('0' + value % 10);
}

/* Not strftime: its names depend on the locale. */
static void write_date(char *to, int64_t second) {
    static const char days[] = "SunMonTueWedThuFriSat";
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

static bool number(const char *at, size_t n, int *value) {
    uint64_t v;
    if (!str_to_u64(str_mk(at, n), 9999, &v))
        return false;
    *value = (int)v;
    return true;
}

static int month_of(const char *at) {
    for (int i = 0; i < 12; i++)
        if (memcmp(at, months + 3 * i, 3) == 0)
            return i;
    return -1;
}

/* What was read is written again: that proves the weekday, the day of the month and each blank. */
bool http_date_read(struct str text, int64_t *second) {
    struct tm tm = {.tm_mon = -1};
    char again[HTTP_DATE_BYTES];
    if (text.n != HTTP_DATE_BYTES || (tm.tm_mon = month_of(text.p + 8)) < 0 ||
        !number(text.p + 5, 2, &tm.tm_mday) || !number(text.p + 12, 4, &tm.tm_year) ||
        !number(text.p + 17, 2, &tm.tm_hour) || !number(text.p + 20, 2, &tm.tm_min) ||
        !number(text.p + 23, 2, &tm.tm_sec) || tm.tm_year < 1970)
        return false;
    tm.tm_year -= 1900;
    int64_t s = timegm(&tm);
    if (s < 0 || s > 253402300799)
        return false;
    write_date(again, s);
    *second = s;
    return memcmp(again, text.p, HTTP_DATE_BYTES) == 0;
}
