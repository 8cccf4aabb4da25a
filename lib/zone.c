/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/zone.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define DATABASE "/usr/share/zoneinfo"

enum {
    HEADER = 44,
    DAY = 86400,
    INFO = 6, /* bytes of a kind of time: its offset, whether it is summer, its name */
    OFFSET_MAX = 26 * 3600, /* RFC 8536 3.2 */
    RULE_TIME_MAX = 167,    /* hours, RFC 8536 3.3.1 */
    YEARS_MAX = 500,
};

/* ---- days ---- */

static bool is_leap(int64_t y) { return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0; }

/* Leap days up to the end of that year. */
static int64_t leap_days(int64_t y) { return y / 4 - y / 100 + y / 400; }

static int64_t year_begins(int64_t y) {
    return 365 * (y - 1970) + leap_days(y - 1) - leap_days(1969);
}

/* month: 1 .. 12, or 13 for the end of the year. */
static int64_t month_begins(int64_t y, unsigned month) {
    static const uint16_t before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365};
    return year_begins(y) + before[month - 1] + (month > 2 && is_leap(y));
}

static int64_t year_of(int64_t seconds) {
    int64_t day = seconds / DAY, y = 1970 + day / 366;
    while (year_begins(y + 1) <= day)
        y++;
    return y;
}

/* ---- changes as they are found ---- */

struct finding {
    struct zone_changes *to;
    int64_t from, until, last;
};

static void begin(struct finding *f, int32_t seconds) {
    f->to->n = 1;
    f->to->v[0] = (struct zone_change){f->from, seconds}; /* minutes when all is found */
    f->last = INT64_MIN;
}

/* In order of time; of two at one moment the later one counts. */
static bool change(struct finding *f, int64_t at, int32_t seconds) {
    struct zone_changes *to = f->to;
    struct zone_change *last = &to->v[to->n - 1];
    if (at < f->last)
        return false;
    f->last = at;
    if (at >= f->until)
        return true;
    if (at <= f->from || at == last->from) {
        last->minutes = seconds;
        if (to->n > 1 && to->v[to->n - 2].minutes == seconds)
            to->n--;
        return true;
    }
    if (seconds == last->minutes)
        return true;
    if (to->n == ZONE_CHANGES_MAX)
        return false;
    to->v[to->n++] = (struct zone_change){at, seconds};
    return true;
}

static int end(struct finding *f, struct why *why) {
    for (unsigned i = 0; i < f->to->n; i++) {
        int32_t seconds = f->to->v[i].minutes;
        if (seconds % 60 != 0 || seconds > DAY || seconds < -DAY)
            return why_text(why,
                            "its local time is no whole minutes, or more than a day, from UTC");
        f->to->v[i].minutes = seconds / 60;
    }
    return 0;
}

/* ---- the rule of the footer: POSIX TZ ---- */

enum day_kind { DAY_JULIAN, DAY_OF_YEAR, DAY_OF_WEEK };

struct moment {
    enum day_kind kind;
    int day; /* 1 .. 365 without leap days; 0 .. 365; 0 = Sunday */
    int week, month;
    int32_t time; /* seconds of that day, in the local time before the change */
};

struct rule {
    int32_t standard, summer; /* seconds ahead of UTC */
    bool has_summer;
    struct moment start, end; /* of summer time */
};

static bool take(struct str *s, char c) {
    if (s->n == 0 || s->p[0] != c)
        return false;
    *s = str_skip(*s, 1);
    return true;
}

static bool is_letter(char c) { return char_lower(c) >= 'a' && char_lower(c) <= 'z'; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static bool take_name(struct str *s) {
    bool quoted = take(s, '<');
    size_t n = 0;
    while (n < s->n && (is_letter(s->p[n]) ||
                        (quoted && (is_digit(s->p[n]) || s->p[n] == '+' || s->p[n] == '-'))))
        n++;
    *s = str_skip(*s, n);
    return n >= 3 && (!quoted || take(s, '>'));
}

static bool take_number(struct str *s, int min, int max, int *v) {
    size_t n = 0;
    *v = 0;
    for (; n < s->n && n < 3 && is_digit(s->p[n]); n++)
        *v = 10 * *v + (s->p[n] - '0');
    *s = str_skip(*s, n);
    return n > 0 && *v >= min && *v <= max;
}

/* [+-]hh[:mm[:ss]] */
static bool take_time(struct str *s, int hours_max, int32_t *seconds) {
    bool minus = take(s, '-');
    int h, m = 0, sec = 0;
    if (!minus)
        take(s, '+');
    if (!take_number(s, 0, hours_max, &h) ||
        (take(s, ':') &&
         (!take_number(s, 0, 59, &m) || (take(s, ':') && !take_number(s, 0, 59, &sec)))))
        return false;
    *seconds = h * 3600 + m * 60 + sec;
    if (minus)
        *seconds = -*seconds;
    return true;
}

static bool take_moment(struct str *s, struct moment *m) {
    *m = (struct moment){.kind = DAY_OF_YEAR, .time = 2 * 3600};
    bool good;
    if (take(s, 'J')) {
        m->kind = DAY_JULIAN;
        good = take_number(s, 1, 365, &m->day);
    } else if (take(s, 'M')) {
        m->kind = DAY_OF_WEEK;
        good = take_number(s, 1, 12, &m->month) && take(s, '.') && take_number(s, 1, 5, &m->week) &&
               take(s, '.') && take_number(s, 0, 6, &m->day);
    } else {
        good = take_number(s, 0, 365, &m->day);
    }
    return good && (!take(s, '/') || take_time(s, RULE_TIME_MAX, &m->time));
}

/* Positive is west there. */
static bool take_offset(struct str *s, int32_t *ahead) {
    bool good = take_time(s, 24, ahead);
    *ahead = -*ahead;
    return good;
}

static bool rule_read(struct str s, struct rule *r) {
    *r = (struct rule){0};
    if (!take_name(&s) || !take_offset(&s, &r->standard))
        return false;
    if (s.n == 0)
        return true;
    r->has_summer = true;
    r->summer = r->standard + 3600;
    if (!take_name(&s) || (s.n > 0 && s.p[0] != ',' && !take_offset(&s, &r->summer)))
        return false;
    return take(&s, ',') && take_moment(&s, &r->start) && take(&s, ',') &&
           take_moment(&s, &r->end) && s.n == 0;
}

static int64_t day_of(const struct moment *m, int64_t y) {
    if (m->kind == DAY_OF_YEAR)
        return year_begins(y) + m->day;
    if (m->kind == DAY_JULIAN)
        return year_begins(y) + m->day - 1 + (m->day >= 60 && is_leap(y));
    int64_t first = month_begins(y, (unsigned)m->month);
    int64_t weekday = (first + 4) % 7; /* 1970-01-01 was a Thursday */
    int64_t day = first + (m->day - weekday + 7) % 7 + 7 * (m->week - 1);
    return day < month_begins(y, (unsigned)m->month + 1) ? day : day - 7; /* week 5: the last one */
}

/* Those of the rule that come after `after`. */
static bool rule_changes(const struct rule *r, int64_t after, struct finding *f) {
    int64_t first = year_of(f->from) - 1, last = year_of(f->until);
    for (int64_t y = first < 1970 ? 1970 : first; r->has_summer && y <= last; y++) {
        int64_t start = day_of(&r->start, y) * DAY + r->start.time - r->standard;
        int64_t stop = day_of(&r->end, y) * DAY + r->end.time - r->summer;
        bool north = start < stop;
        int64_t at[] = {north ? start : stop, north ? stop : start};
        for (unsigned i = 0; i < ARRAY_LEN(at); i++)
            if (at[i] > after && !change(f, at[i], (i == 0) == north ? r->summer : r->standard))
                return false;
    }
    return true;
}

/* ---- the file ---- */

static uint32_t get32(const char *p) {
    const unsigned char *b = (const unsigned char *)p;
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static int64_t get64(const char *p) { return (int64_t)((uint64_t)get32(p) << 32 | get32(p + 4)); }

struct block {
    uint32_t n_times, n_infos, n_leaps;
    const char *times, *kinds, *infos;
};

/* One header and what belongs to it; bytes: of a time. False: it is cut, or none. */
static bool take_block(struct str *s, size_t bytes, struct block *b) {
    if (s->n < HEADER || memcmp(s->p, "TZif", 4) != 0 || s->p[4] < '2')
        return false;
    uint64_t n_ut = get32(s->p + 20), n_standard = get32(s->p + 24), n_chars = get32(s->p + 40);
    b->n_leaps = get32(s->p + 28);
    b->n_times = get32(s->p + 32);
    b->n_infos = get32(s->p + 36);
    uint64_t size = b->n_times * (uint64_t)(bytes + 1) + b->n_infos * (uint64_t)INFO + n_chars +
                    b->n_leaps * (uint64_t)(bytes + 4) + n_standard + n_ut;
    *s = str_skip(*s, HEADER);
    if (size > s->n)
        return false;
    b->times = s->p;
    b->kinds = b->times + b->n_times * bytes;
    b->infos = b->kinds + b->n_times;
    *s = str_skip(*s, (size_t)size);
    return true;
}

static bool info(const struct block *b, uint32_t i, int32_t *seconds) {
    if (i >= b->n_infos)
        return false;
    *seconds = (int32_t)get32(b->infos + (size_t)i * INFO);
    return *seconds <= OFFSET_MAX && *seconds >= -OFFSET_MAX;
}

/* What was decided; *last: the moment of the last one. */
static bool decided(const struct block *b, struct finding *f, int64_t *last) {
    int32_t seconds;
    if (!info(b, 0, &seconds))
        return false;
    begin(f, seconds);
    *last = INT64_MIN;
    for (uint32_t i = 0; i < b->n_times; i++) {
        int64_t at = get64(b->times + (size_t)i * 8);
        if ((i > 0 && at <= *last) || !info(b, (unsigned char)b->kinds[i], &seconds) ||
            !change(f, at, seconds))
            return false;
        *last = at;
    }
    return true;
}

int zone_read(struct str tzif, int64_t from, int64_t until, struct zone_changes *to,
              struct why *why) {
    struct finding f = {.to = to, .from = from, .until = until};
    struct block old, b;
    struct rule r = {0};
    int64_t last;
    must(from >= 0 && until >= from && until - from <= (int64_t)YEARS_MAX * 366 * DAY);
    if (!take_block(&tzif, 4, &old) || !take_block(&tzif, 8, &b))
        return why_text(why, "its file is no TZif of version 2 or later (RFC 8536)");
    if (b.n_leaps > 0)
        return why_text(why, "its file counts leap seconds; take the zone without right/");
    if (tzif.n < 2 || tzif.p[0] != '\n' || tzif.p[tzif.n - 1] != '\n')
        return why_text(why, "its file is cut");
    struct str footer = str_mk(tzif.p + 1, tzif.n - 2);
    if (footer.n > 0 && !rule_read(footer, &r))
        return why_text(why, "the rule at the end of its file is none of POSIX");
    if (!decided(&b, &f, &last) || !rule_changes(&r, last, &f))
        return why_text(why, "its file says times that are in no order, or too many");
    return end(&f, why);
}

/* ---- the database ---- */

/* Letters, digits, "_", "-" and "+", in parts: nothing that leads elsewhere. */
static bool is_name(struct str s) {
    char before = '/';
    for (size_t i = 0; i < s.n; before = s.p[i++]) {
        char c = s.p[i];
        if (c == '/' ? before == '/'
                     : !is_letter(c) && !is_digit(c) && c != '_' && c != '-' && c != '+')
            return false;
    }
    return s.n > 0 && s.n <= ZONE_NAME_MAX && before != '/';
}

static int read_all(int fd, struct out *to, struct why *why) {
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > ZONE_BYTES_MAX)
        return why_text(why, "there is no such time zone");
    size_t n = (size_t)st.st_size;
    char *room = out_take(to, n);
    for (size_t got = 0; room && got < n;) {
        ssize_t k = read(fd, room + got, n - got);
        if (k <= 0)
            return why_text(why, "its file in " DATABASE " cannot be read");
        got += (size_t)k;
    }
    return room ? 0 : why_text(why, "its file is too large");
}

int zone_file(struct str name, struct out *to, struct why *why) {
    char path[sizeof(DATABASE) + 1 + ZONE_NAME_MAX];
    struct out o = out_fixed(path, sizeof(path) - 1);
    if (!is_name(name))
        return why_text(why, "that is no name of a time zone");
    out_lit(&o, DATABASE "/");
    out_str(&o, name);
    path[o.n] = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && access(DATABASE, F_OK) != 0)
        return why_text(why, "there is no time zone database here (" DATABASE ", package tzdata)");
    if (fd < 0)
        return why_text(why, "there is no such time zone");
    int bad = read_all(fd, to, why);
    close(fd);
    return bad;
}
