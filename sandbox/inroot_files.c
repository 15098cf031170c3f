#include "sandbox/inroot_files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "sandbox/inroot.h"

bool sb_inroot_exists(int root, const char *path) {
    sb_autoclose int fd = sb_inroot_open(root, path, O_PATH);
    return fd >= 0;
}

int sb_inroot_read(int root, const char *path, size_t max, struct sb_buf *out,
                   struct sb_error *err) {
    /* Not blocking: a FIFO of that name would wait for a writer. */
    sb_autoclose int fd = sb_inroot_open(root, path, O_RDONLY | O_NONBLOCK);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return sb_fail_errno(err, errno == ENOENT ? SB_E_NOT_FOUND : SB_E_IO, "%s in the image",
                             path);
    if (!S_ISREG(st.st_mode))
        return sb_fail(err, SB_E_FAILED, "%s in the image is not a regular file", path);
    return sb_fd_read(fd, max, out, err);
}

static int make_directory(int root, char *path, int64_t mtime) {
    char *slash = strrchr(path, '/');
    int parent;
    if (slash) {
        *slash = '\0';
        parent = make_directory(root, path, mtime);
        *slash = '/';
    } else {
        parent = sb_inroot_open(root, ".", O_RDONLY | O_DIRECTORY);
    }
    sb_autoclose int parent_fd = parent;
    if (parent_fd < 0)
        return -1;
    const char *name = slash ? slash + 1 : path;
    struct timespec times[2] = {{.tv_sec = mtime}, {.tv_sec = mtime}};
    if (mkdirat(parent_fd, name, 0755) == 0) {
        if (fchmodat(parent_fd, name, 0755, 0) < 0 || utimensat(parent_fd, name, times, 0) < 0)
            return -1;
    } else if (errno != EEXIST) {
        return -1;
    }
    return sb_inroot_open(root, path, O_RDONLY | O_DIRECTORY);
}

int sb_inroot_directory(int root, const char *path, int64_t mtime, struct sb_error *err) {
    sb_autofree char *absolute = sb_format("/%s", path);
    sb_autofree char *clean = sb_path_clean(absolute);
    int fd = clean[1] ? make_directory(root, clean + 1, mtime)
                      : sb_inroot_open(root, ".", O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return sb_fail_errno(err, SB_E_IO, "the directory %s in the image", clean);
    return fd;
}
