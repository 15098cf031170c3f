/*
 * Any bytes as a zip: walked and laid out in a directory, and nothing beside that
 * directory changes.
 */
#include <dirent.h>
#include <sys/stat.h>

#include "layers/block.h"
#include "layers/unpack.h"
#include "tests/fuzz/fuzz.h"

static int top = -1;

static void start(void) {
    top = open(fuzz_directory(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    FUZZ_CHECK(top >= 0 && sb_file_write(top, "victim", "untouched", 9, 0640, NULL) == 0);
    sb_blocks_keep();
}

/* Nothing but the victim, as it was, and the directory. */
static void check_outside(void) {
    struct stat st;
    FUZZ_CHECK(fstatat(top, "victim", &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_size == 9 &&
               (st.st_mode & 07777) == 0640 && st.st_nlink == 1 && st.st_uid == geteuid());
    FUZZ_CHECK(sb_tree_remove(top, "in", NULL) == 0);
    DIR *dir = opendir(fuzz_directory());
    int names = 0;
    while (dir && readdir(dir))
        names++;
    closedir(dir);
    FUZZ_CHECK(names == 3); /* . and .. too */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (top < 0)
        start();
    static const int64_t epoch = 1000;
    struct sb_error err = {0};
    const struct sb_unpack_options options = {
        .form = SB_UNPACK_ONTO,
        .ignore_ownership = geteuid() != 0,
        .mtime = &epoch,
    };
    FUZZ_CHECK(mkdirat(top, "in", 0755) == 0);
    int dir = openat(top, "in", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (sb_unpack_zip(fuzz_file(data, size), dir, &options, &err) < 0)
        fuzz_check_error(&err);
    close(dir);
    check_outside();
    return 0;
}
