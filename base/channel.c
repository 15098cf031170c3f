#include "base/channel.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/memory.h"

enum { ROOM = 1 << 20 }; /* bytes under way; the kernel may grant less */

int sb_channel_pair(int out_ends[2], struct sb_error *err) {
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, out_ends) < 0)
        return sb_fail_errno(err, SB_E_FAILED, "making a socket");
    int room = ROOM;
    for (int i = 0; i < 2; i++) {
        if (setsockopt(out_ends[i], SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room) < 0)
            setsockopt(out_ends[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    }
    return 0;
}

union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int))];
};

int sb_channel_send(int fd, char type, const void *payload, size_t len, int passed_fd,
                    struct sb_error *err) {
    if (len > SB_CHANNEL_LIMIT)
        return sb_fail(err, SB_E_FAILED, "a message of %zu bytes is too long", len);
    struct iovec parts[2] = {{&type, 1}, {(void *)payload, len}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = len ? 2 : 1};
    union control control = {0};
    if (passed_fd >= 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof control.bytes;
        struct cmsghdr *head = CMSG_FIRSTHDR(&message);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(head), &passed_fd, sizeof(int));
    }
    ssize_t n;
    do
        n = sendmsg(fd, &message, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n >= 0)
        return 0;
    if (errno == ECONNRESET)
        errno = EPIPE;
    return sb_fail_errno(err, SB_E_FAILED, "sending a message");
}

static int take_descriptor(struct msghdr *message) {
    int fd = -1;
    for (struct cmsghdr *head = CMSG_FIRSTHDR(message); head; head = CMSG_NXTHDR(message, head))
        if (head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS &&
            head->cmsg_len == CMSG_LEN(sizeof(int)))
            memcpy(&fd, CMSG_DATA(head), sizeof fd);
    return fd;
}

int sb_channel_receive(int fd, char *out_type, struct sb_buf *out, int *out_fd,
                       struct sb_error *err) {
    sb_buf_reset(out);
    sb_buf_reserve(out, SB_CHANNEL_LIMIT);
    struct iovec parts[2] = {{out_type, 1}, {out->data, SB_CHANNEL_LIMIT}};
    union control control = {0};
    struct msghdr message = {.msg_iov = parts,
                             .msg_iovlen = 2,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    ssize_t n;
    do
        n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    int passed = n >= 0 ? take_descriptor(&message) : -1;
    if (out_fd)
        *out_fd = passed;
    else
        sb_close_descriptor(&passed);
    if (n == 0 || (n < 0 && errno == ECONNRESET))
        return 0;
    if (n < 0)
        return sb_fail_errno(err, SB_E_FAILED, "receiving a message");
    if (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
        if (out_fd)
            sb_close_descriptor(out_fd);
        return sb_fail(err, SB_E_FAILED, "a message was cut short");
    }
    out->len = (size_t)n - 1;
    out->data[out->len] = '\0';
    return 1;
}
