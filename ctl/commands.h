/* SPDX-License-Identifier: Apache-2.0
 *
 * commands: the two tables of run.c, for who prints them: help, the manual page, the completion of
 * shells.
 */
#ifndef SLUICE_CTL_COMMANDS_H
#define SLUICE_CTL_COMMANDS_H

#include "ctl/ctl.h"

/* What of a command an option is for. */
enum {
    TAKES_FILE = 1,
    NEEDS_FILE = 2,
    TAKES_PROXY = 4,
    TAKES_CONTROLLER = 8,
    TAKES_HEADERS = 16,
    TAKES_DIRECTORY = 32,
    TAKES_CLUSTER = 64,
    TAKES_NAMESPACE = 128, /* comes with a cluster */
    TAKES_CLASS = 256,
    TAKES_CALLER = 512,
    TAKES_TOP = 1024,
    TAKES_LOAD = 2048, /* the options of bench.def */
    TAKES_PRICES = 4096,
    TAKES_SECOND = 1 << 20, /* a second -f */
    TAKES_PIN = 1 << 21,
    ONE_WORD_MORE = 1 << 22, /* may follow */
    TWO_WORDS_MORE = 1 << 23,
};

struct command {
    /* usage: "name WORD... [options]"; a WORD is one of "a|b", "FILE", "DIR", or else anybody's
     * guess. help: text whose lines are broken at 100, an empty line, and examples that are
     * indented by two. */
    const char *name, *usage, *summary, *help;
    unsigned takes;
    int words; /* exactly so many, but for those that may follow */
    enum ctl_format format;
    enum ctl_exit (*run)(struct ctl *c);
};

struct option_of {
    int letter; /* of "-f"; from 256 on there is none */
    const char *name;
    const char *value; /* "FILE", "DIR" and "a|b" are completed; NULL: it has none */
    unsigned takes;    /* some of TAKES_; 0: every command takes it */
    const char *help;
};

size_t ctl_commands(const struct command **all);
size_t ctl_options(const struct option_of **all);
bool command_takes(const struct command *m, const struct option_of *o);

extern const char ctl_where[];                 /* who is asked; ends with a line's end */
extern const char *const ctl_exits[CTL_EXITS]; /* what each exit code means */

/* ---- completion ---- */

/* Whether a shell asks how words go on: `sluicectl __complete WORD...`, or kubectl for its plug-in.
 * The last word is the one that is being written, and may be empty. */
bool complete_asked(int argc, char **argv);
/* One "word<TAB>what it is" a line, and at the end ":N", where N is 4: that is all, 0: or a file,
 * 16: or a directory. (kubectl reads this form, see
 * https://kubernetes.io/docs/tasks/extend-kubectl/kubectl-plugins/.) */
enum ctl_exit complete(int argc, char **argv, FILE *out);

#endif
