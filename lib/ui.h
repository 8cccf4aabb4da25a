/* SPDX-License-Identifier: Apache-2.0
 *
 * ui: the live page, on the admin port of both programs: lib/ui/, built in (lib/ui/embed) and
 * served from memory. The page asks /live of the same port, and nothing else anywhere.
 *
 *   {"/ui*", ui_serve, NULL}
 */
#ifndef SLUICE_LIB_UI_H
#define SLUICE_LIB_UI_H

#include "lib/httpd.h"

/* What a browser is told of JSON on these ports: no other page may have it. */
#define UI_JSON_FIELDS                                                                             \
    "Cross-Origin-Resource-Policy: same-origin\r\n"                                                \
    "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n"

struct ui_file {
    const char *name, *type; /* "" is the page */
    const unsigned char *bytes;
    size_t n;
};
extern const struct ui_file ui_files[]; /* made by lib/ui/embed; ends with a NULL name */

void ui_serve(void *arg, const struct httpd_request *rq, struct httpd_answer *a);

#endif
