/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz ext_authz: what an authentication service says, over gRPC (the body of its answer) and over
 * HTTP (fields, as a head would have them). Whatever it is, only fields that are whole lines, and
 * that the policy names, go to the backend; a refusal has a status that can be one.
 */
#include "proxy/auth/external.h"

#include "lib/chars.h"

#include "tests/fuzz/fuzz.h"

static struct str to_backend[] = {{"x-user", 6}, {"x-auth-id", 9}};
static struct str to_client[] = {{"set-cookie", 10}};
static struct model_auth_external how = {.headers_to_backend = to_backend,
                                         .n_headers_to_backend = 2,
                                         .headers_to_client = to_client,
                                         .n_headers_to_client = 1};
static const struct model_auth_method_config config = {.external = &how};
static const struct method_law method = {.model = &config};

static void must_be_line(struct str line, const struct str *names, unsigned n) {
    struct str name;
    struct str value = str_cut(line, ':', &name);
    bool named = n == 0;
    must(value.n > 0 && value.p[0] == ' ' && name.n > 0);
    for (size_t i = 0; i < name.n; i++)
        must(char_is(name.p[i], CHAR_TOKEN));
    for (size_t i = 0; i < value.n; i++)
        must((unsigned char)value.p[i] >= 0x20 || value.p[i] == '\t');
    for (unsigned i = 0; i < n; i++)
        named |= str_eq_nocase(name, names[i]);
    must(named);
    must(!str_eq_nocase(name, STR("transfer-encoding")) && !str_eq_nocase(name, STR("host")) &&
         !str_eq_nocase(name, STR("content-length")) && !str_eq_nocase(name, STR("connection")));
}

static void must_be_lines(struct str lines, const struct str *names, unsigned n) {
    while (lines.n > 0) {
        struct str line;
        lines = str_cut(lines, '\n', &line);
        must(line.n > 0 && line.p[line.n - 1] == '\r');
        line.n--;
        must_be_line(line, names, n);
    }
}

static void look(struct verdict *v, enum reason reason, const char *detail) {
    if (!v) {
        must(reason == REASON_AUTH_SERVICE_FAILED || reason == REASON_AUTH_SERVICE_TIMEOUT);
        must(detail != NULL);
        return;
    }
    must_be_lines(v->to_backend, to_backend, 2);
    must_be_lines(v->to_client, to_client, v->good ? 1 : 0);
    must(v->good || (v->status >= 300 && v->status < 600 && v->status != 304 && v->detail));
    must(v->good || (v->to_backend.n == 0 && v->hidden.n == 0));
    verdict_drop(v);
}

static void over_grpc(struct str body, bool framed) {
    static char room[65536 + 5];
    struct call c = {.status = 200, .trailers = STR("grpc-status: 0\r\n")};
    enum reason reason = REASON_NONE;
    const char *detail = NULL;
    if (framed && body.n + 5 <= sizeof(room)) {
        memcpy(room, "\0\0", 2);
        room[2] = (char)(body.n >> 16);
        room[3] = (char)(body.n >> 8);
        room[4] = (char)body.n;
        memcpy(room + 5, body.p, body.n);
        body = str_mk(room, body.n + 5);
    }
    c.body = body;
    struct verdict *v = check_read(&method, &c, 0, &reason, &detail);
    look(v, reason, detail);
}

/* The first two bytes are the status, then lines. */
static void over_http(struct str text) {
    struct call_field fields[CALL_FIELDS_MAX];
    struct call c = {.fields = fields, .body = text};
    enum reason reason = REASON_NONE;
    const char *detail = NULL;
    struct str line;
    c.status = (uint16_t)(200 + (unsigned char)text.p[0] * 2);
    text = str_skip(text, 1);
    while (text.n > 0 && c.n_fields < CALL_FIELDS_MAX) {
        text = str_cut(text, '\n', &line);
        fields[c.n_fields].value = str_cut(line, ':', &fields[c.n_fields].name);
        c.n_fields++;
    }
    struct verdict *v = forward_read(&method, &c, 0, &reason, &detail);
    must(!v || !v->good || c.status < 300);
    look(v, reason, detail);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct str s = str_mk((const char *)data, size);
    if (size < 2 || size > 65536)
        return 0;
    over_grpc(s, true);
    over_grpc(s, false);
    over_http(s);
    return 0;
}
