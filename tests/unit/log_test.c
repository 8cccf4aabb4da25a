/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/log.h"
#include "lib/str.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static int ends[2];

static int setup(void **state) {
    (void)state;
    log_level(LOG_LEVEL_INFO);
    if (pipe(ends) != 0)
        return -1;
    log_fd(ends[1]);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    log_fd(2);
    close(ends[0]);
    close(ends[1]);
    return 0;
}

static struct str read_all(char *room, size_t size) {
    ssize_t n = read(ends[0], room, size);
    assert_true(n > 0);
    return str_mk(room, (size_t)n);
}

static void one_line_with_time_level_room(void **state) {
    (void)state;
    char room[LOG_LINE_MAX];
    log_info("link", "connected controller=%s", "ws://127.0.0.1:1");
    struct str line = read_all(room, sizeof(room));
    assert_true(line.n > 25);
    assert_int_equal(line.p[4], '-');
    assert_int_equal(line.p[10], 'T');
    assert_int_equal(line.p[19], '.');
    assert_true(
        str_eq(str_skip(line, 23), STR("Z info link connected controller=ws://127.0.0.1:1\n")));
}

static void foreign_text_cannot_forge_a_line(void **state) {
    (void)state;
    char room[LOG_LINE_MAX];
    log_warn("link", "name=%s", "a\n2026 error\x7f\t");
    struct str line = read_all(room, sizeof(room));
    assert_true(str_ends(line, STR("name=a\\x0a2026 error\\x7f\\x09\n")));
}

static void long_lines_are_cut(void **state) {
    (void)state;
    char room[2 * LOG_LINE_MAX], text[2 * LOG_LINE_MAX];
    for (size_t i = 0; i + 1 < sizeof(text); i++)
        text[i] = i % 2 ? '\n' : 'x';
    text[sizeof(text) - 1] = 0;
    log_error("link", "%s", text);
    struct str line = read_all(room, sizeof(room));
    assert_true(line.n <= LOG_LINE_MAX);
    assert_true(str_ends(line, STR("...\n")));
    assert_int_equal(str_find(line, '\n', 0), line.n - 1);
}

static void levels_and_errno(void **state) {
    (void)state;
    char room[LOG_LINE_MAX];
    enum log_level level;
    assert_true(log_level_named("warn", &level));
    assert_false(log_level_named("loud", &level));
    log_level(level);
    errno = EPIPE;
    log_info("room", "hidden");
    log_debug("room", "hidden");
    log_warn("room", "seen");
    assert_int_equal(errno, EPIPE);
    assert_true(str_ends(read_all(room, sizeof(room)), STR("Z warn room seen\n")));
    assert_true(log_on(LOG_LEVEL_ERROR));
    assert_false(log_on(LOG_LEVEL_INFO));
}

/* A pipe that nobody reads: what it does not take is lost, and nobody waits. */
static void a_full_pipe_is_not_waited_for(void **state) {
    (void)state;
    uint64_t before = log_lost();
    for (int i = 0; i < 1000; i++) /* 64 KiB is what a pipe has */
        log_info("room", "%0100d", i);
    uint64_t lost = log_lost() - before;
    assert_in_range(lost, 400, 999);
    char room[1 << 16];
    while (read(ends[0], room, sizeof(room)) == (ssize_t)sizeof(room)) {
    }
    log_info("room", "there is room again");
    assert_int_equal(log_lost() - before, lost);
    assert_true(read(ends[0], room, sizeof(room)) > 0);
}

static void *talk(void *arg) {
    for (int i = 0; i < 50; i++)
        log_info("thread", "%s", (const char *)arg);
    return NULL;
}

static void threads_never_mix(void **state) {
    (void)state;
    pthread_t a, b;
    assert_int_equal(pthread_create(&a, NULL, talk, (void *)(uintptr_t) "aaaaaaaaaa"), 0);
    assert_int_equal(pthread_create(&b, NULL, talk, (void *)(uintptr_t) "bbbbbbbbbb"), 0);
    pthread_join(a, NULL);
    pthread_join(b, NULL);
    char room[100 * 64];
    struct str all = read_all(room, sizeof(room)), line;
    int lines = 0;
    while (all.n > 0) {
        all = str_cut(all, '\n', &line);
        lines++;
        assert_true(str_ends(line, STR(" thread aaaaaaaaaa")) ||
                    str_ends(line, STR(" thread bbbbbbbbbb")));
    }
    assert_int_equal(lines, 100);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_line_with_time_level_room, setup, teardown),
        cmocka_unit_test_setup_teardown(foreign_text_cannot_forge_a_line, setup, teardown),
        cmocka_unit_test_setup_teardown(long_lines_are_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(levels_and_errno, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_pipe_is_not_waited_for, setup, teardown),
        cmocka_unit_test_setup_teardown(threads_never_mix, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
