/*
 * `sbuild __contain KEY=VALUE… -- PROGRAM ARGUMENT…`: see sandbox/contain.h.
 *
 *     cgroups=keep|read-only|hide
 *     network=none                    it has none of this machine's
 *     input=pipe|terminal             descriptor 3 is its input; it is the terminal's first process
 *     system=own                      /dev, and with a network /sys, are its own
 *     join=DIRECTORY                  each: a control group
 *     apart=yes                       it is set apart (sandbox/contain_apart.c), with
 *     place=NAME=DIRECTORY            each of these
 *
 * Descriptor 0 is a pipe for failures of our own, as text: that keeps them apart from what the
 * program says. Everything here runs in a process of its own with one thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/net.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/process.h"
#include "sandbox/contain.h"
#include "sandbox/contain_private.h"
#include "sandbox/userns.h"

enum { FAILED = 125 };

struct options {
    const char *cgroups;
    bool no_network, own_system, apart;
    bool terminal;                   /* descriptors 0 to 2 are one, for the program alone */
    char *places[SB_CONTAIN_PLACES]; /* NAME=DIRECTORY */
    size_t place_count;
    char **argv; /* of the program */
};

static int report = -1;

static _Noreturn void fail(const char *what) {
    dprintf(report, "%s: %s", what, strerror(errno));
    _exit(FAILED);
}

static void take_report(void) {
    report = fcntl(0, F_DUPFD_CLOEXEC, 3);
    int null = open("/dev/null", O_RDONLY);
    if (report < 0 || null < 0 || dup2(null, 0) < 0)
        _exit(FAILED);
    if (null > 0)
        close(null);
}

/* Whether it is a terminal. */
static bool take_input(const char *kind) {
    if (dup2(3, 0) < 0)
        fail("taking the input");
    close(3);
    return !strcmp(kind, "terminal");
}

/* ---- cgroups ---- */

static bool read_only_mount(const char *path) {
    struct statvfs st;
    unsigned long flags = MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;
    if (statvfs(path, &st) == 0 && (st.f_flag & ST_NOATIME))
        flags |= MS_NOATIME;
    if (statvfs(path, &st) == 0 && (st.f_flag & ST_RELATIME))
        flags |= MS_RELATIME;
    return mount(NULL, path, NULL, flags, NULL) == 0;
}

/* Fields of /proc/self/mounts: what, where, type, …; a cgroup mount's place has no blanks. What
 * can't be made read-only (in a user namespace) can't be written by us, either. */
static void protect_cgroups(void) {
    sb_autobuf struct sb_buf mounts = {0};
    if (sb_file_read(AT_FDCWD, "/proc/self/mounts", 64u << 20, &mounts, NULL) < 0 || !mounts.data)
        return;
    char *rest = mounts.data;
    for (char *line; (line = strsep(&rest, "\n"));) {
        strsep(&line, " ");
        char *where = strsep(&line, " ");
        char *type = strsep(&line, " ");
        if (type && (!strcmp(type, "cgroup") || !strcmp(type, "cgroup2")))
            read_only_mount(where);
    }
}

static void hide_cgroups(void) {
    if (sb_path_exists(AT_FDCWD, "/sys/fs/cgroup"))
        mount("none", "/sys/fs/cgroup", "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
              "size=4k,mode=755");
}

/* ---- /dev and /sys ---- */

/* In a user namespace nobody makes device nodes: a runtime binds those that it finds, and a /sys
 * with a network that isn't its own. Root of one that has this machine's numbers could change modes
 * of the former for all, and write to what is mounted in the latter. */
static void make_system(bool network) {
    static const struct {
        const char *path;
        unsigned minor;
    } nodes[] = {{"/dev/null", 3},   {"/dev/zero", 5},    {"/dev/full", 7},
                 {"/dev/random", 8}, {"/dev/urandom", 9}, {"/dev/tty", 0}};
    /* The same can't be mounted on itself; where it is read-only, nobody may mount another. */
    if (network && (mount("none", "/sys", "tmpfs", MS_RDONLY, "size=4k") < 0 ||
                    mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0))
        fail("mounting /sys");
    if (mount("sbuild-dev", "/dev", "tmpfs", MS_NOSUID | MS_NOEXEC, "size=64k,mode=755") < 0)
        fail("mounting a /dev");
    for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++)
        if (mknod(nodes[i].path, S_IFCHR | 0600, makedev(nodes[i].minor ? 1 : 5, nodes[i].minor)) <
                0 ||
            chmod(nodes[i].path, 0666) < 0)
            fail(nodes[i].path);
}

/* ---- pid 1 ---- */

/* Limits of whoever runs sbuild must not decide what a build does: here are the kernel's own, as
 * far as a hard limit may be raised. */
static void set_limits(void) {
    static const struct {
        int what;
        rlim_t soft, hard;
    } all[] = {
        {RLIMIT_NOFILE, 1024, RLIM_INFINITY},
        {RLIMIT_CORE, 0, 0},
        {RLIMIT_AS, RLIM_INFINITY, RLIM_INFINITY},
        {RLIMIT_CPU, RLIM_INFINITY, RLIM_INFINITY},
        {RLIMIT_DATA, RLIM_INFINITY, RLIM_INFINITY},
        {RLIMIT_FSIZE, RLIM_INFINITY, RLIM_INFINITY},
        {RLIMIT_LOCKS, RLIM_INFINITY, RLIM_INFINITY},
        {RLIMIT_NPROC, RLIM_INFINITY, RLIM_INFINITY},
        {RLIMIT_RSS, RLIM_INFINITY, RLIM_INFINITY},
        {RLIMIT_RTTIME, RLIM_INFINITY, RLIM_INFINITY},
        {RLIMIT_STACK, 8 << 20, RLIM_INFINITY},
        {RLIMIT_MEMLOCK, 8 << 20, 8 << 20},
        {RLIMIT_MSGQUEUE, 819200, 819200},
        {RLIMIT_NICE, 0, 0},
        {RLIMIT_RTPRIO, 0, 0},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct rlimit now, new = {all[i].soft, all[i].hard};
        if (getrlimit((__rlimit_resource_t)all[i].what, &now) < 0)
            continue;
        if (all[i].what == RLIMIT_NOFILE) /* no more than the system has, which nobody can name */
            new.rlim_max = now.rlim_max;
        if (setrlimit((__rlimit_resource_t)all[i].what, &new) == 0)
            continue;
        new.rlim_max = new.rlim_max < now.rlim_max ? new.rlim_max : now.rlim_max;
        new.rlim_cur = new.rlim_cur < new.rlim_max ? new.rlim_cur : new.rlim_max;
        setrlimit((__rlimit_resource_t)all[i].what, &new);
    }
}

/* What else a process hands down: 32-bit machines that "setarch" plays, addresses without chance,
 * groups, keys. What can't be left is nobody's loss. */
static void leave_surroundings(void) {
    enum { JOIN_SESSION_KEYRING = 1 };
    personality(PER_LINUX);
    /* A user's may be what lets them reach their store; a container has none of them. */
    if (!sb_userns_inside())
        (void)!setgroups(0, NULL);
    syscall(SYS_keyctl, JOIN_SESSION_KEYRING, NULL);
}

/* Abstract Unix sockets belong to a network, not to a file system: daemons of this machine that
 * take root for root would answer a step that has its network (Linux 6.12; before, nothing keeps
 * it). */
static void keep_from_sockets(void) {
#ifdef SYS_landlock_create_ruleset
    const struct {
        uint64_t files, network, scoped;
    } rules = {.scoped = 1}; /* LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET */
    int fd = (int)syscall(SYS_landlock_create_ruleset, &rules, sizeof rules, 0);
    if (fd < 0)
        return;
    syscall(SYS_landlock_restrict_self, fd, 0);
    close(fd);
#endif
}

/* A runtime's filter can't see the family of a socket that a 32-bit program asks for by socketcall:
 * the hypervisor's belong to no network namespace. */
static void keep_from_socketcall(void) {
#ifdef __x86_64__
    enum { SOCKETCALL = 102 };
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_I386, 0, 5),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SOCKETCALL, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_SOCKET, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog filter = {sizeof code / sizeof *code, code};
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) < 0)
        fail("setting a filter of system calls");
#endif
}

static _Noreturn void execute(char **argv, bool no_network) {
    keep_from_sockets();
    if (no_network)
        keep_from_socketcall();
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    sb_autofree char *program = sb_process_find(argv[0]);
    if (program)
        execv(program, argv);
    else
        errno = ENOENT;
    fail(argv[0]);
}

/* A signal that sbuild queued for the program, or 0. */
static int passed_on(const siginfo_t *info) {
    int signal = info->si_value.sival_int;
    return info->si_signo == SB_CONTAIN_PASS_ON && info->si_code == SI_QUEUE && signal > 0 &&
                   signal < NSIG
               ? signal
               : 0;
}

static void set_signals(sigset_t *out) {
    sigemptyset(out);
    sigaddset(out, SIGCHLD);
    sigaddset(out, SIGTERM);
    sigaddset(out, SB_CONTAIN_PASS_ON);
    sigaddset(out, SIGWINCH);
    sigprocmask(SIG_BLOCK, out, NULL);
}

static int exit_status(int status) {
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* Not all runtimes tell the program's terminal of a new size: the program that they started is
 * theirs, and its input the terminal, unless it has put something else there. */
static void resize(pid_t runtime) {
    sb_autofree char *path = sb_format("/proc/%d/task/%d/children", (int)runtime, (int)runtime);
    sb_autobuf struct sb_buf children = {0};
    struct winsize size;
    if (sb_file_read(AT_FDCWD, path, 4096, &children, NULL) < 0 || ioctl(0, TIOCGWINSZ, &size) < 0)
        return;
    long child = strtol(sb_buf_text(&children), NULL, 10);
    sb_autofree char *input = sb_format("/proc/%ld/fd/0", child);
    sb_autoclose int seen = child > 0 ? open(input, O_PATH | O_CLOEXEC) : -1;
    struct stat st;
    enum { PTS_FIRST = 136, PTS_LAST = 143 };
    if (seen < 0 || fstat(seen, &st) < 0 || !S_ISCHR(st.st_mode) || major(st.st_rdev) < PTS_FIRST ||
        major(st.st_rdev) > PTS_LAST)
        return;
    sb_autofree char *again = sb_format("/proc/self/fd/%d", seen);
    sb_autoclose int fd = open(again, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0)
        ioctl(fd, TIOCSWINSZ, &size);
}

/* Until the program has ended. */
static _Noreturn void stand_by(pid_t program, const sigset_t *signals) {
    for (;;) {
        int status;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid == program)
            _exit(exit_status(status));
        if (pid < 0 && errno != EINTR)
            _exit(FAILED);
        siginfo_t info;
        int signal = pid == 0 ? sigwaitinfo(signals, &info) : 0;
        if (signal == SIGWINCH)
            resize(program);
        else if (signal > 0 && passed_on(&info))
            kill(program, passed_on(&info));
    }
}

static _Noreturn void be_first(int keeper, const struct options *options, const sigset_t *signals) {
    const char *cgroups = options->cgroups;
    /* The keeper's death is told by the kernel from here on, and by the pipe before. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    struct pollfd alive = {.fd = keeper};
    if (poll(&alive, 1, 0) != 0)
        _exit(FAILED);
    setsid();
    if (options->terminal && ioctl(0, TIOCSCTTY, 0) < 0)
        fail("taking the terminal");
    if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
        fail("making a private mount namespace");
    if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
        fail("mounting /proc (in a container, its /proc must not be masked)");
    if (options->own_system)
        make_system(!options->no_network);
    if (!strcmp(cgroups, "read-only"))
        protect_cgroups();
    else if (!strcmp(cgroups, "hide"))
        hide_cgroups();
    set_limits();
    leave_surroundings();
    umask(022);
    pid_t program = fork();
    if (program == 0)
        execute(options->argv, options->no_network);
    if (program < 0)
        fail("starting a process");
    close(report);
    stand_by(program, signals);
}

/* ---- the keeper ---- */

/* The end of pid 1 is seen here only when nothing of its namespace is left. */
static int keep(pid_t first, const sigset_t *signals) {
    for (;;) {
        int status;
        pid_t pid = waitpid(first, &status, WNOHANG);
        if (pid == first)
            return exit_status(status);
        if (pid < 0 && errno != EINTR)
            return FAILED;
        siginfo_t info;
        int signal = sigwaitinfo(signals, &info);
        if (signal == SIGTERM)
            kill(first, SIGKILL);
        else if (signal > 0 && passed_on(&info))
            sigqueue(first, SB_CONTAIN_PASS_ON, info.si_value);
    }
}

/* A limit that can't be kept is no reason not to build. */
static void join(const char *directory) {
    sb_autofree char *path = sb_path_join(directory, "cgroup.procs");
    sb_autoclose int fd = open(path, O_WRONLY | O_CLOEXEC);
    ssize_t ignored = fd >= 0 ? write(fd, "0", 1) : 0;
    (void)ignored;
}

static bool take_option(char *option, struct options *out) {
    char *value = strchr(option, '=');
    if (!value)
        return false;
    *value++ = '\0';
    if (!strcmp(option, "cgroups"))
        out->cgroups = value;
    else if (!strcmp(option, "network"))
        out->no_network = !strcmp(value, "none");
    else if (!strcmp(option, "system"))
        out->own_system = !strcmp(value, "own");
    else if (!strcmp(option, "apart"))
        out->apart = true;
    else if (!strcmp(option, "place") && out->place_count < SB_CONTAIN_PLACES)
        out->places[out->place_count++] = value;
    else if (!strcmp(option, "input"))
        out->terminal = take_input(value);
    else if (!strcmp(option, "join"))
        join(value);
    else
        return false;
    return true;
}

static void take_options(int argc, char **argv, struct options *out) {
    int i = 1;
    bool good = true;
    while (good && i < argc && strcmp(argv[i], "--") != 0)
        good = take_option(argv[i++], out);
    if (!good || i + 1 >= argc || !out->cgroups) {
        errno = EINVAL;
        fail(SB_CONTAIN_COMMAND);
    }
    out->argv = argv + i + 1;
}

int sb_contain_main(int argc, char **argv) {
    int alive[2];
    struct options options = {0};
    take_report();
    take_options(argc, argv, &options);
    sigset_t signals;
    set_signals(&signals);
    const char *what = "";
    if (options.apart && sb_contain_apart(options.places, options.place_count, &what) < 0)
        fail(what);
    if (unshare(CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS) < 0)
        fail("making a PID namespace");
    if (sethostname("sbuild", 6) < 0 || setdomainname("(none)", 6) < 0)
        fail("setting the host's name");
    if (pipe2(alive, O_CLOEXEC) < 0)
        fail("making a pipe");
    pid_t first = fork();
    if (first == 0) {
        close(alive[1]);
        be_first(alive[0], &options, &signals);
    }
    if (first < 0)
        fail("starting a process");
    close(report);
    close(alive[0]);
    /* Not through exit: what sanitizers do there needs a thread, and this process can't have one
     * since its children are in another PID namespace. */
    _exit(keep(first, &signals));
}
