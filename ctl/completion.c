/* SPDX-License-Identifier: Apache-2.0
 *
 * Completion. The scripts of the shells are short: they ask `sluicectl __complete` what may come,
 * so that they never know less than the program.
 */
#include "ctl/commands.h"
#include "lib/str.h"

#include <string.h>

/* ---- what may come ---- */

enum { FILES = 0, NOTHING_ELSE = 4, DIRECTORIES = 16 };

struct completing {
    FILE *out;
    struct str prefix; /* of every candidate: "--output=" */
    struct str begun;
    int then;
};

static void offer(const struct completing *c, struct str word, const char *what) {
    if (str_starts(word, c->begun))
        fprintf(c->out, "%.*s%.*s\t%s\n", STR_FMT(c->prefix), STR_FMT(word), what);
}

static bool is_choice(struct str word) {
    return word.n > 0 && word.p[0] >= 'a' && word.p[0] <= 'z';
}

/* Of "a|b", "FILE", "DIR", "FILE|DIR" or what cannot be known. */
static void offer_value(struct completing *c, struct str value, const char *what) {
    while (value.n > 0) {
        struct str one = value;
        const char *bar = memchr(value.p, '|', value.n);
        one.n = bar ? (size_t)(bar - value.p) : value.n;
        value = str_skip(value, bar ? one.n + 1 : one.n);
        if (is_choice(one))
            offer(c, one, what);
        else if (str_eq(one, STR("FILE")))
            c->then = FILES;
        else if (str_eq(one, STR("DIR")) && c->then == NOTHING_ELSE)
            c->then = DIRECTORIES;
    }
}

static void offer_commands(const struct completing *c) {
    const struct command *all;
    size_t n = ctl_commands(&all);
    for (size_t i = 0; i < n; i++)
        offer(c, str_of(all[i].name), all[i].summary);
}

static void offer_options(const struct completing *c, const struct command *m) {
    const struct option_of *all;
    size_t n = ctl_options(&all);
    for (size_t i = 0; i < n; i++) {
        if (m && !command_takes(m, &all[i]))
            continue;
        char word[64];
        snprintf(word, sizeof word, "--%s", all[i].name);
        offer(c, str_of(word), all[i].help);
        snprintf(word, sizeof word, "-%c", all[i].letter);
        if (all[i].letter < 256)
            offer(c, str_of(word), all[i].help);
    }
}

/* The word of a usage at that place behind the name; options come behind the last. */
static void offer_word(struct completing *c, const struct command *m, int place) {
    const char *p = m->usage;
    for (int i = 0; i <= place && *p; i++) {
        p += strcspn(p, " ");
        p += strspn(p, " ");
    }
    if (*p != '[' && *p != '-')
        offer_value(c, (struct str){p, strcspn(p, " ")}, m->summary);
}

/* ---- what is there already ---- */

static const struct command *command_named(struct str name) {
    const struct command *all;
    size_t n = ctl_commands(&all);
    for (size_t i = 0; i < n; i++)
        if (str_eq(str_of(all[i].name), name))
            return &all[i];
    return NULL;
}

/* Of "--output", "--output=json", "-o" or "-ojson"; *value is behind the name, NULL if the word
 * ends there. */
static const struct option_of *option_in(const char *word, const char **value) {
    const struct option_of *all;
    size_t n = ctl_options(&all);
    bool is_long = word[1] == '-';
    size_t len = is_long ? strcspn(word, "=") : 2;
    for (size_t i = 0; i < n; i++) {
        const struct option_of *o = &all[i];
        bool same = is_long ? str_eq((struct str){word + 2, len - 2}, str_of(o->name))
                            : o->letter == word[1];
        if (!same)
            continue;
        *value = word[len] ? word + len + (is_long ? 1 : 0) : NULL;
        return o;
    }
    return NULL;
}

struct written {
    const struct command *command;
    int words;                       /* behind the command */
    const struct option_of *waiting; /* for its value */
};

static void take_word(struct written *w, const char *word) {
    if (w->waiting) {
        if (strcmp(word, "=") != 0) /* bash splits --output=json in three */
            w->waiting = NULL;
        return;
    }
    const char *value;
    if (word[0] == '-' && word[1]) {
        const struct option_of *o = option_in(word, &value);
        w->waiting = o && o->value && !value ? o : NULL;
    } else if (!w->command)
        w->command = command_named(str_of(word));
    else
        w->words++;
}

static void offer_all(struct completing *c, const struct written *w, const char *last) {
    const char *value = NULL;
    const struct option_of *o = last[0] == '-' && last[1] ? option_in(last, &value) : NULL;
    if (w->waiting) {
        c->begun = str_of(strcmp(last, "=") == 0 ? "" : last);
        offer_value(c, str_of(w->waiting->value), w->waiting->help);
    } else if (o && o->value && value) {
        c->prefix = (struct str){last, (size_t)(value - last)};
        c->begun = str_of(value);
        offer_value(c, str_of(o->value), o->help);
    } else if (last[0] == '-')
        offer_options(c, w->command);
    else if (!w->command)
        offer_commands(c);
    else
        offer_word(c, w->command, w->words);
}

static bool by_kubectl(char **argv) {
    return str_ends(str_of(argv[0]), STR("kubectl_complete-sluice"));
}

bool complete_asked(int argc, char **argv) {
    return argc > 0 && (by_kubectl(argv) || (argc > 1 && strcmp(argv[1], "__complete") == 0));
}

enum ctl_exit complete(int argc, char **argv, FILE *out) {
    struct written w = {0};
    int first = by_kubectl(argv) ? 1 : 2;
    for (int i = first; i < argc - 1; i++)
        take_word(&w, argv[i]);
    const char *last = argc > first ? argv[argc - 1] : "";
    struct completing c = {.out = out, .begun = str_of(last), .then = NOTHING_ELSE};
    offer_all(&c, &w, last);
    fprintf(out, ":%d\n", c.then);
    return CTL_OK;
}

/* ---- the scripts ---- */

static const struct {
    const char *shell, *script;
} scripts[] = {
    {"bash", "_sluicectl() {\n"
             "    local line then=4 begun=${COMP_WORDS[COMP_CWORD]}\n"
             "    COMPREPLY=()\n"
             "    [[ $begun != '=' ]] || begun=\n"
             "    while IFS= read -r line; do\n"
             "        case $line in\n"
             "        :*) then=${line#:} ;;\n"
             "        *) COMPREPLY+=(\"${line%%$'\\t'*}\") ;;\n"
             "        esac\n"
             "    done < <(\"${COMP_WORDS[0]/#\\~/$HOME}\" __complete "
             "\"${COMP_WORDS[@]:1:COMP_CWORD}\" 2>/dev/null)\n"
             "    case $then in\n"
             "    0) mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -f -- \"$begun\") ;;\n"
             "    16) mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -d -- \"$begun\") ;;\n"
             "    *) return ;;\n"
             "    esac\n"
             "    compopt -o filenames 2>/dev/null\n"
             "}\n"
             "complete -F _sluicectl sluicectl\n"},
    {"zsh", "#compdef sluicectl\n"
            "_sluicectl() {\n"
            "    local line then=4\n"
            "    local -a offered\n"
            "    for line in \"${(@f)$(${(Q)words[1]} __complete \"${(@)words[2,CURRENT]}\" "
            "2>/dev/null)}\"; do\n"
            "        case $line in\n"
            "        :*) then=${line#:} ;;\n"
            "        ?*) offered+=(\"${${line%%$'\\t'*}//:/\\\\:}:${line#*$'\\t'}\") ;;\n"
            "        esac\n"
            "    done\n"
            "    (( ! $#offered )) || _describe sluicectl offered\n"
            "    case $then in\n"
            "    0) compset -P '*='; _files ;;\n"
            "    16) compset -P '*='; _files -/ ;;\n"
            "    esac\n"
            "}\n"
            "if [[ ${funcstack[1]-} = _sluicectl ]]; then\n"
            "    _sluicectl \"$@\"\n"
            "else\n"
            "    compdef _sluicectl sluicectl\n"
            "fi\n"},
    {"fish", "function __sluicectl_complete\n"
             "    set -l words (commandline -opc) (commandline -ct)\n"
             "    set -l offered (command $words[1] __complete $words[2..-1] 2>/dev/null)\n"
             "    or return\n"
             "    printf '%s\\n' $offered[1..-2]\n"
             "    switch $offered[-1]\n"
             "        case :0\n"
             "            __fish_complete_path (commandline -ct)\n"
             "        case :16\n"
             "            __fish_complete_directories (commandline -ct)\n"
             "    end\n"
             "end\n"
             "complete -c sluicectl -f -a '(__sluicectl_complete)'\n"},
};

enum ctl_exit ctl_completion(struct ctl *c) {
    for (size_t i = 0; i < ARRAY_LEN(scripts); i++)
        if (strcmp(scripts[i].shell, c->words[0]) == 0) {
            fputs(scripts[i].script, c->out);
            return CTL_OK;
        }
    return ctl_fail(c, CTL_USAGE, "completion is for bash, zsh or fish, not for '%s'", c->words[0]);
}
