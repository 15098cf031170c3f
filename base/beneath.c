#include "base/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"

enum { ATTEMPTS = 100 };

static int open_how(int dirfd, const char *path, uint64_t flags, uint64_t resolve) {
    struct open_how how = {.flags = flags | O_CLOEXEC, .resolve = resolve | RESOLVE_NO_MAGICLINKS};
    for (int attempt = 0;; attempt++) {
        long fd = syscall(SYS_openat2, dirfd, *path ? path : ".", &how, sizeof how);
        /* EAGAIN: something was renamed elsewhere while ".." was being looked up. */
        if (fd >= 0 || attempt == ATTEMPTS || (errno != EAGAIN && errno != EINTR))
            return (int)fd;
    }
}

int sb_open_beneath(int dirfd, const char *path, uint64_t flags, int how) {
    return open_how(dirfd, path, flags,
                    RESOLVE_BENEATH | (how & SB_BENEATH_NO_LINKS ? RESOLVE_NO_SYMLINKS : 0));
}

int sb_directory_beneath(int dirfd, const char *path) {
    return sb_open_beneath(dirfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, SB_BENEATH_NO_LINKS);
}

int sb_open_in_root(int dirfd, const char *path, uint64_t flags) {
    return open_how(dirfd, path, flags, RESOLVE_IN_ROOT);
}

static int explain(const char *path, struct sb_error *err) {
    if (errno == EXDEV || errno == ELOOP) {
        sb_fail(err, SB_E_FAILED, "%s: a symbolic link%s", path,
                errno == EXDEV ? " that leads elsewhere" : ", where none is followed");
        return sb_error_hint(err, "put the file itself there");
    }
    return sb_fail_errno(err, errno == ENOENT || errno == ENOTDIR ? SB_E_NOT_FOUND : SB_E_IO, "%s",
                         path);
}

int sb_beneath_open(int dirfd, const char *path, int how, struct stat *out, struct sb_error *err) {
    /* Looked at before it is opened: some devices do things when they are. */
    sb_autoclose int found = sb_open_beneath(dirfd, path, O_PATH, how);
    struct stat st;
    if (found < 0)
        return explain(path, err);
    if (fstat(found, &st) < 0)
        return sb_fail_errno(err, SB_E_IO, "%s", path);
    if (sb_file_check(&st, path, err) < 0)
        return -1;
    sb_autoclose int fd = sb_open_beneath(dirfd, path, SB_FILE_FLAGS, how);
    if (fd < 0)
        return explain(path, err);
    if (fstat(fd, &st) < 0)
        return sb_fail_errno(err, SB_E_IO, "%s", path);
    if (sb_file_check(&st, path, err) < 0)
        return -1;
    if (out)
        *out = st;
    return sb_steal_fd(&fd);
}

int sb_beneath_read(int dirfd, const char *path, int how, size_t max, struct sb_buf *out,
                    struct sb_error *err) {
    struct stat st = {0};
    sb_autoclose int fd = sb_beneath_open(dirfd, path, how, &st, err);
    return fd < 0 ? -1 : sb_file_take(fd, &st, path, max, out, err);
}
