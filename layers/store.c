#include "layers/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/lock.h"
#include "base/memory.h"
#include "base/process.h"
#include "layers/store_private.h"

static const char *const public_directories[] = {"blobs", SB_BLOBS_DIRECTORY, NULL};
static const char *const private_directories[] = {
    "live", "keys", "records", "origins", "contents", "trees", "caches", "logs", "tmp", NULL};

static const char layout_text[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
static const char index_text[] =
    "{\"schemaVersion\":2,\"mediaType\":\"" SB_MEDIA_INDEX "\",\"manifests\":[]}";

/* ---- making a store ---- */

/* A directory of other things is not turned into a store by a mistyped --store. */
static int check_foreign(int fd, struct sb_error *err) {
    static const char *const ours[] = {".",     "..",     "oci-layout", "index.json",
                                       "blobs", "sbuild", "lost+found", NULL};
    int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    sb_autoclosedir DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    if (!dir) {
        sb_close_descriptor(&copy);
        return sb_fail_errno(err, SB_E_IO, "reading the directory");
    }
    struct dirent *e;
    while ((e = readdir(dir))) {
        bool known = !strncmp(e->d_name, SB_TMP_PREFIX, strlen(SB_TMP_PREFIX));
        for (const char *const *name = ours; *name && !known; name++)
            known = !strcmp(e->d_name, *name);
        if (known)
            continue;
        if (sb_path_exists(fd, "oci-layout"))
            return 0; /* another tool's layout may have other files */
        sb_fail(err, SB_E_FAILED, "is neither empty nor a store (it has \"%.100s\")", e->d_name);
        return sb_error_hint(err, "name an empty or a new directory");
    }
    return 0;
}

static int make_directories(int dirfd, const char *const *names, mode_t mode,
                            struct sb_error *err) {
    for (; *names; names++) {
        if (mkdirat(dirfd, *names, mode) < 0) {
            if (errno != EEXIST)
                return sb_fail_errno(err, SB_E_IO, "creating the directory %s", *names);
        } else if (fchmodat(dirfd, *names, mode, 0) < 0) {
            return sb_fail_errno(err, SB_E_IO, "creating the directory %s", *names);
        }
    }
    return 0;
}

static int check_layout_file(int fd, struct sb_error *err) {
    sb_autobuf struct sb_buf text = {0};
    if (sb_file_read(fd, "oci-layout", 4096, &text, err) < 0)
        return -1;
    sb_autojson json_t *layout = sb_json_parse(text.data, text.len, err);
    if (!layout)
        return sb_error_context(err, "oci-layout");
    const char *version = sb_json_string(layout, "imageLayoutVersion", "");
    if (strcmp(version, "1.0.0") != 0)
        return sb_fail(err, SB_E_FAILED,
                       "oci-layout: the imageLayoutVersion is \"%.40s\", and sbuild knows 1.0.0",
                       version);
    return 0;
}

/* Under the exclusive lock, so that of several processes one makes the layout. */
static int make_layout(struct sb_store *store, struct sb_error *err) {
    int fd = store->fd;
    if (sb_path_exists(fd, "oci-layout")) {
        if (check_layout_file(fd, err) < 0)
            return -1;
    } else if (sb_file_write(fd, "oci-layout", layout_text, strlen(layout_text), 0644, err) < 0) {
        return -1;
    }
    if (make_directories(fd, public_directories, 0755, err) < 0 ||
        make_directories(store->private_fd, private_directories, 0700, err) < 0)
        return -1;
    if (!sb_path_exists(fd, "index.json") &&
        sb_file_write(fd, "index.json", index_text, strlen(index_text), 0644, err) < 0)
        return -1;
    sb_autoclose int blobs = sb_directory_open(fd, "blobs", err);
    if (blobs < 0 || sb_directory_sync(blobs, err) < 0 ||
        sb_directory_sync(store->private_fd, err) < 0)
        return -1;
    return sb_directory_sync(fd, err);
}

/* ---- opening ---- */

/* 0: not made yet, or not wholly. */
static int read_version(int lock_fd, int *out, struct sb_error *err) {
    char text[16];
    ssize_t n = pread(lock_fd, text, sizeof text - 1, 0);
    if (n < 0)
        return sb_fail_errno(err, SB_E_IO, "sbuild/lock");
    text[n] = '\0';
    *out = atoi(text);
    if (n == 0 || *out == SB_STORE_VERSION)
        return 0;
    sb_fail(err, SB_E_FAILED, "the store has format \"%.*s\", and this sbuild knows format %d",
            (int)strcspn(text, "\n"), text, SB_STORE_VERSION);
    return sb_error_hint(err, "use a newer sbuild, or another store");
}

static int make(struct sb_store *store, struct sb_error *err) {
    if (check_foreign(store->fd, err) < 0)
        return -1;
    static const char *const private_directory[] = {"sbuild", NULL};
    /* Private for a reason: unpacked layers hold setuid programs, logs and caches whatever a
     * step left there. */
    if (make_directories(store->fd, private_directory, 0700, err) < 0)
        return -1;
    store->private_fd = sb_directory_open(store->fd, "sbuild", err);
    if (store->private_fd < 0)
        return -1;
    store->lock_fd = sb_lock_take(store->private_fd, "lock", SB_LOCK_EXCLUSIVE, err);
    int version = 0;
    if (store->lock_fd < 0 || read_version(store->lock_fd, &version, err) < 0)
        return -1;
    if (version == 0) {
        if (make_layout(store, err) < 0 ||
            sb_fd_write(store->lock_fd, "1\n", 2, "sbuild/lock", err) < 0)
            return -1;
        if (fsync(store->lock_fd) < 0)
            return sb_fail_errno(err, SB_E_IO, "sbuild/lock");
    }
    flock(store->lock_fd, LOCK_UN);
    return 0;
}

/* What the directory above the store gives to all that is made below it (a default ACL) must not
 * get into layers. */
static void make_plain(const struct sb_store *store) {
    static const char *const made_in[] = {".", "tmp", "trees", "caches"};
    for (size_t i = 0; i < sizeof made_in / sizeof *made_in; i++)
        sb_directory_plain(store->private_fd, made_in[i]);
}

/* What keeps stores between jobs may drop empty directories. */
static int restore_directories(struct sb_store *store, struct sb_error *err) {
    for (size_t i = 0; private_directories[i]; i++)
        if (faccessat(store->private_fd, private_directories[i], F_OK, 0) < 0)
            return make_directories(store->private_fd, private_directories, 0700, err);
    return 0;
}

/* What lies in a store is believed: in that of another user, he would decide what is built here. */
static int check_owner(const struct stat *st, const char *what, struct sb_error *err) {
    if (sb_owner_is_ours(st->st_uid))
        return 0;
    sb_fail(err, SB_E_FAILED, "%s belongs to another user (uid %u; this one is %u)", what,
            (unsigned)st->st_uid, (unsigned)geteuid());
    return sb_error_hint(err,
                         "what lies in a store is believed, so each user has one: name your own "
                         "with --store or SBUILD_STORE");
}

static int check_open_owner(int fd, const char *what, struct sb_error *err) {
    struct stat st;
    if (fstat(fd, &st) < 0)
        return sb_fail_errno(err, SB_E_IO, "%s", what);
    return check_owner(&st, what, err);
}

/* Where many may write, as in /tmp, somebody else may have made a part of it: a link that leads
 * what is written elsewhere, too. */
static int check_part_owners(const struct sb_store *store, struct sb_error *err) {
    static const char *const parts[] = {"oci-layout", "index.json", "blobs", SB_BLOBS_DIRECTORY};
    struct stat st;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (fstatat(store->fd, parts[i], &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue; /* told of by whoever needs it */
        if (check_owner(&st, parts[i], err) < 0)
            return -1;
        if (S_ISLNK(st.st_mode) && fstatat(store->fd, parts[i], &st, 0) == 0 &&
            check_owner(&st, parts[i], err) < 0)
            return -1;
    }
    return 0;
}

/* The quick way into a store that is there. *out_whole is false when something is missing. */
static int open_existing(struct sb_store *store, bool *out_whole, struct sb_error *err) {
    int version = 0;
    store->private_fd =
        openat(store->fd, "sbuild", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (store->private_fd >= 0 && check_open_owner(store->private_fd, "sbuild/", err) < 0)
        return -1;
    if (store->private_fd >= 0)
        store->lock_fd = openat(store->private_fd, "lock", O_RDWR | O_CLOEXEC);
    if (store->lock_fd < 0 && errno != ENOENT)
        return sb_fail_errno(err, SB_E_IO, "opening sbuild/lock");
    if (store->lock_fd >= 0 && read_version(store->lock_fd, &version, err) < 0)
        return -1;
    *out_whole = version != 0;
    if (*out_whole)
        return restore_directories(store, err);
    sb_close_descriptor(&store->lock_fd);
    sb_close_descriptor(&store->private_fd);
    store->lock_fd = store->private_fd = -1;
    return 0;
}

static int open_directory(struct sb_store *store, struct sb_error *err) {
    store->fd = open(store->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (store->fd < 0 && errno == ENOENT) {
        if (sb_directory_make(AT_FDCWD, store->path, 0755, err) < 0)
            return -1;
        chmod(store->path, 0755);
        store->fd = open(store->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    if (store->fd < 0)
        return sb_fail_errno(err, SB_E_IO, "opening the directory");
    return check_open_owner(store->fd, "it", err);
}

/* A few files that can be done without, so that a collector can begin where there may be no more
 * files. */
static bool drop_something(struct sb_store *store) {
    enum { ENOUGH = 16 };
    static const char *const places[] = {"logs", "contents"};
    size_t dropped = 0;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        int fd = sb_directory_open(store->private_fd, places[i], NULL);
        sb_autoclosedir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
        if (!dir)
            sb_close_descriptor(&fd);
        struct dirent *e;
        while (dir && dropped < ENOUGH && (e = readdir(dir)))
            dropped += e->d_name[0] != '.' && unlinkat(fd, e->d_name, 0) == 0;
    }
    return dropped > 0;
}

static int register_live(struct sb_store *store, struct sb_error *err) {
    struct sb_error failure = {0};
    if (sb_live_register(store, &failure) == 0)
        return 0;
    if (failure.code == SB_E_NO_SPACE) {
        sb_live_sweep(store);
        if (sb_live_register(store, NULL) == 0 ||
            (drop_something(store) && sb_live_register(store, NULL) == 0))
            return 0;
    }
    if (err)
        *err = failure;
    return -1;
}

static int open_parts(struct sb_store *store, struct sb_error *err) {
    bool whole = false;
    if (open_directory(store, err) < 0 || check_part_owners(store, err) < 0 ||
        open_existing(store, &whole, err) < 0)
        return -1;
    if (!whole && (make(store, err) < 0 || check_part_owners(store, err) < 0))
        return -1;
    make_plain(store);
    /* Held, so that while the collector is at work no process starts. */
    if (sb_store_hold(store, err) < 0)
        return -1;
    int failed = register_live(store, err);
    sb_store_release(store);
    return failed;
}

int sb_store_open(const char *path, struct sb_store **out, struct sb_error *err) {
    *out = NULL;
    struct sb_store *store = sb_alloc(sizeof *store);
    store->fd = store->private_fd = store->lock_fd = store->live_fd = store->tmp_fd = -1;
    pthread_mutex_init(&store->mutex, NULL);
    pthread_mutex_init(&store->arrivals.mutex, NULL);
    pthread_cond_init(&store->released, NULL);
    sb_autofree char *here = path[0] == '/' ? NULL : getcwd(NULL, 0);
    store->path = here ? sb_path_join(here, path) : sb_strdup(path);
    if (open_parts(store, err) < 0) {
        sb_error_context(err, "the store %s", store->path);
        if (err && (err->os_errno == EACCES || err->os_errno == EPERM || err->os_errno == EROFS))
            sb_error_hint(err, "choose a store that you may write to with --store or SBUILD_STORE");
        sb_store_close(store);
        return -1;
    }
    sb_live_sweep(store);
    *out = store;
    return 0;
}

void sb_store_close(struct sb_store *store) {
    if (!store)
        return;
    free(store->written);
    int failed = 0;
    if (store->tmp_fd >= 0) {
        sb_autofree char *tmp = sb_format("tmp/%s", store->id);
        failed = sb_tree_remove(store->private_fd, tmp, NULL);
    }
    /* Without its lock the entry counts as dead, and what is left in tmp gets swept later. */
    if (store->live_fd >= 0 && !failed) {
        sb_autofree char *live = sb_format("live/%s", store->id);
        unlinkat(store->private_fd, live, 0);
    }
    sb_close_descriptor(&store->live_fd);
    sb_close_descriptor(&store->tmp_fd);
    sb_close_descriptor(&store->lock_fd);
    sb_close_descriptor(&store->private_fd);
    sb_close_descriptor(&store->fd);
    pthread_cond_destroy(&store->released);
    pthread_mutex_destroy(&store->mutex);
    pthread_mutex_destroy(&store->arrivals.mutex);
    free(store->tmp_path);
    free(store->path);
    free(store);
}

/* Whoever has got hold of the descriptor keeps it. */
static int reopen(int *fd, int dirfd, const char *path, struct sb_error *err) {
    if (*fd < 0)
        return 0;
    sb_autoclose int again = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (again < 0 || dup3(again, *fd, O_CLOEXEC) < 0)
        return sb_fail_errno(err, SB_E_IO, "opening the store's %s anew", path);
    return 0;
}

int sb_store_renew(struct sb_store *store, struct sb_error *err) {
    sb_autofree char *tmp = sb_format("tmp/%s", store->id);
    sb_autofree char *top = sb_format("%s/.", store->path);
    if (reopen(&store->fd, AT_FDCWD, top, err) < 0 ||
        reopen(&store->private_fd, store->fd, "sbuild", err) < 0 ||
        reopen(&store->tmp_fd, store->private_fd, tmp, err) < 0)
        return -1;
    sb_live_sweep(store);
    return 0;
}

const char *sb_store_path(const struct sb_store *store) {
    return store->path;
}

int sb_store_fd(const struct sb_store *store) {
    return store->fd;
}

void sb_store_set_source(struct sb_store *store, const struct sb_blob_source *source) {
    store->source = source ? *source : (struct sb_blob_source){0};
}

void sb_store_set_contents_source(struct sb_store *store, const struct sb_contents_source *source) {
    store->contents_source = source ? *source : (struct sb_contents_source){0};
}

int sb_store_private_fd(const struct sb_store *store) {
    return store->private_fd;
}

/* ---- this process's own directory ---- */

/* What is made here are trees of many thousand files, and such are removed here: ext4 is to lay
 * each in a place of its own (chattr +T). Beside the one before, it would look again and again
 * through all inodes that were just freed, which it uses again only after minutes: that costs
 * several times what making the tree does. A file system that does not know of it is none the
 * worse. */
static void lay_apart(int dirfd) {
    int flags = 0;
    if (dirfd < 0 || ioctl(dirfd, FS_IOC_GETFLAGS, &flags) < 0)
        return;
    flags |= FS_TOPDIR_FL;
    ioctl(dirfd, FS_IOC_SETFLAGS, &flags);
}

int sb_store_tmp_fd(struct sb_store *store) {
    pthread_mutex_lock(&store->mutex);
    if (store->tmp_fd < 0) {
        sb_autofree char *tmp = sb_format("tmp/%s", store->id);
        if (mkdirat(store->private_fd, tmp, 0700) == 0 || errno == EEXIST)
            store->tmp_fd =
                openat(store->private_fd, tmp, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (store->tmp_fd >= 0)
            sb_directory_plain(store->tmp_fd, ".");
        lay_apart(store->tmp_fd);
        if (!store->tmp_path)
            store->tmp_path = sb_format("%s/sbuild/%s", store->path, tmp);
    }
    int fd = store->tmp_fd;
    pthread_mutex_unlock(&store->mutex);
    return fd;
}

const char *sb_store_tmp_path(struct sb_store *store) {
    sb_store_tmp_fd(store);
    return store->tmp_path;
}

char *sb_store_tmp_new(struct sb_store *store, const char *what, struct sb_error *err) {
    static atomic_uint count;
    const char *tmp = sb_store_tmp_path(store);
    if (tmp)
        return sb_format("%s/%s-%u", tmp, what, atomic_fetch_add(&count, 1));
    sb_fail_errno(err, SB_E_IO, "making a temporary directory in %s", store->path);
    return NULL;
}

int sb_store_publish(struct sb_store *store, const char *path, const void *data, size_t len,
                     struct sb_error *err) {
    int tmp = sb_store_tmp_fd(store);
    if (tmp < 0)
        return sb_fail_errno(err, SB_E_IO, "making a temporary directory in %s", store->path);
    if (sb_file_publish(tmp, store->fd, path, data, len, err) < 0)
        return sb_error_context(err, "%s", store->path);
    return 0;
}

/* ---- the collector's lock ---- */

static int lock(struct sb_store *store, int how, struct sb_error *err) {
    while (flock(store->lock_fd, how) < 0) {
        if (errno != EINTR)
            return sb_fail_errno(err, SB_E_IO, "locking sbuild/lock");
        if (sb_interrupt_check(err) < 0)
            return -1;
    }
    return 0;
}

/* A clock that was set back would make what is used from now on look older than this process, and
 * so free to collect: then the process gets younger, too. */
static void follow_clock(struct sb_store *store) {
    struct timespec now;
    if (store->live_fd < 0 || clock_gettime(CLOCK_REALTIME_COARSE, &now) < 0 ||
        now.tv_sec >= store->start.tv_sec)
        return;
    const struct timespec times[2] = {now, now};
    if (futimens(store->live_fd, times) == 0)
        store->start = now;
}

int sb_store_hold(struct sb_store *store, struct sb_error *err) {
    pthread_mutex_lock(&store->mutex);
    int failed = store->holds == 0 ? lock(store, LOCK_SH, err) : 0;
    if (!failed) {
        if (store->holds++ == 0)
            follow_clock(store);
    }
    pthread_mutex_unlock(&store->mutex);
    return failed;
}

int sb_store_hold_alone(struct sb_store *store, struct sb_error *err) {
    pthread_mutex_lock(&store->mutex);
    while (store->holds > 0)
        pthread_cond_wait(&store->released, &store->mutex);
    int failed = lock(store, LOCK_EX, err);
    if (!failed)
        store->holds = 1;
    pthread_mutex_unlock(&store->mutex);
    return failed;
}

void sb_store_release(struct sb_store *store) {
    int saved = errno;
    pthread_mutex_lock(&store->mutex);
    if (--store->holds == 0) {
        flock(store->lock_fd, LOCK_UN);
        pthread_cond_signal(&store->released);
    }
    pthread_mutex_unlock(&store->mutex);
    errno = saved;
}

void sb_store_use_note(int dirfd, const char *name) {
    enum { AN_HOUR = 3600 };
    struct stat st;
    if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_mtime < time(NULL) - AN_HOUR)
        utimensat(dirfd, name, NULL, AT_SYMLINK_NOFOLLOW);
}

int sb_store_use(struct sb_store *store, const char *relative_path, struct sb_error *err) {
    if (sb_store_hold(store, err) < 0)
        return -1;
    int failed = utimensat(store->fd, relative_path, NULL, AT_SYMLINK_NOFOLLOW);
    sb_store_release(store);
    if (failed)
        return sb_fail_errno(err, errno == ENOENT ? SB_E_NOT_FOUND : SB_E_IO, "%s/%s", store->path,
                             relative_path);
    return 0;
}
