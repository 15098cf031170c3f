/* Trees that share what an older tree has already, and nothing else. */
#include "layers/reuse.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "layers/collect.h"
#include "layers/inventory.h"
#include "layers/trees.h"
#include "layers/unpack.h"
#include "tests/unit/layer_test.h"
#include "tests/unit/maketar.h"
#include "tests/unit/sametree.h"

static struct layer_test t;
static struct sb_error err;

/* In the scratch directory; umask as it is everywhere. */
static void shell(const char *script) {
    sb_autofree char *command = sb_format("cd %s && umask 022 && { %s; } 2>&1", t.dir, script);
    sb_autofree char *said = layer_test_shell(command);
    CHECK_STR(said, "");
}

static struct sb_layer pack(const char *name) {
    struct sb_layer layer = {0};
    struct sb_packer *packer;
    struct sb_pack_options options = {.compression = SB_COMPRESSION_ZSTD};
    struct sb_tree_pack_options tree = {.overlay = true, .epoch = INT64_MAX};
    sb_autofree char *path = sb_format("%s/%s", t.dir, name);
    CHECK_INT(sb_packer_start(t.store, &options, &packer, &err), 0);
    CHECK_INT(sb_tree_pack(packer, path, &tree, &err), 0);
    CHECK_INT(sb_packer_finish(packer, &layer, &err), 0);
    return layer;
}

/* The layer as a tree, with a symlink to it as DIR/LINK. */
static struct sb_reused unpack(const struct sb_layer *layer, const struct sb_layer *older,
                               const char *link) {
    struct sb_tree_older like = {.n = older ? 2 : 0};
    sb_autofree char *path = NULL, *at = sb_format("%s/%s", t.dir, link);
    like.v[0] = sb_digest_of("a tree that is not there", 3);
    if (older)
        like.v[1] = older->diff_id;
    if (!CHECK_INT(sb_tree_get_like(t.store, layer, &like, &path, &err), 0))
        printf("    %s\n", err.message);
    else
        CHECK_INT(symlink(path, at), 0);
    return like.reused;
}

static struct stat look(const char *path) {
    sb_autofree char *whole = sb_format("%s/%s", t.dir, path);
    struct stat st = {0};
    if (!CHECK_INT(lstat(whole, &st), 0))
        printf("    %s\n", path);
    return st;
}

static bool shared(const char *name) {
    sb_autofree char *a = sb_format("old.tree/%s", name), *b = sb_format("new.tree/%s", name);
    return look(a).st_ino == look(b).st_ino;
}

/* All but the number of links: that is what sharing changes. */
static void check_same(const char *made, const char *tree) {
    sb_autofree char *script =
        sb_format("list() { cd $1/ && find . -mindepth 1 ! -type d -printf '%%P %%y %%m %%U:%%G "
                  "%%s %%T@ %%l\\n' | sort; "
                  "find . -mindepth 1 -type d -printf '%%P %%m %%U:%%G %%T@\\n' | sort; getfattr "
                  "-dR -m - . 2>/dev/null | grep -v selinux; "
                  "find . -type f -print0 | sort -z | xargs -0 sha256sum; }; "
                  "(list %s) >a; (list %s) >b; cmp a b",
                  made, tree);
    shell(script);
}

/* ---- which files ---- */

static void check_files(void) {
    shell(
        "mkdir -p old/d/e old/real outside && cd old && echo same >same && echo same >d/e/same && "
        "echo first >bytes && echo text >time && echo text >nsec && echo text >mode && echo text "
        ">owner && "
        "echo text >group && echo text >xattr && echo text >value && echo text >more && echo text "
        ">few && "
        "echo longer >size && : >empty && echo kept >kept && "
        "echo text >opaque && "
        "cp /bin/true setuid && chmod 4755 setuid && setcap cap_net_raw+ep same && "
        "setfattr -n user.a -v 1 xattr && setfattr -n user.a -v 1 value && setfattr -n user.a -v 1 "
        "few && "
        "echo in >real/in && ln -s real way && echo out >../outside/out && ln -s "
        "../../../../../outside "
        "leaves && ln -s same turned && echo text >kind && mknod null c 1 3 && mkfifo fifo && "
        "find . -exec touch -h -d '2024-01-01 00:00:00.25 UTC' {} + && cd .. && cp -a old new && "
        "cd new && "
        "echo other >bytes && echo text2 >size && echo new >fresh && chmod 600 mode && chown 1 "
        "owner && "
        "chgrp 1 group && setfattr -x user.a xattr && setfattr -n user.a -v 2 value && "
        "setfattr -n user.a -v 1 more && setfattr -n user.b -v 1 few && rm way leaves turned && "
        "mkdir way leaves && "
        "echo in >way/in && echo out >leaves/out && echo same >turned && rm kind && ln -s same "
        "kind && "
        "find . -exec touch -h -d '2024-01-01 00:00:00.25 UTC' {} + && touch -d '2024-01-02 UTC' "
        "time && "
        "touch -d '2024-01-01 00:00:00.5 UTC' nsec && touch -d '2024-01-01 00:00:00.25 UTC' "
        "../outside/out");
    struct sb_layer old = pack("old"), new = pack("new");
    unpack(&old, NULL, "old.tree");
    /* As if an overlay had left it there. */
    shell("setfattr -n trusted.overlay.metacopy -v y old.tree/opaque");
    struct sb_reused reused = unpack(&new, &old, "new.tree");
    static const char *const yes[] = {"same", "d/e/same", "empty", "kept", "setuid", "real/in"};
    static const char *const no[] = {"bytes", "time",  "nsec",   "mode",  "owner", "group",
                                     "xattr", "value", "more",   "few",   "size",  "null",
                                     "fifo",  "kind",  "way/in", "opaque"};
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
        if (!CHECK(shared(yes[i])))
            printf("    %s\n", yes[i]);
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        if (!CHECK(!shared(no[i])))
            printf("    %s\n", no[i]);
    CHECK_INT(look("outside/out").st_nlink, 1);
    CHECK_INT(look("new.tree/leaves/out").st_nlink, 1);
    CHECK_INT(look("new.tree/turned").st_nlink, 1);
    CHECK_INT(reused.files, sizeof yes / sizeof *yes);
    CHECK_INT(reused.bytes, look("new/setuid").st_size + 5 + 5 + 5 + 3);
    check_same("new", "new.tree");
    shell("setfattr -x trusted.overlay.metacopy old.tree/opaque");
    check_same("old", "old.tree");
}

/* ---- files of several pieces ---- */

static void check_large(void) {
    shell("rm -rf old new *.tree && mkdir old && cd old && head -c 9000000 /dev/urandom >same && "
          "cp same last && cp same first && cp same middle && cp same zeros && truncate -s 20M "
          "sparse && "
          "printf x | dd of=sparse bs=1 seek=15000000 conv=notrunc status=none && cp sparse "
          "sparser && "
          "head -c 200000 /dev/zero >>last && for i in $(seq 300); do echo $i >n$i; done && "
          "find . -exec touch -h -d '2024-01-01 UTC' {} + && cd .. && cp -a old new && cd new && "
          "put() { printf y | dd of=$1 bs=1 seek=$2 conv=notrunc status=none; } && "
          "put last 9199999 && put first 0 && put middle 4200000 && put sparser 19999999 && "
          "dd if=/dev/zero of=zeros bs=1000000 seek=2 count=3 conv=notrunc status=none && "
          "find . -exec touch -h -d '2024-01-01 UTC' {} +");
    struct sb_layer old = pack("old"), new = pack("new");
    unpack(&old, NULL, "old.tree");
    struct sb_reused reused = unpack(&new, &old, "new.tree");
    CHECK(shared("same") && shared("n1") && shared("n300"));
    CHECK(!shared("last") && !shared("first") && !shared("middle") && !shared("zeros"));
    CHECK(!shared("sparser"));
    CHECK(reused.files >= 301);
    check_same("new", "new.tree");
    check_same("old", "old.tree");
    /* What was a hole is none of the copy's blocks. */
    CHECK(look("new.tree/sparser").st_blocks < 1000);
}

/* ---- links, and what refuses one more ---- */

static void set_immutable(const char *path, bool on) {
    sb_autofree char *whole = sb_format("%s/%s", t.dir, path);
    sb_autoclose int fd = open(whole, O_RDONLY | O_CLOEXEC);
    int flags = on ? FS_IMMUTABLE_FL : 0;
    if (ioctl(fd, FS_IOC_SETFLAGS, &flags) < 0)
        TEST_SKIP("no immutable files here");
}

static void check_links(void) {
    shell("rm -rf old new *.tree && mkdir old && cd old && echo a >a && echo b >b && ln b c && "
          "echo d >d && "
          "echo e >e && echo refused >refused && find . -exec touch -h -d '2024-01-01 UTC' {} + && "
          "cd .. && cp -a old new && cd new && ln a a2 && rm c && cp -a b c && ln e e2 && echo E "
          ">e && "
          "find . -exec touch -h -d '2024-01-01 UTC' {} +");
    struct sb_layer old = pack("old"), new = pack("new");
    unpack(&old, NULL, "old.tree");
    set_immutable("old.tree/refused", true);
    unpack(&new, &old, "new.tree");
    set_immutable("old.tree/refused", false);
    CHECK(shared("a") && shared("b") && shared("d"));
    CHECK_INT(look("new.tree/a2").st_ino, look("new.tree/a").st_ino);
    CHECK_INT(look("new.tree/e2").st_ino, look("new.tree/e").st_ino);
    CHECK_INT(look("new.tree/e").st_nlink, 2);
    CHECK(!shared("refused"));
    check_same("new", "new.tree");
    check_same("old", "old.tree");
}

/* Entries of one path: the last one counts, and none touches the older file. */
static void check_twice(void) {
    sb_autobuf struct sb_buf tar = {0};
    maketar_file(&tar, "twice", "one");
    maketar_file(&tar, "twice", "two");
    maketar_file(&tar, "back", "two");
    maketar_file(&tar, "back", "one");
    maketar_link(&tar, "linked", "back");
    maketar_file(&tar, "back", "six");
    maketar_end(&tar);
    shell("rm -rf old && mkdir -p old plain && cd old && printf one >twice && printf one >back && "
          "touch -d @1700000000 twice back");
    sb_autofree char *older = sb_format("%s/old", t.dir), *to = sb_format("%s/plain", t.dir);
    sb_autoclose int fd = memfd_create("tar", MFD_CLOEXEC), dir = open(to, O_RDONLY | O_CLOEXEC);
    CHECK_INT(sb_fd_write(fd, tar.data, tar.len, "memfd", &err), 0);
    lseek(fd, 0, SEEK_SET);
    struct sb_unpack_options options = {.form = SB_UNPACK_OVERLAY, .reuse = sb_reuse_new()};
    CHECK(sb_reuse_add(options.reuse, open(older, O_RDONLY | O_CLOEXEC)));
    CHECK_INT(sb_unpack_fd(fd, dir, &options, &err), 0);
    sb_reuse_free(options.reuse);
    shell("cd plain && [ $(cat twice back linked) = twosixone ] && cd ../old && "
          "[ $(cat twice back) = oneone ] && stat -c %h:%Y twice back >../said && "
          "printf '1:1700000000\\n2:1700000000\\n' | cmp - ../said");
}

/* As GNU tar writes them: a file with holes comes in pieces, and is written as always. */
static void check_sparse(void) {
    shell(
        "rm -rf old holes && mkdir old holes && cd old && echo a >a && truncate -s 3M all && "
        "truncate -s 3M end && printf x | dd of=end bs=1 seek=1000000 conv=notrunc status=none && "
        "truncate -s 3M begin && printf x >>begin && find . -exec touch -d @1700000000 {} + && "
        "cd .. && tar -S --format=posix -cf holes.tar -C old a all begin end");
    sb_autofree char *older = sb_format("%s/old", t.dir), *to = sb_format("%s/holes", t.dir),
                     *tar = sb_format("%s/holes.tar", t.dir);
    sb_autoclose int fd = open(tar, O_RDONLY | O_CLOEXEC), dir = open(to, O_RDONLY | O_CLOEXEC);
    struct sb_unpack_options options = {.form = SB_UNPACK_OVERLAY, .reuse = sb_reuse_new()};
    CHECK(sb_reuse_add(options.reuse, open(older, O_RDONLY | O_CLOEXEC)));
    CHECK_INT(sb_unpack_fd(fd, dir, &options, &err), 0);
    CHECK_INT(sb_reuse_total(options.reuse).files, 1);
    sb_reuse_free(options.reuse);
    check_same("old", "holes");
    /* One that only looks like it. */
    shell(
        "rm -rf holes/* && printf y | dd of=old/all bs=1 seek=2999999 conv=notrunc status=none && "
        "printf y | dd of=old/end bs=1 seek=5 conv=notrunc status=none && touch -d @1700000000 "
        "old/*");
    options.reuse = sb_reuse_new();
    CHECK(sb_reuse_add(options.reuse, open(older, O_RDONLY | O_CLOEXEC)));
    lseek(fd, 0, SEEK_SET);
    CHECK_INT(sb_unpack_fd(fd, dir, &options, &err), 0);
    sb_reuse_free(options.reuse);
    shell("mkdir plain.holes && tar -xf holes.tar -C plain.holes");
    check_same("plain.holes", "holes");
}

/* ---- trees that come to nothing ---- */

static void check_damaged(void) {
    shell("rm -rf old new *.tree && mkdir old && echo precious >old/file && cp -a old new && echo "
          "1 >new/more");
    struct sb_layer old = pack("old"), new = pack("new");
    struct sb_tree_older like = {.v = {old.diff_id}, .n = 1};
    char *path = NULL;
    unpack(&old, NULL, "old.tree");
    new.diff_id.bytes[0] ^= 1;
    CHECK_INT(sb_tree_get_like(t.store, &new, &like, &path, &err), -1);
    CHECK_INT(err.code, SB_E_INTEGRITY);
    CHECK(!sb_tree_has(t.store, &new.diff_id));
    CHECK_INT(like.reused.files, 0);
    CHECK_INT(look("old.tree/file").st_nlink, 1);
    check_same("old", "old.tree");
}

/* ---- what they take together ---- */

static uint64_t du(const char *trees) {
    sb_autofree char *command =
        sb_format("cd %s && du -cs -B1 %s | tail -n 1 | cut -f1", t.dir, trees);
    sb_autofree char *said = layer_test_shell(command);
    return strtoull(said, NULL, 10);
}

static uint64_t usage(void) {
    struct sb_store_usage usage;
    CHECK_INT(sb_store_usage(t.store, &usage, &err), 0);
    return usage.kinds[SB_ITEM_TREE].bytes;
}

static void check_sizes(void) {
    shell("rm -rf old new *.tree store/sbuild/trees/* && mkdir old && cd old && head -c 3000000 "
          "/dev/urandom >a && "
          "cp a b && cp -a . ../new && cd .. && head -c 500000 /dev/urandom >new/b && cp -a new "
          "third && "
          "head -c 700000 /dev/urandom >third/c && mkdir alone && echo 1 >alone/a");
    struct sb_layer layers[] = {pack("old"), pack("new"), pack("third"), pack("alone")};
    struct sb_digest ids[4], pair[2];
    unpack(&layers[0], NULL, "old.tree");
    unpack(&layers[1], &layers[0], "new.tree");
    unpack(&layers[2], &layers[1], "third.tree");
    unpack(&layers[3], NULL, "alone.tree");
    shell("sync -f ."); /* a file may take a block more once it is written to the disk */
    for (int i = 0; i < 4; i++)
        ids[i] = layers[i].diff_id;
    uint64_t together = du("old.tree/ new.tree/ third.tree/ alone.tree/");
    for (int i = 0; i < 2; i++) /* measured, then remembered */
        CHECK_INT(sb_trees_size(t.store, ids, 4), together);
    CHECK(together < 8000000);
    CHECK_INT(sb_trees_size(t.store, ids, 1), du("old.tree/"));
    pair[0] = ids[0]; /* related by way of one that is not asked for */
    pair[1] = ids[2];
    CHECK_INT(sb_trees_size(t.store, pair, 2), du("old.tree/ third.tree/"));
    CHECK_INT(sb_trees_size(t.store, ids, 0), 0);
    uint64_t all = usage();
    CHECK(all >= together && all < together + 100000);

    /* The last tree that has a file frees it. */
    struct sb_collect_options options = SB_COLLECT_OPTIONS;
    struct sb_collect_report report;
    shell("rm -rf alone.tree");
    sb_autofree char *note = sb_format("rm -rf store/sbuild/trees/%s", sb_digest_hex(&ids[0]).text);
    shell(note);
    CHECK_INT(sb_trees_size(t.store, ids, 4),
              du("new.tree/ third.tree/") + sb_trees_size(t.store, &ids[3], 1));
    uint64_t before = usage();
    CHECK_INT(sb_store_collect(t.store, &options, &report, &err), 0);
    CHECK_INT(report.removed[SB_ITEM_TREE].count, 3);
    CHECK_INT(report.removed[SB_ITEM_TREE].bytes, before - usage());
    sb_collect_report_free(&report);
}

int main(void) {
    if (geteuid() != 0) {
        TEST_SKIP("needs root");
        return test_done();
    }
    t = layer_test_start();
    check_files();
    check_large();
    check_links();
    check_twice();
    check_sparse();
    check_damaged();
    check_sizes();
    if (!getenv("KEEP"))
        layer_test_end(&t);
    return test_done();
}
