#include "steps/program.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/idmap.h"
#include "base/memory.h"
#include "base/text.h"
#include "document/environment.h"
#include "sandbox/container.h"
#include "sandbox/inroot.h"
#include "sandbox/program.h"
#include "sandbox/userns.h"
#include "steps/authorities.h"
#include "steps/failure.h"
#include "steps/hints.h"
#include "steps/mounts.h"
#include "steps/workdir.h"

/* ---- environment ---- */

/* Where programs leave traces, for who removes them. Without symlinks, as they are then. */
static void note_homes(struct sb_root *root, int fd, const struct sb_pairs *env) {
    static const struct {
        enum sb_root_trace what;
        const char *name;
    } all[] = {
        {SB_ROOT_HOME, "HOME"}, {SB_ROOT_CACHE, "XDG_CACHE_HOME"}, {SB_ROOT_CARGO, "CARGO_HOME"}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        bool exists;
        const char *path = sb_pairs_get(env, all[i].name);
        sb_autofree char *resolved =
            path && *path == '/' ? sb_inroot_resolve(fd, path, &exists, NULL) : NULL;
        if (resolved)
            sb_root_note(root, all[i].what, resolved);
    }
}

static void make_environment(const struct sb_step *step, const struct sb_step_run_context *context,
                             const struct sb_program *program, const char *home,
                             struct sb_pairs *env) {
    sb_program_environment(home, program->network, !context->finished, env);
    sb_autofree char *epoch = sb_format("%lld", (long long)context->epoch);
    if (!context->finished)
        sb_pairs_set(env, "SOURCE_DATE_EPOCH", epoch);
    const char *terminal = getenv("TERM");
    if (program->streams && sb_streams_has_terminal(program->streams) && terminal)
        sb_pairs_set(env, "TERM", terminal);
    sb_pairs_add(env, context->env);
    for (size_t i = 0; step->kind->sees_args && i < step->args.n; i++) {
        const char *value = sb_pairs_get(&context->recipe->args, step->args.v[i]);
        sb_pairs_set(env, step->args.v[i], value ? value : "");
    }
    sb_pairs_add(env, program->env);
    sb_pairs_add(env, context->own_env);
}

const char *sb_step_path(const struct sb_step_run_context *context) {
    const char *own = context->own_env ? sb_pairs_get(context->own_env, "PATH") : NULL;
    const char *seen = context->env ? sb_pairs_get(context->env, "PATH") : NULL;
    return own ? own : seen ? seen : SB_DEFAULT_PATH;
}

/* ---- in the root ---- */

/* What is known once the mount points are there. */
struct place {
    struct sb_user user;
    struct sb_pairs env;
    const char *workdir;
};

static int check_user(const struct sb_user *user, struct sb_error *err) {
    if (sb_idmap_has(user->uid, user->gid))
        return 0;
    sb_fail(err, SB_E_STEP, "the step's user is %u:%u, which whoever builds has no ids for",
            user->uid, user->gid);
    return sb_error_hint(err, SB_STEP_IDS_HINT);
}

static int look_up(const struct sb_step *step, const struct sb_step_run_context *context,
                   const struct sb_program *program, const struct sb_step_mounts *mounts,
                   struct place *out, struct sb_error *err) {
    const char *image_workdir = context->workdir ? context->workdir : "/";
    out->workdir = program->workdir ? program->workdir : image_workdir;
    sb_autoclose int root = sb_directory_open(AT_FDCWD, sb_root_path(context->root), err);
    if (root >= 0 && context->recipe && !program->workdir && !context->finished &&
        sb_workdir_awaits_user(root, image_workdir, context->recipe->image.user))
        out->workdir = "/";
    if (root < 0 || sb_inroot_user(root, program->user, &out->user, err) < 0 ||
        check_user(&out->user, err) < 0 ||
        sb_workdir_make(root, out->workdir, mounts, program->workdir ? &out->user : NULL,
                        context->epoch, err) < 0)
        return -1;
    make_environment(step, context, program, out->user.home, &out->env);
    note_homes(context->root, root, &out->env);
    if (sb_step_authorities_give(mounts, root, &out->env, err) < 0)
        return -1;
    if (sb_step_secrets_environment(step, context, &out->env, err) < 0)
        return -1;
    const char *path = sb_pairs_get(&out->env, "PATH");
    if (sb_inroot_has_program(root, program->argv[0], path, out->workdir))
        return 0;
    sb_fail(err, SB_E_STEP, "the root has no program %s", program->argv[0]);
    return sb_error_hint(err, "it was looked for in %s", path);
}

/* Only control groups tell; else it is what programs say. */
static bool lacks_processes(const struct sb_step_log *log) {
    const char *text = sb_step_log_said(log);
    return sb_userns_inside() &&
           (strstr(text, "an't fork") || strstr(text, "annot fork") ||
            strstr(text, "fork: Resource temporarily unavailable") || strstr(text, "fork: retry"));
}

static void note_failure(const struct sb_step *step, const struct sb_step_run_context *context,
                         const struct sb_program *program, const struct sb_step_mounts *mounts,
                         const struct place *place) {
    struct sb_pairs env = {0};
    if (!context->failure || !place->workdir)
        return;
    make_environment(step, context, program, place->user.home, &env);
    sb_step_failure_note(step, context, program, &env, place->workdir, mounts);
    sb_pairs_free(&env);
}

static int run(const struct sb_step *step, struct sb_step_run_context *context,
               const struct sb_program *program, struct sb_step_mounts *mounts, struct place *place,
               struct sb_error *err) {
    if (sb_step_mounts_begin(step, context, program, mounts, err) < 0 ||
        look_up(step, context, program, mounts, place, err) < 0)
        return -1;
    if (mounts->search.len)
        sb_pairs_set(&place->env, "LOCALDOMAIN", mounts->search.data);
    if (sb_step_mounts_give(step, context, &place->user, mounts, err) < 0)
        return -1;
    struct sb_limits limits = sb_settings_limits(context->settings);
    if (program->out_status)
        limits.time = 0;
    enum sb_limit_met met = SB_LIMIT_NONE;
    struct sb_container container = {
        .argv = program->argv,
        .env = &place->env,
        .workdir = place->workdir,
        .uid = place->user.uid,
        .gid = place->user.gid,
        .groups = place->user.groups,
        .group_count = place->user.group_count,
        .network = program->network,
        .mounts = mounts->v,
        .mount_count = mounts->n,
        .secret = sb_step_secrets_in_environment(step),
        .limits = &limits,
        .out_met = &met,
        .streams = program->streams,
        .stop = program->stop,
        .own_network = program->own_network,
    };
    int status;
    sb_step_log_begin(context->log);
    if (sb_container_run(context->store, context->settings, context->root, &container, context->log,
                         &status, err) < 0)
        return -1;
    if (program->out_status) {
        *program->out_status = status;
        return 0;
    }
    if (status == 0) {
        sb_step_warn(step, context, program->network);
        return 0;
    }
    sb_autofree char *failed = program->failed ? program->failed(program->failed_data) : NULL;
    sb_autofree char *name = sb_program_name(failed ? failed : program->name, program->argv);
    if (met == SB_LIMIT_NONE && lacks_processes(context->log))
        met = SB_LIMIT_OF_TASKS;
    sb_program_ended(name, status, &limits, met, err);
    return sb_step_hint(step, context, program->network, status, err);
}

int sb_step_program(const struct sb_step *step, struct sb_step_run_context *context,
                    const struct sb_program *program, struct sb_error *err) {
    struct sb_step_mounts mounts = {0};
    struct place place = {0};
    struct sb_program own = *program;
    if (!own.user && context->finished)
        own.user = context->user;
    program = &own;
    int failed = run(step, context, program, &mounts, &place, err);
    if (!failed)
        sb_step_mounts_succeeded(&mounts);
    if (failed && err && err->code == SB_E_STEP)
        note_failure(step, context, program, &mounts, &place);
    if (sb_step_mounts_end(&mounts, step, context, failed ? NULL : err) < 0)
        failed = -1;
    sb_step_secrets_forget(step, &place.env);
    sb_pairs_free(&place.env);
    return failed;
}
