/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/options.h"

#include "lib/log.h"
#include "lib/units.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char help[] =
    "sluice-proxy: receives its configuration from sluice-controller and serves requests.\n"
    "\n"
    "  --name NAME              of this proxy, as status shows it (default: the host's name)\n"
    "  --controller URL         wss://NAME:PORT, every address of the name is a controller; or\n"
    "                           ws://HOST:PORT on loopback; may be repeated\n"
    "  --controller-ca FILE     PEM, by which wss controllers are verified; read again when it\n"
    "                           changes\n"
    "  --token-file FILE        what a wss controller is shown (a projected service account "
    "token);\n"
    "                           read again when it changes (default: nothing is shown)\n"
    "  --peers wss://NAME:PORT  other proxies, asked by a new one that hears from no controller "
    "for\n"
    "                           three seconds\n"
    "  --peer-bind HOST:PORT    where new proxies ask this one (default: nowhere)\n"
    "  --state FILE             last good configuration, kept over restarts (default: none)\n"
    "  --bind ADDRESS           where clients are served (default: 0.0.0.0)\n"
    "  --ports CLIENT=BIND,...  port as clients see it = port to listen on (default: "
    "80=8080,443=8443)\n"
    "  --workers N              threads that serve (default: CPU limit of the cgroup, else 2)\n"
    "  --telemetry HOST:PORT    /live /ready /metrics (default: 127.0.0.1:7501)\n"
    "  --admin HOST:PORT        /config /reasons, loopback only (default: 127.0.0.1:7502)\n"
    "  --access-log WHERE       off, stdout or a file (default: stdout)\n"
    "  --audit-log WHERE        likewise; who was refused, and what rules with `audit` decide\n"
    "  --resolver HOST:PORT     address of the DNS server that is asked for external names\n"
    "                           (default: those of /etc/resolv.conf)\n"
    "  --drain-delay TIME       on SIGTERM: still accepting for so long (default: 10s)\n"
    "  --drain-timeout TIME     then at most so long for requests in progress (default: 60s)\n"
    "  --log-level LEVEL        error, warn, info or debug (default: info)\n"
    "  --version, --help\n"
    "\n"
    "Example:\n"
    "  sluice-proxy --name proxy-1 --controller ws://127.0.0.1:7400 --state /tmp/last-good \\\n"
    "      --bind 127.0.0.1 --ports 80=8080\n";

_Noreturn static void usage(const char *option, const char *value, const char *what) {
    fprintf(stderr, "sluice-proxy: --%s %s: %s; see sluice-proxy --help\n", option, value, what);
    exit(2);
}

/* The CPU limit of this cgroup (v2), rounded up; 0: none. */
static unsigned cpu_limit(void) {
    unsigned long quota = 0, period = 0;
    FILE *f = fopen("/sys/fs/cgroup/cpu.max", "re");
    if (f == NULL)
        return 0;
    int got = fscanf(f, "%lu %lu", &quota, &period);
    fclose(f);
    return got == 2 && period > 0 ? (unsigned)((quota + period - 1) / period) : 0;
}

static unsigned parse_count(const char *option, const char *value, uint64_t max) {
    uint64_t n;
    if (!str_to_u64(str_of(value), max, &n) || n == 0)
        usage(option, value, "not a number from 1 on that makes sense here");
    return (unsigned)n;
}

static uint64_t parse_time(const char *option, const char *value) {
    struct why why = {0};
    int64_t ms;
    if (unit_duration(str_of(value), &ms, &why) != 0)
        usage(option, value, why.text);
    return (uint64_t)ms;
}

static const char *parse_address(const char *option, const char *value) {
    struct addr a;
    if (!addr_parse(&a, str_of(value)))
        usage(option, value,
              "not an address and a port; write it as 10.96.0.10:53 or [fd00::a]:53");
    return value;
}

static void parse_ports(struct options *o, const char *bind, const char *list) {
    struct str rest = str_of(list), one, client;
    while (rest.p != NULL) {
        rest = str_cut(rest, ',', &one);
        struct str port = str_cut(one, '=', &client);
        uint64_t c, b;
        if (o->n_ports == WORKER_PORTS_MAX)
            usage("ports", list, "too many ports");
        if (!str_to_u64(client, UINT16_MAX, &c) || !str_to_u64(port, UINT16_MAX, &b))
            usage("ports", list, "write it as 80=8080,443=8443");
        struct worker_port *p = &o->ports[o->n_ports++];
        char text[128];
        struct out at = out_fixed(text, sizeof(text));
        bool six = str_find(str_of(bind), ':', 0) < str_of(bind).n;
        out_fmt(&at, six ? "[%s]:%u" : "%s:%u", bind, (unsigned)b);
        p->client = (uint16_t)c;
        if (at.over || !addr_parse(&p->bind, out_done(&at)))
            usage("bind", bind, "not an IPv4 or IPv6 address");
    }
}

static const char *host_name(void) {
    static char name[256];
    if (gethostname(name, sizeof(name) - 1) != 0 || name[0] == 0)
        return "proxy";
    return name;
}

enum setting {
    NAME,
    CONTROLLER,
    CONTROLLER_CA,
    TOKEN_FILE,
    PEERS,
    PEER_BIND,
    STATE,
    BIND,
    PORTS,
    WORKERS,
    TELEMETRY,
    ADMIN,
    ACCESS_LOG,
    AUDIT_LOG,
    RESOLVER,
    DRAIN_DELAY,
    DRAIN_TIMEOUT,
    LOG_LEVEL,
    VERSION,
    HELP
};

static const struct option long_options[] = {
    {"name", required_argument, NULL, NAME},
    {"controller", required_argument, NULL, CONTROLLER},
    {"controller-ca", required_argument, NULL, CONTROLLER_CA},
    {"token-file", required_argument, NULL, TOKEN_FILE},
    {"peers", required_argument, NULL, PEERS},
    {"peer-bind", required_argument, NULL, PEER_BIND},
    {"state", required_argument, NULL, STATE},
    {"bind", required_argument, NULL, BIND},
    {"ports", required_argument, NULL, PORTS},
    {"workers", required_argument, NULL, WORKERS},
    {"telemetry", required_argument, NULL, TELEMETRY},
    {"admin", required_argument, NULL, ADMIN},
    {"access-log", required_argument, NULL, ACCESS_LOG},
    {"audit-log", required_argument, NULL, AUDIT_LOG},
    {"resolver", required_argument, NULL, RESOLVER},
    {"drain-delay", required_argument, NULL, DRAIN_DELAY},
    {"drain-timeout", required_argument, NULL, DRAIN_TIMEOUT},
    {"log-level", required_argument, NULL, LOG_LEVEL},
    {"version", no_argument, NULL, VERSION},
    {"help", no_argument, NULL, HELP},
    {NULL, 0, NULL, 0},
};

static void set_log_level(const char *value) {
    enum log_level level;
    if (!log_level_named(value, &level))
        usage("log-level", value, "one of error, warn, info, debug");
    log_level(level);
}

static void take(struct options *o, enum setting what, const char *value, const char **bind,
                 const char **ports) {
    switch (what) {
    case NAME:
        o->name = value;
        return;
    case CONTROLLER:
        if (o->n_controllers == OPTIONS_CONTROLLERS_MAX)
            usage("controller", value, "too many controllers");
        o->controllers[o->n_controllers++] = value;
        return;
    case CONTROLLER_CA:
        o->controller_ca = value;
        return;
    case TOKEN_FILE:
        o->token = value;
        return;
    case PEERS:
        o->peers = value;
        return;
    case PEER_BIND:
        o->peer_bind = value;
        return;
    case STATE:
        o->state = value;
        return;
    case BIND:
        *bind = value;
        return;
    case PORTS:
        *ports = value;
        return;
    case WORKERS:
        o->workers = parse_count("workers", value, 256);
        return;
    case TELEMETRY:
        o->telemetry = value;
        return;
    case ADMIN:
        o->admin = value;
        return;
    case ACCESS_LOG:
        o->access_log = value;
        return;
    case AUDIT_LOG:
        o->audit_log = value;
        return;
    case RESOLVER:
        o->resolver = parse_address("resolver", value);
        return;
    case DRAIN_DELAY:
        o->drain_delay_ms = parse_time("drain-delay", value);
        return;
    case DRAIN_TIMEOUT:
        o->drain_timeout_ms = parse_time("drain-timeout", value);
        return;
    case LOG_LEVEL:
        set_log_level(value);
        return;
    case VERSION:
        printf("sluice-proxy %s\n", sluice_version);
        exit(0);
    case HELP:
        fputs(help, stdout);
        exit(0);
    }
}

void options_parse(struct options *o, int argc, char **argv) {
    const char *bind = "0.0.0.0", *ports = "80=8080,443=8443";
    *o = (struct options){
        .name = host_name(),
        .telemetry = "127.0.0.1:7501",
        .admin = "127.0.0.1:7502",
        .access_log = "stdout",
        .audit_log = "stdout",
        .drain_delay_ms = 10000,
        .drain_timeout_ms = 60000,
    };
    for (int c; (c = getopt_long(argc, argv, "", long_options, NULL)) != -1;) {
        if (c == '?')
            exit(2); /* getopt has said which */
        take(o, (enum setting)c, optarg, &bind, &ports);
    }
    if (optind < argc)
        usage("help", argv[optind], "there are no arguments besides options");
    if (o->n_controllers == 0 && o->state == NULL)
        usage("controller", "", "a proxy needs a controller or a state file to serve anything");
    if (o->workers == 0)
        o->workers = cpu_limit();
    if (o->workers == 0)
        o->workers = 2;
    parse_ports(o, bind, ports);
}
