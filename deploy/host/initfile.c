#include "deploy/host/initfile.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/file.h"
#include "base/initbytes.h"
#include "base/memory.h"
#include "deploy/belongings.h"

#define FILE_NAME "init"
#define TEMPORARY ".init"
#define SHARED    "init" /* of a store: STORE/sbuild/init */

/* A layer may have something of that name: it goes, and nothing is followed. */
static int open_directory(int dir, struct sb_error *err) {
    struct stat st;
    if (fstatat(dir, SB_INIT_DIRECTORY, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_uid != 0 ||
        !S_ISDIR(st.st_mode)) {
        if (sb_tree_remove(dir, SB_INIT_DIRECTORY, err) < 0)
            return -1;
        if (mkdirat(dir, SB_INIT_DIRECTORY, 0755) < 0)
            return sb_fail_errno(err, SB_E_IO, "creating %s", SB_INIT_DIRECTORY);
    }
    int fd = openat(dir, SB_INIT_DIRECTORY, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fchmod(fd, 0755) < 0) {
        sb_fail_errno(err, SB_E_IO, "opening %s", SB_INIT_DIRECTORY);
        sb_close_descriptor(&fd);
        return -1;
    }
    return fd;
}

static int fill(int fd, const char *label, struct sb_error *err) {
    size_t len;
    const void *bytes = sb_init_bytes(&len);
    if (sb_fd_write(fd, bytes, len, SB_INIT_PATH, err) < 0)
        return -1;
    if (fchmod(fd, 0755) < 0 || fsync(fd) < 0 ||
        (label && fsetxattr(fd, "security.selinux", label, strlen(label) + 1, 0) < 0))
        return sb_fail_errno(err, SB_E_IO, "creating %s", SB_INIT_PATH);
    return 0;
}

/* ---- one for all ---- */

/* Those of other versions that no generation has any more. */
static void sweep(int shared, const char *but) {
    int copy = openat(shared, SHARED, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    sb_autoclosedir DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        struct stat st;
        if (strcmp(e->d_name, but) != 0 &&
            fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
            st.st_nlink == 1)
            unlinkat(dirfd(dir), e->d_name, 0);
    }
}

/* Generations share it, on the disk and in memory. False: where that is not possible. */
static bool link_shared(int shared, int at) {
    size_t len;
    const void *bytes = sb_init_bytes(&len);
    struct sb_digest digest = sb_digest_of(bytes, len);
    sb_autofree char *name = sb_strdup(sb_digest_text(&digest).text + strlen("sha256:"));
    sb_autofree char *path = sb_format(SHARED "/%s", name);
    sb_autobuf struct sb_buf there = {0};
    struct sb_error ignored = {0};
    bool whole = sb_file_read(shared, path, len + 1, &there, NULL) == 0 && there.len == len &&
                 !memcmp(there.data, bytes, len);
    if (!whole) {
        if (sb_directory_make(shared, SHARED, 0700, &ignored) < 0 ||
            sb_file_write(shared, path, bytes, len, 0755, &ignored) < 0)
            return false;
        sweep(shared, name);
    }
    return linkat(shared, path, at, TEMPORARY, 0) == 0;
}

static int copy(int at, const char *label, struct sb_error *err) {
    sb_autoclose int fd =
        openat(at, TEMPORARY, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0755);
    if (fd < 0)
        return sb_fail_errno(err, SB_E_IO, "creating %s", SB_INIT_PATH);
    return fill(fd, label, err); /* closed at once: nobody runs a file that is open for writing */
}

int sb_initfile_write(int dir, int shared, const char *label, struct sb_error *err) {
    sb_autoclose int at = open_directory(dir, err);
    if (at < 0 || sb_tree_remove(at, FILE_NAME, err) < 0 || sb_tree_remove(at, TEMPORARY, err) < 0)
        return -1;
    if ((shared < 0 || !link_shared(shared, at)) && copy(at, label, err) < 0)
        return -1;
    if (renameat(at, TEMPORARY, at, FILE_NAME) < 0)
        return sb_fail_errno(err, SB_E_IO, "creating %s", SB_INIT_PATH);
    return sb_directory_sync(at, err) < 0 ? -1 : sb_directory_sync(dir, err);
}
