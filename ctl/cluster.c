/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/cluster.h"

#include "ctl/doc.h"
#include "lib/mem.h"
#include "lib/out.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    ANSWER_MAX = 64 << 20, /* bytes of kubectl's output */
    ARGS_MAX = 24,
    FORWARD_MS = 15000, /* until the port is forwarded */
};

/* ---- running kubectl ---- */

struct run {
    pid_t pid;
    int out; /* its output */
    int err; /* a file with what it complains of */
};

struct args {
    const char *v[ARGS_MAX];
    size_t n;
};

static void arg(struct args *a, const char *word) {
    must(a->n + 1 < ARGS_MAX);
    a->v[a->n++] = word;
}

/* What the user said about the cluster goes to kubectl as it is. */
static struct args args_of(struct ctl *c) {
    struct args a = {0};
    arg(&a, "kubectl");
    if (c->kubeconfig) {
        arg(&a, "--kubeconfig");
        arg(&a, c->kubeconfig);
    }
    if (c->context) {
        arg(&a, "--context");
        arg(&a, c->context);
    }
    return a;
}

/* Between fork and exec: only what may be called there. */
_Noreturn static void become(const struct args *a, int in, int out, int err) {
    signal(SIGPIPE, SIG_DFL);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (in >= 0)
        dup2(in, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    execvp(a->v[0], (char *const *)(uintptr_t)a->v);
    static const char text[] = "kubectl cannot be started; is it on your PATH?\n";
    ssize_t told = write(STDERR_FILENO, text, sizeof(text) - 1);
    _exit(told > 0 ? 127 : 126);
}

/* in: what it reads; -1: ours. */
static bool start_with(struct run *r, const struct args *a, int in) {
    int pipes[2];
    r->err = memfd_create("kubectl", MFD_CLOEXEC);
    if (r->err < 0 || pipe2(pipes, O_CLOEXEC) != 0)
        return false;
    r->pid = fork();
    if (r->pid == 0)
        become(a, in, pipes[1], r->err);
    close(pipes[1]);
    r->out = pipes[0];
    return r->pid > 0;
}

static bool start(struct run *r, const struct args *a) { return start_with(r, a, -1); }

static int end(struct run *r) {
    int status = 0;
    close(r->out);
    while (waitpid(r->pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

/* What it complained of, in one line; closes the file. */
static const char *complaint(struct run *r, char *room, size_t n) {
    ssize_t got = pread(r->err, room, n - 1, 0);
    close(r->err);
    room[got > 0 ? got : 0] = 0;
    for (char *p = room; *p; p++)
        if ((unsigned char)*p < ' ')
            *p = p[1] ? ' ' : 0;
    return room[0] ? room : "it says nothing";
}

static enum ctl_exit failed(struct ctl *c, struct run *r, const char *what) {
    char room[600];
    return ctl_fail(c, CTL_UNREACHABLE, "kubectl %s failed: %s", what,
                    complaint(r, room, sizeof(room)));
}

/* Its whole output. */
static enum ctl_exit ask(struct ctl *c, const struct args *a, const char *what, struct out *o) {
    struct run r;
    if (!start(&r, a))
        return ctl_fail(c, CTL_UNREACHABLE, "no process can be started: %s", strerror(errno));
    char room[16384];
    for (ssize_t n; (n = read(r.out, room, sizeof(room))) > 0 || (n < 0 && errno == EINTR);)
        out_bytes(o, room, n > 0 ? (size_t)n : 0);
    if (end(&r) != 0)
        return failed(c, &r, what);
    close(r.err);
    return o->over ? ctl_fail(c, CTL_UNREACHABLE, "kubectl %s prints too much", what) : CTL_OK;
}

enum ctl_exit cluster_kubectl(struct ctl *c, const char *const *words, size_t n, struct out *o) {
    struct args a = args_of(c);
    for (size_t i = 0; i < n; i++)
        arg(&a, words[i]);
    return ask(c, &a, words[0], o);
}

/* ---- finding the pod ---- */

static enum ctl_exit list_pods(struct ctl *c, const char *component, cJSON **list) {
    char selector[128];
    snprintf(selector, sizeof(selector),
             "app.kubernetes.io/name=sluice,app.kubernetes.io/component=%s", component);
    struct args a = args_of(c);
    arg(&a, "get");
    arg(&a, "pods");
    arg(&a, "--output=json");
    arg(&a, "--selector");
    arg(&a, selector);
    arg(&a, c->namespace ? "--namespace" : "--all-namespaces");
    if (c->namespace)
        arg(&a, c->namespace);
    struct out o = out_heap(ANSWER_MAX);
    enum ctl_exit code = ask(c, &a, "get pods", &o);
    *list = code == CTL_OK ? cJSON_ParseWithLength(o.p ? o.p : "", o.n) : NULL;
    out_fini(&o);
    if (code == CTL_OK && !*list)
        code = ctl_fail(c, CTL_UNREACHABLE, "kubectl get pods does not print JSON");
    return code;
}

static bool is_ready(const cJSON *pod) {
    const cJSON *k, *meta = doc_each(pod, "metadata");
    if (doc_get(meta, "deletionTimestamp")[0])
        return false;
    cJSON_ArrayForEach(k, doc_each(doc_each(pod, "status"), "conditions")) {
        if (strcmp(doc_get(k, "type"), "Ready") == 0)
            return strcmp(doc_get(k, "status"), "True") == 0;
    }
    return false;
}

/* The ready pod, or the one of that name; *others: there are pods in another namespace too. */
static const cJSON *choose(const cJSON *list, const char *name, const cJSON **others) {
    const cJSON *pod, *best = NULL;
    *others = NULL;
    cJSON_ArrayForEach(pod, doc_each(list, "items")) {
        const cJSON *meta = doc_each(pod, "metadata");
        if (name ? strcmp(doc_get(meta, "name"), name) != 0 : !is_ready(pod))
            continue;
        if (!best)
            best = meta;
        else if (strcmp(doc_get(best, "namespace"), doc_get(meta, "namespace")) != 0)
            *others = meta;
    }
    return best;
}

static enum ctl_exit none_ready(struct ctl *c, const char *component) {
    return ctl_fail(c, CTL_UNREACHABLE,
                    "no %s pod is ready%s%s; is Sluice installed there? (labels "
                    "app.kubernetes.io/name=sluice, app.kubernetes.io/component=%s)",
                    component, c->namespace ? " in namespace " : "",
                    c->namespace ? c->namespace : "", component);
}

static enum ctl_exit two_namespaces(struct ctl *c, const cJSON *meta, const cJSON *other) {
    return ctl_fail(c, CTL_USAGE, "Sluice runs in the namespaces %s and %s; say which: -n %s",
                    doc_get(meta, "namespace"), doc_get(other, "namespace"),
                    doc_get(meta, "namespace"));
}

enum ctl_exit cluster_ready(struct ctl *c, const char *component, cJSON *list) {
    cJSON *pods = NULL;
    const cJSON *other, *pod;
    enum ctl_exit code = list_pods(c, component, &pods);
    if (code != CTL_OK)
        return code;
    const cJSON *meta = choose(pods, NULL, &other);
    if (!meta)
        code = none_ready(c, component);
    else if (other)
        code = two_namespaces(c, meta, other);
    cJSON_ArrayForEach(pod, doc_each(pods, "items")) {
        if (code == CTL_OK && is_ready(pod))
            cJSON_AddItemToArray(list,
                                 cJSON_CreateString(doc_get(doc_each(pod, "metadata"), "name")));
    }
    cJSON_Delete(pods);
    return code;
}

static enum ctl_exit find_pod(struct ctl *c, const char *component, const char *name,
                              struct cluster_way *way) {
    cJSON *list = NULL;
    const cJSON *other;
    enum ctl_exit code = list_pods(c, component, &list);
    if (code != CTL_OK)
        return code;
    const cJSON *meta = choose(list, name, &other);
    if (!meta && name)
        code = ctl_fail(c, CTL_UNREACHABLE, "there is no %s pod %s%s%s", component, name,
                        c->namespace ? " in namespace " : "", c->namespace ? c->namespace : "");
    else if (!meta)
        code = none_ready(c, component);
    else if (other)
        code = two_namespaces(c, meta, other);
    else
        snprintf(way->pod, sizeof(way->pod), "%s/%s", doc_get(meta, "namespace"),
                 doc_get(meta, "name"));
    cJSON_Delete(list);
    return code;
}

/* ---- forwarding ---- */

static int64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Reads until kubectl says where it listens: "Forwarding from 127.0.0.1:41235 -> 7502". */
static bool await_port(int fd, char *place, size_t n) {
    static const char says[] = "Forwarding from 127.0.0.1:";
    char text[4096];
    size_t at = 0;
    int64_t until = now_ms() + FORWARD_MS;
    while (at < sizeof(text) - 1) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int64_t left = until - now_ms();
        if (left <= 0 || poll(&p, 1, (int)left) <= 0)
            return false;
        ssize_t got = read(fd, text + at, sizeof(text) - 1 - at);
        if (got <= 0)
            return false;
        at += (size_t)got;
        text[at] = 0;
        const char *line = strstr(text, says);
        const char *port = line ? line + sizeof(says) - 1 : NULL;
        size_t digits = port ? strspn(port, "0123456789") : 0;
        if (digits > 0 && port[digits] == ' ')
            return snprintf(place, n, "127.0.0.1:%.*s", (int)digits, port) < (int)n;
    }
    return false;
}

static enum ctl_exit forward(struct ctl *c, unsigned port, struct cluster_way *way) {
    struct str ns, name = str_cut(str_of(way->pod), '/', &ns);
    char ports[16], *in = str_dup(ns), *pod = mem_alloc(name.n + 5);
    snprintf(ports, sizeof(ports), ":%u", port);
    snprintf(pod, name.n + 5, "pod/%.*s", STR_FMT(name));
    struct args a = args_of(c);
    arg(&a, "--namespace");
    arg(&a, in);
    arg(&a, "port-forward");
    arg(&a, "--address=127.0.0.1");
    arg(&a, pod);
    arg(&a, ports);
    struct run r;
    enum ctl_exit code = CTL_OK;
    if (!start(&r, &a)) {
        code = ctl_fail(c, CTL_UNREACHABLE, "no process can be started: %s", strerror(errno));
    } else if (!await_port(r.out, way->place, sizeof(way->place))) {
        kill(r.pid, SIGTERM);
        end(&r);
        code = failed(c, &r, "port-forward");
    } else {
        way->forward = r.pid;
        way->said =
            r.out; /* a line for each connection; a pipe has room for more than a thousand */
        close(r.err);
    }
    mem_free(in);
    mem_free(pod);
    return code;
}

/* ---- one ConfigMap ---- */

/* Its exit code; what it complained of is in room. -1: it cannot be started. */
static int run_with(const struct args *a, const char *text, char *room, size_t n) {
    struct run r;
    char said[4096];
    int in = memfd_create("input", MFD_CLOEXEC);
    size_t length = text ? strlen(text) : 0;
    bool good =
        in >= 0 && write(in, text, length) == (ssize_t)length && lseek(in, 0, SEEK_SET) == 0;
    good = good && start_with(&r, a, in);
    if (in >= 0)
        close(in);
    snprintf(room, n, "no process can be started");
    if (!good)
        return -1;
    while (read(r.out, said, sizeof(said)) > 0)
        ;
    int code = end(&r);
    complaint(&r, room, n);
    return code;
}

static int put(struct ctl *c, const char *verb, const char *ns, const char *text, char *room,
               size_t n) {
    struct args a = args_of(c);
    arg(&a, "--namespace");
    arg(&a, ns);
    arg(&a, verb);
    arg(&a, "--filename=-");
    return run_with(&a, text, room, n);
}

enum ctl_exit cluster_write(struct ctl *c, const char *ns, const char *name, const char *text) {
    char room[600];
    if (put(c, "replace", ns, text, room, sizeof(room)) == 0)
        return CTL_OK;
    if (strstr(room, "NotFound") && put(c, "create", ns, text, room, sizeof(room)) == 0)
        return CTL_OK;
    return ctl_fail(c, CTL_PROBLEMS, "ConfigMap %s/%s cannot be written: %s", ns, name, room);
}

enum ctl_exit cluster_delete(struct ctl *c, const char *ns, const char *name) {
    char room[600];
    struct args a = args_of(c);
    arg(&a, "--namespace");
    arg(&a, ns);
    arg(&a, "delete");
    arg(&a, "configmap");
    arg(&a, name);
    if (run_with(&a, "", room, sizeof(room)) == 0)
        return CTL_OK;
    return ctl_fail(c, CTL_PROBLEMS, "ConfigMap %s/%s cannot be deleted: %s", ns, name, room);
}

/* ---- the whole ---- */

enum ctl_exit cluster_open(struct ctl *c, const char *component, unsigned port, const char *pod,
                           struct cluster_way *way) {
    *way = (struct cluster_way){0};
    enum ctl_exit code = find_pod(c, component, pod, way);
    return code == CTL_OK ? forward(c, port, way) : code;
}

void cluster_close(struct cluster_way *way) {
    if (way->forward <= 0)
        return;
    kill(way->forward, SIGTERM);
    while (waitpid(way->forward, NULL, 0) < 0 && errno == EINTR)
        ;
    close(way->said);
    way->forward = 0;
}

bool cluster_has_kubectl(void) {
    const char *path = getenv("PATH");
    struct str rest = str_of(path ? path : "/usr/bin:/bin"), dir;
    while (rest.p) {
        char file[4096];
        rest = str_cut(rest, ':', &dir);
        if (snprintf(file, sizeof(file), "%.*s/kubectl", STR_FMT(dir)) < (int)sizeof(file) &&
            access(file, X_OK) == 0)
            return true;
    }
    return false;
}
