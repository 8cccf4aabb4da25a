/* SPDX-License-Identifier: Apache-2.0
 *
 * intro: what is read of a connection before it is known whose it is. Nothing of it is taken from
 * the socket but the PROXY header, so whoever gets the connection reads it from its first byte.
 *
 *     accept ─► PROXY header, of a trusted peer where the gateway says so     (net/proxy_header.h)
 *            ─► ClientHello, on a port with listeners of protocol TLS         (net/client_hello.h)
 *            ─► done(): the descriptor and what was said: a session, or a relay
 *            └► refused(): it is closed, and why
 *
 * Connections that need neither never come here. A header or a ClientHello may come in any number
 * of pieces, and must be whole within the gateway's headerTimeout. One for each worker, its thread.
 */
#ifndef SLUICE_PROXY_L4_INTRO_H
#define SLUICE_PROXY_L4_INTRO_H

#include "proxy/net/client_hello.h"
#include "proxy/net/conn.h"
#include "proxy/route/snapshot.h"

/* A connection that is known now. */
struct newcomer {
    struct addr peer;  /* who it is: as the PROXY header says, else the socket's */
    struct addr local; /* what it has connected to, if `told`; else ask the socket */
    bool told;
    uint16_t port;                     /* of the listener, as clients see it */
    uint64_t start_ns;                 /* when it came */
    const struct listener_law *passed; /* of protocol TLS, which serves `hello`; NULL: none */
    struct client_hello hello;         /* only with passed */
};

struct intro_env {
    struct loop *loop;
    const struct snapshot *law; /* the current one */
    void (*done)(void *arg, int fd, const struct newcomer *who);
    /* reason: REASON_NONE where it has just gone away and nobody needs to know. */
    void (*refused)(void *arg, const struct newcomer *who, enum reason reason);
    void *arg;
    struct list all;
    uint64_t n;  /* a counter */
    char *bytes; /* scratch, CLIENT_HELLO_MAX of them */
};

void intros_init(struct intro_env *env); /* after loop and the callbacks were set */
void intros_close_all(struct intro_env *env);
void intros_fini(struct intro_env *env); /* none may be left */

/* Whether a connection of that peer to that port must say something first. */
bool intro_needed(const struct intro_env *env, const struct addr *peer, uint16_t port);
/* Takes the descriptor. */
void intro_begin(struct intro_env *env, int fd, const struct addr *peer, uint16_t port);

#endif
