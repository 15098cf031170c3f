/*
 * What sets a program apart: ids that are nobody's, and a /tmp with what it is to write to.
 *
 * The places keep their owners by id-mapped mounts (Linux 5.12), so nothing has to change hands
 * afterwards. In a user's build this process is in such a user namespace already.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "sandbox/contain_private.h"
#include "sandbox/userns.h"

/* Above all that systemd gives to containers and users, below what programs take for negative. */
#define FIRST_ID "1946157056"
#define ID_COUNT "65536"

static int write_map(pid_t pid, const char *which) {
    static const char map[] = "0 " FIRST_ID " " ID_COUNT "\n";
    sb_autofree char *path = sb_format("/proc/%d/%s", (int)pid, which);
    sb_autoclose int fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd >= 0 && write(fd, map, sizeof map - 1) == (ssize_t)sizeof map - 1 ? 0 : -1;
}

/* A user namespace is made by a process that is in it: one that waits until it has its ids. Returns
 * a descriptor of it. */
static int make_namespace(void) {
    int ready[2], end[2], out = -1;
    if (pipe2(ready, O_CLOEXEC) < 0 || pipe2(end, O_CLOEXEC) < 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0) {
        int code = unshare(CLONE_NEWUSER) == 0 ? 0 : errno;
        close(end[1]);
        if (write(ready[1], &code, sizeof code) == (ssize_t)sizeof code)
            while (read(end[0], &code, 1) < 0 && errno == EINTR)
                ;
        _exit(0);
    }
    close(ready[1]);
    close(end[0]);
    int code = EAGAIN;
    if (pid > 0 && read(ready[0], &code, sizeof code) == (ssize_t)sizeof code && code == 0) {
        sb_autofree char *path = sb_format("/proc/%d/ns/user", (int)pid);
        if (write_map(pid, "uid_map") == 0 && write_map(pid, "gid_map") == 0)
            out = open(path, O_RDONLY | O_CLOEXEC);
        code = errno;
    }
    close(ready[0]);
    close(end[1]);
    if (pid > 0)
        waitpid(pid, NULL, 0);
    errno = code;
    return out;
}

/* Some C libraries have no names for these, and some kernels' headers clash with those that have.
 */
struct attributes {
    uint64_t set, clear, propagation, users;
};
enum {
    IDMAP = 0x100000,         /* MOUNT_ATTR_IDMAP */
    NOSUID = 0x02,            /* MOUNT_ATTR_NOSUID */
    NOEXEC = 0x08,            /* MOUNT_ATTR_NOEXEC */
    CLONE_TREE = 1,           /* OPEN_TREE_CLONE */
    FROM_DESCRIPTOR = 0x0004, /* MOVE_MOUNT_F_EMPTY_PATH */
};

/* The directory as a mount of its own that is nowhere yet; users: a user namespace, or -1. */
static int take_place(const char *directory, int users) {
    /* How the store is mounted is no matter of a new root's programs. */
    struct attributes attributes = {.propagation = MS_PRIVATE, .clear = NOEXEC | NOSUID};
    if (users >= 0) {
        attributes.set = IDMAP;
        attributes.users = (uint64_t)users;
    }
    int fd = (int)syscall(SYS_open_tree, AT_FDCWD, directory, CLONE_TREE | O_CLOEXEC);
    if (fd >= 0 &&
        syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH, &attributes, sizeof attributes) == 0)
        return fd;
    attributes.clear = 0; /* a user may not */
    if (fd >= 0 &&
        syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH, &attributes, sizeof attributes) == 0)
        return fd;
    sb_close_descriptor(&fd);
    return -1;
}

static int put_place(int fd, const char *name) {
    sb_autofree char *path = sb_format("/tmp/%s", name);
    if (mkdir(path, 0755) < 0)
        return -1;
    return (int)syscall(SYS_move_mount, fd, "", AT_FDCWD, path, FROM_DESCRIPTOR);
}

static int make_tmp(char *const *places, size_t count, int users, const char **out_what) {
    int fds[SB_CONTAIN_PLACES];
    *out_what = "id-mapping a directory of the store (it needs Linux 5.12, and ext4, xfs or btrfs)";
    for (size_t i = 0; i < count; i++) {
        const char *directory = strchr(places[i], '=');
        if (!directory || (fds[i] = take_place(directory + 1, users)) < 0)
            return -1;
    }
    *out_what = "making a /tmp";
    if (mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777") < 0)
        return -1;
    for (size_t i = 0; i < count; i++) {
        sb_autofree char *name = sb_strndup(places[i], strcspn(places[i], "="));
        if (put_place(fds[i], name) < 0)
            return -1;
        close(fds[i]);
    }
    return 0;
}

/* mmdebstrap gives the new root this machine's, where packages' scripts ask for it. */
static void hide_hostname(void) {
    static const char file[] = "/tmp/.hostname", text[] = "sbuild\n";
    sb_autoclose int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, text, sizeof text - 1) < 0 || fchmod(fd, 0644) < 0)
        return;
    mount(file, "/etc/hostname", NULL, MS_BIND, NULL); /* some machines have none */
    unlink(file);
}

/* The kernel forgets who is to be told of its parent's death when a process gets other ids. */
static int become_root(int users) {
    pid_t parent = getppid();
    if (setns(users, CLONE_NEWUSER) < 0 || setresgid(0, 0, 0) < 0 || setgroups(0, NULL) < 0 ||
        setresuid(0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 1) < 0 ||
        prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        return -1;
    errno = ESRCH;
    return getppid() == parent ? 0 : -1;
}

int sb_contain_apart(char *const *places, size_t count, const char **out_what) {
    sb_autoclose int users = -1;
    bool inside = sb_userns_inside();
    *out_what = "making a user namespace (sysctl user.max_user_namespaces)";
    if (!inside && (users = make_namespace()) < 0)
        return -1;
    *out_what = "making a mount namespace";
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0 ||
        make_tmp(places, count, users, out_what) < 0)
        return -1;
    hide_hostname();
    *out_what = "entering a user namespace";
    return inside ? 0 : become_root(users);
}
