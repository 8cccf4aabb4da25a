/* SPDX-License-Identifier: Apache-2.0
 *
 * The manual page, in the man(7) macros that groff and mandoc know.
 */
#include "ctl/commands.h"

#include <string.h>

/* Text that roff takes as it is; at the beginning of a line, if it is one. */
static void plain(FILE *to, const char *text, size_t n) {
    if (n > 0 && (*text == '.' || *text == '\''))
        fputs("\\&", to);
    for (size_t i = 0; i < n; i++)
        switch (text[i]) {
        case '\\':
            fputs("\\e", to);
            break;
        case '-':
            fputs("\\-", to);
            break;
        case '\'':
            fputs("\\(aq", to);
            break;
        case '`':
            fputs("\\(ga", to);
            break;
        case '~':
            fputs("\\(ti", to);
            break;
        case '^':
            fputs("\\(ha", to);
            break;
        default:
            fputc(text[i], to);
        }
}

static void line(FILE *to, const char *text) {
    plain(to, text, strlen(text));
    fputc('\n', to);
}

/* Lines; what is indented by two is an example, and kept as it is. */
static void paragraphs(FILE *to, const char *text) {
    bool example = false;
    for (size_t n; *text; text += n + (text[n] == '\n')) {
        n = strcspn(text, "\n");
        bool indented = strncmp(text, "  ", 2) == 0;
        if (indented != example)
            fputs(indented ? ".PP\n.EX\n" : ".EE\n", to);
        example = indented;
        if (n > 0) {
            plain(to, text, n);
            fputc('\n', to);
        } else if (text[1] && strncmp(text + 1, "  ", 2) != 0)
            fputs(".PP\n", to);
    }
    if (example)
        fputs(".EE\n", to);
}

static void option(FILE *to, const struct option_of *o) {
    fputs(".TP\n", to);
    if (o->letter < 256)
        fprintf(to, "\\fB\\-%c\\fR, ", o->letter);
    fputs("\\fB\\-\\-", to);
    plain(to, o->name, strlen(o->name));
    fputs("\\fR", to);
    if (o->value) {
        fputs(" \\fI", to);
        plain(to, o->value, strlen(o->value));
        fputs("\\fR", to);
    }
    fputc('\n', to);
    line(to, o->help);
}

static void command(FILE *to, const struct command *m) {
    fputs(".SS ", to);
    line(to, m->name);
    fputs(".B sluicectl ", to);
    line(to, m->usage);
    fputs(".PP\n", to);
    paragraphs(to, m->help);
}

enum ctl_exit ctl_man(struct ctl *c) {
    const struct command *commands;
    const struct option_of *options;
    size_t n_commands = ctl_commands(&commands), n_options = ctl_options(&options);
    fprintf(c->out, ".TH SLUICECTL 1 \"\" \"Sluice %s\" \"User Commands\"\n", sluice_version);
    fputs(".SH NAME\nsluicectl \\- what Sluice serves, and why\n"
          ".SH SYNOPSIS\n.B sluicectl\n.I command\n.RI [ options ]\n.br\n"
          ".B kubectl sluice\n.I command\n.RI [ options ]\n.SH DESCRIPTION\n",
          c->out);
    paragraphs(c->out, ctl_where);
    fputs(".SH COMMANDS\n", c->out);
    for (size_t i = 0; i < n_commands; i++)
        command(c->out, &commands[i]);
    fputs(".SH OPTIONS\n", c->out);
    for (size_t i = 0; i < n_options; i++)
        option(c->out, &options[i]);
    fputs(".SH EXIT STATUS\n", c->out);
    for (int i = 0; i < CTL_EXITS; i++)
        fprintf(c->out, ".TP\n.B %d\n%s\n", i, ctl_exits[i]);
    fputs(".SH ENVIRONMENT\n.TP\n.B NO_COLOR\nno colour, on a terminal too\n"
          ".TP\n.B KUBECONFIG\nas in kubectl, which is run to reach a cluster\n"
          ".SH SEE ALSO\n.BR kubectl (1)\n",
          c->out);
    return CTL_OK;
}
