/*
 * Fuzzing tar: any bytes are walked and laid out in a directory, in both forms, and nothing beside
 * that directory changes. Run it as root to have owners and devices tried as well.
 */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "layers/unpack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char directory[] = "/tmp/sb-fuzz-XXXXXX";
static int top = -1;

static void clean_up(void) {
    sb_tree_remove(AT_FDCWD, directory, NULL);
}

static void start(void) {
    if (!mkdtemp(directory))
        __builtin_trap();
    top = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (top < 0 || sb_file_write(top, "victim", "untouched", 9, 0640, NULL) < 0)
        __builtin_trap();
    atexit(clean_up);
}

/* Nothing but the victim, as it was, and the directory. */
static void check_outside(void) {
    struct stat st;
    if (fstatat(top, "victim", &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_size != 9 ||
        (st.st_mode & 07777) != 0640 || st.st_nlink != 1)
        __builtin_trap();
    if (sb_tree_remove(top, "in", NULL) < 0)
        __builtin_trap();
    if (unlinkat(top, "victim", 0) < 0 || rmdir(directory) < 0)
        __builtin_trap(); /* something else is there */
    if (mkdir(directory, 0700) < 0)
        __builtin_trap();
    close(top);
    top = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (sb_file_write(top, "victim", "untouched", 9, 0640, NULL) < 0)
        __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (top < 0)
        start();
    for (int form = SB_UNPACK_OVERLAY; form <= SB_UNPACK_APPLY; form++) {
        struct sb_error err = {0};
        struct sb_unpack_options options = {
            .form = (enum sb_unpack_form)form,
            .user_xattrs = geteuid() != 0,
            .ignore_ownership = geteuid() != 0,
        };
        int fd = memfd_create("fuzz", MFD_CLOEXEC);
        if (fd < 0 || write(fd, data, size) != (ssize_t)size || lseek(fd, 0, SEEK_SET) < 0 ||
            mkdirat(top, "in", 0755) < 0)
            __builtin_trap();
        int dir = openat(top, "in", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (sb_unpack_fd(fd, dir, &options, &err) < 0 && err.code == SB_E_NONE)
            __builtin_trap();
        close(dir);
        close(fd);
        check_outside();
    }
    return 0;
}
