#include "builder/trial.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "builder/base_layers.h"
#include "document/environment.h"
#include "sandbox/emulation.h"
#include "sandbox/inroot.h"
#include "steps/program.h"

/* ---- whether it can be run ---- */

int sb_trial_check(struct sb_store *store, const struct sb_image *image, struct sb_error *err) {
    sb_autoplatform struct sb_platform its = {0};
    const struct sb_platform *own = sb_platform_own();
    if (!sb_platform_read(image->config, &its) || !strcmp(its.architecture, own->architecture))
        return 0;
    sb_autofree char *directory = sb_store_tmp_new(store, "probe", err);
    if (!directory)
        return -1;
    if (mkdir(directory, 0755) < 0)
        return sb_fail_errno(err, SB_E_IO, "%s", directory);
    enum sb_emulation emulation = sb_emulation_try(its.architecture, directory);
    if (emulation == SB_EMULATION_WORKS)
        return 0;
    sb_autofree char *text = sb_platform_text(&its);
    sb_autofree char *here = sb_platform_text(own);
    sb_fail(err, SB_E_FAILED, "the image is for %s, and this machine, %s, runs no such programs",
            text, here);
    return sb_emulation_hint(emulation, text, err);
}

/* ---- the root ---- */

int sb_trial_trees(struct sb_store *store, const struct sb_image *image, struct sb_strings *out,
                   struct sb_error *err) {
    size_t ignored;
    if (sb_base_layers_trees(store, image, NULL, 0, out, &ignored, err) < 0)
        return -1;
    return sb_base_layers_mend(store, image, out, err);
}

/* What a step had mounted, seen through roots of their own: so it stays as it is. */
struct shown {
    struct sb_root **roots;
    struct sb_mount *mounts;
    struct sb_strings sources;
    size_t n;
};

static void free_shown(struct shown *shown) {
    for (size_t i = 0; i < shown->n; i++)
        sb_root_free(shown->roots[i]);
    free(shown->roots);
    free(shown->mounts);
    sb_strings_free(&shown->sources);
}

static int show(const struct sb_trial *trial, char *source, const char *place, struct shown *out,
                struct sb_error *err) {
    struct stat st;
    sb_strings_take(&out->sources, source);
    bool there = lstat(source, &st) == 0;
    struct sb_mount *mount = &out->mounts[out->n];
    *mount = (struct sb_mount){source, place, true};
    if (there && S_ISREG(st.st_mode)) {
        out->n++;
        return 0;
    }
    sb_autostrings struct sb_strings tree = {0};
    if (there && S_ISDIR(st.st_mode))
        sb_strings_add(&tree, source);
    if (sb_root_mount(trial->store, &tree, &out->roots[out->n], err) < 0)
        return sb_error_context(err, "showing %s", place);
    *mount = (struct sb_mount){sb_root_path(out->roots[out->n++]), place, false};
    if (there && (chown(mount->source, st.st_uid, st.st_gid) < 0 ||
                  chmod(mount->source, st.st_mode & 07777) < 0))
        return sb_fail_errno(err, SB_E_IO, "showing %s", place);
    return 0;
}

static int show_all(const struct sb_trial *trial, struct shown *out, struct sb_error *err) {
    const struct sb_step_failure *f = &trial->failed->failure;
    size_t most = f->caches.n + f->mount_places.n + 1;
    out->roots = sb_alloc(most * sizeof *out->roots);
    out->mounts = sb_alloc(most * sizeof *out->mounts);
    for (size_t i = 0; i < f->caches.n; i++) {
        char *source = sb_format("%s/sbuild/%s", sb_store_path(trial->store), f->caches.v[i]);
        if (show(trial, source, f->cache_places.v[i], out, err) < 0)
            return -1;
    }
    for (size_t i = 0; i < f->mount_places.n; i++)
        if (show(trial, sb_format("%s/%zu", trial->failed->mounts, i), f->mount_places.v[i], out,
                 err) < 0)
            return -1;
    return 0;
}

/* ---- what the image says ---- */

static const json_t *config_of(const struct sb_image *image) {
    return json_object_get(image->config, "config");
}

static void image_environment(const struct sb_image *image, struct sb_pairs *out) {
    sb_autostrings struct sb_strings list = {0};
    sb_json_strings(json_object_get(config_of(image), "Env"), &list);
    for (size_t i = 0; i < list.n; i++) {
        char *equals = strchr(list.v[i], '=');
        if (!equals)
            continue;
        *equals = '\0';
        sb_pairs_set(out, list.v[i], equals + 1);
    }
}

/* The image's own, be it Docker's for its instructions or its users'; else what there is. */
static int find_shell(const struct sb_root *root, const struct sb_image *image,
                      const struct sb_pairs *env, struct sb_strings *out, struct sb_error *err) {
    sb_autoclose int fd = sb_directory_open(AT_FDCWD, sb_root_path(root), err);
    if (fd < 0)
        return -1;
    const char *of_variable = sb_pairs_get(env, "SHELL"), *path = sb_pairs_get(env, "PATH");
    const char *shells[] = {
        json_string_value(json_array_get(json_object_get(config_of(image), "Shell"), 0)),
        of_variable, "/bin/bash", "/bin/sh"};
    for (size_t i = 0; i < sizeof shells / sizeof *shells; i++) {
        if (!shells[i] || !*shells[i] ||
            !sb_inroot_has_program(fd, shells[i], path ? path : SB_DEFAULT_PATH, "/"))
            continue;
        sb_strings_add(out, shells[i]);
        return 0;
    }
    sb_fail(err, SB_E_NOT_FOUND, "there is no shell in it: neither /bin/bash nor /bin/sh");
    return sb_error_hint(err, "name a program that it has: sbuild run IMAGE PROGRAM");
}

static int choose_program(const struct sb_trial *trial, const struct sb_root *root,
                          const struct sb_pairs *env, struct sb_strings *out,
                          struct sb_error *err) {
    for (size_t i = 0; trial->argv && trial->argv[i]; i++)
        sb_strings_add(out, trial->argv[i]);
    if (trial->argv)
        return 0;
    if (trial->shell || trial->failed)
        return find_shell(root, trial->image, env, out, err);
    sb_json_strings(json_object_get(config_of(trial->image), "Entrypoint"), out);
    sb_json_strings(json_object_get(config_of(trial->image), "Cmd"), out);
    if (out->n > 0)
        return 0;
    sb_fail(err, SB_E_USAGE,
            "the image has neither entrypoint nor cmd: it doesn't say what to run");
    return sb_error_hint(err, "name a program, or use --shell");
}

/* ---- running ---- */

static const struct sb_step_kind kind = {.name = "run", .runs_programs = true};

static bool is_given(const struct sb_secrets *secrets, const char *name) {
    for (size_t i = 0; secrets && i < secrets->n; i++)
        if (!strcmp(secrets->v[i].name, name))
            return true;
    return false;
}

/* A step's own are where it had them, as far as they are given again. */
static void choose_secrets(const struct sb_trial *trial, struct sb_step *step) {
    const struct sb_step_failure *f = trial->failed ? &trial->failed->failure : NULL;
    for (size_t i = 0; f && i < f->secrets.n; i++) {
        if (!is_given(trial->secrets, f->secrets.v[i]))
            continue;
        sb_strings_add(&step->secrets, f->secrets.v[i]);
        sb_strings_add(&step->secret_places, f->secret_places.v[i]);
        sb_strings_add(&step->secret_variables, f->secret_variables.v[i]);
    }
    for (size_t i = 0; !f && trial->secrets && i < trial->secrets->n; i++) {
        sb_strings_add(&step->secrets, trial->secrets->v[i].name);
        sb_strings_add(&step->secret_places, "");
        sb_strings_add(&step->secret_variables, "");
    }
}

static void free_step(struct sb_step *step) {
    sb_strings_free(&step->secrets);
    sb_strings_free(&step->secret_places);
    sb_strings_free(&step->secret_variables);
}

static const char *text_or_null(const char *text) {
    return text && *text ? text : NULL;
}

static int run_in(const struct sb_trial *trial, struct sb_root *root, const struct shown *shown,
                  int *out_status, struct sb_error *err) {
    const struct sb_step_failure *f = trial->failed ? &trial->failed->failure : NULL;
    struct sb_step_log log = {.fd = -1, .path = ""};
    struct sb_step step = {.kind = &kind};
    struct sb_pairs env = {0};
    sb_autostrings struct sb_strings argv = {0};
    const char *image_workdir = sb_json_string(config_of(trial->image), "WorkingDir", "");
    sb_autofree char *workdir =
        *image_workdir == '/' ? sb_strdup(image_workdir) : sb_format("/%s", image_workdir);
    struct sb_step_run_context context = {
        .store = trial->store,
        .settings = trial->settings,
        .root = root,
        .secrets = trial->secrets,
        .workdir = f ? f->workdir : workdir,
        .log = &log,
        .finished = !f || f->finished,
        .user = text_or_null(sb_json_string(config_of(trial->image), "User", "")),
    };
    if (f)
        sb_pairs_add(&env, &f->env);
    else
        image_environment(trial->image, &env);
    sb_pairs_add(&env, trial->env);
    int failed = choose_program(trial, root, &env, &argv, err);
    const char *own_user = f ? f->user : NULL;
    struct sb_program program = {
        .argv = (const char *const *)argv.v,
        .env = &env,
        .workdir = trial->workdir,
        .user = trial->user ? trial->user : own_user,
        .network = trial->network_given ? trial->network : f && f->network,
        .mounts = shown->mounts,
        .mount_count = shown->n,
        .streams = trial->streams,
        .out_status = out_status,
    };
    choose_secrets(trial, &step);
    if (!failed)
        failed = sb_step_program(&step, &context, &program, err);
    free_step(&step);
    sb_pairs_free(&env);
    sb_buf_free(&log.tail);
    return failed;
}

int sb_trial_run(const struct sb_trial *trial, int *out_status, struct sb_error *err) {
    sb_autostrings struct sb_strings trees = {0};
    struct shown shown = {0};
    struct sb_root *root = NULL;
    sb_strings_copy(&trees, trial->trees);
    if (trial->failed)
        sb_strings_add(&trees, trial->failed->upper);
    int failed = trial->failed ? show_all(trial, &shown, err) : 0;
    if (!failed)
        failed = sb_root_mount(trial->store, &trees, &root, err);
    if (!failed)
        failed = run_in(trial, root, &shown, out_status, err);
    sb_root_free(root);
    free_shown(&shown);
    return failed;
}
