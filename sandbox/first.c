#include "sandbox/first.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/file.h"
#include "base/initbytes.h"
#include "base/memory.h"

#define NAME "first"

/* Not for longer than this process: it need not reach the disk. */
static int fill(int dirfd, struct sb_error *err) {
    size_t len;
    const void *bytes = sb_init_bytes(&len);
    sb_autoclose int fd = openat(dirfd, NAME, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
    if (fd < 0 || fchmod(fd, 0755) < 0)
        return sb_fail_errno(err, SB_E_IO, "creating the first process of containers");
    return sb_fd_write(fd, bytes, len, "the first process of containers", err);
}

/* Several steps may begin at once. */
static int make(int dirfd, struct sb_error *err) {
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&lock);
    bool there = sb_path_exists(dirfd, NAME);
    int failed = there ? 0 : fill(dirfd, err);
    if (failed)
        unlinkat(dirfd, NAME, 0);
    pthread_mutex_unlock(&lock);
    return failed;
}

static bool executes(const char *path) {
    struct statvfs st;
    return statvfs(path, &st) < 0 || !(st.f_flag & ST_NOEXEC);
}

char *sb_first_file(struct sb_store *store, const char *directory, bool *out_mounted,
                    struct sb_error *err) {
    const char *own = sb_store_tmp_path(store);
    *out_mounted = false;
    if (executes(own))
        return make(sb_store_tmp_fd(store), err) < 0 ? NULL : sb_path_join(own, NAME);
    if (mkdir(directory, 0700) < 0 ||
        mount("sbuild-first", directory, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=8m") < 0) {
        sb_fail_errno(err, SB_E_FAILED, "mounting a tmpfs at %s", directory);
        return NULL;
    }
    *out_mounted = true;
    sb_autoclose int fd = sb_directory_open(AT_FDCWD, directory, err);
    return fd < 0 || make(fd, err) < 0 ? NULL : sb_path_join(directory, NAME);
}
