/* SPDX-License-Identifier: Apache-2.0
 *
 * HTTP/2 of a run, by nghttp2: as many requests at once as there are flights. What the server
 * allows fewer of waits inside, and its wait counts.
 */
#include "ctl/bench_load.h"

enum {
    STREAM_WINDOW = 1 << 20,
    CONNECTION_WINDOW = 16 << 20,
    FRAMES_BYTES = 64 << 10, /* put together for one write */
};

/* ---- what nghttp2 calls ---- */

static struct bench_flight *flight_of(nghttp2_session *s, int32_t stream) {
    return nghttp2_session_get_stream_user_data(s, stream);
}

static int on_header(nghttp2_session *s, const nghttp2_frame *frame, const uint8_t *name, size_t n,
                     const uint8_t *value, size_t value_n, uint8_t flags, void *arg) {
    (void)flags, (void)arg;
    struct bench_flight *f = flight_of(s, frame->hd.stream_id);
    struct str field = str_mk((const char *)name, n), text = str_mk((const char *)value, value_n);
    uint64_t status;
    if (!f || frame->hd.type != NGHTTP2_HEADERS)
        return 0;
    if (str_eq(field, STR(":status")) && str_to_u64(text, 599, &status))
        f->status = (uint16_t)status;
    else if (str_eq(field, STR("sluice-reason")))
        bench_reason(f, text);
    return 0;
}

static int on_stream_close(nghttp2_session *s, int32_t stream, uint32_t error, void *arg) {
    struct bench_conn *c = arg;
    struct bench_flight *f = flight_of(s, stream);
    if (!f)
        return 0;
    nghttp2_session_set_stream_user_data(s, stream, NULL);
    if (error == NGHTTP2_REFUSED_STREAM && c->state == CONN_OPEN)
        bench_again(f);
    else if (error == NGHTTP2_NO_ERROR && f->status >= 200)
        bench_answered(f);
    else
        bench_failed_with(f, BENCH_RESET);
    return 0;
}

static int on_frame(nghttp2_session *s, const nghttp2_frame *frame, void *arg) {
    (void)s;
    struct bench_conn *c = arg;
    if (frame->hd.type == NGHTTP2_GOAWAY)
        c->retired = true;
    return 0;
}

static ssize_t read_body(nghttp2_session *s, int32_t stream, uint8_t *to, size_t n, uint32_t *flags,
                         nghttp2_data_source *source, void *arg) {
    (void)s, (void)stream, (void)arg;
    struct bench_flight *f = source->ptr;
    struct str left = str_skip(f->kind->body, f->body_at);
    n = size_min(n, left.n);
    memcpy(to, left.p, n);
    f->body_at += n;
    if (n == left.n)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

/* ---- the codec ---- */

static bool begin(struct bench_conn *c) {
    nghttp2_session_callbacks *calls;
    nghttp2_option *options;
    if (nghttp2_session_callbacks_new(&calls) != 0)
        return false;
    nghttp2_session_callbacks_set_on_header_callback(calls, on_header);
    nghttp2_session_callbacks_set_on_stream_close_callback(calls, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_recv_callback(calls, on_frame);
    bool made = nghttp2_option_new(&options) == 0;
    if (made) {
        nghttp2_option_set_no_closed_streams(options, 1);
        made = nghttp2_session_client_new2(&c->session, calls, c, options) == 0;
        nghttp2_option_del(options);
    }
    nghttp2_session_callbacks_del(calls);
    return made;
}

static bool opened(struct bench_conn *c) {
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0}, {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW}};
    if (!begin(c))
        return false;
    c->frames = out_heap(FRAMES_BYTES + (32 << 10));
    nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings));
    nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0, CONNECTION_WINDOW);
    bench_conn_write_soon(c);
    return true;
}

static void ask(struct bench_conn *c, struct bench_flight *f) {
    const struct bench_kind *k = f->kind;
    nghttp2_data_provider body = {.source.ptr = f, .read_callback = read_body};
    f->body_at = 0;
    f->stream =
        nghttp2_submit_request(c->session, NULL, k->nv, k->n_nv, k->body.n > 0 ? &body : NULL, f);
    if (f->stream < 0) { /* no numbers are left, or it is going away */
        c->retired = true;
        bench_again(f);
        return;
    }
    bench_conn_write_soon(c);
}

static enum bench_error came(struct bench_conn *c, struct str in) {
    ssize_t n = nghttp2_session_mem_recv(c->session, (const uint8_t *)in.p, in.n);
    if (n < 0)
        return BENCH_PROTOCOL;
    bench_conn_write_soon(c);
    return BENCH_ERRORS;
}

static bool ended(struct bench_conn *c) { return c->taken == 0; }

/* Many frames for one write. */
static struct str give(struct bench_conn *c) {
    c->frames.n = 0;
    while (c->frames.n < FRAMES_BYTES) {
        const uint8_t *p;
        ssize_t n = nghttp2_session_mem_send(c->session, &p);
        if (n <= 0)
            break;
        out_bytes(&c->frames, p, (size_t)n);
    }
    return out_done(&c->frames);
}

static bool drop(struct bench_conn *c, struct bench_flight *f) {
    nghttp2_session_set_stream_user_data(c->session, f->stream, NULL);
    nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, f->stream, NGHTTP2_CANCEL);
    bench_conn_write_soon(c);
    return true;
}

static void closed(struct bench_conn *c) {
    for (unsigned i = 0; i < c->load->plan->streams; i++)
        if (c->flights[i].state == FLIGHT_SENT)
            nghttp2_session_set_stream_user_data(c->session, c->flights[i].stream, NULL);
    nghttp2_session_del(c->session);
    c->session = NULL;
    out_fini(&c->frames);
}

const struct bench_codec bench_h2 = {opened, ask, came, ended, give, drop, closed};
