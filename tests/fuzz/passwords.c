/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz passwords: a byte that chooses, then what a client shows as user name and password, a stored
 * form, or a file of them. What is taken keeps the promises of proxy/auth/pair.h and
 * lib/password.h.
 */
#include "lib/password.h"
#include "proxy/auth/pair.h"

#include "tests/fuzz/fuzz.h"

#include <openssl/evp.h>

enum { USERS_MAX = 16 };

static bool is_clean(struct str s) {
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
            return false;
    return true;
}

/* There is one way to write it. */
static void show(struct str shown) {
    struct pair p;
    char bytes[PAIR_BYTES_MAX + 1], again[PAIR_SHOWN_MAX + 8];
    if (pair_read(&p, shown) != NULL)
        return;
    must(p.user.n <= PASSWORD_USER_MAX && p.password.n <= PASSWORD_MAX);
    must(is_clean(p.user) && is_clean(p.password) && str_find(p.user, ':', 0) == p.user.n);
    size_t n = p.user.n + 1 + p.password.n;
    memcpy(bytes, p.room, n);
    must(bytes[p.user.n] == ':' && p.password.p == p.room + p.user.n + 1);
    int length = EVP_EncodeBlock((unsigned char *)again, (unsigned char *)bytes, (int)n);
    must(str_eq(shown, str_mk(again, (size_t)length)));
}

static void store(struct str stored) {
    struct password p;
    struct why why = {0};
    if (password_read(&p, stored, &why) != 0) {
        must(why_set(&why));
        return;
    }
    must(stored.n <= PASSWORD_STORED_MAX && p.setting.n + p.digest.n == stored.n);
    must(p.digest.p == stored.p + p.setting.n);
    must(password_us(&p) < 1000000);
    if (password_us(&p) < 1000)
        must(!password_verify(&p, STR("not this one, whichever it is")));
}

static void file(struct str text) {
    struct htpasswd h;
    struct password p;
    struct why why = {0};
    if (htpasswd_read(&h, text, USERS_MAX, &why) != 0) {
        must(why_set(&why) && h.n == 0);
        return;
    }
    must(h.n <= USERS_MAX);
    for (size_t i = 0; i < h.n; i++) {
        must(h.users[i].name.n > 0 && h.users[i].name.n <= PASSWORD_USER_MAX);
        must(is_clean(h.users[i].name) && password_read(&p, h.users[i].stored, &why) == 0);
        must(p.form != PASSWORD_KONG_SHA1);
        for (size_t k = 0; k < i; k++)
            must(!str_eq(h.users[i].name, h.users[k].name));
    }
    htpasswd_fini(&h);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0 || size > 8192)
        return 0;
    struct str text = str_mk((const char *)data + 1, size - 1);
    if (data[0] % 3 == 0)
        show(text);
    else if (data[0] % 3 == 1)
        store(text);
    else
        file(text);
    return 0;
}
