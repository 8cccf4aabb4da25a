/* SPDX-License-Identifier: Apache-2.0
 *
 * history: resources written and read back; a store that is frozen; revisions, what makes one and
 * what does not, the way back, on a disk and from it.
 */
#include "tests/unit/compile_world.h"

#include "controller/history/kept.h"
#include "controller/history/pin.h"
#include "ctl/files.h"
#include "lib/json.h"

#include <glob.h>
#include <unistd.h>

/* ---- resources ---- */

static void nobody(void *arg, const struct dir_error *e) { (void)arg, (void)e; }

static struct resource *again(const struct resource *r) {
    struct out o = out_heap(1 << 20);
    struct why why = {0};
    resource_write(r, &o);
    cJSON *json = json_parse(out_done(&o), &why);
    assert_non_null(json);
    struct resource *copy = resource_read(json, &why);
    if (!copy)
        fail_msg("%s: %s: %.*s", why.field, why.text, STR_FMT(out_done(&o)));
    if (copy->hash != r->hash)
        fail_msg("another one: %.*s", STR_FMT(out_done(&o)));
    cJSON_Delete(json);
    out_fini(&o);
    return copy;
}

/* Of every resource that some test compiles. */
static void test_written(void **state) {
    glob_t found;
    size_t n = 0;
    (void)state;
    assert_int_equal(glob("tests/golden/*.in.yaml", 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        struct store *s = store_new();
        struct why why = {0};
        assert_int_equal(files_load(found.gl_pathv[i], s, nobody, NULL, &why), 0);
        for (enum kube_kind k = 1; k < KUBE_KINDS; k++)
            for (const struct resource *r = NULL; (r = store_next(s, k, r));)
                if (r->fields && k != KUBE_Secret && k != KUBE_ConfigMap) {
                    resource_drop(again(r));
                    n++;
                }
        store_free(s);
    }
    globfree(&found);
    assert_true(n > 300);
}

static struct resource *resource(const char *quoted) {
    char text[4096];
    struct why why = {0};
    bool foreign;
    snprintf(text, sizeof(text), "%s", quoted);
    for (char *p = text; *p; p++)
        *p = *p == '\'' ? '"' : *p;
    cJSON *json = cJSON_Parse(text);
    assert_non_null(json);
    struct resource *r = resource_new(json, &(struct resource_origin){0}, &foreign, &why);
    assert_non_null(r);
    cJSON_Delete(json);
    return r;
}

#define SERVICE(more)                                                                              \
    "{'apiVersion':'v1','kind':'Service','metadata':{'name':'a','namespace':'n'" more              \
    "},'spec':{'ports':[{'port':80}]}}"

static void test_manager(void **state) {
    (void)state;
    struct resource *r = resource(
        SERVICE(",'managedFields':[{'manager':'old','time':'2026-11-26T10:00:00Z'},"
                "{'manager':'bot','time':'2026-11-26T12:00:00Z'},"
                "{'manager':'sluice','time':'2026-11-26T13:00:00Z','subresource':'status'},"
                "{'manager':7,'time':'2026-11-26T11:00:00Z'}]"));
    struct resource *plain = resource(SERVICE(""));
    assert_true(str_eq(r->meta.manager, STR("bot")));
    assert_true(r->meta.changed == 1795694400);
    assert_int_equal(plain->meta.manager.n, 0);
    assert_true(plain->hash == r->hash);
    struct resource *copy = again(r);
    assert_true(str_eq(copy->meta.manager, STR("bot")) && copy->meta.changed == r->meta.changed);
    resource_drop(copy);
    resource_drop(r);
    resource_drop(plain);
}

/* ---- a frozen store ---- */

static void count(void *arg, const struct resource *r) {
    (void)r;
    ++*(size_t *)arg;
}

static const struct resource *counts(struct store *s, const char *name) {
    return store_get(s, KUBE_Service, STR("n"), str_of(name));
}
static const struct resource *said(struct store *s, const char *name) {
    return store_said(s, KUBE_Service, STR("n"), str_of(name));
}

static struct resource *service(const char *name, int port) {
    char text[256];
    snprintf(text, sizeof(text),
             "{'apiVersion':'v1','kind':'Service','metadata':{'name':'%s','namespace':'n'},'spec':{"
             "'ports':[{'port':%d}]}}",
             name, port);
    return resource(text);
}

static void test_frozen(void **state) {
    (void)state;
    struct store *s = store_new();
    size_t n = 0;
    struct resource *first = service("a", 1);
    store_upsert(s, resource_hold(first));
    store_upsert(s, service("b", 1));
    store_freeze(s, "so");
    assert_string_equal(store_is_frozen(s), "so");

    store_upsert(s, service("a", 2)); /* changed, new, deleted: none of it counts */
    store_upsert(s, service("c", 1));
    assert_true(store_delete(s, KUBE_Service, STR("n"), STR("b")));
    assert_ptr_equal(counts(s, "a"), first);
    assert_true(said(s, "a")->hash != first->hash);
    assert_null(counts(s, "c"));
    assert_non_null(said(s, "c"));
    assert_non_null(counts(s, "b"));
    assert_null(said(s, "b"));
    assert_int_equal(store_n_held_back(s), 3);
    store_each_said(s, KUBE_Service, count, &n);
    assert_int_equal(n, 2);

    store_upsert(s, service("a", 1)); /* as it was: nothing is held back of it */
    assert_false(store_is_held_back(s, KUBE_Service, STR("n"), STR("a")));
    assert_true(store_delete(s, KUBE_Service, STR("n"), STR("c")));
    assert_int_equal(store_n_held_back(s), 1);

    store_put_back(s, service("a", 9)); /* and what the pin says counts */
    store_put_back(s, service("d", 1));
    store_take_back(s, KUBE_Service, STR("n"), STR("b"));
    assert_int_equal(resource_Service(counts(s, "a"))->ports[0].port, 9);
    assert_int_equal(resource_Service(said(s, "a"))->ports[0].port, 1);
    assert_null(counts(s, "b"));
    assert_false(store_is_held_back(s, KUBE_Service, STR("n"), STR("b")));
    assert_null(said(s, "d"));

    /* what takes rights away is not held back */
    store_upsert(s, resource("{'apiVersion':'v1','kind':'Secret','metadata':{'name':'s',"
                             "'namespace':'n'},'data':{}}"));
    assert_non_null(store_get(s, KUBE_Secret, STR("n"), STR("s")));

    store_freeze(s, NULL);
    assert_null(store_is_frozen(s));
    assert_int_equal(store_n_held_back(s), 0);
    assert_int_equal(resource_Service(counts(s, "a"))->ports[0].port, 1);
    assert_null(counts(s, "b"));
    assert_null(counts(s, "d"));
    store_upsert(s, service("e", 1)); /* one that is held back at the end */
    store_freeze(s, "so");
    store_upsert(s, service("e", 2));
    resource_drop(first);
    store_free(s);
}

/* ---- revisions ---- */

struct past {
    struct world w;
    struct history h;
    int64_t now_ms;
    uint64_t published;
};

static void keep_put(void *arg, struct object *o) {
    struct past *p = arg;
    struct object *was = map_del(&p->w.objects, object_id(o));
    history_moved(&p->h, was, o);
    object_drop(was);
    map_put(&p->w.objects, object_id(o), o);
}
static void keep_del(void *arg, struct str id) {
    struct past *p = arg;
    struct object *was = map_del(&p->w.objects, id);
    history_moved(&p->h, was, NULL);
    object_drop(was);
}
static void keep_change(void *arg, const struct resource *was, const struct resource *now) {
    struct past *p = arg;
    history_changed(&p->h, was, now);
}

static void past_init(struct past *p) {
    *p = (struct past){.now_ms = 1000000};
    p->w.store = store_new();
    const struct compile_sink sink = {.put = keep_put, .del = keep_del, .arg = p};
    p->w.compiler = compile_new(p->w.store, &sink);
    history_init(&p->h, p->w.compiler, 1 << 20);
    store_on_history(p->w.store, keep_change, p);
}
static void past_fini(struct past *p) {
    store_on_history(p->w.store, NULL, NULL);
    history_fini(&p->h);
    world_fini(&p->w);
}

static struct revision *commit(struct past *p) {
    p->now_ms += 2000;
    run(&p->w);
    return history_committed(&p->h, ++p->published << 32 | 0xabc, p->now_ms);
}

static void add_shop(struct past *p, const char *path) {
    add(&p->w,
        "{'apiVersion':'sluice.dev/v1alpha1','kind':'Route'," META(
            "shop", "n", "") ",'spec':{'hostnames':['a.example'],'rules':[{'matches':[{'path':{"
                             "'value':'%s'}}],'backendRefs':[{'name':'web','port':80}]}]}}",
        path);
}
static void add_web(struct past *p, const char *address) {
    add(&p->w, "{'apiVersion':'v1','kind':'Service'," META(
                   "web", "n", "") ",'spec':{'ports':[{'name':'http','port':80}]}}");
    add(&p->w,
        "{'apiVersion':'discovery.k8s.io/v1','kind':'EndpointSlice'," META(
            "web-1", "n",
            ",'labels':{'kubernetes.io/service-name':'web'}") ",'addressType':'IPv4',"
                                                              "'ports':[{'name':'http','port':8080}"
                                                              "],'endpoints':[{'addresses':['%s'],'"
                                                              "conditions':{"
                                                              "'ready':true}}]}",
        address);
}

static struct revision *begin(struct past *p) {
    past_init(p);
    add(&p->w, "{'apiVersion':'networking.k8s.io/v1','kind':'IngressClass','metadata':{'name':"
               "'sluice','annotations':{'ingressclass.kubernetes.io/is-default-class':'true'}},"
               "'spec':{'controller':'sluice.dev/ingress-controller'}}");
    add_web(p, "192.0.2.1");
    add_shop(p, "/one");
    store_synced(p->w.store);
    struct revision *r = commit(p);
    assert_string_equal(r->note, "the controller started");
    return r;
}

struct seen {
    size_t n;
    char keys[8][200];
    char was[8][8], now[8][8]; /* the path; "" = none, "?" = no Route */
};

static void path_of(char room[8], const struct resource *r) {
    const struct kube_Route *f = r && r->kind == KUBE_Route ? resource_Route(r) : NULL;
    bool there = f && f->rules[0].n_matches > 0;
    snprintf(room, 8, "%.*s",
             STR_FMT(there ? f->rules[0].matches[0].path->value
                     : r   ? STR("?")
                           : STR("")));
}
static void see(void *arg, struct str key, const struct resource *was, const struct resource *now) {
    struct seen *s = arg;
    snprintf(s->keys[s->n], sizeof(s->keys[0]), "%.*s", STR_FMT(key));
    path_of(s->was[s->n], was);
    path_of(s->now[s->n++], now);
}
static void see_object(void *arg, struct str id, const struct object *was,
                       const struct object *now) {
    struct seen *s = arg;
    snprintf(s->keys[s->n], sizeof(s->keys[0]), "%s%.*s",
             !was  ? "+"
             : now ? "~"
                   : "-",
             STR_FMT(id));
    s->n++;
}

static void test_revisions(void **state) {
    (void)state;
    struct past p;
    struct why why = {0};
    struct revision *one = begin(&p);
    assert_null(commit(&p)); /* nothing has happened */
    add_web(&p, "192.0.2.2");
    assert_null(commit(&p)); /* a pod */
    assert_true(one->serves != one->name);

    add_shop(&p, "/two");
    struct revision *two = commit(&p);
    assert_int_equal(two->changes.n, 1);
    assert_int_equal(two->moves.n, 1);
    assert_int_equal(two->changed, 1);

    add_shop(&p, "(bad"); /* refused: what served serves, and no revision is made of it */
    assert_null(commit(&p));
    add(&p.w, "{'apiVersion':'sluice.dev/v1alpha1','kind':'Route'," META(
                  "more", "n", "") ",'spec':{'hostnames':['b.example'],'rules':[{'backendRefs':[{"
                                   "'name':'web','port':80}]}]}}");
    struct revision *three = commit(&p);
    assert_int_equal(three->changes.n, 1); /* the refused one is none of it */
    add_shop(&p, "/four");
    struct revision *four = commit(&p);
    assert_int_equal(four->changes.n, 1);

    struct seen s = {0};
    history_since(&p.h, two, see, &s);
    assert_int_equal(s.n, 2);
    assert_string_equal(s.keys[0], "Route/n/more");
    assert_string_equal(s.was[0], "");
    assert_string_equal(s.keys[1], "Route/n/shop");
    assert_string_equal(s.was[1], "/two");
    assert_string_equal(s.now[1], "/four");
    s = (struct seen){0};
    history_moves_between(&p.h, one, three, see_object, &s);
    assert_int_equal(s.n, 3);
    assert_string_equal(s.keys[0], "+host/sluice/b.example");
    assert_string_equal(s.keys[1], "+route/n/more/rule-0");
    assert_string_equal(s.keys[2], "~route/n/shop/rule-0");

    assert_ptr_equal(history_find(&p.h, STR("0000000500000abc"), &why), two);
    assert_null(history_find(&p.h, STR("000"), &why));
    assert_null(history_find(&p.h, STR("ffff"), &why));
    why = (struct why){0};
    assert_null(history_find(&p.h, STR("0000"), &why));
    assert_non_null(strstr(why.text, "two revisions"));
    assert_true(history_leads_back(&p.h, one));
    past_fini(&p);
}

/* What comes and goes within one; what was there again at the end. */
static void test_joined(void **state) {
    (void)state;
    struct past p;
    begin(&p);
    add_shop(&p, "/two");
    struct revision *two = commit(&p);
    p.now_ms -= 1500; /* half a second after it */
    add_shop(&p, "/three");
    add(&p.w, "{'apiVersion':'sluice.dev/v1alpha1','kind':'Route'," META(
                  "more", "n", "") ",'spec':{'hostnames':['b.example'],'rules':[{'backendRefs':[{"
                                   "'name':'web','port':80}]}]}}");
    assert_ptr_equal(commit(&p), two);
    assert_int_equal(two->changes.n, 2);
    p.now_ms -= 1500;
    store_delete(p.w.store, KUBE_Route, STR("n"), STR("more"));
    add_shop(&p, "/one");
    assert_ptr_equal(commit(&p), two);
    assert_int_equal(two->changes.n, 1);
    struct seen s = {0};
    history_moves_between(&p.h, history_first(&p.h), NULL, see_object, &s);
    assert_int_equal(s.n, 0);
    past_fini(&p);
}

static void test_bounds(void **state) {
    (void)state;
    struct past p;
    char path[16];
    begin(&p);
    for (int i = 0; i < 2 * HISTORY_REVISIONS; i++) {
        snprintf(path, sizeof(path), "/p%d", i);
        add_shop(&p, path);
        assert_non_null(commit(&p));
    }
    assert_int_equal(p.h.n, HISTORY_REVISIONS);
    assert_int_equal(history_newest(&p.h)->number, 2 * HISTORY_REVISIONS + 1);
    p.h.bytes_max = 1; /* nothing that is undone fits: it is told, and cannot be undone */
    add_shop(&p, "/large");
    struct revision *r = commit(&p);
    assert_false(r->whole);
    assert_int_equal(r->changed, 1);
    past_fini(&p);
}

/* ---- on a disk ---- */

static void test_kept(void **state) {
    (void)state;
    char folder[] = "/tmp/sluice-history-XXXXXX", path[200];
    struct why why = {0};
    struct past p, q;
    assert_non_null(mkdtemp(folder));
    begin(&p);
    add_shop(&p, "/two");
    commit(&p);
    assert_int_equal(kept_save(&p.h, folder, &why), 0);
    assert_false(history_newest(&p.h)->fresh);

    past_init(&q); /* the same resources: the way back is known */
    assert_int_equal(kept_load(&q.h, folder, &why), 0);
    add_web(&q, "192.0.2.9");
    add(&q.w, "{'apiVersion':'networking.k8s.io/v1','kind':'IngressClass','metadata':{'name':"
              "'sluice','annotations':{'ingressclass.kubernetes.io/is-default-class':'true'}},"
              "'spec':{'controller':'sluice.dev/ingress-controller'}}");
    add_shop(&q, "/two");
    store_synced(q.w.store);
    assert_null(commit(&q));
    assert_int_equal(q.h.n, 2);
    assert_true(history_leads_back(&q.h, history_first(&q.h)));
    struct seen s = {0};
    history_since(&q.h, history_first(&q.h), see, &s);
    assert_int_equal(s.n, 1);
    assert_string_equal(s.was[0], "/one");

    struct out o = out_heap(1 << 20); /* and a pin made of it is one that can be taken */
    assert_int_equal(pin_write(&q.h, history_first(&q.h), &o, &why), 0);
    cJSON *data = json_parse(out_done(&o), &why);
    assert_non_null(data);
    assert_non_null(strstr(json_text(data, "Route.n.shop").p, "/one"));
    cJSON *config = cJSON_CreateObject(), *meta = cJSON_AddObjectToObject(config, "metadata");
    cJSON_AddStringToObject(config, "apiVersion", "v1");
    cJSON_AddStringToObject(config, "kind", "ConfigMap");
    cJSON_AddStringToObject(meta, "name", "pin");
    cJSON_AddItemToObject(config, "data", data);
    bool foreign, news;
    struct resource *map = resource_new(config, &(struct resource_origin){0}, &foreign, &why);
    struct pin pin = {0};
    assert_int_equal(pin_take(&pin, q.w.store, map, NULL, &news, &why), 0);
    assert_true(news && pin.on);
    char counted[8];
    path_of(counted, store_get(q.w.store, KUBE_Route, STR("n"), STR("shop")));
    assert_string_equal(counted, "/one");
    assert_int_equal(pin_take(&pin, q.w.store, map, NULL, &news, &why), 0);
    assert_false(news);
    resource_drop(map);
    cJSON_ReplaceItemInObject(data, "Route.n.shop", cJSON_CreateString("{}")); /* nobody's */
    cJSON_ReplaceItemInObject(data, "revision", cJSON_CreateString("0123"));
    map = resource_new(config, &(struct resource_origin){0}, &foreign, &why);
    assert_int_equal(pin_take(&pin, q.w.store, map, NULL, &news, &why), -1);
    path_of(counted, store_get(q.w.store, KUBE_Route, STR("n"), STR("shop")));
    assert_string_equal(counted, "/one");
    assert_int_equal(pin_take(&pin, q.w.store, NULL, NULL, &news, &why), 0);
    path_of(counted, store_get(q.w.store, KUBE_Route, STR("n"), STR("shop")));
    assert_string_equal(counted, "/two");
    resource_drop(map);
    cJSON_Delete(config);
    out_fini(&o);
    past_fini(&q);

    past_init(&q); /* another state: what happened between is not known */
    assert_int_equal(kept_load(&q.h, folder, &why), 0);
    store_synced(q.w.store);
    assert_non_null(commit(&q));
    assert_int_equal(q.h.n, 3);
    assert_false(history_leads_back(&q.h, history_first(&q.h)));
    why = (struct why){0};
    assert_int_equal(pin_write(&q.h, history_first(&q.h), &(struct out){0}, &why), -1);
    assert_non_null(strstr(why.text, "not known whole"));
    past_fini(&q);

    snprintf(path, sizeof(path), "%s/r-00000002.json", folder); /* a torn file */
    assert_int_equal(truncate(path, 40), 0);
    past_init(&q);
    assert_int_equal(kept_load(&q.h, folder, &why), 0);
    assert_int_equal(q.h.n, 1);
    past_fini(&q);
    past_fini(&p);
    snprintf(path, sizeof(path), "rm -r %s", folder);
    assert_int_equal(system(path), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_written), cmocka_unit_test(test_manager),
        cmocka_unit_test(test_frozen),  cmocka_unit_test(test_revisions),
        cmocka_unit_test(test_joined),  cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
