/* run: a script in the image. */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "document/arguments.h"
#include "document/recipe.h"
#include "document/schema.h"
#include "steps/kinds.h"
#include "steps/program.h"
#include "steps/run.h"
#include "steps/script.h"

static const struct sb_run *own(const struct sb_step *step) {
    return step->own;
}

#define AT(member) offsetof(struct sb_run, member)

static const struct sb_key keys[] = {
    {"script", SB_KEY_STRING, AT(script), .shorthand = true, .required = true, .literal = true,
     .not_empty = true,
     .description = "The script. Nothing is replaced in it: args are environment variables."},
    {"shell", SB_KEY_STRINGS, AT(shell), .fallback = "that of build, else [sh, -eu]",
     .not_empty = true,
     .description = "The program that runs it; -c and the script, or a file with it, are added."},
    {"workdir", SB_KEY_STRING, AT(workdir), .rule = &sb_rule_absolute,
     .fallback = "the image's workdir", .description = "The directory it starts in."},
    {"user", SB_KEY_STRING, AT(user), .rule = &sb_rule_user, .fallback = "root",
     .description = "The user it runs as."},
    {0},
};

/* As a word of its own: $NAME, ${NAME:-x}, os.environ["NAME"]. */
static bool is_named(const char *script, const char *name) {
    static const char word[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";
    size_t n = strlen(name);
    for (const char *p = script; (p = strstr(p, name)); p += n)
        if ((p == script || !strchr(word, p[-1])) && (!p[n] || !strchr(word, p[n])))
            return true;
    return false;
}

/* Others have variables of these names for other things: a makefile's PLATFORM. */
static void find_platform_args(struct sb_step *step, const char *script) {
    for (size_t i = 0; sb_platform_arguments[i]; i++)
        if (is_named(script, sb_platform_arguments[i]))
            sb_strings_add(&step->platform_args, sb_platform_arguments[i]);
}

static void check(struct sb_step *step, struct sb_reader *reader, const struct sb_yaml *node) {
    (void)reader;
    struct sb_run *run = step->own;
    find_platform_args(step, run->script);
    const struct sb_yaml *script =
        node->type == SB_YAML_SCALAR ? node : sb_yaml_get(node, "script");
    if (script) {
        run->literal = script->literal;
        run->line = script->line + script->literal;
    }
    if (!run->shell.n && step->build)
        sb_strings_copy(&run->shell, &step->build->shell);
    if (!run->shell.n) {
        sb_strings_add(&run->shell, "sh");
        sb_strings_add(&run->shell, "-eu");
    }
}

static void describe(const struct sb_step *step, json_t *out) {
    const struct sb_run *run = own(step);
    json_object_set_new(out, "script", json_string(run->script));
    json_object_set_new(out, "shell", sb_step_list(&run->shell));
    if (run->workdir)
        json_object_set_new(out, "workdir", json_string(run->workdir));
    if (run->user)
        json_object_set_new(out, "user", json_string(run->user));
}

/* The first line that says something, and a mark when more follow. */
static char *summary(const struct sb_step *step) {
    const char *script = own(step)->script + strspn(own(step)->script, " \t\r\n");
    size_t len = strcspn(script, "\r\n");
    bool more = script[len + strspn(script + len, " \t\r\n")] != '\0';
    return sb_format("run: %.*s%s", (int)len, script, more ? " …" : "");
}

#define SCRIPT_PLACE "/run/sbuild-script"
#define FEED_PLACE   "/dev/sbuild-script" /* which is the container's own, and in no layer */

enum { ARGUMENT_LIMIT = 100000 }; /* bytes; the kernel's is 128 KiB */

static int line_of(const struct sb_run *run, size_t line) {
    return run->literal ? run->line + (int)line - 1 : run->line;
}

/* What is left of the script once it has failed. */
struct feeding {
    const struct sb_step *step;
    struct sb_step_run_context *context;
    struct sb_script_feed *feed; /* NULL: stopped */
};

static char *name_failed(void *data) {
    struct feeding *f = data;
    size_t line = sb_script_feed_stop(f->feed), first;
    f->feed = NULL;
    if (!line)
        return NULL;
    char *command = sb_script_command(own(f->step)->script, line, &first);
    f->context->failed_line = line_of(own(f->step), first);
    return command;
}

/* 1: it can't be fed here. */
static int run_fed(const struct sb_step *step, struct sb_step_run_context *context,
                   struct sb_program *program, struct sb_strings *argv, const char *name,
                   struct sb_error *err) {
    int tmp = sb_store_tmp_fd(context->store);
    struct feeding feeding = {.step = step, .context = context};
    if (sb_script_feed_start(tmp, name, own(step)->script, &feeding.feed) < 0)
        return 1;
    sb_autofree char *path = sb_format("%s/%s", sb_store_tmp_path(context->store), name);
    struct sb_mount mount = {.source = path, .destination = FEED_PLACE, .read_only = true};
    sb_strings_add(argv, FEED_PLACE);
    program->mounts = &mount;
    program->mount_count = 1;
    program->argv = (const char *const *)argv->v;
    program->failed = name_failed;
    program->failed_data = &feeding;
    int failed = sb_step_program(step, context, program, err);
    if (feeding.feed)
        sb_script_feed_stop(feeding.feed);
    unlinkat(tmp, name, 0);
    return failed;
}

/* A script too long for an argument: a file that is there for the while. */
static int run_file(const struct sb_step *step, struct sb_step_run_context *context,
                    struct sb_program *program, struct sb_strings *argv, const char *name,
                    struct sb_error *err) {
    sb_autofree char *path = sb_format("%s/%s", sb_store_tmp_path(context->store), name);
    int tmp = sb_store_tmp_fd(context->store);
    if (sb_file_write(tmp, name, own(step)->script, strlen(own(step)->script), 0444, err) < 0)
        return -1;
    struct sb_mount mount = {.source = path, .destination = SCRIPT_PLACE, .read_only = true};
    program->mounts = &mount;
    program->mount_count = 1;
    sb_strings_add(argv, SCRIPT_PLACE);
    program->argv = (const char *const *)argv->v;
    int failed = sb_step_program(step, context, program, err);
    unlinkat(tmp, name, 0);
    return failed;
}

static int run(const struct sb_step *step, struct sb_step_run_context *context,
               struct sb_error *err) {
    static atomic_uint count;
    const struct sb_run *it = own(step);
    sb_autostrings struct sb_strings argv = {0};
    sb_strings_copy(&argv, &it->shell);
    size_t first = 1;
    sb_autofree char *one =
        sb_script_lines(it->script) == 1 ? sb_script_command(it->script, SIZE_MAX, &first) : NULL;
    struct sb_program program = {
        .name = one ? one : it->script,
        .workdir = it->workdir,
        .user = it->user,
        .network = step->network_given ? step->network : step->kind->network,
    };
    sb_autofree char *name = sb_format("script-%u", atomic_fetch_add(&count, 1));
    if (!one && sb_script_is_read_by(&it->shell)) {
        int result = run_fed(step, context, &program, &argv, name, err);
        if (result <= 0)
            return result;
    }
    context->failed_line = line_of(it, first);
    if (strlen(it->script) > ARGUMENT_LIMIT)
        return run_file(step, context, &program, &argv, name, err);
    sb_strings_add(&argv, "-c");
    sb_strings_add(&argv, it->script);
    program.argv = (const char *const *)argv.v;
    return sb_step_program(step, context, &program, err);
}

const struct sb_step_kind sb_step_kind_run = {
    .name = "run",
    .size = sizeof(struct sb_run),
    .description = "Run a script in the image.",
    .keys = keys,
    .runs_programs = true,
    .sees_env = true,
    .sees_args = true,
    .is_script = true,
    .goes_by_times = true,
    .check = check,
    .describe = describe,
    .summary = summary,
    .run = run,
};
