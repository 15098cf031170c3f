/* pip: Python packages. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/beneath.h"
#include "base/file.h"
#include "base/memory.h"
#include "builder/away.h"
#include "builder/execution.h"
#include "builder/inroot.h"
#include "builder/schema.h"
#include "builder/step_kinds.h"

#define AT(member) offsetof(struct sb_step, pip.member)

static const struct sb_key keys[] = {
    {"packages", SB_KEY_STRINGS, AT(packages), .shorthand = true, .not_empty = true,
     .rule = &sb_rule_requirement, .description = "Requirement specifiers: fastapi==0.115.0."},
    {"requirements", SB_KEY_STRING, AT(requirements), .rule = &sb_rule_inside,
     .description = "A requirements file in the context."},
    {"python", SB_KEY_STRING, AT(python), .fallback = "python3", .not_empty = true,
     .description = "The interpreter whose pip is used; a name or a path in the image."},
    {"index_url", SB_KEY_STRING, AT(index_url), .rule = &sb_rule_url, .fallback = "PyPI",
     .description = "The package index to install from."},
    {"find_links", SB_KEY_STRING, AT(find_links), .rule = &sb_rule_inside,
     .description = "A directory in the context with wheels; no index is asked then."},
    {"target", SB_KEY_STRING, AT(target), .rule = &sb_rule_absolute,
     .description = "Install into this directory instead of the system's site-packages."},
    {0},
};

static void check(struct sb_step *step, struct sb_reader *reader, const struct sb_yaml *node) {
    struct sb_step_pip *pip = &step->pip;
    if (node->type == SB_YAML_MAPPING && !pip->requirements && !pip->packages.n &&
        !sb_yaml_get(node, "packages") && !sb_yaml_get(node, "requirements"))
        sb_reader_problem(reader, node,
                          "key \"pip\": nothing to install (expected packages, requirements or "
                          "both)");
    sb_step_check_path(reader, node, "target", pip->target);
    if (!pip->python)
        pip->python = sb_strdup("python3");
}

static void describe(const struct sb_step *step, json_t *out) {
    const struct sb_step_pip *pip = &step->pip;
    json_object_set_new(out, "packages", sb_step_list(&pip->packages));
    if (pip->requirements) /* its content is an input file */
        json_object_set_new(out, "requirements", json_true());
    json_object_set_new(out, "python", json_string(pip->python));
    if (pip->index_url)
        json_object_set_new(out, "index_url", json_string(pip->index_url));
    if (pip->find_links)
        json_object_set_new(out, "find_links", json_true());
    if (pip->target)
        json_object_set_new(out, "target", json_string(pip->target));
}

static void inputs(const struct sb_step *step, struct sb_strings *out) {
    if (step->pip.requirements)
        sb_strings_add(out, step->pip.requirements);
    if (step->pip.find_links)
        sb_strings_add(out, step->pip.find_links);
}

static char *summary(const struct sb_step *step) {
    const struct sb_step_pip *pip = &step->pip;
    sb_autofree char *packages = sb_step_words("pip", &pip->packages);
    return pip->requirements ? sb_format("%s -r %s", packages, pip->requirements)
                             : sb_steal(packages);
}

/* ---- running ---- */

#define REQUIREMENTS "/run/sbuild/requirements.txt"
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define WHEELS       "/run/sbuild/wheels"

/* A path of the context as this machine has it; the caller's to free. A symlink on the way might
 * lead out of the context, so there must be none. */
static char *input_path(const struct sb_step_run_context *context, const char *path,
                        struct sb_error *err) {
    sb_autoclose int fd =
        sb_open_beneath(sb_context_fd(context->inputs), path, O_PATH, SB_BENEATH_NO_LINKS);
    if (fd < 0) {
        sb_fail_errno(err, errno == ENOENT ? SB_E_NOT_FOUND : SB_E_IO, "%s in the context %s", path,
                      sb_context_path(context->inputs));
        if (errno == ELOOP)
            sb_error_hint(err, "pip's files may not be reached through symbolic links");
        return NULL;
    }
    sb_autofree char *link = sb_format("/proc/self/fd/%d", fd);
    char target[4096];
    ssize_t n = readlink(link, target, sizeof target);
    if (n < 0 || (size_t)n == sizeof target) {
        sb_fail_errno(err, SB_E_IO, "%s", link);
        return NULL;
    }
    return sb_strndup(target, (size_t)n);
}

/* Without an interpreter the runtime would only say that a file is missing. */
static int check_python(const struct sb_step_run_context *context, const char *python,
                        struct sb_error *err) {
    sb_autoclose int root = sb_directory_open(AT_FDCWD, sb_root_path(context->root), err);
    if (root < 0)
        return -1;
    const char *path = sb_pairs_get(context->env, "PATH");
    if (sb_inroot_has_program(root, python, path ? path : DEFAULT_PATH, "/"))
        return 0;
    sb_fail(err, SB_E_STEP, "there is no %s in the image", python);
    return sb_error_hint(err, "install it in a step before this one: - apt: [python3-pip]");
}

/* By environment: an older pip passes over what it doesn't know, and the index's address, which
 * may hold a password, shows in no list of processes. */
static void fill_env(const struct sb_step_pip *pip, const struct sb_settings *settings,
                     struct sb_pairs *env) {
    sb_pairs_set(env, "PIP_BREAK_SYSTEM_PACKAGES", "1");
    sb_pairs_set(env, "PIP_ROOT_USER_ACTION", "ignore");
    sb_pairs_set(env, "PIP_DISABLE_PIP_VERSION_CHECK", "1");
    sb_pairs_set(env, "PIP_NO_INPUT", "1");
    sb_pairs_set(env, "PIP_PROGRESS_BAR", "off");
    const char *index = pip->index_url ? pip->index_url : settings->pip_index;
    if (pip->find_links)
        sb_pairs_set(env, "PIP_NO_INDEX", "1");
    else if (index)
        sb_pairs_set(env, "PIP_INDEX_URL", index);
}

static void fill_argv(const struct sb_step_pip *pip, struct sb_strings *argv) {
    const char *const first[] = {pip->python, "-m", "pip", "install"};
    for (size_t i = 0; i < sizeof first / sizeof *first; i++)
        sb_strings_add(argv, first[i]);
    if (pip->target) {
        sb_strings_add(argv, "--target");
        sb_strings_add(argv, pip->target);
    }
    if (pip->find_links) {
        sb_strings_add(argv, "--find-links");
        sb_strings_add(argv, WHEELS);
    }
    if (pip->requirements) {
        sb_strings_add(argv, "-r");
        sb_strings_add(argv, REQUIREMENTS);
    }
    if (pip->packages.n)
        sb_strings_add(argv, "--");
    sb_strings_copy(argv, &pip->packages);
}

static bool says_no_pip(const struct sb_step_log *log) {
    sb_autobuf struct sb_buf said = {0};
    sb_step_log_last_lines(log, 5, &said);
    return strstr(sb_buf_text(&said), "No module named pip") != NULL;
}

static int run(const struct sb_step *step, struct sb_step_run_context *context,
               struct sb_error *err) {
    static const char *const caches[] = {"/root/.cache/pip", NULL};
    const struct sb_step_pip *pip = &step->pip;
    sb_autofree char *requirements = NULL;
    sb_autofree char *wheels = NULL;
    struct sb_mount mounts[2];
    size_t n = 0;
    if (check_python(context, pip->python, err) < 0)
        return -1;
    if (pip->requirements) {
        if (!(requirements = input_path(context, pip->requirements, err)))
            return -1;
        mounts[n++] = (struct sb_mount){requirements, REQUIREMENTS, true};
    }
    if (pip->find_links) {
        if (!(wheels = input_path(context, pip->find_links, err)))
            return -1;
        mounts[n++] = (struct sb_mount){wheels, WHEELS, true};
    }
    sb_autostrings struct sb_strings argv = {0};
    struct sb_pairs env = {0};
    fill_argv(pip, &argv);
    fill_env(pip, context->settings, &env);
    sb_autofree char *retries = sb_format("%u", sb_away_pip_retries(context->registry));
    sb_pairs_set(&env, "PIP_RETRIES", retries);
    struct sb_program program = {.argv = (const char *const *)argv.v,
                                 .env = &env,
                                 .workdir = "/",
                                 .network = step->network_given ? step->network : !pip->find_links,
                                 .mounts = mounts,
                                 .mount_count = n,
                                 .caches = caches};
    int result = sb_step_program(step, context, &program, err);
    sb_pairs_free(&env);
    if (result < 0 && err->code == SB_E_STEP && !err->hint[0] && says_no_pip(context->log))
        sb_error_hint(err, "add a step before this one, - apt: [python3-pip]");
    return result;
}

const struct sb_step_kind sb_step_kind_pip = {
    .type = SB_STEP_PIP,
    .name = "pip",
    .description = "Install Python packages with the image's own pip.",
    .keys = keys,
    .network = true,
    .runs_programs = true,
    .sees_env = true,
    .check = check,
    .describe = describe,
    .inputs = inputs,
    .summary = summary,
    .run = run,
};
