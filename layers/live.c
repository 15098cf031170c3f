/*
 * live/ID is an empty file that a process creates, and locks for as long as it lives. Its mtime is
 * the process's start, by the same clock that marks items as used.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "layers/store_private.h"

/* A sweeper may get hold of the file between its creation and its locking, and then removes it:
 * *out_fd stays -1. */
static int create(struct sb_store *store, int live, int *out_fd, struct sb_error *err) {
    uint64_t random;
    if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random)
        return sb_fail_errno(err, SB_E_IO, "getting random bytes");
    snprintf(store->id, sizeof store->id, "%d-%016llx", (int)getpid(), (unsigned long long)random);
    sb_autoclose int fd = openat(live, store->id, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return sb_fail_errno(err, SB_E_IO, "creating sbuild/live/%s", store->id);
    struct stat st;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return 0;
    if (fstat(fd, &st) < 0)
        return sb_fail_errno(err, SB_E_IO, "creating sbuild/live/%s", store->id);
    if (st.st_nlink > 0) {
        store->start = st.st_mtim;
        *out_fd = sb_steal_fd(&fd);
    }
    return 0;
}

int sb_live_register(struct sb_store *store, struct sb_error *err) {
    sb_autoclose int live = sb_directory_open(store->private_fd, "live", err);
    if (live < 0)
        return -1;
    for (int attempt = 0; attempt < 100 && store->live_fd < 0; attempt++)
        if (create(store, live, &store->live_fd, err) < 0)
            return -1;
    if (store->live_fd < 0)
        return sb_fail(err, SB_E_FAILED, "sbuild/live: new files are removed by another process");
    return 0;
}

/* Opens and locks the entry of a process that is dead: -1 when it lives, or is gone altogether. */
static int lock_dead(int live, const char *id) {
    sb_autoclose int fd = openat(live, id, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
        return -1;
    return sb_steal_fd(&fd);
}

static DIR *open_private(struct sb_store *store, const char *name) {
    int fd = openat(store->private_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir && fd >= 0)
        close(fd);
    return dir;
}

static void take_name(void *data, const char *name) {
    if (name[0] != '.')
        sb_strings_add(data, name);
}

/* Sets *out_fd, for the caller to close. */
static void list_private(struct sb_store *store, const char *name, int *out_fd,
                         struct sb_strings *out) {
    *out_fd = openat(store->private_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*out_fd >= 0)
        sb_directory_each(*out_fd, take_name, out);
}

/* A killed build's programs end a moment after it, and may just then make paths again that a
 * sweeper has removed. A directory always comes after its entry in live/, and goes before it. */
static void sweep_orphans(struct sb_store *store) {
    sb_autostrings struct sb_strings names = {0};
    sb_autoclose int dir = -1;
    list_private(store, "tmp", &dir, &names);
    for (size_t i = 0; i < names.n; i++) {
        sb_autofree char *live = sb_format("live/%s", names.v[i]);
        if (!sb_path_exists(store->private_fd, live))
            sb_tree_remove(dir, names.v[i], NULL);
    }
}

void sb_live_sweep(struct sb_store *store) {
    sb_autostrings struct sb_strings names = {0};
    sb_autoclose int dir = -1;
    list_private(store, "live", &dir, &names);
    for (size_t i = 0; i < names.n; i++) {
        if (!strcmp(names.v[i], store->id))
            continue;
        sb_autoclose int fd = lock_dead(dir, names.v[i]);
        if (fd < 0)
            continue;
        /* The entry goes last: a sweeper that dies on the way leaves it to the next. */
        sb_autofree char *tmp = sb_format("tmp/%s", names.v[i]);
        if (sb_tree_remove(store->private_fd, tmp, NULL) == 0)
            unlinkat(dir, names.v[i], 0);
    }
    sweep_orphans(store);
}

bool sb_live_is(struct sb_store *store, const char *id) {
    if (!strcmp(id, store->id))
        return true;
    sb_autofree char *path = sb_format("live/%s", id);
    sb_autoclose int fd = openat(store->private_fd, path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0;
}

static bool earlier(const struct timespec *a, const struct timespec *b) {
    return a->tv_sec != b->tv_sec ? a->tv_sec < b->tv_sec : a->tv_nsec < b->tv_nsec;
}

bool sb_live_oldest(struct sb_store *store, struct timespec *out) {
    sb_autoclosedir DIR *dir = open_private(store, "live");
    struct dirent *e;
    bool found = false;
    while (dir && (e = readdir(dir))) {
        if (e->d_name[0] == '.' || !strcmp(e->d_name, store->id) || !sb_live_is(store, e->d_name))
            continue;
        struct stat st;
        if (fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        if (!found || earlier(&st.st_mtim, out))
            *out = st.st_mtim;
        found = true;
    }
    return found;
}
