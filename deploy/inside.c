#include "deploy/inside.h"

#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"

#define STATUS_LIMIT  (1u << 16)
#define ENVIRON_LIMIT (4u << 20)
#define GROUPS_MOST   256
#define CGROUPS       "/sys/fs/cgroup"
#define CGROUPS_MOST  16

/* What a process is, read before the fork. All from one directory of /proc: should the process end
 * and its number be another's, nothing is read any more. Should that have happened before, it is
 * not the unit's: then it may be any process of this machine, root's too. */
struct place {
    int mounts, root, cwd;
    int control[CGROUPS_MOST]; /* one, or one in each hierarchy of an older host */
    size_t control_count;
    uid_t uid;
    gid_t gid, groups[GROUPS_MOST];
    size_t group_count;
    uint64_t capabilities; /* that it may ever get */
    bool no_new_privileges;
    struct sb_strings env;
};

static void free_place(struct place *p) {
    sb_close_descriptor(&p->mounts);
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
    const char *privileges = line_of(sb_buf_text(&text), "\nNoNewPrivs:");
    if (!uid || !gid || !groups || !bounding || !privileges ||
        sscanf(uid, "%*u %u", &out->uid) != 1 || sscanf(gid, "%*u %u", &out->gid) != 1 ||
        sscanf(bounding, "%" SCNx64, &out->capabilities) != 1)
        return false;
    out->no_new_privileges = strtoul(privileges, NULL, 10) == 1;
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

static bool read_environment(int dir, struct sb_strings *out) {
    sb_autobuf struct sb_buf text = {0};
    if (sb_file_read(dir, "environ", ENVIRON_LIMIT, &text, NULL) < 0)
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

static bool open_cgroups(int dir, const char *unit, struct place *out) {
    sb_autobuf struct sb_buf text = {0};
    if (sb_file_read(dir, "cgroup", STATUS_LIMIT, &text, NULL) < 0 ||
        !sb_inside_is_of(sb_buf_text(&text), unit))
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

static bool find_place(pid_t pid, const char *unit, struct place *out) {
    *out = (struct place){.mounts = -1, .root = -1, .cwd = -1};
    sb_autofree char *proc = sb_format("/proc/%d", (int)pid);
    sb_autoclose int dir = open(proc, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (pid <= 0 || dir < 0)
        return false;
    out->mounts = openat(dir, "ns/mnt", O_RDONLY | O_CLOEXEC);
    out->root = openat(dir, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
    out->cwd = openat(dir, "cwd", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return out->mounts >= 0 && out->root >= 0 && out->cwd >= 0 && open_cgroups(dir, unit, out) &&
           read_status(dir, out) && read_environment(dir, &out->env);
}

/* ---- going there ---- */

/* In the child: async-signal-safe calls only, and system calls themselves where glibc would tell
 * other threads, which this process has none of. */
static bool become(const struct place *p) {
    static const char self[] = "0";
    for (size_t i = 0; i < p->control_count; i++)
        if (write(p->control[i], self, 1) != 1)
            return false;
    if (setns(p->mounts, CLONE_NEWNS) < 0 || fchdir(p->root) < 0 || chroot(".") < 0 ||
        fchdir(p->cwd) < 0)
        return false;
    for (unsigned long c = 0; prctl(PR_CAPBSET_READ, c) >= 0; c++)
        if (!(c < 64 && p->capabilities >> c & 1) && prctl(PR_CAPBSET_DROP, c) < 0)
            return false;
    if (syscall(SYS_setgroups, p->group_count, p->groups) < 0 ||
        syscall(SYS_setresgid, p->gid, p->gid, p->gid) < 0 ||
        syscall(SYS_setresuid, p->uid, p->uid, p->uid) < 0)
        return false;
    return !p->no_new_privileges || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
}

static _Noreturn void run_child(const struct place *p, const char *command, int null,
                                pid_t parent) {
    char *const argv[] = {(char *)"/bin/sh", (char *)"-c", (char *)(uintptr_t)command, NULL};
    setpgid(0, 0);
    for (int i = 0; i < 3; i++)
        dup2(null, i);
    close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
    for (int s = 1; s < NSIG; s++)
        signal(s, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (!become(p))
        _exit(126);
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* another user would have lost it */
    if (getppid() == parent)
        execve(argv[0], argv, p->env.v);
    _exit(127);
}

pid_t sb_inside_start(pid_t service, const char *unit, const char *command, struct sb_error *err) {
    struct place place;
    sb_autoclose int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0)
        return sb_fail_errno(err, SB_E_IO, "opening /dev/null");
    if (!find_place(service, unit, &place)) {
        free_place(&place);
        return sb_fail(err, SB_E_UNHEALTHY, "it has no process to ask");
    }
    pid_t parent = getpid(), pid = fork();
    if (pid == 0)
        run_child(&place, command, null, parent);
    free_place(&place);
    return pid < 0 ? sb_fail_errno(err, SB_E_FAILED, "starting a health command") : pid;
}
