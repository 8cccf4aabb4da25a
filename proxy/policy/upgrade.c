/* SPDX-License-Identifier: Apache-2.0
 *
 * upgrade: which protocols a connection may become (RFC 9110 7.8). WebSocket, always: nobody has to
 * configure it; others when a policy names them. Anything else is not asked for, and the request is
 * served as the plain one that it is as well: behind h2c, HTTP/2 or TLS there would be requests
 * that no route and no policy sees (S08).
 */
#include "proxy/policy/policy.h"

#include "proxy/http/websocket.h"

static bool is_websocket(struct str protocol) { return str_eq_nocase(protocol, STR("websocket")); }

static bool is_named(const struct model_upgrades *u, struct str protocol) {
    for (uint32_t i = 0; u != NULL && i < u->n_protocols; i++)
        if (str_eq_nocase(protocol, u->protocols[i]))
            return true;
    return false;
}

/* RFC 6455 4.1: the handshake is a GET. */
struct str policy_upgrade(const struct exchange *x) {
    struct str to = head_str(x->request, x->request->upgrade);
    bool may = is_websocket(to) ? x->method == METHOD_GET : is_named(x->rule->upgrades, to);
    return may ? to : STR_NONE;
}

bool policy_is_websocket(const struct exchange *x) { return is_websocket(x->upgrade); }

bool policy_upgraded(const struct exchange *x, const struct head *response) {
    struct str to = head_str(response, response->upgrade);
    if (x->upgrade.n == 0 || !str_eq_nocase(to, x->upgrade))
        return false;
    unsigned from = 0;
    const struct head_field *f = head_each(response, STR("sec-websocket-accept"), &from);
    return x->key.n == 0 || (f != NULL && websocket_accepts(x->key, head_value(response, f)));
}
