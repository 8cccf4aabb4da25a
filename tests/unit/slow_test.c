/* SPDX-License-Identifier: Apache-2.0
 *
 * Slow work off the loops: where it runs and where it comes back, what a full queue refuses, what
 * becomes of work that nobody waits for. The last test is for the thread sanitizer.
 */
#include "lib/mem.h"
#include "lib/password.h"
#include "lib/slow.h"
#include "proxy/net/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>
#include <poll.h>

/* ---- jobs that run until the test says so ---- */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool open;
    unsigned begun;
} door = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void shut(void) {
    door.open = false;
    door.begun = 0;
}
static void open_door(void) {
    pthread_mutex_lock(&door.lock);
    door.open = true;
    pthread_cond_broadcast(&door.changed);
    pthread_mutex_unlock(&door.lock);
}
static void wait_begun(unsigned n) {
    pthread_mutex_lock(&door.lock);
    while (door.begun < n)
        pthread_cond_wait(&door.changed, &door.lock);
    pthread_mutex_unlock(&door.lock);
}

struct work {
    struct slow_job job;
    pthread_t ran_on;
    bool ran;
    unsigned done, cancelled;
};

static struct work *work_of(struct slow_job *job) { return container_of(job, struct work, job); }

static void run_at_door(struct slow_job *job) {
    pthread_mutex_lock(&door.lock);
    door.begun++;
    pthread_cond_broadcast(&door.changed);
    while (!door.open)
        pthread_cond_wait(&door.changed, &door.lock);
    pthread_mutex_unlock(&door.lock);
    work_of(job)->ran = true;
    work_of(job)->ran_on = pthread_self();
}
static void count(struct slow_job *job) {
    work_of(job)->done++;
    work_of(job)->cancelled += job->cancelled;
}

struct world {
    struct slow *slow;
    struct slow_desk desk;
    int ring;
};

static void begin(struct world *w, unsigned threads, unsigned waiting) {
    shut();
    w->slow = slow_new(threads, waiting);
    w->ring = wakeup_new();
    slow_desk_init(&w->desk, w->slow, w->ring);
}
static void end(struct world *w) {
    slow_desk_fini(&w->desk);
    slow_free(w->slow);
    close(w->ring);
}
static bool submit(struct world *w, struct work *v) {
    *v = (struct work){.job = {.run = run_at_door, .done = count}};
    return slow_submit(&w->desk, &v->job);
}
static void wait_ring(int ring) {
    struct pollfd p = {.fd = ring, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 30000), 1);
    wakeup_clear(ring);
}

static void runs_elsewhere_and_comes_back(void **state) {
    (void)state;
    struct world w;
    struct work v;
    begin(&w, 1, 4);
    assert_true(submit(&w, &v));
    wait_begun(1);
    slow_collect(&w.desk);
    assert_int_equal(v.done, 0);
    open_door();
    wait_ring(w.ring);
    slow_collect(&w.desk);
    assert_true(v.ran);
    assert_false(pthread_equal(v.ran_on, pthread_self()));
    assert_int_equal(v.done, 1);
    assert_int_equal(v.cancelled, 0);
    end(&w);
}

static void a_full_queue_refuses(void **state) {
    (void)state;
    struct world w;
    struct work v[4];
    begin(&w, 1, 2);
    assert_true(submit(&w, &v[0]));
    wait_begun(1); /* it does not wait any more */
    assert_true(submit(&w, &v[1]));
    assert_true(submit(&w, &v[2]));
    assert_false(submit(&w, &v[3]));
    struct slow_gauges g = slow_gauges(w.slow);
    assert_int_equal(g.waiting, 2);
    assert_int_equal(g.running, 1);
    assert_int_equal(g.refused, 1);
    open_door();
    while (v[2].done == 0) {
        wait_ring(w.ring);
        slow_collect(&w.desk);
    }
    assert_int_equal(v[0].done + v[1].done + v[2].done, 3);
    assert_int_equal(v[3].done, 0);
    end(&w);
}

/* A client that is gone keeps no place in the queue. */
static void cancelled_while_it_waits(void **state) {
    (void)state;
    struct world w;
    struct work v[3];
    begin(&w, 1, 1);
    assert_true(submit(&w, &v[0]));
    wait_begun(1);
    assert_true(submit(&w, &v[1]));
    assert_false(submit(&w, &v[2]));
    assert_true(slow_cancel(&v[1].job));
    assert_true(submit(&w, &v[2]));
    open_door();
    while (v[2].done == 0) {
        wait_ring(w.ring);
        slow_collect(&w.desk);
    }
    assert_false(v[1].ran);
    assert_int_equal(v[1].done, 0);
    end(&w);
}

static void cancelled_while_it_runs(void **state) {
    (void)state;
    struct world w;
    struct work v;
    begin(&w, 1, 1);
    assert_true(submit(&w, &v));
    wait_begun(1);
    assert_false(slow_cancel(&v.job));
    open_door();
    wait_ring(w.ring);
    assert_int_equal(v.done, 0);
    slow_collect(&w.desk);
    assert_int_equal(v.done, 1);
    assert_int_equal(v.cancelled, 1);
    end(&w);
}

static void *open_when_asked(void *arg) {
    (void)arg;
    wait_begun(2);
    open_door();
    return NULL;
}

/* One has come back and was not looked at, one runs, one waits: all end as cancelled. */
static void a_desk_that_closes(void **state) {
    (void)state;
    struct world w;
    struct work v[3];
    pthread_t opener;
    begin(&w, 1, 4);
    open_door();
    assert_true(submit(&w, &v[0]));
    wait_ring(w.ring);
    while (slow_gauges(w.slow).running != 0)
        ; /* the thread has it back; it is at its end */
    door.open = false;
    assert_true(submit(&w, &v[1]));
    wait_begun(2);
    assert_true(submit(&w, &v[2]));
    pthread_create(&opener, NULL, open_when_asked, NULL);
    slow_desk_fini(&w.desk);
    pthread_join(opener, NULL);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(v[i].done, 1);
        assert_int_equal(v[i].cancelled, 1);
    }
    assert_true(v[0].ran && v[1].ran);
    slow_free(w.slow);
    close(w.ring);
}

/* ---- with a loop, and a password ---- */

struct login {
    struct slow_job job;
    struct password stored;
    bool good;
    struct loop *loop;
    struct slow_desk *desk;
    int ring;
};

static void verify(struct slow_job *job) {
    struct login *l = container_of(job, struct login, job);
    l->good = password_verify(&l->stored, STR("U*U"));
}
static void verified(struct slow_job *job) {
    container_of(job, struct login, job)->loop->stop = true;
}
static void on_ring(void *arg) {
    struct login *l = arg;
    wakeup_clear(l->ring);
    slow_collect(l->desk);
}

static void a_loop_is_woken(void **state) {
    (void)state;
    struct loop loop;
    struct slow *slow = slow_new(1, 1);
    struct slow_desk desk;
    struct login l = {.job = {.run = verify, .done = verified},
                      .loop = &loop,
                      .desk = &desk,
                      .ring = wakeup_new()};
    assert_int_equal(loop_init(&loop, 1 << 20, 0), 0);
    struct loop_watch *watch = loop_watch_new(&loop, l.ring, on_ring, &l);
    slow_desk_init(&desk, slow, l.ring);
    assert_int_equal(
        password_read(&l.stored,
                      STR("$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"), NULL),
        0);
    assert_true(slow_submit(&desk, &l.job));
    loop_run(&loop);
    assert_true(l.good);
    slow_desk_fini(&desk);
    loop_watch_free(watch);
    loop_fini(&loop);
    slow_free(slow);
    close(l.ring);
}

/* ---- many desks ---- */

enum { DESKS = 4, ROUNDS = 2000 };

struct visit {
    struct slow_job job;
    unsigned *left, sum;
};
static void add_up(struct slow_job *job) {
    struct visit *v = container_of(job, struct visit, job);
    for (unsigned i = 0; i < 100; i++)
        v->sum += i;
}
static void leave(struct slow_job *job) {
    struct visit *v = container_of(job, struct visit, job);
    must(v->sum == 4950 || job->cancelled);
    --*v->left;
    mem_free(v);
}

static void *visit_often(void *arg) {
    struct slow_desk desk;
    int ring = wakeup_new();
    unsigned left = 0;
    slow_desk_init(&desk, arg, ring);
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct visit *v = mem_zalloc(sizeof(*v));
        v->job.run = add_up;
        v->job.done = leave;
        v->left = &left;
        left++;
        if (!slow_submit(&desk, &v->job) || (i % 3 == 0 && slow_cancel(&v->job))) {
            left--;
            mem_free(v);
        }
        if (i % 7 == 0)
            slow_collect(&desk);
    }
    while (left > ROUNDS / 500) {
        struct pollfd p = {.fd = ring, .events = POLLIN};
        must(poll(&p, 1, 30000) == 1);
        wakeup_clear(ring);
        slow_collect(&desk);
    }
    slow_desk_fini(&desk); /* brings the rest */
    must(left == 0);
    close(ring);
    return NULL;
}

static void many_desks(void **state) {
    (void)state;
    struct slow *slow = slow_new(3, 8);
    pthread_t desks[DESKS];
    for (unsigned i = 0; i < DESKS; i++)
        pthread_create(&desks[i], NULL, visit_often, slow);
    for (unsigned i = 0; i < DESKS; i++)
        pthread_join(desks[i], NULL);
    struct slow_gauges g = slow_gauges(slow);
    assert_int_equal(g.waiting + g.running, 0);
    assert_true(g.finished > 0);
    slow_free(slow);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_elsewhere_and_comes_back),
        cmocka_unit_test(a_full_queue_refuses),
        cmocka_unit_test(cancelled_while_it_waits),
        cmocka_unit_test(cancelled_while_it_runs),
        cmocka_unit_test(a_desk_that_closes),
        cmocka_unit_test(a_loop_is_woken),
        cmocka_unit_test(many_desks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
