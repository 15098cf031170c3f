#include "base/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/process.h"

enum { LONGEST_NAP = 20 }; /* milliseconds */

/* A flock that blocks is ended by a signal only when that comes to the thread which waits, and the
 * kernel may choose any other. So waiting is asking now and then, with an ear for interruption. */
static int wait_for(int fd, int how, const char *path, struct sb_error *err) {
    for (int nap = 1; flock(fd, how | LOCK_NB) < 0; nap = nap < LONGEST_NAP ? nap * 2 : nap) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return sb_fail_errno(err, SB_E_IO, "locking %s", path);
        if (sb_interrupt_check(err) < 0)
            return -1;
        struct pollfd interrupted = {.fd = sb_interrupt_fd(), .events = POLLIN};
        poll(&interrupted, 1, nap);
    }
    return 0;
}

static int open_lock(int dirfd, const char *path, struct sb_error *err) {
    /* Whoever may write the directory could have a file made elsewhere by a link, or stop us. */
    int fd = openat(dirfd, path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    struct stat st;
    if (fd < 0)
        return sb_fail_errno(err, SB_E_IO, "opening the lock %s", path);
    /* Who may read a file may hold a lock on it for ever; an sbuild before this one let all. */
    if (fstat(fd, &st) == 0 && st.st_uid == geteuid() && (st.st_mode & 077))
        fchmod(fd, 0600);
    return fd;
}

static int operation(enum sb_lock_mode mode) {
    return mode == SB_LOCK_SHARED ? LOCK_SH : LOCK_EX;
}

int sb_lock_take(int dirfd, const char *path, enum sb_lock_mode mode, struct sb_error *err) {
    sb_autoclose int fd = open_lock(dirfd, path, err);
    if (fd < 0 || wait_for(fd, operation(mode), path, err) < 0)
        return -1;
    return sb_steal_fd(&fd);
}

int sb_lock_try(int dirfd, const char *path, enum sb_lock_mode mode, struct sb_error *err) {
    sb_autoclose int fd = open_lock(dirfd, path, err);
    if (fd < 0)
        return -1;
    while (flock(fd, operation(mode) | LOCK_NB) < 0)
        if (errno != EINTR)
            return sb_fail_errno(err, SB_E_IO, "locking %s", path);
    return sb_steal_fd(&fd);
}
