/* Laying out layers as files: faithfully, and without ever leaving the directory. */
#include "layers/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "tests/unit/maketar.h"
#include "tests/unit/sametree.h"
#include "tests/unit/test.h"

static char directory[] = "/var/tmp/sb-unpack-XXXXXX";
static int top; /* of the directory */
static struct sb_error err;

static const struct sb_unpack_options overlay = {.form = SB_UNPACK_OVERLAY};
static const struct sb_unpack_options apply = {.form = SB_UNPACK_APPLY};

static int new_directory(const char *name) {
    CHECK_INT(sb_tree_remove(top, name, &err), 0);
    CHECK_INT(mkdirat(top, name, 0755), 0);
    return openat(top, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int unpack(const struct sb_buf *tar, int dir, const struct sb_unpack_options *options) {
    int fd = memfd_create("tar", MFD_CLOEXEC);
    CHECK_INT(sb_fd_write(fd, tar->data, tar->len, "memfd", &err), 0);
    lseek(fd, 0, SEEK_SET);
    int rc = sb_unpack_fd(fd, dir, options, &err);
    close(fd);
    return rc;
}

/* "missing", or what kind of file and, for a regular one, its text; by value. */
struct look {
    char text[300];
};
static struct look look(int dir, const char *path) {
    struct look l = {"missing"};
    struct stat st;
    if (fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return l;
    if (S_ISREG(st.st_mode)) {
        sb_autobuf struct sb_buf text = {0};
        sb_file_read(dir, path, 200, &text, NULL);
        snprintf(l.text, sizeof l.text, "file:%s", sb_buf_text(&text));
    } else if (S_ISLNK(st.st_mode)) {
        memcpy(l.text, "link:", 5);
        l.text[5 + readlinkat(dir, path, l.text + 5, 200)] = '\0';
    } else if (S_ISDIR(st.st_mode)) {
        sb_autoclose int fd = openat(dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        char value[8];
        snprintf(l.text, sizeof l.text, "dir:%o%s", st.st_mode & 07777,
                 fgetxattr(fd, "trusted.overlay.opaque", value, sizeof value) == 1 ? " opaque"
                                                                                   : "");
    } else if (S_ISCHR(st.st_mode) && st.st_rdev == 0) {
        snprintf(l.text, sizeof l.text, "whiteout");
    } else {
        snprintf(l.text, sizeof l.text, "node:%o %u,%u", st.st_mode, major(st.st_rdev),
                 minor(st.st_rdev));
    }
    return l;
}

/* ---- hostile archives ---- */

/* Everything that could be reached from the outside stays as it was. */
static int outside_before(void) {
    int dir = new_directory("outside");
    CHECK_INT(sb_file_write(dir, "victim", "untouched", 9, 0644, &err), 0);
    return dir;
}

static void check_outside(int dir, const char *what) {
    sb_autostrings struct sb_strings names = {0};
    sametree_names(dir, &names);
    if (!CHECK_INT(names.n, 1) || !CHECK_STR(look(dir, "victim").text, "file:untouched"))
        printf("    %s\n", what);
    close(dir);
}

static void check_names(void) {
    static const char *const bad[] = {"../outside/x", "a/../../outside/x", "..", "a/..",
                                      "/../outside/x"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        sb_autobuf struct sb_buf tar = {0};
        int outside = outside_before(), dir = new_directory("in");
        maketar_file(&tar, bad[i], "evil");
        maketar_end(&tar);
        CHECK_INT(unpack(&tar, dir, &overlay), -1);
        CHECK_INT(err.code, SB_E_INTEGRITY);
        CHECK(strstr(err.message, "..") != NULL);
        close(dir);
        check_outside(outside, bad[i]);
    }
    sb_autobuf struct sb_buf tar = {0};
    int dir = new_directory("in");
    maketar_dir(&tar, "./", 0700);
    maketar_file(&tar, "/etc/absolute", "inside");
    maketar_file(&tar, ".//a//./b", "cleaned");
    maketar_end(&tar);
    CHECK_INT(unpack(&tar, dir, &overlay), 0);
    CHECK_STR(look(dir, "etc/absolute").text, "file:inside");
    CHECK_STR(look(dir, "a/b").text, "file:cleaned");
    CHECK_STR(look(dir, "etc").text, "dir:755");
    struct stat st;
    CHECK_INT(fstatat(dir, "etc", &st, 0), 0);
    CHECK_INT(st.st_mtime, 0);
    close(dir);
}

/* Symlinks in the middle of names lead where they would in a chroot. */
static void check_symlinks(void) {
    static const char *const targets[] = {"../outside", "../../../../../..", "/", "/proc/self/cwd"};
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        sb_autobuf struct sb_buf tar = {0};
        int outside = outside_before(), dir = new_directory("in");
        maketar_symlink(&tar, "l", targets[i]);
        maketar_file(&tar, "l/victim", "evil");
        maketar_link(&tar, "hard", "l");
        maketar_file(&tar, "hard", "evil");
        maketar_raw(&tar, '0', "l/.wh.victim", NULL, 0, NULL, 0);
        maketar_end(&tar);
        CHECK_INT(unpack(&tar, dir, &apply), 0);
        CHECK_STR(look(dir, "hard").text, "file:evil");
        close(dir);
        check_outside(outside, targets[i]);
    }
    sb_autobuf struct sb_buf tar = {0};
    int dir = new_directory("in");
    maketar_symlink(&tar, "lib", "usr/lib");
    maketar_file(&tar, "lib/x", "through a dangling link");
    maketar_dir(&tar, "usr/lib/sub", 0711);
    maketar_symlink(&tar, "up", "/usr/lib/sub/../../lib");
    maketar_file(&tar, "up/sub/y", "through another");
    maketar_dir(&tar, "up/made", 0750);
    maketar_symlink(&tar, "loop", "loop");
    maketar_end(&tar);
    CHECK_INT(unpack(&tar, dir, &overlay), 0);
    CHECK_STR(look(dir, "lib").text, "link:usr/lib");
    CHECK_STR(look(dir, "usr/lib/x").text, "file:through a dangling link");
    CHECK_STR(look(dir, "usr/lib/sub/y").text, "file:through another");
    CHECK_STR(look(dir, "usr/lib/sub").text, "dir:711");
    CHECK_STR(look(dir, "usr/lib/made").text, "dir:750");
    tar.len -= 1024;
    maketar_file(&tar, "loop/x", "");
    maketar_end(&tar);
    CHECK_INT(unpack(&tar, dir, &overlay), -1);
    CHECK(strstr(err.message, "loop") != NULL);
    close(dir);
}

static void check_hard_links(void) {
    sb_autobuf struct sb_buf tar = {0};
    int outside = outside_before(), dir = new_directory("in");
    maketar_symlink(&tar, "out", "../outside/victim");
    maketar_link(&tar, "hard", "out"); /* of the symlink itself */
    maketar_file(&tar, "d/file", "one");
    maketar_link(&tar, "other", "/d/file");
    maketar_file(&tar, "d/file", "two"); /* replaces, and leaves "other" alone */
    maketar_link(&tar, "self", "d/file");
    maketar_link(&tar, "self", "self");
    maketar_end(&tar);
    CHECK_INT(unpack(&tar, dir, &overlay), 0);
    CHECK_STR(look(dir, "hard").text, "link:../outside/victim");
    CHECK_STR(look(dir, "other").text, "file:one");
    CHECK_STR(look(dir, "d/file").text, "file:two");
    CHECK_STR(look(dir, "self").text, "file:two");
    static const char *const bad[] = {"missing",          "d",     "../outside/victim",
                                      "../../etc/passwd", ".wh.x", "x"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        sb_autobuf struct sb_buf one = {0};
        maketar_dir(&one, "d", 0755);
        maketar_file(&one, ".wh.x", "");
        maketar_link(&one, "l", bad[i]);
        maketar_end(&one);
        CHECK_INT(unpack(&one, dir, &overlay), -1);
        CHECK_INT(err.code, SB_E_INTEGRITY);
    }
    close(dir);
    check_outside(outside, "hard links");
}

static void check_odd_entries(void) {
    sb_autobuf struct sb_buf tar = {0};
    int dir = new_directory("in");
    maketar_raw(&tar, '3', "null", "1,3", 0666, NULL, 0);
    maketar_raw(&tar, '4', "disk", "8,0", 0600, NULL, 0);
    maketar_raw(&tar, '3', "zero", "0,0", 0600, NULL, 0); /* would be a whiteout */
    maketar_raw(&tar, '6', "fifo", NULL, 0640, NULL, 0);
    maketar_pax(&tar, "SCHILY.xattr.trusted.overlay.redirect", "/etc", 4);
    maketar_dir(&tar, "redirected", 0755);
    maketar_pax(&tar, "SCHILY.xattr.user.overlay.opaque", "y", 1);
    maketar_dir(&tar, "opaque", 0755);
    maketar_file(&tar, "twice", "1");
    maketar_file(&tar, "twice", "2");
    maketar_file(&tar, "turns", "file");
    maketar_dir(&tar, "turns", 0755);
    maketar_file(&tar, "turns/in", "");
    maketar_file(&tar, "back/and/forth", "");
    maketar_file(&tar, "back", "a file in the end");
    maketar_end(&tar);
    CHECK_INT(unpack(&tar, dir, &overlay), 0);
    CHECK_STR(look(dir, "null").text, "node:20666 1,3");
    CHECK_STR(look(dir, "disk").text, "node:60600 8,0");
    CHECK_STR(look(dir, "zero").text, "missing");
    CHECK_STR(look(dir, "fifo").text, "node:10640 0,0");
    char value[8];
    sb_autofree char *redirected = sb_format("%s/in/redirected", directory);
    sb_autofree char *opaque = sb_format("%s/in/opaque", directory);
    CHECK_INT(lgetxattr(redirected, "trusted.overlay.redirect", value, sizeof value), -1);
    CHECK_INT(lgetxattr(opaque, "user.overlay.opaque", value, sizeof value), -1);
    CHECK_STR(look(dir, "twice").text, "file:2");
    CHECK_STR(look(dir, "turns").text, "dir:755 opaque"); /* the file hid what was below */
    CHECK_STR(look(dir, "turns/in").text, "file:");
    CHECK_STR(look(dir, "back").text, "file:a file in the end");
    sb_buf_reset(&tar);
    maketar_file(&tar, "a", "file");
    maketar_file(&tar, "a/b", "below a file");
    maketar_end(&tar);
    CHECK_INT(unpack(&tar, dir, &overlay), -1);
    CHECK(strstr(err.message, "a is not a directory") != NULL);
    close(dir);
}

static void check_powerless(void) {
    static const struct sb_unpack_options powerless = {.form = SB_UNPACK_APPLY, .powerless = true};
    static const char capability[20] = "\1\0\0\2\0\0\20";
    sb_autobuf struct sb_buf tar = {0};
    int dir = new_directory("in");
    maketar_raw(&tar, '4', "disk", "8,0", 0666, NULL, 0);
    maketar_raw(&tar, '3', "null", "1,3", 0666, NULL, 0);
    maketar_raw(&tar, '0', "su", NULL, 06755, "x", 1);
    maketar_link(&tar, "su2", "su");
    maketar_raw(&tar, '5', "group", NULL, 02775, NULL, 0);
    maketar_pax(&tar, "SCHILY.xattr.security.capability", capability, sizeof capability);
    maketar_raw(&tar, '0', "capable", NULL, 0755, "x", 1);
    maketar_end(&tar);
    CHECK_INT(unpack(&tar, dir, &powerless), 0);
    CHECK_STR(look(dir, "disk").text, "missing");
    CHECK_STR(look(dir, "null").text, "missing");
    struct stat st = {0};
    CHECK_INT(fstatat(dir, "su2", &st, 0), 0);
    CHECK_INT(st.st_mode, S_IFREG | 0755);
    CHECK_INT(fstatat(dir, "group", &st, 0), 0);
    CHECK_INT(st.st_mode, S_IFDIR | 0775);
    char value[32];
    sb_autofree char *capable = sb_format("%s/in/capable", directory);
    CHECK_INT(lgetxattr(capable, "security.capability", value, sizeof value), -1);
    close(dir);
}

/* What is no hole. Blocks would tell as well, but the kernel may have set more aside for a moment.
 */
static long long data_bytes(int fd) {
    long long bytes = 0;
    for (off_t at = 0, end; (at = lseek(fd, at, SEEK_DATA)) >= 0; at = end) {
        end = lseek(fd, at, SEEK_HOLE);
        bytes += end - at;
    }
    lseek(fd, 0, SEEK_SET);
    return bytes;
}

/* Blocks of zeros become holes, and nothing else does. */
static void check_holes(void) {
    sb_autobuf struct sb_buf tar = {0};
    size_t size = 3000001;
    sb_autofree char *data = sb_alloc(size), *found = sb_alloc(size);
    static const size_t marks[] = {0, 700000, 700001, 1500000, 2999999};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        data[marks[i]] = (char)('1' + i);
    maketar_raw(&tar, '0', "marked", NULL, 0644, data, size);
    memset(data, 0, size);
    maketar_raw(&tar, '0', "zeros", NULL, 0644, data, size);
    maketar_end(&tar);
    int dir = new_directory("in");
    CHECK_INT(unpack(&tar, dir, &overlay), 0);
    struct stat st;
    CHECK_INT(fstatat(dir, "marked", &st, 0), 0);
    CHECK_INT(st.st_size, size);
    int fd = openat(dir, "marked", O_RDONLY | O_CLOEXEC);
    CHECK(data_bytes(fd) < 400000);
    CHECK_INT(read(fd, found, size), size);
    close(fd);
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        data[marks[i]] = (char)('1' + i);
    CHECK(!memcmp(data, found, size));
    CHECK_INT(fstatat(dir, "zeros", &st, 0), 0);
    CHECK_INT(st.st_size, size);
    fd = openat(dir, "zeros", O_RDONLY | O_CLOEXEC);
    CHECK(data_bytes(fd) < 100000);
    close(fd);
    close(dir);
}

static void expect_refused(const struct sb_buf *tar, const char *text) {
    int dir = new_directory("in");
    CHECK_INT(unpack(tar, dir, &overlay), -1);
    if (!CHECK_INT(err.code, SB_E_INTEGRITY) || !CHECK(strstr(err.message, text) != NULL))
        printf("    %s\n", err.message);
    close(dir);
}

static void check_damaged(void) {
    sb_autobuf struct sb_buf tar = {0}, big = {0}, pax = {0};
    sb_autofree char *text = sb_alloc(3u << 20);
    memset(text, 'x', (3u << 20) - 1);
    maketar_file(&tar, "file", "text");
    tar.data[20] ^= 1; /* the checksum does not hold */
    maketar_end(&tar);
    expect_refused(&tar, "damaged");
    maketar_file(&big, "file", text);
    big.len = 1u << 20;
    expect_refused(&big, "damaged");
    maketar_pax(&pax, "comment", text, (3u << 20) - 1);
    maketar_file(&pax, "file", "");
    maketar_end(&pax);
    expect_refused(&pax, "damaged");
    sb_buf_reset(&pax);
    maketar_pax(&pax, "path", text, 5000);
    maketar_file(&pax, "file", "");
    maketar_end(&pax);
    expect_refused(&pax, "bytes");
    sb_buf_reset(&pax);
    maketar_pax(&pax, "SCHILY.xattr.user.big", text, 70000);
    maketar_file(&pax, "file", "");
    maketar_end(&pax);
    expect_refused(&pax, "extended attribute");
    sb_buf_reset(&pax);
    maketar_pax(&pax, "uid", "4294967295", 10);
    maketar_file(&pax, "file", "");
    maketar_end(&pax);
    expect_refused(&pax, "owner");
    sb_buf_reset(&pax);
    sb_buf_add(&pax, "this is no tar, but long enough to look", 39);
    sb_buf_reserve(&pax, 2048);
    memset(pax.data + 39, 'y', 2000);
    pax.len = 2039;
    expect_refused(&pax, "damaged");
    sb_buf_reset(&pax);
    maketar_pax(&pax, "GNU.sparse.realsize", "9000000000000000000", 19);
    maketar_pax(&pax, "GNU.sparse.map", "0,1", 3);
    maketar_file(&pax, "file", "x");
    maketar_end(&pax);
    int dir = new_directory("in");
    unpack(&pax, dir, &overlay); /* whichever: without harm */
    struct stat st = {0};
    fstatat(dir, "file", &st, 0);
    CHECK(st.st_size < 10);
    close(dir);
}

/* ---- whiteouts ---- */

static void check_overlay_whiteouts(void) {
    sb_autobuf struct sb_buf tar = {0};
    int dir = new_directory("in");
    maketar_dir(&tar, "d", 0755);
    maketar_file(&tar, "d/.wh.gone", "");
    maketar_file(&tar, "d/.wh.replaced", "");
    maketar_file(&tar, "d/replaced", "new");
    maketar_dir(&tar, "d/dir", 0700);
    maketar_file(&tar, "d/.wh.dir", "");
    maketar_file(&tar, "d/.wh.implicit", "");
    maketar_file(&tar, "d/implicit/x", "");
    maketar_file(&tar, "d/.wh.explicit", "");
    maketar_dir(&tar, "d/explicit", 0711);
    maketar_dir(&tar, "o", 0755);
    maketar_file(&tar, "o/before", "");
    maketar_file(&tar, "o/.wh..wh..opq", "");
    maketar_file(&tar, "o/after", "");
    maketar_dir(&tar, ".wh..wh.plnk", 0755);
    maketar_file(&tar, ".wh..wh.plnk/1.2", "");
    maketar_end(&tar);
    CHECK_INT(unpack(&tar, dir, &overlay), 0);
    CHECK_STR(look(dir, "d/gone").text, "whiteout");
    CHECK_STR(look(dir, "d/replaced").text, "file:new");
    CHECK_STR(look(dir, "d/dir").text, "dir:700 opaque");
    CHECK_STR(look(dir, "d/implicit").text, "dir:755 opaque");
    CHECK_STR(look(dir, "d/explicit").text, "dir:711 opaque");
    CHECK_STR(look(dir, "o").text, "dir:755 opaque");
    CHECK_STR(look(dir, "o/before").text, "file:");
    CHECK_STR(look(dir, "o/.wh..wh..opq").text, "missing");
    CHECK_STR(look(dir, ".wh..wh.plnk").text, "missing");
    close(dir);
    static const char *const bad[] = {".wh.", ".wh..", ".wh...", "a/.wh..."};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        for (int form = 0; form < 2; form++) {
            sb_buf_reset(&tar);
            maketar_file(&tar, bad[i], "");
            maketar_end(&tar);
            dir = new_directory("in");
            CHECK_INT(unpack(&tar, dir, form ? &apply : &overlay), -1);
            CHECK_INT(err.code, SB_E_INTEGRITY);
            close(dir);
        }
    }
}

static void check_applied_whiteouts(void) {
    sb_autobuf struct sb_buf lower = {0}, upper = {0};
    int dir = new_directory("in");
    static const char *const files[] = {"a/gone", "a/kept",    "b/x/y/z", "c/old/1", "c/same",
                                        "d/old",  "e/deep/er", "f/1",     "g"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        maketar_file(&lower, files[i], "lower");
    maketar_pax(&lower, "SCHILY.xattr.user.lower", "1", 1);
    maketar_dir(&lower, "a", 0700);
    maketar_end(&lower);
    CHECK_INT(unpack(&lower, dir, &apply), 0);
    maketar_file(&upper, "a/.wh.gone", "");
    maketar_dir(&upper, "a", 0751);
    maketar_file(&upper, ".wh.b", "");
    maketar_file(&upper, "c/same", "upper");
    maketar_file(&upper, "c/.wh..wh..opq", ""); /* not what this layer has itself */
    maketar_file(&upper, "c/new/1", "upper");
    maketar_file(&upper, "d/new", "upper");
    maketar_file(&upper, ".wh.d", ""); /* the old d, not the new one */
    maketar_symlink(&upper, "e", "c");
    maketar_dir(&upper, "g", 0755);
    maketar_file(&upper, ".wh.absent", "");
    maketar_end(&upper);
    CHECK_INT(unpack(&upper, dir, &apply), 0);
    CHECK_STR(look(dir, "a").text, "dir:751");
    sb_autofree char *a = sb_format("%s/in/a", directory);
    char value[8];
    CHECK_INT(lgetxattr(a, "user.lower", value, sizeof value), -1);
    CHECK_STR(look(dir, "a/gone").text, "missing");
    CHECK_STR(look(dir, "a/kept").text, "file:lower");
    CHECK_STR(look(dir, "b").text, "missing");
    CHECK_STR(look(dir, "c/old").text, "missing");
    CHECK_STR(look(dir, "c/same").text, "file:upper");
    CHECK_STR(look(dir, "c/new/1").text, "file:upper");
    CHECK_STR(look(dir, "d/old").text, "missing");
    CHECK_STR(look(dir, "d/new").text, "file:upper");
    CHECK_STR(look(dir, "e").text, "link:c");
    CHECK_STR(look(dir, "f/1").text, "file:lower");
    CHECK_STR(look(dir, "g").text, "dir:755");
    close(dir);
}

/* ---- archives of other tools ---- */

static int shell(const char *script) {
    sb_autofree char *command = sb_format("cd %s && { %s; } >/dev/null 2>&1", directory, script);
    return system(command);
}

static void unpack_file(const char *name, int dir) {
    sb_autoclose int fd = openat(top, name, O_RDONLY | O_CLOEXEC);
    if (!CHECK_INT(sb_unpack_fd(fd, dir, &overlay, &err), 0))
        printf("    %s: %s\n", name, err.message);
}

/* GNU tar: long names, sparse files in each of its formats, xattrs, names that are no UTF-8. */
static void check_gnu_tar(void) {
    CHECK_INT(
        shell("rm -rf src && mkdir -p src/sub/$(printf %0200d 1)/$(printf %0200d 2) && cd src && "
              "echo deep > sub/$(printf %0200d 1)/$(printf %0200d 2)/$(printf %0250d 3) && "
              "printf 'x' > \"$(printf 'latin-\\344')\" && ln -s \"$(printf '\\377')\" s && "
              "truncate -s 20M sparse && printf data | dd of=sparse bs=1 seek=9000000 "
              "conv=notrunc && printf end | dd of=sparse bs=1 seek=19999999 conv=notrunc && "
              "truncate -s 9G huge && ln sub/*/*/* hard && mkfifo f && "
              "setfattr -n user.bin -v 0x00ff0a3d sparse && chown 3000000:4000000000 f && "
              "touch -h -d '1950-01-02 03:04:05.123456789 UTC' s && "
              "touch -d '2110-01-02 03:04:05.5 UTC' hard && chmod 6755 hard && "
              "find . -depth -mindepth 1 -type d -exec touch -d '2001-01-01 UTC' '{}' ';'"),
        0);
    static const char *const forms[] = {
        "--format=pax --sparse-version=1.0",
        "--format=pax --sparse-version=0.1",
        "--format=pax --sparse-version=0.0",
        "--format=gnu",
    };
    sb_autoclose int src = openat(top, "src", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < 4; i++) {
        bool gnu = i == 3; /* whole seconds, no xattrs */
        sb_autofree char *script = sb_format(
            "%s tar %s %s --sparse --sort=name -C src -cf src.tar .",
            gnu ? "setfattr -x user.bin src/sparse; touch -h -d '1990-01-01 UTC' src/s; touch -d "
                  "'1990-01-01 UTC' src/hard;"
                : "",
            forms[i], gnu ? "" : "--xattrs --pax-option=delete=atime,delete=ctime");
        CHECK_INT(shell(script), 0);
        int dir = new_directory("in");
        unpack_file("src.tar", dir);
        if (gnu)
            CHECK_INT(shell("find src in -exec touch -h -d '1990-01-01 UTC' '{}' +"), 0);
        CHECK_INT(sametree_compare(src, dir, forms[i]), 0);
        struct stat st;
        CHECK_INT(fstatat(dir, "sparse", &st, 0), 0);
        CHECK(st.st_blocks * 512 < 1 << 20);
        close(dir);
    }
}

static void check_python(void) {
    CHECK_INT(shell("cat > make.py <<'END'\n"
                    "import tarfile, io\n"
                    "for name, form in (('u.tar', tarfile.USTAR_FORMAT), ('g.tar', "
                    "tarfile.GNU_FORMAT), ('p.tar', tarfile.PAX_FORMAT)):\n"
                    "    t = tarfile.open(name, 'w', format=form)\n"
                    "    for path, text in (('a/b', b'hello'), ('n\\u00e4me', b'x' * 100000)):\n"
                    "        i = tarfile.TarInfo(path); i.size = len(text); i.uid = 77\n"
                    "        t.addfile(i, io.BytesIO(text))\n"
                    "    i = tarfile.TarInfo('l'); i.type = tarfile.SYMTYPE; i.linkname = 'a/b'\n"
                    "    t.addfile(i)\n"
                    "    t.close()\n"
                    "END\n"
                    "python3 make.py"),
              0);
    static const char *const names[] = {"u.tar", "g.tar", "p.tar"};
    for (int i = 0; i < 3; i++) {
        int dir = new_directory("in");
        unpack_file(names[i], dir);
        CHECK_STR(look(dir, "a/b").text, "file:hello");
        CHECK_STR(look(dir, "l").text, "link:a/b");
        struct stat st = {0};
        CHECK_INT(fstatat(dir, "n\xc3\xa4me", &st, 0), 0);
        CHECK_INT(st.st_size, 100000);
        CHECK_INT(st.st_uid, 77);
        close(dir);
    }
}

int main(void) {
    if (geteuid() != 0) {
        TEST_SKIP("needs root");
        return test_done();
    }
    umask(077); /* must not matter */
    if (!mkdtemp(directory))
        return 1;
    top = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    check_names();
    check_symlinks();
    check_hard_links();
    check_odd_entries();
    check_powerless();
    check_holes();
    check_damaged();
    check_overlay_whiteouts();
    check_applied_whiteouts();
    check_gnu_tar();
    check_python();
    close(top);
    CHECK_INT(sb_tree_remove(AT_FDCWD, directory, &err), 0);
    return test_done();
}
