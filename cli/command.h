/*
 * cli: the command line. One thin file for each command, one row for it in the table in cli/main.c.
 *
 * A command parses its options with sb_options_parse, calls the rooms below, prints facts on
 * stdout, and returns 0 or -1 with an error; main prints the error and turns its code into the exit
 * status. Nothing but cli/ prints.
 */
#ifndef SB_CLI_COMMAND_H
#define SB_CLI_COMMAND_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"
#include "base/error.h"
#include "document/settings.h"
#include "layers/store.h"

struct sb_command {
    const char *name;
    const char *arguments; /* "RECIPE…" */
    const char *summary;   /* one line, for `sbuild --help` */
    const char *help;      /* what it does, options and examples, for `sbuild NAME --help` */
    int (*run)(int argc, char **argv, struct sb_error *err); /* argv[0] is the command's name. -1
                                                                and err, or an exit status */
    int own_failures; /* what it exits with when it fails itself; 0: by the error's code */
};

extern const struct sb_command sb_command_build, sb_command_bundle, sb_command_plan,
    sb_command_images, sb_command_inspect, sb_command_ls, sb_command_diff, sb_command_tag,
    sb_command_export, sb_command_prune, sb_command_install, sb_command_rollback, sb_command_status,
    sb_command_uninstall, sb_command_lock, sb_command_push, sb_command_pull, sb_command_login,
    sb_command_logout, sb_command_cache, sb_command_run, sb_command_index;

/* ---- options ---- */

struct sb_option {
    const char *name; /* "no-cache", without dashes */
    char letter;      /* 'j', or 0 */
    /* One of: */
    bool *flag;              /* set to true; with a list, --name=VALUE adds to that instead */
    const char **text;       /* --name VALUE or --name=VALUE; belongs to argv */
    struct sb_strings *list; /* may be given many times */
};
/* Options every command has. */
struct sb_common {
    const char *store;
    bool json;
};
/* Takes the options out of argv wherever they stand (up to "--"); what is left goes to arguments,
 * which borrows from argv. An unknown option is SB_E_USAGE with the nearest known one. The table
 * ends in a row without name. --help prints the command's help and returns 1. */
int sb_options_parse(const struct sb_command *command, int argc, char **argv,
                     const struct sb_option *options, struct sb_common *common,
                     const char **arguments, size_t *argument_count, struct sb_error *err);
/* The same for a command that runs a program: options end where the program's words begin, after
 * the first argument, or with *no_subject, which an option may set, before it. */
int sb_options_parse_program(const struct sb_command *command, int argc, char **argv,
                             const struct sb_option *options, const bool *no_subject,
                             struct sb_common *common, const char **arguments,
                             size_t *argument_count, struct sb_error *err);
/* SB_E_USAGE unless count is from least to most. */
int sb_options_count(const struct sb_command *command, size_t count, size_t least, size_t most,
                     struct sb_error *err);

/* The value of --older-than. A number without a unit is refused: who means days would lose all that
 * is older than seconds. */
int sb_cli_parse_age(const char *command, const char *text, uint64_t *out_seconds,
                     struct sb_error *err);

/* ---- what most commands begin with, and how they print ---- */

/* Settings (of the recipe's directory, or of the working directory when NULL), and the store they
 * and common name. Close and free both. */
int sb_cli_open(const struct sb_common *common, const char *recipe, struct sb_settings *settings,
                struct sb_store **store, struct sb_error *err);
/* For those who only look at what there is: a --store that is missing was mistyped, and is not
 * made. */
int sb_cli_open_known(const struct sb_common *common, struct sb_settings *settings,
                      struct sb_store **store, struct sb_error *err);

/* JSON on stdout, indented on a terminal. */
int sb_cli_print_json(const json_t *value, struct sb_error *err);
/* {"code", "status", "message", "hint"} */
json_t *sb_cli_error_json(const struct sb_error *err);
/* The file of --metadata-file: replaced as a whole, unless it is none (/dev/stdout, a pipe) or a
 * link, which are written to. */
int sb_cli_write_metadata(struct sb_store *store, const char *path, const json_t *facts,
                          struct sb_error *err);
/* Text on stdout; a reader that went away is no error. What could steer a terminal is escaped in
 * all that is printed (base/visible.h); foreign text that is to stay on one line goes through
 * sb_show_text or sb_show_path before. */
void sb_cli_print(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The same on stderr: what is told beside the facts. */
void sb_cli_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Compact JSON, in which nothing could steer a terminal. */
void sb_cli_add_json(const json_t *value, struct sb_buf *out);
/* True once writing failed, be it that the reader went away: long lists end then. */
bool sb_cli_print_ended(void);
/* Flushes stdout; a full disk behind it is an error. */
int sb_cli_flush(struct sb_error *err);

/* "sbuild: error: …" and the hint, on stderr. */
/* Of a disk that is full, when it is that of the store. */
void sb_cli_explain(struct sb_error *err);
void sb_cli_print_error(const struct sb_error *err);
/* "sbuild: warning: …", on stderr. */
void sb_cli_print_warning(const char *message);

/* A table on stdout whose columns are as wide as they need to be. Cells are copied. */
struct sb_table {
    struct sb_strings cells;
    size_t columns;
    unsigned right; /* bit i: column i is aligned to the right */
};
void sb_table_print(const struct sb_table *table);

#endif
