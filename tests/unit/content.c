/* Contents of files, as the threads of layers/content write them: many, large, and failing. */
#include "layers/content.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "layers/unpack.h"
#include "tests/unit/maketar.h"
#include "tests/unit/test.h"

#define SMALL 3000 /* files, enough for the threads to start */
#define LARGE (9u << 20)

static char directory[] = "/var/tmp/sb-content-XXXXXX";
static int top; /* of the directory */
static struct sb_error err;

static int new_directory(const char *name) {
    CHECK_INT(sb_tree_remove(top, name, &err), 0);
    CHECK_INT(mkdirat(top, name, 0755), 0);
    return openat(top, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int unpack(const struct sb_buf *tar, int dir) {
    static const struct sb_unpack_options overlay = {.form = SB_UNPACK_OVERLAY};
    int fd = memfd_create("tar", MFD_CLOEXEC);
    CHECK_INT(sb_fd_write(fd, tar->data, tar->len, "memfd", &err), 0);
    lseek(fd, 0, SEEK_SET);
    err = (struct sb_error){0};
    int rc = sb_unpack_fd(fd, dir, &overlay, &err);
    close(fd);
    return rc;
}

/* Bytes that show where they were, with holes of every size; deterministic. */
static char *pattern(size_t len, unsigned seed) {
    char *p = sb_alloc(len + 1);
    for (size_t at = 0; at < len; at++)
        if ((at / 40000 + seed) % 3 != 0)
            p[at] = (char)((at * 2654435761u + seed * 97) >> 13);
    return p;
}

static void small_name(int i, char out[40]) {
    snprintf(out, 40, "d%d/f%d", i / 200, i);
}

static size_t small_size(int i) {
    return (size_t)i % 7 == 0 ? 0 : (size_t)i * 37 % 20000;
}

/* Small files of every size, then large ones among more of them, and a name that comes twice. */
static void add_files(struct sb_buf *tar) {
    char name[40];
    for (int i = 0; i < SMALL; i++) {
        sb_autofree char *data = pattern(small_size(i), (unsigned)i);
        small_name(i, name);
        maketar_raw(tar, '0', name, NULL, i % 2 ? 0640 : 04755, data, small_size(i));
        if (i % 1000 == 500) {
            sb_autofree char *large = pattern(LARGE, (unsigned)i);
            snprintf(name, sizeof name, "large%d", i);
            maketar_raw(tar, '0', name, NULL, 0600, large, LARGE - (size_t)i);
        }
    }
    maketar_file(tar, "twice", "one");
    maketar_link(tar, "linked", "twice");
    maketar_file(tar, "twice", "two");
    maketar_end(tar);
}

static void check_file(int dir, const char *name, unsigned mode, size_t size, unsigned seed) {
    sb_autobuf struct sb_buf is = {0};
    sb_autofree char *expected = pattern(size, seed);
    struct stat st = {0};
    CHECK_INT(fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW), 0);
    CHECK_INT(st.st_mode & 07777, mode);
    CHECK_INT(st.st_mtim.tv_sec, 1700000000);
    CHECK_INT(sb_file_read(dir, name, LARGE, &is, &err), 0);
    CHECK(is.len == size && memcmp(sb_buf_text(&is), expected, size) == 0);
}

static void check_files(int dir) {
    char name[40];
    for (int i = 0; i < SMALL; i++) {
        small_name(i, name);
        check_file(dir, name, i % 2 ? 0640 : 04755, small_size(i), (unsigned)i);
    }
    for (int i = 500; i < SMALL; i += 1000) {
        snprintf(name, sizeof name, "large%d", i);
        check_file(dir, name, 0600, LARGE - (size_t)i, (unsigned)i);
    }
    sb_autobuf struct sb_buf one = {0}, two = {0};
    CHECK_INT(sb_file_read(dir, "linked", 10, &one, &err), 0);
    CHECK_INT(sb_file_read(dir, "twice", 10, &two, &err), 0);
    CHECK_STR(sb_buf_text(&one), "one");
    CHECK_STR(sb_buf_text(&two), "two");
}

static void check_many(const struct sb_buf *tar) {
    sb_autoclose int dir = new_directory("many");
    if (!CHECK_INT(unpack(tar, dir), 0))
        printf("    %s\n", err.message);
    check_files(dir);
}

/* However few descriptors there are: files that wait to be written give them back. */
static void check_few_descriptors(const struct sb_buf *tar) {
    struct rlimit old, few;
    sb_autoclose int dir = new_directory("few");
    getrlimit(RLIMIT_NOFILE, &old);
    few = (struct rlimit){.rlim_cur = (rlim_t)dir + 16, .rlim_max = old.rlim_max};
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &few), 0);
    if (!CHECK_INT(unpack(tar, dir), 0))
        printf("    %s\n", err.message);
    setrlimit(RLIMIT_NOFILE, &old);
    check_files(dir);
}

/* A thread's failure is the caller's, and names the file. */
static void check_failure(const struct sb_buf *tar) {
    struct rlimit old, small;
    sb_autoclose int dir = new_directory("failure");
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    small = (struct rlimit){.rlim_cur = 5u << 20, .rlim_max = old.rlim_max};
    int fd = memfd_create("tar", MFD_CLOEXEC);
    CHECK_INT(sb_fd_write(fd, tar->data, tar->len, "memfd", &err), 0);
    lseek(fd, 0, SEEK_SET);
    CHECK_INT(setrlimit(RLIMIT_FSIZE, &small), 0);
    static const struct sb_unpack_options overlay = {.form = SB_UNPACK_OVERLAY};
    CHECK_INT(sb_unpack_fd(fd, dir, &overlay, &err), -1);
    setrlimit(RLIMIT_FSIZE, &old);
    CHECK_INT(err.code, SB_E_IO);
    CHECK(strncmp(err.message, "large500: writing", 17) == 0);
    close(fd);
}

/* The tar ends in the middle of a file: what waits is given up, and nothing leaks. */
static void check_cut(const struct sb_buf *tar) {
    for (size_t len = tar->len / 4; len < tar->len; len += tar->len / 4) {
        sb_autoclose int dir = new_directory("cut");
        struct sb_buf part = {.data = tar->data, .len = len - 100};
        CHECK_INT(unpack(&part, dir), -1);
        CHECK_INT(err.code, SB_E_INTEGRITY);
    }
}

static int open_descriptors(void) {
    int n = 0;
    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

int main(void) {
    if (geteuid() != 0) {
        TEST_SKIP("needs root");
        return test_done();
    }
    umask(022);
    if (!mkdtemp(directory))
        return 1;
    top = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int before = open_descriptors();
    struct sb_buf tar = {0};
    add_files(&tar);
    check_many(&tar);
    check_few_descriptors(&tar);
    check_failure(&tar);
    check_cut(&tar);
    sb_buf_free(&tar);
    CHECK_INT(open_descriptors(), before);
    close(top);
    CHECK_INT(sb_tree_remove(AT_FDCWD, directory, &err), 0);
    return test_done();
}
