#include "sandbox/root.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "sandbox/root_private.h"
#include "sandbox/userns.h"

static int make_directory(const char *path, struct sb_error *err) {
    /* Modes are set apart, as the umask may be any. */
    if (mkdir(path, 0755) < 0 || chmod(path, 0755) < 0)
        return sb_fail_errno(err, SB_E_IO, "creating the directory %s", path);
    return 0;
}

static int say_why_not(const struct sb_root *root, struct sb_error *err) {
    int code = errno;
    sb_fail_errno(err, SB_E_FAILED, "mounting %zu layers as an overlay at %s", root->trees.n,
                  root->merged);
    if (code == ENODEV)
        return sb_error_hint(err, "this kernel has no overlayfs: modprobe overlay");
    if (code == EPERM || code == EACCES)
        return sb_error_hint(err, sb_userns_inside()
                                      ? "overlayfs in a user namespace needs Linux 5.11 or later"
                                      : "sbuild needs CAP_SYS_ADMIN for this");
    if (code == EINVAL)
        return sb_error_hint(err, "the store's file system may be an overlay itself, or one that "
                                  "overlayfs can't write to (NFS): put the store elsewhere, with "
                                  "--store; the kernel's log says more");
    return -1;
}

/* Directories are named by descriptors: short enough for 127 layers in one page of options, free of
 * characters that overlayfs gives a meaning, and good for threads, unlike a working directory. */
static int add_directory(const char *path, const char *before, struct sb_buf *options,
                         struct sb_error *err) {
    int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return sb_fail_errno(err, SB_E_IO, "opening %s", path);
    sb_buf_addf(options, "%s/proc/self/fd/%d", before, fd);
    return fd;
}

struct overlay {
    int *fds;
    size_t count;
    struct sb_buf options;
};

static int open_directories(struct sb_root *root, const char *work, struct overlay *overlay,
                            struct sb_error *err) {
    size_t trees = root->trees.n, shown = root->shown != NULL, lower = shown + trees;
    overlay->fds = sb_alloc((lower + 3) * sizeof *overlay->fds);
    for (size_t i = 0; i < lower + 3; i++) {
        const char *path = i < shown        ? root->shown
                           : i < lower      ? root->trees.v[lower - 1 - i]
                           : i == lower     ? root->stubs_path
                           : i == lower + 1 ? root->upper
                                            : work;
        const char *before = i == 0           ? "lowerdir="
                             : i <= lower     ? ":"
                             : i == lower + 1 ? ",upperdir="
                                              : ",workdir=";
        int fd = add_directory(path, before, &overlay->options, err);
        if (fd < 0)
            return -1;
        overlay->fds[overlay->count++] = fd;
    }
    return 0;
}

static int mount_options(struct sb_root *root, struct sb_buf *options, struct sb_error *err) {
    /* No feature whose traces in a layer other machines may not know. */
    sb_buf_adds(options, ",index=off,metacopy=off,redirect_dir=nofollow");
    if (sb_userns_inside())
        sb_buf_adds(options, ",userxattr");
    size_t len = options->len;
    sb_buf_adds(options, ",volatile"); /* nothing is lost with an upper directory but a retry */
    if (mount("overlay", root->merged, "overlay", MS_NODEV, options->data) == 0)
        return 0;
    options->data[options->len = len] = '\0'; /* before Linux 5.10 */
    if (errno == EINVAL && mount("overlay", root->merged, "overlay", MS_NODEV, options->data) == 0)
        return 0;
    return say_why_not(root, err);
}

int sb_root_mount_overlay(struct sb_root *root, struct sb_error *err) {
    /* overlayfs refuses the work directory of an earlier volatile mount */
    sb_autofree char *work = sb_format("%s/work-%u", root->directory, root->mounts++);
    if (make_directory(work, err) < 0)
        return -1;
    struct overlay overlay = {0};
    int failed = open_directories(root, work, &overlay, err);
    if (!failed)
        failed = mount_options(root, &overlay.options, err);
    for (size_t i = 0; i < overlay.count; i++)
        close(overlay.fds[i]);
    free(overlay.fds);
    sb_buf_free(&overlay.options);
    root->mounted = !failed;
    return failed;
}

int sb_root_unmount_overlay(struct sb_root *root, struct sb_error *err) {
    if (!root->mounted)
        return 0;
    if (umount2(root->merged, UMOUNT_NOFOLLOW) < 0 &&
        (errno != EBUSY || umount2(root->merged, MNT_DETACH | UMOUNT_NOFOLLOW) < 0))
        return sb_fail_errno(err, SB_E_FAILED, "unmounting %s", root->merged);
    root->mounted = false;
    return 0;
}

/* overlayfs takes no directory twice. Of a layer that an image has twice the upper one decides: it
 * has all that the lower one could show. */
static void add_trees(struct sb_root *root, const struct sb_strings *trees) {
    for (size_t i = 0; i < trees->n; i++) {
        bool again = false;
        for (size_t j = i + 1; j < trees->n; j++)
            again = again || !strcmp(trees->v[i], trees->v[j]);
        if (!again)
            sb_strings_add(&root->trees, trees->v[i]);
    }
}

int sb_root_mount(struct sb_store *store, const struct sb_strings *trees, struct sb_root **out,
                  struct sb_error *err) {
    char *directory = sb_store_tmp_new(store, "root", err);
    if (!directory)
        return -1;
    struct sb_root *root = sb_alloc(sizeof *root);
    root->directory = directory;
    root->stubs_path = sb_format("%s/stubs", root->directory);
    root->upper = sb_format("%s/upper", root->directory);
    root->merged = sb_format("%s/merged", root->directory);
    add_trees(root, trees);
    if (make_directory(root->directory, err) < 0 || make_directory(root->stubs_path, err) < 0 ||
        make_directory(root->upper, err) < 0 || make_directory(root->merged, err) < 0 ||
        sb_root_mount_overlay(root, err) < 0) {
        sb_root_free(root);
        return -1;
    }
    *out = root;
    return 0;
}

void sb_root_note(struct sb_root *root, enum sb_root_trace what, const char *path) {
    struct sb_strings *list = what == SB_ROOT_HOME    ? &root->homes
                              : what == SB_ROOT_CACHE ? &root->caches
                                                      : &root->cargos;
    if (!sb_strings_has(list, path))
        sb_strings_add(list, path);
}

const char *sb_root_path(const struct sb_root *root) {
    return root->merged;
}

const char *sb_root_upper(const struct sb_root *root) {
    return root->upper;
}

const struct sb_strings *sb_root_trees(const struct sb_root *root) {
    return &root->trees;
}

char *sb_root_make_shown(struct sb_root *root, struct sb_error *err) {
    char *path = sb_format("%s/shown-%u", root->directory, root->shown_count++);
    if (make_directory(path, err) == 0)
        return path;
    free(path);
    return NULL;
}

int sb_root_show(struct sb_root *root, const char *directory, struct sb_error *err) {
    if (!root->shown && !directory)
        return 0;
    free(root->shown);
    root->shown = directory ? sb_strdup(directory) : NULL;
    return sb_root_unmount_overlay(root, err) < 0 ? -1 : sb_root_mount_overlay(root, err);
}

int sb_root_unmount(struct sb_root *root, struct sb_error *err) {
    if (sb_root_unmount_overlay(root, err) < 0)
        return -1;
    sb_root_forget_stubs(root);
    return 0;
}

void sb_root_free(struct sb_root *root) {
    if (!root)
        return;
    /* What still is mounted must not be emptied through the mount. */
    if (sb_root_unmount_overlay(root, NULL) == 0)
        sb_tree_remove(AT_FDCWD, root->directory, NULL);
    sb_strings_free(&root->trees);
    sb_strings_free(&root->stubs);
    sb_strings_free(&root->secrets);
    sb_strings_free(&root->homes);
    sb_strings_free(&root->caches);
    sb_strings_free(&root->cargos);
    free(root->directory);
    free(root->stubs_path);
    free(root->upper);
    free(root->merged);
    free(root->shown);
    free(root);
}
