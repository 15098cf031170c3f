/* conda: an environment of conda packages, by the image's own micromamba, mamba or conda. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/beneath.h"
#include "base/file.h"
#include "base/memory.h"
#include "document/environment.h"
#include "document/schema.h"
#include "sandbox/inroot.h"
#include "steps/kinds.h"
#include "steps/program.h"

struct conda {
    char *environment, *lock; /* one of them: files of the context */
    char *prefix;
};

static const struct conda *own(const struct sb_step *step) {
    return step->own;
}

#define AT(member) offsetof(struct conda, member)

static const struct sb_key keys[] = {
    {"environment", SB_KEY_STRING, AT(environment), .rule = &sb_rule_inside,
     .description = "A file in the context such as environment.yml."},
    {"lock", SB_KEY_STRING, AT(lock), .rule = &sb_rule_inside,
     .description = "Instead: an explicit list of packages in the context (conda list --explicit "
                    "--md5), or for micromamba a conda-lock.yml."},
    {"prefix", SB_KEY_STRING, AT(prefix), .required = true, .rule = &sb_rule_absolute,
     .description = "The directory that the environment is made in."},
    {0},
};

static void check(struct sb_step *step, struct sb_reader *reader, const struct sb_yaml *node) {
    const struct conda *conda = own(step);
    sb_step_check_path(reader, node, "prefix", conda->prefix);
    if (!conda->environment == !conda->lock)
        sb_reader_problem(reader, node, "key \"conda\": expected one of environment and lock");
}

static void describe(const struct sb_step *step, json_t *out) {
    const struct conda *conda = own(step);
    if (conda->environment)
        json_object_set_new(out, "environment", json_string(conda->environment));
    if (conda->lock)
        json_object_set_new(out, "lock", json_string(conda->lock));
    json_object_set_new(out, "prefix", json_string(conda->prefix));
}

static const char *file_of(const struct sb_step *step) {
    return own(step)->environment ? own(step)->environment : own(step)->lock;
}

static int inputs(const struct sb_step *step, struct sb_context *context, struct sb_input_list *out,
                  struct sb_error *err) {
    return sb_context_scan(context, file_of(step), NULL, out, err);
}

enum { FILE_LIMIT = 16 << 20 };

static int read_file(const struct sb_step *step, struct sb_context *context, struct sb_buf *out,
                     struct sb_error *err) {
    if (sb_beneath_read(sb_context_fd(context), file_of(step), SB_BENEATH_NO_LINKS, FILE_LIMIT, out,
                        err) < 0)
        return sb_error_context(err, "%s", sb_context_path(context));
    return 0;
}

static int look(const struct sb_step *step, struct sb_context *context, bool deep,
                struct sb_error *err) {
    sb_autobuf struct sb_buf text = {0};
    if (sb_context_check_path(context, file_of(step), NULL, deep, err) < 0)
        return -1;
    return read_file(step, context, &text, err);
}

static char *summary(const struct sb_step *step) {
    return sb_format("conda: %s to %s", file_of(step), own(step)->prefix);
}

/* ---- running ---- */

#define CACHE "/root/.cache/conda"
/* Where the file is, under its own name: that says of what kind it is. */
#define SHOWN "/run/sbuild/conda/"

/* The first of them that the root has. */
static const char *find_program(const struct sb_step_run_context *context, struct sb_error *err) {
    static const char *const all[] = {"micromamba", "mamba", "conda"};
    sb_autoclose int root = sb_directory_open(AT_FDCWD, sb_root_path(context->root), err);
    const char *path = sb_pairs_get(context->env, "PATH");
    if (root < 0)
        return NULL;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (sb_inroot_has_program(root, all[i], path ? path : SB_DEFAULT_PATH, "/"))
            return all[i];
    sb_fail(err, SB_E_STEP, "there is no micromamba, mamba or conda in the image's PATH");
    sb_error_hint(err, "begin with an image that has one, such as mambaorg/micromamba, or bring "
                       "micromamba by a download in a step before this one");
    return NULL;
}

static void fill_argv(const struct sb_step *step, const char *program, const char *shown,
                      struct sb_strings *argv) {
    const struct conda *conda = own(step);
    sb_strings_add(argv, program);
    if (conda->environment && strcmp(program, "micromamba") != 0)
        sb_strings_add(argv, "env");
    static const char *const words[] = {"create", "--yes", "--quiet", "--prefix"};
    bool asks = conda->lock || strcmp(program, "conda") != 0; /* conda env create knows no --yes */
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (asks || i != 1)
            sb_strings_add(argv, words[i]);
    sb_strings_add(argv, conda->prefix);
    sb_strings_add(argv, "--file");
    sb_strings_add(argv, shown);
}

/* Packages are copied out of the cache: a link would have another time, and two names in it. */
static void fill_env(struct sb_pairs *env) {
    static const char *const all[][2] = {{"CONDA_PKGS_DIRS", CACHE "/pkgs"},
                                         {"MAMBA_ROOT_PREFIX", CACHE},
                                         {"CONDA_ALWAYS_YES", "true"},
                                         {"CONDA_ALWAYS_COPY", "true"},
                                         {"MAMBA_ALWAYS_COPY", "true"},
                                         {"MAMBA_NO_BANNER", "1"},
                                         {"CONDA_NOTIFY_OUTDATED_CONDA", "false"},
                                         {"CONDA_REGISTER_ENVS", "false"},
                                         {"MAMBA_REGISTER_ENVS", "false"}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        sb_pairs_set(env, all[i][0], all[i][1]);
}

/* A copy, with the content that the layer's key has. The caller's to free. */
static char *copy_file(const struct sb_step *step, const struct sb_step_run_context *context,
                       const char *name, struct sb_error *err) {
    sb_autobuf struct sb_buf text = {0};
    struct sb_input_list list = {0};
    sb_autofree char *path = sb_path_join(sb_store_tmp_path(context->store), name);
    int failed = read_file(step, context->inputs, &text, err);
    struct sb_digest digest = sb_digest_of(sb_buf_text(&text), text.len);
    if (!failed)
        failed = sb_context_scan(context->inputs, file_of(step), NULL, &list, err);
    if (!failed && (list.n != 1 || !sb_digest_equal(&list.v[0].digest, &digest)))
        failed = sb_fail(err, SB_E_FAILED, "%s changed while it was being read", file_of(step));
    if (!failed)
        failed = sb_file_write(AT_FDCWD, path, sb_buf_text(&text), text.len, 0644, err);
    sb_input_list_free(&list);
    return failed ? NULL : sb_steal(path);
}

static int run(const struct sb_step *step, struct sb_step_run_context *context,
               struct sb_error *err) {
    static const char *const caches[] = {CACHE, NULL};
    const char *slash = strrchr(file_of(step), '/');
    sb_autofree char *shown = sb_format(SHOWN "%s", slash ? slash + 1 : file_of(step));
    sb_autofree char *name = sb_format("conda-%p", (const void *)step);
    const char *program_name = find_program(context, err);
    sb_autofree char *copy = program_name ? copy_file(step, context, name, err) : NULL;
    if (!copy)
        return -1;
    sb_autostrings struct sb_strings argv = {0};
    struct sb_pairs env = {0};
    fill_argv(step, program_name, shown, &argv);
    fill_env(&env);
    const struct sb_mount mount = {.source = copy, .destination = shown, .read_only = true};
    const struct sb_program program = {.argv = (const char *const *)argv.v,
                                       .env = &env,
                                       .workdir = "/",
                                       .network = step->network_given ? step->network : true,
                                       .mounts = &mount,
                                       .mount_count = 1,
                                       .caches = caches};
    int failed = sb_step_program(step, context, &program, err);
    sb_pairs_free(&env);
    sb_tree_remove(sb_store_tmp_fd(context->store), name, NULL);
    return failed;
}

const struct sb_step_kind sb_step_kind_conda = {
    .name = "conda",
    .size = sizeof(struct conda),
    .description = "Make an environment of conda packages with the image's own micromamba, mamba "
                   "or conda.",
    .keys = keys,
    .network = true,
    .runs_programs = true,
    .sees_env = true,
    .check = check,
    .describe = describe,
    .inputs = inputs,
    .look = look,
    .summary = summary,
    .run = run,
};
