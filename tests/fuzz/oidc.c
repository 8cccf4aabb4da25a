/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz oidc: what a browser and a token endpoint may say. The same bytes as the plain text of a
 * session, as a line Cookie, as a box, and as an answer; what is taken is within what was given.
 */
#include "proxy/auth/oidc.h"

#include "lib/mem.h"
#include "proxy/http/h1.h"
#include "tests/fuzz/fuzz.h"

enum { NODES = 64 };

static bool within(struct str all, struct str part) {
    return part.n == 0 || (part.p >= all.p && part.p + part.n <= all.p + all.n);
}

static void as_session(struct str all) {
    struct session s;
    if (!session_read(&s, all))
        return;
    char *room = mem_alloc(all.n + 1);
    struct out o = out_fixed(room, all.n);
    must(within(all, s.id) && within(all, s.refresh) && within(all, s.access));
    session_write(&s, &o);
    must(!o.over && str_eq(out_done(&o), all));
    mem_free(room);
}

static void as_answer(struct str all) {
    static struct claim nodes[NODES];
    char *text = mem_alloc(all.n + 1);
    struct grant g;
    bool refused;
    if (all.n > 0)
        memcpy(text, all.p, all.n);
    struct str whole = str_mk(text, all.n);
    if (grant_read(&g, text, all.n, nodes, NODES, &refused)) {
        must(within(whole, g.id) && within(whole, g.access) && within(whole, g.refresh));
        for (size_t i = 0; i < g.access.n; i++)
            must(g.access.p[i] > ' ' && g.access.p[i] < 127);
    }
    mem_free(text);
}

static void as_cookies(struct str all) {
    static char head_bytes[HEAD_BYTES_MAX], room[JAR_TEXT_MAX];
    static struct head head;
    static const struct head_limits limits = {HEAD_BYTES_MAX, 256, 100};
    static const struct model_auth_oidc o = {.cookie = {"s", 1}};
    struct out h = out_fixed(head_bytes, sizeof(head_bytes));
    struct jar_pieces p;
    struct str box;
    size_t skipped;
    enum reason reason;
    const char *detail;
    out_lit(&h, "GET / HTTP/1.1\r\nhost: a\r\ncookie: ");
    out_str(&h, all);
    out_lit(&h, "\r\n\r\n");
    if (h.over || h1_parse_request(&(struct h1_scan){0}, h.p, h.n, &limits, &head, &skipped,
                                   &reason, &detail) != H1_DONE)
        return;
    if (jar_session(&head, &o, &p) != PLACE_ONE)
        return;
    must(p.n >= 1 && p.n <= JAR_PIECES);
    if (jar_box(&p, room, &box))
        must(within(str_mk(room, sizeof(room)), box));
}

static void as_box(struct str all) {
    static char secret[TICKET_SECRET];
    static struct model_ticket_key key = {.from = 0, .secret = {secret, TICKET_SECRET}};
    static const struct model_session_keys keys = {.keys = &key, .n_keys = 1, .period_s = 100};
    static struct seal *seal;
    char *room = mem_alloc(all.n + SEAL_OVER + 1), *plain = mem_alloc(all.n + SEAL_OVER + 1);
    struct str back;
    seal = seal ? seal : seal_new();
    must(!seal_open(seal, &keys, 1, STR("x"), all, room, &back));
    must(seal_close(seal, &keys, 1, STR("x"), all, room));
    must(seal_open(seal, &keys, 1, STR("x"), str_mk(room, all.n + SEAL_OVER), plain, &back));
    must(str_eq(back, all));
    mem_free(plain);
    mem_free(room);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct str all = str_mk((const char *)data, size);
    as_session(all);
    as_answer(all);
    as_cookies(all);
    as_box(all);
    return 0;
}
