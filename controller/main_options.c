/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/main_options.h"

#include "controller/kube/rule.h"
#include "controller/source/kube.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/signing.h"
#include "lib/ticket.h"
#include "lib/units.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "sluice-controller: reads Kubernetes resources, compiles them and keeps every proxy up to "
    "date.\n"
    "\n"
    "  --source kube            the Kubernetes API server; or\n"
    "  --source dir:PATH        a directory of YAML files, watched for changes (one is required)\n"
    "  --kubeconfig FILE        kube: how to reach it (default: the pod's service account, else\n"
    "                           $KUBECONFIG, else ~/.kube/config)\n"
    "  --context NAME           kube: of the kubeconfig (default: its current-context)\n"
    "  --namespaces NAME,...    kube: read only these (default: all)\n"
    "  --watch-secrets          kube: hear of changed TLS Secrets at once, not within a minute;\n"
    "                           takes the verbs list and watch on all Secrets\n"
    "  --lease NAME             kube: write statuses only while holding this Lease, in the pod's\n"
    "                           namespace (default: always)\n"
    "  --publish-service NS/NAME\n"
    "                           kube: the Service before the proxies; Ingresses are told its\n"
    "                           addresses\n"
    "  --publish-status-address ADDRESS,...\n"
    "                           kube: they are told these instead\n"
    "  --exposed-ports PORT,... ports that clients can reach; a listener on another one is told\n"
    "                           NotExposed (default: not known)\n"
    "  --deployment NAME        kube: what this controller is part of, in the pod's namespace: "
    "the\n"
    "                           owner of what it makes; when it is deleted all is taken back\n"
    "  --leave PATH,...         kube: API paths of what goes then as well: the last one is "
    "deleted,\n"
    "                           the others are made its dependents\n"
    "  --link HOST:PORT         where proxies connect (default: 127.0.0.1:7400); plain, on "
    "loopback\n"
    "                           only, unless there is a\n"
    "  --link-secret NAME       kube: Secret of our namespace with the CA and certificate of the\n"
    "                           link; made and renewed unless it is of type kubernetes.io/tls. "
    "TLS\n"
    "  --link-configmap NAME    ConfigMap in which the CA's certificate is published, for proxies\n"
    "  --link-service NAME      headless Service by which proxies find us (default:\n"
    "                           sluice-controller)\n"
    "  --link-accounts NS/NAME,...  service accounts whose pods may link (audience\n"
    "                           sluice-controller); needed with --link-secret\n"
    "  --ticket-rotation TIME   a key of TLS session tickets seals for so long, 1s to 12h\n"
    "                           (default: 8h)\n"
    "  --signing-rotation TIME  a key of internal tokens signs for so long, 1s to 720h, and\n"
    "                           none is good for longer (default: 24h)\n"
    "  --custom-metrics HOST:PORT\n"
    "                           kube: serve custom.metrics.k8s.io for autoscaling (default: off);\n"
    "                           needs --link-secret, whose certificate it shows\n"
    "  --custom-metrics-service NAME\n"
    "                           the Service before it, port 443 (default: sluice-metrics)\n"
    "  --custom-metrics-owner NAME\n"
    "                           ClusterRole with which the APIService goes\n"
    "  --history DIR            keep the last 20 revisions there too, for a start after this one\n"
    "                           (default: in memory alone)\n"
    "  --pin NAME               the ConfigMap of our namespace that `sluicectl rollback` writes\n"
    "                           (default: sluice-pin with dir:, none with kube)\n"
    "  --telemetry HOST:PORT    /live /ready /metrics (default: 127.0.0.1:7401)\n"
    "  --admin HOST:PORT        /config /status /history, loopback only (default: 127.0.0.1:7402)\n"
    "  --log-level LEVEL        error, warn, info or debug (default: info)\n"
    "  --version, --help\n"
    "\n"
    "Examples:\n"
    "  sluice-controller --source dir:examples/quickstart/manifests\n"
    "  sluice-controller --source kube --kubeconfig ~/.kube/config\n";

_Noreturn static void usage(const char *option, const char *value, const char *what) {
    fprintf(stderr, "sluice-controller: --%s %s: %s; see sluice-controller --help\n", option, value,
            what);
    exit(2);
}

/* The directory; NULL: the API server. */
static const char *parse_source(const char *value) {
    if (strcmp(value, "kube") == 0)
        return NULL;
    if (strncmp(value, "dir:", 4) != 0 || value[4] == 0)
        usage("source", value, "write it as kube or dir:PATH");
    return value + 4;
}

static void parse_namespaces(struct options *o, const char *value) {
    struct str rest = str_of(value), name;
    while (rest.p) {
        rest = str_cut(rest, ',', &name);
        if (!kube_is_name(name))
            usage("namespaces", value, "write names with commas between them, as shop,blog");
        if (o->n_namespaces == KUBE_NAMESPACES_MAX)
            usage("namespaces", value, "these are too many; leave it out to read all");
        o->namespaces = mem_realloc(o->namespaces, (o->n_namespaces + 1) * sizeof(*o->namespaces));
        o->namespaces[o->n_namespaces++] = name;
    }
}

static void parse_ports(struct options *o, const char *value) {
    struct str rest = str_of(value), one;
    while (rest.p) {
        uint64_t port;
        rest = str_cut(rest, ',', &one);
        if (!str_to_u64(one, UINT16_MAX, &port) || port == 0 || o->n_exposed == COMPILE_PORTS_MAX)
            usage("exposed-ports", value, "write at most 64 ports, as 80,443");
        o->exposed[o->n_exposed++] = (uint16_t)port;
    }
}

static const char *parse_name(const char *option, const char *value) {
    if (!kube_is_name(str_of(value)))
        usage(option, value, "it is not a name: write lower-case letters, digits, \"-\" and \".\"");
    return value;
}

static uint32_t parse_period(const char *option, const char *value, uint32_t max_s,
                             const char *range) {
    struct why why = {0};
    int64_t ms;
    if (unit_duration(str_of(value), &ms, &why) != 0)
        usage(option, value, why.text);
    if (ms < 1000 || ms > max_s * 1000LL || ms % 1000 != 0)
        usage(option, value, range);
    return (uint32_t)(ms / 1000);
}

static void parse_level(const char *value) {
    enum log_level level;
    if (!log_level_named(value, &level))
        usage("log-level", value, "it is not error, warn, info or debug");
    log_level(level);
}

void options_parse(struct options *o, int argc, char **argv) {
    enum {
        SOURCE = 1,
        KUBECONFIG,
        CONTEXT,
        NAMESPACES,
        WATCH_SECRETS,
        LEASE,
        PUBLISH_SERVICE,
        PUBLISH_ADDRESS,
        EXPOSED,
        DEPLOYMENT,
        LEAVE,
        LINK,
        LINK_SECRET,
        LINK_CONFIGMAP,
        LINK_SERVICE,
        LINK_ACCOUNTS,
        TICKETS,
        SIGNING,
        METRICS,
        METRICS_SERVICE,
        METRICS_OWNER,
        HISTORY,
        PIN,
        TELEMETRY,
        ADMIN,
        LEVEL,
        VERSION,
        HELP
    };
    bool source = false;
    static const struct option known[] = {
        {"source", required_argument, NULL, SOURCE},
        {"kubeconfig", required_argument, NULL, KUBECONFIG},
        {"context", required_argument, NULL, CONTEXT},
        {"namespaces", required_argument, NULL, NAMESPACES},
        {"watch-secrets", no_argument, NULL, WATCH_SECRETS},
        {"lease", required_argument, NULL, LEASE},
        {"publish-service", required_argument, NULL, PUBLISH_SERVICE},
        {"publish-status-address", required_argument, NULL, PUBLISH_ADDRESS},
        {"exposed-ports", required_argument, NULL, EXPOSED},
        {"deployment", required_argument, NULL, DEPLOYMENT},
        {"leave", required_argument, NULL, LEAVE},
        {"link", required_argument, NULL, LINK},
        {"link-secret", required_argument, NULL, LINK_SECRET},
        {"link-configmap", required_argument, NULL, LINK_CONFIGMAP},
        {"link-service", required_argument, NULL, LINK_SERVICE},
        {"link-accounts", required_argument, NULL, LINK_ACCOUNTS},
        {"ticket-rotation", required_argument, NULL, TICKETS},
        {"signing-rotation", required_argument, NULL, SIGNING},
        {"custom-metrics", required_argument, NULL, METRICS},
        {"custom-metrics-service", required_argument, NULL, METRICS_SERVICE},
        {"custom-metrics-owner", required_argument, NULL, METRICS_OWNER},
        {"history", required_argument, NULL, HISTORY},
        {"pin", required_argument, NULL, PIN},
        {"telemetry", required_argument, NULL, TELEMETRY},
        {"admin", required_argument, NULL, ADMIN},
        {"log-level", required_argument, NULL, LEVEL},
        {"version", no_argument, NULL, VERSION},
        {"help", no_argument, NULL, HELP},
        {NULL, 0, NULL, 0},
    };
    *o = (struct options){.link = "127.0.0.1:7400",
                          .link_service = "sluice-controller",
                          .ticket_s = TICKET_PERIOD_S,
                          .signing_s = SIGNING_PERIOD_S,
                          .custom_metrics_service = "sluice-metrics",
                          .telemetry = "127.0.0.1:7401",
                          .admin = "127.0.0.1:7402"};
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        switch (c) {
        case SOURCE:
            o->directory = parse_source(optarg);
            source = true;
            break;
        case KUBECONFIG:
            o->kubeconfig = optarg;
            break;
        case CONTEXT:
            o->context = optarg;
            break;
        case NAMESPACES:
            parse_namespaces(o, optarg);
            break;
        case WATCH_SECRETS:
            o->watch_secrets = true;
            break;
        case LEASE:
            o->status.lease = parse_name("lease", optarg);
            break;
        case PUBLISH_SERVICE:
            o->status.publish_service = optarg;
            break;
        case PUBLISH_ADDRESS:
            o->status.publish_addresses = optarg;
            break;
        case EXPOSED:
            parse_ports(o, optarg);
            break;
        case DEPLOYMENT:
            o->status.deployment = parse_name("deployment", optarg);
            break;
        case LEAVE:
            o->status.leave = optarg;
            break;
        case LINK:
            o->link = optarg;
            break;
        case LINK_SECRET:
            o->link_secret = optarg;
            break;
        case LINK_CONFIGMAP:
            o->link_configmap = optarg;
            break;
        case LINK_SERVICE:
            o->link_service = optarg;
            break;
        case LINK_ACCOUNTS:
            o->link_accounts = optarg;
            break;
        case TICKETS:
            o->ticket_s = parse_period("ticket-rotation", optarg, TICKET_PERIOD_MAX_S,
                                       "write whole seconds, from 1s to 12h");
            break;
        case SIGNING:
            o->signing_s = parse_period("signing-rotation", optarg, SIGNING_PERIOD_MAX_S,
                                        "write whole seconds, from 1s to 720h");
            break;
        case METRICS:
            o->custom_metrics = optarg;
            break;
        case METRICS_SERVICE:
            o->custom_metrics_service = parse_name("custom-metrics-service", optarg);
            break;
        case METRICS_OWNER:
            o->custom_metrics_owner = optarg;
            break;
        case HISTORY:
            o->history = optarg;
            break;
        case PIN:
            o->pin = parse_name("pin", optarg);
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
    if (!source)
        usage("source", "", "is missing: it says where the resources are");
    if (o->directory && !o->pin)
        o->pin = "sluice-pin";
    if (o->link_secret && o->directory)
        usage("link-secret", o->link_secret, "needs --source kube: it is kept in the cluster");
    if (o->custom_metrics && !o->link_secret)
        usage("custom-metrics", o->custom_metrics,
              "needs --link-secret: that is where its certificate is");
    if (o->link_secret && !o->link_accounts)
        usage("link-accounts", "", "is missing: it says whose pods may link");
}
