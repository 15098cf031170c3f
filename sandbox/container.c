#include "sandbox/container.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/text.h"
#include "sandbox/contain.h"
#include "sandbox/container_private.h"
#include "sandbox/first.h"
#include "sandbox/runtime.h"
#include "sandbox/userns.h"

enum { RUNTIME_LOG_LIMIT = 1 << 20 };

#define FIRST_DIRECTORY "first" /* in the bundle, if it is needed */

/* The program's directory: config.json, state/ (the runtime's, which copies the former), log (the
 * runtime's). */
struct bundle {
    char *path, *id;
    int fd;
    bool mounted;   /* a tmpfs */
    bool own_users; /* it says that there is to be a user namespace */
    char *first;    /* the file of the program's first process; NULL: it is that itself */
    bool first_mounted;
};

/* config.json is JSON, and JSON is UTF-8. */
static int check_text(const struct sb_container *container, struct sb_error *err) {
    bool good = sb_text_is_utf8(container->workdir);
    for (size_t i = 0; container->argv[i]; i++)
        good = good && sb_text_is_utf8(container->argv[i]);
    for (size_t i = 0; i < container->env->n; i++)
        if (!sb_text_is_utf8(container->env->v[i].name) ||
            !sb_text_is_utf8(container->env->v[i].value))
            return sb_fail(err, SB_E_STEP, "the environment variable %s is not UTF-8",
                           container->env->v[i].name);
    return good ? 0 : sb_fail(err, SB_E_STEP, "the command or the workdir is not UTF-8");
}

/* What is attended by somebody, or told to end, is process 1 as in any other container: signals go
 * to it. Nobody waits for the orphans of the others. */
static int add_first(struct sb_store *store, const struct sb_container *container,
                     struct bundle *bundle, struct sb_error *err) {
    if (container->streams || container->stop)
        return 0;
    sb_autofree char *directory = sb_format("%s/" FIRST_DIRECTORY, bundle->path);
    bundle->first = sb_first_file(store, directory, &bundle->first_mounted, err);
    return bundle->first ? 0 : -1;
}

static int make_bundle(struct sb_store *store, const struct sb_root *root,
                       const struct sb_container *container, bool own_users, struct bundle *out,
                       struct sb_error *err) {
    static atomic_uint count;
    unsigned number = atomic_fetch_add(&count, 1);
    out->id = sb_format("sbuild-%d-%u", (int)getpid(), number);
    out->path = sb_format("%s/run-%u", sb_store_tmp_path(store), number);
    if (mkdir(out->path, 0700) < 0)
        return sb_fail_errno(err, SB_E_IO, "creating the directory %s", out->path);
    if (container->secret && mount("sbuild-bundle", out->path, "tmpfs",
                                   MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700,size=64m") < 0)
        return sb_fail_errno(err, SB_E_FAILED, "mounting a tmpfs for a step with secrets");
    out->mounted = container->secret;
    out->own_users = own_users;
    out->fd = sb_directory_open(AT_FDCWD, out->path, err);
    if (out->fd < 0 || add_first(store, container, out, err) < 0)
        return -1;
    sb_autojson json_t *config = sb_container_config(root, container, out->first, own_users);
    sb_autobuf struct sb_buf text = {0};
    sb_json_write(config, &text);
    sb_autoclose int fd =
        openat(out->fd, "config.json", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return sb_fail_errno(err, SB_E_IO, "creating %s/config.json", out->path);
    return sb_fd_write(fd, text.data, text.len, "config.json", err);
}

static void drop_bundle(struct bundle *bundle) {
    sb_close_descriptor(&bundle->fd);
    if (bundle->first_mounted) {
        sb_autofree char *directory = sb_format("%s/" FIRST_DIRECTORY, bundle->path);
        umount2(directory, MNT_DETACH | UMOUNT_NOFOLLOW);
    }
    if (bundle->mounted)
        umount2(bundle->path, MNT_DETACH | UMOUNT_NOFOLLOW);
    if (bundle->path)
        sb_tree_remove(AT_FDCWD, bundle->path, NULL);
    free(bundle->first);
    free(bundle->path);
    free(bundle->id);
}

static void add_arguments(const struct sb_runtime *runtime, const struct bundle *bundle,
                          struct sb_strings *argv) {
    sb_strings_add(argv, runtime->path);
    sb_strings_add(argv, runtime->crun ? "--cgroup-manager=disabled" : "--rootless=true");
    sb_strings_addf(argv, "--root=%s/state", bundle->path);
    /* To crun, what stands before a colon says what kind of log it is. */
    sb_strings_addf(argv, "--log=%s%s/log", runtime->crun ? "file:" : "", bundle->path);
    sb_strings_add(argv, "--log-format=json");
    sb_strings_add(argv, "run");
    sb_strings_add(argv, "--no-new-keyring");
    sb_strings_addf(argv, "--bundle=%s", bundle->path);
    sb_strings_add(argv, bundle->id);
}

/* The runtime's log has a JSON object a line: {"level": "error", "msg": …}. Appends the messages of
 * its errors. */
static void read_errors(const struct bundle *bundle, struct sb_buf *out) {
    sb_autobuf struct sb_buf text = {0};
    if (sb_file_read(bundle->fd, "log", RUNTIME_LOG_LIMIT, &text, NULL) < 0 || !text.data)
        return;
    char *rest = text.data;
    for (char *line; (line = strsep(&rest, "\n"));) {
        sb_autojson json_t *entry = sb_json_parse(line, strlen(line), NULL);
        const char *level = entry ? sb_json_string(entry, "level", "") : "";
        if (strcmp(level, "error") != 0 && strcmp(level, "fatal") != 0)
            continue;
        sb_buf_addf(out, "%s%s", out->len ? "; " : "", sb_json_string(entry, "msg", line));
    }
}

/* Output that a runtime writes before the program runs is its own; a program's is passed on. Both
 * go through one pipe, so that a runtime which fails is told by its log and status: what it wrote
 * is then in the step's log, which does no harm. */
static int run_with(const struct sb_runtime *runtime, const struct bundle *bundle,
                    const struct sb_container *container, struct sb_step_log *log, int *out_status,
                    struct sb_error *err) {
    static const char *const env[] = {
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", NULL};
    sb_autostrings struct sb_strings argv = {0};
    if (bundle->own_users && sb_container_shares_network(container) &&
        !runtime->crun) /* it wants this machine's /sys */
        return sb_fail(err, SB_E_FAILED, "%s makes no such user namespace", runtime->path);
    add_arguments(runtime, bundle, &argv);
    unlinkat(bundle->fd, "log", 0);
    struct sb_contain contain = {
        .argv = (const char *const *)argv.v,
        .env = env,
        .directory = bundle->path,
        .cgroups = runtime->crun ? SB_CGROUPS_HIDE : SB_CGROUPS_READ_ONLY,
        .network = container->network,
        .own_system = bundle->own_users,
        .limits = container->limits,
        .out_met = container->out_met,
        .streams = container->streams,
        .stop = container->stop,
    };
    if (sb_contain_run(&contain, log, out_status, err) < 0)
        return -1;
    if (*out_status == 0 || (container->out_met && *container->out_met == SB_LIMIT_OF_TIME))
        return 0;
    sb_autobuf struct sb_buf errors = {0};
    read_errors(bundle, &errors);
    if (!errors.len)
        return 0;
    return sb_fail(err, SB_E_FAILED, "%s: %s", runtime->path, errors.data);
}

/* By the first runtime that works. */
static int run_in(struct sb_store *store, const struct sb_settings *settings,
                  const struct sb_runtimes *runtimes, const struct bundle *bundle,
                  const struct sb_container *container, struct sb_step_log *log, int *out_status,
                  struct sb_error *err) {
    struct sb_error first = {0};
    int failed = -1;
    for (size_t i = 0; i < runtimes->n; i++) {
        struct sb_error error = {0};
        failed = run_with(&runtimes->v[i], bundle, container, log, out_status, &error);
        if (!failed) {
            if ((i > 0 || !runtimes->remembered) && (!settings || !settings->runtime))
                sb_runtime_remember(store, &runtimes->v[i]);
            return 0;
        }
        if (i == 0)
            first = error;
        bool last = i + 1 == runtimes->n || error.code == SB_E_INTERRUPTED;
        if (last && err)
            *err = error.code == SB_E_INTERRUPTED ? error : first;
        if (last)
            break;
    }
    return failed;
}

static int run_once(struct sb_store *store, const struct sb_settings *settings,
                    const struct sb_root *root, const struct sb_container *container,
                    bool own_users, struct sb_step_log *log, int *out_status,
                    struct sb_error *err) {
    struct sb_runtimes runtimes;
    if (sb_runtimes_find(store, settings, &runtimes, err) < 0)
        return -1;
    struct bundle bundle = {.fd = -1};
    int failed = make_bundle(store, root, container, own_users, &bundle, err);
    if (!failed)
        failed = run_in(store, settings, &runtimes, &bundle, container, log, out_status, err);
    drop_bundle(&bundle);
    sb_runtimes_free(&runtimes);
    return failed;
}

/* Root's steps are in a user namespace too, where there may be one: else whoever has an account of
 * the number that a program takes could look into it, and through it into the root and at secrets.
 */
int sb_container_run(struct sb_store *store, const struct sb_settings *settings,
                     const struct sb_root *root, const struct sb_container *container,
                     struct sb_step_log *log, int *out_status, struct sb_error *err) {
    static atomic_bool impossible[2]; /* with a network of its own, with another */
    atomic_bool *never = &impossible[sb_container_shares_network(container)];
    struct sb_error failure = {0};
    if (check_text(container, err) < 0)
        return -1;
    bool tried = !atomic_load(never) && !sb_userns_inside();
    if (tried && run_once(store, settings, root, container, true, log, out_status, &failure) == 0)
        return 0;
    if (tried && failure.code != SB_E_FAILED) {
        if (err)
            *err = failure;
        return -1;
    }
    int failed = run_once(store, settings, root, container, false, log, out_status, err);
    if (tried && !failed)
        atomic_store(never, true);
    return failed;
}
