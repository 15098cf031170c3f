/*
 * Namespaces: killing sbuild leaves nothing, interrupting it ends what it runs, and a user with
 * subordinate ids builds what root builds.
 */
#include <errno.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <time.h>

#include "tests/unit/rootfs.h"
#include "tests/unit/test.h"

/* Of the seconds to sleep: tells our processes from others, also from those of this test elsewhere.
 */
static const char *mark(void) {
    static char text[16];
    if (!getenv("SB_TEST_MARK")) {
        snprintf(text, sizeof text, "%d", (int)getpid());
        setenv("SB_TEST_MARK", text, 1);
    }
    return getenv("SB_TEST_MARK");
}

enum { USER = 54321 };

static void nap(void) {
    const struct timespec time = {.tv_nsec = 50000000};
    nanosleep(&time, NULL);
}

/* ---- killing ---- */

/* `userns --victim RUNTIME`: a step that doesn't end by itself, with all that can be in use. */
static int be_victim(char *runtime) {
    struct test_site site;
    struct sb_error err = {0};
    sb_interrupt_install();
    if (sb_userns_enter(&err) < 0 || !test_site_open(&site) || !test_site_mount(&site))
        return 1;
    site.settings.runtime = runtime;
    struct sb_secret secret = {"token", "value", 5};
    site.secrets = (struct sb_secrets){.v = &secret, .n = 1};
    struct sb_step step = {.network_given = true, .network = getppid() % 2};
    sb_strings_add(&step.secrets, "token");
    sb_strings_add(&step.caches, "/var/cache/thing");
    sb_autofree char *script =
        sb_format("sleep 98765.%s & sh -c 'sleep 98765.%s; :'", mark(), mark());
    int result = test_run_step(&site, &step, script);
    bool interrupted = result < 0 && site.err.code == SB_E_INTERRUPTED;
    if (!interrupted)
        printf("victim: %s (%s)\n", site.err.message, site.err.hint);
    test_site_close(&site);
    return interrupted ? 42 : 1;
}

static bool any(const char *command) {
    sb_autobuf struct sb_buf out = {0};
    const char *const argv[] = {"sh", "-c", command, NULL};
    sb_process_capture(argv, NULL, 1u << 20, &out, NULL, NULL);
    return out.len > 0;
}

static bool sleepers(void) {
    sb_autofree char *command =
        sb_format("grep -lE 'sleep.9876[5].%s' /proc/[0-9]*/cmdline 2>/dev/null", mark());
    return any(command);
}

static pid_t start_victim(const char *runtime, struct sb_error *err) {
    const char *const argv[] = {"/proc/self/exe", "--victim", runtime, NULL};
    struct sb_process_options options = {.argv = argv, .in = -1, .out = 1, .err = 2};
    pid_t pid = sb_process_start(&options, err);
    for (int i = 0; i < 200 && pid > 0 && !sleepers(); i++)
        nap();
    CHECK(sleepers());
    return pid;
}

/* Control groups of builds that are not alive: others may be at work beside this test. */
static bool groups(void) {
    return any("for g in $(find /sys/fs/cgroup -name 'sbuild-[0-9]*' 2>/dev/null); do "
               "p=${g##*/sbuild-}; kill -0 ${p%%-*} 2>/dev/null || echo $g; done");
}

static void check_nothing_left(void) {
    for (int i = 0; i < 100 && (sleepers() || groups()); i++)
        nap();
    CHECK(!sleepers());
    CHECK(!any("grep -E 'sbuild/tmp|sbuild-secrets' /proc/mounts"));
    CHECK(!groups());
}

static void test_killing(const char *runtime) {
    struct sb_error err = {0};
    pid_t pid = start_victim(runtime, &err);
    kill(pid, SIGKILL);
    CHECK_INT(sb_process_wait(pid, &err), 128 + SIGKILL);
    check_nothing_left();

    pid = start_victim(runtime, &err);
    kill(pid, SIGTERM);
    CHECK_INT(sb_process_wait(pid, &err), 42);
    CHECK(!sleepers()); /* at once: it waited for them */
    check_nothing_left();
}

/* ---- as a user: the tables of users are those of a mount namespace of ours ---- */

static bool replace_file(const char *directory, const char *name, const char *text) {
    sb_autofree char *source = sb_format("%s/%s", directory, name);
    sb_autofree char *target = sb_format("/etc/%s", name);
    test_write(directory, name, text, 0644);
    if (!sb_path_exists(AT_FDCWD, target))
        return false;
    return mount(source, target, NULL, MS_BIND, NULL) == 0;
}

static bool become_user(const char *directory, bool with_ids) {
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return false;
    const char *ids = with_ids ? "sbtest:600000:65536\n" : "other:600000:65536\n";
    return replace_file(directory, "subuid", ids) && replace_file(directory, "subgid", ids) &&
           replace_file(directory, "passwd",
                        "root:x:0:0::/root:/bin/sh\nsbtest:x:54321:54321::/tmp:/bin/sh\n") &&
           setgroups(0, NULL) == 0 && setresgid(USER, USER, USER) == 0 &&
           setresuid(USER, USER, USER) == 0 && chdir("/") == 0;
}

/* Runs a program as that user (or as we are): its status, and what it wrote. */
static int run_as(const char *directory, bool user, bool with_ids, const char *const *argv,
                  struct sb_buf *out) {
    int pipes[2];
    if (pipe2(pipes, O_CLOEXEC) < 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0) {
        if (user && !become_user(directory, with_ids))
            _exit(99);
        dup2(pipes[1], 1);
        dup2(pipes[1], 2);
        execv(argv[0], (char *const *)argv);
        _exit(98);
    }
    close(pipes[1]);
    sb_fd_read(pipes[0], 1u << 20, out, NULL);
    close(pipes[0]);
    return sb_process_wait(pid, NULL);
}

/* `userns --enter` says how it went. */
static int enter(void) {
    struct sb_error err = {0};
    if (sb_userns_enter(&err) == 0) {
        printf("%d %d %d\n", sb_userns_inside(), (int)getuid(), (int)getgid());
        return sb_userns_enter(&err) < 0;
    }
    printf("%s\n%s\n", err.message, err.hint);
    return 1;
}

static char *copy_program(const char *directory, const char *name) {
    sb_autobuf struct sb_buf program = {0};
    sb_autofree char *target = sb_format("%s/%s", directory, name);
    char self[4096] = {0};
    if (readlink("/proc/self/exe", self, sizeof self - 1) < 0)
        return NULL;
    sb_autofree char *place = sb_path_dirname(self);
    sb_autofree char *source = sb_format("%s/%s", place, name);
    if (sb_file_read(AT_FDCWD, source, 256u << 20, &program, NULL) < 0 ||
        sb_file_write(AT_FDCWD, target, program.data, program.len, 0755, NULL) < 0)
        return NULL;
    return sb_steal(target);
}

static void test_entering(const char *directory) {
    sb_autofree char *self = copy_program(directory, "userns");
    const char *const argv[] = {self, "--enter", NULL};
    sb_autobuf struct sb_buf out = {0};
    CHECK_INT(run_as(directory, true, true, argv, &out), 0);
    CHECK_STR(sb_buf_text(&out), "1 0 0\n");
    sb_buf_reset(&out);
    CHECK_INT(run_as(directory, true, false, argv, &out), 1);
    CHECK(strstr(sb_buf_text(&out), "the user sbtest has no 65535 subordinate user ids"));
    CHECK(strstr(sb_buf_text(&out), "usermod --add-subuids"));
    sb_buf_reset(&out);
    CHECK_INT(run_as(directory, false, false, argv, &out), 0);
}

static void test_rootless(const char *directory) {
    sb_autofree char *container = copy_program(directory, "container");
    sb_autofree char *root = copy_program(directory, "root");
    if (!container || !root) {
        TEST_SKIP("the other tests are not built");
        return;
    }
    const char *const all[] = {container, NULL};
    const char *const roots[] = {root, NULL};
    const char *const layer[] = {container, "--layer", NULL};
    sb_autobuf struct sb_buf out = {0};
    if (!CHECK_INT(run_as(directory, true, true, all, &out), 0))
        printf("%s", sb_buf_text(&out));
    sb_buf_reset(&out);
    if (!CHECK_INT(run_as(directory, true, true, roots, &out), 0))
        printf("%s", sb_buf_text(&out));
    sb_autobuf struct sb_buf by_user = {0};
    sb_autobuf struct sb_buf by_root = {0};
    CHECK_INT(run_as(directory, true, true, layer, &by_user), 0);
    CHECK_INT(run_as(directory, false, false, layer, &by_root), 0);
    CHECK(!strncmp(sb_buf_text(&by_root), "sha256:", 7));
    CHECK_STR(sb_buf_text(&by_user), sb_buf_text(&by_root));
}

int main(int argc, char **argv) {
    TEST_ROOTFS_MAIN(argc, argv)
    mark(); /* the same for those that it starts */
    if (argc > 2 && !strcmp(argv[1], "--victim"))
        return be_victim(argv[2]);
    if (argc > 1 && !strcmp(argv[1], "--enter"))
        return enter();
    sb_autofree char *runc = sb_process_find("runc");
    sb_autofree char *crun = sb_process_find("crun");
    if ((!runc && !crun) || !sb_path_exists(AT_FDCWD, "/bin/busybox")) {
        TEST_SKIP("no OCI runtime, or no busybox");
        return test_done();
    }
    sb_autofree char *directory = test_directory();
    chmod(directory, 0755);
    setenv("SB_TEST_PARENT", directory, 1);
    if (runc)
        test_killing(runc);
    if (crun)
        test_killing(crun);
    unsetenv("SB_TEST_PARENT");
    sb_autofree char *newuidmap = sb_process_find("newuidmap");
    if (geteuid() != 0 || !newuidmap || !sb_path_exists(AT_FDCWD, "/etc/subuid")) {
        TEST_SKIP("only root, with newuidmap, can be another user");
    } else {
        test_entering(directory);
        test_rootless(directory);
    }
    CHECK_INT(sb_tree_remove(AT_FDCWD, directory, NULL), 0);
    return test_done();
}
