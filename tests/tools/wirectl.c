/* SPDX-License-Identifier: Apache-2.0
 *
 * wirectl: a controller that speaks the wire itself. It changes a proxy's configuration as often as
 * asked, and knows of every answer of that proxy whether it was right.
 *
 *   wirectl --listen 127.0.0.1:P --proxy PORT --red PORT --blue PORT --seconds N --rate N
 *
 * Transaction t makes world t, and what is in world t follows from t alone (struct world):
 *
 *     version.test   answers "t" itself                                 every transaction
 *     weight.test    a rule with two backends, all weight on one        t % 4 == 0
 *     address.test   a backend whose endpoints move                     t % 4 == 1
 *     here.test      a host that comes and goes, with its rule          t % 4 == 2
 *     backend.test   a backend that takes its endpoints from elsewhere  t % 4 == 3
 *
 * A transaction is sent when the one before was acked and its time has come. Askers, threads with a
 * connection of their own, note the last acked t before each request and the last committed one
 * after its answer: it must be the answer of some world in between.
 *
 *     main thread    ws ◄─► proxy: begin put del commit, ack         acked, committed
 *     askers         ask ──► proxy ──► red or blue                   asked, wrong
 *
 * Prints one line of figures. Exit code 1: a wrong answer, a refused transaction, a lost link.
 */
#include "lib/mem.h"
#include "lib/wire.h"
#include "lib/ws.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { ASKERS = 2, HEAD_ROOM = 4096, WAIT_S = 30 };

static struct {
    const char *listen;
    uint16_t proxy, red, blue;
    unsigned seconds, rate;
} option;

/* ---- what is in world t ---- */

enum color { RED, BLUE };
static const char *const color_names[] = {"red", "blue"};

struct world {
    uint64_t version;
    enum color weight, address, backend;
    bool here;
};

/* How often something that changes at every t % 4 == at has changed up to t. */
static uint64_t turns(uint64_t t, uint64_t at) { return (t + 4 - at) / 4; }

static struct world world_of(uint64_t t) {
    return (struct world){
        .version = t,
        .weight = turns(t, 0) % 2 ? BLUE : RED,
        .address = turns(t, 1) % 2 ? BLUE : RED,
        .here = turns(t, 2) % 2 != 0,
        .backend = turns(t, 3) % 2 ? BLUE : RED,
    };
}

enum subject { VERSION, WEIGHT, ADDRESS, HERE, BACKEND, SUBJECTS };
static const char *const subject_names[] = {"version", "weight", "address", "here", "backend"};

/* ---- shared by main and askers ---- */

static uint64_t acked, committed; /* atomic */
static bool ended;                /* atomic */
static uint64_t asked[ASKERS], wrong;

static uint64_t load(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }

static uint64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

_Noreturn static void fail(const char *what) {
    printf("failed: %s\n", what);
    exit(1);
}

/* ---- the wanted set ---- */

enum { OBJECTS_MAX = 32 };

static struct object *objects[OBJECTS_MAX];
static size_t n_objects;
static struct digest digest;
static struct ws *ws;
static uint64_t conn;

static void say(enum wire_type type, const void *value) {
    struct out o = ws_message();
    wire_encode(type, value, &o);
    ws_send(ws, conn, &o);
}

/* The place of an object, or a free one. */
static struct object **place(struct str id) {
    for (size_t i = 0; i < n_objects; i++)
        if (str_eq(object_id(objects[i]), id))
            return &objects[i];
    must(n_objects < OBJECTS_MAX);
    return &objects[n_objects];
}

static void remove_object(const char *id) {
    struct object **at = place(str_of(id));
    if (at == &objects[n_objects])
        return;
    digest_sub(&digest, *at);
    say(WIRE_del, &(struct wire_del){object_id((*at))});
    object_drop(*at);
    *at = objects[--n_objects];
}

static void put(enum model_kind kind, const char *id, const void *value) {
    struct object *o = object_new(kind, str_of(id), value), **at = place(object_id(o));
    if (at == &objects[n_objects]) {
        n_objects++;
    } else {
        digest_sub(&digest, *at);
        object_drop(*at);
    }
    digest_add(&digest, o);
    *at = o;
    say(WIRE_put, &(struct wire_put){o->kind, object_id(o), object_bytes(o)});
}

/* ---- objects ---- */

static struct str gateway = {"gateway/-/test", 14};

static void put_host(const char *name) {
    char id[64], hostname[64];
    snprintf(id, sizeof(id), "host/test/%s.test", name);
    snprintf(hostname, sizeof(hostname), "%s.test", name);
    put(MODEL_KIND_host, id,
        &(struct model_host){.gateway = gateway, .hostname = str_of(hostname)});
}

static void put_route(const char *name, struct model_backend_ref *backends, uint32_t n,
                      struct model_filter *filter) {
    char id[64], host[64];
    snprintf(id, sizeof(id), "route/test/%s/rule-0", name);
    snprintf(host, sizeof(host), "host/test/%s.test", name);
    struct str hosts[] = {str_of(host)};
    put(MODEL_KIND_route, id,
        &(struct model_route){.gateway = gateway,
                              .hosts = hosts,
                              .n_hosts = 1,
                              .namespace = STR("test"),
                              .name = str_of(name),
                              .rule = STR("rule-0"),
                              .backends = backends,
                              .n_backends = n,
                              .filters = filter,
                              .n_filters = filter ? 1 : 0});
}

static void put_endpoints(const char *name, enum color color) {
    char id[64];
    static const char loopback[] = {127, 0, 0, 1};
    snprintf(id, sizeof(id), "endpoints/test/%s/80", name);
    struct model_endpoint e = {.address = str_mk(loopback, 4),
                               .port = color == RED ? option.red : option.blue};
    put(MODEL_KIND_endpoints, id, &(struct model_endpoints){.endpoints = &e, .n_endpoints = 1});
}

static void put_backend(const char *name, const char *endpoints) {
    char id[64], from[64];
    snprintf(id, sizeof(id), "backend/test/%s/80", name);
    snprintf(from, sizeof(from), "endpoints/test/%s/80", endpoints);
    put(MODEL_KIND_backend, id,
        &(struct model_backend){.namespace = STR("test"),
                                .service = str_of(name),
                                .port = 80,
                                .endpoints = str_of(from)});
}

static struct model_backend_ref share(const char *id, uint64_t weight) {
    return (struct model_backend_ref){.backend = str_of(id), .weight = weight};
}

static void put_version(uint64_t version) {
    char body[24];
    int n = snprintf(body, sizeof(body), "%llu", (unsigned long long)version);
    struct model_direct direct = {.status = 200, .body = str_mk(body, (size_t)n)};
    struct model_filter filter = {.type = MODEL_FILTER_DIRECT, .direct = &direct};
    put_route("version", NULL, 0, &filter);
}

static void put_weight(enum color color) {
    struct model_backend_ref shares[] = {share("backend/test/red/80", color == RED),
                                         share("backend/test/blue/80", color == BLUE)};
    put_route("weight", shares, 2, NULL);
}

static void put_to(const char *name, const char *backend) {
    struct model_backend_ref all = share(backend, 1);
    put_route(name, &all, 1, NULL);
}

static void put_here(bool here) {
    if (here) {
        put_host("here");
        put_to("here", "backend/test/red/80");
    } else {
        remove_object("route/test/here/rule-0");
        remove_object("host/test/here.test");
    }
}

static void put_first_world(const struct world *w) {
    put(MODEL_KIND_gateway, gateway.p, &(struct model_gateway){0});
    put(MODEL_KIND_listener, "listener/test/http",
        &(struct model_listener){.gateway = gateway, .port = 80});
    for (enum color c = RED; c <= BLUE; c++) {
        put_endpoints(color_names[c], c);
        put_backend(color_names[c], color_names[c]);
    }
    put_endpoints("address", w->address);
    put_backend("address", "address");
    put_backend("backend", color_names[w->backend]);
    for (enum subject s = VERSION; s < SUBJECTS; s++)
        if (s != HERE)
            put_host(subject_names[s]);
    put_version(w->version);
    put_weight(w->weight);
    put_to("address", "backend/test/address/80");
    put_to("backend", "backend/test/backend/80");
    put_here(w->here);
}

static void put_next_world(const struct world *w) {
    put_version(w->version);
    switch (w->version % 4) {
    case 0:
        put_weight(w->weight);
        return;
    case 1:
        put_endpoints("address", w->address);
        return;
    case 2:
        put_here(w->here);
        return;
    default:
        put_backend("backend", color_names[w->backend]);
        return;
    }
}

static void send_world(uint64_t t) {
    static char all[WIRE_BUCKETS_BYTES];
    struct world w = world_of(t);
    memset(all, 0xff, sizeof(all));
    say(WIRE_begin, &(struct wire_begin){t, t == 1 ? str_mk(all, sizeof(all)) : STR_NONE});
    if (t == 1)
        put_first_world(&w);
    else
        put_next_world(&w);
    __atomic_store_n(&committed, t, __ATOMIC_RELEASE);
    say(WIRE_commit, &(struct wire_commit){t, digest_total(&digest)});
}

/* ---- the link ---- */

static unsigned hellos;

static void hear(const struct wire_message *m) {
    if (m->type == WIRE_hello && ++hellos > 1)
        fail("the proxy said hello again");
    if (m->type == WIRE_nack) {
        printf("failed: transaction %llu was refused: %.*s\n", (unsigned long long)m->nack.tx,
               STR_FMT(m->nack.n_faults ? m->nack.faults[0].reason : STR("digests differ")));
        exit(1);
    }
    if (m->type != WIRE_ack)
        return;
    if (m->ack.digest != digest_total(&digest))
        fail("an ack with another digest");
    __atomic_store_n(&acked, m->ack.tx, __ATOMIC_RELEASE);
}

static void turn(int ms) {
    struct pollfd p = {.fd = ws_fd(ws), .events = POLLIN};
    (void)poll(&p, 1, ms);
    for (struct ws_event *e; (e = ws_next(ws)); ws_event_free(e)) {
        struct wire_message m;
        struct why why = {0};
        struct arena a;
        if (e->type == WS_OPEN)
            conn = e->conn;
        if (e->type == WS_CLOSED)
            fail("the link was lost");
        if (e->type != WS_MESSAGE)
            continue;
        arena_init(&a);
        if (wire_decode(e->bytes, &a, &m, &why) != 0)
            fail(why.text);
        hear(&m);
        arena_fini(&a);
    }
}

static void until_acked(uint64_t t) {
    uint64_t end = now_us() + WAIT_S * 1000000ULL;
    while (load(&acked) < t) {
        if (now_us() > end)
            fail("no ack");
        turn(1000);
    }
}

/* ---- askers ---- */

static int dial(void) {
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(option.proxy),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval limit = {WAIT_S, 0};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0)
        fail("the proxy cannot be reached");
    return fd;
}

struct answer {
    char room[HEAD_ROOM];
    size_t n;
    unsigned status;
    const char *body; /* NUL behind it */
};

/* Whether the whole answer is in the room; its parts are found then. */
static bool is_whole(struct answer *a) {
    a->room[a->n] = 0;
    char *end = strstr(a->room, "\r\n\r\n"), *length = strcasestr(a->room, "\r\ncontent-length:");
    if (!end)
        return false;
    if (sscanf(a->room, "HTTP/1.1 %u", &a->status) != 1 || !length)
        fail("an answer without status or length");
    a->body = end + 4;
    return strlen(a->body) >= strtoul(length + 17, NULL, 10);
}

static void ask(int fd, enum subject s, struct answer *a) {
    char request[128];
    int n = snprintf(request, sizeof(request), "GET / HTTP/1.1\r\nHost: %s.test\r\n\r\n",
                     subject_names[s]);
    if (write(fd, request, (size_t)n) != n)
        fail("a request could not be sent");
    a->n = 0;
    do {
        ssize_t got = read(fd, a->room + a->n, HEAD_ROOM - 1 - a->n);
        if (got <= 0)
            fail("an answer was cut");
        a->n += (size_t)got;
    } while (!is_whole(a));
}

static bool is_from(const struct answer *a, enum color color) {
    size_t n = strlen(color_names[color]);
    return a->status == 200 && strncmp(a->body, color_names[color], n) == 0 && a->body[n] == ':';
}

static bool is_right(const struct answer *a, enum subject s, const struct world *w) {
    switch (s) {
    case VERSION:
        return a->status == 200 && strtoull(a->body, NULL, 10) == w->version;
    case WEIGHT:
        return is_from(a, w->weight);
    case ADDRESS:
        return is_from(a, w->address);
    case BACKEND:
        return is_from(a, w->backend);
    default:
        return w->here ? is_from(a, RED) : a->status == 404;
    }
}

static void judge(const struct answer *a, enum subject s, uint64_t from, uint64_t to) {
    for (uint64_t t = from; t <= to; t++) {
        struct world w = world_of(t);
        if (is_right(a, s, &w))
            return;
    }
    if (__atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED) < 10)
        printf("wrong: %s was answered %u %.40s in worlds %llu to %llu\n", subject_names[s],
               a->status, a->body, (unsigned long long)from, (unsigned long long)to);
}

static void *asker(void *arg) {
    uint64_t *count = arg;
    int fd = dial();
    for (unsigned i = 0; !__atomic_load_n(&ended, __ATOMIC_ACQUIRE); i++) {
        static _Thread_local struct answer a;
        enum subject s = (enum subject)(i % SUBJECTS);
        uint64_t from = load(&acked);
        ask(fd, s, &a);
        judge(&a, s, from, load(&committed));
        __atomic_fetch_add(count, 1, __ATOMIC_RELAXED);
    }
    close(fd);
    return NULL;
}

/* ---- the run ---- */

static uint64_t run(uint64_t *longest_us) {
    uint64_t begin = now_us(), end = begin + option.seconds * 1000000ULL, first = load(&acked);
    for (uint64_t t = first + 1;; t++) {
        uint64_t due = begin + (t - first) * 1000000ULL / option.rate;
        while (now_us() < due)
            turn((int)((due - now_us()) / 1000));
        if (due >= end || now_us() >= end)
            return t - first - 1;
        uint64_t sent = now_us();
        send_world(t);
        until_acked(t);
        uint64_t took = now_us() - sent;
        *longest_us = took > *longest_us ? took : *longest_us;
    }
}

static void run_beside_askers(void) {
    pthread_t threads[ASKERS];
    uint64_t longest_us = 0, all = 0, begin = now_us();
    for (int i = 0; i < ASKERS; i++)
        must(pthread_create(&threads[i], NULL, asker, &asked[i]) == 0);
    uint64_t n = run(&longest_us);
    double seconds = (double)(now_us() - begin) / 1e6;
    __atomic_store_n(&ended, true, __ATOMIC_RELEASE);
    for (int i = 0; i < ASKERS; i++) {
        pthread_join(threads[i], NULL);
        all += asked[i];
    }
    printf("transactions=%llu a_second=%.0f longest_ms=%.1f answers=%llu wrong=%llu\n",
           (unsigned long long)n, (double)n / seconds, (double)longest_us / 1e3,
           (unsigned long long)all, (unsigned long long)wrong);
}

static void parse(int argc, char **argv) {
    static const struct option known[] = {
        {"listen", 1, 0, 'l'},
        {"proxy", 1, 0, 'p'},
        {"red", 1, 0, 'r'},
        {"blue", 1, 0, 'b'},
        {"seconds", 1, 0, 's'},
        {"rate", 1, 0, 'n'},
        {0},
    };
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        uint64_t v = 0;
        if (c == 'l') {
            option.listen = optarg;
            continue;
        }
        if (c == '?' || !str_to_u64(str_of(optarg), UINT16_MAX, &v) || v == 0)
            fail("usage: see tests/tools/wirectl.c");
        switch (c) {
        case 'p':
            option.proxy = (uint16_t)v;
            break;
        case 'r':
            option.red = (uint16_t)v;
            break;
        case 'b':
            option.blue = (uint16_t)v;
            break;
        case 's':
            option.seconds = (unsigned)v;
            break;
        default:
            option.rate = (unsigned)v;
            break;
        }
    }
    if (!option.listen || !option.proxy || !option.red || !option.blue || !option.seconds ||
        !option.rate)
        fail("usage: see tests/tools/wirectl.c");
}

int main(int argc, char **argv) {
    struct why why = {0};
    parse(argc, argv);
    setvbuf(stdout, NULL, _IOLBF, 0);
    ws = ws_listen(option.listen, NULL, &why);
    if (!ws)
        fail(why.text);
    printf("listening\n");
    for (uint64_t end = now_us() + WAIT_S * 1000000ULL; hellos == 0; turn(1000))
        if (now_us() > end)
            fail("no hello");
    send_world(1);
    until_acked(1);
    printf("served\n");
    run_beside_askers();
    ws_free(ws);
    for (size_t i = 0; i < n_objects; i++)
        object_drop(objects[i]);
    return wrong > 0;
}
