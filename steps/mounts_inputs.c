/*
 * inputs: of a step: files laid out beside the root, and shown in it, read-only, while a program
 * runs.
 *
 * Each source of an input is a mount of its own, so that a directory beside its files stays as it
 * is. Where the step has a cache directory, in which products of these files may lie, those that
 * are other ones than when it was used last are newer than all that is in it, as in steps/times.
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "context/copy.h"
#include "steps/inputs.h"
#include "steps/mounts_private.h"

#define RECORD_LIMIT (64u << 20)

/* ---- what caches know of them ---- */

static char *record_path(const char *cache) {
    return sb_format("%s.shown", cache);
}

/* Path → digest of all files. */
static json_t *digests(const struct sb_copy_list *list) {
    json_t *out = json_object();
    for (size_t i = 0; i < list->n; i++)
        if (S_ISREG(list->v[i].mode)) {
            sb_autofree char *name = sb_inputs_name(list->v[i].path);
            json_object_set_new(out, name, json_string(sb_digest_hex(&list->v[i].digest).text));
        }
    return out;
}

/* An empty object when there is none, or it is damaged: then all counts as changed. */
static json_t *read_record(struct sb_store *store, const char *cache) {
    sb_autofree char *path = record_path(cache);
    sb_autobuf struct sb_buf text = {0};
    json_t *record = NULL;
    if (sb_file_read(sb_store_private_fd(store), path, RECORD_LIMIT, &text, NULL) == 0)
        record = json_loadb(text.data, text.len, 0, NULL);
    json_t *files = json_is_object(record) && sb_json_integer(record, "version", 0) == 1
                        ? json_incref(json_object_get(record, "files"))
                        : NULL;
    json_decref(record);
    if (json_is_object(files))
        return files;
    json_decref(files);
    return json_object();
}

static int write_record(struct sb_store *store, const char *cache, json_t *files,
                        struct sb_error *err) {
    sb_autofree char *path = record_path(cache);
    sb_autojson json_t *record = json_pack("{s:i, s:O}", "version", 1, "files", files);
    sb_autobuf struct sb_buf text = {0};
    sb_json_write(record, &text);
    return sb_file_write(sb_store_private_fd(store), path, text.data, text.len, 0644, err);
}

/* What differs from what some cache knows is added to changed. Until the program succeeds the cache
 * knows nothing of these any more: what it made of them may lie there, or not. */
static int compare(struct sb_store *store, const char *cache, const json_t *now, json_t *changed,
                   struct sb_error *err) {
    sb_autojson json_t *before = read_record(store, cache), *until = json_object();
    const char *name;
    json_t *digest;
    json_object_foreach ((json_t *)now, name, digest) {
        bool same = json_equal(json_object_get(before, name), digest);
        json_object_set_new(until, name, same ? json_incref(digest) : json_string(""));
        if (!same)
            json_object_set_new(changed, name, json_true());
    }
    return write_record(store, cache, until, err);
}

static int show_changes(const struct sb_copy_list *list, struct sb_store *store, int fd,
                        struct sb_step_mounts *mounts, struct sb_error *err) {
    sb_autojson json_t *changed = json_object();
    mounts->brought = digests(list);
    for (size_t i = 0; i < mounts->caches.n; i++)
        if (compare(store, mounts->caches.v[i], mounts->brought, changed, err) < 0)
            return -1;
    const char *name;
    json_t *value;
    json_object_foreach (changed, name, value) {
        const struct timespec now[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_NOW}};
        sb_autofree char *path = sb_inputs_path(name);
        if (utimensat(fd, path, now, AT_SYMLINK_NOFOLLOW) < 0)
            return sb_fail_errno(err, SB_E_IO, "setting the time of the input %s", path);
    }
    return 0;
}

void sb_step_mounts_succeeded(const struct sb_step_mounts *mounts) {
    for (size_t i = 0; mounts->brought && i < mounts->caches.n; i++)
        write_record(mounts->context->store, mounts->caches.v[i], mounts->brought, NULL);
}

/* ---- where they are seen ---- */

/* What else is mounted below a directory of inputs needs its place there. */
static int make_places(const struct sb_step_mounts *mounts, size_t count, int fd,
                       const char *destination, struct sb_error *err) {
    for (size_t i = 0; i < count; i++) {
        const char *place = mounts->v[i].destination;
        if (!sb_path_is_below(place, destination))
            continue;
        sb_autofree char *clean = sb_path_clean(place + 1);
        for (char *slash = strchr(clean, '/'); slash; slash = strchr(slash + 1, '/')) {
            *slash = '\0';
            mkdirat(fd, clean, 0755);
            *slash = '/';
        }
        int made =
            mounts->points[i].directory
                ? mkdirat(fd, clean, 0755)
                : openat(fd, clean, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
        if (made < 0 && errno != EEXIST)
            return sb_fail_errno(err, SB_E_IO, "a place for %s among the inputs", place);
        if (made > 0)
            close(made);
    }
    return 0;
}

static int add_mounts(const struct sb_copy_list *list, const char *directory, int fd,
                      struct sb_step_mounts *mounts, struct sb_error *err) {
    const char *last = NULL;
    size_t others = mounts->n;
    for (size_t i = 0; i < list->n; i++) {
        const struct sb_copy_entry *e = &list->v[i];
        if (!e->source || (last && sb_path_is_below(e->path, last)))
            continue;
        last = e->path;
        if (S_ISLNK(e->mode)) {
            sb_fail(err, SB_E_STEP,
                    "the input %s is a symbolic link, which can't be shown by itself", e->source);
            return sb_error_hint(err, "name what it leads to, or the directory that it is in");
        }
        char *destination = sb_format("/%s", e->path);
        sb_strings_take(&mounts->sources, destination);
        if (sb_step_mounts_check_place(destination, err) < 0 ||
            make_places(mounts, others, fd, destination, err) < 0)
            return -1;
        sb_step_mounts_add(mounts, sb_format("%s/%s", directory, e->path), destination,
                           S_ISDIR(e->mode), true);
    }
    return 0;
}

static int lay_out(const struct sb_step *step, struct sb_step_run_context *context, int fd,
                   struct sb_copy_list *list, struct sb_error *err) {
    const struct sb_copy_ground ground = {.root = fd};
    if (sb_copy_resolve(step->inputs, step->input_count, context->from, &ground, list, err) < 0)
        return -1;
    return sb_copy_lay_out(list, context->from, NULL, fd, context->epoch, err);
}

int sb_step_inputs_places(const struct sb_step *step, struct sb_step_run_context *context,
                          struct sb_step_mounts *mounts, struct sb_error *err) {
    if (step->input_count == 0)
        return 0;
    sb_autofree char *directory = sb_format("%s/" SB_INPUTS_DIRECTORY, mounts->directory);
    if (mkdir(directory, 0755) < 0)
        return sb_fail_errno(err, SB_E_IO, "creating the directory %s", directory);
    sb_autoclose int fd = sb_directory_open(AT_FDCWD, directory, err);
    struct sb_copy_list list = {0};
    int failed = fd < 0 || lay_out(step, context, fd, &list, err) < 0 ||
                         show_changes(&list, context->store, fd, mounts, err) < 0 ||
                         add_mounts(&list, directory, fd, mounts, err) < 0
                     ? -1
                     : 0;
    sb_copy_list_free(&list);
    return failed;
}
