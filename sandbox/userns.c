#include "sandbox/userns.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/process.h"
#include "base/thread.h"
#include "base/userdb.h"

/* At least so many, and more where the user has them: images have owners beyond, too. */
enum { SUBORDINATE_IDS = 65535, ANSWER_LIMIT = 4096 };
static const unsigned long most_ids = 4294967294ul; /* all but root and (uid_t)-1 */

struct range {
    unsigned long start, count;
};

bool sb_userns_inside(void) {
    sb_autobuf struct sb_buf map = {0};
    unsigned long inside, outside, count;
    if (sb_file_read(AT_FDCWD, "/proc/self/uid_map", 4096, &map, NULL) < 0 || !map.data)
        return false;
    return sscanf(map.data, "%lu %lu %lu", &inside, &outside, &count) != 3 || inside != 0 ||
           outside != 0 || count < 4294967295ul;
}

/* The largest range of /etc/subuid or /etc/subgid for a user (subuid(5): "name or uid:start:n"). */
static struct range find_range(const char *path, const char *user, uid_t uid) {
    struct range best = {0};
    sb_autobuf struct sb_buf text = {0};
    if (sb_file_read(AT_FDCWD, path, 1u << 20, &text, NULL) < 0 || !text.data)
        return best;
    sb_autofree char *number = sb_format("%u", uid);
    char *rest = text.data;
    for (char *line; (line = strsep(&rest, "\n"));) {
        char *name = strsep(&line, ":");
        struct range range;
        if (!line || (strcmp(name, user) != 0 && strcmp(name, number) != 0) ||
            sscanf(line, "%lu:%lu", &range.start, &range.count) != 2)
            continue;
        if (range.count > best.count)
            best = range;
    }
    return best;
}

static int find_ids(struct range *uids, struct range *gids, struct sb_error *err) {
    sb_autofree char *number = sb_format("%u", geteuid()), *name = NULL;
    sb_userdb_find(SB_USERDB_USERS, number, &name, NULL, NULL);
    const char *user = name ? name : number; /* /etc/subuid may have either */
    static const char *const programs[] = {"newuidmap", "newgidmap"};
    for (int i = 0; i < 2; i++) {
        sb_autofree char *program = sb_process_find(programs[i]);
        if (program)
            continue;
        sb_fail(err, SB_E_NOT_FOUND, "building as %s needs %s, which is not installed", user,
                programs[i]);
        return sb_error_hint(err, "apt install uidmap, or run sbuild as root");
    }
    *uids = find_range("/etc/subuid", user, geteuid());
    *gids = find_range("/etc/subgid", user, geteuid());
    if (uids->count >= SUBORDINATE_IDS && gids->count >= SUBORDINATE_IDS)
        return 0;
    sb_fail(err, SB_E_FAILED, "the user %s has no %d subordinate %s ids in %s", user,
            SUBORDINATE_IDS, uids->count < SUBORDINATE_IDS ? "user" : "group",
            uids->count < SUBORDINATE_IDS ? "/etc/subuid" : "/etc/subgid");
    return sb_error_hint(
        err,
        "as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 %s (a range that "
        "no other user has); or run sbuild as root",
        user);
}

/* ---- the helper: outside of the new namespace, where newuidmap may write its maps ---- */

static int map_ids(const char *program, pid_t pid, unsigned own, const struct range *range,
                   struct sb_error *err) {
    sb_autostrings struct sb_strings argv = {0};
    sb_strings_add(&argv, program);
    sb_strings_addf(&argv, "%d", (int)pid);
    sb_strings_add(&argv, "0");
    sb_strings_addf(&argv, "%u", own);
    sb_strings_add(&argv, "1");
    sb_strings_add(&argv, "1");
    sb_strings_addf(&argv, "%lu", range->start);
    sb_strings_addf(&argv, "%lu", range->count < most_ids ? range->count : most_ids);
    sb_autobuf struct sb_buf out = {0};
    sb_autobuf struct sb_buf diagnostics = {0};
    int status = sb_process_capture((const char *const *)argv.v, NULL, ANSWER_LIMIT, &out,
                                    &diagnostics, err);
    if (status <= 0)
        return status;
    const char *text = sb_buf_text(&diagnostics);
    return sb_fail(err, SB_E_FAILED, "%s failed: %.*s", program, (int)strcspn(text, "\n"), text);
}

/* Answers with nothing when all went well, else with a message. */
static _Noreturn void help(pid_t pid, unsigned uid, unsigned gid, const struct range *uids,
                           const struct range *gids, int go, int answer) {
    struct sb_error err = {0};
    char byte;
    if (read(go, &byte, 1) == 1 && (map_ids("newuidmap", pid, uid, uids, &err) < 0 ||
                                    map_ids("newgidmap", pid, gid, gids, &err) < 0)) {
        ssize_t ignored = write(answer, err.message, strlen(err.message));
        (void)ignored;
    }
    _exit(0);
}

/* ---- entering ---- */

static long kernel_setting(const char *path) {
    sb_autobuf struct sb_buf text = {0};
    if (sb_file_read(AT_FDCWD, path, 64, &text, NULL) < 0)
        return -1;
    return strtol(sb_buf_text(&text), NULL, 10);
}

static int say_why_not(struct sb_error *err) {
    sb_fail_errno(err, SB_E_FAILED, "this kernel doesn't let this user make a user namespace");
    if (kernel_setting("/proc/sys/kernel/unprivileged_userns_clone") == 0)
        return sb_error_hint(err, "as root: sysctl kernel.unprivileged_userns_clone=1");
    if (kernel_setting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == 1)
        return sb_error_hint(err, "as root: sysctl kernel.apparmor_restrict_unprivileged_userns=0, "
                                  "or give sbuild an AppArmor profile that allows userns");
    if (kernel_setting("/proc/sys/user/max_user_namespaces") == 0)
        return sb_error_hint(err, "as root: sysctl user.max_user_namespaces=10000");
    return sb_error_hint(err, "in a container, its seccomp profile may forbid it; or run sbuild as "
                              "root");
}

/* The kernel tells of unmounts here those namespaces that are copied from this one while steps
 * run, and host's unmounts come here; nothing goes to the host. */
static int make_private(struct sb_error *err) {
    if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) == 0 &&
        mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL) == 0)
        return 0;
    int failed = sb_fail_errno(err, SB_E_FAILED, "making a private mount namespace");
    if (kernel_setting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == 1)
        sb_error_hint(err, "as root: sysctl kernel.apparmor_restrict_unprivileged_userns=0, or "
                           "give sbuild an AppArmor profile that allows userns");
    return failed;
}

static int enter_as_root(struct sb_error *err) {
    if (unshare(CLONE_NEWNS) == 0)
        return make_private(err);
    sb_fail_errno(err, SB_E_FAILED, "making a mount namespace");
    return sb_error_hint(err, "sbuild runs as root, but without CAP_SYS_ADMIN: in a container, add "
                              "--privileged (or --cap-add SYS_ADMIN, NET_ADMIN, MKNOD, NET_RAW and "
                              "AUDIT_WRITE, and a seccomp profile that allows mount); or run it as "
                              "a user");
}

static int become_root_inside(struct sb_error *err) {
    if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
        return sb_fail_errno(err, SB_E_FAILED, "becoming root in a user namespace");
    setgroups(0, NULL); /* where that is not allowed, they are ids that nothing in a root has */
    prctl(PR_SET_DUMPABLE, 1);
    return make_private(err);
}

static int ask_helper(int go, int answer, pid_t helper, struct sb_error *err) {
    struct sb_buf text = {0};
    ssize_t ignored = write(go, "", 1);
    (void)ignored;
    int failed = sb_fd_read(answer, ANSWER_LIMIT, &text, err);
    waitpid(helper, NULL, 0);
    if (!failed && text.len) {
        sb_fail(err, SB_E_FAILED, "%s", text.data);
        failed = sb_error_hint(err, "see /etc/subuid and /etc/subgid, and that newuidmap and "
                                    "newgidmap are setuid root; in a container without "
                                    "CAP_SYS_ADMIN they need file capabilities instead: setcap "
                                    "cap_setuid+ep newuidmap, cap_setgid+ep newgidmap");
    }
    sb_buf_free(&text);
    return failed;
}

static int enter_as_user(struct sb_error *err) {
    sb_thread_settle();
    sb_assert_one_thread();
    struct range uids = {0}, gids = {0};
    int go[2], answer[2];
    if (find_ids(&uids, &gids, err) < 0)
        return -1;
    if (pipe2(go, O_CLOEXEC) < 0)
        return sb_fail_errno(err, SB_E_FAILED, "making a pipe");
    sb_autoclose int go_read = go[0];
    sb_autoclose int go_write = go[1];
    if (pipe2(answer, O_CLOEXEC) < 0)
        return sb_fail_errno(err, SB_E_FAILED, "making a pipe");
    sb_autoclose int answer_read = answer[0];
    sb_autoclose int answer_write = answer[1];
    pid_t self = getpid(), helper = fork();
    if (helper == 0) {
        close(go_write);
        help(self, geteuid(), getegid(), &uids, &gids, go_read, answer_write);
    }
    close(sb_steal_fd(&answer_write));
    if (helper < 0)
        return sb_fail_errno(err, SB_E_FAILED, "starting a process");
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0) {
        int failed = say_why_not(err);
        close(sb_steal_fd(&go_write));
        waitpid(helper, NULL, 0);
        return failed;
    }
    return ask_helper(go_write, answer_read, helper, err) < 0 ? -1 : become_root_inside(err);
}

/* A root takes a descriptor a layer while it is mounted, and several are at once. */
static void allow_many_files(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max < 65536 ? limit.rlim_max : 65536;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int sb_userns_enter(struct sb_error *err) {
    static bool entered;
    if (entered)
        return 0;
    if ((geteuid() == 0 ? enter_as_root(err) : enter_as_user(err)) < 0)
        return -1;
    allow_many_files();
    entered = true;
    return 0;
}
