/* Layers packed and unpacked again, and kept as trees. */
#include "layers/trees.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "layers/unpack.h"
#include "tests/unit/sametree.h"
#include "tests/unit/test.h"

static char directory[] = "/var/tmp/sb-trees-XXXXXX";
static int top; /* of the directory */
static struct sb_store *store;
static struct sb_error err;

static const struct sb_unpack_options overlay = {.form = SB_UNPACK_OVERLAY};

static int new_directory(const char *name) {
    CHECK_INT(sb_tree_remove(top, name, &err), 0);
    CHECK_INT(mkdirat(top, name, 0755), 0);
    return openat(top, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int shell(const char *script) {
    sb_autofree char *command = sb_format("cd %s && { %s; } >/dev/null 2>&1", directory, script);
    return system(command);
}

/* ---- there and back through the packer ---- */

static void make_rich_tree(void) {
    CHECK_INT(
        shell(
            "rm -rf rich && mkdir -p rich/usr/bin rich/var/empty rich/d && cd rich && "
            "head -c 9000000 /dev/urandom > random && truncate -s 50M sparse && "
            "printf x | dd of=sparse bs=1 seek=30000000 conv=notrunc && "
            "cp /bin/true usr/bin/tool && chown 5:6 usr/bin/tool && chmod 6755 usr/bin/tool && "
            "setfattr -n user.a -v 1 usr/bin/tool && setfattr -n user.bin -v 0x0001ff usr && "
            "setfattr -n trusted.t -v 2 d && setcap cap_net_raw+ep random; "
            "mkdir link && ln usr/bin/tool link/hard && ln -s /anywhere s && ln s s2 && "
            "ln -s ../../../etc/passwd up && mkfifo -m 600 fifo && mknod c c 1 3 && "
            "mknod b b 7 200 && mknod big c 300 70000 && chown 4294967294:2097153 c && "
            "printf 1 > \"$(printf 'bad-\\377-utf8')\" && printf 1 > \"$(printf 'new\\nline')\" && "
            "printf 1 > ' space ' && chmod 1777 var && chmod 2750 d && chmod 000 var/empty && "
            "touch -d '1960-05-05 05:05:05.000000001 UTC' random && "
            "touch -d '2200-05-05 05:05:05.999999999 UTC' d && "
            "touch -h -d '1979-12-31 23:59:59.5 UTC' s && "
            "touch -d '1970-01-01 UTC' usr/bin/tool"),
        0);
    /* A path of 4,000 bytes. */
    sb_autoclose int dir = openat(top, "rich", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char name[200];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    for (int i = 0; i < 20; i++) {
        CHECK_INT(mkdirat(dir, name, 0755), 0);
        int next = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        close(dir);
        dir = next;
    }
    CHECK_INT(sb_file_write(dir, "end", "deep", 4, 0600, &err), 0);
}

static struct sb_layer pack_tree(const char *name, enum sb_compression compression) {
    struct sb_layer layer = {0};
    struct sb_packer *packer;
    struct sb_pack_options options = {.compression = compression};
    struct sb_tree_pack_options tree = {.overlay = true, .epoch = INT64_MAX};
    sb_autofree char *path = sb_format("%s/%s", directory, name);
    CHECK_INT(sb_packer_start(store, &options, &packer, &err), 0);
    if (!CHECK_INT(sb_tree_pack(packer, path, &tree, &err), 0))
        printf("    %s\n", err.message);
    if (!CHECK_INT(sb_packer_finish(packer, &layer, &err), 0))
        printf("    %s\n", err.message);
    return layer;
}

static void check_round_trip(void) {
    make_rich_tree();
    sb_autoclose int rich = openat(top, "rich", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum sb_compression forms[] = {SB_COMPRESSION_ZSTD, SB_COMPRESSION_GZIP, SB_COMPRESSION_NONE};
    for (int i = 0; i < 3; i++) {
        struct sb_layer layer = pack_tree("rich", forms[i]);
        sb_autoclose int dir = new_directory("in");
        if (!CHECK_INT(sb_unpack_layer(store, &layer, dir, &overlay, &err), 0))
            printf("    %s\n", err.message);
        CHECK_INT(sametree_compare(rich, dir, ""), 0);
        layer.tar_size--;
        CHECK_INT(sb_unpack_layer(store, &layer, dir, &overlay, &err), -1);
        CHECK_INT(err.code, SB_E_INTEGRITY);
        layer.tar_size = 0;
        layer.diff_id.bytes[3] ^= 1;
        CHECK_INT(sb_unpack_layer(store, &layer, dir, &overlay, &err), -1);
        CHECK_INT(err.code, SB_E_INTEGRITY);
    }
}

/* ---- trees ---- */

static void *get_tree(void *self) {
    struct sb_error local = {0};
    char *path = NULL;
    sb_tree_get(store, self, &path, &local);
    return path;
}

static void check_trees(void) {
    struct sb_layer layer = pack_tree("rich", SB_COMPRESSION_ZSTD);
    sb_autoclose int rich = openat(top, "rich", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    pthread_t threads[3];
    char *path = NULL, *other;
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, get_tree, &layer);
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], (void **)&other);
        CHECK(other != NULL && (!path || !strcmp(path, other)));
        free(path);
        path = other;
    }
    sb_autoclose int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK_INT(sametree_compare(rich, dir, ""), 0);
    struct stat st, again;
    CHECK_INT(fstat(dir, &st), 0);
    CHECK_INT(st.st_mode & 07777, 0755);
    CHECK_INT(st.st_mtime, 0);

    /* Asked again it is the same; after a reboot it is not trusted. */
    CHECK_INT(sb_tree_get(store, &layer, &other, &err), 0);
    free(other);
    CHECK_INT(stat(path, &again), 0);
    CHECK_INT(again.st_ino, st.st_ino);
    sb_autofree char *boot = sb_format("%s/../boot", path);
    CHECK_INT(sb_file_write(AT_FDCWD, boot, "another boot\n", 13, 0644, &err), 0);
    CHECK_INT(sb_tree_get(store, &layer, &other, &err), 0);
    free(other);
    CHECK_INT(stat(path, &again), 0);
    CHECK(again.st_ino != st.st_ino);
    /* Once synced it is good for ever. */
    CHECK_INT(unlink(boot), 0);
    CHECK_INT(sb_tree_get(store, &layer, &other, &err), 0);
    free(other);
    CHECK_INT(stat(path, &st), 0);
    CHECK(again.st_ino == st.st_ino);
    sb_autobuf struct sb_buf made = {0};

    /* An old one gets synced when it is used. */
    CHECK_INT(sb_file_read(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 64, &made, &err), 0);
    CHECK_INT(sb_file_write(AT_FDCWD, boot, made.data, made.len, 0644, &err), 0);
    CHECK_INT(utimensat(AT_FDCWD, boot, (struct timespec[2]){{1, 0}, {1, 0}}, 0), 0);
    CHECK_INT(sb_tree_get(store, &layer, &other, &err), 0);
    free(other);
    CHECK(access(boot, F_OK) != 0);
    free(path);
}

static void check_damaged_tree(void) {
    struct sb_layer layer = pack_tree("rich", SB_COMPRESSION_GZIP);
    struct sb_digest wrong = layer.diff_id;
    wrong.bytes[0] ^= 1;
    layer.diff_id = wrong;
    char *path = NULL;
    CHECK_INT(sb_tree_get(store, &layer, &path, &err), -1);
    CHECK_INT(err.code, SB_E_INTEGRITY);
    sb_autofree char *tree = sb_format("sbuild/trees/%s", sb_digest_hex(&wrong).text);
    CHECK(!sb_path_exists(sb_store_fd(store), tree));
    sb_autostrings struct sb_strings left = {0};
    sametree_names(sb_store_tmp_fd(store), &left);
    CHECK_INT(left.n, 0);
}

static void check_adopt(void) {
    struct sb_digest a = sb_digest_of("a", 1);
    struct sb_layer layer = {.diff_id = a};
    for (int i = 0; i < 2; i++) {
        CHECK_INT(shell("mkdir -m 700 upper && echo mine > upper/file"), 0);
        sb_autofree char *upper = sb_format("%s/upper", directory);
        CHECK_INT(sb_tree_adopt(store, &a, upper, &err), 0);
        CHECK(!sb_path_exists(top, "upper"));
        char *path = NULL;
        CHECK_INT(sb_tree_get(store, &layer, &path, &err), 0);
        sb_autofree char *file = sb_format("%s/file", path);
        sb_autobuf struct sb_buf text = {0};
        struct stat st;
        CHECK_INT(sb_file_read(AT_FDCWD, file, 100, &text, &err), 0);
        CHECK_STR(sb_buf_text(&text), "mine\n");
        CHECK_INT(stat(path, &st), 0);
        CHECK_INT(st.st_mode & 07777, 0755);
        free(path);
    }
}

static void check_contents(void) {
    struct sb_layer layer = pack_tree("rich", SB_COMPRESSION_ZSTD);
    sb_autofree char *file = sb_format("sbuild/contents/%s", sb_digest_hex(&layer.diff_id).text);
    struct sb_contents *packed = NULL, *read = NULL;
    if (!CHECK_INT(sb_layer_contents(store, &layer, &packed, &err), 0))
        return;
    CHECK_INT(unlinkat(sb_store_fd(store), file, 0), 0);
    CHECK_INT(sb_layer_contents(store, &layer, &read, &err), 0);
    CHECK(sb_path_exists(sb_store_fd(store), file));
    CHECK_INT(sb_contents_count(packed), sb_contents_count(read));
    for (size_t i = 0; i < sb_contents_count(read); i++) {
        struct sb_entry a, b;
        sb_contents_get(packed, i, &a);
        sb_contents_get(read, i, &b);
        CHECK_STR(a.path, b.path);
        bool same = a.mode == b.mode && a.uid == b.uid && a.gid == b.gid && a.size == b.size &&
                    a.mtime == b.mtime && a.mtime_nsec == b.mtime_nsec &&
                    a.hard_link == b.hard_link && a.device_major == b.device_major;
        if (!CHECK(same))
            printf("    %s\n", a.path);
    }
    sb_contents_close(packed);
    sb_contents_close(read);
}

/* ---- rootless ---- */

/* In the child: root of a user namespace that has 65,536 ids. */
static int unpack_rootless(const struct sb_layer *layer) {
    char *path = NULL;
    if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
        return 10;
    sb_autofree char *where = sb_format("%s/rootless", directory);
    if (sb_store_open(where, &store, &err) < 0 || sb_tree_get(store, layer, &path, &err) < 0) {
        printf("%s (%s)\n", err.message, err.hint);
        return 11;
    }
    sb_autoclose int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char value[64];
    struct stat st;
    sb_autofree char *opaque = sb_format("%s/opaque", path);
    sb_autofree char *capable = sb_format("%s/capable", path);
    if (lgetxattr(opaque, "user.overlay.opaque", value, sizeof value) != 1 ||
        lgetxattr(opaque, "trusted.overlay.opaque", value, sizeof value) >= 0)
        return 12;
    if (lgetxattr(capable, "security.capability", value, sizeof value) <= 0)
        return 13;
    if (fstatat(dir, "capable", &st, 0) < 0 || st.st_uid != 1000 || (st.st_mode & 07777) != 04755)
        return 14;
    if (fstatat(dir, "whiteout", &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISCHR(st.st_mode))
        return 15;
    if (fstatat(dir, "null", &st, AT_SYMLINK_NOFOLLOW) == 0)
        return 16; /* a namespace has no devices: left out */
    free(path);
    sb_store_close(store);
    return 0;
}

static int write_map(pid_t pid, const char *which) {
    sb_autofree char *path = sb_format("/proc/%d/%s", (int)pid, which);
    sb_autoclose int fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd < 0 ? -1 : sb_fd_write(fd, "0 100000 65536", 14, path, &err);
}

static void check_rootless(void) {
    CHECK_INT(shell("rm -rf up && mkdir -p up/opaque && setfattr -n trusted.overlay.opaque -v y "
                    "up/opaque && mknod up/whiteout c 0 0 && mknod up/null c 1 3 && cp /bin/true "
                    "up/capable && chown 1000:1000 up/capable && setcap cap_net_raw+ep up/capable "
                    "&& chmod 4755 up/capable && setfattr -n trusted.x -v 1 up/capable"),
              0);
    struct sb_layer layer = pack_tree("up", SB_COMPRESSION_ZSTD);
    sb_autofree char *copy =
        sb_format("rm -rf rootless && mkdir rootless && cp -r store/blobs store/oci-layout "
                  "store/index.json rootless && chown -R 100000:100000 rootless && chmod 755 .");
    CHECK_INT(shell(copy), 0);
    int to_child[2], to_parent[2];
    char byte = 0;
    CHECK_INT(pipe2(to_child, O_CLOEXEC), 0);
    CHECK_INT(pipe2(to_parent, O_CLOEXEC), 0);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        if (unshare(CLONE_NEWUSER) < 0)
            _exit(77);
        if (write(to_parent[1], &byte, 1) != 1 || read(to_child[0], &byte, 1) != 1)
            _exit(1);
        int status = unpack_rootless(&layer);
        fflush(stdout);
        _exit(status);
    }
    close(to_parent[1]);
    int status = 0;
    if (read(to_parent[0], &byte, 1) == 1) {
        CHECK_INT(write_map(pid, "uid_map"), 0);
        CHECK_INT(write_map(pid, "gid_map"), 0);
        CHECK_INT(write(to_child[1], &byte, 1), 1);
    }
    CHECK_INT(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        printf("trees: no user namespaces here, rootless unpacking not tried\n");
    else
        CHECK_INT(WEXITSTATUS(status), 0);
    close(to_parent[0]);
    close(to_child[0]);
    close(to_child[1]);
}

/* ---- while the blob arrives ---- */

static void *follow_tree(void *self) {
    const struct sb_layer *layer = self;
    struct sb_error local = {0};
    char *path = NULL;
    int rc = sb_tree_follow(store, layer, &path, &local);
    free(path);
    return rc == 0 ? self : NULL;
}

/* Sends the first len bytes, and looks on while nobody may believe them yet. */
static struct sb_blob_writer *send_part(const struct sb_layer *layer, const struct sb_buf *blob,
                                        size_t len, pthread_t *out_follower) {
    struct sb_blob_writer *writer;
    CHECK_INT(sb_blob_begin(store, &writer, &err), 0);
    sb_blob_announce(writer, &layer->descriptor.digest);
    pthread_create(out_follower, NULL, follow_tree, (void *)layer);
    for (size_t at = 0; at < len;) {
        size_t n = len - at < 700001 ? len - at : 700001;
        CHECK_INT(sb_blob_append(writer, blob->data + at, n, &err), 0);
        at += n;
    }
    usleep(50000);
    CHECK(!sb_tree_has(store, &layer->diff_id));
    return writer;
}

static void take_away(const struct sb_layer *layer, struct sb_buf *out) {
    sb_autofree char *blob = sb_blob_path(&layer->descriptor.digest);
    sb_autofree char *path = sb_format("%s/store/%s", directory, blob);
    sb_autofree char *tree =
        sb_format("%s/store/sbuild/trees/%s", directory, sb_digest_hex(&layer->diff_id).text);
    sb_buf_reset(out);
    CHECK_INT(sb_file_read(AT_FDCWD, path, 1u << 30, out, &err), 0);
    CHECK_INT(unlink(path), 0);
    CHECK_INT(sb_tree_remove(AT_FDCWD, tree, &err), 0);
}

static void check_following(enum sb_compression compression) {
    struct sb_layer layer = pack_tree("rich", compression);
    sb_autobuf struct sb_buf blob = {0};
    sb_autofree char *path = NULL;
    pthread_t follower;
    void *result;
    take_away(&layer, &blob);
    struct sb_blob_writer *writer = send_part(&layer, &blob, blob.len, &follower);
    CHECK_INT(sb_blob_commit(writer, &layer.descriptor.digest, NULL, NULL, &err), 0);
    pthread_join(follower, &result);
    CHECK(result != NULL);
    CHECK(sb_tree_has(store, &layer.diff_id));
    CHECK_INT(sb_tree_get(store, &layer, &path, &err), 0);
    sb_autoclose int rich = openat(top, "rich", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    sb_autoclose int tree = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK_INT(sametree_compare(rich, tree, ""), 0);

    /* All of it came, and was found wrong in the end: there is no tree. */
    take_away(&layer, &blob);
    writer = send_part(&layer, &blob, blob.len, &follower);
    sb_blob_abort(writer);
    pthread_join(follower, &result);
    CHECK(result == NULL);
    CHECK(!sb_tree_has(store, &layer.diff_id));

    writer = send_part(&layer, &blob, blob.len / 2, &follower);
    sb_blob_abort(writer);
    pthread_join(follower, &result);
    CHECK(result == NULL);
    CHECK(!sb_tree_has(store, &layer.diff_id));
    CHECK_INT(sb_blob_put(store, blob.data, blob.len, NULL, &err), 0);
    free(sb_steal(path));
    CHECK_INT(sb_tree_get(store, &layer, &path, &err), 0);
}

/* A store that was given to somebody, as before a CI job's cache is written by an ordinary user:
 * its trees show steps the wrong owners. */
static void check_given_away(void) {
    struct sb_layer layer = pack_tree("rich", SB_COMPRESSION_ZSTD);
    sb_autofree char *path = NULL;
    CHECK_INT(sb_tree_get(store, &layer, &path, &err), 0);
    sb_autofree char *give = sb_format("chown -hR 1234:1234 %s/..", path);
    CHECK_INT(system(give), 0);
    CHECK(!sb_tree_has(store, &layer.diff_id));
    free(sb_steal(path));
    CHECK_INT(sb_tree_get(store, &layer, &path, &err), 0);
    sb_autoclose int rich = openat(top, "rich", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    sb_autoclose int tree = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK_INT(sametree_compare(rich, tree, ""), 0);
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
    sb_autofree char *path = sb_format("%s/store", directory);
    if (sb_store_open(path, &store, &err) < 0) {
        printf("%s\n", err.message);
        return 1;
    }
    check_round_trip();
    check_following(SB_COMPRESSION_ZSTD);
    check_following(SB_COMPRESSION_GZIP);
    check_following(SB_COMPRESSION_NONE);
    check_trees();
    check_damaged_tree();
    check_given_away();
    check_adopt();
    check_contents();
    check_rootless();
    sb_store_close(store);
    close(top);
    CHECK_INT(sb_tree_remove(AT_FDCWD, directory, &err), 0);
    return test_done();
}
