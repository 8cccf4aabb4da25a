/* SPDX-License-Identifier: Apache-2.0
 *
 * options: the command line of sluice-controller.
 */
#ifndef SLUICE_CONTROLLER_MAIN_OPTIONS_H
#define SLUICE_CONTROLLER_MAIN_OPTIONS_H

#include "controller/compile/compile.h"
#include "controller/main_status.h"

struct options {
    const char *directory;            /* of --source dir:PATH; NULL: --source kube */
    const char *kubeconfig, *context; /* NULL: the default */
    struct str *namespaces;           /* n_namespaces == 0: all */
    size_t n_namespaces;
    bool watch_secrets;
    uint16_t exposed[COMPILE_PORTS_MAX]; /* n_exposed == 0: nobody knows */
    size_t n_exposed;
    const char *link, *telemetry, *admin;
    /* Names of objects in our own namespace; link_secret NULL: the link is plain. */
    const char *link_secret, *link_configmap, *link_service;
    const char *link_accounts; /* "namespace/name,..." */
    /* The metrics API for autoscaling; custom_metrics NULL: none. Needs link_secret. */
    const char *custom_metrics, *custom_metrics_service, *custom_metrics_owner;
    const char *history; /* directory in which revisions are kept; NULL: in memory alone */
    const char *pin;     /* ConfigMap of our namespace that pins the fleet; NULL: nothing does */
    uint32_t ticket_s;   /* a key of session tickets seals for so long */
    uint32_t signing_s;  /* a key of internal tokens signs for so long */
    struct main_status_options status; /* only with --source kube */
};

/* Exits by itself for --help, --version (0) and for what cannot be understood (2), with a sentence.
 */
void options_parse(struct options *o, int argc, char **argv);

#endif
