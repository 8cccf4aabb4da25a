/* SPDX-License-Identifier: Apache-2.0
 *
 * A folder with what both ends of a secure link need: CAs and leaves that the test makes, and the
 * files that a proxy reads. Included by one test program.
 */
#ifndef SLUICE_TESTS_PKI_WORLD_H
#define SLUICE_TESTS_PKI_WORLD_H

#include "controller/trust/pki.h"
#include "lib/ws.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { DAY = 86400 };

/* 127.A.B.n, of this process alone, so that several may run at once on one machine. In one of eight
 * rooms that are used in turn. */
static inline const char *world_address(unsigned n) {
    static char rooms[8][20];
    static unsigned last;
    char *room = rooms[++last % 8];
    snprintf(room, sizeof(rooms[0]), "127.%d.%d.%u", 1 + (getpid() >> 8) % 250, getpid() & 255, n);
    return room;
}

struct pki_world {
    char dir[40], ca[64], token[64]; /* paths */
};

static inline void world_write(const char *path, struct str text) {
    char beside[200];
    snprintf(beside, sizeof(beside), "%s.new", path);
    FILE *f = fopen(beside, "we");
    must(f && fwrite(text.p, 1, text.n, f) == text.n && fclose(f) == 0);
    must(rename(beside, path) == 0);
}

static inline void world_new(struct pki_world *w) {
    snprintf(w->dir, sizeof(w->dir), "/tmp/sluice-pki-XXXXXX");
    must(mkdtemp(w->dir));
    snprintf(w->ca, sizeof(w->ca), "%s/ca.crt", w->dir);
    snprintf(w->token, sizeof(w->token), "%s/token", w->dir);
}

static inline void world_free(struct pki_world *w) {
    unlink(w->ca);
    unlink(w->token);
    must(rmdir(w->dir) == 0);
}

/* Publishes CAs, as a ConfigMap is. */
static inline void world_publish(const struct pki_world *w, const struct pki_pair *a,
                                 const struct pki_pair *b) {
    struct out o = out_heap(PEM_BYTES_MAX);
    pem_put_cert(&o, a->cert);
    if (b)
        pem_put_cert(&o, b->cert);
    world_write(w->ca, out_done(&o));
    out_fini(&o);
}

/* PEM of a leaf; the two outs are the caller's. */
static inline struct ws_identity world_identity(const struct pki_pair *leaf, struct out *cert,
                                                struct out *key) {
    *cert = out_heap(PEM_BYTES_MAX);
    *key = out_heap(PEM_BYTES_MAX);
    pem_put_cert(cert, leaf->cert);
    pem_put_key(key, leaf->key);
    return (struct ws_identity){out_done(cert), out_done(key)};
}

#endif
