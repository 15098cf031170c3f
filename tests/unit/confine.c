/* deploy/host/confine: what systemd says of a unit, as bounds for another process. */
#include "deploy/host/confine.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/seccomp.h>

#include "tests/unit/test.h"

static struct sb_error err;

#define LIST                                                                                       \
    "SystemCallFilter=brk chmod clock_gettime close clone exit exit_group fstat getpid mkdirat "   \
    "mmap munmap newfstatat openat personality prctl read rt_sigaction rt_sigprocmask "            \
    "rt_sigreturn "                                                                                \
    "sched_setscheduler set_robust_list rseq socket unshare wait4 write madvise "                  \
    "nothing_of_that_name\n"

/* What a call gives under these bounds: 0, or its errno; -1: it was killed. */
static int attempt(const char *text, int (*call)(void)) {
    struct sb_confine confine;
    if (!CHECK(sb_confine_parse(text, &confine, &err) == 0)) {
        printf("    %s\n", err.message);
        return -1;
    }
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        for (size_t i = 0; i < confine.filter_count; i++)
            if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &confine.filters[i]) < 0)
                _exit(255);
        errno = 0;
        syscall(SYS_exit_group, call() < 0 ? errno : 0); /* sanitizers do more in _exit */
    }
    int status = 0;
    waitpid(child, &status, 0);
    sb_confine_free(&confine);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int call_getpid(void) {
    return syscall(SYS_getpid) > 0 ? 0 : -1;
}
static int call_sync(void) {
    return (int)syscall(SYS_getppid) >= 0 ? 0 : -1;
}
static int call_unshare(void) {
    return unshare(CLONE_NEWUTS | CLONE_NEWUSER);
}
static int call_files(void) {
    return unshare(CLONE_FILES);
}
static int call_clone3(void) {
    return (int)syscall(SYS_clone3, NULL, 0);
}
static int call_packet(void) {
    return socket(AF_PACKET, SOCK_RAW, 0);
}
static int call_odd_family(void) {
    return socket(1000, SOCK_STREAM, 0);
}
static int call_unix(void) {
    return socket(AF_UNIX, SOCK_STREAM, 0);
}
static int call_setuid_file(void) {
    return (int)syscall(SYS_fchmodat, -1, "/nowhere", 04755);
}
static int call_file(void) {
    return (int)syscall(SYS_fchmodat, -1, "/nowhere", 0755);
}
static int call_fifo(void) {
    const struct sched_param priority = {.sched_priority = 1};
    return (int)syscall(SYS_sched_setscheduler, -1, SCHED_FIFO, &priority);
}
static int call_batch(void) {
    const struct sched_param priority = {0};
    return (int)syscall(SYS_sched_setscheduler, 0, SCHED_BATCH, &priority);
}
static int call_persona(void) {
    return (int)syscall(SYS_personality, 0x0040000);
}
static int call_ask_persona(void) {
    return (int)syscall(SYS_personality, 0xffffffff);
}

static void test_filters(void) {
    static const struct {
        const char *text;
        int (*call)(void);
        int gives;
    } cases[] = {
        {LIST, call_getpid, 0},
        {LIST, call_sync, EPERM},
        {LIST "SystemCallErrorNumber=38\n", call_sync, ENOSYS},
        {"", call_sync, 0},
        {"SystemCallFilter=\n", call_sync, 0},
        {"SystemCallFilter=~getppid:EPERM acct\n", call_sync, EPERM},
        {"SystemCallFilter=~acct\n", call_sync, 0},
        {"RestrictNamespaces=yes\n", call_unshare, EPERM},
        {"RestrictNamespaces=yes\n", call_clone3, ENOSYS},
        {"RestrictNamespaces=yes\n", call_files, 0},
        {"RestrictNamespaces=cgroup ipc net mnt pid user\n", call_unshare, EPERM},
        {"RestrictNamespaces=~user\n", call_unshare, EPERM},
        {"RestrictNamespaces=no\n", call_clone3, EINVAL},
        {"RestrictAddressFamilies=AF_INET AF_UNIX\n", call_packet, EAFNOSUPPORT},
        {"RestrictAddressFamilies=AF_INET AF_UNIX\n", call_odd_family, EAFNOSUPPORT},
        {"RestrictAddressFamilies=AF_INET AF_UNIX\n", call_unix, 0},
        {"RestrictAddressFamilies=AF_OF_LATER AF_INET\n", call_unix, EAFNOSUPPORT},
        {"RestrictAddressFamilies=~AF_UNIX\n", call_unix, EAFNOSUPPORT},
        {"RestrictSUIDSGID=yes\n", call_setuid_file, EPERM},
        {"RestrictSUIDSGID=yes\n", call_file, ENOENT},
        {"RestrictSUIDSGID=no\n", call_setuid_file, ENOENT},
        {"RestrictRealtime=yes\n", call_fifo, EPERM},
        {"RestrictRealtime=yes\n", call_batch, 0},
        {"RestrictRealtime=no\n", call_fifo, EINVAL},
        {"LockPersonality=yes\n", call_persona, EPERM},
        {"LockPersonality=no\n", call_ask_persona, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (!CHECK_INT(attempt(cases[i].text, cases[i].call), cases[i].gives))
            printf("    case %zu: %s\n", i, cases[i].text);
}

static void test_values(void) {
    struct sb_confine confine;
    CHECK(sb_confine_parse("User=1879048200\nCapabilityBoundingSet=cap_chown cap_net_bind_service\n"
                           "PrivateUsers=yes\nControlGroup=/system.slice/x.service\n",
                           &confine, &err) == 0);
    CHECK_INT(confine.uid, 1879048200);
    CHECK(confine.capabilities == (1u | 1u << 10));
    CHECK(confine.private_users);
    CHECK_STR(confine.cgroup, "/system.slice/x.service");
    sb_confine_free(&confine);
    CHECK(sb_confine_parse("User=\nCapabilityBoundingSet=\nPrivateUsers=no\n", &confine, &err) ==
          0);
    CHECK(confine.capabilities == 0 && !confine.private_users && confine.uid == 0);
    sb_confine_free(&confine);
}

int main(void) {
    test_values();
    test_filters();
    return test_done();
}
