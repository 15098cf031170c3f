#include "steps/apt_cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/lock.h"
#include "base/map.h"
#include "base/memory.h"
#include "sandbox/userns.h"
#include "steps/apt_index.h"
#include "steps/apt_kept.h"

enum { TARGETS_LIMIT = 1 << 20 };

/* What may be covered by an overlay: kept files below, what is written above. */
struct shown {
    char *path; /* the private directory, also where the overlay is mounted */
    int low;    /* links to kept files; -1: none yet */
    bool mounted;
};

struct sb_apt_cache {
    struct sb_store *store;
    bool bootstrap;
    char *item; /* below sbuild/caches */
    char *name; /* of the private directory, in the store's tmp */
    char *directory, *state;
    struct shown lists, archives;
    struct sb_map copies; /* what a bootstrap was given, and when: that is kept already */
};

/* ---- opening ---- */

static struct sb_apt_cache *cache_new(struct sb_store *store, const char *item) {
    static atomic_uint count;
    struct sb_apt_cache *cache = sb_alloc(sizeof *cache);
    cache->store = store;
    cache->item = sb_strdup(item);
    cache->name = sb_format("apt-%u", atomic_fetch_add(&count, 1));
    cache->directory = sb_path_join(sb_store_tmp_path(store), cache->name);
    cache->state = sb_path_join(cache->directory, "state");
    cache->lists = (struct shown){sb_path_join(cache->directory, "lists"), -1, false};
    cache->archives = (struct shown){sb_path_join(cache->state, "archives"), -1, false};
    return cache;
}

/* Directories of our own, and the kept ones, which the collector leaves alone from now on. */
static int prepare(struct sb_apt_cache *cache, struct sb_error *err) {
    int private = sb_store_private_fd(cache->store);
    const char *const own[] = {cache->lists.path, cache->archives.path};
    for (size_t i = 0; i < 2; i++) {
        sb_autofree char *partial = sb_path_join(own[i], "partial");
        sb_autofree char *kept =
            sb_format("caches/%s/%s", cache->item, i ? SB_APT_ARCHIVES : SB_APT_LISTS);
        if (sb_directory_make(AT_FDCWD, partial, 0755, err) < 0 ||
            sb_directory_make(private, kept, 0755, err) < 0)
            return -1;
    }
    sb_autofree char *item = sb_format("sbuild/caches/%s", cache->item);
    if (sb_store_hold(cache->store, err) < 0)
        return -1;
    int failed = sb_store_use(cache->store, item, err);
    sb_store_release(cache->store);
    return failed;
}

/* NULL and err when that can't be. */
static struct sb_apt_cache *open_named(struct sb_store *store, const char *item,
                                       struct sb_error *err) {
    if (sb_store_tmp_fd(store) < 0) {
        sb_fail_errno(err, SB_E_IO, "creating a temporary directory in %s", sb_store_path(store));
        return NULL;
    }
    struct sb_apt_cache *cache = cache_new(store, item);
    if (prepare(cache, err) == 0)
        return cache;
    sb_apt_cache_free(cache);
    return NULL;
}

int sb_apt_cache_open(struct sb_store *store, struct sb_apt_cache **out, struct sb_error *err) {
    *out = open_named(store, "packages", err);
    return *out ? 0 : -1;
}

static int open_kept(const struct sb_apt_cache *cache, const char *which, struct sb_error *err) {
    sb_autofree char *path = sb_format("caches/%s/%s", cache->item, which);
    return sb_directory_open(sb_store_private_fd(cache->store), path, err);
}

/* ---- showing what is kept ---- */

/* Named by descriptors, as in sandbox/root.c: the store's path may hold any characters. */
static int mount_overlay(struct sb_apt_cache *cache, struct shown *shown, struct sb_error *err) {
    static atomic_uint count;
    sb_autofree char *work = sb_format("%s/work-%u", cache->directory, atomic_fetch_add(&count, 1));
    if (mkdir(work, 0755) < 0)
        return sb_fail_errno(err, SB_E_IO, "creating the directory %s", work);
    sb_autoclose int work_fd = sb_directory_open(AT_FDCWD, work, err);
    sb_autoclose int upper = sb_directory_open(AT_FDCWD, shown->path, err);
    if (work_fd < 0 || upper < 0)
        return -1;
    sb_autofree char *options =
        sb_format("lowerdir=/proc/self/fd/%d,upperdir=/proc/self/fd/%d,workdir=/proc/self/fd/%d,"
                  "index=off,metacopy=off,redirect_dir=nofollow%s",
                  shown->low, upper, work_fd, sb_userns_inside() ? ",userxattr" : "");
    /* Nothing in it has to reach the disk; before Linux 5.10 there is no word for that. */
    sb_autofree char *brief = sb_format("%s,volatile", options);
    unsigned long flags = MS_NODEV | MS_NOSUID;
    if (mount("overlay", shown->path, "overlay", flags, brief) < 0 &&
        (errno != EINVAL || mount("overlay", shown->path, "overlay", flags, options) < 0))
        return sb_fail_errno(err, SB_E_FAILED, "mounting the kept packages at %s", shown->path);
    shown->mounted = true;
    return 0;
}

static int unmount(struct shown *shown) {
    if (shown->mounted && umount2(shown->path, UMOUNT_NOFOLLOW) < 0 &&
        (errno != EBUSY || umount2(shown->path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0))
        return -1;
    shown->mounted = false;
    return 0;
}

/* Files that indexes name, being linked or copied to where apt looks for them. */
struct offer {
    struct sb_apt_kept kept;
    int to;
    struct sb_map *copies;     /* of the cache, where they are no links; else NULL */
    struct sb_map names;       /* 1 and the place in digests */
    struct sb_strings digests; /* in hexadecimal */
};

static bool is_kept(void *data, const struct sb_digest *digest) {
    struct offer *offer = data;
    return sb_apt_kept_has(&offer->kept, digest);
}

/* When it was written, or 0. */
static uint64_t stamp_of(int dir, const char *name) {
    struct stat st;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    return (uint64_t)st.st_mtim.tv_sec * 1000000000 + (uint64_t)st.st_mtim.tv_nsec;
}

static int offer_file(void *data, const struct sb_digest *digest, const char *name,
                      struct sb_error *err) {
    struct offer *offer = data;
    struct sb_digest_hex hex = sb_digest_hex(digest);
    uint64_t *known = sb_map_put(&offer->names, name);
    if (*known) {
        if (*known <= offer->digests.n && strcmp(offer->digests.v[*known - 1], hex.text) != 0) {
            *known = UINT64_MAX; /* two archives differ: which one apt takes, it is to fetch */
            unlinkat(offer->to, name, 0);
        }
        return 0;
    }
    sb_strings_add(&offer->digests, hex.text);
    *known = offer->digests.n;
    if (sb_apt_kept_give(&offer->kept, digest, offer->to, name, offer->copies != NULL, err) < 0)
        return -1;
    if (offer->copies)
        *sb_map_put(offer->copies, name) = stamp_of(offer->to, name);
    return 0;
}

static int offer_from(struct sb_apt_cache *cache, struct offer *offer, bool lists,
                      struct sb_error *err) {
    const struct sb_apt_index index = {offer, is_kept, offer_file};
    sb_autoclosedir DIR *dir = opendir(cache->lists.path);
    if (!dir)
        return sb_fail_errno(err, SB_E_IO, "%s", cache->lists.path);
    struct dirent *e;
    while ((e = readdir(dir))) {
        if (lists && sb_apt_is_release(e->d_name) &&
            sb_apt_index_release(dirfd(dir), e->d_name, &index, err) < 0)
            return -1;
        if (!lists && sb_apt_is_packages(e->d_name) &&
            sb_apt_index_packages(dirfd(dir), e->d_name, &index, err) < 0)
            return -1;
    }
    return 0;
}

static int offer_all(struct sb_apt_cache *cache, bool lists, int to, struct sb_error *err) {
    sb_autoclose int kept = open_kept(cache, lists ? SB_APT_LISTS : SB_APT_ARCHIVES, err);
    struct offer offer = {.to = to, .copies = cache->bootstrap ? &cache->copies : NULL};
    if (kept < 0 || to < 0 ||
        sb_apt_kept_open(kept, sb_store_tmp_fd(cache->store), &offer.kept, err) < 0)
        return -1;
    int failed = offer_from(cache, &offer, lists, err);
    sb_apt_kept_close(&offer.kept);
    sb_map_free(&offer.names);
    sb_strings_free(&offer.digests);
    return failed;
}

/* Makes the lower directory, fills it and mounts it. */
static int show(struct sb_apt_cache *cache, struct shown *shown, bool lists, struct sb_error *err) {
    sb_autofree char *low = sb_format("%s/kept-%s", cache->directory, lists ? "lists" : "archives");
    if (mkdir(low, 0755) < 0)
        return sb_fail_errno(err, SB_E_IO, "creating the directory %s", low);
    shown->low = sb_directory_open(AT_FDCWD, low, err);
    if (shown->low < 0 || offer_all(cache, lists, shown->low, err) < 0)
        return -1;
    return mount_overlay(cache, shown, err);
}

/* Whether all lists are there that the root's apt would fetch. The file is the root's word, about
 * itself. */
static bool has_all(const struct sb_apt_cache *cache, const char *targets) {
    sb_autobuf struct sb_buf text = {0};
    sb_autoclose int state = sb_directory_open(AT_FDCWD, cache->state, NULL);
    sb_autoclose int lists = sb_directory_open(AT_FDCWD, cache->lists.path, NULL);
    sb_autoclose int fd = openat(state, targets, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat st;
    struct sb_error ignored = {0};
    if (fd < 0 || lists < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
        sb_fd_read(fd, TARGETS_LIMIT, &text, &ignored) < 0)
        return false;
    size_t count = 0;
    char *rest = text.data;
    for (char *line; (line = strsep(&rest, "\n"));) {
        const char *slash = strrchr(line, '/');
        if (!slash || !sb_apt_is_packages(slash + 1))
            continue;
        count++;
        if (!sb_path_exists(lists, slash + 1))
            return false;
    }
    return count > 0;
}

static int remove_empty_lists(const struct sb_apt_cache *cache, struct sb_error *err) {
    sb_autoclosedir DIR *dir = opendir(cache->lists.path);
    if (!dir)
        return sb_fail_errno(err, SB_E_IO, "%s", cache->lists.path);
    struct dirent *e;
    struct stat st;
    while ((e = readdir(dir)))
        if (sb_apt_is_packages(e->d_name) &&
            fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
            st.st_size == 0)
            unlinkat(dirfd(dir), e->d_name, 0);
    return 0;
}

int sb_apt_cache_offer_lists(struct sb_apt_cache *cache, const char *targets,
                             struct sb_error *err) {
    if (remove_empty_lists(cache, err) < 0 || show(cache, &cache->lists, true, err) < 0)
        return -1;
    return has_all(cache, targets);
}

int sb_apt_cache_offer_archives(struct sb_apt_cache *cache, struct sb_error *err) {
    return show(cache, &cache->archives, false, err);
}

/* ---- bootstraps ---- */

/* Lists and the Release files that they belong to stay together. */
static int lock_lists(const struct sb_apt_cache *cache, struct sb_error *err) {
    sb_autofree char *lock = sb_format("caches/%s/lock", cache->item);
    return sb_lock_take(sb_store_private_fd(cache->store), lock, SB_LOCK_EXCLUSIVE, err);
}

static int copy_releases(struct sb_apt_cache *cache, bool back, struct sb_error *err) {
    sb_autoclose int kept = open_kept(cache, SB_APT_LISTS, err);
    sb_autoclose int own = sb_directory_open(AT_FDCWD, cache->lists.path, err);
    if (kept < 0 || own < 0)
        return -1;
    return sb_apt_copy_releases(back ? own : kept, back ? kept : own, err);
}

int sb_apt_cache_open_bootstrap(struct sb_store *store, const char *distribution,
                                struct sb_apt_cache **out, struct sb_error *err) {
    sb_autofree char *item = sb_format("bootstrap-%s", distribution);
    struct sb_apt_cache *cache = open_named(store, item, err);
    if (!cache)
        return -1;
    cache->bootstrap = true;
    sb_autoclose int lock = lock_lists(cache, err);
    sb_autoclose int archives = sb_directory_open(AT_FDCWD, cache->archives.path, err);
    sb_autoclose int lists = sb_directory_open(AT_FDCWD, cache->lists.path, err);
    if (lock < 0 || archives < 0 || lists < 0 || copy_releases(cache, false, err) < 0 ||
        offer_all(cache, true, lists, err) < 0 || offer_all(cache, false, archives, err) < 0) {
        sb_apt_cache_free(cache);
        return -1;
    }
    *out = cache;
    return 0;
}

/* ---- what is there ---- */

const char *sb_apt_cache_lists(const struct sb_apt_cache *cache) {
    return cache->lists.path;
}

const char *sb_apt_cache_state(const struct sb_apt_cache *cache) {
    return cache->state;
}

const char *sb_apt_cache_archives(const struct sb_apt_cache *cache) {
    return cache->archives.path;
}

const char *sb_apt_cache_directory(const struct sb_apt_cache *cache) {
    return cache->directory;
}

/* ---- keeping ---- */

static bool is_as_given(struct sb_apt_cache *cache, int dir, const char *name) {
    const uint64_t *given = sb_map_find(&cache->copies, name);
    return given && *given && *given == stamp_of(dir, name);
}

/* Whatever was written: what is below the overlay is kept already. */
static void keep(struct sb_apt_cache *cache, struct shown *shown, bool lists) {
    struct sb_error ignored = {0};
    struct sb_apt_kept kept;
    if (unmount(shown) < 0)
        return;
    sb_autoclose int to = open_kept(cache, lists ? SB_APT_LISTS : SB_APT_ARCHIVES, &ignored);
    sb_autoclosedir DIR *dir = opendir(shown->path);
    if (to < 0 || !dir || sb_apt_kept_open(to, sb_store_tmp_fd(cache->store), &kept, &ignored) < 0)
        return;
    struct dirent *e;
    while ((e = readdir(dir)))
        if ((lists ? sb_apt_is_packages(e->d_name) : sb_apt_is_archive(e->d_name)) &&
            !is_as_given(cache, dirfd(dir), e->d_name))
            if (sb_apt_kept_take(&kept, dirfd(dir), e->d_name, &ignored) < 0)
                break;
    sb_apt_kept_prune(&kept, lists ? SB_APT_LIST_DAYS : SB_APT_ARCHIVE_DAYS);
    sb_apt_kept_close(&kept);
}

void sb_apt_cache_keep(struct sb_apt_cache *cache) {
    struct sb_error ignored = {0};
    keep(cache, &cache->archives, false);
    keep(cache, &cache->lists, true);
    sb_autoclose int lock = cache->bootstrap ? lock_lists(cache, &ignored) : -1;
    if (lock >= 0)
        copy_releases(cache, true, &ignored);
}

void sb_apt_cache_free(struct sb_apt_cache *cache) {
    if (!cache)
        return;
    /* What still is mounted must not be emptied through the mount. */
    if (unmount(&cache->lists) == 0 && unmount(&cache->archives) == 0)
        sb_tree_remove(sb_store_tmp_fd(cache->store), cache->name, NULL);
    sb_map_free(&cache->copies);
    sb_close_descriptor(&cache->lists.low);
    sb_close_descriptor(&cache->archives.low);
    free(cache->lists.path);
    free(cache->archives.path);
    free(cache->item);
    free(cache->name);
    free(cache->directory);
    free(cache->state);
    free(cache);
}
