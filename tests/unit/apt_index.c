/* What Release files and lists of packages say: by whom it may have been written is anybody's
 * guess. */
#include "steps/apt_index.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/file.h"
#include "base/memory.h"
#include "steps/apt_kept.h"
#include "tests/unit/test.h"

#define A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define C "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"

static char directory[] = "/var/tmp/sb-apt-XXXXXX";
static int dir;

static bool not_b(void *data, const struct sb_digest *digest) {
    (void)data;
    return digest->bytes[0] != 0xbb;
}

static int note(void *data, const struct sb_digest *digest, const char *name,
                struct sb_error *err) {
    (void)err;
    sb_buf_addf(data, "%.1s %s\n", sb_digest_hex(digest).text, name);
    return 0;
}

static void says(bool release, const char *name, const char *text, const char *expected) {
    sb_autobuf struct sb_buf said = {0};
    struct sb_error err = {0};
    const struct sb_apt_index index = {&said, not_b, note};
    CHECK_INT(sb_file_write(dir, name, text, strlen(text), 0644, &err), 0);
    CHECK_INT(release ? sb_apt_index_release(dir, name, &index, &err)
                      : sb_apt_index_packages(dir, name, &index, &err),
              0);
    CHECK_STR(sb_buf_text(&said), expected);
}

static void test_release(void) {
    says(true, "host_dists_x_InRelease",
         "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nSuite: x\nMD5Sum:\n " C
         " 1 main/binary-z/Packages\nSHA256:\n " A " 12 main/binary-a/Packages\n " B
         "    3 main/binary-b/Packages\n " C " 5 main/binary-c/Packages.xz\n " C
         " 5 ../../etc/Packages\n " C " 5 .._Packages\n " C " 5 Packages\n xx 5 main/Packages\n " C
         " 5\n " C "\n \nSHA512:\n " C " 1 main/binary-y/Packages\n",
         "a host_dists_x_main_binary-a_Packages\nc host_dists_x_.._.._etc_Packages\n"
         "c host_dists_x_Packages\n");
    says(true, "host_Release", "", "");
    CHECK(sb_apt_is_release("a_InRelease") && sb_apt_is_release("a_Release"));
    CHECK(!sb_apt_is_release("_Release") && !sb_apt_is_release("a_Release.gpg"));
}

static void test_packages(void) {
    says(false, "x_Packages",
         "Package: hello\nVersion: 1:2.10_x-3+b1~\nArchitecture: amd64\nSHA256: " A
         "\nDescription: x\n SHA256: " C "\n\n"
         "Package: other\nVersion: 1\nArchitecture: all\nSHA256: " B "\n\n"
         "Package: ../up\nVersion: 1\nArchitecture: all\nSHA256: " C "\n\n"
         "Package: .hidden\nVersion: 1\nArchitecture: all\nSHA256: " C "\n\n"
         "Package: no-version\nArchitecture: all\nSHA256: " C "\n\n"
         "Package: short\nVersion: 1\nArchitecture: all\nSHA256: abc\n\n"
         "Version: 2 \nArchitecture: all\nSHA256: " C "\nPackage: last\n",
         "a hello_1%3a2.10%5fx-3+b1~_amd64.deb\nc last_2_all.deb\n");
    CHECK(sb_apt_is_packages("x_Packages") && !sb_apt_is_packages("_Packages"));
}

/* Stanzas that lie across two reads; and what is no list at all. */
static void test_sizes(void) {
    sb_autobuf struct sb_buf text = {0}, expected = {0};
    for (int i = 0; i < 30000; i++) {
        sb_buf_addf(&text,
                    "Package: p%d\nVersion: 1\nArchitecture: all\nSHA256: " A "\nTag: %0*d\n\n", i,
                    i % 97 + 1, 0);
        sb_buf_addf(&expected, "a p%d_1_all.deb\n", i);
    }
    says(false, "large_Packages", text.data, expected.data);
    sb_buf_reset(&text);
    for (int i = 0; i < 300000; i++)
        sb_buf_adds(&text, "Package: endless\n");
    says(false, "endless_Packages", text.data, "");
    struct sb_error err = {0};
    const struct sb_apt_index index = {NULL, not_b, note};
    CHECK_INT(symlinkat("large_Packages", dir, "link_Packages"), 0);
    CHECK_INT(mkfifoat(dir, "fifo_Packages", 0644), 0);
    CHECK_INT(sb_apt_index_packages(dir, "link_Packages", &index, &err), 0);
    CHECK_INT(sb_apt_index_packages(dir, "fifo_Packages", &index, &err), 0);
    CHECK_INT(sb_apt_index_release(dir, "none_Release", &index, &err), 0);
}

/* What is kept is a copy, by its digest; a link in its place, or another content, is nothing. */
static void test_kept(void) {
    struct sb_error err = {0};
    struct sb_apt_kept kept;
    sb_autobuf struct sb_buf got = {0};
    CHECK(mkdirat(dir, "kept", 0755) == 0 && mkdirat(dir, "tmp", 0755) == 0 &&
          mkdirat(dir, "low", 0755) == 0);
    sb_autoclose int fd = sb_directory_open(dir, "kept", &err);
    sb_autoclose int tmp = sb_directory_open(dir, "tmp", &err);
    sb_autoclose int low = sb_directory_open(dir, "low", &err);
    struct sb_digest digest = sb_digest_of("deb", 3);
    CHECK_INT(sb_file_write(dir, "a.deb", "deb", 3, 0666, &err), 0);
    CHECK_INT(symlinkat("a.deb", dir, "l.deb"), 0);
    CHECK_INT(mkfifoat(dir, "f.deb", 0644), 0);
    CHECK_INT(sb_apt_kept_open(fd, tmp, &kept, &err), 0);
    CHECK(!sb_apt_kept_has(&kept, &digest));
    CHECK(sb_apt_kept_take(&kept, dir, "l.deb", &err) == 0);
    CHECK(sb_apt_kept_take(&kept, dir, "f.deb", &err) == 0);
    CHECK(!sb_apt_kept_has(&kept, &digest));
    CHECK(sb_apt_kept_take(&kept, dir, "a.deb", &err) == 0 && sb_apt_kept_has(&kept, &digest));
    CHECK_INT(sb_apt_kept_give(&kept, &digest, low, "b.deb", false, &err), 0);
    CHECK_INT(sb_file_read(low, "b.deb", 10, &got, &err), 0);
    CHECK_STR(sb_buf_text(&got), "deb");
    struct stat kept_st = {0}, own_st = {0}, low_st = {0};
    sb_autofree char *path = sb_format("kept/%s", sb_digest_hex(&digest).text);
    CHECK(fstatat(dir, path, &kept_st, 0) == 0 && fstatat(dir, "a.deb", &own_st, 0) == 0 &&
          fstatat(low, "b.deb", &low_st, 0) == 0);
    CHECK(kept_st.st_ino != own_st.st_ino && kept_st.st_ino == low_st.st_ino);
    /* Torn by a power cut: its last use was before this machine started. */
    const struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    CHECK_INT(sb_file_write(dir, path, "xxx", 3, 0644, &err), 0);
    CHECK(utimensat(dir, path, old, 0) == 0);
    CHECK_INT(sb_apt_kept_give(&kept, &digest, low, "c.deb", false, &err), 0);
    CHECK(!sb_path_exists(low, "c.deb") && !sb_path_exists(dir, path));
    sb_apt_kept_close(&kept);
}

int main(void) {
    if (!CHECK(mkdtemp(directory)))
        return test_done();
    dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    test_release();
    test_packages();
    test_sizes();
    test_kept();
    close(dir);
    CHECK_INT(sb_tree_remove(AT_FDCWD, directory, NULL), 0);
    return test_done();
}
