/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/config/lastgood.h"

#include "lib/log.h"
#include "lib/mem.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { OBJECTS = 5 };

static char dir[64], path[128], beside[160];
static struct object *objects[OBJECTS];

static int setup(void **state) {
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/sluice-lastgood-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof(path), "%s/state", dir);
    snprintf(beside, sizeof(beside), "%s.new", path);
    for (int i = 0; i < OBJECTS; i++) {
        char id[40];
        snprintf(id, sizeof(id), "route/shop/r%d/rule-0", i);
        struct model_route r = {.name = STR("shop"), .order = (uint64_t)i * 1000};
        objects[i] = object_new(MODEL_KIND_route, str_of(id), &r);
    }
    /* a kind that we do not know is kept unread */
    object_drop(objects[OBJECTS - 1]);
    objects[OBJECTS - 1] = object_from_bytes(999, STR("newer/a/b"), STR("\xff\xff?"), NULL);
    return objects[OBJECTS - 1] ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    for (int i = 0; i < OBJECTS; i++)
        object_drop(objects[i]);
    unlink(path);
    unlink(beside);
    return rmdir(dir);
}

static void save(void) {
    struct why why = {0};
    assert_int_equal(lastgood_save(path, objects, OBJECTS, &why), 0);
}

static void drop_all(struct object **list, size_t n) {
    for (size_t i = 0; i < n; i++)
        object_drop(list[i]);
    mem_free(list);
}

static void comes_back_whole(void) {
    struct object **list;
    size_t n;
    struct why why = {0};
    assert_int_equal(lastgood_load(path, &list, &n, &why), LASTGOOD_LOADED);
    assert_int_equal(n, OBJECTS);
    for (size_t i = 0; i < n; i++) {
        assert_true(str_eq(object_id(list[i]), object_id(objects[i])));
        assert_true(list[i]->hash == objects[i]->hash);
    }
    drop_all(list, n);
}

static void refused(const char *text) {
    struct object **list;
    size_t n;
    struct why why = {0};
    assert_int_equal(lastgood_load(path, &list, &n, &why), LASTGOOD_REFUSED);
    assert_null(list);
    assert_int_equal(n, 0);
    assert_non_null(strstr(why.text, path));
    if (!strstr(why.text, text))
        fail_msg("%s", why.text);
}

static size_t read_file(char *room, size_t size) {
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    ssize_t n = read(fd, room, size);
    assert_true(n > 0 && (size_t)n < size);
    close(fd);
    return (size_t)n;
}

static void write_file(const char *p, size_t n) {
    int fd = open(path, O_WRONLY | O_TRUNC | O_CREAT, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, p, n), (ssize_t)n);
    close(fd);
}

static void what_was_saved_comes_back(void **state) {
    (void)state;
    struct stat st;
    struct object **list;
    size_t n;
    struct why why = {0};
    assert_int_equal(lastgood_load(path, &list, &n, &why), LASTGOOD_ABSENT);
    save();
    comes_back_whole();
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(access(beside, F_OK), -1);
    assert_int_equal(lastgood_save(path, objects, 0, &why), 0);
    assert_int_equal(lastgood_load(path, &list, &n, &why), LASTGOOD_LOADED);
    assert_int_equal(n, 0);
    drop_all(list, n);
}

static void cut_at_every_byte(void **state) {
    (void)state;
    char room[4096];
    save();
    size_t n = read_file(room, sizeof(room));
    for (size_t cut = 0; cut < n; cut++) {
        write_file(room, cut);
        refused("");
    }
    write_file(room, n);
    comes_back_whole();
    room[n] = 0;
    write_file(room, n + 1);
    refused("its checksum is wrong: it was cut or changed");
}

static void every_bit_flipped(void **state) {
    (void)state;
    char room[4096];
    save();
    size_t n = read_file(room, sizeof(room));
    for (size_t bit = 0; bit < n * 8; bit++) {
        room[bit / 8] ^= (char)(1 << (bit % 8));
        write_file(room, n);
        refused("");
        room[bit / 8] ^= (char)(1 << (bit % 8));
    }
}

static void other_things_are_refused(void **state) {
    (void)state;
    write_file("kind: Route, and so on, more than forty bytes", 45);
    refused("it is not a last good file");
    unlink(path);
    assert_int_equal(mkdir(path, 0700), 0);
    refused("Invalid argument");
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    refused("Invalid argument"); /* and does not wait for a writer */
}

/* A file size limit stands for the full disk. */
static void disk_is_full(bool full) {
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = full ? 100 : limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void a_full_disk_leaves_the_old_file(void **state) {
    (void)state;
    struct why why = {0};
    save();
    signal(SIGXFSZ, SIG_IGN);
    disk_is_full(true);
    assert_int_equal(lastgood_save(path, objects, OBJECTS - 1, &why), -1);
    disk_is_full(false);
    assert_non_null(strstr(why.text, "cannot write the last good file"));
    comes_back_whole();
    assert_int_equal(access(beside, F_OK), -1);
}

static void start(struct lastgood *l) {
    struct object **list = mem_array(OBJECTS, sizeof(*list));
    for (int i = 0; i < OBJECTS; i++)
        list[i] = object_hold(objects[i]);
    lastgood_start(l, list, OBJECTS);
    assert_false(lastgood_idle(l));
}

static bool finish(struct lastgood *l) {
    uint64_t took_ms;
    struct pollfd p = {lastgood_fd(l), POLLIN, 0};
    assert_int_equal(poll(&p, 1, 30000), 1);
    bool written = lastgood_end(l, &took_ms);
    assert_true(lastgood_idle(l));
    return written;
}

static int lines(int fd) {
    char room[4096];
    ssize_t n = read(fd, room, sizeof(room));
    int count = 0;
    for (ssize_t i = 0; i < n; i++)
        count += room[i] == '\n';
    return count;
}

static void in_the_background_a_failure_is_told_once(void **state) {
    (void)state;
    int ends[2];
    struct lastgood *l = lastgood_new(path);
    assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
    log_fd(ends[1]);
    start(l);
    assert_true(finish(l));
    assert_int_equal(lines(ends[0]), 0);
    comes_back_whole();
    signal(SIGXFSZ, SIG_IGN);
    disk_is_full(true);
    for (int i = 0; i < 3; i++) {
        start(l);
        assert_false(finish(l));
    }
    assert_int_equal(lines(ends[0]), 1);
    disk_is_full(false);
    start(l);
    assert_true(finish(l));
    assert_int_equal(lines(ends[0]), 1); /* written again */
    start(l);
    lastgood_free(l); /* while it writes */
    comes_back_whole();
    log_fd(2);
    close(ends[0]);
    close(ends[1]);
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(what_was_saved_comes_back),
        T(cut_at_every_byte),
        T(every_bit_flipped),
        T(other_things_are_refused),
        T(a_full_disk_leaves_the_old_file),
        T(in_the_background_a_failure_is_told_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
