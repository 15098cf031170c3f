/*
 * Mount points in a root that leave no trace in its upper directory.
 *
 * A place that is missing is added to the stubs, the lowest directory of the overlay, and the root
 * is mounted anew to see it. Where that doesn't help, as a layer hides the place (a whiteout, or an
 * opaque directory), it is made in the root for the while, and removed afterwards; the times of
 * its parent are put back. Then a directory may stay in the upper directory as it is below.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "sandbox/inroot.h"
#include "sandbox/root_private.h"

static const struct timespec no_time[2];

/* The same mode and time whatever the umask and the hour. */
static int settle(int parent, const char *name, mode_t mode) {
    if (fchmodat(parent, name, mode, 0) < 0)
        return -1;
    return utimensat(parent, name, no_time, AT_SYMLINK_NOFOLLOW);
}

/* Who owns the directory in the root that is nearest to a place: a home directory's missing parts
 * belong to whom it belongs. */
struct owner {
    uid_t uid;
    gid_t gid;
    size_t known; /* bytes of the path that are that directory's */
};

static struct owner find_owner(int root, const char *path) {
    struct owner out = {0};
    for (const char *slash = path; (slash = strchr(slash + 1, '/'));) {
        sb_autofree char *part = sb_strndup(path, (size_t)(slash - path));
        struct stat st;
        sb_autoclose int fd = sb_inroot_open(root, part, O_PATH | O_DIRECTORY);
        if (fd < 0 || fstat(fd, &st) < 0)
            break;
        out = (struct owner){st.st_uid, st.st_gid, (size_t)(slash - path)};
    }
    return out;
}

static int give(int parent, const char *name, size_t len, const struct owner *owner) {
    return len > owner->known ? fchownat(parent, name, owner->uid, owner->gid, AT_SYMLINK_NOFOLLOW)
                              : 0;
}

/* Opens the directory that holds path, below base, making all that is missing on the way; name_out
 * points into path. The directories of a root may not be trusted, so each is opened by itself. */
static int open_parent(int base, const char *path, const struct owner *owner, const char **name_out,
                       struct sb_error *err) {
    int at = fcntl(base, F_DUPFD_CLOEXEC, 3);
    const char *name = path + 1;
    for (const char *slash; at >= 0 && (slash = strchr(name, '/')); name = slash + 1) {
        sb_autofree char *part = sb_strndup(name, (size_t)(slash - name));
        bool made = mkdirat(at, part, 0755) == 0;
        int next = made && (give(at, part, (size_t)(slash - path), owner) < 0 ||
                            settle(at, part, 0755) < 0)
                       ? -1
                       : openat(at, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int code = errno;
        close(at);
        at = next;
        errno = code;
    }
    *name_out = name;
    if (at < 0)
        return sb_fail_errno(err, SB_E_FAILED, "making a place for a mount at %s", path);
    return at;
}

static int make_point(int base, const char *path, bool directory, const struct owner *owner,
                      struct sb_error *err) {
    const char *name;
    sb_autoclose int parent = open_parent(base, path, owner, &name, err);
    if (parent < 0)
        return -1;
    if (directory ? mkdirat(parent, name, 0755) < 0 : mknodat(parent, name, S_IFREG | 0644, 0) < 0)
        if (errno != EEXIST)
            return sb_fail_errno(err, SB_E_FAILED, "making a place for a mount at %s", path);
    if (settle(parent, name, directory ? 0755 : 0644) < 0)
        return sb_fail_errno(err, SB_E_FAILED, "making a place for a mount at %s", path);
    return 0;
}

/* 1: it is there; 0: it isn't; -1: something else is. */
static int look(int root, const struct sb_root_point *point, struct sb_error *err) {
    sb_autoclose int fd = sb_inroot_open(root, point->resolved, O_PATH | O_NOFOLLOW);
    struct stat st;
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0 || fstat(fd, &st) < 0)
        return sb_fail_errno(err, SB_E_FAILED, "%s in the root", point->path);
    if (S_ISDIR(st.st_mode) == point->directory)
        return 1;
    return sb_fail(err, SB_E_FAILED, "%s in the root is %s", point->path,
                   point->directory ? "not a directory" : "a directory, not a file");
}

static int open_root(const struct sb_root *root, struct sb_error *err) {
    return sb_directory_open(AT_FDCWD, root->merged, err);
}

/* Adds what is missing to the stubs; out_added says whether anything was. */
static int add_stubs(struct sb_root *root, struct sb_root_point *points, size_t count,
                     bool *out_added, struct sb_error *err) {
    sb_autoclose int fd = open_root(root, err);
    sb_autoclose int stubs = sb_directory_open(AT_FDCWD, root->stubs_path, err);
    if (fd < 0 || stubs < 0)
        return -1;
    for (size_t i = 0; i < count; i++) {
        bool exists;
        points[i].resolved = sb_inroot_resolve(fd, points[i].path, &exists, err);
        int there = points[i].resolved ? look(fd, &points[i], err) : -1;
        if (there < 0)
            return -1;
        if (there || sb_strings_has(&root->stubs, points[i].resolved))
            continue;
        struct owner owner = find_owner(fd, points[i].resolved);
        if (make_point(stubs, points[i].resolved, points[i].directory, &owner, err) < 0)
            return -1;
        sb_strings_add(&root->stubs, points[i].resolved);
        *out_added = true;
    }
    futimens(stubs, no_time);
    return 0;
}

/* Makes in the root itself what stubs could not bring. */
static int make_hidden(struct sb_root *root, struct sb_root_point *points, size_t count,
                       struct sb_error *err) {
    sb_autoclose int fd = open_root(root, err);
    if (fd < 0)
        return -1;
    for (size_t i = 0; i < count; i++) {
        int there = look(fd, &points[i], err);
        if (there < 0)
            return -1;
        if (there)
            continue;
        sb_autofree char *directory = sb_path_dirname(points[i].resolved);
        struct stat st;
        sb_autoclose int parent = sb_inroot_open(fd, directory, O_RDONLY | O_DIRECTORY);
        bool known = parent >= 0 && fstat(parent, &st) == 0;
        struct owner owner = find_owner(fd, points[i].resolved);
        if (make_point(fd, points[i].resolved, points[i].directory, &owner, err) < 0)
            return -1;
        points[i].made = true;
        if (known)
            futimens(parent, (const struct timespec[2]){st.st_atim, st.st_mtim});
    }
    return 0;
}

int sb_root_points(struct sb_root *root, struct sb_root_point *points, size_t count,
                   struct sb_error *err) {
    bool added = false;
    if (add_stubs(root, points, count, &added, err) < 0)
        return -1;
    if (added && (sb_root_unmount_overlay(root, err) < 0 || sb_root_mount_overlay(root, err) < 0))
        return -1;
    return make_hidden(root, points, count, err);
}

void sb_root_points_drop(struct sb_root *root, struct sb_root_point *points, size_t count) {
    sb_autoclose int fd = root->mounted ? open_root(root, NULL) : -1;
    for (size_t i = count; i-- > 0;) {
        if (points[i].made && fd >= 0) {
            const char *name = strrchr(points[i].resolved, '/') + 1;
            sb_autofree char *directory = sb_path_dirname(points[i].resolved);
            sb_autoclose int parent = sb_inroot_open(fd, directory, O_RDONLY | O_DIRECTORY);
            struct stat st;
            bool known = parent >= 0 && fstat(parent, &st) == 0;
            if (known && unlinkat(parent, name, points[i].directory ? AT_REMOVEDIR : 0) == 0)
                futimens(parent, (const struct timespec[2]){st.st_atim, st.st_mtim});
        }
        free(points[i].resolved);
        points[i].resolved = NULL;
        points[i].made = false;
    }
}

static bool in_some_layer(const struct sb_root *root, const char *path) {
    for (size_t i = 0; i < root->trees.n; i++) {
        sb_autofree char *whole = sb_format("%s%s", root->trees.v[i], path);
        if (sb_path_exists(AT_FDCWD, whole))
            return true;
    }
    return false;
}

/* Of "/etc/resolv.conf" looks at /etc, then at /etc/resolv.conf. */
static void forget_stub(struct sb_root *root, int upper, const char *stub) {
    sb_autofree char *path = sb_strdup(stub);
    for (char *end = path + 1;; *end++ = '/') {
        end += strcspn(end, "/");
        bool last = !*end;
        *end = '\0';
        struct stat st;
        if (fstatat(upper, path + 1, &st, AT_SYMLINK_NOFOLLOW) < 0)
            return;
        if (S_ISCHR(st.st_mode) && st.st_rdev == 0 && !in_some_layer(root, path))
            unlinkat(upper, path + 1, 0);
        if (last || !S_ISDIR(st.st_mode))
            return; /* a symlink in particular: it may lead out of here */
    }
}

void sb_root_forget_stubs(struct sb_root *root) {
    sb_autoclose int upper = sb_directory_open(AT_FDCWD, root->upper, NULL);
    for (size_t i = 0; i < root->stubs.n && upper >= 0; i++)
        forget_stub(root, upper, root->stubs.v[i]);
}
