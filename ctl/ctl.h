/* SPDX-License-Identifier: Apache-2.0
 *
 * ctl: sluicectl. One command a file; each puts together one document (cJSON) and prints it as
 * JSON, as YAML, or as a table for people.
 *
 *   main.c ─► run.c (words and options) ─► status.c routes.c explain.c render.c validate.c crds.c
 *                          history.c diff.c rollback.c
 *                                              │ import.c: Kong's file into our resources
 *                                              │ top.c: what goes on, again and again
 *                                              │ bench.c: load against a URL (bench.h)
 *                                              │ moves.c: what is different between two states
 *                                              │ cost.c: what routes and teams cost
 *                                              │ world.c: the configuration, from files or a proxy
 *                                              │ fetch.c: HTTP to a controller or proxy
 *                                              │ cluster.c: the way there by the user's kubectl
 *                                              │ completion.c, man.c: of the table in run.c
 *                                              └ doc.c, table.c: printing
 *
 * What -f shows is compiled by the controller's own code and routed by the proxy's own code.
 */
#ifndef SLUICE_CTL_CTL_H
#define SLUICE_CTL_CTL_H

#include "lib/base.h"

#include <stdio.h>

enum ctl_exit {
    CTL_OK = 0,
    CTL_PROBLEMS = 1,    /* it was done, and there is something to put right */
    CTL_USAGE = 2,       /* the words or options make no sense */
    CTL_UNREACHABLE = 3, /* nothing answers there, or not with what was asked */
    CTL_EXITS            /* how many there are */
};

enum ctl_format { CTL_TABLE, CTL_JSON, CTL_YAML };

enum { CTL_HEADERS_MAX = 64 };

enum said_option { /* of bench alone */
#define OPTION(NAME, name, value, text) SAID_##NAME,
#include "ctl/bench.def"
#undef OPTION
                   SAID_OPTIONS
};
extern const char *const bench_names[SAID_OPTIONS]; /* without the dashes */

struct ctl {
    FILE *out, *err;
    bool colour;
    enum ctl_format format;
    const char *controller, *proxy; /* HOST:PORT, or the name of a pod; NULL: not said */
    const char *namespace, *context, *kubeconfig; /* for kubectl; NULL: not said */
    const char *class, *gateway_config;           /* of import; NULL: not said */
    bool in_cluster;       /* called as kubectl-sluice: never looks at loopback */
    const char *directory; /* of -d; NULL: not said */
    const char *file;      /* of -f, a file or directory; NULL: not said */
    const char *second;    /* of a second -f (diff); NULL: not said */
    const char *reason;    /* of rollback; NULL: not said */
    bool yes, dry_run;     /* likewise */
    const char *headers[CTL_HEADERS_MAX];
    unsigned n_headers;
    const char *token, *client, *at; /* of explain; NULL: not said */
    bool once;                       /* of top */
    const char *sort;                /* of top; NULL: not said */
    const char *bench[SAID_OPTIONS]; /* of bench: the value, "" of a switch; NULL: not said */
    const char *prometheus, *over, *period; /* of cost; NULL: not said */
    const char *core_hour, *gib_hour, *gib_traffic, *currency;
    char **words; /* behind the command */
    int n_words;
};

enum { CTL_CONTROLLER_PORT = 7402, CTL_PROXY_PORT = 7502 }; /* admin ports */

/* The whole program but for exit(). Not reentrant (getopt). */
enum ctl_exit ctl_main(int argc, char **argv, FILE *out, FILE *err);

/* ---- the commands ---- */

enum ctl_exit ctl_status(struct ctl *c);
enum ctl_exit ctl_routes(struct ctl *c);
enum ctl_exit ctl_explain(struct ctl *c);
enum ctl_exit ctl_render(struct ctl *c);
enum ctl_exit ctl_validate(struct ctl *c);
enum ctl_exit ctl_crds(struct ctl *c);
enum ctl_exit ctl_import(struct ctl *c);
enum ctl_exit ctl_top(struct ctl *c);
enum ctl_exit ctl_bench(struct ctl *c);
enum ctl_exit ctl_diff(struct ctl *c);
enum ctl_exit ctl_history(struct ctl *c);
enum ctl_exit ctl_rollback(struct ctl *c);
enum ctl_exit ctl_resume(struct ctl *c);
enum ctl_exit ctl_cost(struct ctl *c);
enum ctl_exit ctl_completion(struct ctl *c);
enum ctl_exit ctl_man(struct ctl *c);

/* One line to err, "sluicectl: ..."; returns code, so that a command can return it. */
enum ctl_exit ctl_fail(struct ctl *c, enum ctl_exit code, const char *fmt, ...) PRINTF_LIKE(3, 4);

#endif
