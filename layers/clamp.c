#include "layers/clamp.h"

#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/tree.h"

static bool is_later(const struct stat *st, int64_t epoch) {
    return st->st_mtim.tv_sec > epoch || (st->st_mtim.tv_sec == epoch && st->st_mtim.tv_nsec > 0);
}

static int clamp(void *self, const struct sb_tree_entry *e, struct sb_error *err) {
    const int64_t *epoch = self;
    struct stat st;
    if (fstatat(e->dir, e->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return sb_fail_errno(err, SB_E_IO, "%.200s", e->path);
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = *epoch}};
    if (is_later(&st, *epoch) && utimensat(e->dir, e->name, times, AT_SYMLINK_NOFOLLOW) < 0)
        return sb_fail_errno(err, SB_E_IO, "setting the time of %.200s", e->path);
    return 0;
}

int sb_tree_clamp(const char *path, int64_t epoch, struct sb_error *err) {
    if (sb_tree_walk(AT_FDCWD, path, clamp, NULL, &epoch, err) < 0)
        return sb_error_context(err, "setting times in %s", path);
    return 0;
}
