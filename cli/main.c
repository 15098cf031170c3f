#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/process.h"
#include "base/text.h"
#include "cli/command.h"
#include "sandbox/contain.h"

static const struct sb_command *const commands[] = {
    &sb_command_build,   &sb_command_plan,     &sb_command_run,     &sb_command_bundle,
    &sb_command_lock,    &sb_command_images,   &sb_command_inspect, &sb_command_ls,
    &sb_command_diff,    &sb_command_tag,      &sb_command_push,    &sb_command_pull,
    &sb_command_index,   &sb_command_export,   &sb_command_login,   &sb_command_logout,
    &sb_command_install, &sb_command_rollback, &sb_command_status,  &sb_command_uninstall,
    &sb_command_prune,   &sb_command_cache,
};
enum { COMMAND_COUNT = sizeof commands / sizeof *commands };

static void print_help(void) {
    sb_cli_print("usage: sbuild RECIPE            build it\n"
                 "       sbuild COMMAND …         see sbuild COMMAND --help\n\n"
                 "Turns YAML recipes into layered OCI images. What did not change is not built\n"
                 "again.\n\ncommands:\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        sb_cli_print("  %-9s %s\n", commands[i]->name, commands[i]->summary);
    sb_cli_print("\nexamples:\n"
                 "  sbuild recipes/backend.yaml\n"
                 "  sbuild plan recipes/backend.yaml\n"
                 "  sbuild images\n\n"
                 "exit status:\n");
#define X(code, name, status, meaning)                                                             \
    if (code == SB_E_NONE || code == SB_E_FAILED || status > 1)                                    \
        sb_cli_print("  %d  %s\n", status, code == SB_E_NONE ? "done" : meaning);
    SB_ERROR_CODES(X)
#undef X
}

static const struct sb_command *find_command(const char *name) {
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (!strcmp(commands[i]->name, name))
            return commands[i];
    return NULL;
}

static bool looks_like_recipe(const char *text) {
    size_t n = strlen(text);
    return strchr(text, '/') || (n > 5 && !strcmp(text + n - 5, ".yaml")) ||
           (n > 4 && !strcmp(text + n - 4, ".yml")) || access(text, F_OK) == 0;
}

static int unknown_command(const char *name, struct sb_error *err) {
    const char *names[COMMAND_COUNT + 1] = {0};
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        names[i] = commands[i]->name;
    const char *near = sb_text_nearest(name, names);
    sb_fail(err, SB_E_USAGE, "%s is neither a command nor a recipe file", name);
    if (near)
        return sb_error_hint(err, "did you mean sbuild %s?", near);
    return sb_error_hint(err, "see sbuild --help");
}

/* `sbuild RECIPE` and `sbuild --no-cache RECIPE` are `sbuild build …`. */
static int run_build(int argc, char **argv, struct sb_error *err) {
    sb_autofree char **with_name = sb_alloc(((size_t)argc + 2) * sizeof *with_name);
    with_name[0] = "build";
    for (int i = 1; i <= argc; i++)
        with_name[i] = argv[i];
    return sb_command_build.run(argc, with_name, err);
}

static int run(int argc, char **argv, int *out_own_failures, struct sb_error *err) {
    const char *first = argc > 1 ? argv[1] : "";
    if (argc > 2 && !strcmp(first, "help")) { /* `sbuild help build` is `sbuild build --help` */
        const struct sb_command *command = find_command(argv[2]);
        char *help[] = {argv[2], "--help", NULL};
        return command ? command->run(2, help, err) : unknown_command(argv[2], err);
    }
    if (!strcmp(first, "--help") || !strcmp(first, "-h") || !strcmp(first, "help")) {
        print_help();
        return sb_cli_flush(err);
    }
    if (!strcmp(first, "--version")) {
        sb_cli_print("sbuild %s\n", SB_VERSION);
        return sb_cli_flush(err);
    }
    if (!*first) {
        sb_fail(err, SB_E_USAGE, "a recipe or a command is missing");
        return sb_error_hint(err, "try sbuild recipes/hello.yaml, or sbuild --help");
    }
    const struct sb_command *command = find_command(first);
    if (command) {
        *out_own_failures = command->own_failures;
        return command->run(argc - 1, argv + 1, err);
    }
    if (first[0] == '-' || looks_like_recipe(first))
        return run_build(argc, argv, err);
    return unknown_command(first, err);
}

int main(int argc, char **argv) {
    sb_process_take_standard();
    if (argc > 1 && !strcmp(argv[1], SB_CONTAIN_COMMAND))
        return sb_contain_main(argc - 1, argv + 1);
    umask(022);
    sb_interrupt_install();
    struct sb_error err = {0};
    int own_failures = 0, status = run(argc, argv, &own_failures, &err);
    bool failed = status < 0;
    if (failed) {
        status = own_failures ? own_failures : sb_error_exit_status(err.code);
        sb_cli_explain(&err);
        sb_cli_print_error(&err);
    }
    int signal_number = sb_interrupt_signal();
    if (failed && err.code == SB_E_INTERRUPTED && signal_number) {
        signal(signal_number, SIG_DFL); /* so that a shell's loop ends too */
        raise(signal_number);
    }
    return status;
}
