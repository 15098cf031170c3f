/* pip: Python packages. */
#include <fcntl.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "document/schema.h"
#include "sandbox/inroot.h"
#include "steps/away.h"
#include "steps/kinds.h"
#include "steps/mounts.h"
#include "steps/pip_layout.h"
#include "steps/program.h"

static const struct sb_pip *own(const struct sb_step *step) {
    return step->own;
}

#define AT(member) offsetof(struct sb_pip, member)

static const struct sb_key keys[] = {
    {"packages", SB_KEY_STRINGS, AT(packages), .shorthand = true, .not_empty = true,
     .rule = &sb_rule_requirement, .description = "Requirement specifiers: fastapi==0.115.0."},
    {"requirements", SB_KEY_STRINGS, AT(requirements), .one_or_many = true, .not_empty = true,
     .most = 100, .rule = &sb_rule_inside,
     .description = "Requirements files in the context, with all that they name."},
    {"constraints", SB_KEY_STRINGS, AT(constraints), .one_or_many = true, .most = 100,
     .rule = &sb_rule_inside, .description = "Constraints files in the context."},
    {"project", SB_KEY_STRINGS, AT(projects), .one_or_many = true, .not_empty = true, .most = 100,
     .rule = &sb_rule_inside,
     .description = "Projects in the context to build and install: \".\", \"libs/core[fast]\"."},
    {"python", SB_KEY_STRING, AT(python), .fallback = "python3", .not_empty = true,
     .description = "The interpreter whose pip is used; a name or a path in the image."},
    {"index_url", SB_KEY_STRING, AT(index_url), .rule = &sb_rule_url, .fallback = "PyPI",
     .description = "The package index to install from."},
    {"extra_index_urls", SB_KEY_STRINGS, AT(extra_index_urls), .one_or_many = true, .most = 100,
     .rule = &sb_rule_url, .description = "Further package indexes; none is before another."},
    {"find_links", SB_KEY_STRING, AT(find_links), .rule = &sb_rule_inside,
     .description = "A directory in the context with wheels; no index is asked then."},
    {"target", SB_KEY_STRING, AT(target), .rule = &sb_rule_absolute,
     .description = "Install into this directory instead of the system's site-packages."},
    {0},
};

static void check(struct sb_step *step, struct sb_reader *reader, const struct sb_yaml *node) {
    struct sb_pip *pip = step->own;
    if (node->type == SB_YAML_MAPPING && !pip->requirements.n && !pip->packages.n &&
        !pip->projects.n && !sb_yaml_get(node, "packages") && !sb_yaml_get(node, "requirements") &&
        !sb_yaml_get(node, "project"))
        sb_reader_problem(reader, node,
                          "key \"pip\": nothing to install (expected packages, requirements or "
                          "project)");
    if (pip->find_links && pip->extra_index_urls.n)
        sb_reader_problem(reader, sb_yaml_get(node, "extra_index_urls"),
                          "key \"extra_index_urls\": stands beside find_links, with which no index "
                          "is asked (expected one of them)");
    sb_step_check_path(reader, node, "target", pip->target);
    if (!pip->python)
        pip->python = sb_strdup("python3");
}

static void describe_list(json_t *out, const char *key, const struct sb_strings *list) {
    if (list->n)
        json_object_set_new(out, key, sb_step_list(list));
}

static void describe(const struct sb_step *step, json_t *out) {
    const struct sb_pip *pip = own(step);
    json_object_set_new(out, "packages", sb_step_list(&pip->packages));
    describe_list(out, "requirements", &pip->requirements); /* their content is an input */
    describe_list(out, "constraints", &pip->constraints);
    describe_list(out, "project", &pip->projects);
    describe_list(out, "extra_index_urls", &pip->extra_index_urls);
    json_object_set_new(out, "python", json_string(pip->python));
    if (pip->index_url)
        json_object_set_new(out, "index_url", json_string(pip->index_url));
    if (pip->find_links)
        json_object_set_new(out, "find_links", json_string(pip->find_links));
    if (pip->target)
        json_object_set_new(out, "target", json_string(pip->target));
}

/* What the step itself names is told as sources of copies are. */
static int read_requirements(const struct sb_pip *pip, struct sb_context *context,
                             struct sb_requirements *out, struct sb_error *err) {
    const struct sb_strings *named[] = {&pip->requirements, &pip->constraints};
    for (size_t i = 0; i < sizeof named / sizeof *named; i++)
        for (size_t k = 0; k < named[i]->n; k++)
            if (sb_context_check_path(context, named[i]->v[k], NULL, false, err) < 0)
                return -1;
    for (size_t i = 0; i < pip->projects.n; i++) {
        sb_autofree char *bare = sb_requirements_without_extras(pip->projects.v[i]);
        if (sb_context_check_path(context, bare, NULL, false, err) < 0)
            return -1;
    }
    if (pip->find_links && sb_context_check_path(context, pip->find_links, NULL, false, err) < 0)
        return -1;
    return sb_requirements_read(pip, context, out, err);
}

static int inputs(const struct sb_step *step, struct sb_context *context, struct sb_input_list *out,
                  struct sb_error *err) {
    struct sb_requirements requirements = {0};
    int failed = read_requirements(own(step), context, &requirements, err) < 0 ||
                 sb_requirements_scan(&requirements, context, out, err) < 0;
    sb_requirements_free(&requirements);
    return failed ? -1 : 0;
}

static int look(const struct sb_step *step, struct sb_context *context, bool deep,
                struct sb_error *err) {
    struct sb_requirements requirements = {0};
    int failed = read_requirements(own(step), context, &requirements, err) < 0 ||
                 sb_requirements_look(&requirements, context, deep, err) < 0;
    sb_requirements_free(&requirements);
    return failed ? -1 : 0;
}

static char *summary(const struct sb_step *step) {
    const struct sb_pip *pip = own(step);
    struct sb_buf out = {0};
    sb_autofree char *packages = sb_step_words("pip", &pip->packages);
    sb_buf_adds(&out, packages);
    for (size_t i = 0; i < pip->requirements.n; i++)
        sb_buf_addf(&out, " -r %s", pip->requirements.v[i]);
    for (size_t i = 0; i < pip->projects.n; i++)
        sb_buf_addf(&out, " ./%s", pip->projects.v[i]);
    return sb_buf_steal(&out);
}

/* ---- running ---- */

#define INPUTS                                                                                     \
    "/run/sbuild/pip" /* the context's files, beside one another; pip is started there             \
                       */
#define CACHE "/root/.cache/pip"

/* Without an interpreter the runtime would only say that a file is missing. */
static int check_python(const struct sb_step_run_context *context, const char *python,
                        struct sb_error *err) {
    sb_autoclose int root = sb_directory_open(AT_FDCWD, sb_root_path(context->root), err);
    if (root < 0)
        return -1;
    if (sb_inroot_has_program(root, python, sb_step_path(context), "/"))
        return 0;
    sb_fail(err, SB_E_STEP, "there is no %s in the image", python);
    return sb_error_hint(err, "install it in a step before this one: - apt: [python3-pip]");
}

static bool has_name(const struct sb_strings *paths, const char *name) {
    for (size_t i = 0; i < paths->n; i++) {
        const char *slash = strrchr(paths->v[i], '/');
        if (slash && !strcmp(slash + 1, name))
            return true;
    }
    return false;
}

/* A secret of that name is what pip reads its settings, or passwords, from. */
static bool give_secret(const struct sb_step *step, const char *name, const char *variable,
                        struct sb_pairs *env) {
    sb_autofree char *file = sb_step_secrets_file(step, name);
    if (file)
        sb_pairs_set(env, variable, file);
    return file;
}

/* By environment: an older pip passes over what it doesn't know, and the index's address, which
 * may hold a password, shows in no list of processes. */
static void fill_env(const struct sb_step *step, const struct sb_settings *settings,
                     struct sb_pairs *env) {
    const struct sb_pip *pip = own(step);
    sb_pairs_set(env, "PIP_BREAK_SYSTEM_PACKAGES", "1");
    sb_pairs_set(env, "PIP_ROOT_USER_ACTION", "ignore");
    sb_pairs_set(env, "PIP_DISABLE_PIP_VERSION_CHECK", "1");
    sb_pairs_set(env, "PIP_NO_INPUT", "1");
    sb_pairs_set(env, "PIP_PROGRESS_BAR", "off");
    sb_pairs_set(env, "PIP_CACHE_DIR", CACHE); /* whatever HOME is */
    give_secret(step, "netrc", "NETRC", env);
    bool configured = give_secret(step, "pip_conf", "PIP_CONFIG_FILE", env) ||
                      has_name(&step->secret_places, "pip.conf");
    const char *index = pip->index_url ? pip->index_url : configured ? NULL : settings->pip_index;
    if (pip->find_links)
        sb_pairs_set(env, "PIP_NO_INDEX", "1");
    else if (index)
        sb_pairs_set(env, "PIP_INDEX_URL", index);
    sb_autobuf struct sb_buf extra = {0};
    for (size_t i = 0; i < pip->extra_index_urls.n; i++)
        sb_buf_addf(&extra, "%s%s", i ? " " : "", pip->extra_index_urls.v[i]);
    if (extra.len)
        sb_pairs_set(env, "PIP_EXTRA_INDEX_URL", extra.data);
}

static void fill_argv(const struct sb_pip *pip, struct sb_strings *argv) {
    const char *const first[] = {pip->python, "-m", "pip", "install"};
    for (size_t i = 0; i < sizeof first / sizeof *first; i++)
        sb_strings_add(argv, first[i]);
    if (pip->target) {
        sb_strings_add(argv, "--target");
        sb_strings_add(argv, pip->target);
    }
    if (pip->find_links) {
        sb_strings_add(argv, "--find-links");
        sb_strings_addf(argv, INPUTS "/%s", pip->find_links);
    }
    for (size_t i = 0; i < pip->constraints.n; i++) {
        sb_strings_add(argv, "-c");
        sb_strings_addf(argv, "./%s", pip->constraints.v[i]);
    }
    for (size_t i = 0; i < pip->requirements.n; i++) {
        sb_strings_add(argv, "-r");
        sb_strings_addf(argv, "./%s", pip->requirements.v[i]);
    }
    if (pip->packages.n || pip->projects.n)
        sb_strings_add(argv, "--");
    sb_strings_copy(argv, &pip->packages);
    for (size_t i = 0; i < pip->projects.n; i++)
        sb_strings_addf(argv, "./%s", pip->projects.v[i]);
}

static bool says_no_pip(const struct sb_step_log *log) {
    sb_autobuf struct sb_buf said = {0};
    sb_step_log_last_lines(log, 5, &said);
    return strstr(sb_buf_text(&said), "No module named pip") != NULL;
}

static int run_pip(const struct sb_step *step, struct sb_step_run_context *context,
                   const struct sb_pip_layout *layout, struct sb_error *err) {
    static const char *const caches[] = {CACHE, NULL};
    const struct sb_pip *pip = own(step);
    sb_autostrings struct sb_strings argv = {0};
    struct sb_pairs env = {0};
    fill_argv(pip, &argv);
    fill_env(step, context->settings, &env);
    sb_autofree char *retries = sb_format("%u", sb_away_pip_retries(context->registry));
    sb_pairs_set(&env, "PIP_RETRIES", retries);
    struct sb_program program = {.argv = (const char *const *)argv.v,
                                 .env = &env,
                                 .workdir = layout->directory ? INPUTS : "/",
                                 .network = step->network_given ? step->network : !pip->find_links,
                                 .mounts = layout->mounts,
                                 .mount_count = layout->mount_count,
                                 .caches = caches};
    int result = sb_step_program(step, context, &program, err);
    sb_pairs_free(&env);
    if (result < 0 && err->code == SB_E_STEP && !err->hint[0] && says_no_pip(context->log))
        sb_error_hint(err, "add a step before this one, - apt: [python3-pip]");
    return result;
}

static int run(const struct sb_step *step, struct sb_step_run_context *context,
               struct sb_error *err) {
    struct sb_requirements requirements = {0};
    struct sb_pip_layout layout = {0};
    if (check_python(context, own(step)->python, err) < 0)
        return -1;
    int failed = sb_requirements_read(own(step), context->inputs, &requirements, err) < 0 ||
                 sb_pip_layout_make(&requirements, context, INPUTS, &layout, err) < 0 ||
                 run_pip(step, context, &layout, err) < 0;
    sb_pip_layout_free(&layout);
    sb_requirements_free(&requirements);
    return failed ? -1 : 0;
}

const struct sb_step_kind sb_step_kind_pip = {
    .name = "pip",
    .size = sizeof(struct sb_pip),
    .description = "Install Python packages with the image's own pip.",
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
