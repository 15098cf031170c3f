#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/memory.h"

int sb_fd_read(int fd, size_t max, struct sb_buf *out, struct sb_error *err) {
    size_t start = out->len;
    for (;;) {
        sb_buf_reserve(out, 16384);
        ssize_t n = read(fd, out->data + out->len, out->cap - out->len - 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return sb_fail_errno(err, SB_E_IO, "reading");
        if (n == 0)
            break;
        out->len += (size_t)n;
        if (out->len - start > max)
            return sb_fail(err, SB_E_FAILED, "more than the %zu bytes allowed", max);
    }
    out->data[out->len] = '\0';
    return 0;
}

bool sb_owner_is_ours(uid_t owner) {
    const char *sudo = geteuid() == 0 ? getenv("SUDO_UID") : NULL;
    return owner == 0 || owner == geteuid() ||
           (sudo && *sudo && (uid_t)strtoul(sudo, NULL, 10) == owner);
}

static const char *kind_of(mode_t mode) {
    return S_ISDIR(mode)    ? "a directory"
           : S_ISFIFO(mode) ? "a FIFO"
           : S_ISSOCK(mode) ? "a socket"
           : S_ISLNK(mode)  ? "a symbolic link"
                            : "a device";
}

int sb_file_check(const struct stat *st, const char *path, struct sb_error *err) {
    bool null = S_ISCHR(st->st_mode) && st->st_rdev == makedev(1, 3);
    if (S_ISREG(st->st_mode) || null)
        return 0;
    return sb_fail(err, SB_E_IO, "%s: is %s, not a file", path, kind_of(st->st_mode));
}

static int fail_to_open(const char *path, struct sb_error *err) {
    return sb_fail_errno(err, errno == ENOENT ? SB_E_NOT_FOUND : SB_E_IO, "%s", path);
}

int sb_file_open(int dirfd, const char *path, struct stat *out, struct sb_error *err) {
    struct stat st;
    if (fstatat(dirfd, path, &st, 0) < 0) /* first: some devices do things when they are opened */
        return fail_to_open(path, err);
    if (sb_file_check(&st, path, err) < 0)
        return -1;
    sb_autoclose int fd = openat(dirfd, path, SB_FILE_FLAGS);
    if (fd < 0)
        return fail_to_open(path, err);
    if (fstat(fd, &st) < 0)
        return sb_fail_errno(err, SB_E_IO, "%s", path);
    if (sb_file_check(&st, path, err) < 0)
        return -1;
    if (out)
        *out = st;
    return sb_steal_fd(&fd);
}

int sb_file_take(int fd, const struct stat *st, const char *path, size_t max, struct sb_buf *out,
                 struct sb_error *err) {
    if ((uint64_t)st->st_size > max)
        return sb_fail(err, SB_E_FAILED, "%s: %lld bytes, and at most %zu are allowed", path,
                       (long long)st->st_size, max);
    sb_buf_reserve(out, (size_t)st->st_size + 1);
    return sb_fd_read(fd, max, out, err) < 0 ? sb_error_context(err, "%s", path) : 0;
}

int sb_file_read(int dirfd, const char *path, size_t max, struct sb_buf *out,
                 struct sb_error *err) {
    struct stat st = {0};
    sb_autoclose int fd = sb_file_open(dirfd, path, &st, err);
    return fd < 0 ? -1 : sb_file_take(fd, &st, path, max, out, err);
}

int sb_fd_write(int fd, const void *data, size_t len, const char *what, struct sb_error *err) {
    const char *p = data;
    while (len > 0) {
        ssize_t n = write(fd, p, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return sb_fail_errno(err, SB_E_IO, "writing %s", what);
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

int sb_file_temporary(int dirfd, char *name_out, struct sb_error *err) {
    for (int attempt = 0; attempt < 100; attempt++) {
        uint64_t random;
        if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random)
            return sb_fail_errno(err, SB_E_IO, "getting random bytes");
        snprintf(name_out, 32, SB_TMP_PREFIX "%016llx", (unsigned long long)random);
        int fd = openat(dirfd, name_out, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd >= 0)
            return fd;
        if (errno != EEXIST)
            break;
    }
    return sb_fail_errno(err, SB_E_IO, "creating a temporary file");
}

int sb_directory_sync(int dirfd, struct sb_error *err) {
    if (fsync(dirfd) < 0 && errno != EINVAL)
        return sb_fail_errno(err, SB_E_IO, "syncing a directory");
    return 0;
}

int sb_directory_open(int dirfd, const char *path, struct sb_error *err) {
    int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return sb_fail_errno(err, errno == ENOENT ? SB_E_NOT_FOUND : SB_E_IO, "%s", path);
    return fd;
}

int sb_directory_each(int fd, void (*visit)(void *data, const char *name), void *data) {
    _Alignas(struct dirent64) char piece[32768];
    ssize_t n;
    while ((n = getdents64(fd, piece, sizeof piece)) > 0) {
        const struct dirent64 *e;
        for (ssize_t at = 0; at < n; at += e->d_reclen) {
            e = (const void *)(piece + at);
            if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
                visit(data, e->d_name);
        }
    }
    return n < 0 ? -1 : 0;
}

static int write_and_rename(int parent, const char *name, const void *data, size_t len, mode_t mode,
                            struct sb_error *err) {
    char temporary[32];
    sb_autoclose int fd = sb_file_temporary(parent, temporary, err);
    if (fd < 0)
        return -1;
    int failed = sb_fd_write(fd, data, len, name, err);
    if (!failed && (fchmod(fd, mode) < 0 || fsync(fd) < 0))
        failed = sb_fail_errno(err, SB_E_IO, "writing %s", name);
    if (!failed && close(sb_steal_fd(&fd)) < 0)
        failed = sb_fail_errno(err, SB_E_IO, "writing %s", name);
    if (!failed && renameat(parent, temporary, parent, name) < 0)
        failed = sb_fail_errno(err, SB_E_IO, "renaming into %s", name);
    if (failed) {
        unlinkat(parent, temporary, 0);
        return -1;
    }
    return 0;
}

static int write_in_parent(int dirfd, const char *path, const void *data, size_t len, mode_t mode,
                           bool sync_parent, struct sb_error *err) {
    const char *slash = strrchr(path, '/');
    sb_autofree char *dir = sb_path_dirname(path);
    sb_autoclose int parent = sb_directory_open(dirfd, dir, err);
    if (parent < 0)
        return -1;
    if (write_and_rename(parent, slash ? slash + 1 : path, data, len, mode, err) < 0 ||
        (sync_parent && sb_directory_sync(parent, err) < 0))
        return sb_error_context(err, "%s", dir);
    return 0;
}

int sb_file_write(int dirfd, const char *path, const void *data, size_t len, mode_t mode,
                  struct sb_error *err) {
    return write_in_parent(dirfd, path, data, len, mode, true, err);
}

int sb_file_replace(int dirfd, const char *path, const void *data, size_t len, mode_t mode,
                    struct sb_error *err) {
    return write_in_parent(dirfd, path, data, len, mode, false, err);
}

int sb_file_publish(int tmp_dirfd, int dirfd, const char *path, const void *data, size_t len,
                    struct sb_error *err) {
    char temporary[32];
    sb_autoclose int fd = sb_file_temporary(tmp_dirfd, temporary, err);
    if (fd < 0)
        return sb_error_context(err, "%s", path);
    int failed = sb_fd_write(fd, data, len, path, err);
    if (!failed && (close(sb_steal_fd(&fd)) < 0 || renameat(tmp_dirfd, temporary, dirfd, path) < 0))
        failed = sb_fail_errno(err, SB_E_IO, "writing %s", path);
    if (failed)
        unlinkat(tmp_dirfd, temporary, 0);
    return failed;
}

int sb_directory_make(int dirfd, const char *path, mode_t mode, struct sb_error *err) {
    if (mkdirat(dirfd, path, mode) == 0)
        return 0;
    sb_autofree char *copy = sb_strdup(path);
    for (char *p = copy + 1; errno == ENOENT && *p; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        if (mkdirat(dirfd, copy, mode) < 0 && errno != EEXIST)
            return sb_fail_errno(err, SB_E_IO, "creating the directory %s", copy);
        *p = '/';
        errno = ENOENT;
    }
    if (mkdirat(dirfd, path, mode) == 0)
        return 0;
    struct stat st;
    if (errno == EEXIST && fstatat(dirfd, path, &st, 0) == 0 && S_ISDIR(st.st_mode))
        return 0;
    return sb_fail_errno(err, SB_E_IO, "creating the directory %s", path);
}

void sb_directory_plain(int dirfd, const char *path) {
    sb_autoclose int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    /* Removing one that isn't there costs a transaction of the file system's journal. */
    if (fd >= 0 && fgetxattr(fd, "system.posix_acl_default", NULL, 0) > 0 &&
        fremovexattr(fd, "system.posix_acl_default") == 0)
        fremovexattr(fd, "system.posix_acl_access");
}

bool sb_path_exists(int dirfd, const char *path) {
    struct stat st;
    return fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

char *sb_path_join(const char *dir, const char *name) {
    if (name[0] == '/' || !strcmp(dir, "."))
        return sb_strdup(name);
    size_t n = strlen(dir);
    return sb_format("%s%s%s", dir, n > 0 && dir[n - 1] == '/' ? "" : "/", name);
}

char *sb_path_dirname(const char *path) {
    const char *slash = strrchr(path, '/');
    if (!slash)
        return sb_strdup(".");
    return slash == path ? sb_strdup("/") : sb_strndup(path, (size_t)(slash - path));
}

char *sb_path_beside(const char *path, const char *name) {
    sb_autofree char *dir = sb_path_dirname(path);
    return sb_path_join(dir, name);
}

bool sb_path_is_below(const char *path, const char *dir) {
    size_t n = strlen(dir);
    return !strncmp(path, dir, n) && (!path[n] || path[n] == '/');
}

char *sb_path_clean(const char *path) {
    bool absolute = path[0] == '/';
    struct sb_buf out = {0};
    size_t depth = 0; /* components that a ".." may take back */
    if (absolute)
        sb_buf_addc(&out, '/');
    for (const char *p = path; *p;) {
        size_t n = strcspn(p, "/");
        if (n == 2 && p[0] == '.' && p[1] == '.') {
            if (depth > 0) {
                while (out.len > 0 && out.data[out.len - 1] != '/')
                    out.len--;
                if (out.len > 1 || (out.len == 1 && !absolute))
                    out.len--;
                out.data[out.len] = '\0';
                depth--;
            } else if (!absolute) {
                sb_buf_adds(&out, out.len ? "/.." : "..");
            }
        } else if (n > 0 && !(n == 1 && p[0] == '.')) {
            if (out.len > 0 && out.data[out.len - 1] != '/')
                sb_buf_addc(&out, '/');
            sb_buf_add(&out, p, n);
            depth++;
        }
        p += n;
        while (*p == '/')
            p++;
    }
    if (out.len == 0)
        sb_buf_addc(&out, '.');
    return sb_buf_steal(&out);
}
