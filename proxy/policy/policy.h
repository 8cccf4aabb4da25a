/* SPDX-License-Identifier: Apache-2.0
 *
 * policy: what is done to a request between the router and the upstream, and to its answer.
 */
#ifndef SLUICE_PROXY_POLICY_H
#define SLUICE_PROXY_POLICY_H

#include "lib/hash.h"
#include "proxy/policy/exchange.h"

/* ---- client.c: who asks ---- */

/* The client's address, v4 as v4-mapped: the peer, or what trusted peers say it is (the rightmost
 * address of X-Forwarded-For, or without that of Forwarded, that is not trusted itself, S32). Sets
 * x->trusted. */
void policy_client(struct exchange *x, const uint8_t peer[16], uint8_t client[16]);
/* ---- trace.c: request id and trace (W3C Trace Context) ---- */

/* x-request-id and traceparent: continued when they are well-formed, else begun, with one number
 * for both when both begin here; tracestate goes on with the trace that it belongs to. room:
 * REQUEST_ID_MAX and TRACEPARENT_BYTES bytes. */
void policy_trace(struct exchange *x, struct prng *prng, char *id_room, char *trace_room);

/* It was continued. */
bool policy_trace_continues(const struct exchange *x);

/* Of a gateway that makes spans. */
struct trace_context {
    uint64_t span;    /* ours, of the whole request */
    uint64_t parent;  /* the caller's; 0: the trace begins here */
    struct str state; /* the request's first tracestate, as far as it is worth keeping */
    bool sampled;
};
/* A trace for a request of which nothing could be read, in place of policy_trace(). */
void policy_trace_anew(struct exchange *x, struct prng *prng, char *trace_room);
/* After policy_trace(): ours is the span that others are below from now on, and x->traceparent is
 * in trace_room. Who decides about samples: the caller, where it is followed; else the trace id. */
void policy_trace_join(struct exchange *x, struct prng *prng, char *trace_room,
                       struct trace_context *c);
/* That span is the one that others are below. */
void policy_trace_span(char *trace_room, uint64_t span);

/* ---- answer.c: answers of our own ---- */

struct answer {
    uint16_t status;
    enum reason reason;      /* REASON_NONE: the route's own answer */
    struct str content_type; /* n == 0: no body */
    struct str body;
    struct str location;
    struct str fields;                      /* further ones, each with its line end */
    const struct model_cors *cors;          /* a preflight that is granted */
    struct str allow_method, allow_headers; /* what it asked for */
    uint8_t grpc_code;                      /* not 0: to a caller of gRPC, with ... */
    struct str grpc_message;                /* ... that text */
    bool grpc_web;                          /* of gRPC-Web, over any version of HTTP */
};

/* True: the rule answers by itself (redirect, DirectResponse, CORS preflight). room holds what is
 * made up for it; too small a room answers INTERNAL. */
bool policy_answers(const struct exchange *x, struct answer *a, char *room, size_t cap);
/* True: it is a preflight that the rule answers. */
bool policy_preflights(const struct exchange *x, struct answer *a);
/* Whether the client speaks https: to us, or to a trusted peer that says so. */
bool policy_is_https(const struct exchange *x);
/* The same address under https: 308. */
void policy_to_https(const struct exchange *x, struct answer *a, char *room, size_t cap);
/* One that stands for a reason; its body is one constant line. status 0: the reason's own. */
void policy_refusal(struct answer *a, enum reason reason, uint16_t status);
/* The head. o->over: it did not fit. */
void policy_write_answer(const struct exchange *x, const struct answer *a, struct str date,
                         bool close, struct out *o);
/* What follows it: a->body, or nothing (HEAD, 204, 304). */
struct str policy_answer_body(const struct exchange *x, const struct answer *a);

/* ---- upgrade.c ---- */

/* The protocol of the request's Upgrade that goes on to the upstream; n == 0: none does. */
struct str policy_upgrade(const struct exchange *x);
bool policy_is_websocket(const struct exchange *x); /* what goes on */
/* Whether that answer, a 101, agrees to what was asked. */
bool policy_upgraded(const struct exchange *x, const struct head *response);
/* The reason phrase; n == 0: it has none here. */
struct str policy_status_text(unsigned status);

/* ---- forward.c: heads that go on ---- */

/* How its body is framed (enum framing) on the way to the upstream. */
uint8_t policy_request_framing(const struct exchange *x);
/* The request's head for the upstream: everything that was received is written anew. */
void policy_write_request(const struct exchange *x, struct out *o);
/* The request's path after a change, without the query. */
void policy_write_path(const struct exchange *x, enum model_path_edit edit, struct str with,
                       struct out *o);

/* The field x-forwarded-for: continued where a trusted peer writes it. */
void policy_write_forwarded_for(const struct exchange *x, struct out *o);

/* The path as the upstream gets it. */
void policy_write_forwarded_path(const struct exchange *x, struct out *o);

/* The answer's head for the client. framing: how its body is sent (enum framing). */
void policy_write_response(const struct exchange *x, const struct head *response, uint8_t framing,
                           struct str date, bool close, struct out *o);
/* A 1xx head, fields as they are. */
void policy_write_interim(const struct head *response, struct out *o);

/* Whether only trusted authentication may say who that is: a field that GatewayConfig names. */
bool policy_is_identity(const struct model_gateway *g, struct str name);

/* ---- trailer.c: fields behind a body ---- */

enum trailers_of { TRAILERS_OF_REQUEST, TRAILERS_OF_ANSWER };
/* Those of the lines that may go on. */
void policy_write_trailers(const struct exchange *x, enum trailers_of of, struct str lines,
                           struct out *o);
/* TE: trailers: whoever asks will look at them. */
bool policy_takes_trailers(const struct head *request);

/* ---- grpc.c ---- */

/* The content type in which a caller of gRPC (over HTTP/2 alone) or gRPC-Web expects an answer of
 * our own; n == 0: it is neither. */
struct str policy_grpc_type(const struct head *request, bool h2);
/* Whether a request to a backend of HTTP/2 is one of gRPC-Web, which is then translated. */
bool policy_grpc_web(const struct head *request, struct grpc_web *web);
/* The answer of the backend came: web->answers is how it goes on, and its content type is dropped
 * where it is written anew. */
void policy_grpc_web_answer(struct grpc_web *web, struct head *response);
/* How long the caller waits (grpc-timeout); UINT64_MAX: it does not say. */
uint64_t policy_grpc_timeout_ms(const struct head *request);
/* A refusal becomes one that such a caller understands: 200 with grpc-status and no body. */
void policy_grpc_answer(struct answer *a, struct str type);
/* What stands behind an answer of gRPC-Web: the trailers that may go on, and a status where the
 * backend has not said one, which is less than 128 bytes; told: it has, in the head. */
void policy_write_web_trailers(const struct exchange *x, struct str lines, bool told,
                               struct out *o);

/* ---- edit.c ---- */

/* Whether a field with that name survives all header filters of the type. */
bool policy_keeps(const struct exchange *x, enum model_filter_type type, struct str name);
/* Writes what they set and add. */
void policy_write_edits(const struct exchange *x, enum model_filter_type type, struct out *o);

/* ---- cookie.c ---- */

/* Writes a Set-Cookie field as the rule's CookieRewrite filters want it; false: nothing was
 * written, there are none. */
bool policy_write_cookie(const struct exchange *x, struct str set_cookie, struct out *o);

/* ---- cors.c ---- */

bool policy_cors_allows(const struct model_cors *c, struct str origin);
void policy_write_cors(const struct exchange *x, struct out *o); /* on an answer, when allowed */
void policy_write_preflight(const struct exchange *x, const struct answer *a, struct out *o);

#endif
