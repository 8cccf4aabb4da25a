/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/main_options.h"

#include "lib/log.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "sluice-controller: reads Kubernetes resources, compiles them and keeps every proxy up to "
    "date.\n"
    "\n"
    "  --source dir:PATH        a directory of YAML files, watched for changes (required)\n"
    "  --link HOST:PORT         where proxies connect, loopback only (default: 127.0.0.1:7400)\n"
    "  --telemetry HOST:PORT    /live /ready /metrics (default: 127.0.0.1:7401)\n"
    "  --admin HOST:PORT        /config /status, loopback only (default: 127.0.0.1:7402)\n"
    "  --log-level LEVEL        error, warn, info or debug (default: info)\n"
    "  --version, --help\n"
    "\n"
    "Example:\n"
    "  sluice-controller --source dir:examples/quickstart/manifests\n";

_Noreturn static void usage(const char *option, const char *value, const char *what) {
    fprintf(stderr, "sluice-controller: --%s %s: %s; see sluice-controller --help\n", option, value,
            what);
    exit(2);
}

static const char *parse_source(const char *value) {
    if (strncmp(value, "dir:", 4) != 0 || value[4] == 0)
        usage("source", value, "write it as dir:PATH");
    return value + 4;
}

static void parse_level(const char *value) {
    enum log_level level;
    if (!log_level_named(value, &level))
        usage("log-level", value, "it is not error, warn, info or debug");
    log_level(level);
}

void options_parse(struct options *o, int argc, char **argv) {
    enum { SOURCE = 1, LINK, TELEMETRY, ADMIN, LEVEL, VERSION, HELP };
    static const struct option known[] = {
        {"source", required_argument, NULL, SOURCE},
        {"link", required_argument, NULL, LINK},
        {"telemetry", required_argument, NULL, TELEMETRY},
        {"admin", required_argument, NULL, ADMIN},
        {"log-level", required_argument, NULL, LEVEL},
        {"version", no_argument, NULL, VERSION},
        {"help", no_argument, NULL, HELP},
        {NULL, 0, NULL, 0},
    };
    *o = (struct options){
        .link = "127.0.0.1:7400", .telemetry = "127.0.0.1:7401", .admin = "127.0.0.1:7402"};
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        switch (c) {
        case SOURCE:
            o->directory = parse_source(optarg);
            break;
        case LINK:
            o->link = optarg;
            break;
        case TELEMETRY:
            o->telemetry = optarg;
            break;
        case ADMIN:
            o->admin = optarg;
            break;
        case LEVEL:
            parse_level(optarg);
            break;
        case VERSION:
            printf("sluice-controller %s\n", sluice_version);
            exit(0);
        case HELP:
            fputs(help, stdout);
            exit(0);
        default:
            fputs("See sluice-controller --help\n", stderr);
            exit(2);
        }
    }
    if (optind < argc)
        usage("", argv[optind], "an argument without an option");
    if (!o->directory)
        usage("source", "", "is missing: it says where the resources are");
}
