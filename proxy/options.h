/* SPDX-License-Identifier: Apache-2.0
 *
 * options: the command line of sluice-proxy.
 */
#ifndef SLUICE_PROXY_OPTIONS_H
#define SLUICE_PROXY_OPTIONS_H

#include "proxy/worker.h"

enum { OPTIONS_CONTROLLERS_MAX = 16 };

struct options {
    const char *name;
    const char *controllers[OPTIONS_CONTROLLERS_MAX];
    size_t n_controllers;
    const char *controller_ca, *token; /* files; NULL: none */
    const char *peers, *peer_bind;     /* NULL: none */
    const char *state;                 /* NULL: none is kept */
    const char *telemetry, *admin;
    const char *access_log, *audit_log; /* "off", "stdout" or a path */
    const char *resolver;               /* "ADDRESS:PORT"; NULL: those of /etc/resolv.conf */
    struct worker_port ports[WORKER_PORTS_MAX];
    size_t n_ports;
    unsigned workers;
    uint64_t drain_delay_ms, drain_timeout_ms;
};

/* Exits by itself for --help, --version (0) and for what cannot be understood (2), with a sentence.
 */
void options_parse(struct options *o, int argc, char **argv);

#endif
