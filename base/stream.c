#include "base/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/process.h"

/* Until there is something to read, or the end. */
static int wait_for(int fd, struct sb_error *err) {
    struct pollfd fds[2] = {{.fd = fd, .events = POLLIN},
                            {.fd = sb_interrupt_fd(), .events = POLLIN}};
    while (poll(fds, 2, -1) < 0)
        if (errno != EINTR)
            return sb_fail_errno(err, SB_E_IO, "waiting");
        else if (sb_interrupt_check(err) < 0)
            return -1;
    return sb_interrupt_check(err);
}

static int read_all(int fd, size_t max, struct sb_buf *out, struct sb_error *err) {
    size_t start = out->len;
    for (;;) {
        sb_buf_reserve(out, 16384);
        if (wait_for(fd, err) < 0)
            return -1;
        ssize_t n = read(fd, out->data + out->len, out->cap - out->len - 1);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n < 0)
            return sb_fail_errno(err, SB_E_IO, "reading");
        out->len += (size_t)n;
        out->data[out->len] = '\0';
        if (n == 0)
            return 0;
        if (out->len - start > max)
            return sb_fail(err, SB_E_FAILED, "more than the %zu bytes allowed", max);
    }
}

/* Opening would wait for a FIFO's writer; polling does so as well, and can be interrupted. */
static int open_at_once(const char *path, struct sb_error *err) {
    sb_autoclose int fd = open(path, SB_FILE_FLAGS);
    struct stat st;
    if (fd < 0)
        return sb_fail_errno(err, errno == ENOENT ? SB_E_NOT_FOUND : SB_E_IO, "%s", path);
    if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
        return sb_file_check(&st, path, err);
    return sb_steal_fd(&fd);
}

int sb_stream_open(const char *path, struct sb_error *err) {
    sb_autoclose int fd = open_at_once(path, err);
    if (fd < 0 || wait_for(fd, err) < 0)
        return -1;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0)
        return sb_fail_errno(err, SB_E_IO, "%s", path);
    return sb_steal_fd(&fd);
}

int sb_stream_read(const char *path, size_t max, struct sb_buf *out, struct sb_error *err) {
    sb_autoclose int fd = open_at_once(path, err);
    if (fd < 0)
        return -1;
    return read_all(fd, max, out, err) < 0 ? sb_error_context(err, "%s", path) : 0;
}
