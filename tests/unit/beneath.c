/* base/beneath, base/file, base/stream: where names may lead, and what is read as a file. */
#include "base/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/process.h"
#include "base/stream.h"
#include "tests/unit/test.h"

static int dir;

static int opened(int fd) {
    int error = fd < 0 ? errno : 0;
    if (fd >= 0)
        close(fd);
    return error;
}

static void test_links(void) {
    CHECK(mkdirat(dir, "in", 0755) == 0 && mkdirat(dir, "in/sub", 0755) == 0);
    CHECK(sb_file_write(dir, "in/sub/file", "x", 1, 0644, NULL) == 0);
    CHECK(sb_file_write(dir, "out", "secret", 6, 0600, NULL) == 0);
    CHECK(symlinkat("sub/file", dir, "in/inner") == 0 && symlinkat("../out", dir, "in/outer") == 0);
    CHECK(symlinkat("/etc/passwd", dir, "in/absolute") == 0);
    CHECK(symlinkat("/proc/self/cwd", dir, "in/magic") == 0);
    sb_autoclose int in = openat(dir, "in", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK_INT(opened(sb_open_beneath(in, "", O_RDONLY, 0)), 0);
    CHECK_INT(opened(sb_open_beneath(in, "inner", O_RDONLY, 0)), 0);
    CHECK_INT(opened(sb_open_beneath(in, "inner", O_RDONLY, SB_BENEATH_NO_LINKS)), ELOOP);
    static const char *const leading_out[] = {"outer",         "absolute",    "..",   "../out",
                                              "sub/../../out", "/etc/passwd", "magic"};
    for (size_t i = 0; i < sizeof leading_out / sizeof *leading_out; i++) {
        struct sb_error err = {0};
        CHECK_INT(opened(sb_open_beneath(in, leading_out[i], O_RDONLY, 0)), EXDEV);
        CHECK_INT(sb_beneath_open(in, leading_out[i], 0, NULL, &err), -1);
        CHECK(strstr(err.message, "leads elsewhere"));
    }
    CHECK_INT(opened(sb_open_in_root(in, "/sub/../../../in/..//sub/file", O_RDONLY)), ENOENT);
    CHECK_INT(opened(sb_open_in_root(in, "/../sub/file", O_RDONLY)), 0);
    CHECK_INT(opened(sb_open_in_root(in, "absolute", O_RDONLY)), ENOENT);
}

/* Each is said at once, by all who read files. */
static void test_kinds(void) {
    struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "socket"};
    sb_autoclose int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(mkfifoat(dir, "fifo", 0644) == 0 && fchdir(dir) == 0);
    CHECK(bind(listener, (struct sockaddr *)&name, sizeof name) == 0);
    CHECK(symlinkat("fifo", dir, "link") == 0);
    static const char *const names[][2] = {{"fifo", "is a FIFO"},
                                           {"link", "is a FIFO"},
                                           {"socket", "is a socket"},
                                           {"in", "is a directory"},
                                           {"/dev/zero", "is a device"}};
    alarm(20); /* whoever waits is ended */
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct sb_error err = {0};
        sb_autobuf struct sb_buf text = {0};
        CHECK_INT(sb_file_read(dir, names[i][0], 100, &text, &err), -1);
        CHECK(strstr(err.message, names[i][1]));
        CHECK_INT(sb_file_open(dir, names[i][0], NULL, &err), -1);
        if (names[i][0][0] == '/')
            continue;
        CHECK_INT(sb_beneath_read(dir, names[i][0], 0, 100, &text, &err), -1);
        CHECK(strstr(err.message, names[i][1]));
    }
    alarm(0);
    sb_autobuf struct sb_buf text = {0};
    CHECK_INT(sb_file_read(dir, "/dev/null", 100, &text, NULL), 0);
    CHECK_INT(text.len, 0);
    CHECK_INT(sb_file_read(dir, "/proc/self/status", 1 << 16, &text, NULL), 0);
    CHECK(text.len > 100);
}

static void test_sizes(void) {
    struct sb_error err = {0};
    sb_autobuf struct sb_buf text = {0};
    CHECK_INT(sb_beneath_read(dir, "in/inner", 0, 1, &text, &err), 0);
    CHECK_STR(sb_buf_text(&text), "x");
    CHECK_INT(sb_beneath_read(dir, "out", 0, 5, &text, &err), -1);
    CHECK(strstr(err.message, "6 bytes, and at most 5 are allowed"));
    CHECK_INT(sb_beneath_read(dir, "nowhere", 0, 5, &text, &err), -1);
    CHECK_INT(err.code, SB_E_NOT_FOUND);
}

/* A writer that comes late, and none that comes. */
static void test_stream(void) {
    sb_autobuf struct sb_buf text = {0};
    pid_t writer = fork();
    if (writer == 0) {
        usleep(50000);
        int fd = open("fifo", O_WRONLY);
        _exit(write(fd, "late", 4) == 4 ? 0 : 1);
    }
    CHECK_INT(sb_stream_read("fifo", 100, &text, NULL), 0);
    CHECK_STR(sb_buf_text(&text), "late");
    waitpid(writer, NULL, 0);
    CHECK_INT(sb_stream_read("out", 3, &text, NULL), -1);
    CHECK_INT(sb_stream_read("in", 3, &text, NULL), -1);
    sb_interrupt_install();
    pid_t killer = fork();
    if (killer == 0) {
        usleep(50000);
        _exit(kill(getppid(), SIGTERM));
    }
    struct sb_error err = {0};
    CHECK_INT(sb_stream_read("fifo", 100, &text, &err), -1);
    CHECK_INT(err.code, SB_E_INTERRUPTED);
    waitpid(killer, NULL, 0);
}

int main(void) {
    char directory[] = "/var/tmp/sb-beneath.XXXXXX";
    if (!mkdtemp(directory) || (dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
        return 1;
    test_links();
    test_kinds();
    test_sizes();
    test_stream();
    struct sb_error err = {0};
    CHECK(chdir("/") == 0 && sb_tree_remove(AT_FDCWD, directory, &err) == 0);
    return test_done();
}
