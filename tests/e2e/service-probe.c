/*
 * What a service tries to get at that is not its own. Prints a line for each that it got:
 *
 *     FOUND what          of the host, or of another service
 *     SEES what           that others are there, but not into them
 *     HAS what            a right that it may use
 *
 *     service-probe FILE ABSTRACT    tries all, and writes it there; ABSTRACT is the name of a socket that
 *                                    answers root alone. Then FILE.rights has what `rights` prints, and FILE.done
 *                                    is there; and it stays
 *     service-probe rights           prints what a health command must not have more of
 *     service-probe nest FILE        writes the same there, makes a user namespace, if it can, and stays
 *     service-probe other            1 when it is setuid or setgid
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define PIDS_MOST 40000

static const char *place = "";

static void got(const char *kind, const char *what) {
    printf("%s %s%s\n", kind, what, place);
}

static int can_open(const char *path, int flags) {
    int fd = open(path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

/* ---- other processes ---- */

/* Of its own service are those in its control group, a health command too. */
static int is_of_group(int pid) {
    static char own[4096], theirs[4096];
    char path[64];
    ssize_t n = 0, m = 0;
    snprintf(path, sizeof path, "/proc/%d/cgroup", pid);
    int a = open("/proc/self/cgroup", O_RDONLY | O_CLOEXEC), b = open(path, O_RDONLY | O_CLOEXEC);
    if (a >= 0 && b >= 0) {
        n = read(a, own, sizeof own);
        m = read(b, theirs, sizeof theirs);
    }
    close(a);
    close(b);
    return b < 0 ? -1 : n > 0 && n == m && !memcmp(own, theirs, (size_t)n);
}

/* A health command is hidden for the moment between becoming the user and its program. */
static int is_mine(int pid) {
    int is = -1;
    for (int i = 0; i < 10 && (is = is_of_group(pid)) < 0 && kill(pid, 0) == 0; i++)
        usleep(20000);
    return is > 0;
}

static void try_path(int pid, const char *tail, int flags, const char *what) {
    char path[256];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, tail);
    if (can_open(path, flags))
        got("FOUND", what);
}

static void try_credentials(int pid) {
    char path[256];
    snprintf(path, sizeof path, "/proc/%d/root/run/credentials", pid);
    DIR *dir = opendir(path);
    for (struct dirent *e; dir && (e = readdir(dir));)
        if (e->d_name[0] != '.' && strstr(e->d_name, "victim"))
            got("FOUND", "the credentials of another service");
    if (dir)
        closedir(dir);
}

/* A signal that is ignored unless one looks for it, by the owner of a socket. */
static void signal_by_socket(int pid) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
        return;
    if (fcntl(pair[0], F_SETOWN, pid) == 0 && fcntl(pair[0], F_SETSIG, SIGURG) == 0 &&
        fcntl(pair[0], F_SETFL, O_ASYNC) == 0 && write(pair[1], "x", 1) != 1)
        perror("write");
    close(pair[0]);
    close(pair[1]);
}

/* What may be done to a process by its number, for whoever has its user. */
static void try_by_number(int pid) {
    struct rlimit limit;
    cpu_set_t set;
    int fd = (int)syscall(SYS_pidfd_open, pid, 0), nice = getpriority(PRIO_PROCESS, (id_t)pid);
    const char *found = NULL;
    if (fd >= 0 && syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0) == 0)
        found = "signals by a descriptor";
    if (fd >= 0 && syscall(SYS_pidfd_getfd, fd, 0, 0) >= 0)
        found = "a file by a descriptor";
    if (prlimit(pid, RLIMIT_CORE, NULL, &limit) == 0)
        found = "limits of a process";
    if (setpriority(PRIO_PROCESS, (id_t)pid, nice) == 0)
        found = "the priority of a process";
    if (sched_getaffinity(pid, sizeof set, &set) == 0 && sched_setaffinity(pid, sizeof set, &set) == 0)
        found = "the processors of a process";
    close(fd);
    if (found && !is_mine(pid)) /* once more, as above */
        got("FOUND", found);
    if (!is_mine(pid))
        signal_by_socket(pid);
}

static void try_process(int pid) {
    static const struct {
        const char *tail;
        int flags;
        const char *what;
    } tries[] = {{"root/etc/shadow", O_RDONLY, "/etc/shadow of the host"},
                 {"root/host-secret", O_RDONLY, "a file of the host"},
                 {"cwd/host-secret", O_RDONLY, "a file of the host by a working directory"},
                 {"root/home/alice/.ssh/authorized_keys", O_WRONLY, "alice's authorized_keys"},
                 {"environ", O_RDONLY, "the environment of a process"},
                 {"mem", O_RDWR, "the memory of a process"},
                 {"fd", O_RDONLY, "the files of a process"},
                 {"ns/mnt", O_RDONLY, "the namespaces of a process"}};
    char path[64], byte;
    snprintf(path, sizeof path, "/proc/%d", pid);
    if (access(path, F_OK) == 0 && !is_mine(pid)) /* once more: it may have become the user just now */
        got("SEES", "processes");
    for (size_t i = 0; i < sizeof tries / sizeof *tries; i++)
        try_path(pid, tries[i].tail, tries[i].flags, tries[i].what);
    try_credentials(pid);
    struct iovec own = {&byte, 1}, theirs = {(void *)0x400000, 1};
    if (!*place && kill(pid, 0) == 0 && !is_mine(pid)) /* in a namespace its own are hidden, and can't be told from others */
        got("FOUND", "signals to a process");
    if (!*place)
        try_by_number(pid);
    if (process_vm_readv(pid, &own, 1, &theirs, 1, 0) == 1)
        got("FOUND", "bytes of a process");
    if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) == 0) {
        got("FOUND", "a process to trace");
        ptrace(PTRACE_DETACH, pid, NULL, NULL);
    }
}

/* By number: what /proc does not list may be there. Whose it is is asked of what is there, as a health
   command may start at any moment. */
static void try_processes(void) {
    for (int pid = 1; pid < PIDS_MOST; pid++)
        if ((kill(pid, 0) == 0 || errno != ESRCH) && !is_mine(pid))
            try_process(pid);
}

/* ---- files, sockets, memory ---- */

static void try_files(void) {
    static const char *const roots[] = {"/host-secret", "/home/alice/.ssh/authorized_keys", "/tmp/host-secret",
                                        "/var/tmp/host-secret", "/dev/shm/host-secret", "/etc/sbuild/secrets/victim/password",
                                        "/var/lib/victim/own", "/run/sbuild/victim/1/app/secret"};
    static const char *const written[] = {"/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname",
                                          "/proc/sysrq-trigger", "/sys/kernel/uevent_helper", "/sys/fs/cgroup/cgroup.procs",
                                          "/sys/fs/cgroup/systemd/cgroup.procs", "/sys/fs/cgroup/unified/cgroup.procs"};
    for (size_t i = 0; i < sizeof roots / sizeof *roots; i++)
        if (can_open(roots[i], O_RDONLY))
            got("FOUND", roots[i]);
    for (size_t i = 0; i < sizeof written / sizeof *written; i++)
        if (can_open(written[i], O_WRONLY))
            got("FOUND", written[i]);
}

static void try_devices(void) {
    static const char *const free[] = {"null", "zero", "full", "random", "urandom", "tty", "ptmx"};
    DIR *dir = opendir("/dev");
    for (struct dirent *e; dir && (e = readdir(dir));) {
        char path[300];
        struct stat st;
        int known = 0;
        for (size_t i = 0; i < sizeof free / sizeof *free; i++)
            known = known || !strcmp(e->d_name, free[i]);
        snprintf(path, sizeof path, "/dev/%s", e->d_name);
        if (!known && lstat(path, &st) == 0 && (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)) &&
            !(st.st_mode & 06) && can_open(path, O_RDONLY))
            got("FOUND", path);
    }
    if (dir)
        closedir(dir);
    if (mknod("/tmp/disk", S_IFBLK | 0600, makedev(254, 0)) == 0)
        got("FOUND", "mknod of a disk");
}

static int reaches(const char *path, int abstract, int answers) {
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    char answer = 0;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    memcpy(to.sun_path + abstract, path, strlen(path));
    int rc = connect(fd, (struct sockaddr *)&to, sizeof(sa_family_t) + abstract + strlen(path)) == 0;
    if (rc && answers)
        rc = read(fd, &answer, 1) == 1;
    close(fd);
    return rc;
}

static void try_sockets(const char *abstract) {
    static const char *const paths[] = {"/run/dbus/system_bus_socket", "/run/systemd/private",
                                        "/run/systemd/io.systemd.ManagedOOM", "/run/user/1000/bus"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        if (reaches(paths[i], 0, 0))
            got("FOUND", paths[i]);
    if (abstract && reaches(abstract, 1, 1))
        got("FOUND", "an abstract socket that is root's alone");
}

static void try_ipc(void) {
    struct shm_info info;
    int most = shmctl(0, SHM_INFO, (struct shmid_ds *)&info);
    for (int i = 0; i <= most; i++) {
        struct shmid_ds ds;
        int id = shmctl(i, SHM_STAT, &ds);
        if (id >= 0 && shmat(id, NULL, SHM_RDONLY) != (void *)-1)
            got("FOUND", "shared memory of the host");
    }
    struct seminfo sems;
    struct msginfo queues;
    most = semctl(0, 0, SEM_INFO, &sems);
    for (int i = 0; i <= most; i++) {
        struct semid_ds ds;
        if (semctl(i, 0, SEM_STAT, &ds) >= 0)
            got("FOUND", "semaphores of the host");
    }
    most = msgctl(0, MSG_INFO, (struct msqid_ds *)&queues);
    for (int i = 0; i <= most; i++) {
        struct msqid_ds ds;
        if (msgctl(i, MSG_STAT, &ds) >= 0)
            got("FOUND", "a queue of the host");
    }
    if (mq_open("/sbuild-e2e", O_RDONLY | O_NONBLOCK) >= 0)
        got("FOUND", "a named queue of the host");
}

/* ---- what it is ---- */

static unsigned long long status_of(const char *key) {
    char line[256];
    unsigned long long value = 0;
    FILE *file = fopen("/proc/self/status", "re");
    while (file && fgets(line, sizeof line, file))
        if (!strncmp(line, key, strlen(key)))
            value = strtoull(line + strlen(key), NULL, 16);
    if (file)
        fclose(file);
    return value;
}

static void try_rights(void) {
    if (getuid() == 0 || geteuid() == 0)
        got("HAS", "the user 0");
    if (status_of("CapEff:") || status_of("CapPrm:") || status_of("CapAmb:"))
        got("HAS", "capabilities");
    if (status_of("CapBnd:"))
        got("HAS", "capabilities to get");
    if (chroot("/") == 0)
        got("HAS", "chroot");
    if (mount("none", "/tmp", "tmpfs", 0, NULL) == 0) {
        got("HAS", "mount");
        umount2("/tmp", MNT_DETACH);
    }
    /* Without parameters it is EFAULT; who may not call it never comes so far. */
    if (syscall(SYS_io_uring_setup, 1, NULL) < 0 && errno == EFAULT)
        got("HAS", "requests that no filter sees");
}

static void try_setuid(void) {
    pid_t child = fork();
    if (child == 0) {
        execl("/app/suid", "/app/suid", "other", (char *)NULL);
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status))
        got("HAS", "a program that makes it another user");
}

static void try_all(const char *abstract) {
    try_rights();
    try_processes();
    try_files();
    try_devices();
    try_sockets(abstract);
    try_ipc();
    try_setuid();
}

static void write_map(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0 && write(fd, text, strlen(text)) < 0)
        perror(path);
    if (fd >= 0)
        close(fd);
}

/* Root of a user namespace of its own. */
static int nest(void) {
    char map[64];
    unsigned uid = getuid();
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
        return 0;
    snprintf(map, sizeof map, "0 %u 1\n", uid);
    write_map("/proc/self/setgroups", "deny");
    write_map("/proc/self/uid_map", map);
    return 1;
}

static void try_nested(const char *abstract) {
    pid_t child = fork();
    if (child == 0) {
        if (nest()) {
            place = " (in a namespace)";
            try_processes();
            try_files();
            try_sockets(abstract);
            got("HAS", "a namespace of its own");
        }
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

/* Names what a health command has, so that two can be compared. */
static void print_rights(void) {
    static const char *const keys[] = {"CapEff:", "CapPrm:", "CapBnd:", "CapInh:", "CapAmb:"};
    static const char *const spaces[] = {"user", "mnt", "pid", "net", "ipc", "uts", "cgroup"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        printf("%s %llx\n", keys[i], status_of(keys[i]));
    printf("seccomp %d nnp %d uid %u %u gid %u\n", prctl(PR_GET_SECCOMP), prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0),
           getuid(), geteuid(), getgid());
    for (size_t i = 0; i < sizeof spaces / sizeof *spaces; i++) {
        char path[64], target[64];
        snprintf(path, sizeof path, "/proc/self/ns/%s", spaces[i]);
        ssize_t n = readlink(path, target, sizeof target - 1);
        printf("%.*s\n", n > 0 ? (int)n : 0, target);
    }
    printf("unshare %d\n", unshare(CLONE_NEWUSER) == 0);
    printf("vsock %d\n", socket(AF_VSOCK, SOCK_STREAM, 0) >= 0);
    printf("terminal %d\n", can_open("/dev/tty", O_RDWR));
}

static int write_rights(const char *path) {
    if (!freopen(path, "w", stdout))
        return -1;
    chmod(path, 0644);
    print_rights();
    fflush(stdout);
    return 0;
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    if (!strcmp(what, "other"))
        return getuid() != geteuid() || getgid() != getegid();
    if (!strcmp(what, "rights")) {
        print_rights();
        return 0;
    }
    if (argc != 3)
        return 2;
    if (!strcmp(what, "nest")) {
        if (write_rights(argv[2]) < 0)
            return 1;
        nest();
    } else {
        char rights[256], done[256];
        snprintf(rights, sizeof rights, "%s.rights", what);
        snprintf(done, sizeof done, "%s.done", what);
        if (!freopen(what, "w", stdout))
            return 1;
        chmod(what, 0644);
        try_all(argv[2]);
        fflush(stdout);
        try_nested(argv[2]);
        pid_t child = fork();
        if (child == 0)
            _exit(write_rights(rights) < 0);
        waitpid(child, NULL, 0);
        close(open(done, O_CREAT | O_WRONLY, 0644));
        /* For another user of the host. */
        int from = open("/app/probe", O_RDONLY), to = open("/data/suid", O_CREAT | O_WRONLY, 0755);
        static char bytes[1 << 16];
        for (ssize_t n; (n = read(from, bytes, sizeof bytes)) > 0;)
            if (write(to, bytes, (size_t)n) != n)
                break;
        close(to);
        chmod("/data/suid", 06755);
    }
    for (;;)
        pause();
}
