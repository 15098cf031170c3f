#include "deploy/host/rootview.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/memory.h"

/* In the child: async-signal-safe calls only. Says what came of it, and stays until it is killed:
 * its mount namespace is what the parent looks into. */
static _Noreturn void mount_and_wait(const char *at, const char *options, int out, pid_t parent) {
    int code = 0;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("overlay", at, "overlay", MS_RDONLY | MS_NODEV | MS_NOSUID | MS_NOEXEC, options) < 0)
        code = errno;
    if (write(out, &code, sizeof code) == sizeof code && code == 0)
        for (;;)
            pause();
    _exit(1);
}

static int look_into(pid_t child, const char *at, int in, struct sb_error *err) {
    int code = EIO;
    ssize_t n;
    while ((n = read(in, &code, sizeof code)) < 0 && errno == EINTR)
        continue;
    sb_autofree char *path = sb_format("/proc/%d/root%s", (int)child, at);
    int fd = -1;
    if (n == sizeof code && code == 0) {
        fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        code = errno;
    }
    if (fd >= 0)
        return fd;
    errno = code;
    return sb_fail_errno(err, SB_E_FAILED, "mounting the layers of a root");
}

int sb_rootview_open(const char *const *lower, size_t count, const char *at, struct sb_error *err) {
    sb_autobuf struct sb_buf options = {0};
    int pipes[2];
    for (size_t i = 0; i < count; i++)
        sb_buf_addf(&options, "%s%s", i ? ":" : "lowerdir=", lower[i]);
    if (pipe2(pipes, O_CLOEXEC) < 0)
        return sb_fail_errno(err, SB_E_FAILED, "making a pipe");
    const char *text = sb_buf_text(&options);
    pid_t parent = getpid(), child = fork();
    if (child == 0)
        mount_and_wait(at, text, pipes[1], parent);
    close(pipes[1]);
    int fd = child < 0 ? sb_fail_errno(err, SB_E_FAILED, "starting a process")
                       : look_into(child, at, pipes[0], err);
    close(pipes[0]);
    if (child > 0) {
        kill(child, SIGKILL);
        while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
            continue;
    }
    return fd;
}
