#include "deploy/initfile.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"

#define FILE_NAME "init"
#define TEMPORARY ".init"

/* Linked in as it is. */
__asm__(".section .rodata, \"a\"\n"
        ".balign 16\n"
        "sb_init_bytes: .incbin \"" SB_INIT_FILE "\"\n"
        "sb_init_end: .byte 0\n"
        ".previous\n");
extern const char sb_init_bytes[] __attribute__((visibility("hidden")));
extern const char sb_init_end[] __attribute__((visibility("hidden")));

#define SIZE ((size_t)(sb_init_end - sb_init_bytes))

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
    if (sb_fd_write(fd, sb_init_bytes, SIZE, SB_INIT_PATH, err) < 0)
        return -1;
    if (fchmod(fd, 0755) < 0 || fsync(fd) < 0 ||
        (label && fsetxattr(fd, "security.selinux", label, strlen(label) + 1, 0) < 0))
        return sb_fail_errno(err, SB_E_IO, "creating %s", SB_INIT_PATH);
    return 0;
}

int sb_initfile_write(int dir, const char *label, struct sb_error *err) {
    sb_autoclose int at = open_directory(dir, err);
    if (at < 0 || sb_tree_remove(at, FILE_NAME, err) < 0 || sb_tree_remove(at, TEMPORARY, err) < 0)
        return -1;
    sb_autoclose int fd =
        openat(at, TEMPORARY, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0755);
    if (fd < 0)
        return sb_fail_errno(err, SB_E_IO, "creating %s", SB_INIT_PATH);
    if (fill(fd, label, err) < 0)
        return -1;
    close(sb_steal_fd(&fd)); /* nobody runs a file that is open for writing */
    if (renameat(at, TEMPORARY, at, FILE_NAME) < 0)
        return sb_fail_errno(err, SB_E_IO, "creating %s", SB_INIT_PATH);
    return sb_directory_sync(at, err) < 0 ? -1 : sb_directory_sync(dir, err);
}
