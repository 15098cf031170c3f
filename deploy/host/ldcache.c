#include "deploy/host/ldcache.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/process.h"

#define CACHE_LIMIT (32u << 20)
#define SECONDS     20
#define PROCESSOR   5 /* seconds of it */
#define MEMORY      (1u << 30)

struct work {
    const char *at, *options, *run, *config, *config_file, *cache_file;
    int program, out;
    uint32_t id;
    pid_t parent;
};

/* ---- in the children: async-signal-safe calls only ---- */

static void limit(int which, rlim_t most) {
    const struct rlimit value = {most, most};
    setrlimit(which, &value);
}

static _Noreturn void run_ldconfig(const struct work *w) {
    static char name[] = "ldconfig", no_links[] = "-X", cache[] = "-C", file[] = "/run/c/cache";
    static char config[] = "-f", from[] = "/run/conf";
    char *const argv[] = {name, no_links, config, from, cache, file, NULL};
    char *const env[] = {NULL};
    const struct itimerval end = {.it_value = {.tv_sec = SECONDS}};
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    limit(RLIMIT_AS, MEMORY);
    limit(RLIMIT_CPU, PROCESSOR);
    limit(RLIMIT_FSIZE, CACHE_LIMIT);
    limit(RLIMIT_CORE, 0);
    signal(SIGALRM, SIG_DFL);
    if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0 ||
        setitimer(ITIMER_REAL, &end, NULL) < 0 || chroot(w->at) < 0 || chdir("/") < 0 ||
        !sb_process_leave_keyring() || setgroups(0, NULL) < 0 ||
        setresgid(w->id, w->id, w->id) < 0 || setresuid(w->id, w->id, w->id) < 0 ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) /* which another user does away with */
        _exit(1);
    fexecve(w->program, argv, env);
    _exit(1);
}

static int write_config(const struct work *w) {
    size_t n = strlen(w->config);
    int fd = open(w->config_file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    bool well = fd >= 0 && write(fd, w->config, n) == (ssize_t)n && fchmod(fd, 0644) == 0;
    if (fd >= 0)
        close(fd);
    return well ? 0 : -1;
}

/* A file system for the result, of which /run/c is the program's own. */
static int mount_root(const struct work *w, const char *own) {
    struct stat st;
    return unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC) < 0 ||
                   mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
                   mount("overlay", w->at, "overlay", MS_RDONLY | MS_NODEV | MS_NOSUID,
                         w->options) < 0 ||
                   lstat(w->run, &st) < 0 || !S_ISDIR(st.st_mode) ||
                   mount("tmpfs", w->run, "tmpfs", MS_NODEV | MS_NOSUID | MS_NOEXEC,
                         "size=64m,mode=0755") < 0 ||
                   write_config(w) < 0 || mkdir(own, 0700) < 0 || chown(own, w->id, w->id) < 0
               ? -1
               : 0;
}

static void copy_out(const struct work *w) {
    static char piece[65536];
    int fd = open(w->cache_file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    for (ssize_t n; fd >= 0 && (n = read(fd, piece, sizeof piece)) > 0;)
        for (ssize_t done = 0; done < n;) {
            ssize_t one = write(w->out, piece + done, (size_t)(n - done));
            if (one < 0 && errno != EINTR)
                _exit(1);
            done += one > 0 ? one : 0;
        }
}

static _Noreturn void mount_and_run(const struct work *w, const char *own) {
    int status = 1;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != w->parent || mount_root(w, own) < 0)
        _exit(1);
    pid_t child = fork();
    if (child == 0)
        run_ldconfig(w);
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    if (child > 0 && status == 0)
        copy_out(w);
    _exit(child > 0 && status == 0 ? 0 : 1);
}

/* ---- here ---- */

/* Ubuntu's own name is that of a script. */
static int open_program(struct sb_error *err) {
    static const char *const paths[] = {"/sbin/ldconfig.real", "/usr/sbin/ldconfig",
                                        "/sbin/ldconfig", "/usr/bin/ldconfig"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        int fd = open(paths[i], O_RDONLY | O_CLOEXEC);
        char magic[4];
        if (fd >= 0 && pread(fd, magic, 4, 0) == 4 && !memcmp(magic, "\177ELF", 4))
            return fd;
        sb_close_descriptor(&fd);
    }
    return sb_fail(err, SB_E_NOT_FOUND, "this host has no ldconfig");
}

static int take(pid_t child, int in, struct sb_buf *out, struct sb_error *err) {
    int status = 1;
    size_t before = out->len;
    int rc = sb_fd_read(in, CACHE_LIMIT, out, err);
    if (rc < 0)
        kill(child, SIGKILL);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    if (rc < 0)
        return -1;
    if (status == 0 && out->len > before)
        return 0;
    return sb_fail(err, SB_E_FAILED, "ldconfig failed in the service's root");
}

int sb_ldcache_make(const char *const *lower, size_t count, const char *at, const char *config,
                    uint32_t id, struct sb_buf *out, struct sb_error *err) {
    sb_autobuf struct sb_buf options = {0};
    sb_autofree char *run = sb_path_join(at, "run"), *own = sb_path_join(run, "c");
    sb_autofree char *cache = sb_path_join(own, "cache"), *file = sb_path_join(run, "conf");
    int pipes[2];
    sb_autoclose int program = open_program(err);
    if (program < 0)
        return -1;
    for (size_t i = 0; i < count; i++)
        sb_buf_addf(&options, "%s%s", i ? ":" : "metacopy=on,lowerdir=", lower[i]);
    if (pipe2(pipes, O_CLOEXEC) < 0)
        return sb_fail_errno(err, SB_E_FAILED, "making a pipe");
    const struct work work = {.at = at,
                              .options = sb_buf_text(&options),
                              .run = run,
                              .config = config,
                              .config_file = file,
                              .cache_file = cache,
                              .program = program,
                              .out = pipes[1],
                              .id = id ? id : 65534,
                              .parent = getpid()};
    pid_t child = fork();
    if (child == 0)
        mount_and_run(&work, own);
    close(pipes[1]);
    int rc = child < 0 ? sb_fail_errno(err, SB_E_FAILED, "starting a process")
                       : take(child, pipes[0], out, err);
    close(pipes[0]);
    return rc;
}
