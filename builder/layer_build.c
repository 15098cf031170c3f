#include "builder/layer_build.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/process.h"
#include "document/environment.h"
#include "layers/clamp.h"
#include "layers/room.h"
#include "layers/trees.h"
#include "steps/bootstrap.h"
#include "steps/failure.h"
#include "steps/fetch.h"
#include "steps/times.h"

enum { LAST_LINES = 40, LAST_LINES_FULL = 10 };

/* STORE/sbuild/logs/20260102-030405-backend-app-PID-N.log */
static int open_log(const struct sb_layer_run *run, char **out_path, struct sb_error *err) {
    static atomic_uint count;
    struct sb_store *store = run->site->store;
    if (mkdirat(sb_store_private_fd(store), "logs", 0755) < 0 && errno != EEXIST)
        return sb_fail_errno(err, SB_E_IO, "%s/sbuild/logs", sb_store_path(store));
    char when[32];
    time_t now = time(NULL);
    struct tm tm;
    gmtime_r(&now, &tm);
    strftime(when, sizeof when, "%Y%m%d-%H%M%S", &tm);
    *out_path =
        sb_format("%s/sbuild/logs/%s-%s-%s-%d-%u.log", sb_store_path(store), when,
                  run->site->recipe->name, run->name, (int)getpid(), atomic_fetch_add(&count, 1));
    int fd = open(*out_path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0)
        return sb_fail_errno(err, SB_E_IO, "creating the log %s", *out_path);
    return fd;
}

/* What a download step fetches, with a log of its own. */
static int open_download(void *data, const struct sb_step *step, struct sb_error *err) {
    const struct sb_layer_site *site = data;
    const struct sb_layer_run run = {.site = site, .name = "download"};
    sb_autofree char *log_path = NULL;
    sb_autoclose int log_fd = open_log(&run, &log_path, err);
    struct sb_step_log log = {.fd = log_fd, .path = log_path};
    struct sb_digest digest;
    if (log_fd < 0)
        return -1;
    sb_digest_parse_hex(sb_step_placing(step)->sha256, &digest);
    int fd = sb_fetch(site->store, site->registry, sb_step_placing(step)->url, &digest,
                      sb_settings_download_seconds(site->settings), &log, err);
    sb_buf_free(&log.tail);
    if (fd < 0)
        sb_error_context(err, "%s:%d: %s", step->place.file, step->place.line, step->kind->name);
    return fd;
}

static int finish_only_part(struct sb_packer *packer, struct sb_parts *out, struct sb_error *err) {
    struct sb_layer part;
    if (sb_packer_finish(packer, &part, err) < 0)
        return -1;
    sb_parts_add(out, &part);
    return 0;
}

int sb_layer_pack_copy(const struct sb_layer_site *site, const struct sb_copy_list *list,
                       const struct sb_pack_options *options, struct sb_parts *out,
                       struct sb_error *err) {
    const struct sb_copy_fetch fetch = {open_download, (void *)site};
    struct sb_packer *packer;
    if (sb_packer_start(site->store, options, &packer, err) < 0)
        return -1;
    if (sb_copy_pack(list, site->from, &fetch, packer, site->epoch, err) < 0) {
        sb_room_explain(sb_store_fd(site->store), err);
        sb_packer_abort(packer);
        return -1;
    }
    return finish_only_part(packer, out, err);
}

/* pip sees no argument unless it is told to, so that one that changes at every commit costs
 * nothing; who builds something with such a variable has to know. */
static void tell_hidden(const struct sb_step *step, const struct sb_pairs *templates,
                        struct sb_step_log *log) {
    for (size_t i = 0; i < templates->n && !step->args_given && step->kind->sees_env; i++) {
        const char *hidden = sb_environment_hidden(&templates->v[i], &step->args);
        if (!hidden)
            continue;
        sb_autofree char *text = sb_format(
            "sbuild: %s does not see %s, which is made of the argument %s (args: [%s] shows it; "
            "args: [] says that it is not needed)\n",
            step->kind->name, templates->v[i].name, hidden, hidden);
        sb_step_log_say(log, text);
    }
}

static int run_step(const struct sb_layer_run *run, const struct sb_step *step,
                    struct sb_step_run_context *context, struct sb_error *err) {
    struct sb_step_environment env = {0};
    if (sb_layer_environment(run->site, step, &env, err) < 0) {
        sb_step_environment_free(&env);
        return -1;
    }
    context->env = &env.seen;
    context->own_env = &env.own;
    context->workdir = step->kind->sees_env ? run->site->workdir : "/";
    tell_hidden(step, &run->site->recipe->image.env, context->log);
    tell_hidden(step, &run->site->recipe->build.env, context->log);
    context->failed_line = 0;
    int failed = step->kind->run(step, context, err);
    context->env = context->own_env = NULL;
    sb_step_environment_free(&env);
    bool says_place = sb_step_placing(step) != NULL;
    if (failed < 0 && !says_place)
        sb_error_context(err, "%s:%d: %s", step->place.file,
                         context->failed_line ? context->failed_line : step->place.line,
                         step->kind->name);
    return failed < 0 ? -1 : 0;
}

static int run_steps(const struct sb_layer_run *run, struct sb_step_run_context *context,
                     struct sb_error *err) {
    if (!run->layer)
        return sb_bootstrap_run(&run->site->recipe->from.bootstrap, context, err);
    for (size_t i = 0; i < run->layer->step_count; i++) {
        if (sb_interrupt_check(err) < 0 || run_step(run, &run->layer->steps[i], context, err) < 0)
            return -1;
    }
    return 0;
}

/* Leaves the end of it, if that is too much for a message. */
static void keep_end(struct sb_buf *lines, size_t most) {
    if (lines->len <= most)
        return;
    const char *from = lines->data + lines->len - most;
    const char *newline = memchr(from, '\n', most - 1);
    bool whole = newline != NULL;
    from = whole ? newline + 1 : from;
    for (int i = 0; i < 3 && !whole && ((unsigned char)*from & 0xC0) == 0x80; i++)
        from++; /* no part of a character */
    sb_autofree char *text = sb_format("%s%s", whole ? "" : "…", from);
    sb_buf_reset(lines);
    sb_buf_adds(lines, text);
}

/* What a developer needs to see when a step fails: the end of its output, and where the rest is. */
static void add_log_tail(const struct sb_step_log *log, int most, struct sb_error *err) {
    enum { FOR_MORE = 1024 }; /* bytes of what is still put in front of it */
    sb_autobuf struct sb_buf text = {0};
    sb_autobuf struct sb_buf lines = {0};
    sb_autobuf struct sb_buf rest = {0};
    sb_buf_addf(&rest, "the whole log: %s", log->path);
    size_t said = strlen(err->message), others = said + rest.len + FOR_MORE;
    sb_step_log_last_lines(log, most, &lines);
    for (size_t i = 0; i < lines.len; i++) /* an error is a string */
        lines.data[i] = lines.data[i] ? lines.data[i] : '?';
    keep_end(&lines, sizeof err->message > others ? sizeof err->message - others : 1);
    if (lines.len && lines.data[lines.len - 1] != '\n')
        sb_buf_addc(&lines, '\n');
    sb_buf_addf(&text, "%s\n%s%s", err->message, sb_buf_text(&lines), rest.data);
    struct sb_error whole = *err;
    sb_fail(&whole, err->code, "%s", text.data);
    memcpy(err->message, whole.message, sizeof err->message);
    err->output_at = said + 1;
    err->output_len = lines.len;
}

/* A root to look at: nothing is cleaned there. */
static bool is_kept(const struct sb_layer_run *run, struct sb_root *root,
                    const struct sb_error *why) {
    return why->code == SB_E_STEP && run->failure && run->failure->workdir &&
           sb_root_unmount(root, NULL) == 0;
}

int sb_layer_run(const struct sb_layer_run *run, struct sb_root **out, char **out_what,
                 struct sb_error *err) {
    const struct sb_layer_site *site = run->site;
    sb_autofree char *log_path = NULL;
    sb_autoclose int log_fd = open_log(run, &log_path, err);
    struct sb_root *root = NULL;
    if (log_fd < 0 || sb_root_mount(site->store, run->trees, &root, err) < 0)
        return -1;
    struct sb_step_log log = {.fd = log_fd,
                              .path = log_path,
                              .line = run->output,
                              .data = run->data,
                              .disk = sb_store_fd(site->store)};
    struct sb_step_run_context context = {.store = site->store,
                                          .settings = run->settings,
                                          .registry = site->registry,
                                          .recipe = site->recipe,
                                          .platform = site->platform,
                                          .layer = run->layer,
                                          .root = root,
                                          .inputs = site->context,
                                          .from = site->from,
                                          .secrets = site->secrets,
                                          .epoch = site->epoch,
                                          .log = &log,
                                          .failure = run->failure,
                                          .times = sb_step_times_new(),
                                          .warn = run->warn,
                                          .warn_data = run->data};
    int failed = run_steps(run, &context, err);
    sb_step_times_free(context.times);
    if (failed)
        sb_room_explain(log.disk, err);
    bool kept = failed && is_kept(run, root, err);
    if (kept)
        *out_what = sb_strdup(err->message);
    if (failed && err->code == SB_E_STEP)
        add_log_tail(&log, LAST_LINES, err);
    else if (failed && err->code == SB_E_NO_SPACE)
        add_log_tail(&log, LAST_LINES_FULL, err);
    failed = failed || sb_root_unmount(root, err) < 0 || sb_root_clean(root, err) < 0 ||
             sb_tree_clamp(sb_root_upper(root), site->epoch, err) < 0;
    sb_buf_free(&log.tail);
    if (kept)
        *out = root;
    if (failed) {
        if (!kept)
            sb_root_free(root);
        return -1;
    }
    *out = root;
    return 0;
}

int sb_layer_pack_root(struct sb_store *store, const struct sb_root *root, int64_t epoch,
                       const struct sb_pack_options *options, struct sb_parts *out,
                       struct sb_error *err) {
    struct sb_packer *packer;
    if (sb_packer_start(store, options, &packer, err) < 0)
        return -1;
    struct sb_tree_pack_options tree = {.overlay = true, .epoch = epoch};
    if (sb_tree_pack(packer, sb_root_upper(root), &tree, err) < 0) {
        sb_packer_abort(packer);
        return -1;
    }
    return finish_only_part(packer, out, err);
}
