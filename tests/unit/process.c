/* base/process and base/lock: real programs, real signals, locks between processes. */
#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/lock.h"
#include "base/memory.h"
#include "tests/unit/test.h"

static int scratch; /* an empty directory */
static const char *scratch_path;

static int shell(const char *script, size_t max, struct sb_buf *out, struct sb_buf *diagnostics,
                 struct sb_error *err) {
    const char *const argv[] = {"sh", "-c", script, NULL};
    return sb_process_capture(argv, scratch_path, max, out, diagnostics, err);
}

/* What it started goes with it. */
static void test_capture_ends(void) {
    struct sb_error err = {0};
    sb_autobuf struct sb_buf out = {0}, said = {0};
    const char *const env[] = {"PATH=/usr/bin:/bin", NULL};
    const char *const argv[] = {"sh", "-c",
                                "sleep 100 & echo $!; while :; do echo; sleep 0.2; done", NULL};
    CHECK_INT(sb_process_capture_env(argv, env, scratch_path, 1000, 1, &out, &said, &err), -1);
    CHECK(strstr(err.message, "no end after 1 seconds"));
    char target[64];
    sb_autofree char *exe = sb_format("/proc/%d/exe", atoi(sb_buf_text(&out)));
    bool runs = true; /* a zombie has none */
    for (int i = 0; i < 100 && runs; i++) {
        usleep(10000);
        runs = readlink(exe, target, sizeof target) >= 0;
    }
    CHECK(!runs);
}

static void test_capture(void) {
    struct sb_error err = {0};
    sb_autobuf struct sb_buf out = {0}, diagnostics = {0};
    CHECK_INT(shell("echo out; echo err >&2; exit 3", 100, &out, &diagnostics, &err), 3);
    CHECK_STR(sb_buf_text(&out), "out\n");
    CHECK_STR(sb_buf_text(&diagnostics), "err\n");
    sb_buf_reset(&out);
    CHECK_INT(shell("pwd; cat; echo lost >&2", 1000, &out, NULL, &err), 0); /* no input: ends */
    CHECK_INT(strncmp(sb_buf_text(&out), scratch_path, strlen(scratch_path)), 0);
    CHECK_INT(shell("kill -TERM $$", 100, &out, NULL, &err), 128 + SIGTERM);
    CHECK_INT(shell("kill -KILL $$", 100, &out, NULL, &err), 128 + SIGKILL);
    sb_buf_reset(&out);
    CHECK(shell("yes", 50000, &out, NULL, &err) < 0); /* killed at the limit, not read for ever */
    CHECK(strstr(err.message, "50000"));
    CHECK(out.len <= 50000);
    sb_buf_reset(&out);
    /* Both pipes full: neither may block the other. */
    CHECK_INT(shell("head -c 200000 /dev/zero >&2; head -c 200000 /dev/zero", 1 << 20, &out,
                    &diagnostics, &err),
              0);
    CHECK_INT(out.len, 200000);
}

static void test_start_errors(void) {
    struct sb_error err = {0};
    const char *const missing[] = {"sb-no-such-program", NULL};
    struct sb_process_options options = {.argv = missing, .in = -1, .out = -1, .err = -1};
    CHECK(sb_process_start(&options, &err) < 0);
    CHECK_INT(err.code, SB_E_NOT_FOUND);
    CHECK(strstr(err.message, "sb-no-such-program"));
    CHECK(sb_file_write(scratch, "garbage", "\0\1\2", 3, 0755, &err) == 0);
    sb_autofree char *path = sb_path_join(scratch_path, "garbage");
    const char *const garbage[] = {path, NULL};
    options.argv = garbage;
    CHECK(sb_process_start(&options, &err) < 0);
    CHECK_INT(err.os_errno, ENOEXEC);
    const char *const fine[] = {"true", NULL};
    options = (struct sb_process_options){
        .argv = fine, .cwd = "/nonexistent", .in = -1, .out = -1, .err = -1};
    CHECK(sb_process_start(&options, &err) < 0);
    CHECK(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD); /* no child is left behind */
}

static void test_find(void) {
    sb_autofree char *sh = sb_process_find("sh");
    CHECK(sh && access(sh, X_OK) == 0);
    sb_autofree char *same = sh ? sb_process_find(sh) : NULL;
    CHECK_STR(same, sh);
    CHECK(sb_process_find("sb-no-such-program") == NULL);
    CHECK(sb_process_find("/etc/passwd") == NULL);
    char made[] = "/var/tmp/sb-process.XXXXXX"; /* where one stands is no place for programs */
    sb_autofree char *path = sb_strdup(getenv("PATH"));
    if (CHECK(mkdtemp(made) && chdir(made) == 0)) {
        CHECK(symlink("/bin/true", "sb-no-such-program") == 0);
        setenv("PATH", ".::/bin", 1);
        CHECK(sb_process_find("sb-no-such-program") == NULL);
        CHECK(unlink("sb-no-such-program") == 0 && chdir("/") == 0 && rmdir(made) == 0);
    }
    setenv("PATH", path, 1);
}

/* What a child finds: no stray descriptors, default signals, the environment it was given. */
static void test_clean_child(void) {
    struct sb_error err = {0};
    sb_autoclose int stray = open("/dev/null", O_RDONLY | O_CLOEXEC);
    signal(SIGUSR1, SIG_IGN);
    sb_autobuf struct sb_buf out = {0};
    static const char *const look =
        "for n in 3 4 5 6 7 8 9; do [ ! -e /proc/$$/fd/$n ] || echo $n; done";
    CHECK_INT(shell(look, 1000, &out, NULL, &err), 0);
    CHECK_STR(sb_buf_text(&out), "");
    sb_buf_reset(&out);
    CHECK_INT(shell("sed -n 's/^SigIgn:[ \\t]*//p' /proc/self/status", 1000, &out, NULL, &err), 0);
    const uint64_t libc_own = 3ull << 31; /* 32 and 33: no program can set them */
    CHECK_INT(strtoull(sb_buf_text(&out), NULL, 16) & ~libc_own, 0);
    signal(SIGUSR1, SIG_DFL);

    int fds[2];
    CHECK(pipe2(fds, O_CLOEXEC) == 0);
    const char *const argv[] = {"env", NULL}, *const env[] = {"ONLY=this", NULL};
    struct sb_process_options options = {
        .argv = argv, .env = env, .in = -1, .out = fds[1], .err = -1};
    pid_t pid = sb_process_start(&options, &err);
    close(fds[1]);
    sb_buf_reset(&out);
    CHECK(sb_fd_read(fds[0], 1000, &out, &err) == 0);
    close(fds[0]);
    CHECK_STR(sb_buf_text(&out), "ONLY=this\n");
    CHECK_INT(sb_process_wait(pid, &err), 0);
}

/* Output and errors swapped: descriptor 1 for 2 and 2 for 1. */
static void test_swapped_descriptors(void) {
    struct sb_error err = {0};
    int fds[2];
    CHECK(pipe2(fds, O_CLOEXEC) == 0);
    fflush(stdout);
    int out = dup(1), errors = dup(2);
    dup2(fds[1], 2);
    const char *const argv[] = {"sh", "-c", "echo to-out; echo to-err >&2", NULL};
    struct sb_process_options options = {.argv = argv, .in = -1, .out = 2, .err = -1};
    pid_t pid = sb_process_start(&options, &err);
    dup2(out, 1);
    dup2(errors, 2);
    close(out);
    close(errors);
    close(fds[1]);
    sb_autobuf struct sb_buf text = {0};
    CHECK(sb_fd_read(fds[0], 1000, &text, &err) == 0);
    close(fds[0]);
    CHECK_STR(sb_buf_text(&text), "to-out\n");
    CHECK_INT(sb_process_wait(pid, &err), 0);
}

static void test_new_group(void) {
    struct sb_error err = {0};
    const char *const argv[] = {"sleep", "1000", NULL};
    struct sb_process_options options = {
        .argv = argv, .in = -1, .out = -1, .err = -1, .new_group = true};
    pid_t pid = sb_process_start(&options, &err);
    if (!CHECK(pid > 0))
        return;
    CHECK_INT(getpgid(pid), pid);
    CHECK(kill(-pid, SIGKILL) == 0);
    CHECK_INT(sb_process_wait(pid, &err), 128 + SIGKILL);
}

/* A child dies with its parent: the parent's end is seen through a pipe that only the child holds.
 */
static void test_dies_with_parent(void) {
    int fds[2];
    CHECK(pipe2(fds, O_CLOEXEC) == 0);
    pid_t parent = fork();
    if (parent == 0) {
        const char *const argv[] = {"sleep", "1000", NULL};
        struct sb_process_options options = {.argv = argv, .in = -1, .out = fds[1], .err = -1};
        _exit(sb_process_start(&options, NULL) > 0 ? 0 : 1);
    }
    close(fds[1]);
    int status = -1;
    CHECK(waitpid(parent, &status, 0) == parent && status == 0);
    struct pollfd ended = {.fd = fds[0], .events = POLLIN};
    CHECK_INT(poll(&ended, 1, 10000), 1);
    CHECK(ended.revents & POLLHUP);
    close(fds[0]);
}

static void test_lock(void) {
    struct sb_error err = {0};
    int fds[2];
    char byte;
    sb_autoclose int held = sb_lock_take(scratch, "lock", SB_LOCK_EXCLUSIVE, &err);
    CHECK(held >= 0);
    CHECK(sb_lock_try(scratch, "lock", SB_LOCK_EXCLUSIVE, &err) < 0);
    CHECK_INT(err.os_errno, EWOULDBLOCK);
    CHECK(sb_lock_try(scratch, "lock", SB_LOCK_SHARED, &err) < 0);
    sb_autoclose int other = sb_lock_try(scratch, "other", SB_LOCK_EXCLUSIVE, &err);
    CHECK(other >= 0);
    CHECK(sb_lock_take(scratch, "nowhere/lock", SB_LOCK_SHARED, &err) < 0);
    CHECK_INT(symlinkat("made", scratch, "link"), 0);
    CHECK(sb_lock_take(scratch, "link", SB_LOCK_SHARED, &err) < 0);
    CHECK(faccessat(scratch, "made", F_OK, 0) < 0);
    struct stat st; /* nobody else can open it to hold the lock */
    CHECK(fstat(held, &st) == 0 && (st.st_mode & 07777) == 0600);
    sb_autoclose int old = openat(scratch, "old", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    sb_autoclose int mended = sb_lock_take(scratch, "old", SB_LOCK_EXCLUSIVE, &err);
    CHECK(mended >= 0 && fstat(old, &st) == 0 && (st.st_mode & 07777) == 0600);

    CHECK(pipe2(fds, O_CLOEXEC) == 0);
    pid_t child = fork();
    if (child == 0) { /* waits for the lock, says that it has it, and dies without letting go */
        sb_close_descriptor(&held);
        int mine = sb_lock_take(scratch, "lock", SB_LOCK_EXCLUSIVE, NULL);
        ssize_t n = write(fds[1], mine >= 0 ? "y" : "n", 1);
        _exit(n == 1 ? 0 : 1);
    }
    close(fds[1]);
    struct pollfd ready = {.fd = fds[0], .events = POLLIN};
    CHECK_INT(poll(&ready, 1, 50), 0); /* still waiting */
    close(sb_steal_fd(&held));
    CHECK_INT(read(fds[0], &byte, 1), 1);
    CHECK_INT(byte, 'y');
    close(fds[0]);
    CHECK_INT(sb_process_wait(child, &err), 0);
    sb_autoclose int first = sb_lock_try(scratch, "lock", SB_LOCK_SHARED, &err);
    sb_autoclose int second = sb_lock_try(scratch, "lock", SB_LOCK_SHARED, &err);
    CHECK(first >= 0 && second >= 0);
}

/* In a child of its own, since an interruption stays. */
static int interrupted_child(void) {
    struct sb_error err = {0};
    sb_interrupt_install();
    struct pollfd before = {.fd = sb_interrupt_fd(), .events = POLLIN};
    if (sb_interrupt_check(&err) < 0 || poll(&before, 1, 0) != 0)
        return 1;
    sb_autoclose int held = sb_lock_take(scratch, "lock", SB_LOCK_EXCLUSIVE, &err);
    pid_t self = getpid();
    if (fork() == 0) { /* interrupts its parent again and again, whenever that comes to wait */
        for (int i = 0; i < 1000 && getppid() == self; i++) {
            kill(self, SIGTERM);
            usleep(10000);
        }
        _exit(0);
    }
    if (held < 0 || sb_lock_take(scratch, "lock", SB_LOCK_EXCLUSIVE, &err) >= 0)
        return 2;
    if (err.code != SB_E_INTERRUPTED || sb_interrupt_signal() != SIGTERM)
        return 3;
    struct pollfd after = {.fd = sb_interrupt_fd(), .events = POLLIN};
    if (poll(&after, 1, 0) != 1 || sb_interrupt_check(&err) == 0)
        return 4;
    return err.code == SB_E_INTERRUPTED ? 0 : 5;
}

static void test_interrupt(void) {
    CHECK_INT(sb_interrupt_signal(), 0);
    CHECK_INT(sb_interrupt_fd(), -1);
    pid_t child = fork();
    if (child == 0)
        _exit(interrupted_child());
    CHECK_INT(sb_process_wait(child, NULL), 0);
}

/* 0: the key of the session before can't be found in the one that was joined. */
static int keyring_child(void) {
    if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0)
        return 77;
    long key = syscall(SYS_add_key, "user", "sbuild-test", "x", 1, KEY_SPEC_SESSION_KEYRING);
    if (key < 0 || syscall(SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_SESSION_KEYRING, "user",
                           "sbuild-test", 0) != key)
        return 77;
    if (!sb_process_leave_keyring())
        return 1;
    return syscall(SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_SESSION_KEYRING, "user", "sbuild-test", 0) <
                   0
               ? 0
               : 2;
}

static void test_keyring(void) {
    pid_t child = fork();
    if (child == 0)
        _exit(keyring_child());
    int status = sb_process_wait(child, NULL);
    if (status == 77)
        printf("process: no keyrings here, leaving one not tried\n");
    else
        CHECK_INT(status, 0);
}

int main(void) {
    char directory[] = "/var/tmp/sb-process.XXXXXX";
    if (!mkdtemp(directory) || (scratch = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
        return 1;
    scratch_path = directory;
    test_capture();
    test_capture_ends();
    test_start_errors();
    test_find();
    test_clean_child();
    test_swapped_descriptors();
    test_new_group();
    test_dies_with_parent();
    test_lock();
    test_interrupt();
    test_keyring();
    struct sb_error err = {0};
    CHECK(sb_tree_remove(AT_FDCWD, directory, &err) == 0);
    return test_done();
}
