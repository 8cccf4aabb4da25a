/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/ui.h"

/* Nothing inline, nothing from elsewhere, in nobody's frame. */
#define PAGE_FIELDS                                                                                \
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; "           \
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "            \
    "require-trusted-types-for 'script'\r\n"                                                       \
    "Cross-Origin-Resource-Policy: same-origin\r\n"                                                \
    "Cross-Origin-Opener-Policy: same-origin\r\n"                                                  \
    "Referrer-Policy: no-referrer\r\n"

static const struct ui_file *file_of(struct str path) {
    struct str name = str_skip(path, sizeof("/ui/") - 1);
    for (const struct ui_file *f = ui_files; f->name; f++)
        if (str_eq(name, str_of(f->name)))
            return f;
    return NULL;
}

void ui_serve(void *arg, const struct httpd_request *rq, struct httpd_answer *a) {
    (void)arg;
    a->fields = PAGE_FIELDS;
    if (str_eq(rq->path, STR("/ui"))) {
        a->status = 308;
        a->fields = "Location: /ui/\r\n";
        return;
    }
    const struct ui_file *f = str_starts(rq->path, STR("/ui/")) ? file_of(rq->path) : NULL;
    if (!f) {
        a->status = 404;
        out_lit(&a->body, "there is nothing here\n");
        return;
    }
    a->content_type = f->type;
    out_bytes(&a->body, f->bytes, f->n);
}
