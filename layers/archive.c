#include "layers/archive.h"

#include <sys/stat.h>

#include "base/file.h"
#include "base/process.h"
#include "layers/tar.h"

#define PENDING_MAX (256u << 10)

static int flush(struct sb_archive *a, struct sb_error *err) {
    int rc = sb_fd_write(a->fd, a->pending.data, a->pending.len, a->what, err);
    sb_buf_reset(&a->pending);
    return rc;
}

static int put(struct sb_archive *a, const void *data, size_t len, struct sb_error *err) {
    if (a->pending.len + len > PENDING_MAX && flush(a, err) < 0)
        return -1;
    if (len > PENDING_MAX)
        return sb_fd_write(a->fd, data, len, a->what, err);
    sb_buf_add(&a->pending, data, len);
    return 0;
}

static int check_left(const struct sb_archive *a, struct sb_error *err) {
    if (a->left == 0)
        return 0;
    return sb_fail(err, SB_E_INTEGRITY, "%s: a file is smaller than it should be", a->what);
}

int sb_archive_entry(struct sb_archive *a, const struct sb_entry *entry, struct sb_error *err) {
    if (check_left(a, err) < 0)
        return -1;
    if (sb_tar_header(entry, &a->pending, err) < 0)
        return -1;
    a->left = a->size = S_ISREG(entry->mode) && !entry->hard_link ? entry->size : 0;
    return a->pending.len > PENDING_MAX ? flush(a, err) : 0;
}

int sb_archive_data(struct sb_archive *a, const void *data, size_t len, struct sb_error *err) {
    static const char zeros[SB_TAR_BLOCK];
    if (len > a->left)
        return sb_fail(err, SB_E_INTEGRITY, "%s: a file is larger than it should be", a->what);
    if (len == 0)
        return 0;
    a->left -= len;
    if (put(a, data, len, err) < 0)
        return -1;
    return a->left == 0 ? put(a, zeros, sb_tar_padding(a->size), err) : 0;
}

int sb_archive_zeros(struct sb_archive *a, uint64_t len, struct sb_error *err) {
    static const char zeros[65536];
    while (len > 0) {
        if (sb_interrupt_check(err) < 0)
            return -1;
        size_t n = len < sizeof zeros ? (size_t)len : sizeof zeros;
        if (sb_archive_data(a, zeros, n, err) < 0)
            return -1;
        len -= n;
    }
    return 0;
}

int sb_archive_file(struct sb_archive *a, const char *path, const void *data, uint64_t size,
                    struct sb_error *err) {
    struct sb_entry entry = {.path = path, .mode = S_IFREG | 0644, .size = size};
    if (sb_archive_entry(a, &entry, err) < 0)
        return -1;
    return data ? sb_archive_data(a, data, (size_t)size, err) : 0;
}

int sb_archive_directory(struct sb_archive *a, const char *path, struct sb_error *err) {
    return sb_archive_entry(a, &(struct sb_entry){.path = path, .mode = S_IFDIR | 0755}, err);
}

int sb_archive_finish(struct sb_archive *a, struct sb_error *err) {
    static const char zeros[SB_TAR_END];
    if (check_left(a, err) < 0 || put(a, zeros, sizeof zeros, err) < 0)
        return -1;
    return flush(a, err);
}

void sb_archive_free(struct sb_archive *a) {
    sb_buf_free(&a->pending);
}
