/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/config/fleet.h"

#include "lib/jwt_keys.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/ws_tls.h"
#include "proxy/config/lastgood.h"

#include <event2/event.h>

struct fleet {
    struct out message; /* what the rest borrows from */
    struct arena arena;
    struct wire_fleet m;
    struct jwt_keys *keys;
    struct jwt_scratch *scratch;
};

static int check(struct fleet *f, struct why *why) {
    struct ws_leaf *leaf = ws_leaf_new(f->m.cert, f->m.key, why);
    ws_leaf_free(leaf);
    if (!leaf)
        return -1;
    if (f->m.issuer.n == 0 || f->m.audience.n == 0)
        return why_text(why, "it names no issuer, or no audience");
    f->keys = jwt_keys_new(f->m.keys, why);
    return f->keys ? 0 : -1;
}

static struct fleet *of_message(struct out *message, struct why *why) {
    struct fleet *f = mem_zalloc(sizeof(*f));
    struct wire_message m;
    f->message = *message;
    f->scratch = jwt_scratch_new();
    arena_init(&f->arena);
    int bad = wire_decode(out_done(&f->message), &f->arena, &m, why);
    if (!bad && m.type != WIRE_fleet)
        bad = why_text(why, "it is another message");
    f->m = m.fleet;
    if (!bad && check(f, why) == 0)
        return f;
    fleet_free(f);
    return NULL;
}

struct fleet *fleet_new(const struct wire_fleet *m, struct why *why) {
    struct out message = out_heap(WIRE_MESSAGE_MAX);
    wire_encode(WIRE_fleet, m, &message);
    return of_message(&message, why);
}

void fleet_free(struct fleet *f) {
    if (!f)
        return;
    jwt_keys_free(f->keys);
    jwt_scratch_free(f->scratch);
    arena_fini(&f->arena);
    OPENSSL_cleanse(f->message.p, f->message.n);
    out_fini(&f->message);
    mem_free(f);
}

struct ws_identity fleet_identity(const struct fleet *f) {
    return (struct ws_identity){f->m.cert, f->m.key};
}
struct str fleet_message(const struct fleet *f) {
    return out_done(&f->message);
}

/* ---- tokens ---- */

static bool is_listed(const struct fleet *f, const struct jwt *t) {
    char room[600];
    for (uint32_t i = 0; i < f->m.n_accounts; i++) {
        struct str ns, name = str_cut(f->m.accounts[i], '/', &ns);
        struct out o = out_fixed(room, sizeof(room));
        out_fmt(&o, "system:serviceaccount:%.*s:%.*s", STR_FMT(ns), STR_FMT(name));
        if (!o.over && str_eq(out_done(&o), t->subject))
            return true;
    }
    return false;
}

static int judge(const struct fleet *f, const struct jwt *t, int64_t now, struct why *why) {
    struct shown shown;
    const struct jwt_rules rules = {
        .issuer = f->m.issuer, .audiences = &f->m.audience, .n_audiences = 1, .skew_s = JWT_SKEW_S};
    if (jwt_verify(t, f->keys, JWT_ALGS_KEY, f->scratch, why) != 0 ||
        jwt_judge(t, &rules, now, why) != 0)
        return -1;
    return is_listed(f, t) ? 0
                           : why_text(why, "it is of %s, whose pods are no proxies",
                                      why_show(t->subject, &shown));
}

int fleet_judge(const struct fleet *f, struct str token, int64_t now, char **pod, struct why *why) {
    static const struct str path[] = {{"kubernetes.io", 13}, {"pod", 3}, {"name", 4}};
    struct jwt t;
    *pod = NULL;
    if (token.n == 0)
        return why_text(why, "none was shown");
    if (jwt_read(&t, token, f->scratch, why) != 0)
        return -1;
    if (judge(f, &t, now, why) != 0)
        return -1;
    struct str name = claim_text(&t.claims, claims_get(&t.claims, path, ARRAY_LEN(path)));
    if (name.n > 0)
        *pod = str_dup(name);
    return 0;
}

/* ---- the file ---- */

struct fleet_file {
    struct lastgood *file;
    struct event *written;
    char *path;
    struct object *next; /* to be written when the write under way has ended; NULL: nothing */
};

static const char id[] = "fleet";

static void start(struct fleet_file *f) {
    if (!f->next || !lastgood_idle(f->file))
        return;
    struct object **one = mem_array(1, sizeof(*one));
    one[0] = f->next;
    f->next = NULL;
    lastgood_start(f->file, one, 1);
}

static void on_written(evutil_socket_t fd, short what, void *arg) {
    struct fleet_file *f = arg;
    uint64_t took_ms;
    (void)fd, (void)what;
    lastgood_end(f->file, &took_ms);
    start(f);
}

struct fleet_file *fleet_file_new(struct event_base *base, const char *state) {
    struct fleet_file *f = mem_zalloc(sizeof(*f));
    struct out path = out_heap(1 << 13);
    out_fmt(&path, "%s.fleet", state);
    f->path = str_dup(out_done(&path));
    out_fini(&path);
    f->file = lastgood_new(f->path);
    f->written = event_new(base, lastgood_fd(f->file), EV_READ | EV_PERSIST, on_written, f);
    must(f->written);
    event_add(f->written, NULL);
    return f;
}

void fleet_file_free(struct fleet_file *f) {
    if (!f)
        return;
    event_free(f->written);
    lastgood_free(f->file);
    object_drop(f->next);
    mem_free(f->path);
    mem_free(f);
}

struct fleet *fleet_file_load(struct fleet_file *f) {
    struct object **objects;
    struct fleet *fleet = NULL;
    struct why why = {0};
    size_t n;
    enum lastgood_result result = lastgood_load(f->path, &objects, &n, &why);
    if (result == LASTGOOD_LOADED && n == 1) {
        struct out message = out_heap(WIRE_MESSAGE_MAX);
        out_str(&message, object_bytes(objects[0]));
        fleet = of_message(&message, &why);
    }
    if (!fleet && result != LASTGOOD_ABSENT)
        log_warn("config", "what was told for peers is not used: %s", why.text);
    for (size_t i = 0; i < n; i++)
        object_drop(objects[i]);
    mem_free(objects);
    return fleet;
}

void fleet_file_save(struct fleet_file *f, const struct fleet *fleet) {
    struct object *o = object_from_bytes(MODEL_KIND_NONE, str_of(id), fleet_message(fleet), NULL);
    if (!o)
        return;
    object_drop(f->next);
    f->next = o;
    start(f);
}
