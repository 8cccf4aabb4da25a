/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/auth/pair.h"

static bool has_control(struct str s) {
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
            return true;
    return false;
}

/* Line breaks, which base64_decode() passes over, are in no header. */
const char *pair_read(struct pair *p, struct str shown) {
    size_t n;
    if (shown.n > PAIR_SHOWN_MAX)
        return "a user name and password that are longer than anybody's";
    if (has_control(shown) || !base64_decode(shown, p->room, &n))
        return "what is shown as user name and password is not base64";
    if (has_control(str_mk(p->room, n)))
        return "the user name or password has a control character";
    p->password = str_cut(str_mk(p->room, n), ':', &p->user);
    if (!p->password.p)
        return "there is no colon between user name and password";
    if (p->user.n > PASSWORD_USER_MAX || p->password.n > PASSWORD_MAX)
        return "a user name or password that is longer than anybody's";
    return NULL;
}
