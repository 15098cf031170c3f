/*
 * Several layers (tests/fuzz/layers.h), unpacked: the top one as overlayfs wants it, or all of them
 * onto one another. Nothing beside the directory changes. Run it as root to have owners and
 * devices tried as well.
 */
#include "layers/archive.h"
#include "layers/block.h"
#include "layers/unpack.h"
#include "tests/fuzz/layers.h"

static int top = -1;

static void start(void) {
    top = open(fuzz_directory(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    FUZZ_CHECK(top >= 0 && sb_file_write(top, "a", "untouched", 9, 0640, NULL) == 0);
    sb_blocks_keep();
}

static void check_outside(void) {
    struct stat st;
    FUZZ_CHECK(fstatat(top, "a", &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_size == 9 &&
               (st.st_mode & 07777) == 0640 && st.st_nlink == 1);
    static const char *const others[] = {"b", "c", "d", "etc", "usr"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        FUZZ_CHECK(fstatat(top, others[i], &st, AT_SYMLINK_NOFOLLOW) < 0);
}

static int write_layer(const struct made_layers *layers, size_t layer) {
    int fd = fuzz_file("", 0);
    struct sb_archive archive = {.fd = fd, .what = "fuzz"};
    for (size_t i = 0; i < layers->n; i++) {
        const struct sb_entry *e = &layers->v[i].entry;
        if (layers->v[i].layer == layer && sb_archive_entry(&archive, e, NULL) == 0 && e->size)
            sb_archive_data(&archive, "123", (size_t)e->size, NULL);
    }
    sb_archive_finish(&archive, NULL);
    sb_archive_free(&archive);
    FUZZ_CHECK(lseek(fd, 0, SEEK_SET) == 0);
    return fd;
}

static void unpack(const struct made_layers *layers, size_t layer, enum sb_unpack_form form) {
    struct sb_error err = {0};
    const struct sb_unpack_options options = {
        .form = form, .user_xattrs = geteuid() != 0, .ignore_ownership = geteuid() != 0};
    int dir = openat(top, "in", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (sb_unpack_fd(write_layer(layers, layer), dir, &options, &err) < 0)
        fuzz_check_error(&err);
    close(dir);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct made_layers layers;
    if (top < 0)
        start();
    made_layers_read(data, size, &layers);
    FUZZ_CHECK(mkdirat(top, "in", 0755) == 0);
    if (size % 2) /* one form for each input */
        unpack(&layers, layers.layers - 1, SB_UNPACK_OVERLAY);
    for (size_t i = 0; size % 2 == 0 && i < layers.layers; i++)
        unpack(&layers, i, SB_UNPACK_APPLY);
    check_outside();
    FUZZ_CHECK(sb_tree_remove(top, "in", NULL) == 0);
    made_layers_free(&layers);
    return 0;
}
