#include "steps/pip_layout.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/beneath.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/process.h"
#include "sandbox/inroot_files.h"

/* ---- copies ---- */

static int fail_changed(const struct sb_input *input, struct sb_error *err) {
    return sb_fail(err, SB_E_FAILED, "%s changed while it was being copied", input->path);
}

/* Opens a new file of that path, and the directories that it is in. */
static int create(int root, const struct sb_input *input, int64_t epoch, struct sb_error *err) {
    sb_autofree char *parent = sb_path_dirname(input->path);
    const char *slash = strrchr(input->path, '/');
    sb_autoclose int directory = sb_inroot_directory(root, parent, epoch, err);
    if (directory < 0)
        return -1;
    int fd = openat(directory, slash ? slash + 1 : input->path,
                    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        sb_fail_errno(err, SB_E_IO, "laying out %s", input->path);
    return fd;
}

static int finish(int fd, const struct sb_input *input, int64_t epoch, struct sb_error *err) {
    struct timespec times[2] = {{.tv_sec = epoch}, {.tv_sec = epoch}};
    if (fchmod(fd, input->mode & 0100 ? 0755 : 0644) < 0 || futimens(fd, times) < 0)
        return sb_fail_errno(err, SB_E_IO, "laying out %s", input->path);
    return 0;
}

/* A requirements file, with nothing editable that the step would take with it. */
static int copy_text(int context, int root, const struct sb_input *input, int64_t epoch,
                     struct sb_error *err) {
    sb_autobuf struct sb_buf text = {0};
    if (sb_beneath_read(context, input->path, SB_BENEATH_NO_LINKS, SB_REQUIREMENTS_SIZE_LIMIT,
                        &text, err) < 0)
        return -1;
    struct sb_digest digest = sb_digest_of(sb_buf_text(&text), text.len);
    if (!sb_digest_equal(&digest, &input->digest))
        return fail_changed(input, err);
    sb_autoclose int fd = create(root, input, epoch, err);
    if (fd < 0)
        return -1;
    sb_buf_reserve(&text, 1);
    text.data[text.len] = '\0';
    sb_requirements_unlink(text.data);
    return sb_fd_write(fd, text.data, text.len, input->path, err) < 0
               ? -1
               : finish(fd, input, epoch, err);
}

static int copy_file(int context, int root, const struct sb_input *input, int64_t epoch,
                     struct sb_error *err) {
    struct stat st;
    sb_autoclose int in = sb_beneath_open(context, input->path, SB_BENEATH_NO_LINKS, &st, err);
    sb_autoclose int out = in < 0 ? -1 : create(root, input, epoch, err);
    if (out < 0)
        return -1;
    struct sb_sha256 sha;
    sb_sha256_start(&sha);
    char chunk[65536];
    ssize_t n;
    while ((n = read(in, chunk, sizeof chunk)) > 0) {
        sb_sha256_add(&sha, chunk, (size_t)n);
        if (sb_interrupt_check(err) < 0 || sb_fd_write(out, chunk, (size_t)n, input->path, err) < 0)
            return -1;
    }
    if (n < 0)
        return sb_fail_errno(err, SB_E_IO, "%s", input->path);
    struct sb_digest copied = sb_sha256_finish(&sha);
    if (!sb_digest_equal(&copied, &input->digest))
        return fail_changed(input, err);
    return finish(out, input, epoch, err);
}

static int copy_link(int root, const struct sb_input *input, int64_t epoch, struct sb_error *err) {
    sb_autofree char *parent = sb_path_dirname(input->path);
    const char *slash = strrchr(input->path, '/');
    sb_autoclose int directory = sb_inroot_directory(root, parent, epoch, err);
    if (directory < 0)
        return -1;
    return symlinkat(input->link, directory, slash ? slash + 1 : input->path) < 0
               ? sb_fail_errno(err, SB_E_IO, "laying out %s", input->path)
               : 0;
}

static int copy_one(int context, int root, const struct sb_input *input, bool text, int64_t epoch,
                    struct sb_error *err) {
    if (!*input->path)
        return 0;
    if (S_ISDIR(input->mode)) {
        sb_autoclose int fd = sb_inroot_directory(root, input->path, epoch, err);
        return fd < 0 ? -1 : 0;
    }
    if (S_ISLNK(input->mode))
        return copy_link(root, input, epoch, err);
    return text ? copy_text(context, root, input, epoch, err)
                : copy_file(context, root, input, epoch, err);
}

static bool is_below_any(const char *path, const struct sb_strings *directories) {
    for (size_t i = 0; i < directories->n; i++)
        if (!strcmp(directories->v[i], ".") || sb_path_is_below(path, directories->v[i]))
            return true;
    return false;
}

/* By path, so that what is named twice is copied once. */
static int by_path(const void *a, const void *b) {
    return strcmp(((const struct sb_input *)a)->path, ((const struct sb_input *)b)->path);
}

static int copy_all(const struct sb_requirements *requirements, struct sb_context *inputs, int root,
                    int64_t epoch, struct sb_error *err) {
    struct sb_requirements copied = {.files = requirements->files,
                                     .projects = requirements->projects};
    struct sb_input_list list = {0};
    int failed = sb_requirements_scan(&copied, inputs, &list, err);
    if (list.n > 1)
        qsort(list.v, list.n, sizeof *list.v, by_path);
    for (size_t i = 0; i < list.n && !failed; i++)
        if (i == 0 || strcmp(list.v[i].path, list.v[i - 1].path) != 0)
            failed = copy_one(sb_context_fd(inputs), root, &list.v[i],
                              sb_strings_has(&requirements->files, list.v[i].path), epoch, err);
    sb_input_list_free(&list);
    return failed;
}

/* ---- mounts ---- */

/* A path of the context as this machine has it; the caller's to free. A symlink on the way might
 * lead out of the context, so there must be none. */
static char *source_of(const struct sb_context *inputs, const char *path, bool *out_directory,
                       struct sb_error *err) {
    sb_autoclose int fd = sb_open_beneath(sb_context_fd(inputs), path, O_PATH, SB_BENEATH_NO_LINKS);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0) {
        sb_fail_errno(err, SB_E_IO, "%s in the context %s", path, sb_context_path(inputs));
        return NULL;
    }
    *out_directory = S_ISDIR(st.st_mode);
    sb_autofree char *link = sb_format("/proc/self/fd/%d", fd);
    char target[4096];
    ssize_t n = readlink(link, target, sizeof target);
    if (n < 0 || (size_t)n == sizeof target) {
        sb_fail_errno(err, SB_E_IO, "%s", link);
        return NULL;
    }
    return sb_strndup(target, (size_t)n);
}

static int make_point(int root, const char *path, bool directory, int64_t epoch,
                      struct sb_error *err) {
    struct sb_input input = {.path = path, .mode = S_IFREG | 0644};
    sb_autoclose int fd =
        directory ? sb_inroot_directory(root, path, epoch, err) : create(root, &input, epoch, err);
    return fd < 0 ? -1 : 0;
}

static int add_mount(struct sb_pip_layout *layout, const struct sb_step_run_context *context,
                     int root, const char *path, const char *at, struct sb_error *err) {
    bool directory;
    char *source = source_of(context->inputs, path, &directory, err);
    if (!source)
        return -1;
    sb_strings_take(&layout->paths, source);
    if (!strcmp(path, ".")) { /* all of the context, as it is */
        layout->mounts[0] = (struct sb_mount){source, at, true};
        return 0;
    }
    char *destination = sb_format("%s/%s", at, path);
    sb_strings_take(&layout->paths, destination);
    layout->mounts[layout->mount_count++] = (struct sb_mount){source, destination, true};
    return make_point(root, path, directory, context->epoch, err);
}

/* What lies in a project, or in a directory that is mounted, is there already. */
static int add_mounts(const struct sb_requirements *requirements,
                      const struct sb_step_run_context *context, int root, const char *at,
                      struct sb_pip_layout *out, struct sb_error *err) {
    const struct sb_strings *lists[] = {&requirements->links, &requirements->archives};
    sb_autostrings struct sb_strings there = {0};
    sb_strings_copy(&there, &requirements->projects);
    out->mounts =
        sb_alloc((requirements->links.n + requirements->archives.n + 1) * sizeof *out->mounts);
    out->mounts[out->mount_count++] = (struct sb_mount){out->directory, at, false};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        for (size_t j = 0; j < lists[i]->n; j++) {
            const char *path = lists[i]->v[j];
            if (is_below_any(path, &there))
                continue;
            if (add_mount(out, context, root, path, at, err) < 0)
                return -1;
            sb_strings_add(&there, path);
        }
    return 0;
}

int sb_pip_layout_make(const struct sb_requirements *requirements,
                       const struct sb_step_run_context *context, const char *at,
                       struct sb_pip_layout *out, struct sb_error *err) {
    *out = (struct sb_pip_layout){0};
    if (!requirements->files.n && !requirements->projects.n && !requirements->archives.n &&
        !requirements->links.n)
        return 0;
    out->directory = sb_store_tmp_new(context->store, "pip", err);
    if (!out->directory)
        return -1;
    if (mkdir(out->directory, 0755) < 0 || chmod(out->directory, 0755) < 0)
        return sb_fail_errno(err, SB_E_IO, "creating the directory %s", out->directory);
    sb_autoclose int root = sb_directory_open(AT_FDCWD, out->directory, err);
    if (root < 0 || copy_all(requirements, context->inputs, root, context->epoch, err) < 0)
        return -1;
    return add_mounts(requirements, context, root, at, out, err);
}

void sb_pip_layout_free(struct sb_pip_layout *layout) {
    if (layout->directory)
        sb_tree_remove(AT_FDCWD, layout->directory, NULL);
    sb_strings_free(&layout->paths);
    free(layout->mounts);
    free(layout->directory);
}
