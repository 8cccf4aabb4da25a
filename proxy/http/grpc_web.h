/* SPDX-License-Identifier: Apache-2.0
 *
 * grpc_web: how gRPC-Web (github.com/grpc/grpc, doc/PROTOCOL-WEB.md) differs from gRPC on the wire.
 * No sockets, no memory of its own.
 *
 *     a message of both     [flag 00][length: 4 bytes][bytes ...]
 *     trailers of gRPC      fields behind the body
 *     trailers of gRPC-Web  [flag 80][length: 4 bytes]["grpc-status: 0\r\n" ...], last in the body
 *     the form text         all of it in base64, each message (and the trailers) padded for itself,
 *                           so that it can be read as soon as it came
 *
 *     content-type    gRPC                    gRPC-Web
 *                     application/grpc+proto  application/grpc-web+proto
 *                                             application/grpc-web-text+proto
 */
#ifndef SLUICE_PROXY_HTTP_GRPC_WEB_H
#define SLUICE_PROXY_HTTP_GRPC_WEB_H

#include "lib/str.h"

enum grpc_web_form { GRPC_WEB_NONE, GRPC_WEB_BINARY, GRPC_WEB_TEXT };

struct grpc_web { /* a call that is translated */
    enum grpc_web_form asks : 8;
    enum grpc_web_form answers : 8; /* NONE: the backend's answer is no gRPC, and goes as it is */
    struct str rest;                /* of the content type, behind its name: "+proto" */
};

/* What a content type says; *rest is what stands behind its name: a format ("+proto"), parameters
 * (";..."), or nothing. */
enum grpc_web_form grpc_web_form(struct str type, struct str *rest);
/* Whether it is that of gRPC itself; *rest likewise. */
bool grpc_type(struct str type, struct str *rest);
/* The name of the content type. */
struct str grpc_web_name(enum grpc_web_form form);

/* ---- the answer ---- */

enum { GRPC_WEB_HEAD = 5, GRPC_WEB_ROOM = 64 };

void grpc_web_trailers_head(size_t n, char head[GRPC_WEB_HEAD]); /* of n bytes of lines */

struct grpc_web_text { /* binary on its way to text; zeroed it stands at the beginning */
    uint32_t left;     /* bytes of the message that are to come, once its head is complete */
    uint8_t head_n;    /* bytes of its head that came; 0: between two messages */
    uint8_t held_n;    /* bytes of it that wait for a third */
    char held[2];
};

/* Puts from the beginning of *in what fits into the text of [to, to + cap), cap ≥ GRPC_WEB_ROOM,
 * and skips it there. At most two bytes are held back, of a message that is not complete. The
 * length of the text. */
size_t grpc_web_text(struct grpc_web_text *t, struct str *in, char *to, size_t cap);
static inline bool grpc_web_between(const struct grpc_web_text *t) { return t->head_n == 0; }

#endif
