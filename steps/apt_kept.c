#include "steps/apt_kept.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/process.h"
#include "steps/apt_index.h"

enum { CHUNK = 1 << 18, DAY = 86400, NAME_SIZE = 32 };
#define FILE_LIMIT (16ull << 30) /* bytes of one package; the largest in use have 3 GB */

bool sb_apt_is_archive(const char *name) {
    size_t n = strlen(name);
    return *name != '.' && n > 4 && !strcmp(name + n - 4, ".deb");
}

/* ---- copies ---- */

/* Of a regular file, the digest of what was written. Returns 1, 0 when there is no such file, -1.
 */
static int copy_file(int from, const char *name, int to, struct stat *out_st,
                     struct sb_digest *out_digest, struct sb_error *err) {
    sb_autoclose int in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (in < 0 || fstat(in, out_st) < 0 || !S_ISREG(out_st->st_mode))
        return 0;
    sb_autofree char *chunk = sb_alloc(CHUNK);
    struct sb_sha256 sha;
    sb_sha256_start(&sha);
    for (uint64_t total = 0;;) {
        ssize_t n = read(in, chunk, CHUNK);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return sb_fail_errno(err, SB_E_IO, "reading %s", name);
        total += (uint64_t)n;
        if (total > FILE_LIMIT)
            return 0;
        if (n == 0)
            break;
        sb_sha256_add(&sha, chunk, (size_t)n);
        if (sb_fd_write(to, chunk, (size_t)n, name, err) < 0 || sb_interrupt_check(err) < 0)
            return -1;
    }
    *out_digest = sb_sha256_finish(&sha);
    return 1;
}

/* A copy in the directory tmp, under a name of its own. */
static int copy_aside(int from, const char *name, int tmp, char *out_name, struct stat *out_st,
                      struct sb_digest *out_digest, struct sb_error *err) {
    sb_autoclose int fd = sb_file_temporary(tmp, out_name, err);
    if (fd < 0)
        return -1;
    int copied = copy_file(from, name, fd, out_st, out_digest, err);
    if (copied > 0 && fchmod(fd, 0644) < 0)
        copied = sb_fail_errno(err, SB_E_IO, "copying %s", name);
    if (copied <= 0)
        unlinkat(tmp, out_name, 0);
    return copied;
}

static int put(int tmp, const char *temporary, int to, const char *name, struct sb_error *err) {
    if (renameat(tmp, temporary, to, name) == 0)
        return 0;
    sb_fail_errno(err, SB_E_IO, "renaming into %s", name);
    unlinkat(tmp, temporary, 0);
    return -1;
}

/* ---- by digest ---- */

/* Bytes written before may never have reached the disk. */
static int64_t boot_time(void) {
    struct timespec now, up;
    clock_gettime(CLOCK_REALTIME, &now);
    clock_gettime(CLOCK_BOOTTIME, &up);
    return (int64_t)now.tv_sec - up.tv_sec;
}

int sb_apt_kept_open(int fd, int tmp, struct sb_apt_kept *out, struct sb_error *err) {
    *out = (struct sb_apt_kept){.fd = fd, .tmp = tmp, .boot = boot_time()};
    int listed = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    sb_autoclosedir DIR *dir = listed < 0 ? NULL : fdopendir(listed);
    if (!dir) {
        sb_close_descriptor(&listed);
        return sb_fail_errno(err, SB_E_IO, "reading kept packages");
    }
    struct dirent *e;
    struct sb_digest digest;
    while ((e = readdir(dir)))
        if (strlen(e->d_name) == 64 && sb_digest_parse_hex(e->d_name, &digest))
            *sb_map_put(&out->have, e->d_name) = 1;
    return 0;
}

void sb_apt_kept_close(struct sb_apt_kept *kept) {
    sb_map_free(&kept->have);
}

bool sb_apt_kept_has(const struct sb_apt_kept *kept, const struct sb_digest *digest) {
    return sb_map_find(&kept->have, sb_digest_hex(digest).text) != NULL;
}

static bool is_whole(const struct sb_apt_kept *kept, const char *hex,
                     const struct sb_digest *digest) {
    struct stat st;
    struct sb_digest found;
    sb_autoclose int fd = openat(kept->fd, hex, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return false;
    if (st.st_mtim.tv_sec > kept->boot)
        return true;
    struct sb_error ignored = {0};
    return sb_digest_of_fd(fd, &found, NULL, &ignored) == 0 && sb_digest_equal(&found, digest);
}

int sb_apt_kept_give(struct sb_apt_kept *kept, const struct sb_digest *digest, int to,
                     const char *name, bool copy, struct sb_error *err) {
    struct sb_digest_hex hex = sb_digest_hex(digest);
    char temporary[NAME_SIZE];
    if (sb_interrupt_check(err) < 0)
        return -1;
    if (!is_whole(kept, hex.text, digest)) {
        unlinkat(kept->fd, hex.text, 0);
        return 0;
    }
    utimensat(kept->fd, hex.text, NULL, AT_SYMLINK_NOFOLLOW); /* the last use */
    if (copy) {
        struct stat st;
        struct sb_digest copied;
        int done = copy_aside(kept->fd, hex.text, kept->tmp, temporary, &st, &copied, err);
        return done <= 0 ? done : put(kept->tmp, temporary, to, name, err);
    }
    if (linkat(kept->fd, hex.text, to, name, 0) < 0 && errno != ENOENT && errno != EEXIST)
        return sb_fail_errno(err, SB_E_IO, "showing %s", name);
    return 0;
}

int sb_apt_kept_take(struct sb_apt_kept *kept, int from, const char *name, struct sb_error *err) {
    struct stat st;
    struct sb_digest digest;
    char temporary[NAME_SIZE];
    int copied = copy_aside(from, name, kept->tmp, temporary, &st, &digest, err);
    if (copied <= 0)
        return copied;
    struct sb_digest_hex hex = sb_digest_hex(&digest);
    if (put(kept->tmp, temporary, kept->fd, hex.text, err) < 0)
        return -1;
    *sb_map_put(&kept->have, hex.text) = 1;
    return 0;
}

void sb_apt_kept_prune(struct sb_apt_kept *kept, int days) {
    int listed = openat(kept->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    sb_autoclosedir DIR *dir = listed < 0 ? NULL : fdopendir(listed);
    if (!dir) {
        sb_close_descriptor(&listed);
        return;
    }
    time_t limit = time(NULL) - (time_t)days * DAY;
    struct dirent *e;
    struct stat st;
    while ((e = readdir(dir)))
        if (strlen(e->d_name) == 64 && fstatat(listed, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            st.st_mtime < limit)
            unlinkat(listed, e->d_name, 0);
}

/* ---- Release files ---- */

/* So old that a server sends its own: apt believes one that is not out of date, by its time. */
static int copy_release(int from, const char *name, int to, struct sb_error *err) {
    struct stat st;
    struct sb_digest digest;
    char temporary[NAME_SIZE];
    if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
        return 0;
    int copied = copy_aside(from, name, to, temporary, &st, &digest, err);
    if (copied <= 0)
        return copied;
    const struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
    utimensat(to, temporary, times, AT_SYMLINK_NOFOLLOW);
    return put(to, temporary, to, name, err);
}

int sb_apt_copy_releases(int from, int to, struct sb_error *err) {
    int listed = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    sb_autoclosedir DIR *dir = listed < 0 ? NULL : fdopendir(listed);
    if (!dir) {
        sb_close_descriptor(&listed);
        return sb_fail_errno(err, SB_E_IO, "reading package lists");
    }
    struct dirent *e;
    while ((e = readdir(dir)))
        if (*e->d_name != '.' && sb_apt_is_release(e->d_name) &&
            copy_release(from, e->d_name, to, err) < 0)
            return -1;
    return 0;
}
