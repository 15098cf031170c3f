/* Data that change hands: however deep they are, and nothing beyond them. */
#include "deploy/node/owners.h"

#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/memory.h"
#include "tests/unit/layer_test.h"

#define LEVELS 3000 /* deeper than a path may be long */

static struct layer_test t;

static void shell(const char *command) {
    sb_autofree char *whole = sb_format("set -e; cd %s; %s", t.dir, command);
    sb_autofree char *said = layer_test_shell(whole);
    CHECK_STR(said, "");
}

static struct stat look(const char *name) {
    struct stat st = {0};
    sb_autofree char *path = sb_path_join(t.dir, name);
    lstat(path, &st);
    return st;
}

static int open_in(const char *name) {
    sb_autofree char *path = sb_path_join(t.dir, name);
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void test_kinds(void) {
    struct sb_error err = {0};
    shell("mkdir -p data/sub outside; touch outside/file data/sub/file; ln -s ../outside data/link;"
          "ln -s ../outside/file data/to; mkfifo data/pipe; mkdir data/closed; chmod 0 data/closed;"
          "cp /bin/true data/setuid; chmod 6755 data/setuid");
    sb_autofree char *device = sb_path_join(t.dir, "data/device");
    bool made = mknod(device, S_IFCHR | 0600, makedev(1, 3)) == 0; /* a container may not */
    sb_autoclose int data = open_in("data");
    CHECK_INT(sb_owners_give(data, 1234, 1235, &err), 0);
    CHECK_INT(look("data").st_uid, 1234);
    CHECK_INT(look("data/sub/file").st_gid, 1235);
    CHECK_INT(look("data/link").st_uid, 1234);
    CHECK_INT(look("data/pipe").st_uid, 1234);
    CHECK_INT(look("data/closed").st_uid, 1234);
    CHECK_INT(look("data/setuid").st_mode & 06000, 0);
    CHECK(!made || look("data/device").st_uid == 0);
    CHECK_INT(look("outside").st_uid, 0);
    CHECK_INT(look("outside/file").st_uid, 0);
}

/* Names of one file: all in it, or else it isn't the service's to get. */
static void test_names(void) {
    struct sb_error err = {0};
    shell("mkdir -p linked/sub; touch linked/a linked/b secret; ln linked/a linked/sub/a;"
          "ln linked/a linked/c; ln -P linked/b linked/sub/b; ln -s x linked/to;"
          "ln -P linked/to linked/sub/to; chmod 600 secret");
    sb_autoclose int linked = open_in("linked");
    shell("ln secret linked/sub/secret");
    CHECK_INT(sb_owners_give(linked, 1234, 1235, &err), -1);
    CHECK(strstr(err.message, "\"sub/secret\" has a name outside") != NULL);
    CHECK(strstr(err.hint, "find -xdev -inum") != NULL);
    CHECK_INT(look("secret").st_uid, 0);
    CHECK_INT(look("linked/a").st_uid, 0); /* nor anything else */
    err = (struct sb_error){0};
    shell("rm linked/sub/secret");
    if (!CHECK_INT(sb_owners_give(linked, 1234, 1235, &err), 0))
        printf("    %s\n", err.message);
    CHECK_INT(look("linked/sub/a").st_uid, 1234);
    CHECK_INT(look("linked/sub/b").st_gid, 1235);
    CHECK_INT(look("linked/sub/to").st_uid, 1234);
    shell("ln linked/a of-the-service"); /* what is its already is no hindrance */
    CHECK_INT(sb_owners_give(linked, 1234, 1235, &err), 0);
}

static void test_deep(void) {
    struct sb_error err = {0};
    sb_autoclose int top = open_in("."), deep = -1;
    CHECK_INT(mkdirat(top, "deep", 0755), 0);
    int at = openat(top, "deep", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < LEVELS; i++) {
        mkdirat(at, "level", 0755);
        int next = openat(at, "level", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        close(at);
        at = next;
    }
    deep = open_in("deep");
    if (!CHECK_INT(sb_owners_give(deep, 1234, 1235, &err), 0))
        printf("    %s\n", err.message);
    struct stat st = {0};
    CHECK(fstat(at, &st) == 0 && st.st_uid == 1234);
    close(at);
    CHECK_INT(sb_tree_remove(top, "deep", &err), 0);
}

/* What an administrator has mounted there is not the service's to get. */
static void test_mounted(void) {
    struct sb_error err = {0};
    shell("mkdir -p holder/inner other; touch other/file");
    sb_autofree char *from = sb_path_join(t.dir, "other");
    sb_autofree char *to = sb_path_join(t.dir, "holder/inner");
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount(from, to, NULL, MS_BIND, NULL) < 0) {
        TEST_SKIP("nothing can be mounted here");
        return;
    }
    sb_autoclose int holder = open_in("holder");
    CHECK_INT(sb_owners_give(holder, 1234, 1235, &err), -1);
    CHECK(strstr(err.message, "mounted on \"inner\"") != NULL);
    CHECK_INT(look("other").st_uid, 0);
    CHECK_INT(look("other/file").st_uid, 0);
    CHECK_INT(umount2(to, MNT_DETACH), 0);
}

int main(void) {
    if (geteuid() != 0) {
        TEST_SKIP("needs root");
        return test_done();
    }
    t = layer_test_start();
    test_kinds();
    test_names();
    test_deep();
    test_mounted();
    layer_test_end(&t);
    return test_done();
}
