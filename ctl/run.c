/* SPDX-License-Identifier: Apache-2.0
 *
 * Words and options; which command takes what; help. The two tables, of commands and of options,
 * are all that help, the manual page and the completion of shells know.
 */
#include "controller/kube/near.h"
#include "ctl/commands.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct command commands[] = {
    {"status", "status [-n NAMESPACE | --controller HOST:PORT|POD]",
     "proxies, and resources that need attention",
     "Asks a controller which proxies are linked, what each of them serves, and which resources "
     "are\n"
     "refused or have a warning. Exit code 1 when a proxy is behind or a resource is refused.\n\n"
     "  sluicectl status\n"
     "  kubectl sluice status -n sluice\n"
     "  sluicectl status -o json | jq '.proxies[] | select(.behind)'\n",
     TAKES_CONTROLLER | TAKES_CLUSTER, 0, CTL_TABLE, ctl_status},
    {"top",
     "top [--sort KEY] [--once] [-n NAMESPACE | --controller HOST:PORT|POD | --proxy "
     "HOST:PORT|POD]",
     "what goes on now: requests, failures and times by route",
     "Asks a controller what its proxies have answered in the last ten seconds: the fleet in one\n"
     "line, then each route with its requests a second, the part that failed (500 and above), how\n"
     "long requests took, and whose time that was: the gateway's, the backend's (upstream), or "
     "others'\n"
     "(the client, connecting, who decides). Every two seconds on a terminal, until Ctrl-C; else, "
     "and\n"
     "with --once, one time. With --proxy it is that proxy alone. Exit code 1 when no proxy tells: "
     "none\n"
     "is linked, or they are older than this command.\n\n"
     "  sluicectl top\n"
     "  sluicectl top --sort p99 --once\n"
     "  kubectl sluice top -n sluice\n"
     "  sluicectl top -o json | jq '.routes[] | select(.slowest == \"gateway\")'\n",
     TAKES_CONTROLLER | TAKES_PROXY | TAKES_CLUSTER | TAKES_TOP, 0, CTL_TABLE, ctl_top},
    {"routes", "routes [-f FILE|DIR | -n NAMESPACE | --proxy HOST:PORT|POD]",
     "every host and path, and where it goes",
     "One line a match: host, path, rule, backends with their share, and the object it came from.\n"
     "From a running proxy, or from files.\n\n"
     "  sluicectl routes\n"
     "  sluicectl routes -f manifests/\n"
     "  sluicectl routes --proxy 127.0.0.1:7502 -o json\n"
     "  sluicectl routes -n sluice --proxy sluice-proxy-5d6f8\n",
     TAKES_FILE | TAKES_PROXY | TAKES_CLUSTER, 0, CTL_TABLE, ctl_routes},
    {"explain",
     "explain METHOD URL [-H 'Name: value'] [--token TOKEN|@FILE|-] [-f FILE|DIR | -n NAMESPACE | "
     "--proxy HOST:PORT|POD]",
     "which rule a request takes, why, and who may",
     "Routes one request with the proxy's own code and says which rule it takes and why, what is\n"
     "done on the way, the endpoints with their weights, and which other rules lost. Where an\n"
     "AuthPolicy guards the rule, it is judged too: what each method says of the credentials, "
     "which\n"
     "rule decides, what the backend is told. No request is sent and nobody is asked; what cannot "
     "be\n"
     "known without that is said to be so. Exit code 1 when no rule matches, the answer is one of "
     "the\n"
     "gateway's, or it cannot be known.\n\n"
     "  sluicectl explain GET http://shop.example.com/catalog\n"
     "  sluicectl explain POST http://shop.example.com/orders -H 'x-tenant: acme' -f manifests/\n"
     "  sluicectl explain GET http://shop.example.com/catalog --token @token.txt\n"
     "  sluicectl explain GET http://shop.example.com/ -H 'x-api-key: k1' -f manifests/ -o json\n",
     TAKES_FILE | TAKES_PROXY | TAKES_HEADERS | TAKES_CALLER | TAKES_CLUSTER, 2, CTL_TABLE,
     ctl_explain},
    {"render", "render -f FILE|DIR", "the objects that proxies would get",
     "Compiles the files and prints the model objects in order of their ids. Exit code 1 when a\n"
     "resource is refused.\n\n"
     "  sluicectl render -f manifests/\n"
     "  sluicectl render -f shop.yaml -o yaml\n",
     TAKES_FILE | NEEDS_FILE, 0, CTL_JSON, ctl_render},
    {"validate", "validate -f FILE|DIR", "every refusal and warning, with file and line",
     "Reads and compiles the files as the controller would. Exit code 1 when something is "
     "refused;\n"
     "warnings alone are 0.\n\n"
     "  sluicectl validate -f manifests/\n"
     "  sluicectl validate -f manifests/ -o json\n",
     TAKES_FILE | NEEDS_FILE, 0, CTL_TABLE, ctl_validate},
    {"cost",
     "cost [--for TIME | --prometheus URL [--over TIME]] [-n NAMESPACE | --proxy HOST:PORT|POD]",
     "what each route and team costs a month",
     "Of every proxy: requests, CPU time, traffic and memory of each route, and what a month of "
     "it\n"
     "costs, the dearest first; then the same by team (label sluice.dev/team of the object, else "
     "of\n"
     "its Namespace). Since the proxies began, for a time from now on, or from a Prometheus. CPU "
     "time\n"
     "is what the workers have used, divided by the work they did for each route; memory, and "
     "what\n"
     "is used beside it, are divided likewise.\n\n"
     "  sluicectl cost\n"
     "  sluicectl cost --for 60s --core-hour 0.035 --currency USD\n"
     "  sluicectl cost --prometheus http://127.0.0.1:9090 --over 30d\n"
     "  sluicectl cost -n sluice -o json | jq -r '.teams[] | [.team, .month] | @tsv'\n",
     TAKES_PROXY | TAKES_CLUSTER | TAKES_PRICES, 0, CTL_TABLE, ctl_cost},
    {"crds", "crds [-d DIR]", "the CustomResourceDefinitions of this version",
     "Prints the definitions of our kinds for a Kubernetes API server, or writes one file for "
     "each\n"
     "into a directory. Apply those of a new version before its controller starts: it names the\n"
     "ones that are older than itself in /ready, in its log and in `sluicectl status`.\n\n"
     "  sluicectl crds | kubectl apply --server-side -f -\n"
     "  sluicectl crds -d crds/ && kubectl apply --server-side -f crds/\n",
     TAKES_DIRECTORY, 0, CTL_YAML, ctl_crds},
    {"import",
     "import kong FILE [-n NAMESPACE] [--class NAME] [--gateway-config NAME] [-d DIR] [-o FORMAT]",
     "Kong's declarative file as our resources",
     "Reads what `deck gateway dump` writes (YAML or JSON, formats 1.1, 2.1 and 3.0) and prints\n"
     "Routes, policies, Consumers, Services and Secrets as YAML, or writes "
     "DIR/NAMESPACE/KIND.yaml.\n"
     "On standard error is the list of what is not as it was, in the format of -o. Whatever "
     "restricts\n"
     "access and cannot be translated is closed (503) and stands first. Exit code 1 when there is "
     "more\n"
     "than notes.\n\n"
     "  sluicectl import kong kong.yaml -n shop > shop.yaml\n"
     "  sluicectl import kong kong.yaml -n shop --class sluice --gateway-config main -d "
     "manifests/\n"
     "  sluicectl import kong kong.yaml -o json 2> list.json > shop.yaml\n",
     TAKES_DIRECTORY | TAKES_NAMESPACE | TAKES_CLASS, 2, CTL_TABLE, ctl_import},
    {"bench", "bench URL [--rate N|max] [--duration TIME] [-H 'Name: value'] [options]",
     "load against a URL, and how much of it is too much",
     "Sends requests at fixed times, whether or not earlier ones were answered, and counts latency "
     "from\n"
     "when each was due. Finds the highest rate that keeps an objective (--find-knee), and how it "
     "grows\n"
     "with the number of pods or workers (--scale). Exit code 1 when more than 0.1 % fail (errors, "
     "5xx,\n"
     "429), less than 97 % of the requests could be sent in time, p99 is above --objective, or no "
     "rate\n"
     "is kept.\n\n"
     "  sluicectl bench http://shop.example.com/catalog --rate 1000 --duration 30s\n"
     "  sluicectl bench https://shop.example.com/ --http2 --connections 8 --streams 32 --rate max\n"
     "  sluicectl bench http://127.0.0.1:8080/ -H 'Host: shop.example.com' --requests mix.txt\n"
     "  sluicectl bench http://10.0.0.7/ --replay access.log --replay-times\n"
     "  sluicectl bench http://shop.example.com/ --find-knee --objective 20ms --plot knee.svg\n"
     "  sluicectl bench http://shop.example.com/ --scale 1,2,4 --target 50000 \\\n"
     "      --scale-deployment sluice/sluice-proxy\n",
     TAKES_LOAD | TAKES_HEADERS | TAKES_CLUSTER, 1, CTL_TABLE, ctl_bench},
    {"diff",
     "diff [REVISION [REVISION]] [-f FILE|DIR [-f FILE|DIR]] [-n NAMESPACE | --controller "
     "HOST:PORT|POD]",
     "which hosts, rules and policies a change moves",
     "What would be different if these files were applied: they are compiled over the resources of "
     "a\n"
     "running controller, with its own code. With two -f the second is compared with the first, "
     "offline.\n"
     "With a revision (see sluicectl history): what has moved since, or between two of them. What "
     "is "
     "in\n"
     "Secrets is not compared. Exit code 1 when something is different.\n\n"
     "  sluicectl diff -f shop.yaml\n"
     "  sluicectl diff -f old/ -f new/ -o json\n"
     "  sluicectl diff 3fb2c1d0\n",
     TAKES_FILE | TAKES_SECOND | TAKES_CONTROLLER | TAKES_CLUSTER | TWO_WORDS_MORE, 0, CTL_TABLE,
     ctl_diff},
    {"history", "history [REVISION] [-n NAMESPACE | --controller HOST:PORT|POD]",
     "the last revisions: when, who, what moved",
     "The last 20 revisions of what users wrote, newest first: how old, which resources caused it "
     "and\n"
     "who changed them last (the field manager that Kubernetes noted, or the file), what moved, "
     "and "
     "how\n"
     "many ready proxies serve it. With a revision: all of it. Pods that come and go, certificates "
     "and\n"
     "keys that rotate make no revision.\n\n"
     "  sluicectl history\n"
     "  sluicectl history 3fb2c1d0\n"
     "  sluicectl history -o json | jq -r '.revisions[] | select(.pinned) | .revision'\n",
     TAKES_CONTROLLER | TAKES_CLUSTER | ONE_WORD_MORE, 0, CTL_TABLE, ctl_history},
    {"rollback",
     "rollback REVISION [--reason TEXT] [--dry-run] [--yes] [-n NAMESPACE | --controller "
     "HOST:PORT|POD]",
     "pins the fleet to a revision, until resume",
     "Shows what will move and asks. Then proxies serve what users had written in that revision, "
     "and\n"
     "what is written from now on is held back, until sluicectl resume. Endpoints, certificates, "
     "keys,\n"
     "Secrets, Consumers and grants stay as they are now: a credential that was taken away does "
     "not "
     "come\n"
     "back. The pin is a ConfigMap that your own kubectl writes, so RBAC decides who may; of a\n"
     "controller on a directory it is a file in it. Exit code 1 when it is refused or cannot be "
     "served\n"
     "whole.\n\n"
     "  sluicectl rollback 3fb2c1d0 --dry-run\n"
     "  sluicectl rollback 3fb2c1d0 --reason 'checkout answers 503'\n"
     "  kubectl sluice rollback 3fb2c1d0 -n sluice --yes\n",
     TAKES_CONTROLLER | TAKES_CLUSTER | TAKES_PIN, 1, CTL_TABLE, ctl_rollback},
    {"resume", "resume [--dry-run] [--yes] [-n NAMESPACE | --controller HOST:PORT|POD]",
     "ends a rollback: what the resources say counts",
     "Shows which resources are held back and asks; then the fleet serves what they say. Exit code "
     "1\n"
     "when the fleet is not pinned.\n\n"
     "  sluicectl resume\n"
     "  sluicectl resume --yes\n",
     TAKES_CONTROLLER | TAKES_CLUSTER | TAKES_PIN, 0, CTL_TABLE, ctl_resume},
    {"completion", "completion bash|zsh|fish", "what a shell needs to complete words and options",
     "Prints a script for that shell. `make install` puts it where the shell looks for it. For\n"
     "`kubectl sluice` a link to sluicectl named kubectl_complete-sluice on the PATH is enough.\n\n"
     "  source <(sluicectl completion bash)\n"
     "  sluicectl completion zsh > ~/.zsh/_sluicectl\n"
     "  sluicectl completion fish > ~/.config/fish/completions/sluicectl.fish\n",
     0, 1, CTL_TABLE, ctl_completion},
    {"man", "man", "the manual page",
     "Prints sluicectl(1), made of the same tables as this help. `make install` installs it.\n\n"
     "  sluicectl man | man -l -\n",
     0, 0, CTL_TABLE, ctl_man},
};

enum {
    OPT_CONTROLLER = 256,
    OPT_PROXY,
    OPT_CONTEXT,
    OPT_KUBECONFIG,
    OPT_VERSION,
    OPT_CLASS,
    OPT_CONFIG,
    OPT_TOKEN,
    OPT_CLIENT,
    OPT_AT,
    OPT_ONCE,
    OPT_SORT,
    OPT_REASON,
    OPT_YES,
    OPT_DRY_RUN,
    OPT_FOR,
    OPT_OVER,
    OPT_PROMETHEUS,
    OPT_CORE_HOUR,
    OPT_GIB_HOUR,
    OPT_GIB_TRAFFIC,
    OPT_CURRENCY,
    OPT_BENCH /* and those behind it: SAID_RATE ... */
};

static const struct option_of options[] = {
    {OPT_AT, "at", "TIME", TAKES_CALLER,
     "judged as at that time: 2026-11-26T08:00:00Z, or seconds since 1970 (explain; default: now)"},
    {OPT_CLASS, "class", "NAME", TAKES_CLASS,
     "the IngressClass of Routes (import; default: the default class)"},
    {OPT_CLIENT, "client", "ADDRESS", TAKES_CALLER,
     "the client's address, for rules with cidrs (explain)"},
    {OPT_CORE_HOUR, "core-hour", "PRICE", TAKES_PRICES,
     "of a core for an hour (cost; default: 0.04)"},
    {OPT_CURRENCY, "currency", "WORD", TAKES_PRICES, "of all prices (cost; default: EUR)"},
    {'d', "directory", "DIR", TAKES_DIRECTORY, "where files are written (crds, import)"},
    {OPT_DRY_RUN, "dry-run", NULL, TAKES_PIN,
     "shows what would move and changes nothing (rollback, resume)"},
    {'f', "file", "FILE|DIR", TAKES_FILE,
     "resources as YAML or JSON; a directory with all below it (diff: two of them)"},
    {OPT_FOR, "for", "TIME", TAKES_PRICES,
     "what is used from now on, for 60s, 15m, 1h (cost; default: since the proxies began)"},
    {OPT_GIB_HOUR, "gib-hour", "PRICE", TAKES_PRICES,
     "of a GiB of memory for an hour (cost; default: 0.005)"},
    {OPT_GIB_TRAFFIC, "gib-traffic", "PRICE", TAKES_PRICES,
     "of a GiB from or to clients (cost; default: 0.05)"},
    {OPT_CONFIG, "gateway-config", "NAME", TAKES_CLASS,
     "writes that GatewayConfig and its IngressClass too (import)"},
    {OPT_ONCE, "once", NULL, TAKES_TOP, "one time, also on a terminal (top)"},
    {OPT_SORT, "sort", "rate|failures|p99|gateway|upstream", TAKES_TOP,
     "largest first (top; default: rate)"},
    {'H', "header", "'Name: value'", TAKES_HEADERS,
     "a request header (explain, bench; may be repeated)"},
    {'o', "output", "json|yaml|table", 0, "how it is printed"},
    {'n', "namespace", "NAMESPACE", TAKES_CLUSTER | TAKES_NAMESPACE,
     "where Sluice runs in the cluster (default: it is searched); where resources will be (import; "
     "default: default)"},
    {OPT_REASON, "reason", "TEXT", TAKES_PIN, "why; everybody is told (rollback)"},
    {OPT_YES, "yes", NULL, TAKES_PIN, "does not ask (rollback, resume)"},
    {OPT_OVER, "over", "TIME", TAKES_PRICES,
     "how far back a Prometheus is asked: 1h, 7d (cost; default: 30d)"},
    {OPT_PROMETHEUS, "prometheus", "URL", TAKES_PRICES,
     "asks it, and no proxy (cost): http://127.0.0.1:9090"},
    {OPT_TOKEN, "token", "TOKEN|@FILE|-", TAKES_CALLER,
     "a token, shown as Authorization: Bearer; of a file, or of standard input (explain)"},
    {OPT_CONTEXT, "context", "NAME", TAKES_CLUSTER, "as in kubectl"},
    {OPT_KUBECONFIG, "kubeconfig", "FILE", TAKES_CLUSTER, "as in kubectl"},
    {OPT_CONTROLLER, "controller", "WHERE", TAKES_CONTROLLER,
     "a controller: HOST:PORT of its admin port, or the name of a pod"},
    {OPT_PROXY, "proxy", "WHERE", TAKES_PROXY, "a proxy, likewise"},
    {'h', "help", NULL, 0, "help, also of one command"},
    {OPT_VERSION, "version", NULL, 0, "the version"},
#define OPTION(NAME, name, value, text) {OPT_BENCH + SAID_##NAME, name, value, TAKES_LOAD, text},
#include "ctl/bench.def"
#undef OPTION
};

const char *const bench_names[SAID_OPTIONS] = {
#define OPTION(NAME, name, value, text) name,
#include "ctl/bench.def"
#undef OPTION
};

enum { N_OPTIONS = ARRAY_LEN(options) };
_Static_assert(N_OPTIONS <= 64, "a bit for each in struct asked");

const char ctl_where[] =
    "Unless an option says otherwise, what listens on this machine is asked (127.0.0.1:7402,\n"
    "127.0.0.1:7502), else a ready pod of the cluster that kubectl is set up for. `kubectl "
    "sluice`\n"
    "always asks the cluster.\n";

const char *const ctl_exits[CTL_EXITS] = {[CTL_OK] = "all is well",
                                          [CTL_PROBLEMS] = "problems were found",
                                          [CTL_USAGE] = "wrong words or options",
                                          [CTL_UNREACHABLE] = "cannot reach"};

size_t ctl_commands(const struct command **all) {
    *all = commands;
    return ARRAY_LEN(commands);
}

size_t ctl_options(const struct option_of **all) {
    *all = options;
    return N_OPTIONS;
}

bool command_takes(const struct command *m, const struct option_of *o) {
    return o->takes == 0 || (m->takes & o->takes);
}

/* Of words, from the column at on; further lines begin there. */
static void wrapped(FILE *to, const char *text, int at) {
    enum { WIDTH = 100 };
    int column = at;
    for (const char *word = text; *word;) {
        int n = (int)strcspn(word, " ");
        if (column > at && column + 1 + n > WIDTH) {
            fprintf(to, "\n%*s", at, "");
            column = at;
        }
        column += fprintf(to, "%s%.*s", column > at ? " " : "", n, word);
        word += n + (word[n] == ' ');
    }
    fputc('\n', to);
}

/* Those that m takes; all for NULL, but for those of bench, which are many. */
static void help_options(FILE *to, const struct command *m) {
    fputs("options:\n", to);
    for (const struct option_of *o = options; o < options + N_OPTIONS; o++) {
        if (m ? !command_takes(m, o) : o->takes == TAKES_LOAD)
            continue;
        int at = o->letter < 256 ? fprintf(to, "  -%c, --%s", o->letter, o->name)
                                 : fprintf(to, "      --%s", o->name);
        at += o->value ? fprintf(to, " %s", o->value) : 0;
        fprintf(to, "%*s", at < 30 ? 31 - at : 1, "");
        wrapped(to, o->help, 31);
    }
    if (!m)
        fputs("\nbench has more: sluicectl bench --help\n", to);
    if (!m ||
        ((m->takes & (TAKES_CONTROLLER | TAKES_PROXY | TAKES_CLUSTER)) && !(m->takes & TAKES_LOAD)))
        fprintf(to, "\n%s", ctl_where);
    fputs("\nexit codes:", to);
    for (int i = 0; i < CTL_EXITS; i++)
        fprintf(to, "%s %d %s", i > 0 ? "," : "", i, ctl_exits[i]);
    fputc('\n', to);
}

static void help_all(FILE *to) {
    fputs("sluicectl: what Sluice serves, and why\n\nusage: sluicectl COMMAND [options]\n\n", to);
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        fprintf(to, "  %-11s %s\n", commands[i].name, commands[i].summary);
    fputc('\n', to);
    help_options(to, NULL);
}

static void help_one(FILE *to, const struct command *m) {
    fprintf(to, "usage: sluicectl %s\n\n%s\n", m->usage, m->help);
    help_options(to, m);
}

enum ctl_exit ctl_fail(struct ctl *c, enum ctl_exit code, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    fputs("sluicectl: ", c->err);
    vfprintf(c->err, fmt, args);
    fputc('\n', c->err);
    va_end(args);
    return code;
}

static const struct command *command_of(struct ctl *c, const char *name) {
    struct near near = near_to(str_of(name));
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
        near_try(&near, str_of(commands[i].name));
    }
    if (near.best.n > 0)
        ctl_fail(c, CTL_USAGE, "there is no command '%s'; do you mean '%.*s'?", name,
                 STR_FMT(near.best));
    else
        ctl_fail(c, CTL_USAGE, "there is no command '%s'; see sluicectl --help", name);
    return NULL;
}

static int format_of(struct ctl *c, const char *word) {
    static const char *const words[] = {
        [CTL_TABLE] = "table", [CTL_JSON] = "json", [CTL_YAML] = "yaml"};
    for (int i = 0; i < (int)ARRAY_LEN(words); i++)
        if (strcmp(words[i], word) == 0)
            return i;
    ctl_fail(c, CTL_USAGE, "-o is json, yaml or table, not '%s'", word);
    return -1;
}

/* What was said, and what of it is about the program itself. */
struct asked {
    bool help, version;
    int format;    /* -1: not said */
    uint64_t said; /* a bit for each of options */
};

/* What getopt_long() wants of the table. */
struct getopt_words {
    struct option longs[N_OPTIONS + 1];
    char shorts[2 * N_OPTIONS + 2];
};

static struct getopt_words getopt_words(void) {
    struct getopt_words w = {.shorts = ":"};
    char *p = w.shorts + 1;
    for (int i = 0; i < N_OPTIONS; i++) {
        const struct option_of *o = &options[i];
        w.longs[i] =
            (struct option){o->name, o->value ? required_argument : no_argument, NULL, o->letter};
        if (o->letter < 256) {
            *p++ = (char)o->letter;
            if (o->value)
                *p++ = ':';
        }
    }
    return w;
}

static bool wrong_option(struct ctl *c, char **argv, int option) {
    const char *word = argv[optind > 0 ? optind - 1 : 0];
    if (option == ':') {
        ctl_fail(c, CTL_USAGE, "%s needs a value; see sluicectl --help", word);
        return false;
    }
    struct near near = near_to(str_of(word[0] == '-' && word[1] == '-' ? word + 2 : ""));
    for (int i = 0; i < N_OPTIONS; i++)
        near_try(&near, str_of(options[i].name));
    if (near.best.n > 0)
        ctl_fail(c, CTL_USAGE, "there is no option %s; do you mean --%.*s?", word,
                 STR_FMT(near.best));
    else
        ctl_fail(c, CTL_USAGE, "there is no option %s; see sluicectl --help", word);
    return false;
}

static bool take_option(struct ctl *c, struct asked *a, int option, char **argv) {
    for (int i = 0; i < N_OPTIONS; i++)
        if (options[i].letter == option)
            a->said |= (uint64_t)1 << i;
    if (option >= OPT_BENCH && option < OPT_BENCH + SAID_OPTIONS) {
        c->bench[option - OPT_BENCH] = optarg ? optarg : "";
        return true;
    }
    switch (option) {
    case 'd':
        c->directory = optarg;
        return true;
    case 'f':
        *(c->file ? &c->second : &c->file) = optarg;
        return true;
    case OPT_REASON:
        c->reason = optarg;
        return true;
    case OPT_YES:
        c->yes = true;
        return true;
    case OPT_DRY_RUN:
        c->dry_run = true;
        return true;
    case 'H':
        if (c->n_headers == CTL_HEADERS_MAX) {
            ctl_fail(c, CTL_USAGE, "at most %d headers", CTL_HEADERS_MAX);
            return false;
        }
        c->headers[c->n_headers++] = optarg;
        return true;
    case 'o':
        a->format = format_of(c, optarg);
        return a->format >= 0;
    case OPT_CONTROLLER:
        c->controller = optarg;
        return true;
    case OPT_PROXY:
        c->proxy = optarg;
        return true;
    case 'n':
        c->namespace = optarg;
        return true;
    case OPT_CLASS:
        c->class = optarg;
        return true;
    case OPT_CONFIG:
        c->gateway_config = optarg;
        return true;
    case OPT_TOKEN:
        c->token = optarg;
        return true;
    case OPT_CLIENT:
        c->client = optarg;
        return true;
    case OPT_AT:
        c->at = optarg;
        return true;
    case OPT_ONCE:
        c->once = true;
        return true;
    case OPT_SORT:
        c->sort = optarg;
        return true;
    case OPT_FOR:
        c->period = optarg;
        return true;
    case OPT_OVER:
        c->over = optarg;
        return true;
    case OPT_PROMETHEUS:
        c->prometheus = optarg;
        return true;
    case OPT_CORE_HOUR:
        c->core_hour = optarg;
        return true;
    case OPT_GIB_HOUR:
        c->gib_hour = optarg;
        return true;
    case OPT_GIB_TRAFFIC:
        c->gib_traffic = optarg;
        return true;
    case OPT_CURRENCY:
        c->currency = optarg;
        return true;
    case OPT_CONTEXT:
        c->context = optarg;
        return true;
    case OPT_KUBECONFIG:
        c->kubeconfig = optarg;
        return true;
    case 'h':
        a->help = true;
        return true;
    case OPT_VERSION:
        a->version = true;
        return true;
    default:
        return wrong_option(c, argv, option);
    }
}

static int words_more(const struct command *m) {
    return m->takes & TWO_WORDS_MORE ? 2 : m->takes & ONE_WORD_MORE ? 1 : 0;
}

static bool fits(struct ctl *c, const struct command *m, uint64_t said) {
    for (int i = 0; i < N_OPTIONS; i++) {
        const struct option_of *o = &options[i];
        if (!(said >> i & 1) || command_takes(m, o))
            continue;
        char letter[] = {(char)o->letter, '\0'};
        ctl_fail(c, CTL_USAGE, "%s takes no -%s%s; usage: sluicectl %s", m->name,
                 o->letter < 256 ? "" : "-", o->letter < 256 ? letter : o->name, m->usage);
        return false;
    }
    if ((m->takes & NEEDS_FILE) && !c->file)
        ctl_fail(c, CTL_USAGE, "%s needs -f FILE or -f DIR; usage: sluicectl %s", m->name,
                 m->usage);
    else if (c->second && !(m->takes & TAKES_SECOND))
        ctl_fail(c, CTL_USAGE, "%s takes one -f; usage: sluicectl %s", m->name, m->usage);
    else if (c->file && !(m->takes & TAKES_SECOND) &&
             (c->proxy || c->namespace || c->context || c->kubeconfig))
        ctl_fail(c, CTL_USAGE, "-f and %s are two sources; say one",
                 c->proxy ? "--proxy" : "a cluster");
    else if (c->n_words < m->words || c->n_words > m->words + words_more(m))
        ctl_fail(c, CTL_USAGE, "usage: sluicectl %s", m->usage);
    else
        return true;
    return false;
}

enum ctl_exit ctl_main(int argc, char **argv, FILE *out, FILE *err) {
    struct ctl c = {.out = out, .err = err, .colour = isatty(fileno(out)) && !getenv("NO_COLOR")};
    struct asked asked = {.format = -1};
    c.in_cluster = argc > 0 && str_ends(str_of(argv[0]), STR("kubectl-sluice"));
    if (complete_asked(argc, argv))
        return complete(argc, argv, out);
    struct getopt_words w = getopt_words();
    optind = 0; /* start anew */
    for (int o; (o = getopt_long(argc, argv, w.shorts, w.longs, NULL)) != -1;)
        if (!take_option(&c, &asked, o, argv))
            return CTL_USAGE;
    if (asked.version) {
        fprintf(out, "sluicectl %s\n", sluice_version);
        return CTL_OK;
    }
    if (optind == argc) {
        help_all(asked.help ? out : err);
        return asked.help ? CTL_OK : CTL_USAGE;
    }
    const struct command *m = command_of(&c, argv[optind]);
    if (!m)
        return CTL_USAGE;
    if (asked.help) {
        help_one(out, m);
        return CTL_OK;
    }
    c.words = argv + optind + 1;
    c.n_words = argc - optind - 1;
    c.format = asked.format >= 0 ? (enum ctl_format)asked.format : m->format;
    return fits(&c, m, asked.said) ? m->run(&c) : CTL_USAGE;
}
