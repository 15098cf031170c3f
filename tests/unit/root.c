/* Roots: many layers, mount points without traces, several threads. */
#include <pthread.h>
#include <sys/mount.h>

#include "sandbox/inroot.h"
#include "tests/unit/rootfs.h"
#include "tests/unit/test.h"

static char *directory;
static struct sb_store *store;

static bool in_root(const struct sb_root *root, const char *path) {
    sb_autofree char *whole = sb_format("%s/%s", sb_root_path(root), path);
    return sb_path_exists(AT_FDCWD, whole);
}

static bool in_upper(const struct sb_root *root, const char *path) {
    sb_autofree char *whole = sb_format("%s/%s", sb_root_upper(root), path);
    return sb_path_exists(AT_FDCWD, whole);
}

static int count_upper(const struct sb_root *root) {
    sb_autobuf struct sb_buf out = {0};
    const char *const argv[] = {"find", sb_root_upper(root), "-mindepth", "1", NULL};
    sb_process_capture(argv, NULL, 1u << 20, &out, NULL, NULL);
    int lines = 0;
    for (size_t i = 0; i < out.len; i++)
        lines += out.data[i] == '\n';
    return lines;
}

static struct sb_root *mount_trees(const struct sb_strings *trees) {
    struct sb_root *root = NULL;
    struct sb_error err = {0};
    if (!CHECK_INT(sb_root_mount(store, trees, &root, &err), 0))
        printf("    %s (%s)\n", err.message, err.hint);
    return root;
}

static struct sb_root *mount_tree(const char *name) {
    sb_autostrings struct sb_strings trees = {0};
    sb_strings_addf(&trees, "%s/%s", directory, name);
    return mount_trees(&trees);
}

static void test_many_layers(void) {
    sb_autostrings struct sb_strings trees = {0};
    for (int i = 0; i < 127; i++) {
        sb_autofree char *name = sb_format("many, with: odd \\ characters/layer-%d", i);
        test_mkdir(directory, name);
        sb_autofree char *file = sb_format("%s/file-%d", name, i);
        sb_autofree char *same = sb_format("%s/same", name);
        test_write(directory, file, "x", 0644);
        sb_autofree char *text = sb_format("%d", i);
        test_write(directory, same, text, 0644);
        sb_strings_addf(&trees, "%s/%s", directory, name);
    }
    struct sb_root *root = mount_trees(&trees);
    if (!root)
        return;
    CHECK(in_root(root, "file-0"));
    CHECK(in_root(root, "file-126"));
    sb_autofree char *same = sb_format("%s/same", sb_root_path(root));
    sb_autobuf struct sb_buf text = {0};
    CHECK_INT(sb_file_read(AT_FDCWD, same, 100, &text, NULL), 0);
    CHECK_STR(sb_buf_text(&text), "126"); /* the last is the highest */
    sb_root_free(root);
}

static void test_scratch(void) {
    sb_autostrings struct sb_strings none = {0};
    struct sb_root *root = mount_trees(&none);
    if (!root)
        return;
    test_write(sb_root_path(root), "made", "x", 0600);
    struct sb_error err = {0};
    CHECK_INT(sb_root_unmount(root, &err), 0);
    CHECK_INT(sb_root_unmount(root, &err), 0);
    CHECK(in_upper(root, "made"));
    CHECK(!in_root(root, "made"));
    CHECK_INT(count_upper(root), 1);
    struct stat st;
    CHECK_INT(stat(sb_root_upper(root), &st), 0);
    CHECK_INT(st.st_mode & 07777, 0755);
    sb_autofree char *upper = sb_strdup(sb_root_upper(root));
    sb_root_free(root);
    CHECK(!sb_path_exists(AT_FDCWD, upper));
}

/* As in cloud images: /etc/resolv.conf leads to a place that is not there. */
static void test_dangling(void) {
    test_mkdir(directory, "cloud/etc");
    sb_autofree char *link = sb_format("%s/cloud/etc/resolv.conf", directory);
    CHECK_INT(symlink("../run/systemd/resolve/stub-resolv.conf", link), 0);
    struct sb_root *root = mount_tree("cloud");
    if (!root)
        return;
    struct sb_error err = {0};
    struct sb_root_point points[] = {{.path = "/etc/resolv.conf"},
                                     {.path = "/run/secrets", .directory = true},
                                     {.path = "/proc", .directory = true},
                                     {.path = "/etc", .directory = true}};
    CHECK_INT(sb_root_points(root, points, 4, &err), 0);
    CHECK_STR(points[0].resolved, "/run/systemd/resolve/stub-resolv.conf");
    CHECK(in_root(root, "run/systemd/resolve/stub-resolv.conf"));
    CHECK(in_root(root, "run/secrets"));
    CHECK(in_root(root, "proc"));
    sb_root_points_drop(root, points, 4);
    CHECK_INT(count_upper(root), 0);
    /* A program that removes them leaves no whiteouts of things that no layer has. */
    sb_autofree char *secrets = sb_format("%s/run/secrets", sb_root_path(root));
    CHECK_INT(rmdir(secrets), 0);
    sb_autofree char *proc = sb_format("%s/proc", sb_root_path(root));
    CHECK_INT(rmdir(proc), 0);
    sb_autofree char *kept = sb_format("%s/etc/resolv.conf", sb_root_path(root));
    CHECK_INT(unlink(kept), 0);
    CHECK_INT(sb_root_unmount(root, &err), 0);
    CHECK(!in_upper(root, "proc"));
    CHECK(!in_upper(root, "run/secrets"));
    CHECK(in_upper(root, "etc/resolv.conf")); /* a layer's own: its whiteout stays */
    sb_root_free(root);
}

static void test_hidden(void) {
    test_mkdir(directory, "plain/var/cache");
    struct sb_root *root = mount_tree("plain");
    if (!root)
        return;
    sb_autofree char *cache = sb_format("%s/var/cache", sb_root_path(root));
    CHECK_INT(rmdir(cache), 0);
    CHECK_INT(mkdir(cache, 0755), 0); /* opaque: stubs don't show in it */
    struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    CHECK_INT(utimensat(AT_FDCWD, cache, old, 0), 0);
    struct sb_error err = {0};
    struct sb_root_point points[] = {{.path = "/var/cache/apt", .directory = true}};
    CHECK_INT(sb_root_points(root, points, 1, &err), 0);
    CHECK(in_root(root, "var/cache/apt"));
    sb_root_points_drop(root, points, 1);
    CHECK(!in_root(root, "var/cache/apt"));
    struct stat st;
    CHECK_INT(stat(cache, &st), 0);
    CHECK_INT(st.st_mtim.tv_sec, 1000);
    /* Of the wrong kind. */
    test_write(directory, "plain/file", "x", 0644);
    struct sb_root_point wrong[] = {{.path = "/file", .directory = true}};
    sb_root_free(root);
    root = mount_tree("plain");
    CHECK_INT(sb_root_points(root, wrong, 1, &err), -1);
    sb_root_points_drop(root, wrong, 1);
    sb_root_free(root);
}

/* Several at once, each with a mount point and its own upper directory. */
static void *in_thread(void *number) {
    for (int i = 0; i < 10; i++) {
        sb_autostrings struct sb_strings trees = {0};
        struct sb_root *root = NULL;
        struct sb_error err = {0};
        sb_strings_addf(&trees, "%s/cloud", directory);
        sb_strings_addf(&trees, "%s/plain", directory);
        struct sb_root_point point = {.path = "/proc", .directory = true};
        if (sb_root_mount(store, &trees, &root, &err) < 0 ||
            sb_root_points(root, &point, 1, &err) < 0) {
            printf("thread %ld: %s\n", (long)(size_t)number, err.message);
            return "failed";
        }
        sb_root_points_drop(root, &point, 1);
        test_write(sb_root_path(root), "mine", "x", 0644);
        bool good = in_root(root, "file") && sb_root_unmount(root, &err) == 0 &&
                    in_upper(root, "mine") && count_upper(root) == 1;
        sb_root_free(root);
        if (!good)
            return "failed";
    }
    return NULL;
}

static void test_threads(void) {
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, in_thread, (void *)i), 0);
    for (size_t i = 0; i < 4; i++) {
        void *result;
        pthread_join(threads[i], &result);
        CHECK(!result);
    }
}

static void resolves(int root, const char *path, const char *expected, bool expect_there) {
    struct sb_error err = {0};
    bool there;
    sb_autofree char *resolved = sb_inroot_resolve(root, path, &there, &err);
    CHECK_STR(resolved, expected);
    if (resolved)
        CHECK_INT(there, expect_there);
}

static void test_inroot(void) {
    test_mkdir(directory, "in/a/b");
    test_write(directory, "in/a/b/file", "x", 0755);
    static const char *const links[][2] = {{"/a/b", "absolute"},
                                           {"../../../..", "a/up"},
                                           {"/loop", "loop"},
                                           {"/etc/passwd", "escape"},
                                           {"missing/x", "dangling"}};
    for (size_t i = 0; i < sizeof links / sizeof links[0]; i++) {
        sb_autofree char *link = sb_format("%s/in/%s", directory, links[i][1]);
        CHECK_INT(symlink(links[i][0], link), 0);
    }
    sb_autofree char *path = sb_format("%s/in", directory);
    sb_autoclose int root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    resolves(root, "/", "/", true);
    resolves(root, "/a//./b/file", "/a/b/file", true);
    resolves(root, "/absolute/file", "/a/b/file", true);
    resolves(root, "/a/up/a", "/a", true);
    resolves(root, "/../../a", "/a", true);
    resolves(root, "/escape", "/etc/passwd", false);
    resolves(root, "/dangling/y", "/missing/x/y", false);
    resolves(root, "/loop/x", NULL, false);
    CHECK(sb_inroot_has_program(root, "file", "/nowhere:/absolute", "/"));
    CHECK(!sb_inroot_has_program(root, "sh", "/bin:/a", "/"));
    CHECK(sb_inroot_has_program(root, "b/file", "", "/a"));
}

int main(void) {
    struct sb_error err = {0};
    if (sb_userns_enter(&err) < 0) {
        TEST_SKIP(err.message);
        return test_done();
    }
    directory = test_directory();
    sb_autofree char *path = sb_format("%s/store", directory);
    CHECK_INT(sb_store_open(path, &store, &err), 0);
    test_many_layers();
    test_scratch();
    test_dangling();
    test_hidden();
    test_threads();
    test_inroot();
    sb_store_close(store);
    CHECK_INT(sb_tree_remove(AT_FDCWD, directory, &err), 0);
    free(directory);
    return test_done();
}
