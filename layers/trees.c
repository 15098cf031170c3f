/*
 * A tree is published by rename once it is whole. Its bytes may then still be on the way to the
 * disk: syncing gigabytes of files that can be made again would cost more than making them. So each
 * tree carries the kernel's boot ID until it is known to have been written back; one with the ID of
 * an earlier boot may have lost its files' contents with the power, and is made anew.
 *
 *     trees/HEX/       mtime: last use
 *         fs/          the tree
 *         boot         ID of the boot that made it; removed once synced
 *         ids          how ids of the user namespace that made it are mapped (base/idmap.h)
 *         family       whose files it shares (layers/family.c)
 *         size         bytes on the disk, once somebody asked
 */
#include "layers/trees.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/idmap.h"
#include "base/lock.h"
#include "base/memory.h"
#include "layers/origin.h"
#include "layers/room.h"
#include "layers/unpack.h"

#define UNPACK_AT_ONCE 2

#define SYNC_AFTER 600 /* seconds; by then the kernel has written most of it on its own */

struct names {
    char tree[sizeof "trees/" + 64]; /* relative to STORE/sbuild, as lock */
    char lock[sizeof "keys/tree-" + 64];
    char tmp[sizeof "tree-" + 64]; /* in the process's own tmp/ID */
};

static struct names names_of(const struct sb_digest *diff_id) {
    struct names n;
    struct sb_digest_hex hex = sb_digest_hex(diff_id);
    memcpy(stpcpy(n.tree, "trees/"), hex.text, sizeof hex.text);
    memcpy(stpcpy(n.lock, "keys/tree-"), hex.text, sizeof hex.text);
    memcpy(stpcpy(n.tmp, "tree-"), hex.text, sizeof hex.text);
    return n;
}

static int boot_id(struct sb_buf *out, struct sb_error *err) {
    return sb_file_read(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 64, out, err);
}

/* ---- finding ---- */

/* A tree's root is root's, here or in the user namespace that made it: others got it with the whole
 * store, by `chown -R` or by an archive that was unpacked as somebody else, and with it all files
 * that steps are to see as root's. */
static bool is_owned(int private, const char *fs) {
    struct stat st;
    return fstatat(private, fs, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_uid == geteuid();
}

/* Subordinate ids change: /etc/subuid is written anew, or a home directory is another machine's
 * too. */
static bool has_our_ids(int private, const struct names *n) {
    sb_autofree char *own = sb_idmap_note();
    if (!own)
        return true;
    sb_autobuf struct sb_buf made = {0};
    sb_autofree char *path = sb_format("%s/ids", n->tree);
    return sb_file_read(private, path, 1u << 17, &made, NULL) == 0 &&
           !strcmp(sb_buf_text(&made), own);
}

/* Whether the tree is there, and safe to use. */
static int look(struct sb_store *store, const struct names *n, bool *out_there,
                struct sb_error *err) {
    int private = sb_store_private_fd(store);
    sb_autofree char *fs = sb_format("%s/fs", n->tree), *boot = sb_format("%s/boot", n->tree);
    *out_there = is_owned(private, fs) && has_our_ids(private, n);
    sb_autoclose int fd = *out_there ? openat(private, boot, SB_FILE_FLAGS) : -1;
    if (fd < 0)
        return !*out_there || errno == ENOENT
                   ? 0
                   : sb_fail_errno(err, SB_E_IO, "%s/sbuild/%s", sb_store_path(store), boot);
    sb_autobuf struct sb_buf made = {0}, now = {0};
    if (sb_fd_read(fd, 64, &made, err) < 0 || boot_id(&now, err) < 0)
        return -1;
    *out_there = !strcmp(sb_buf_text(&made), sb_buf_text(&now));
    return 0;
}

/* Finds the tree and marks it used, with the collector kept out in between. */
static int take_into_use(struct sb_store *store, const struct names *n, bool *out_there,
                         struct sb_error *err) {
    *out_there = false;
    if (sb_store_hold(store, err) < 0)
        return -1;
    sb_autofree char *path = sb_format("sbuild/%s", n->tree);
    int rc = look(store, n, out_there, err);
    if (rc == 0 && *out_there)
        rc = sb_store_use(store, path, err);
    sb_store_release(store);
    return rc;
}

/* One thorough flush makes a tree of this boot good for later ones. */
static void make_durable(struct sb_store *store, const struct names *n) {
    int private = sb_store_private_fd(store);
    sb_autofree char *boot = sb_format("%s/boot", n->tree);
    struct stat st;
    if (fstatat(private, boot, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        st.st_mtime < time(NULL) - SYNC_AFTER && syncfs(private) == 0)
        unlinkat(private, boot, 0);
}

/* ---- making ---- */

struct want {
    const struct sb_layer *layer;
    bool follow;                 /* while it is being fetched */
    struct sb_tree_older *older; /* or NULL */
};

/* The layer has no entry for its root: every tree's is the same. */
static int finish_root(int fd, struct sb_error *err) {
    static const struct timespec epoch[2];
    if (fchown(fd, 0, 0) < 0 || fchmod(fd, 0755) < 0 || futimens(fd, epoch) < 0)
        return sb_fail_errno(err, SB_E_IO, "finishing a tree");
    return 0;
}

static int write_boot(int dirfd, struct sb_error *err) {
    sb_autobuf struct sb_buf id = {0};
    if (boot_id(&id, err) < 0)
        return -1;
    sb_autoclose int fd = openat(dirfd, "boot", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return sb_fail_errno(err, SB_E_IO, "creating boot");
    return sb_fd_write(fd, id.data, id.len, "boot", err);
}

static int write_ids(int dirfd, struct sb_error *err) {
    sb_autofree char *ids = sb_idmap_note();
    return ids ? sb_file_write(dirfd, "ids", ids, strlen(ids), 0644, err) : 0;
}

/* An empty trees/HEX to be, in the process's own tmp. Returns its descriptor. */
static int start_tree(struct sb_store *store, const struct names *n, struct sb_error *err) {
    int tmp = sb_store_tmp_fd(store);
    if (tmp < 0)
        return sb_fail_errno(err, SB_E_IO, "creating %s", sb_store_tmp_path(store));
    if (sb_tree_remove(tmp, n->tmp, err) < 0)
        return -1;
    if (mkdirat(tmp, n->tmp, 0755) < 0)
        return sb_fail_errno(err, SB_E_IO, "creating %s/%s", sb_store_tmp_path(store), n->tmp);
    sb_autoclose int dir = sb_directory_open(tmp, n->tmp, err);
    if (dir < 0 || fchmod(dir, 0755) < 0 || write_boot(dir, err) < 0 || write_ids(dir, err) < 0)
        return -1;
    return sb_steal_fd(&dir);
}

/* Moves it into place, over whatever is there: the caller has the lock, and found it wanting. What
 * belongs to ids that are nobody's here may not be removed, and stays in tmp. */
static int publish(struct sb_store *store, const struct names *n, struct sb_error *err) {
    int tmp = sb_store_tmp_fd(store), private = sb_store_private_fd(store);
    sb_autofree char *old = sb_format("%s.old", n->tmp);
    if (renameat(private, n->tree, tmp, old) == 0) {
        struct sb_error kept = {0};
        if (sb_tree_remove(tmp, old, &kept) < 0 && kept.os_errno != EACCES &&
            kept.os_errno != EPERM) {
            if (err)
                *err = kept;
            return -1;
        }
    } else if (errno != ENOENT) {
        return sb_fail_errno(err, SB_E_IO, "replacing %s", n->tree);
    }
    if (renameat(tmp, n->tmp, private, n->tree) < 0)
        return sb_fail_errno(err, SB_E_IO, "publishing %s", n->tree);
    return 0;
}

/* Whether the marks of overlayfs must be user.*: only the initial user namespace's root may set
 * trusted ones. */
static bool in_user_namespace(void) {
    sb_autobuf struct sb_buf map = {0};
    unsigned inside, outside, count;
    if (sb_file_read(AT_FDCWD, "/proc/self/uid_map", 1u << 20, &map, NULL) < 0)
        return false;
    return sscanf(sb_buf_text(&map), "%u %u %u", &inside, &outside, &count) != 3 || inside != 0 ||
           outside != 0 || count != UINT32_MAX;
}

static int unpack(struct sb_store *store, const struct sb_layer *layer, int fs,
                  struct sb_reuse *reuse, struct sb_error *err) {
    struct sb_unpack_options options = {
        .form = SB_UNPACK_OVERLAY, .user_xattrs = in_user_namespace(), .reuse = reuse};
    struct sb_contents *known;
    if (sb_contents_open(store, &layer->diff_id, &known, NULL) == 0)
        sb_contents_close(known);
    else
        options.contents = sb_contents_start(); /* its entries pass by just now */
    if (sb_unpack_layer(store, layer, fs, &options, err) < 0) {
        if (options.contents)
            sb_contents_abort(options.contents);
        return -1;
    }
    if (options.contents && sb_contents_finish(options.contents, store, &layer->diff_id, err) < 0)
        return -1;
    return finish_root(fs, err);
}

/* Unpacking a layer takes several threads and some 100 MB: a few at once keep all cores busy. */
static pthread_mutex_t turns_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turn_over = PTHREAD_COND_INITIALIZER;
static int turns = UNPACK_AT_ONCE;

static int unpack_in_turn(struct sb_store *store, const struct want *want, int fs,
                          struct sb_reuse *reuse, struct sb_error *err) {
    const struct sb_layer *layer = want->layer;
    /* More may be fetched at once. */
    if (!want->follow && sb_blob_need(store, &layer->descriptor, err) < 0)
        return -1;
    pthread_mutex_lock(&turns_lock);
    while (turns == 0)
        pthread_cond_wait(&turn_over, &turns_lock);
    turns--;
    pthread_mutex_unlock(&turns_lock);
    int rc = unpack(store, layer, fs, reuse, err);
    pthread_mutex_lock(&turns_lock);
    turns++;
    pthread_cond_signal(&turn_over);
    pthread_mutex_unlock(&turns_lock);
    return rc;
}

/* ---- older trees ---- */

/* The older trees that are there, opened. out_ids are theirs, in the order of the reuse. */
static struct sb_reuse *open_older(struct sb_store *store, const struct sb_tree_older *older,
                                   struct sb_digest *out_ids) {
    struct sb_reuse *reuse = sb_reuse_new();
    size_t n = 0;
    for (size_t i = 0; i < older->n; i++) {
        struct names names = names_of(&older->v[i]);
        sb_autofree char *path = sb_format("%s/fs", names.tree);
        bool there;
        if (take_into_use(store, &names, &there, NULL) < 0 || !there)
            continue;
        int fd = openat(sb_store_private_fd(store), path,
                        O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd >= 0 && sb_reuse_add(reuse, fd))
            out_ids[n++] = older->v[i];
    }
    return reuse;
}

static int note_reused(struct sb_store *store, int dir, const struct sb_reuse *reuse,
                       const struct sb_digest *ids, size_t count, struct sb_error *err) {
    struct sb_digest used[SB_REUSE_TREES];
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        if (sb_reuse_from(reuse, i).files > 0)
            used[n++] = ids[i];
    return n > 0 ? sb_tree_note_family(store, dir, used, n, err) : 0;
}

static int unpack_like(struct sb_store *store, const struct want *want, int dir, int fs,
                       struct sb_error *err) {
    struct sb_digest ids[SB_REUSE_TREES];
    if (!want->older || want->older->n == 0)
        return unpack_in_turn(store, want, fs, NULL, err);
    struct sb_reuse *reuse = open_older(store, want->older, ids);
    int rc = unpack_in_turn(store, want, fs, reuse, err);
    if (rc == 0)
        rc = note_reused(store, dir, reuse, ids, sb_reuse_count(reuse), err);
    if (rc == 0)
        want->older->reused = sb_reuse_total(reuse);
    sb_reuse_free(reuse);
    return rc;
}

/* ---- all together ---- */

static int make(struct sb_store *store, const struct want *want, const struct names *n,
                struct sb_error *err) {
    if (geteuid() != 0) {
        sb_fail(err, SB_E_FAILED, "unpacking layers needs root, or a user namespace");
        return -1;
    }
    sb_autoclose int dir = start_tree(store, n, err);
    if (dir < 0)
        return -1;
    if (mkdirat(dir, "fs", 0755) < 0)
        return sb_fail_errno(err, SB_E_IO, "creating a tree");
    sb_autoclose int fs = sb_directory_open(dir, "fs", err);
    if (fs < 0)
        return -1;
    if (unpack_like(store, want, dir, fs, err) < 0) {
        sb_room_explain(fs, err);
        sb_tree_remove(sb_store_tmp_fd(store), n->tmp, NULL);
        return -1;
    }
    return publish(store, n, err);
}

static int get(struct sb_store *store, const struct want *want, char **out_path,
               struct sb_error *err) {
    struct names n = names_of(&want->layer->diff_id);
    bool there;
    if (take_into_use(store, &n, &there, err) < 0)
        return -1;
    if (there) {
        make_durable(store, &n);
    } else {
        sb_autoclose int lock =
            sb_lock_take(sb_store_private_fd(store), n.lock, SB_LOCK_EXCLUSIVE, err);
        if (lock < 0 || take_into_use(store, &n, &there, err) < 0)
            return -1;
        if (!there && make(store, want, &n, err) < 0)
            return sb_error_context(err, "unpacking");
    }
    *out_path = sb_format("%s/sbuild/%s/fs", sb_store_path(store), n.tree);
    return 0;
}

int sb_tree_get(struct sb_store *store, const struct sb_layer *layer, char **out_path,
                struct sb_error *err) {
    return get(store, &(struct want){.layer = layer}, out_path, err);
}

int sb_tree_get_like(struct sb_store *store, const struct sb_layer *layer,
                     struct sb_tree_older *older, char **out_path, struct sb_error *err) {
    older->reused = (struct sb_reused){0};
    return get(store, &(struct want){.layer = layer, .older = older}, out_path, err);
}

int sb_tree_follow(struct sb_store *store, const struct sb_layer *layer, char **out_path,
                   struct sb_error *err) {
    return get(store, &(struct want){.layer = layer, .follow = true}, out_path, err);
}

bool sb_tree_has(struct sb_store *store, const struct sb_digest *diff_id) {
    struct names n = names_of(diff_id);
    bool there;
    return look(store, &n, &there, NULL) == 0 && there;
}

/* ---- for those who keep them ---- */

char *sb_tree_path(const struct sb_digest *diff_id) {
    return sb_format("sbuild/%s", names_of(diff_id).tree);
}

int sb_trees_settle(struct sb_store *store, const struct sb_digest *diff_ids, size_t count,
                    struct sb_error *err) {
    int private = sb_store_private_fd(store);
    bool flushed = false;
    for (size_t i = 0; i < count; i++) {
        struct names n = names_of(&diff_ids[i]);
        sb_autofree char *boot = sb_format("%s/boot", n.tree);
        if (!sb_path_exists(private, boot))
            continue;
        if (!flushed && syncfs(private) < 0)
            return sb_fail_errno(err, SB_E_IO, "writing unpacked layers to the disk");
        flushed = true;
        if (unlinkat(private, boot, 0) < 0 && errno != ENOENT)
            return sb_fail_errno(err, SB_E_IO, "removing %s", boot);
    }
    return 0;
}

/* ---- adopting ---- */

static int adopt(struct sb_store *store, const struct names *n, const char *path,
                 struct sb_error *err) {
    sb_autoclose int fs = sb_directory_open(AT_FDCWD, path, err);
    if (fs < 0 || finish_root(fs, err) < 0)
        return -1;
    sb_autoclose int dir = start_tree(store, n, err);
    if (dir < 0)
        return -1;
    if (renameat(AT_FDCWD, path, dir, "fs") < 0)
        return sb_fail_errno(err, SB_E_IO, "moving %s", path);
    return publish(store, n, err);
}

int sb_tree_adopt(struct sb_store *store, const struct sb_digest *diff_id, const char *path,
                  struct sb_error *err) {
    struct names n = names_of(diff_id);
    bool there;
    sb_autoclose int lock =
        sb_lock_take(sb_store_private_fd(store), n.lock, SB_LOCK_EXCLUSIVE, err);
    if (lock < 0 || take_into_use(store, &n, &there, err) < 0)
        return -1;
    return there ? sb_tree_remove(AT_FDCWD, path, err) : adopt(store, &n, path, err);
}
