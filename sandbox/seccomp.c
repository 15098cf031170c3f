#include "sandbox/seccomp.h"

#include <errno.h>
#include <stddef.h>

/* One string a group, names apart by blanks. A name that a processor or a runtime doesn't know is
 * skipped by the runtime. */
static const char *const allowed[] = {
    /* files by descriptor */
    "read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 lseek _llseek close "
    "close_range dup dup2 dup3 fcntl fcntl64 flock fsync fdatasync sync syncfs sync_file_range "
    "sync_file_range2 arm_sync_file_range ftruncate ftruncate64 fallocate fadvise64 fadvise64_64 "
    "arm_fadvise64_64 readahead sendfile sendfile64 splice tee vmsplice copy_file_range ioctl pipe "
    "pipe2 memfd_create",
    /* files by name */
    "open openat openat2 creat access faccessat faccessat2 stat stat64 lstat lstat64 fstat fstat64 "
    "newfstatat fstatat64 statx oldstat oldfstat oldlstat statfs statfs64 fstatfs fstatfs64 ustat "
    "getdents getdents64 readdir readlink readlinkat getcwd chdir fchdir mkdir mkdirat rmdir link "
    "linkat symlink symlinkat unlink unlinkat rename renameat renameat2 truncate truncate64 mknod "
    "mknodat chmod fchmod fchmodat fchmodat2 chown chown32 fchown fchown32 lchown lchown32 "
    "fchownat umask utime utimes utimensat utimensat_time64 futimesat name_to_handle_at chroot",
    /* extended attributes, watching */
    "getxattr lgetxattr fgetxattr getxattrat setxattr lsetxattr fsetxattr setxattrat listxattr "
    "llistxattr flistxattr listxattrat removexattr lremovexattr fremovexattr removexattrat "
    "inotify_init inotify_init1 inotify_add_watch inotify_rm_watch fanotify_mark",
    /* memory */
    "mmap mmap2 munmap mprotect mremap msync mincore madvise process_madvise mlock mlock2 mlockall "
    "munlock munlockall brk remap_file_pages pkey_alloc pkey_free pkey_mprotect membarrier mseal "
    "map_shadow_stack memfd_secret cachestat set_mempolicy_home_node process_mrelease",
    /* processes and threads */
    "fork vfork execve execveat exit exit_group wait4 waitid waitpid getpid getppid gettid getpgid "
    "getpgrp setpgid getsid setsid set_tid_address set_robust_list get_robust_list rseq futex "
    "futex_time64 futex_waitv futex_wake futex_wait futex_requeue arch_prctl prctl set_thread_area "
    "get_thread_area modify_ldt cacheflush set_tls breakpoint sched_yield sched_getaffinity "
    "sched_setaffinity sched_getparam sched_setparam sched_getscheduler sched_setscheduler "
    "sched_getattr sched_setattr sched_get_priority_max sched_get_priority_min "
    "sched_rr_get_interval sched_rr_get_interval_time64 getpriority setpriority nice ioprio_get "
    "ioprio_set pidfd_open pidfd_send_signal pidfd_getfd kcmp ptrace process_vm_readv "
    "process_vm_writev restart_syscall riscv_flush_icache riscv_hwprobe",
    /* signals */
    "kill tkill tgkill pause alarm sigaction sigprocmask sigpending sigsuspend sigreturn "
    "sigaltstack signal signalfd signalfd4 rt_sigaction rt_sigprocmask rt_sigpending "
    "rt_sigqueueinfo rt_tgsigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait "
    "rt_sigtimedwait_time64",
    /* time */
    "time stime gettimeofday clock_gettime clock_gettime64 clock_getres clock_getres_time64 "
    "clock_nanosleep clock_nanosleep_time64 nanosleep times adjtimex clock_adjtime "
    "clock_adjtime64 getitimer setitimer timer_create timer_delete timer_getoverrun timer_gettime "
    "timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime "
    "timerfd_gettime64 timerfd_settime timerfd_settime64 timerfd",
    /* waiting for several things */
    "select _newselect pselect6 pselect6_time64 poll ppoll ppoll_time64 epoll_create epoll_create1 "
    "epoll_ctl epoll_ctl_old epoll_wait epoll_wait_old epoll_pwait epoll_pwait2 eventfd eventfd2 "
    "io_setup io_destroy io_submit io_cancel io_getevents io_pgetevents io_pgetevents_time64",
    /* sockets */
    "socketpair bind listen accept accept4 connect shutdown getsockname getpeername getsockopt "
    "setsockopt send sendto sendmsg sendmmsg recv recvfrom recvmsg recvmmsg recvmmsg_time64 "
    "socketcall",
    /* System V and POSIX queues, semaphores, shared memory */
    "ipc msgctl msgget msgrcv msgsnd semctl semget semop semtimedop semtimedop_time64 shmat shmctl "
    "shmdt shmget mq_open mq_unlink mq_notify mq_getsetattr mq_timedreceive "
    "mq_timedreceive_time64 mq_timedsend mq_timedsend_time64",
    /* who and how much */
    "getuid getuid32 geteuid geteuid32 getgid getgid32 getegid getegid32 getresuid getresuid32 "
    "getresgid getresgid32 getgroups getgroups32 setuid setuid32 setgid setgid32 setreuid "
    "setreuid32 setregid setregid32 setresuid setresuid32 setresgid setresgid32 setfsuid "
    "setfsuid32 setfsgid setfsgid32 setgroups setgroups32 capget capset getrlimit setrlimit "
    "ugetrlimit prlimit64 getrusage uname sysinfo getcpu getrandom seccomp landlock_create_ruleset "
    "landlock_add_rule landlock_restrict_self lsm_get_self_attr lsm_list_modules",
};

static const char forbidden[] =
    "mount umount umount2 pivot_root mount_setattr move_mount open_tree fsopen fsmount fsconfig "
    "fspick statmount listmount unshare setns sethostname setdomainname bpf perf_event_open "
    "userfaultfd init_module finit_module delete_module create_module kexec_load kexec_file_load "
    "reboot swapon swapoff acct quotactl quotactl_fd settimeofday clock_settime clock_settime64 "
    "add_key request_key keyctl open_by_handle_at lookup_dcookie fanotify_init iopl ioperm syslog "
    "vhangup nfsservctl move_pages mbind set_mempolicy get_mempolicy migrate_pages";

static json_t *names(const char *const *groups, size_t count) {
    json_t *out = json_array();
    for (size_t i = 0; i < count; i++)
        for (const char *at = groups[i]; *at;) {
            size_t len = 0;
            while (at[len] && at[len] != ' ')
                len++;
            json_array_append_new(out, json_stringn(at, len));
            at += len + (at[len] == ' ');
        }
    return out;
}

static json_t *rule(const char *const *groups, size_t count, const char *action) {
    json_t *out = json_object();
    json_object_set_new(out, "names", names(groups, count));
    json_object_set_new(out, "action", json_string(action));
    return out;
}

static json_t *allow_when(const char *name, json_t *argument) {
    json_t *out = rule(&name, 1, "SCMP_ACT_ALLOW");
    json_t *args = json_array();
    json_array_append_new(args, argument);
    json_object_set_new(out, "args", args);
    return out;
}

static json_t *argument(int index, json_int_t value, const char *op) {
    return json_pack("{s:i, s:I, s:s}", "index", index, "value", value, "op", op);
}

/* clone without namespaces: CLONE_NEW* are the bits of the mask. clone3 can't be looked into, and C
 * libraries do without it. */
static json_t *allow_clone(void) {
#ifdef __s390x__
    const int flags = 1;
#else
    const int flags = 0;
#endif
    json_t *masked = argument(flags, 0x7e020000, "SCMP_CMP_MASKED_EQ");
    json_object_set_new(masked, "valueTwo", json_integer(0));
    return allow_when("clone", masked);
}

static json_t *architectures(void) {
    json_t *out = json_array();
#if defined __x86_64__
    json_array_append_new(out, json_string("SCMP_ARCH_X86_64"));
    json_array_append_new(out, json_string("SCMP_ARCH_X86"));
    json_array_append_new(out, json_string("SCMP_ARCH_X32"));
#elif defined __aarch64__
    json_array_append_new(out, json_string("SCMP_ARCH_AARCH64"));
    json_array_append_new(out, json_string("SCMP_ARCH_ARM"));
#elif defined __s390x__
    json_array_append_new(out, json_string("SCMP_ARCH_S390X"));
    json_array_append_new(out, json_string("SCMP_ARCH_S390"));
#endif
    return out; /* empty: the processor's own */
}

json_t *sb_seccomp_profile(void) {
    /* personality: Linux, 32-bit, and without randomised addresses; the last asks which it is */
    static const json_int_t personalities[] = {0x0, 0x8, 0x20000, 0x20008, 0x40000, 0xffffffff};
    enum { FAMILY_VSOCK = 40 }; /* reaches the hypervisor */
    const char *const refused[] = {forbidden};
    json_t *rules = json_array();
    json_array_append_new(rules,
                          rule(allowed, sizeof allowed / sizeof allowed[0], "SCMP_ACT_ALLOW"));
    json_array_append_new(rules, allow_clone());
    json_array_append_new(rules, allow_when("socket", argument(0, FAMILY_VSOCK, "SCMP_CMP_NE")));
    for (size_t i = 0; i < sizeof personalities / sizeof personalities[0]; i++)
        json_array_append_new(
            rules, allow_when("personality", argument(0, personalities[i], "SCMP_CMP_EQ")));
    json_t *refuse = rule(refused, 1, "SCMP_ACT_ERRNO");
    json_object_set_new(refuse, "errnoRet", json_integer(EPERM));
    json_array_append_new(rules, refuse);

    json_t *out = json_object();
    json_object_set_new(out, "defaultAction", json_string("SCMP_ACT_ERRNO"));
    json_object_set_new(out, "defaultErrnoRet", json_integer(ENOSYS));
    json_object_set_new(out, "architectures", architectures());
    json_object_set_new(out, "syscalls", rules);
    return out;
}
