/* What a volume has at first, whose it is, and what never gets out of an image. */
#include "deploy/node/volumes.h"

#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "tests/unit/layer_test.h"

static struct layer_test t;
static struct sb_error err;
static char *top, *root;

static struct stat look(const char *name) {
    struct stat st = {0};
    sb_autofree char *path = sb_format("%s/db/%s", top, name);
    lstat(path, &st);
    return st;
}

static void make(const char *path, uint32_t uid, uint32_t gid) {
    struct sb_description d = {.name = (char *)"db"};
    sb_autoclose int inside = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    sb_strings_add(&d.volumes, path);
    if (!CHECK(sb_volumes_make(&d, inside, uid, gid, top, &err) == 0))
        printf("    %s\n", err.message);
    sb_strings_free(&d.volumes);
}

static void shell(const char *command) {
    sb_autofree char *whole = sb_format("set -e; cd %s; %s", root, command);
    sb_autofree char *said = layer_test_shell(whole);
    CHECK_STR(said, "");
}

static void test_content(void) {
    shell(
        "mkdir -p var/lib/data/sub etc; echo one >var/lib/data/one; echo two >var/lib/data/sub/two;"
        "ln -s /etc/passwd var/lib/data/link; chmod 4755 var/lib/data/one; chmod 0700 var/lib/data;"
        "touch -d @1000 var/lib/data/one; chown 42:43 var/lib/data/sub var/lib/data/sub/two;"
        "chmod 2770 var/lib/data/sub; mkfifo var/lib/data/pipe; ln -s ../var/lib/data etc/link");
    sb_autofree char *device = sb_format("%s/var/lib/data/device", root);
    mknod(device, S_IFCHR | 0666, makedev(1, 3));
    make("/var/lib/data", 1234, 1235);
    CHECK_INT(look("var~lib~data").st_mode, S_IFDIR | 0700);
    CHECK_INT(look("var~lib~data").st_uid, 1234);
    CHECK_INT(look("var~lib~data/one").st_mode, S_IFREG | 0755); /* setuid on the host no more */
    CHECK_INT(look("var~lib~data/one").st_uid, 1234);
    CHECK_INT(look("var~lib~data/one").st_gid, 1235);
    CHECK_INT(look("var~lib~data/one").st_mtim.tv_sec, 1000);
    CHECK_INT(look("var~lib~data/sub").st_mode, S_IFDIR | 0770);
    CHECK_INT(look("var~lib~data/sub/two").st_size, 4);
    CHECK(S_ISLNK(look("var~lib~data/link").st_mode));
    CHECK_INT(look("var~lib~data/link").st_uid, 1234);
    CHECK_INT(look("var~lib~data/device").st_mode, 0);
    CHECK_INT(look("var~lib~data/pipe").st_mode, 0);
    CHECK_INT(look("").st_uid, 0); /* nothing above it is the service's */
}

static void test_again(void) {
    shell("echo changed >var/lib/data/one; echo new >var/lib/data/three");
    make("/var/lib/data", 9, 9);
    CHECK_INT(look("var~lib~data/one").st_size, 4);
    CHECK_INT(look("var~lib~data/three").st_mode, 0);
    CHECK_INT(look("var~lib~data/one").st_uid, 1234);
}

static void test_root(void) {
    make("/etc/link", 0, 0); /* through a symlink of the image */
    CHECK_INT(look("etc~link/sub").st_uid, 42);
    CHECK_INT(look("etc~link/sub/two").st_gid, 43);
    CHECK_INT(look("etc~link/one").st_mode, S_IFREG | 0755);
}

static void test_missing(void) {
    make("/not/there", 7, 8);
    CHECK_INT(look("not~there").st_mode, S_IFDIR | 0755);
    CHECK_INT(look("not~there").st_uid, 7);
    shell("ln -s ../../../../../../../../.. escape; ln -s /escape/etc out");
    make("/out", 7, 8); /* etc of the root, not of this machine */
    CHECK_INT(look("out/passwd").st_mode, 0);
    CHECK(S_ISLNK(look("out/link").st_mode));
}

/* What was begun and killed is begun anew, and no volume is called as what is being made. */
static void test_begun(void) {
    sb_autofree char *left = sb_format("mkdir -p %s/db/~/deep; touch %s/db/~/deep/file", top, top);
    sb_autofree char *said = layer_test_shell(left);
    CHECK_STR(said, "");
    make("/.tmp-begun", 7, 8);
    make("/begun", 7, 8);
    CHECK_INT(look(".tmp-begun").st_uid, 7);
    CHECK_INT(look("begun").st_uid, 7);
    CHECK_INT(look("begun/deep").st_mode, 0);
    CHECK_INT(look("~").st_mode, 0);
    sb_autofree char *again = layer_test_shell(left);
    CHECK_STR(again, "");
    struct sb_description none = {.name = (char *)"db"}, other = {.name = (char *)"no-such"};
    CHECK_INT(sb_volumes_make(&none, -1, 7, 8, top, &err), 0);
    CHECK_INT(sb_volumes_make(&other, -1, 7, 8, top, &err), 0);
    CHECK_INT(look("~").st_mode, 0);
    CHECK_INT(look("begun").st_uid, 7);
}

/* More levels than a process may have files open. */
static void test_deep(void) {
    struct rlimit files, few = {64, 64};
    getrlimit(RLIMIT_NOFILE, &files);
    few.rlim_max = files.rlim_max;
    shell("mkdir -p deep/$(printf 'd/%.0s' $(seq 900)); chmod 750 deep/d; touch -d @1000 deep/d");
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &few), 0);
    make("/deep", 1234, 1235);
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &files), 0);
    CHECK_INT(look("deep/d").st_mode, S_IFDIR | 0750);
    CHECK_INT(look("deep/d").st_mtim.tv_sec, 1000);
    sb_autofree char *least = sb_format("%s/db/deep/", top);
    sb_autofree char *command = sb_format("find %s -uid 1234 | wc -l", least);
    sb_autofree char *count = layer_test_shell(command);
    CHECK_STR(count, "901\n");
}

/* Holes stay holes, names of one file names of one. */
static void test_sizes(void) {
    struct stat st;
    shell("mkdir -p big/sub; truncate -s 1T big/hole; echo data | dd of=big/hole bs=1 seek=1G "
          "conv=notrunc status=none; head -c 3000000 /dev/zero | tr '\\0' x >big/a; ln big/a big/b;"
          "ln big/a big/sub/c");
    make("/big", 1234, 1235);
    st = look("big/hole");
    CHECK_INT(st.st_size, INT64_C(1) << 40);
    CHECK(st.st_blocks * 512 < 1 << 20);
    CHECK_INT(look("big/a").st_nlink, 3);
    CHECK(look("big/sub/c").st_ino == look("big/b").st_ino);
    CHECK_INT(look("big/sub/c").st_uid, 1234);
}

/* Of several nothing is made when there is no room for all. */
static void test_room(void) {
    struct sb_description d = {.name = (char *)"db"};
    sb_autoclose int inside = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    sb_autofree char *small = sb_format("%s/small", t.dir);
    mkdir(small, 0755);
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("tmpfs", small, "tmpfs", 0, "size=40m,nr_inodes=50") < 0) {
        TEST_SKIP("nothing can be mounted here");
        return;
    }
    shell("mkdir one two many; head -c 20M /dev/zero | tr '\\0' x >one/x; cp one/x two/x;"
          "touch many/$(seq -s ' many/' 100)");
    sb_strings_add(&d.volumes, "/one");
    sb_strings_add(&d.volumes, "/two");
    CHECK_INT(sb_volumes_make(&d, inside, 7, 8, small, &err), -1);
    CHECK_INT(err.code, SB_E_NO_SPACE);
    CHECK(strstr(err.message, "volumes of db need ") && strstr(err.message, " left of "));
    sb_strings_free(&d.volumes);
    sb_autofree char *list = sb_format("ls -A %s/db", small);
    sb_autofree char *left = layer_test_shell(list);
    CHECK_STR(left, "");
    err = (struct sb_error){0};
    d.volumes = (struct sb_strings){0};
    sb_strings_add(&d.volumes, "/many");
    CHECK_INT(sb_volumes_make(&d, inside, 7, 8, small, &err), -1);
    CHECK_INT(err.code, SB_E_NO_SPACE);
    err = (struct sb_error){0};
    sb_strings_free(&d.volumes);
    d.volumes = (struct sb_strings){0};
    sb_strings_add(&d.volumes, "/one");
    CHECK_INT(sb_volumes_make(&d, inside, 7, 8, small, &err), 0);
    sb_strings_free(&d.volumes);
    CHECK_INT(umount2(small, MNT_DETACH), 0);
}

int main(void) {
    if (geteuid() != 0) {
        TEST_SKIP("needs root");
        return test_done();
    }
    t = layer_test_start();
    top = sb_format("%s/volumes", t.dir);
    root = sb_format("%s/root", t.dir);
    CHECK_INT(mkdir(root, 0755), 0);
    sb_autofree char *path = sb_volume_path("db", "/var/lib/data");
    CHECK_STR(path, "/var/lib/sbuild-volumes/db/var~lib~data");
    test_content();
    test_again();
    test_root();
    test_missing();
    test_begun();
    test_deep();
    test_sizes();
    test_room();
    free(top);
    free(root);
    layer_test_end(&t);
    return test_done();
}
