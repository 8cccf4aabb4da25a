/* SPDX-License-Identifier: Apache-2.0
 *
 * Logins with a browser, as far as no provider is asked: boxes, cookies, sessions and their times,
 * who is sent away and who may come back. The whole of it is in tests/e2e/auth-oidc.
 */
#include "controller/trust/signing.h"
#include "lib/base64url.h"
#include "lib/jwt_sign.h"
#include "proxy/auth/oidc.h"

#include "tests/unit/head_world.h"
#include "tests/unit/route_world.h"

enum { NOW = 1800000000, PERIOD = 8 * 3600 };

static char secrets[3][TICKET_SECRET] = {"first", "second", "third"};
static struct model_ticket_key ticket_keys[] = {
    {.from = NOW - 100, .secret = {secrets[0], TICKET_SECRET}},
    {.from = NOW - 100 + PERIOD, .secret = {secrets[1], TICKET_SECRET}},
};
static struct model_session_keys session_keys = {
    .keys = ticket_keys, .n_keys = 2, .period_s = PERIOD};

struct court {
    struct world w;
    struct loop loop;
    struct auth_env *env;
    struct jwt_signer *signer;
    struct jwt_scratch *scratch;
    char token[9000];
};

static int setup(void **state) {
    struct court *c = mem_zalloc(sizeof(*c));
    struct out key = out_heap(4096);
    struct why why = {0};
    world_init(&c->w);
    assert_int_equal(loop_init(&c->loop, 1 << 20, 1 << 20), 0);
    c->env = auth_env_new(&c->loop, NULL);
    jwt_make_key(JWT_ES256, &key);
    c->signer = jwt_signer_new(out_done(&key), &why);
    c->scratch = jwt_scratch_new();
    out_fini(&key);
    *state = c;
    return 0;
}

static int teardown(void **state) {
    struct court *c = *state;
    auth_env_free(c->env);
    world_fini(&c->w);
    loop_fini(&c->loop);
    jwt_signer_free(c->signer);
    jwt_scratch_free(c->scratch);
    mem_free(c);
    return 0;
}

/* ---- boxes ---- */

static void what_is_sealed_opens_for_the_same_alone(void **state) {
    char box[100 + SEAL_OVER], room[sizeof(box)], text[100];
    struct seal *s = seal_new();
    struct str plain;
    (void)state;
    memset(text, 'x', sizeof(text));
    for (size_t n = 0; n <= sizeof(text); n += 25) {
        struct str all = str_mk(box, n + SEAL_OVER);
        assert_true(seal_close(s, &session_keys, NOW, STR("a"), str_mk(text, n), box));
        assert_true(seal_open(s, &session_keys, NOW, STR("a"), all, room, &plain));
        assert_true(str_eq(plain, str_mk(text, n)));
        assert_false(seal_open(s, &session_keys, NOW, STR("b"), all, room, &plain));
        assert_false(seal_open(s, &session_keys, NOW, STR(""), all, room, &plain));
        for (size_t i = 0; i < all.n; i++) {
            box[i] = (char)(box[i] ^ 1);
            assert_false(seal_open(s, &session_keys, NOW, STR("a"), all, room, &plain));
            box[i] = (char)(box[i] ^ 1);
        }
        for (size_t i = 0; i < all.n; i++)
            assert_false(seal_open(s, &session_keys, NOW, STR("a"), str_mk(box, i), room, &plain));
    }
    seal_free(s);
}

static void keys_seal_and_open_in_their_time(void **state) {
    char box[SEAL_OVER + 1], again[SEAL_OVER + 1], room[sizeof(box)];
    struct str all = str_mk(box, sizeof(box)), plain;
    struct seal *s = seal_new();
    (void)state;
    assert_false(seal_close(s, &session_keys, NOW - 101, STR("a"), STR("x"), box));
    assert_false(seal_close(s, &session_keys, NOW + 2 * PERIOD, STR("a"), STR("x"), box));
    assert_true(seal_close(s, &session_keys, NOW, STR("a"), STR("x"), box));
    assert_true(seal_close(s, &session_keys, NOW, STR("a"), STR("x"), again));
    assert_memory_not_equal(box, again, sizeof(box));
    assert_true(seal_open(s, &session_keys, NOW + 2 * PERIOD - 101, STR("a"), all, room, &plain));
    assert_false(seal_open(s, &session_keys, NOW + 2 * PERIOD - 100, STR("a"), all, room, &plain));
    struct model_session_keys second = {.keys = ticket_keys + 1, .n_keys = 1, .period_s = PERIOD};
    assert_false(seal_open(s, &second, NOW, STR("a"), all, room, &plain));
    struct model_ticket_key other = {.from = NOW - 100, .secret = {secrets[2], TICKET_SECRET}};
    struct model_session_keys others = {.keys = &other, .n_keys = 1, .period_s = PERIOD};
    assert_false(seal_open(s, &others, NOW, STR("a"), all, room, &plain));
    seal_free(s);
}

/* ---- cookies ---- */

static struct model_auth_oidc plain_method(void) {
    return (struct model_auth_oidc){.issuer = STR("https://idp.test"),
                                    .key_set = STR("key_set/ns/p/m"),
                                    .client_id = STR("shop"),
                                    .client_secret = STR("secret"),
                                    .authorize = STR("https://idp.test/auth?client_id=shop"),
                                    .token = STR("backend/ns/none/1"),
                                    .token_host = STR("idp.test"),
                                    .token_path = STR("/token"),
                                    .end_session = STR("https://idp.test/end"),
                                    .redirect_path = STR("/oauth2/callback"),
                                    .cookie = STR("__Host-s"),
                                    .cookie_path = STR("/"),
                                    .ttl_ms = 7200 * 1000,
                                    .idle_ms = 3600 * 1000,
                                    .logout_path = STR("/logout")};
}

/* As a browser sends them back. */
static struct str cookies_of(struct str fields, char *room, size_t cap) {
    struct out o = out_fixed(room, cap);
    struct str line, pair;
    out_lit(&o, "GET / HTTP/1.1\nhost: shop.test\ncookie: a=b");
    while (fields.n > 0) {
        fields = str_cut(fields, '\n', &line);
        if (!str_starts(line, STR("set-cookie: ")))
            continue;
        str_cut(str_skip(line, strlen("set-cookie: ")), ';', &pair);
        out_lit(&o, "; ");
        out_str(&o, pair);
    }
    out_lit(&o, "\n");
    out_char(&o, 0);
    assert_false(o.over);
    return out_done(&o);
}

static void sessions_of_all_sizes_go_into_cookies(void **state) {
    static char box[SESSION_MAX + SEAL_OVER], text[JAR_TEXT_MAX], fields[20000], room[20000];
    static char decoded[JAR_TEXT_MAX];
    struct model_auth_oidc o = plain_method();
    struct jar_pieces p;
    struct str back;
    (void)state;
    for (size_t i = 0; i < sizeof(box); i++)
        box[i] = (char)(i * 7);
    const size_t sizes[] = {SEAL_OVER, 100, 2800, 2879, 2880, 2881, 5759, 5760, 8640, sizeof(box)};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct out t = out_fixed(text, sizeof(text)), f = out_fixed(fields, sizeof(fields));
        jar_text(str_mk(box, sizes[i]), &t);
        assert_false(t.over);
        jar_set_session(head_of("GET / HTTP/1.1\nhost: a\n"), &o, out_done(&t), 60, &f);
        const struct head *h = head_of(cookies_of(out_done(&f), room, sizeof(room)).p);
        assert_int_equal(jar_session(h, &o, &p), PLACE_ONE);
        assert_true(p.n == (t.n + JAR_PIECE - 1) / JAR_PIECE && p.v[p.n - 1].n >= 32);
        for (unsigned k = 0; k < p.n; k++)
            assert_true(p.v[k].n <= JAR_PIECE);
        assert_true(jar_box(&p, decoded, &back) && str_eq(back, str_mk(box, sizes[i])));
    }
    struct out t = out_fixed(room, sizeof(room));
    jar_text(str_mk(fields, JAR_TEXT_MAX), &t);
    assert_true(t.over);
}

static void pieces_that_do_not_belong_together(void **state) {
    struct model_auth_oidc o = plain_method();
    struct jar_pieces p;
    (void)state;
    static const struct {
        const char *cookies;
        enum place place;
    } cases[] = {
        {"x=y", PLACE_NONE},
        {"__Host-s-1=x", PLACE_NONE},
        {"__Host-s=1abc", PLACE_ONE},
        {"__Host-s=2abc; __Host-s-1=d", PLACE_ONE},
        {"__Host-s=1abc; __Host-s-1=d", PLACE_ONE}, /* what is left of a longer one */
        {"__Host-s=2abc", PLACE_TWICE},
        {"__Host-s=3abc; __Host-s-1=d", PLACE_TWICE},
        {"__Host-s=2abc; __Host-s-1=d; __Host-s-1=e", PLACE_TWICE},
        {"__Host-s=1abc; __Host-s=1abc", PLACE_TWICE},
        {"__Host-s=", PLACE_TWICE},
        {"__Host-s=0", PLACE_TWICE},
        {"__Host-s=5abc", PLACE_TWICE},
        {"__Host-s=abc", PLACE_TWICE},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[200];
        snprintf(text, sizeof(text), "GET / HTTP/1.1\nhost: a\ncookie: %s\n", cases[i].cookies);
        if (jar_session(head_of(text), &o, &p) != cases[i].place)
            fail_msg("%s", cases[i].cookies);
    }
}

/* ---- sessions ---- */

static void sessions_are_written_and_read(void **state) {
    char room[200];
    struct out o = out_fixed(room, sizeof(room));
    struct session s = {1, 2, 3, 1ULL << 40, STR("id"), STR(""), STR("access")}, back;
    (void)state;
    session_write(&s, &o);
    assert_true(session_read(&back, out_done(&o)));
    assert_true(back.begun == 1 && back.sealed == 2 && back.got == 3 && back.over == 1ULL << 40);
    assert_true(str_eq(back.id, s.id) && back.refresh.n == 0 && str_eq(back.access, s.access));
    for (size_t n = 0; n < o.n; n++)
        assert_false(session_read(&back, str_mk(room, n)));
    assert_false(session_read(&back, str_mk(room, o.n + 1)));
    s.id = str_mk(room, SESSION_MAX + 1);
    o = out_fixed(room, sizeof(room));
    session_write(&s, &o);
    assert_true(o.over);
}

static struct bearer *somebody(void) {
    char text[] = "{\"sub\":\"joe\"}";
    struct claim nodes[4];
    struct claims c;
    assert_int_equal(claims_read(&c, text, sizeof(text) - 1, nodes, 4, NULL), 0);
    return bearer_of(&c);
}

static void memory_is_bounded(void **state) {
    struct logins all;
    char bytes[100], text[64];
    struct out o = out_fixed(bytes, sizeof(bytes));
    struct session s = {.begun = 1, .id = STR("id")};
    (void)state;
    logins_init(&all);
    session_write(&s, &o);
    for (unsigned i = 0; i < LOGINS_MAX + 100; i++) {
        int n = snprintf(text, sizeof(text), "1%040u", i);
        assert_non_null(logins_add(&all, str_mk(text, (size_t)n), out_done(&o), somebody(), 1));
    }
    assert_int_equal(all.by_tail.n, LOGINS_MAX);
    struct str pieces[2] = {str_mk(text, 5), str_mk(text + 5, 36)};
    assert_non_null(logins_find(&all, pieces, 2));
    pieces[0] = STR("20000");
    assert_null(logins_find(&all, pieces, 2)); /* the same end, another beginning */
    pieces[0] = STR("10000000000000000000000000000000000000000");
    assert_null(logins_find(&all, pieces, 1)); /* the oldest went */
    assert_null(logins_add(&all, STR("1x"), out_done(&o), somebody(), 1));
    assert_null(logins_add(&all, str_mk(text, 41), STR("no session"), somebody(), 1));
    for (uint64_t i = 1; i <= 3; i++) {
        struct bearer *who = somebody();
        mem_fail_at(i);
        assert_null(logins_add(&all, str_mk(text, 41), out_done(&o), who, 1));
    }
    struct known *k = logins_find(&all, (struct str[]){str_mk(text, 41)}, 1);
    assert_true(k && logins_follow(&all, k, STR("next")) && logins_follow(&all, k, STR("again")));
    assert_true(str_eq(k->next, STR("again")));
    logins_fini(&all);
}

/* ---- a policy ---- */

static struct model_value_source place = {MODEL_FROM_COOKIE, {"__Host-s", 8}, {"__Host-s-", 9}};

static void put_policy_with(struct court *c, struct model_auth_oidc *o, bool anonymous,
                            struct model_identity *identity) {
    struct model_auth_method_config list[] = {
        {.name = STR("m"), .type = MODEL_AUTH_OIDC, .oidc = o, .from = &place, .n_from = 1},
        {.name = STR("any"), .type = MODEL_AUTH_ANONYMOUS}};
    struct model_auth p = {
        .methods = list, .n_methods = anonymous ? 2 : 1, .any_caller = true, .identity = identity};
    struct model_route r = {.auth = STR("auth/ns/p")};
    const struct jwt_key *k = jwt_signer_key(c->signer);
    struct model_key key = {
        .kid = k->kid, .algorithm = str_of(jwt_alg_name(k->alg)), .der = k->der};
    struct model_key_set set = {.keys = &key, .n_keys = 1};
    world_put(&c->w, MODEL_KIND_key_set, STR("key_set/ns/p/m"), &set);
    world_put(&c->w, MODEL_KIND_session_keys, STR(SESSION_KEYS_ID), &session_keys);
    put_host(&c->w, "shop.test");
    put_backend(&c->w, "b", "10.0.0.1:80", NULL);
    put_route_as(&c->w, r, "r", "shop.test", PREFIX(""), "b");
    world_put(&c->w, MODEL_KIND_auth, STR("auth/ns/p"), &p);
    world_commit(&c->w);
}

static void put_policy(struct court *c, struct model_auth_oidc *o, bool anonymous) {
    put_policy_with(c, o, anonymous, NULL);
}

struct asked {
    const char *path, *query, *lines;
    int64_t now;
    bool clear; /* not over TLS */
};

/* The answer must be dropped. */
static struct auth *ask(struct court *c, struct asked q) {
    static char text[24000];
    struct match_result found;
    const char *path = q.path ? q.path : "/";
    struct str query = str_of(q.query);
    snprintf(text, sizeof(text), "GET %s HTTP/1.1\nhost: shop.test\n%s", path,
             q.lines ? q.lines : "");
    const struct head *h = head_of(text);
    struct route_request rq = {.host = STR("shop.test"), .path = str_of(path), .head = h};
    assert_true(snapshot_route(c->w.s, &rq, c->w.scratch, &found));
    struct exchange x = {.snapshot = c->w.s,
                         .request = h,
                         .rule = found.rule,
                         .match = found.match,
                         .host = rq.host,
                         .method = METHOD_GET,
                         .secure = !q.clear,
                         .path = rq.path,
                         .query = query,
                         .has_query = q.query != NULL};
    static const uint8_t client[16];
    struct errands none = {0};
    const struct auth_known known = {
        .client = client, .now = q.now ? q.now : NOW, .errands = &none, .body_whole = true};
    struct auth *a = auth_judge(c->env, &x, &known);
    assert_non_null(a);
    return a;
}

static void expect(struct court *c, struct auth *a, enum reason reason, const char *detail) {
    if (a->reason != reason || !str_starts(a->detail, str_of(detail)))
        fail_msg("%s: %.*s", reasons[a->reason].name, STR_FMT(a->detail));
    auth_drop(c->env, a);
}

static void expect_passes(struct court *c, struct auth *a) {
    if (a->refused || !str_eq(a->subject, STR("joe")))
        fail_msg("%s: %.*s", reasons[a->reason].name, STR_FMT(a->detail));
    auth_drop(c->env, a);
}

#define PAGE "accept: text/html\nsec-fetch-mode: navigate\nsec-fetch-dest: document\n"

static struct str id_token(struct court *c, const char *claims) {
    struct out o = out_fixed(c->token, sizeof(c->token));
    assert_int_equal(jwt_sign(c->signer, STR("JWT"), str_of(claims), c->scratch, &o), 0);
    return out_done(&o);
}
#define JOE "{\"iss\":\"https://idp.test\",\"aud\":\"shop\",\"sub\":\"joe\",\"exp\":1800000600}"

/* A line Cookie with a session, of another policy where that is said. */
static const char *session(struct court *c, const struct model_auth_oidc *o, struct session s,
                           const char *policy) {
    static char line[20000], text[JAR_TEXT_MAX];
    char plain[SESSION_MAX], box[SESSION_MAX + SEAL_OVER], about[ABOUT_MAX];
    struct model_auth_method_config m = {.name = STR("m"),
                                         .oidc = (struct model_auth_oidc *)(uintptr_t)o};
    struct method_law law = {.model = &m, .policy = str_of(policy)};
    struct out p = out_fixed(plain, sizeof(plain)), t = out_fixed(text, sizeof(text));
    struct seal *seal = seal_new();
    struct jar_pieces pieces;
    if (s.id.n == 0)
        s.id = id_token(c, JOE);
    session_write(&s, &p);
    assert_true(seal_close(seal, &session_keys, NOW, oidc_about(&law, "session", about),
                           out_done(&p), box));
    jar_text(str_mk(box, p.n + SEAL_OVER), &t);
    assert_false(p.over || t.over);
    seal_free(seal);
    jar_cut(out_done(&t), &pieces);
    struct out l = out_fixed(line, sizeof(line));
    out_fmt(&l, "cookie: a=b; %.*s=%.*s", STR_FMT(o->cookie), STR_FMT(pieces.v[0]));
    for (unsigned i = 1; i < pieces.n; i++)
        out_fmt(&l, "; %.*s-%u=%.*s", STR_FMT(o->cookie), i, STR_FMT(pieces.v[i]));
    out_lit(&l, "\n");
    out_char(&l, 0);
    assert_false(l.over);
    return line;
}

static void a_session_passes_in_its_time(void **state) {
    struct court *c = *state;
    struct model_auth_oidc o = plain_method();
    put_policy(c, &o, false);
    struct session s = {.begun = NOW, .sealed = NOW};
    const char *line = session(c, &o, s, "auth/ns/p");
    for (int i = 0; i < 3; i++)
        expect_passes(c, ask(c, (struct asked){.lines = line}));
    assert_int_equal(c->env->oidc->known.by_tail.n, 1);
    struct auth *a = ask(c, (struct asked){.lines = line});
    assert_true(str_eq(a->fields, STR("cookie: a=b\r\n")) && a->to_client.n == 0);
    auth_drop(c->env, a);
    expect(c, ask(c, (struct asked){.lines = line, .now = NOW + 3600}), REASON_UNAUTHENTICATED,
           "nobody has used the session for too long");
    s.begun = NOW - 7200;
    line = session(c, &o, s, "auth/ns/p");
    expect(c, ask(c, (struct asked){.lines = line}), REASON_UNAUTHENTICATED, "the session is over");
    s.begun = NOW - 7199;
    expect_passes(c, ask(c, (struct asked){.lines = session(c, &o, s, "auth/ns/p")}));
    s.sealed = NOW + 60; /* a clock of somebody is wrong */
    expect(c, ask(c, (struct asked){.lines = session(c, &o, s, "auth/ns/p")}),
           REASON_UNAUTHENTICATED, "the session is over");
    expect(c, ask(c, (struct asked){.lines = line, .clear = true}), REASON_UNAUTHENTICATED,
           "nobody is logged in");
}

static void it_is_written_anew_while_it_is_used(void **state) {
    struct court *c = *state;
    static char room[20000];
    struct model_auth_oidc o = plain_method();
    put_policy(c, &o, false);
    struct session s = {.begun = NOW, .sealed = NOW};
    const char *line = session(c, &o, s, "auth/ns/p");
    struct auth *a = ask(c, (struct asked){.lines = line, .now = NOW + 899});
    assert_int_equal(a->to_client.n, 0);
    auth_drop(c->env, a);
    a = ask(c, (struct asked){.lines = line, .now = NOW + 900});
    assert_true(str_starts(a->to_client, STR("set-cookie: __Host-s=1")));
    assert_true(str_ends(a->to_client, STR("cache-control: no-store\r\n")));
    cookies_of(a->to_client, room, sizeof(room));
    auth_drop(c->env, a);
    a = ask(c, (struct asked){.lines = line, .now = NOW + 901});
    assert_int_equal(a->to_client.n, 0); /* not for each of those who do not keep it */
    auth_drop(c->env, a);
    const char *again = strchr(strchr(room, '\n') + 1, '\n') + 1;
    expect_passes(c, ask(c, (struct asked){.lines = again, .now = NOW + 900 + 3599}));
    expect(c, ask(c, (struct asked){.lines = again, .now = NOW + 7200}), REASON_UNAUTHENTICATED,
           "the session is over");
}

static void large_sessions_pass(void **state) {
    struct court *c = *state;
    static char big[4000];
    struct model_auth_oidc o = plain_method();
    memset(big, 'r', sizeof(big));
    put_policy(c, &o, false);
    struct session s = {.begun = NOW,
                        .sealed = NOW,
                        .refresh = str_mk(big, sizeof(big)),
                        .access = str_mk(big, sizeof(big))};
    const char *line = session(c, &o, s, "auth/ns/p");
    assert_non_null(strstr(line, "__Host-s-2="));
    for (int i = 0; i < 2; i++) {
        struct auth *a = ask(c, (struct asked){.lines = line});
        assert_true(str_eq(a->fields, STR("cookie: a=b\r\n")));
        expect_passes(c, a);
    }
    struct auth *a = ask(c, (struct asked){.lines = line, .now = NOW + 1000});
    assert_true(a->to_client.n > 10000); /* in a larger block, for which all is judged twice */
    auth_drop(c->env, a);
}

static void sessions_of_others_are_none(void **state) {
    struct court *c = *state;
    struct model_auth_oidc o = plain_method(), other = plain_method();
    put_policy(c, &o, false);
    struct session s = {.begun = NOW, .sealed = NOW};
    static const char *const none = "the session is none of this policy's";
    expect(c, ask(c, (struct asked){.lines = session(c, &o, s, "auth/ns/q")}),
           REASON_UNAUTHENTICATED, none);
    static const char *const wrong[] = {
        "{\"iss\":\"https://evil.test\",\"aud\":\"shop\",\"sub\":\"joe\",\"exp\":1800000600}",
        "{\"iss\":\"https://idp.test\",\"aud\":\"other\",\"sub\":\"joe\",\"exp\":1800000600}",
        "{\"iss\":\"https://idp.test\",\"aud\":\"shop\",\"azp\":\"x\",\"sub\":\"joe\",\"exp\":1}",
        "{\"iss\":\"https://idp.test\",\"aud\":\"shop\",\"exp\":1800000600}",
    };
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        s.id = id_token(c, wrong[i]);
        expect(c, ask(c, (struct asked){.lines = session(c, &o, s, "auth/ns/p")}),
               REASON_UNAUTHENTICATED, none);
    }
    s.id = id_token(c, JOE);
    other.cookie = STR("other");
    const char *line = session(c, &other, s, "auth/ns/p");
    expect(c, ask(c, (struct asked){.lines = line}), REASON_UNAUTHENTICATED, "nobody is logged in");
    char renamed[20000];
    snprintf(renamed, sizeof(renamed), "cookie: __Host-s%s", strchr(strchr(line, '=') + 1, '='));
    expect(c, ask(c, (struct asked){.lines = renamed}), REASON_UNAUTHENTICATED, none);
}

static void a_wrong_session_is_never_nobody(void **state) {
    struct court *c = *state;
    struct model_auth_oidc o = plain_method();
    put_policy(c, &o, true);
    struct auth *a = ask(c, (struct asked){0});
    assert_false(a->refused);
    auth_drop(c->env, a);
    expect(c, ask(c, (struct asked){.lines = "cookie: __Host-s=1xxxx\n"}), REASON_UNAUTHENTICATED,
           "the session is none");
}

/* A page that goes on asking after the session's end must not close its address to everybody. */
static void who_was_logged_in_does_not_guess(void **state) {
    struct court *c = *state;
    struct model_auth_oidc o = plain_method();
    put_policy(c, &o, false);
    struct session s = {.begun = NOW - 7200, .sealed = NOW};
    const char *lines[] = {session(c, &o, s, "auth/ns/p"), "cookie: __Host-s=1xxxx\n"};
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        struct auth *a = ask(c, (struct asked){.lines = lines[i]});
        assert_true(a->refused && a->lapsed && a->n_shown == 1);
        expect(c, a, REASON_UNAUTHENTICATED, "the session is");
    }
    s.begun = NOW;
    struct auth *a = ask(c, (struct asked){.lines = session(c, &o, s, "auth/ns/p")});
    assert_false(a->lapsed);
    expect_passes(c, a);
}

static void put_override(struct court *c, struct model_identity *identity) {
    static struct signing keys;
    struct model_auth_method_config any = {.name = STR("any"), .type = MODEL_AUTH_ANONYMOUS};
    struct model_auth p = {
        .methods = &any, .n_methods = 1, .any_caller = true, .identity = identity};
    struct model_gateway g = {.override_policy = STR("auth/ns/all")};
    signing_renew(&keys, NOW, 86400);
    builder_put(c->w.b, signing_object(&keys));
    signing_fini(&keys);
    world_put(&c->w, MODEL_KIND_gateway, STR("gateway/-/blue"), &g);
    world_put(&c->w, MODEL_KIND_auth, STR("auth/ns/all"), &p);
    world_commit(&c->w);
}

static void the_backend_gets_one_authorization(void **state) {
    struct court *c = *state;
    struct model_auth_oidc o = plain_method();
    struct model_identity_token token = {.audience = STR("shop")};
    struct model_identity identity = {.token = &token};
    struct session s = {.begun = NOW, .sealed = NOW, .access = STR("opaque")};
    o.access_token = true;
    put_policy_with(c, &o, false, &identity);
    const char *line = session(c, &o, s, "auth/ns/p");
    expect(c, ask(c, (struct asked){.lines = line}), REASON_POLICY_UNAVAILABLE,
           "the backend gets an access token in Authorization");
    put_policy(c, &o, false);
    struct auth *a = ask(c, (struct asked){.lines = line});
    assert_true(str_starts(a->fields, STR("authorization: Bearer opaque\r\n")));
    assert_true(str_eq(a->hidden, STR("authorization\n")));
    expect_passes(c, a);
    put_override(c, &identity);
    expect(c, ask(c, (struct asked){.lines = line}), REASON_POLICY_UNAVAILABLE,
           "another policy gives the backend a token in Authorization");
}

static void without_keys_nothing_passes(void **state) {
    struct court *c = *state;
    struct model_auth_oidc o = plain_method();
    put_policy(c, &o, true);
    builder_del(c->w.b, STR(SESSION_KEYS_ID));
    world_commit(&c->w);
    expect(c, ask(c, (struct asked){.lines = PAGE}), REASON_POLICY_UNAVAILABLE,
           "no keys of sessions have come");
}

/* ---- there and back ---- */

/* The value of a parameter in the field Location. */
static struct str parameter(struct str fields, const char *name) {
    char wanted[40];
    int n = snprintf(wanted, sizeof(wanted), "&%s=", name);
    for (size_t i = 0; i + (size_t)n < fields.n && fields.p[i] != '\r'; i++)
        if (memcmp(fields.p + i, wanted, (size_t)n) == 0) {
            struct str rest = str_skip(fields, i + (size_t)n);
            size_t end = 0;
            while (rest.p[end] != '&' && rest.p[end] != '\r')
                end++;
            return str_mk(rest.p, end);
        }
    fail_msg("no %s in %.*s", name, STR_FMT(fields));
    return STR_NONE;
}

static void only_pages_are_sent_away(void **state) {
    struct court *c = *state;
    struct model_auth_oidc o = plain_method();
    put_policy(c, &o, false);
    static const struct {
        const char *lines;
        bool sent;
    } cases[] = {
        {PAGE, true},
        {"accept: text/html,application/xhtml+xml\n", true},
        {"accept: TEXT/HTML\n", true},
        {"", false},
        {"accept: */*\n", false},
        {"accept: text/html\nx-requested-with: XMLHttpRequest\n", false},
        {"accept: text/html\nsec-fetch-mode: cors\n", false},
        {"accept: text/html\nsec-fetch-mode: navigate\nsec-fetch-dest: iframe\n", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct auth *a = ask(c, (struct asked){.lines = cases[i].lines});
        assert_true(a->refused);
        if (a->status != (cases[i].sent ? 302 : 0))
            fail_msg("%s: %d", cases[i].lines, a->status);
        assert_true(str_starts(a->challenge, cases[i].sent ? STR("location: https://idp.test/auth?")
                                                           : STR("www-authenticate: Cookie ")));
        auth_drop(c->env, a);
    }
    struct auth *a = ask(c, (struct asked){.lines = PAGE, .clear = true});
    assert_true(a->refused && a->status == 0);
    auth_drop(c->env, a);
}

/* A way back of a login that was begun at NOW: query and line Cookie. */
static void begin(struct court *c, const char *path, char query[200], char line[4000]) {
    struct auth *a = ask(c, (struct asked){.path = path, .lines = PAGE});
    char room[4000];
    struct str state = parameter(a->challenge, "state");
    snprintf(query, 200, "code=abc&state=%.*s", STR_FMT(state));
    struct str all = cookies_of(a->challenge, room, sizeof(room));
    assert_int_equal(parameter(a->challenge, "nonce").n, 43);
    assert_int_equal(parameter(a->challenge, "code_challenge").n, 43);
    assert_true(str_eq(parameter(a->challenge, "redirect_uri"),
                       STR("https%3A%2F%2Fshop.test%2Foauth2%2Fcallback")));
    snprintf(line, 4000, "%s", strchr(strchr(all.p, '\n') + 1, '\n') + 1);
    auth_drop(c->env, a);
}

static void only_who_was_sent_comes_back(void **state) {
    struct court *c = *state;
    struct model_auth_oidc o = plain_method();
    char query[200], line[4000], other[200], other_line[4000], text[400];
    put_policy(c, &o, false);
    begin(c, "/cart", query, line);
    begin(c, "/cart", other, other_line);
    const struct asked good = {.path = "/oauth2/callback", .query = query, .lines = line};
    struct asked q = good;
    static const char *const asks =
        "the token endpoint's backend is not there"; /* so far so good */
    static const char *const none = "this browser has not begun that login";
    expect(c, ask(c, q), REASON_POLICY_UNAVAILABLE, asks);
    q.now = NOW + OIDC_LOGIN_S - 1;
    expect(c, ask(c, q), REASON_POLICY_UNAVAILABLE, asks);
    q.now = NOW + OIDC_LOGIN_S;
    expect(c, ask(c, q), REASON_UNAUTHENTICATED, none);
    q = good;
    q.lines = other_line;
    expect(c, ask(c, q), REASON_UNAUTHENTICATED, none);
    q.lines = "";
    expect(c, ask(c, q), REASON_UNAUTHENTICATED, none);
    q = good;
    q.query = other;
    expect(c, ask(c, q), REASON_UNAUTHENTICATED, none);
    q.query = "code=abc";
    expect(c, ask(c, q), REASON_UNAUTHENTICATED, none);
    q.query = NULL;
    expect(c, ask(c, q), REASON_UNAUTHENTICATED, none);
    static const struct {
        const char *more, *detail;
    } cases[] = {
        {"state=x", "a parameter of the way back is there twice"},
        {"code=x", "a parameter of the way back is there twice"},
        {"error=access_denied", "the identity provider has let nobody in"},
        {"iss=https%3A%2F%2Fevil.test", "the answer is of another identity provider"},
        {"iss=%", "the answer is of another identity provider"},
    };
    q.query = text;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        snprintf(text, sizeof(text), "%s&%s", query, cases[i].more);
        expect(c, ask(c, q), REASON_UNAUTHENTICATED, cases[i].detail);
    }
    snprintf(text, sizeof(text), "%s&iss=https%%3A%%2F%%2Fidp.test", query);
    expect(c, ask(c, q), REASON_POLICY_UNAVAILABLE, asks);
}

static void logout_takes_the_cookies(void **state) {
    struct court *c = *state;
    struct model_auth_oidc o = plain_method();
    put_policy(c, &o, false);
    struct session s = {.begun = NOW, .sealed = NOW};
    const char *line = session(c, &o, s, "auth/ns/p");
    struct auth *a = ask(c, (struct asked){.path = "/logout", .lines = line});
    assert_int_equal(a->status, 302);
    assert_true(str_starts(a->challenge, STR("location: https://idp.test/end?client_id=shop&"
                                             "post_logout_redirect_uri=https%3A%2F%2Fshop.test%2F&"
                                             "id_token_hint=ey")));
    assert_non_null(
        memmem(a->challenge.p, a->challenge.n, "set-cookie: __Host-s=; Path=/; Max-Age=0;", 41));
    auth_drop(c->env, a);
    char foreign[20000];
    snprintf(foreign, sizeof(foreign), "%ssec-fetch-mode: no-cors\nsec-fetch-site: cross-site\n",
             line);
    expect(c, ask(c, (struct asked){.path = "/logout", .lines = foreign}), REASON_FORBIDDEN,
           "a logout that another site's page");
}

int main(void) {
#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(what_is_sealed_opens_for_the_same_alone),
        T(keys_seal_and_open_in_their_time),
        T(sessions_of_all_sizes_go_into_cookies),
        T(pieces_that_do_not_belong_together),
        T(sessions_are_written_and_read),
        T(memory_is_bounded),
        T(a_session_passes_in_its_time),
        T(it_is_written_anew_while_it_is_used),
        T(large_sessions_pass),
        T(sessions_of_others_are_none),
        T(a_wrong_session_is_never_nobody),
        T(who_was_logged_in_does_not_guess),
        T(the_backend_gets_one_authorization),
        T(without_keys_nothing_passes),
        T(only_pages_are_sent_away),
        T(only_who_was_sent_comes_back),
        T(logout_takes_the_cookies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
