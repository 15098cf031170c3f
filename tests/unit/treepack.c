#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>

#include "layers/contents.h"
#include "layers/trees.h"
#include "tests/unit/layer_test.h"

/* Made in the working directory: as root, for owners, devices and trusted attributes. */
static struct layer_test t;

static void write_file(const char *path, const char *text, mode_t mode) {
    struct sb_error err = {0};
    if (sb_file_write(AT_FDCWD, path, text, strlen(text), mode, &err) < 0)
        layer_test_die(path, &err);
}

static void set_time(const char *path, int64_t seconds, long nanoseconds) {
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {seconds, nanoseconds}};
    CHECK_INT(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW), 0);
}

static void make_directory(const char *path, mode_t mode) {
    if (mkdir(path, 0700) < 0 || chmod(path, mode) < 0) {
        perror(path);
        exit(1);
    }
}

static int pack(const char *path, const struct sb_tree_pack_options *options, struct sb_layer *out,
                struct sb_error *err) {
    struct sb_pack_options plain = {.compression = SB_COMPRESSION_NONE};
    struct sb_packer *packer;
    *err = (struct sb_error){0};
    if (sb_packer_start(t.store, &plain, &packer, err) < 0)
        layer_test_die("starting a packer", err);
    if (sb_tree_pack(packer, path, options, err) < 0) {
        sb_packer_abort(packer);
        return -1;
    }
    return sb_packer_finish(packer, out, err);
}

static struct sb_layer pack_well(const char *path, const struct sb_tree_pack_options *options) {
    struct sb_error err;
    struct sb_layer layer = {0};
    if (!CHECK_INT(pack(path, options, &layer, &err), 0))
        printf("    %s\n", err.message);
    return layer;
}

static const struct sb_tree_pack_options as_is = {.epoch = INT64_MAX};
static const struct sb_tree_pack_options overlay = {.overlay = true, .epoch = INT64_MAX};

/* "PATH " for each entry in the order of the tar, "PATH=TARGET " for a hard link. */
static char *listing(const struct sb_layer *layer) {
    sb_autofree char *tar = layer_test_tar(&t, layer, "listed.tar");
    sb_autofree char *command = sb_format(
        "LC_ALL=C tar tvf %s | sed -E 's/ link to /=/; s/.*:[0-9]+ //' | tr '\\n' ' '", tar);
    return layer_test_shell(command);
}

static void check_listing(const struct sb_layer *layer, const char *expected) {
    sb_autofree char *list = listing(layer);
    CHECK_STR(list, expected);
}

static void check_fails(const char *path, const struct sb_tree_pack_options *options,
                        const char *message) {
    struct sb_error err;
    struct sb_layer layer;
    CHECK_INT(pack(path, options, &layer, &err), -1);
    CHECK_STR(err.message, message);
}

/* ---- a tree with one of each ---- */

static void make_odd_files(void) {
    make_directory("odd", 0755);
    make_directory("odd/a", 01777);
    write_file("odd/a/file", "content", 06755);
    write_file("odd/a/empty", "", 0);
    CHECK_INT(symlink("/etc/../nowhere", "odd/a/link"), 0);
    CHECK_INT(lchown("odd/a/link", 4000000, 4294967294), 0);
    CHECK_INT(mkfifo("odd/a/pipe", 0600), 0);
    CHECK_INT(mknod("odd/null", S_IFCHR | 0666, makedev(1, 3)), 0);
    CHECK_INT(mknod("odd/disk", S_IFBLK | 0660, makedev(259, 300000)), 0);
    CHECK_INT(link("odd/a/file", "odd/z"), 0);
    CHECK_INT(link("odd/a/link", "odd/zlink"), 0);
    CHECK_INT(link("odd/null", "odd/znull"), 0);
    write_file("odd/caf\xe9\xff", "x", 0644);
    write_file("odd/B", "x", 0644);
    CHECK_INT(chown("odd/B", 3000000, 2097152), 0);
    set_time("odd/B", -1, 500000000);
    set_time("odd/a/empty", 315000000, 0);
    set_time("odd/a/pipe", 5000000000, 1);
    set_time("odd/disk", 8589934592, 0);
    int fd = open("odd/sparse", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    CHECK_INT(pwrite(fd, "end", 3, 5 << 20), 3);
    close(fd);
}

static void make_odd_attributes(void) {
    /* cap_net_bind_service=ep */
    static const char capability[20] = "\1\0\0\2\0\4\0\0";
    CHECK_INT(setxattr("odd/B", "security.capability", capability, sizeof capability, 0), 0);
    CHECK_INT(setxattr("odd/B", "user.binary", "\0\n=\xff", 4, 0), 0);
    CHECK_INT(setxattr("odd/B", "user.a", "1", 1, 0), 0);
    CHECK_INT(setxattr("odd/a", "trusted.d", "dir", 3, 0), 0);
    CHECK_INT(lsetxattr("odd/a/link", "trusted.l", "link", 4, 0), 0);
    CHECK_INT(lsetxattr("odd/a/pipe", "trusted.p", "pipe", 4, 0), 0);
    CHECK_INT(lsetxattr("odd/a/empty", "user.e", "empty", 5, 0), 0);
}

static void test_odd_tree(void) {
    make_odd_files();
    make_odd_attributes();
    struct sb_layer layer = pack_well("odd", &as_is);
    check_listing(&layer, "B a/ a/empty a/file a/link -> /etc/../nowhere a/pipe caf\\351\\377 "
                          "disk null sparse z=a/file zlink=a/link znull=null ");

    /* GNU tar makes the same tree of it, and that the same layer. */
    sb_autofree char *tar = layer_test_tar(&t, &layer, "odd.tar");
    sb_autofree char *command =
        sb_format("mkdir again && tar -C again --xattrs --xattrs-include='*' --numeric-owner -xpf"
                  " %s 2>&1 | grep -v 'in the future\\|implausibly old'",
                  tar);
    free(layer_test_shell(command));
    struct sb_layer again = pack_well("again", &as_is);
    CHECK_STR(sb_digest_text(&again.diff_id).text, sb_digest_text(&layer.diff_id).text);

    struct sb_error err = {0};
    struct sb_contents *c;
    struct sb_entry e;
    if (!CHECK(sb_contents_open(t.store, &layer.diff_id, &c, &err) == 0))
        return;
    CHECK(sb_contents_find(c, "B", &e) && e.mtime == -1 && e.mtime_nsec == 500000000);
    CHECK(e.uid == 3000000 && e.gid == 2097152);
    CHECK(sb_contents_find(c, "a/link", &e) && e.uid == 4000000 && e.gid == 4294967294);
    CHECK(sb_contents_find(c, "disk", &e) && e.device_major == 259 && e.device_minor == 300000);
    CHECK(sb_contents_find(c, "sparse", &e) && e.size == (5 << 20) + 3);
    sb_contents_close(c);

    /* Whose xattr it is can be told from the bytes alone. */
    sb_autofree char *records = sb_format("grep -ac 'SCHILY.xattr.\\(security.capability\\|trusted."
                                          "[dlp]\\|user.[abe]\\)' %s | tr -d '\\n'",
                                          tar);
    sb_autofree char *count = layer_test_shell(records);
    CHECK_STR(count, "7");
}

static void test_host_attributes(void) {
    make_directory("host", 0755);
    write_file("host/f", "f", 0644);
    set_time("host/f", 1, 0);
    struct sb_layer bare = pack_well("host", &as_is);
    if (setxattr("host/f", "security.selinux", "label", 6, 0) < 0)
        return; /* a kernel with SELinux may refuse */
    struct sb_layer labelled = pack_well("host", &as_is);
    CHECK(sb_digest_equal(&bare.diff_id, &labelled.diff_id));
    CHECK_INT(setxattr("host/f", "user.kept", "", 0, 0), 0);
    struct sb_layer kept = pack_well("host", &as_is);
    CHECK(!sb_digest_equal(&bare.diff_id, &kept.diff_id));
}

/* ---- overlayfs ---- */

static void test_overlay(void) {
    make_directory("upper", 0755);
    CHECK_INT(mknod("upper/gone", S_IFCHR, makedev(0, 0)), 0);
    CHECK_INT(link("upper/gone", "upper/also-gone"), 0); /* overlayfs shares the inode */
    make_directory("upper/opaque", 0755);
    CHECK_INT(setxattr("upper/opaque", "trusted.overlay.opaque", "y", 1, 0), 0);
    write_file("upper/opaque/-first", "x", 0644);
    make_directory("upper/user", 0755);
    CHECK_INT(setxattr("upper/user", "user.overlay.opaque", "y", 1, 0), 0);
    make_directory("upper/merged", 0755);
    CHECK_INT(setxattr("upper/merged", "trusted.overlay.opaque", "x", 1, 0), 0);
    CHECK_INT(setxattr("upper/merged", "trusted.overlay.origin", "\0\1", 2, 0), 0);
    CHECK_INT(setxattr("upper/merged", "trusted.overlay.impure", "y", 1, 0), 0);
    struct sb_layer layer = pack_well("upper", &overlay);
    check_listing(&layer, ".wh.also-gone .wh.gone merged/ opaque/ opaque/.wh..wh..opq "
                          "opaque/-first user/ user/.wh..wh..opq ");
    sb_autofree char *tar = layer_test_tar(&t, &layer, "upper.tar");
    sb_autofree char *command = sb_format("grep -c overlay %s | tr -d '\\n'", tar);
    sb_autofree char *count = layer_test_shell(command);
    CHECK_STR(count, "0");
    struct sb_error err = {0};
    struct sb_contents *c;
    struct sb_entry e;
    if (!CHECK(sb_contents_open(t.store, &layer.diff_id, &c, &err) == 0))
        return;
    CHECK(sb_contents_find(c, ".wh.gone", &e) && e.mode == (S_IFREG | 0600) && e.mtime == 0);
    sb_contents_close(c);

    layer = pack_well("upper", &as_is); /* nothing of this has a meaning elsewhere */
    check_listing(&layer, "also-gone gone=also-gone merged/ opaque/ opaque/-first user/ ");

    CHECK_INT(setxattr("upper", "trusted.overlay.opaque", "y", 1, 0), 0);
    make_directory("upper/moved", 0755);
    CHECK_INT(setxattr("upper/moved", "trusted.overlay.redirect", "/x", 2, 0), 0);
    check_fails("upper", &overlay,
                "moved: has overlayfs' mark trusted.overlay.redirect, which a"
                " layer can't express");
    CHECK_INT(rmdir("upper/moved"), 0);
    write_file("upper/meta", "", 0644);
    CHECK_INT(setxattr("upper/meta", "user.overlay.metacopy", "", 0, 0), 0);
    check_fails("upper", &overlay,
                "meta: has overlayfs' mark user.overlay.metacopy, which a layer"
                " can't express");
    unlink("upper/meta");
    layer = pack_well("upper", &overlay);
    sb_autofree char *list = listing(&layer);
    CHECK(!strncmp(list, ".wh..wh..opq .wh.also-gone ", 27));
}

/* ---- times ---- */

static void check_time(const char *path, int64_t seconds, long nanoseconds) {
    struct stat st;
    CHECK_INT(lstat(path, &st), 0);
    if (!CHECK(st.st_mtim.tv_sec == seconds && st.st_mtim.tv_nsec == nanoseconds))
        printf("    %s: %lld.%09ld\n", path, (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
}

static void test_epoch(void) {
    make_directory("times", 0755);
    make_directory("times/old", 0755);
    make_directory("times/new", 0755);
    write_file("times/old/new", "n", 0644);
    write_file("times/new/old", "o", 0644);
    CHECK_INT(link("times/old/new", "times/zhard"), 0);
    CHECK_INT(symlink("x", "times/new/link"), 0);
    set_time("times/new/old", 999, 999999999);
    set_time("times/new/link", 1000, 1);
    set_time("times/old/new", 1001, 0);
    set_time("times/old", 1000, 0);
    struct sb_tree_pack_options options = {.overlay = true, .epoch = 1000};
    struct sb_layer layer = pack_well("times", &options);
    check_time("times/new/old", 999, 999999999);
    check_time("times/new/link", 1000, 0);
    check_time("times/old/new", 1000, 0);
    check_time("times/zhard", 1000, 0);
    check_time("times/old", 1000, 0);
    check_time("times/new", 1000, 0);
    check_time("times", 1000, 0);
    struct sb_layer again = pack_well("times", &as_is);
    CHECK(sb_digest_equal(&layer.diff_id, &again.diff_id)); /* tree and layer are the same */
    options.epoch = -5;
    pack_well("times", &options);
    check_time("times/new/old", -5, 0);
}

/* ---- depth, names, and what is left out ---- */

static void test_deep(void) {
    int at = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK_INT(mkdirat(at, "deep", 0755), 0);
    sb_autobuf struct sb_buf path = {0};
    for (int i = 0; i < 2047; i++) { /* a path of 4,095 bytes */
        const char *name = i == 0 ? "deep" : "d";
        int next = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        close(at);
        at = next;
        CHECK_INT(mkdirat(at, "d", 0755), 0);
        CHECK_INT(mkdirat(at, "e", 0755), 0); /* visited on the way back */
        sb_buf_adds(&path, "d/");
    }
    int deepest = openat(at, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int file = openat(at, "f", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    CHECK(deepest >= 0 && write(file, "f", 1) == 1);
    close(file);
    struct sb_layer layer = pack_well("deep", &as_is);
    struct sb_error err = {0};
    struct sb_contents *c;
    if (CHECK(sb_contents_open(t.store, &layer.diff_id, &c, &err) == 0)) {
        struct sb_entry e;
        CHECK_INT(sb_contents_count(c), 2047 * 2 + 1);
        path.data[path.len - 2] = 'f';
        path.data[path.len - 1] = '\0';
        CHECK(sb_contents_find(c, path.data, &e) && e.size == 1);
        sb_contents_close(c);
    }
    CHECK_INT(mkdirat(deepest, "toolong", 0755), 0);
    CHECK_INT(pack("deep", &as_is, &layer, &err), -1);
    CHECK(strstr(err.message, "…: a path of more than 4096 bytes"));
    close(deepest);
    close(at);
    free(layer_test_shell("rm -rf deep"));
}

static bool skip_cache(const char *path, void *data) {
    (*(int *)data)++;
    return !strcmp(path, "var/cache") || !strcmp(path, "a");
}

static void test_left_out(void) {
    make_directory("left", 0755);
    make_directory("left/var", 0755);
    make_directory("left/var/cache", 0755);
    write_file("left/var/cache/f", "x", 0644);
    write_file("left/var/cached", "x", 0644);
    write_file("left/a", "x", 0644);
    CHECK_INT(link("left/a", "left/b"), 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "left/socket"};
    int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_INT(bind(s, (struct sockaddr *)&address, sizeof address), 0);
    close(s);
    int calls = 0;
    struct sb_tree_pack_options options = {.epoch = INT64_MAX, .skip = skip_cache, .data = &calls};
    struct sb_layer layer = pack_well("left", &options);
    check_listing(&layer, "b var/ var/cached ");
    CHECK_INT(calls, 6);
    make_directory("left/var/.wh.mine", 0755);
    check_fails("left", &as_is,
                "var/.wh.mine: a layer can't hold a name that begins with"
                " \".wh.\"");
    check_fails("nowhere", &as_is, "nowhere: No such file or directory");
    check_fails("left/a", &as_is, "left/a: Not a directory");
}

static void test_order(void) {
    make_directory("order", 0755);
    static const char *const names[] = {"b", "a", "a-", "a.d", "a0", "B", "\xff", "~", "_"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        sb_autofree char *path = sb_format("order/%s", names[i]);
        make_directory(path, 0755);
        sb_autofree char *below = sb_format("order/%s/x", names[i]);
        make_directory(below, 0755);
    }
    struct sb_layer layer = pack_well("order", &as_is);
    check_listing(&layer, "B/ B/x/ _/ _/x/ a/ a/x/ a-/ a-/x/ a.d/ a.d/x/ a0/ a0/x/ b/ b/x/ ~/ "
                          "~/x/ \\377/ \\377/x/ ");
}

static void test_many_links(void) {
    make_directory("many", 0755);
    for (int i = 0; i < 700; i++) {
        sb_autofree char *one = sb_format("many/a%03d", i), *two = sb_format("many/b%03d", i);
        write_file(one, "x", 0644);
        CHECK_INT(link(one, two), 0);
    }
    struct sb_layer layer = pack_well("many", &as_is);
    struct sb_error err = {0};
    struct sb_contents *c;
    if (!CHECK(sb_contents_open(t.store, &layer.diff_id, &c, &err) == 0))
        return;
    for (int i = 0; i < 700; i++) {
        sb_autofree char *one = sb_format("a%03d", i), *two = sb_format("b%03d", i);
        struct sb_entry e;
        CHECK(sb_contents_find(c, two, &e) && e.hard_link && !strcmp(e.link, one));
    }
    sb_contents_close(c);
}

int main(void) {
    if (geteuid() != 0) {
        TEST_SKIP("needs root");
        return test_done();
    }
    umask(077);
    t = layer_test_start();
    if (chdir(t.dir) < 0)
        return 1;
    test_odd_tree();
    test_host_attributes();
    test_overlay();
    test_epoch();
    test_deep();
    test_left_out();
    test_order();
    test_many_links();
    layer_test_end(&t);
    return test_done();
}
