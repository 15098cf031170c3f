/* deploy/host/inside: a command beside a process of another user, with less than root has. */
#include "deploy/host/inside.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/process.h"
#include "tests/unit/test.h"

static struct sb_error err;
static const struct sb_confine all = {.capabilities = ~UINT64_C(0)}; /* of a unit with no bounds */

/* A process to be beside: as a service is, but for its mounts. */
static pid_t start(const char *const *argv) {
    static const char *const env[] = {"OF_THE_SERVICE=yes", "PATH=/usr/bin:/bin", "LD_BIND_NOW=1",
                                      NULL};
    const struct sb_process_options options = {
        .argv = argv, .env = env, .cwd = "/usr", .in = -1, .out = -1, .err = -1};
    pid_t pid = sb_process_start(&options, &err);
    usleep(200000); /* until it is who it will be */
    return pid;
}

/* The last part of the control group that these processes are in, as if it was a unit's. */
static const char *own_unit(void) {
    static char line[4096];
    FILE *file = fopen("/proc/self/cgroup", "re");
    if (file && fgets(line, sizeof line, file))
        line[strcspn(line, "\n")] = '\0';
    if (file)
        fclose(file);
    const char *slash = strrchr(line, '/');
    return slash ? slash + 1 : "";
}

static int run(pid_t beside, const char *command) {
    pid_t pid = sb_inside_start(beside, own_unit(), &all, command, &err);
    int status;
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void end(pid_t pid) {
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static void test_user(void) {
    static const char *const argv[] = {
        "setpriv",        "--reuid=1234", "--regid=1235", "--groups=7,77",
        "--no-new-privs", "sleep",        "1000",         NULL};
    pid_t pid = start(argv);
    CHECK_INT(run(pid, "test \"$(id -u) $(id -g)\" = '1234 1235'"), 0);
    CHECK_INT(run(pid, "test \"$(id -G | tr ' ' '\\n' | sort -n | xargs)\" = '7 77 1235'"), 0);
    CHECK_INT(run(pid, "test \"$OF_THE_SERVICE:$HOME:$PWD\" = yes::/usr"), 0);
    CHECK_INT(run(pid, "grep -q 'NoNewPrivs:.1' /proc/self/status"), 0);
    CHECK_INT(run(pid, "! test -r /etc/shadow"), 0);
    CHECK_INT(run(pid, "exit 9"), 9);
    CHECK_INT(sb_inside_start(pid, "another.service", &all, "true", &err), -1);
    CHECK_INT(err.code, SB_E_UNHEALTHY);
    end(pid);
    CHECK_INT(sb_inside_start(pid, own_unit(), &all, "true", &err), -1);
    CHECK_INT(err.code, SB_E_UNHEALTHY);
    CHECK_INT(sb_inside_start(0, own_unit(), &all, "true", &err), -1);
}

static void test_units(void) {
    static const struct {
        const char *cgroups, *unit;
        bool is;
    } cases[] = {
        {"0::/system.slice/app.service\n", "app.service", true},
        {"0::/system.slice/app.service/worker\n", "app.service", true},
        {"0::/system.slice/_memory.service\n", "memory.service", true},
        {"4:memory:/\n1:name=systemd:/system.slice/app.service\n", "app.service", true},
        {"0::/system.slice/my-app.service\n", "app.service", false},
        {"0::/system.slice/app.service.d\n", "app.service", false},
        {"0::/user.slice/session-1.scope\n", "app.service", false},
        {"0::/\n", "app.service", false},
        {"app.service", "app.service", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        CHECK_INT(sb_inside_is_of(cases[i].cgroups, cases[i].unit), cases[i].is);
}

/* A user may call units of their own as those of the host. */
static void test_groups(void) {
    static const char group[] = "/system.slice/app.service";
    static const char users[] =
        "0::/user.slice/user-1000.slice/user@1000.service/system.slice/app.service\n";
    CHECK(sb_inside_is_below("0::/system.slice/app.service\n", group));
    CHECK(sb_inside_is_below("4:memory:/\n0::/system.slice/app.service/worker\n", group));
    CHECK(!sb_inside_is_below("0::/system.slice/app.service2\n", group));
    CHECK(sb_inside_is_of(users, "app.service"));
    CHECK(!sb_inside_is_below(users, group));
}

/* Root with less: the command has no more. */
static void test_capabilities(void) {
    static const char *const argv[] = {"setpriv", "--bounding-set=-all,+chown", "sleep", "1000",
                                       NULL};
    pid_t pid = start(argv);
    CHECK_INT(run(pid, "test \"$(id -u)\" = 0"), 0);
    CHECK_INT(run(pid, "grep -qx 'CapEff:.0000000000000001' /proc/self/status"), 0);
    CHECK_INT(run(pid, "grep -qx 'CapBnd:.0000000000000001' /proc/self/status"), 0);
    CHECK_INT(run(pid, "grep -q 'NoNewPrivs:.1' /proc/self/status"), 0);
    end(pid);
}

int main(void) {
    test_units();
    test_groups();
    if (geteuid() != 0) {
        TEST_SKIP("needs root");
        return test_done();
    }
#ifdef __SANITIZE_THREAD__ /* it keeps a thread, also in a child, and threads share their mounts   \
                            */
    TEST_SKIP("a mount namespace can't be entered under ThreadSanitizer");
    return test_done();
#endif
    test_user();
    test_capabilities();
    return test_done();
}
