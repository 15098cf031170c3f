#include "layers/clamp.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"

/* Every name is reached from its directory's descriptor: paths may be longer than a system call
 * takes, and the working directory belongs to all threads (so fts(3) won't do). */

enum { DEPTH_LIMIT = 2048 }; /* paths of 4,096 bytes have no more components */

static bool is_later(const struct stat *st, int64_t epoch) {
    return st->st_mtim.tv_sec > epoch || (st->st_mtim.tv_sec == epoch && st->st_mtim.tv_nsec > 0);
}

static int clamp_directory(int fd, int depth, int64_t epoch, struct sb_error *err);

static int clamp_entry(int parent, const char *name, int depth, int64_t epoch,
                       struct sb_error *err) {
    struct stat st;
    if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return sb_fail_errno(err, SB_E_IO, "%s", name);
    if (S_ISDIR(st.st_mode)) {
        int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
            return sb_fail_errno(err, SB_E_IO, "%s", name);
        if (clamp_directory(fd, depth + 1, epoch, err) < 0)
            return -1;
    }
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = epoch}};
    if (is_later(&st, epoch) && utimensat(parent, name, times, AT_SYMLINK_NOFOLLOW) < 0)
        return sb_fail_errno(err, SB_E_IO, "setting the time of %s", name);
    return 0;
}

/* Takes over fd. */
static int clamp_directory(int fd, int depth, int64_t epoch, struct sb_error *err) {
    sb_autoclosedir DIR *dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return sb_fail_errno(err, SB_E_IO, "reading a directory of the layer");
    }
    if (depth > DEPTH_LIMIT)
        return sb_fail(err, SB_E_FAILED, "directories are nested more than %d deep", DEPTH_LIMIT);
    const struct dirent *e;
    while ((e = readdir(dir)))
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
            clamp_entry(fd, e->d_name, depth, epoch, err) < 0)
            return -1;
    return 0;
}

int sb_tree_clamp(const char *path, int64_t epoch, struct sb_error *err) {
    int fd = sb_directory_open(AT_FDCWD, path, err);
    if (fd < 0 || clamp_directory(fd, 0, epoch, err) < 0)
        return sb_error_context(err, "setting times in %s", path);
    return 0;
}
