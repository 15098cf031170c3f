#include "builder/apt_cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"

struct sb_apt_cache {
    struct sb_store *store;
    char *kept; /* absolute; lists/ and archives/ are below */
    char *name; /* of the private directory, in the store's tmp */
    char *directory, *lists, *archives;
};

/* Where files lie below the kept and the private directory. */
static const struct {
    const char *kept, *own, *suffix; /* only files that end so */
} places[] = {
    {"lists", "lists", ""},
    {"archives", "archives/archives", ".deb"},
};

static bool wanted(const char *name, const char *suffix) {
    size_t n = strlen(name), m = strlen(suffix);
    return *name != '.' && strcmp(name, "lock") != 0 && n > m && !strcmp(name + n - m, suffix);
}

/* Links what is in from and not, as the same file, in to. */
static int link_files(const char *from, const char *to, const char *suffix) {
    sb_autoclosedir DIR *dir = opendir(from);
    sb_autoclose int target = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (!dir || target < 0)
        return -1;
    struct dirent *e;
    while ((e = readdir(dir))) {
        struct stat have, st;
        if (!wanted(e->d_name, suffix) ||
            fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
            continue;
        if (fstatat(target, e->d_name, &have, AT_SYMLINK_NOFOLLOW) == 0 && have.st_ino == st.st_ino)
            continue;
        char name[64];
        snprintf(name, sizeof name, SB_TMP_PREFIX "%d-%llx", (int)getpid(),
                 (unsigned long long)st.st_ino);
        if (linkat(dirfd(dir), e->d_name, target, name, 0) < 0)
            return -1;
        if (renameat(target, name, target, e->d_name) < 0) {
            unlinkat(target, name, 0);
            return -1;
        }
    }
    return 0;
}

static int prepare(struct sb_apt_cache *cache, const char *name, struct sb_error *err) {
    int private = sb_store_private_fd(cache->store);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        sb_autofree char *kept = sb_format("caches/apt-%s/%s", name, places[i].kept);
        sb_autofree char *own = sb_format("%s/%s/partial", cache->directory, places[i].own);
        if (sb_directory_make(private, kept, 0755, err) < 0 ||
            sb_directory_make(AT_FDCWD, own, 0755, err) < 0)
            return -1;
    }
    sb_autofree char *item = sb_format("sbuild/caches/apt-%s", name);
    if (sb_store_hold(cache->store, err) < 0)
        return -1;
    int failed = sb_store_use(cache->store, item, err);
    sb_store_release(cache->store);
    for (size_t i = 0; !failed && i < sizeof places / sizeof *places; i++) {
        sb_autofree char *kept = sb_path_join(cache->kept, places[i].kept);
        sb_autofree char *own = sb_path_join(cache->directory, places[i].own);
        if (link_files(kept, own, places[i].suffix) < 0)
            failed = sb_fail_errno(err, SB_E_IO, "taking packages from %s", kept);
    }
    return failed;
}

int sb_apt_cache_open(struct sb_store *store, const char *name, struct sb_apt_cache **out,
                      struct sb_error *err) {
    static atomic_uint count;
    if (sb_store_tmp_fd(store) < 0)
        return sb_fail_errno(err, SB_E_IO, "creating a temporary directory in %s",
                             sb_store_path(store));
    struct sb_apt_cache *cache = sb_alloc(sizeof *cache);
    cache->store = store;
    cache->kept = sb_format("%s/sbuild/caches/apt-%s", sb_store_path(store), name);
    cache->name = sb_format("apt-%u", atomic_fetch_add(&count, 1));
    cache->directory = sb_path_join(sb_store_tmp_path(store), cache->name);
    cache->lists = sb_path_join(cache->directory, "lists");
    cache->archives = sb_path_join(cache->directory, "archives");
    if (prepare(cache, name, err) < 0) {
        sb_apt_cache_free(cache);
        return -1;
    }
    *out = cache;
    return 0;
}

const char *sb_apt_cache_lists(const struct sb_apt_cache *cache) {
    return cache->lists;
}

const char *sb_apt_cache_archives(const struct sb_apt_cache *cache) {
    return cache->archives;
}

const char *sb_apt_cache_directory(const struct sb_apt_cache *cache) {
    return cache->directory;
}

void sb_apt_cache_keep(struct sb_apt_cache *cache) {
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        sb_autofree char *kept = sb_path_join(cache->kept, places[i].kept);
        sb_autofree char *own = sb_path_join(cache->directory, places[i].own);
        if (link_files(own, kept, places[i].suffix) < 0)
            return;
    }
}

void sb_apt_cache_free(struct sb_apt_cache *cache) {
    if (!cache)
        return;
    sb_tree_remove(sb_store_tmp_fd(cache->store), cache->name, NULL);
    free(cache->kept);
    free(cache->name);
    free(cache->directory);
    free(cache->lists);
    free(cache->archives);
    free(cache);
}
