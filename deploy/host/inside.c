#include "deploy/host/inside.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <linux/nsfs.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/process.h"

#define STATUS_LIMIT    (1u << 16)
#define ENVIRON_LIMIT   (4u << 20)
#define ENVIRON_SECONDS 5
#define GROUPS_MOST     256
#define CGROUPS         "/sys/fs/cgroup"
#define CGROUPS_MOST    16
#define SPACES          5
#define NESTED_MOST     33 /* user namespaces; the kernel allows 32 */

/* The mounts first: /proc of another may be in them, and nothing is looked up in it any more. */
static const char *const spaces[SPACES] = {"ns/mnt", "ns/ipc", "ns/net", "ns/uts", "ns/cgroup"};

/* What a process is, read before the fork. All from one directory of /proc: should the process end
 * and its number be another's, nothing is read any more. Should that have happened before, it is
 * not the unit's: then it may be any process of this machine, root's too. */
struct place {
    int spaces[SPACES]; /* -1: where this process is too */
    int users;          /* the user namespace that systemd made for the unit; -1: none */
    int root, cwd;
    int control[CGROUPS_MOST]; /* one, or one in each hierarchy of an older host */
    size_t control_count;
    uid_t uid;
    gid_t gid, groups[GROUPS_MOST];
    size_t group_count;
    uint64_t capabilities; /* that it may ever get */
    struct rlimit limits[RLIM_NLIMITS];
    struct sb_strings env;
    const struct sb_confine *confine;
};

static void free_place(struct place *p) {
    for (size_t i = 0; i < SPACES; i++)
        sb_close_descriptor(&p->spaces[i]);
    sb_close_descriptor(&p->users);
    sb_close_descriptor(&p->root);
    sb_close_descriptor(&p->cwd);
    for (size_t i = 0; i < p->control_count; i++)
        sb_close_descriptor(&p->control[i]);
    sb_strings_free(&p->env);
}

/* ---- reading /proc ---- */

static const char *line_of(const char *text, const char *key) {
    const char *line = strstr(text, key); /* keys begin with a newline: none is part of a value */
    return line ? line + strlen(key) : NULL;
}

static bool read_status(int dir, struct place *out) {
    sb_autobuf struct sb_buf text = {0};
    if (sb_file_read(dir, "status", STATUS_LIMIT, &text, NULL) < 0)
        return false;
    const char *uid = line_of(sb_buf_text(&text), "\nUid:");
    const char *gid = line_of(sb_buf_text(&text), "\nGid:");
    const char *groups = line_of(sb_buf_text(&text), "\nGroups:");
    const char *bounding = line_of(sb_buf_text(&text), "\nCapBnd:");
    if (!uid || !gid || !groups || !bounding || sscanf(uid, "%*u %u", &out->uid) != 1 ||
        sscanf(gid, "%*u %u", &out->gid) != 1 ||
        sscanf(bounding, "%" SCNx64, &out->capabilities) != 1)
        return false;
    char *end;
    for (;; groups = end) {
        groups += strspn(groups, "\t ");
        unsigned long group = strtoul(groups, &end, 10);
        if (*groups == '\n' || end == groups)
            return true;
        if (out->group_count == GROUPS_MOST)
            return false;
        out->groups[out->group_count++] = (gid_t)group;
    }
}

/* In the child: what it reads goes through a pipe. */
static _Noreturn void copy_environment(int dir, int to) {
    char bytes[65536];
    int fd = openat(dir, "environ", O_RDONLY | O_CLOEXEC);
    for (size_t sum = 0; fd >= 0 && sum <= ENVIRON_LIMIT;) {
        ssize_t n = read(fd, bytes, sizeof bytes);
        if (n == 0)
            _exit(0);
        if (n < 0 || write(to, bytes, (size_t)n) != n)
            break;
        sum += (size_t)n;
    }
    _exit(1);
}

static bool take_environment(int from, struct sb_buf *out) {
    char bytes[65536];
    for (double until = sb_clock_seconds() + ENVIRON_SECONDS; out->len <= ENVIRON_LIMIT;) {
        double left = until - sb_clock_seconds();
        struct pollfd ready = {.fd = from, .events = POLLIN};
        if (left <= 0 || poll(&ready, 1, (int)(left * 1000) + 1) <= 0)
            return false;
        ssize_t n = read(from, bytes, sizeof bytes);
        if (n <= 0)
            return n == 0;
        sb_buf_add(out, bytes, (size_t)n);
    }
    return false;
}

/* It lies in the memory of the process, which may have put there what nobody can read in time (a
 * file of its own file system, memory whose faults it handles): another process waits for that. */
static bool read_environment(int dir, struct sb_strings *out) {
    sb_autobuf struct sb_buf text = {0};
    int ends[2], status = 0;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return false;
    sb_autoclose int from = ends[0];
    pid_t child = fork();
    if (child == 0)
        copy_environment(dir, ends[1]);
    close(ends[1]);
    bool taken = child > 0 && take_environment(from, &text);
    if (child > 0 && !taken)
        kill(child, SIGKILL);
    if (child > 0 && waitpid(child, &status, taken ? 0 : WNOHANG) == child && taken)
        taken = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (!taken)
        return false;
    for (size_t at = 0; at < text.len; at += strlen(text.data + at) + 1)
        sb_strings_add(out, text.data + at);
    return true;
}

/* A line "0::/PATH", or "4:memory:/PATH", "9:name=systemd:/PATH" of an older host. */
static int open_cgroup(const char *line, size_t len) {
    sb_autofree char *text = sb_strndup(line, len);
    char *path = text, *number = strsep(&path, ":"), *of = path ? strsep(&path, ":") : NULL;
    if (!path || *path != '/' || strstr(path, "/.."))
        return -1;
    bool unified = !strcmp(number, "0") && !*of;
    const char *name = !strncmp(of, "name=", 5) ? of + 5 : of;
    if (unified)
        name = access(CGROUPS "/cgroup.procs", F_OK) == 0 ? "." : "unified";
    sb_autofree char *procs = sb_format(CGROUPS "/%s%s/cgroup.procs", name, path);
    return open(procs, O_WRONLY | O_CLOEXEC);
}

/* systemd puts "_" before names that the kernel has a use for: "cpu.service", "memory.service". */
bool sb_inside_is_of(const char *cgroups, const char *unit) {
    size_t n = strlen(unit);
    for (const char *at = cgroups; *at && (at = strstr(at, unit)); at++) {
        const char *before = at;
        if (before > cgroups && before[-1] == '_')
            before--;
        if (before > cgroups && before[-1] == '/' && (!at[n] || strchr("/\n", at[n])))
            return true;
    }
    return false;
}

bool sb_inside_is_below(const char *cgroups, const char *group) {
    size_t n = strlen(group);
    for (const char *line = cgroups; *line;) {
        size_t length = strcspn(line, "\n");
        const char *path = memchr(line, '/', length);
        if (path && !strncmp(path, group, n) && strchr("/\n", path[n]))
            return true;
        line += length + (line[length] == '\n');
    }
    return false;
}

static bool open_cgroups(int dir, const char *unit, struct place *out) {
    sb_autobuf struct sb_buf text = {0};
    const char *cgroup = out->confine->cgroup;
    if (sb_file_read(dir, "cgroup", STATUS_LIMIT, &text, NULL) < 0 ||
        !sb_inside_is_of(sb_buf_text(&text), unit) ||
        (cgroup && *cgroup && !sb_inside_is_below(sb_buf_text(&text), cgroup)))
        return false;
    for (const char *line = sb_buf_text(&text); *line && out->control_count < CGROUPS_MOST;) {
        size_t n = strcspn(line, "\n");
        int fd = open_cgroup(line, n);
        if (fd >= 0)
            out->control[out->control_count++] = fd;
        line += n + (line[n] == '\n');
    }
    return true;
}

/* ---- namespaces ---- */

static bool is_same(int a, int b) {
    struct stat one, other;
    return fstat(a, &one) == 0 && fstat(b, &other) == 0 && one.st_dev == other.st_dev &&
           one.st_ino == other.st_ino;
}

/* PID namespaces are left out: a process can't change its own, and this one's is no wider for who
 * is another user there. */
static bool open_spaces(int dir, struct place *out) {
    for (size_t i = 0; i < SPACES; i++) {
        sb_autofree char *self = sb_format("/proc/self/%s", spaces[i]);
        sb_autoclose int own = open(self, O_RDONLY | O_CLOEXEC);
        out->spaces[i] = openat(dir, spaces[i], O_RDONLY | O_CLOEXEC);
        if (out->spaces[i] < 0 && (errno != ENOENT || own >= 0))
            return false;
        if (own >= 0 && is_same(own, out->spaces[i])) {
            close(out->spaces[i]);
            out->spaces[i] = -1;
        }
    }
    return true;
}

/* The one that systemd made, and the process at most lies deeper in: the outermost that is not
 * this process's. In one that a process made for itself the command would have all that is in it.
 */
static bool open_users(int dir, struct place *out) {
    sb_autoclose int own = open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC);
    sb_autoclose int at = openat(dir, "ns/user", O_RDONLY | O_CLOEXEC);
    if (!out->confine->private_users || own < 0)
        return true;
    for (int i = 0; at >= 0 && i < NESTED_MOST; i++) {
        if (is_same(at, own))
            return i == 0; /* systemd left it out */
        sb_autoclose int parent = ioctl(at, NS_GET_PARENT);
        if (parent >= 0 && is_same(parent, own)) {
            out->users = sb_steal_fd(&at);
            return true;
        }
        close(at);
        at = sb_steal_fd(&parent);
    }
    return false;
}

static rlim_t limit_of(const char *word) {
    return !strcmp(word, "unlimited") ? RLIM_INFINITY : (rlim_t)strtoull(word, NULL, 10);
}

/* A heading, and a line for each, in the order of their numbers: the name has 26 columns. None is
 * raised: this process may not be able to. */
static bool read_limits(int dir, struct place *out) {
    sb_autobuf struct sb_buf text = {0};
    if (sb_file_read(dir, "limits", STATUS_LIMIT, &text, NULL) < 0)
        return false;
    const char *line = strchr(sb_buf_text(&text), '\n');
    for (int i = 0; i < RLIM_NLIMITS; i++) {
        struct rlimit own;
        char soft[24], hard[24];
        if (!line || strcspn(line + 1, "\n") < 26 ||
            sscanf(line + 1 + 26, "%23s %23s", soft, hard) != 2 ||
            getrlimit((enum __rlimit_resource)i, &own) < 0)
            return false;
        rlim_t most = limit_of(hard), now = limit_of(soft);
        most = most < own.rlim_max ? most : own.rlim_max;
        out->limits[i] = (struct rlimit){now < most ? now : most, most};
        line = strchr(line + 1, '\n');
    }
    return true;
}

/* What systemd says of the unit, where it is less than what the process says of itself. */
static bool bound(struct place *out) {
    const struct sb_confine *confine = out->confine;
    out->capabilities &= confine->capabilities;
    return !confine->uid || out->uid == confine->uid;
}

static bool find_place(pid_t pid, const char *unit, const struct sb_confine *confine,
                       struct place *out) {
    *out = (struct place){.users = -1, .root = -1, .cwd = -1, .confine = confine};
    for (size_t i = 0; i < SPACES; i++)
        out->spaces[i] = -1;
    sb_autofree char *proc = sb_format("/proc/%d", (int)pid);
    sb_autoclose int dir = open(proc, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (pid <= 0 || dir < 0)
        return false;
    out->root = openat(dir, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
    out->cwd = openat(dir, "cwd", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return out->root >= 0 && out->cwd >= 0 && open_spaces(dir, out) && open_users(dir, out) &&
           read_limits(dir, out) && read_status(dir, out) && bound(out) &&
           read_environment(dir, &out->env) && open_cgroups(dir, unit, out);
}

/* ---- going there ---- */

/* In the child: async-signal-safe calls only, and system calls themselves where glibc would tell
 * other threads, which this process has none of. */
static bool enter(const struct place *p) {
    static const char self[] = "0";
    for (size_t i = 0; i < p->control_count; i++)
        if (write(p->control[i], self, 1) != 1)
            return false;
    for (size_t i = 0; i < SPACES; i++)
        if (p->spaces[i] >= 0 && setns(p->spaces[i], 0) < 0)
            return false;
    return fchdir(p->root) == 0 && chroot(".") == 0 && fchdir(p->cwd) == 0;
}

static bool take_limits(const struct place *p) {
    for (int i = 0; i < RLIM_NLIMITS; i++)
        if (setrlimit((enum __rlimit_resource)i, &p->limits[i]) < 0)
            return false;
    return true;
}

/* Groups are set before a user namespace is entered, which may not let them be; capabilities are
 * dropped after it, which gives all. */
static bool become(const struct place *p) {
    if (!enter(p) || !sb_process_leave_keyring() || !take_limits(p) ||
        syscall(SYS_setgroups, p->group_count, p->groups) < 0 ||
        (p->users >= 0 && setns(p->users, CLONE_NEWUSER) < 0))
        return false;
    for (unsigned long c = 0; prctl(PR_CAPBSET_READ, c) >= 0; c++)
        if (!(c < 64 && p->capabilities >> c & 1) && prctl(PR_CAPBSET_DROP, c) < 0)
            return false;
    return syscall(SYS_setresgid, p->gid, p->gid, p->gid) == 0 &&
           syscall(SYS_setresuid, p->uid, p->uid, p->uid) == 0 &&
           prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
}

/* The last: from here on only what the service may call. */
static bool filter(const struct sb_confine *confine) {
    for (size_t i = 0; i < confine->filter_count; i++)
        if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &confine->filters[i]) < 0)
            return false;
    return true;
}

/* A session of its own: the operator's terminal would be the command's too. */
static _Noreturn void run_child(const struct place *p, const char *command, int null,
                                pid_t parent) {
    char *const argv[] = {(char *)"/bin/sh", (char *)"-c", (char *)(uintptr_t)command, NULL};
    setsid();
    for (int i = 0; i < 3; i++)
        dup2(null, i);
    close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
    for (int s = 1; s < NSIG; s++)
        signal(s, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    umask(022);
    if (!become(p))
        _exit(126);
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* another user would have lost it */
    if (getppid() == parent && filter(p->confine))
        execve(argv[0], argv, p->env.v);
    _exit(127);
}

pid_t sb_inside_start(pid_t service, const char *unit, const struct sb_confine *confine,
                      const char *command, struct sb_error *err) {
    struct place place;
    sb_autoclose int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0)
        return sb_fail_errno(err, SB_E_IO, "opening /dev/null");
    if (!find_place(service, unit, confine, &place)) {
        free_place(&place);
        return sb_fail(err, SB_E_UNHEALTHY, "it has no process to ask");
    }
    pid_t parent = getpid(), pid = fork();
    if (pid == 0)
        run_child(&place, command, null, parent);
    free_place(&place);
    return pid < 0 ? sb_fail_errno(err, SB_E_FAILED, "starting a health command") : pid;
}
