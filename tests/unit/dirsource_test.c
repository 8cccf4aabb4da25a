/* SPDX-License-Identifier: Apache-2.0
 *
 * A directory as a source, on a real one: what editors, mounts and mistakes do to it, and what the
 * store then holds. Waits run the loop until something is so. That nothing happens is seen when a
 * file that was written later has arrived.
 */
#include "controller/source/dir.h"
#include "lib/hash.h"
#include "lib/mem.h"

#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { PATIENCE_S = 10 };

static char root[64];
static struct event_base *base;
static struct store *store;
static struct dir_source *source;
static unsigned reports;
static char last_report[1024];
static unsigned deletions;

/* ---- the world ---- */

static int unlink_any(const char *path, const struct stat *st, int type, struct FTW *ftw) {
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static int setup(void **state) {
    (void)state;
    snprintf(root, sizeof(root), "/tmp/sluice-dir-XXXXXX");
    if (!mkdtemp(root))
        return -1;
    base = event_base_new();
    store = store_new();
    source = NULL;
    reports = deletions = 0;
    last_report[0] = 0;
    return base ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    dir_source_free(source);
    store_free(store);
    event_base_free(base);
    return nftw(root, unlink_any, 16, FTW_DEPTH | FTW_PHYS);
}

static void on_report(void *arg, const struct dir_error *e) {
    (void)arg;
    struct out o = out_fixed(last_report, sizeof(last_report) - 1);
    dir_error_print(e, &o);
    last_report[o.n] = 0;
    reports++;
}

static void on_resource(void *arg, const struct resource *was, const struct resource *now) {
    (void)arg, (void)was;
    deletions += now == NULL;
}

static void start(void) {
    struct why why;
    why_clear(&why);
    store_on_resource(store, on_resource, NULL);
    source = dir_source_new(base, store, root, on_report, NULL, &why);
    if (!source)
        fail_msg("%s", why.text);
    assert_true(store_is_synced(store));
}

static const char *in(const char *name) {
    static char rooms[4][256];
    static unsigned next;
    char *room = rooms[next++ % 4];
    snprintf(room, sizeof(rooms[0]), "%s/%s", root, name);
    return room;
}

static void write_file(const char *name, const char *text) {
    int fd = open(in(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    size_t n = strlen(text);
    assert_int_equal(write(fd, text, n), n);
    close(fd);
}

static const char *service(const char *name, unsigned port) {
    static char room[4][256];
    static unsigned next;
    char *p = room[next++ % 4];
    snprintf(
        p, sizeof(room[0]),
        "apiVersion: v1\nkind: Service\nmetadata: {name: %s}\nspec: {ports: [{port: %u}]}\n---\n",
        name, port);
    return p;
}

/* The port of Service default/name; 0 if there is none. */
static int64_t port_of(const char *name) {
    const struct resource *r = store_get(store, KUBE_Service, STR("default"), str_of(name));
    return r ? resource_Service(r)->ports[0].port : 0;
}

static bool patient(time_t since) {
    event_base_loop(base, EVLOOP_NONBLOCK);
    usleep(500);
    return time(NULL) - since < PATIENCE_S;
}

#define until(condition)                                                                           \
    do {                                                                                           \
        time_t since = time(NULL);                                                                 \
        while (!(condition))                                                                       \
            if (!patient(since))                                                                   \
                fail_msg("never became so: %s (last report: %s)", #condition, last_report);        \
    } while (0)

/* Everything that was done to the directory until now has been seen. */
static void see_all(void) {
    static unsigned number = 10000;
    number = number == 60000 ? 10000 : number + 1;
    write_file("zz-sentinel.yaml", service("sentinel", number));
    until(port_of("sentinel") == number);
}

static size_t n_errors(void) {
    size_t n;
    dir_source_errors(source, &n);
    return n;
}

static void expect_error(size_t i, const char *sentence) {
    char room[1024];
    size_t n;
    const struct dir_error *all = dir_source_errors(source, &n);
    assert_true(i < n);
    struct out o = out_fixed(room, sizeof(room) - 1);
    dir_error_print(&all[i], &o);
    room[o.n] = 0;
    assert_string_equal(room, sentence);
}

/* ---- start ---- */

static void a_missing_directory_is_said(void **state) {
    (void)state;
    struct why why;
    char sentence[256];
    struct event_base *bases[] = {base, NULL};
    for (size_t i = 0; i < ARRAY_LEN(bases); i++) {
        why_clear(&why);
        assert_null(dir_source_new(bases[i], store, in("nowhere"), NULL, NULL, &why));
        snprintf(sentence, sizeof(sentence),
                 i == 0 ? "%s/ cannot be watched: No such file or directory"
                        : "directory %s/ cannot be read: No such file or directory",
                 in("nowhere"));
        assert_string_equal(why.text, sentence);
        assert_false(store_is_synced(store));
    }
}

static void everything_is_read_at_the_start(void **state) {
    (void)state;
    assert_int_equal(mkdir(in("sub"), 0755), 0);
    write_file("a.yaml", service("a", 1));
    write_file("b.yml", service("b", 2));
    write_file("sub/c.json", "{\"apiVersion\": \"v1\", \"kind\": \"Service\", \"metadata\": "
                             "{\"name\": \"c\"}, \"spec\": {\"ports\": [{\"port\": 3}]}}");
    write_file("d.txt", service("d", 4));
    write_file(".e.yaml", service("e", 5));
    write_file("empty.yaml", "");
    write_file("foreign.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n");
    start();
    assert_int_equal(port_of("a"), 1);
    assert_int_equal(port_of("b"), 2);
    assert_int_equal(port_of("c"), 3);
    assert_int_equal(store_count(store, KUBE_Service), 3);
    assert_int_equal(n_errors(), 0);
    assert_int_equal(reports, 0);
    const struct dir_counters *c = dir_source_counters(source);
    assert_int_equal(c->files, 5);
    assert_int_equal(c->parsed, 5);
    assert_int_equal(c->upserted, 3);
    assert_int_equal(c->foreign, 1);
    const struct resource *r = store_get(store, KUBE_Service, STR("default"), STR("c"));
    assert_true(str_eq(r->from.file, STR("sub/c.json")));
}

/* ---- one change costs one change ---- */

static void one_edited_file_among_5000(void **state) {
    (void)state;
    for (unsigned i = 0; i < 5000; i++) {
        char name[32], object[32];
        snprintf(name, sizeof(name), "f%04u.yaml", i);
        snprintf(object, sizeof(object), "s%04u", i);
        write_file(name, service(object, 80));
    }
    start();
    struct dir_counters before = *dir_source_counters(source);
    assert_int_equal(before.parsed, 5000);
    write_file("f1234.yaml", service("s1234", 81));
    until(port_of("s1234") == 81);
    const struct dir_counters *after = dir_source_counters(source);
    assert_int_equal(after->parsed, before.parsed + 1);
    assert_int_equal(after->upserted, before.upserted + 1);
    assert_int_equal(after->scans, before.scans);
    assert_int_equal(mkdir(in("new"), 0755), 0); /* a scan parses nothing that is as it was */
    until(after->scans > before.scans);
    assert_int_equal(after->parsed, before.parsed + 1);
}

static char *many_services(unsigned n, unsigned port_of_last) {
    struct out o = out_heap(16 << 20);
    for (unsigned i = 0; i < n; i++) {
        char name[32];
        snprintf(name, sizeof(name), "s%04u", i);
        out_str(&o, str_of(service(name, i + 1 == n ? port_of_last : 80)));
    }
    out_char(&o, 0);
    return o.p;
}

static void one_edited_object_among_5000(void **state) {
    (void)state;
    char *text = many_services(5000, 80), *edited = many_services(5000, 81);
    write_file("all.yaml", text);
    start();
    assert_int_equal(dir_source_counters(source)->upserted, 5000);
    write_file("all.yaml", edited);
    until(port_of("s4999") == 81);
    assert_int_equal(dir_source_counters(source)->upserted, 5001);
    assert_int_equal(dir_source_counters(source)->parsed, 2);
    mem_free(text);
    mem_free(edited);
}

/* ---- mistakes ---- */

static void a_file_that_does_not_parse_changes_nothing(void **state) {
    (void)state;
    write_file("a.yaml", service("a", 1));
    start();
    write_file("a.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: a\nspec: {}\n");
    until(n_errors() == 1);
    expect_error(0, "a.yaml:4:5: this is not YAML: missing comma in flow mapping");
    assert_string_equal(last_report, "a.yaml:4:5: this is not YAML: missing comma in flow mapping");
    assert_int_equal(port_of("a"), 1);
    see_all();
    assert_int_equal(reports, 1);
    write_file("a.yaml", service("a", 2));
    until(port_of("a") == 2);
    assert_int_equal(n_errors(), 0);
    assert_int_equal(deletions, 0);
    write_file("a.yaml", "");
    until(port_of("a") == 0);
    assert_int_equal(n_errors(), 0);
}

/* Each of them alone would be refused or passed over; none takes the good ones with it. */
static void poisoned_objects_beside_good_ones(void **state) {
    (void)state;
    static const char *const unnamed[] = {
        "[]",
        "just text",
        "80",
        "true",
        "[{}]",
        "{}",
        "{kind: Route}",
        "{apiVersion: sluice.dev/v1alpha1}",
        "{apiVersion: 1, kind: Route}",
        "{apiVersion: sluice.dev/v1alpha1, kind: []}",
        "{apiVersion: sluice.dev/v1alpha1, kind: Rout, metadata: {name: a}}",
        "{apiVersion: sluice.dev/v1alpha1, kind: Route}",
        "{apiVersion: sluice.dev/v1alpha1, kind: Route, metadata: []}",
        "{apiVersion: sluice.dev/v1alpha1, kind: Route, metadata: {name: }}",
        "{apiVersion: sluice.dev/v1alpha1, kind: Route, metadata: {name: 7}}",
        "{apiVersion: sluice.dev/v1alpha1, kind: Route, metadata: {name: ''}}",
        "{apiVersion: sluice.dev/v1alpha1, kind: Route, metadata: {name: A}}",
        "{apiVersion: sluice.dev/v1alpha1, kind: Route, metadata: {name: a/b}}",
        "{apiVersion: sluice.dev/v1alpha1, kind: Route, metadata: {name: ../etc}}",
        "{apiVersion: sluice.dev/v1alpha1, kind: Route, metadata: {name: a, namespace: 'b c'}}",
        "{apiVersion: sluice.dev/v1alpha1, kind: Route, metadata: {name: a, namespace: []}}",
        "{apiVersion: v1, kind: Service, metadata: {name: \"a\\nb\"}}",
    };
    static const char *const refused[] = {
        "spec: 1",
        "spec: []",
        "spec: text",
        "spec: {tls: {secretName: a}}",
        "spec: {rules: {}}",
        "spec: {rules: [1]}",
        "spec: {rules: [[]]}",
        "spec: {rules: [{matches: 1}]}",
        "spec: {rule: []}",
        "spec: {hostnames: a.b}",
        "spec: {hostnames: [1]}",
        "spec: {hostnames: [A.b]}",
        "spec: {hostnames: ['a:80']}",
        "spec: {hostnames: ['']}",
        "spec: {hostnames: ['a b']}",
        "spec: {hostnames: ['*.*.b']}",
        "spec: {hostnames: [10.0.0.1]}",
        "spec: {ingressClassName: 1}",
        "spec: {ingressClassName: 'a/b'}",
        "spec: {rules: [{name: a.b}]}",
        "spec: {rules: [{timeouts: {request: 1}}]}",
        "spec: {rules: [{timeouts: {request: 1y}}]}",
        "spec: {rules: [{timeouts: {reqest: 1s}}]}",
        "spec: {rules: [{retry: {attempts: 99}}]}",
        "spec: {rules: [{retry: {codes: [1]}}]}",
        "spec: {rules: [{retry: {codes: 503}}]}",
        "spec: {rules: [{filters: [{type: Lua}]}]}",
        "spec: {rules: [{filters: [{}]}]}",
        "spec: {rules: [{matches: [{method: get}]}]}",
        "spec: {rules: [{matches: [{path: /}]}]}",
        "spec: {rules: [{matches: [{path: {type: Glob}}]}]}",
        "spec: {rules: [{matches: [{path: {value: 1}}]}]}",
        "spec: {rules: [{matches: [{headers: [{}]}]}]}",
        "spec: {rules: [{backendRefs: [{}]}]}",
        "spec: {rules: [{backendRefs: [{name: A}]}]}",
        "spec: {rules: [{backendRefs: [{name: a, port: http}]}]}",
        "spec: {rules: [{backendRefs: [{name: a, port: 99999}]}]}",
        "spec: {rules: [{backendRefs: [{name: a, weight: -1}]}]}",
        "spec: {rules: [{backendRefs: [{name: a, weight: 1e99}]}]}",
        "spok: {}",
        "status: {}, spec: {status: {}}",
    };
    struct out o = out_heap(1 << 20);
    for (size_t i = 0; i < ARRAY_LEN(unnamed); i++)
        out_fmt(&o, "%s\n---\n", unnamed[i]);
    out_str(&o, str_of(service("good", 1)));
    for (size_t i = 0; i < ARRAY_LEN(refused); i++)
        out_fmt(&o,
                "{apiVersion: sluice.dev/v1alpha1, kind: Route, metadata: {name: bad-%zu}, %s}\n"
                "---\n",
                i, refused[i]);
    out_str(&o, str_of(service("as-good", 2)));
    out_char(&o, 0);
    assert_true(ARRAY_LEN(unnamed) + ARRAY_LEN(refused) >= 50);
    write_file("poison.yaml", o.p);
    out_fini(&o);
    start();
    assert_int_equal(port_of("good"), 1);
    assert_int_equal(port_of("as-good"), 2);
    assert_int_equal(store_count(store, KUBE_Service), 2);
    assert_int_equal(n_errors(), ARRAY_LEN(unnamed));
    expect_error(0, "poison.yaml:1: must be an object with apiVersion and kind, not a list");
    assert_int_equal(store_count(store, KUBE_Route), ARRAY_LEN(refused));
    for (const struct resource *r = NULL; (r = store_next(store, KUBE_Route, r));) {
        assert_null(r->fields);
        assert_non_null(r->refused);
    }
}

static void a_half_written_file_does_not_count(void **state) {
    (void)state;
    write_file("a.yaml", service("a", 1));
    start();
    int fd = open(in("a.yaml"), O_WRONLY | O_TRUNC | O_CLOEXEC);
    const char *text = service("a", 2);
    assert_int_equal(write(fd, text, 50), 50);
    uint64_t scans = dir_source_counters(source)->scans;
    assert_int_equal(mkdir(in("sub"), 0755), 0); /* not even when the whole tree is looked at */
    until(dir_source_counters(source)->scans > scans);
    see_all();
    assert_int_equal(port_of("a"), 1);
    assert_int_equal(reports, 0);
    assert_int_equal(write(fd, text + 50, strlen(text) - 50), strlen(text) - 50);
    close(fd);
    until(port_of("a") == 2);
    assert_int_equal(deletions, 0);
}

/* ---- editors and mounts ---- */

static void editors_that_rename(void **state) {
    (void)state;
    write_file("a.yaml", service("a", 1));
    start();
    write_file("a.yaml.tmp", service("a", 2));
    assert_int_equal(rename(in("a.yaml.tmp"), in("a.yaml")), 0);
    until(port_of("a") == 2);
    assert_int_equal(rename(in("a.yaml"), in("a.yaml~")), 0);
    see_all();
    write_file("a.yaml", service("a", 3));
    until(port_of("a") == 3);
    assert_int_equal(link(in("a.yaml~"), in("b.yaml")), 0);
    until(n_errors() == 1);
    assert_int_equal(unlink(in("b.yaml")), 0);
    until(n_errors() == 0);
    assert_int_equal(deletions, 0);
}

static void removed_files_give_up_their_objects(void **state) {
    (void)state;
    write_file("a.yaml", service("a", 1));
    write_file("b.yaml", service("b", 1));
    start();
    assert_int_equal(unlink(in("a.yaml")), 0);
    until(port_of("a") == 0);
    assert_int_equal(rename(in("b.yaml"), in("b.gone")), 0);
    until(port_of("b") == 0);
    assert_int_equal(dir_source_counters(source)->files, 0);
    assert_int_equal(dir_source_counters(source)->deleted, 2);
}

static void a_mounted_config_map_is_swapped(void **state) {
    (void)state;
    assert_int_equal(mkdir(in("..1"), 0755), 0);
    write_file("..1/a.yaml", service("a", 1));
    write_file("..1/b.yaml", service("b", 1));
    assert_int_equal(symlink("..1", in("..data")), 0);
    assert_int_equal(symlink("..data/a.yaml", in("a.yaml")), 0);
    assert_int_equal(symlink("..data/b.yaml", in("b.yaml")), 0);
    start();
    assert_int_equal(store_count(store, KUBE_Service), 2);
    assert_int_equal(mkdir(in("..2"), 0755), 0);
    write_file("..2/a.yaml", service("a", 2));
    write_file("..2/b.yaml", service("b", 1));
    write_file("..2/c.yaml", service("c", 3));
    assert_int_equal(symlink("..2", in("..data_tmp")), 0);
    assert_int_equal(rename(in("..data_tmp"), in("..data")), 0);
    until(port_of("a") == 2);
    assert_int_equal(symlink("..data/c.yaml", in("c.yaml")), 0);
    until(port_of("c") == 3);
    assert_int_equal(unlink(in("b.yaml")), 0);
    until(port_of("b") == 0);
    assert_int_equal(deletions, 1);
}

static void directories_come_move_and_go(void **state) {
    (void)state;
    start();
    assert_int_equal(mkdir(in("x"), 0755), 0);
    write_file("x/a.yaml", service("a", 1));
    until(port_of("a") == 1);
    assert_int_equal(mkdir(in("x/y"), 0755), 0);
    until(dir_source_counters(source)->scans >= 3);
    write_file("x/y/b.yaml", service("b", 1));
    until(port_of("b") == 1);
    assert_int_equal(rename(in("x"), in("z")), 0);
    until(dir_source_counters(source)->files == 2 &&
          str_eq(store_get(store, KUBE_Service, STR("default"), STR("b"))->from.file,
                 STR("z/y/b.yaml")));
    write_file("z/y/b.yaml", service("b", 2));
    until(port_of("b") == 2);
    assert_int_equal(deletions, 0);
    assert_int_equal(unlink(in("z/y/b.yaml")), 0);
    assert_int_equal(rmdir(in("z/y")), 0);
    until(port_of("b") == 0);
    assert_int_equal(port_of("a"), 1);
}

/* ---- one object, several files ---- */

static void an_object_moves_between_files(void **state) {
    (void)state;
    write_file("a.yaml", service("x", 1));
    write_file("b.yaml", service("y", 1));
    start();
    write_file("a.yaml", "");
    write_file("b.yaml", "---\n---\napiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: "
                         "{ports: [{port: 2}]}\n");
    until(port_of("x") == 2 && port_of("y") == 0);
    assert_int_equal(deletions, 1); /* y alone */
    const struct resource *r = store_get(store, KUBE_Service, STR("default"), STR("x"));
    assert_true(str_eq(r->from.file, STR("b.yaml")));
    assert_int_equal(r->from.line, 3);
}

static void the_first_file_keeps_an_object(void **state) {
    (void)state;
    char text[1024];
    write_file("b.yaml", service("x", 1));
    snprintf(text, sizeof(text), "%s%s", service("z", 9), service("x", 2));
    write_file("c.yaml", text);
    start();
    assert_int_equal(port_of("x"), 1);
    assert_int_equal(n_errors(), 1);
    expect_error(0, "c.yaml:6: Service default/x: is in b.yaml:1 too, which comes first and keeps "
                    "it; remove one of the two");
    assert_int_equal(reports, 1);
    write_file("a.yaml", service("x", 3));
    until(port_of("x") == 3);
    assert_int_equal(n_errors(), 2);
    assert_int_equal(unlink(in("a.yaml")), 0);
    until(port_of("x") == 1);
    assert_int_equal(unlink(in("b.yaml")), 0);
    until(port_of("x") == 2);
    assert_int_equal(n_errors(), 0);
    snprintf(text, sizeof(text), "%s%s", service("x", 4), service("x", 5));
    write_file("c.yaml", text);
    until(port_of("x") == 4);
    expect_error(0, "c.yaml:6: Service default/x: is there twice in this file, first in line 1; "
                    "remove one of the two");
    assert_int_equal(deletions, 1); /* z */
}

/* ---- too much at once ---- */

static bool read_limit(const char *path, unsigned *limit) {
    FILE *f = fopen(path, "re");
    bool good = f && fscanf(f, "%u", limit) == 1;
    if (f)
        fclose(f);
    return good;
}

static void lost_events_are_made_good(void **state) {
    (void)state;
    unsigned limit;
    assert_true(read_limit("/proc/sys/fs/inotify/max_queued_events", &limit));
    write_file("a.yaml", service("a", 1));
    write_file("b.yaml", service("b", 1));
    start();
    uint64_t scans = dir_source_counters(source)->scans;
    for (unsigned i = 0; i < limit / 2 + 10; i++) { /* two events each, never two alike in a row */
        int fd = open(in(i % 2 ? "x.txt" : "y.txt"), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        assert_int_equal(write(fd, "x", 1), 1);
        close(fd);
    }
    write_file("a.yaml", service("a", 2)); /* nobody is told */
    assert_int_equal(unlink(in("b.yaml")), 0);
    until(port_of("a") == 2 && port_of("b") == 0);
    assert_true(dir_source_counters(source)->scans > scans);
}

/* Random edits; what the store holds is what a fresh start would hold. */

static struct prng rng;

static bool same_as_fresh(void) {
    struct store *fresh = store_new();
    struct why why;
    why_clear(&why);
    struct dir_source *d = dir_source_new(NULL, fresh, root, NULL, NULL, &why);
    must(d != NULL);
    size_t a, b;
    dir_source_errors(d, &a);
    dir_source_errors(source, &b);
    bool same = a == b && store_count(fresh, KUBE_Service) == store_count(store, KUBE_Service);
    for (const struct resource *r = NULL; same && (r = store_next(fresh, KUBE_Service, r));) {
        const struct resource *mine =
            store_get(store, KUBE_Service, r->meta.namespace, r->meta.name);
        same = mine && mine->hash == r->hash && mine->from.line == r->from.line;
    }
    dir_source_free(d);
    store_free(fresh);
    return same;
}

static void random_edit(void) {
    char name[32], other[32], text[1200] = "";
    static const char *const places[] = {"", "p/", "q/"};
    snprintf(name, sizeof(name), "%s%u.yaml", places[prng_below(&rng, 3)], prng_below(&rng, 3));
    snprintf(other, sizeof(other), "%s%u.yaml", places[prng_below(&rng, 3)], prng_below(&rng, 3));
    unsigned dice = prng_below(&rng, 20);
    if (dice == 0) {
        if (rename(in("p"), in("q")) != 0 && errno != ENOENT)
            rename(in("q"), in("p"));
        return;
    }
    if (dice == 1) {
        mkdir(in(prng_below(&rng, 2) ? "p" : "q"), 0755);
        return;
    }
    if (dice < 5) {
        unlink(in(name));
        return;
    }
    if (dice < 8) {
        rename(in(name), in(other));
        return;
    }
    for (unsigned i = prng_below(&rng, 5); i > 0; i--) {
        char object[8];
        snprintf(object, sizeof(object), "o%u", prng_below(&rng, 6));
        strncat(text, service(object, 1 + prng_below(&rng, 3)), sizeof(text) - strlen(text) - 1);
    }
    int fd = open(in(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return; /* its directory is not there */
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void random_edits_end_as_a_fresh_start(void **state) {
    (void)state;
    const char *seed = getenv("SEED");
    rng.s[0] = seed ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL);
    rng.s[1] = 1;
    printf("seed %llu\n", (unsigned long long)rng.s[0]);
    start();
    for (unsigned round = 0; round < 40; round++) {
        for (unsigned i = prng_below(&rng, 20); i > 0; i--) {
            random_edit();
            if (prng_below(&rng, 3) == 0)
                event_base_loop(base, EVLOOP_NONBLOCK);
        }
        until(same_as_fresh());
    }
}

static void a_directory_that_goes_away_keeps_its_objects(void **state) {
    (void)state;
    char away[80];
    snprintf(away, sizeof(away), "%s.away", root);
    write_file("a.yaml", service("a", 1));
    start();
    assert_int_equal(rename(root, away), 0);
    until(n_errors() == 1);
    uint64_t scans = dir_source_counters(source)->scans;
    until(dir_source_counters(source)->scans > scans); /* longer than a file's grace */
    assert_int_equal(port_of("a"), 1);
    assert_int_equal(reports, 1);
    assert_int_equal(rename(away, root), 0);
    write_file("a.yaml", service("a", 2));
    until(port_of("a") == 2);
    assert_int_equal(n_errors(), 0);
    assert_int_equal(deletions, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_missing_directory_is_said),
        TEST(everything_is_read_at_the_start),
        TEST(one_edited_file_among_5000),
        TEST(one_edited_object_among_5000),
        TEST(a_file_that_does_not_parse_changes_nothing),
        TEST(poisoned_objects_beside_good_ones),
        TEST(a_half_written_file_does_not_count),
        TEST(editors_that_rename),
        TEST(removed_files_give_up_their_objects),
        TEST(a_mounted_config_map_is_swapped),
        TEST(directories_come_move_and_go),
        TEST(an_object_moves_between_files),
        TEST(the_first_file_keeps_an_object),
        TEST(lost_events_are_made_good),
        TEST(random_edits_end_as_a_fresh_start),
        TEST(a_directory_that_goes_away_keeps_its_objects),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
