#include "steps/script.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/process.h"
#include "tests/unit/test.h"

static char scratch[] = "/tmp/sb-test-script-XXXXXX";

static void check_lines(void) {
    CHECK_INT(sb_script_lines(""), 0);
    CHECK_INT(sb_script_lines("\n  \n# only\n\t# words"), 0);
    CHECK_INT(sb_script_lines("# what\n\nmake\n"), 1);
    CHECK_INT(sb_script_lines("make && make install"), 1);
    CHECK_INT(sb_script_lines("make\nmake install"), 2);
}

static void check_command(const char *script, size_t line, const char *text, size_t first) {
    size_t begins = 0;
    sb_autofree char *command = sb_script_command(script, line, &begins);
    CHECK_STR(command, text);
    CHECK_INT(begins, first);
}

static void check_commands(void) {
    check_command("a\nb\nc\n", 2, "b", 2);
    check_command("a\n  b  \n# c\n\n", 4, "b", 2);
    check_command("a\nb \\\n  --c \\\n  d\n", 4, "b --c d", 2);
    check_command("a\nb &&\n  c\n", 3, "b && c", 2);
    check_command("a | b |\nc", 2, "a | b | c", 1);
    check_command("x\nfor i in 1; do\n  if a; then\n    b\n  else\n    c\n  fi\ndone\n", 8,
                  "for i in 1; do\nif a; then\nb\nelse\nc\nfi\ndone", 2);
    check_command("x\nif a\nthen\n  b; fi\nif c; then d; fi\nif e; then\n f\nfi", 8,
                  "if e; then\nf\nfi", 6);
    check_command("x\nls | while read a; do\n b\ndone | sort", 4,
                  "ls | while read a; do\nb\ndone | sort", 2);
    check_command("(\n a\n)\n", 3, "(\na\n)", 1);
    check_command("cat >x <<'EOF'\na\nEOF\n", 3, "cat >x <<'EOF'\na\nEOF", 1);
    check_command("cat <<EOFX\nEOF\n", 2, "EOF", 2);
    check_command("fi\n", 1, "fi", 1);
    check_command("", 1, "", 1);
    check_command("# x", 1, "", 1);
    check_command("a", 100, "a", 1);
}

static bool is_read(const char *first, const char *second, const char *third) {
    sb_autostrings struct sb_strings words = {0};
    sb_strings_add(&words, first);
    if (second)
        sb_strings_add(&words, second);
    if (third)
        sb_strings_add(&words, third);
    return sb_script_is_read_by(&words);
}

static void check_shells(void) {
    CHECK(is_read("sh", NULL, NULL));
    CHECK(is_read("sh", "-eu", NULL));
    CHECK(is_read("/bin/bash", "-euo", "pipefail"));
    CHECK(is_read("busybox", "ash", "-e"));
    CHECK(is_read("bash", "--norc", "-e"));
    CHECK(!is_read("bash", "-e", "script"));
    CHECK(!is_read("bash", "-ec", NULL));
    CHECK(!is_read("sh", "-s", NULL));
    CHECK(!is_read("sh", "--", NULL));
    CHECK(!is_read("sh", "-", NULL));
    CHECK(!is_read("busybox", "sed", NULL));
    CHECK(!is_read("busybox", NULL, NULL));
    CHECK(!is_read("python3", NULL, NULL));
    CHECK(!is_read("env", "sh", NULL));
}

/* What each shell of this machine has read when it ends. */
static void check_feed(const char *shell, const char *script, int status, size_t line) {
    struct sb_script_feed *feed;
    sb_autofree char *name = sb_format("%s/fifo", scratch);
    unlink(name);
    if (!CHECK(sb_script_feed_start(AT_FDCWD, name, script, &feed) == 0))
        return;
    const char *const plain[] = {shell, "-eu", name, NULL};
    const char *const box[] = {shell, "sh", "-eu", name, NULL};
    const struct sb_process_options options = {
        .argv = strcmp(shell, "busybox") ? plain : box, .in = -1, .out = -1, .err = -1};
    struct sb_error err = {0};
    pid_t pid = sb_process_start(&options, &err);
    int found = pid < 0 ? -1 : sb_process_wait(pid, &err);
    CHECK_INT(found, status);
    CHECK_INT(sb_script_feed_stop(feed), line);
    unlink(name);
}

static void check_feeds(void) {
    static const char *const shells[] = {"dash", "bash", "busybox"};
    sb_autofree char *filler = sb_alloc(20000);
    memset(filler, 'x', 19999);
    sb_autofree char *wide = sb_format("true\n: %s\nfalse\ntrue\n", filler);
    sb_autofree char *wide_fails = sb_format("true\nfalse %s\ntrue\n", filler);
    for (size_t i = 0; i < sizeof shells / sizeof *shells; i++) {
        sb_autofree char *found = sb_process_find(shells[i]);
        if (!found)
            continue;
        check_feed(shells[i], "true\nfalse\ntrue\ntrue\n", 1, 2);
        check_feed(shells[i], "false\ntrue\n", 1, 1);
        check_feed(shells[i], "true\nfalse", 1, 2);
        check_feed(shells[i], "true\ntrue\n", 0, 2);
        check_feed(shells[i], "exit 3\ntrue\n", 3, 1);
        check_feed(shells[i], "f() {\n false\n}\ntrue\nf\ntrue\n", 1, 5);
        check_feed(shells[i], "true\nfor i in 1 2; do\n false\ndone\ntrue\ntrue\n", 1, 4);
        check_feed(shells[i], "cat >/dev/null <<X\n a\nX\nfalse\ntrue\n", 1, 4);
        check_feed(shells[i], "x=$(\nfalse\n)\ntrue\ntrue\n", 1, 3);
        check_feed(shells[i], "sleep 0.05 &\nwait\n(exit 4)\ntrue\ntrue\n", 4, 3);
        check_feed(shells[i], wide, 1, 3);
        check_feed(shells[i], wide_fails, 1, 2);
    }
    struct sb_script_feed *feed; /* nobody reads */
    sb_autofree char *name = sb_format("%s/fifo", scratch);
    CHECK(sb_script_feed_start(AT_FDCWD, name, "a\nb\n", &feed) == 0);
    CHECK_INT(sb_script_feed_stop(feed), 0);
    CHECK(sb_script_feed_start(AT_FDCWD, name, "a\nb\n", &feed) < 0); /* it is there */
}

int main(void) {
    if (!CHECK(mkdtemp(scratch) != NULL))
        return test_done();
    check_lines();
    check_commands();
    check_shells();
    check_feeds();
    rmdir(scratch);
    return test_done();
}
