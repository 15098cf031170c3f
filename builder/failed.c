#include "builder/failed.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "layers/collect.h"

#define VERSION 1 /* of failure.json */

enum { FAILURE_LIMIT = 16 << 20 };

static const char directory_name[] = "failed";

/* ---- keeping ---- */

static int make_directory(const char *path, struct sb_error *err) {
    return mkdir(path, 0700) < 0 && errno != EEXIST
               ? sb_fail_errno(err, SB_E_IO, "creating the directory %s", path)
               : 0;
}

int sb_failed_prepare(struct sb_store *store, struct sb_step_failure *failure,
                      struct sb_error *err) {
    sb_autofree char *path = sb_store_tmp_new(store, "failed", err);
    if (!path)
        return -1;
    failure->directory = sb_format("%s/mounts", path);
    return make_directory(path, err) < 0 ? -1 : make_directory(failure->directory, err);
}

static int write_json(int fd, const char *name, const json_t *json, struct sb_error *err) {
    sb_autobuf struct sb_buf text = {0};
    sb_json_write_pretty(json, &text);
    return sb_file_write(fd, name, text.data, text.len, 0600, err);
}

static int copy_blob(struct sb_store *store, int fd, const char *name,
                     const struct sb_descriptor *blob, struct sb_error *err) {
    sb_autobuf struct sb_buf text = {0};
    if (sb_blob_read(store, blob, SB_CONFIG_LIMIT, &text, err) < 0)
        return -1;
    return sb_file_write(fd, name, text.data, text.len, 0600, err);
}

static int write_image(struct sb_store *store, int fd, const struct sb_image *image, int64_t epoch,
                       struct sb_error *err) {
    struct sb_image copy = {0};
    sb_image_copy(&copy, image);
    int failed = sb_image_save(store, &copy, epoch, err) < 0 ||
                 copy_blob(store, fd, "config.json", &copy.config_descriptor, err) < 0 ||
                 copy_blob(store, fd, "manifest.json", &copy.descriptor, err) < 0;
    sb_image_free(&copy);
    return failed ? -1 : 0;
}

static int write_all(struct sb_store *store, int fd, const struct sb_image *image,
                     const struct sb_root *root, const struct sb_step_failure *failure,
                     const char *what, int64_t epoch, struct sb_error *err) {
    sb_autojson json_t *json = sb_step_failure_json(failure);
    json_object_set_new(json, "version", json_integer(VERSION));
    json_object_set_new(json, "what", sb_json_from_text(what));
    if (write_image(store, fd, image, epoch, err) < 0 ||
        write_json(fd, "failure.json", json, err) < 0)
        return -1;
    if (renameat(AT_FDCWD, sb_root_upper(root), fd, "upper") < 0)
        return sb_fail_errno(err, SB_E_IO, "keeping %s", sb_root_upper(root));
    return 0;
}

static DIR *open_kept(struct sb_store *store) {
    int fd = openat(sb_store_private_fd(store), directory_name,
                    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir)
        sb_close_descriptor(&fd);
    return dir;
}

/* Names are times: the last in their order is the newest. */
static void list_kept(struct sb_store *store, struct sb_strings *out) {
    sb_autoclosedir DIR *dir = open_kept(store);
    for (struct dirent *e; dir && (e = readdir(dir));)
        if (e->d_name[0] != '.')
            sb_strings_add(out, e->d_name);
    sb_strings_sort(out);
}

/* The collector knows who still looks at one: that goes another time. */
static void drop_older(struct sb_store *store) {
    sb_autostrings struct sb_strings names = {0}, paths = {0};
    list_kept(store, &names);
    for (size_t i = 0; i + 1 < names.n; i++)
        sb_strings_addf(&paths, "sbuild/%s/%s", directory_name, names.v[i]);
    if (paths.n == 0)
        return;
    struct sb_collect_options options = SB_COLLECT_OPTIONS;
    struct sb_collect_report report = {0};
    struct sb_error ignored = {0};
    options.only = &paths;
    sb_store_collect(store, &options, &report, &ignored);
    sb_collect_report_free(&report);
}

static int publish(struct sb_store *store, const char *from, struct sb_error *err) {
    static atomic_uint count;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int private = sb_store_private_fd(store);
    sb_autofree char *to =
        sb_format("%s/%010lld.%09ld-%d-%u", directory_name, (long long)now.tv_sec, now.tv_nsec,
                  (int)getpid(), atomic_fetch_add(&count, 1));
    if (mkdirat(private, directory_name, 0700) < 0 && errno != EEXIST)
        return sb_fail_errno(err, SB_E_IO, "%s/sbuild/%s", sb_store_path(store), directory_name);
    if (renameat(AT_FDCWD, from, private, to) < 0)
        return sb_fail_errno(err, SB_E_IO, "%s/sbuild/%s", sb_store_path(store), to);
    utimensat(private, to, NULL, AT_SYMLINK_NOFOLLOW); /* it is used now */
    return 0;
}

int sb_failed_keep(struct sb_store *store, const struct sb_image *image, const struct sb_root *root,
                   const struct sb_step_failure *failure, const char *what, int64_t epoch,
                   struct sb_error *err) {
    sb_autofree char *own = sb_path_dirname(failure->directory);
    sb_autoclose int fd = sb_directory_open(AT_FDCWD, own, err);
    if (fd < 0 || write_all(store, fd, image, root, failure, what, epoch, err) < 0 ||
        publish(store, own, err) < 0)
        return -1;
    drop_older(store);
    return 0;
}

int sb_failed_tell(const char *store, struct sb_error *err) {
    struct sb_error whole = {0};
    sb_autofree char *option = store ? sb_format(" --store %s", store) : sb_strdup("");
    sb_autofree char *how = sb_format("a shell where it failed: sbuild run --failed%s", option);
    if (strlen(err->message) + strlen(how) + 2 > sizeof err->message)
        return sb_error_hint(err, "%s", how);
    sb_fail(&whole, err->code, "%s\n%s", err->message, how);
    memcpy(err->message, whole.message, sizeof err->message);
    return -1;
}

/* ---- looking at it ---- */

/* Finds the newest, and takes it into use. */
static char *take_newest(struct sb_store *store, struct sb_error *err) {
    sb_autostrings struct sb_strings names = {0};
    char *path = NULL;
    if (sb_store_hold(store, err) < 0)
        return NULL;
    list_kept(store, &names);
    for (size_t i = names.n; i-- > 0 && !path;) {
        char *candidate = sb_format("sbuild/%s/%s", directory_name, names.v[i]);
        if (sb_store_use(store, candidate, NULL) == 0)
            path = candidate;
        else
            free(candidate);
    }
    sb_store_release(store);
    if (!path) {
        sb_fail(err, SB_E_NOT_FOUND, "no failed step is kept in the store %s",
                sb_store_path(store));
        sb_error_hint(err, "the root of a step that fails is kept until another one fails, or "
                           "sbuild prune");
    }
    return path;
}

/* The manifest and config are no image's that anything names: they may be gone from the store. */
static int load_image(struct sb_store *store, int fd, struct sb_image *out, struct sb_error *err) {
    sb_autobuf struct sb_buf config = {0}, manifest = {0};
    struct sb_descriptor descriptor = {.media_type = SB_MEDIA_MANIFEST};
    struct sb_digest ignored;
    if (sb_file_read(fd, "config.json", SB_CONFIG_LIMIT, &config, err) < 0 ||
        sb_file_read(fd, "manifest.json", SB_MANIFEST_LIMIT, &manifest, err) < 0 ||
        sb_blob_put(store, sb_buf_text(&config), config.len, &ignored, err) < 0 ||
        sb_blob_put(store, sb_buf_text(&manifest), manifest.len, &descriptor.digest, err) < 0)
        return -1;
    descriptor.size = manifest.len;
    return sb_image_load(store, &descriptor, out, err);
}

static int load_failure(int fd, struct sb_failed *out, struct sb_error *err) {
    sb_autobuf struct sb_buf text = {0};
    if (sb_file_read(fd, "failure.json", FAILURE_LIMIT, &text, err) < 0)
        return -1;
    sb_autojson json_t *json = sb_json_parse(sb_buf_text(&text), text.len, err);
    if (!json)
        return -1;
    if (json_integer_value(json_object_get(json, "version")) != VERSION ||
        sb_step_failure_parse(json, &out->failure) < 0)
        return sb_fail(err, SB_E_FAILED, "failure.json is of another version of sbuild");
    out->what = sb_strdup(sb_json_string(json, "what", ""));
    return 0;
}

int sb_failed_load(struct sb_store *store, struct sb_failed *out, struct sb_error *err) {
    *out = (struct sb_failed){0};
    sb_autofree char *path = take_newest(store, err);
    if (!path)
        return -1;
    out->upper = sb_format("%s/%s/upper", sb_store_path(store), path);
    out->mounts = sb_format("%s/%s/mounts", sb_store_path(store), path);
    sb_autoclose int fd = sb_directory_open(sb_store_fd(store), path, err);
    if (fd >= 0 && load_failure(fd, out, err) == 0 && load_image(store, fd, &out->image, err) == 0)
        return 0;
    sb_error_context(err, "%s/%s", sb_store_path(store), path);
    sb_failed_free(out);
    return -1;
}

void sb_failed_free(struct sb_failed *failed) {
    sb_image_free(&failed->image);
    sb_step_failure_free(&failed->failure);
    free(failed->upper);
    free(failed->mounts);
    free(failed->what);
    *failed = (struct sb_failed){0};
}
