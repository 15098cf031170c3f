#include <ctype.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "cli/command.h"

enum { OPTION_LIMIT = 64 };

struct parser {
    const struct sb_command *command;
    const struct sb_option *own;
    struct sb_option common[4];
    int argc, at;
    char **argv;
    struct sb_error *err;
};

static const struct sb_option *next_option(const struct parser *p, size_t *i) {
    size_t own = 0;
    while (p->own[own].name)
        own++;
    size_t n = (*i)++;
    if (n < own)
        return &p->own[n];
    return n - own < 3 ? &p->common[n - own] : NULL;
}

static const struct sb_option *find_option(const struct parser *p, const char *name, size_t len) {
    size_t i = 0;
    for (const struct sb_option *o; (o = next_option(p, &i));)
        if (strlen(o->name) == len && !strncmp(o->name, name, len))
            return o;
    return NULL;
}

static const struct sb_option *find_letter(const struct parser *p, char letter) {
    size_t i = 0;
    for (const struct sb_option *o; (o = next_option(p, &i));)
        if (o->letter == letter)
            return o;
    return NULL;
}

static int unknown_option(const struct parser *p, const char *text) {
    const char *names[OPTION_LIMIT] = {0};
    size_t i = 0, n = 0;
    for (const struct sb_option *o; (o = next_option(p, &i)) && n + 1 < OPTION_LIMIT;)
        names[n++] = o->name;
    sb_fail(p->err, SB_E_USAGE, "%s: unknown option %s", p->command->name, text);
    sb_autofree char *bare = sb_strndup(text + strspn(text, "-"), strcspn(text, "="));
    const char *near = sb_text_nearest(bare, names);
    if (near)
        return sb_error_hint(p->err, "did you mean --%s?", near);
    return sb_error_hint(p->err, "see sbuild %s --help", p->command->name);
}

/* Mostly a variable of a script that isn't set. */
static int refuse_empty(const struct parser *p, const struct sb_option *o) {
    sb_fail(p->err, SB_E_USAGE, "%s: the value of --%s is empty", p->command->name, o->name);
    return sb_error_hint(p->err,
                         "leave the option out where there is nothing to say, as in "
                         "${NAME:+--%s \"$NAME\"}",
                         o->name);
}

static int apply(struct parser *p, const struct sb_option *o, const char *value) {
    if (o->flag && (!value || !o->list)) {
        if (value)
            return sb_fail(p->err, SB_E_USAGE, "%s: --%s takes no value", p->command->name,
                           o->name);
        *o->flag = true;
        return 0;
    }
    if (!value && p->at + 1 < p->argc)
        value = p->argv[++p->at];
    if (!value)
        return sb_fail(p->err, SB_E_USAGE, "%s: --%s needs a value", p->command->name, o->name);
    if (!*value)
        return refuse_empty(p, o);
    if (o->text)
        *o->text = value;
    else
        sb_strings_add(o->list, value);
    return 0;
}

static int parse_one(struct parser *p, const char *text) {
    if (text[1] != '-') { /* -j4, -j 4, -q */
        const struct sb_option *o = find_letter(p, text[1]);
        return o ? apply(p, o, text[2] ? text + 2 + (text[2] == '=') : NULL)
                 : unknown_option(p, text);
    }
    const char *name = text + 2, *equals = strchr(name, '=');
    const struct sb_option *o =
        find_option(p, name, equals ? (size_t)(equals - name) : strlen(name));
    return o ? apply(p, o, equals ? equals + 1 : NULL) : unknown_option(p, text);
}

/* no_subject: NULL when options may stand anywhere. */
static int parse(const struct sb_command *command, int argc, char **argv,
                 const struct sb_option *options, const bool *no_subject, struct sb_common *common,
                 const char **arguments, size_t *argument_count, struct sb_error *err) {
    bool help = false;
    struct parser p = {.command = command,
                       .own = options,
                       .common = {{.name = "store", .text = &common->store},
                                  {.name = "json", .flag = &common->json},
                                  {.name = "help", .letter = 'h', .flag = &help}},
                       .argc = argc,
                       .argv = argv,
                       .err = err};
    bool only_arguments = false;
    *argument_count = 0;
    for (p.at = 1; p.at < argc; p.at++) {
        const char *text = argv[p.at];
        if (only_arguments || text[0] != '-' || !text[1]) {
            arguments[(*argument_count)++] = text;
            only_arguments |= no_subject && *argument_count > !*no_subject;
        } else if (!strcmp(text, "--")) {
            only_arguments = true;
        } else if (parse_one(&p, text) < 0) {
            return -1;
        }
        if (help)
            break;
    }
    if (!help)
        return 0;
    sb_cli_print("usage: sbuild %s %s\n\n%s\n\n%s", command->name, command->arguments,
                 command->summary, command->help);
    return 1;
}

int sb_options_parse(const struct sb_command *command, int argc, char **argv,
                     const struct sb_option *options, struct sb_common *common,
                     const char **arguments, size_t *argument_count, struct sb_error *err) {
    return parse(command, argc, argv, options, NULL, common, arguments, argument_count, err);
}

int sb_options_parse_program(const struct sb_command *command, int argc, char **argv,
                             const struct sb_option *options, const bool *no_subject,
                             struct sb_common *common, const char **arguments,
                             size_t *argument_count, struct sb_error *err) {
    return parse(command, argc, argv, options, no_subject, common, arguments, argument_count, err);
}

int sb_options_count(const struct sb_command *command, size_t count, size_t least, size_t most,
                     struct sb_error *err) {
    if (count >= least && count <= most)
        return 0;
    sb_fail(err, SB_E_USAGE, "%s: %s", command->name,
            count < least ? "an argument is missing" : "too many arguments");
    return sb_error_hint(err, "usage: sbuild %s %s", command->name, command->arguments);
}

int sb_cli_parse_age(const char *command, const char *text, uint64_t *out_seconds,
                     struct sb_error *err) {
    if (!sb_text_parse_duration(text, out_seconds))
        sb_fail(err, SB_E_USAGE, "%s: --older-than %s is not a duration", command,
                sb_text_shown(text).text);
    else if (*out_seconds > 0 && isdigit((unsigned char)text[strlen(text) - 1]))
        sb_fail(err, SB_E_USAGE, "%s: --older-than %s has no unit", command,
                sb_text_shown(text).text);
    else
        return 0;
    return sb_error_hint(err, "write it as in 30d, 12h or 1d12h");
}
