#include "layers/clamp.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stddef.h>
#include <sys/stat.h>

#include "base/error.h"

static int clamp(FTS *tree, int64_t epoch, struct sb_error *err) {
    FTSENT *e;
    while ((errno = 0, e = fts_read(tree))) {
        if (e->fts_info == FTS_D)
            continue; /* its turn comes after its contents, as FTS_DP */
        if (e->fts_info == FTS_DNR || e->fts_info == FTS_ERR || e->fts_info == FTS_NS) {
            errno = e->fts_errno;
            return sb_fail_errno(err, SB_E_IO, "%s", e->fts_path);
        }
        if (e->fts_level == 0 || e->fts_statp->st_mtim.tv_sec < epoch ||
            (e->fts_statp->st_mtim.tv_sec == epoch && e->fts_statp->st_mtim.tv_nsec == 0))
            continue;
        struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = epoch}};
        if (utimensat(AT_FDCWD, e->fts_accpath, times, AT_SYMLINK_NOFOLLOW) < 0)
            return sb_fail_errno(err, SB_E_IO, "setting the time of %s", e->fts_path);
    }
    if (errno)
        return sb_fail_errno(err, SB_E_IO, "reading a tree");
    return 0;
}

int sb_tree_clamp(const char *path, int64_t epoch, struct sb_error *err) {
    char *const roots[] = {(char *)path, NULL};
    FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_XDEV, NULL);
    if (!tree)
        return sb_fail_errno(err, SB_E_IO, "%s", path);
    int result = clamp(tree, epoch, err);
    fts_close(tree);
    return result;
}
