/*
 * Trees of any depth (base/tree): a process has few descriptors, a path few bytes.
 */
#include "base/tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/process.h"
#include "tests/unit/test.h"

static int scratch;

/* Directories in one another, each with a file beside the next. */
static void make_deep(const char *name, int depth) {
    CHECK_INT(mkdirat(scratch, name, 0755), 0);
    int at = openat(scratch, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < depth && at >= 0; i++) {
        int file = openat(at, "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        close(file);
        mkdirat(at, "directory", 0755);
        int next = openat(at, "directory", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        close(at);
        at = next;
    }
    CHECK(at >= 0);
    close(at);
}

struct seen {
    size_t files, directories, left, deepest, longest, stop_at;
};

static int enter(void *self, const struct sb_tree_entry *e, struct sb_error *err) {
    struct seen *seen = self;
    struct stat st;
    if (seen->stop_at && e->depth == seen->stop_at)
        return sb_fail(err, SB_E_FAILED, "enough");
    if (fstatat(e->dir, e->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return sb_fail_errno(err, SB_E_IO, "%s", e->name);
    if (e->type == DT_DIR)
        seen->directories++;
    else
        seen->files++;
    seen->deepest = e->depth > seen->deepest ? e->depth : seen->deepest;
    seen->longest = strlen(e->path) > seen->longest ? strlen(e->path) : seen->longest;
    return !strcmp(e->name, "skipped");
}

static int leave(void *self, const struct sb_tree_entry *e, struct sb_error *err) {
    struct seen *seen = self;
    struct stat st;
    if (fstatat(e->dir, e->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return sb_fail_errno(err, SB_E_IO, "%s", e->name);
    seen->left++;
    return 0;
}

static void test_deep(void) {
    enum { DEPTH = 20000 };
    struct sb_error err = {0};
    struct seen seen = {0};
    make_deep("deep", DEPTH);
    CHECK_INT(sb_tree_walk(scratch, "deep", enter, leave, &seen, &err), 0);
    CHECK_STR(err.message, "");
    CHECK_INT(seen.files, DEPTH);
    CHECK_INT(seen.directories, DEPTH);
    CHECK_INT(seen.left, DEPTH);
    CHECK_INT(seen.deepest, DEPTH);
    CHECK_INT(seen.longest, DEPTH * 10 - 1 - 5 + 5);
    seen = (struct seen){.stop_at = 1000};
    CHECK_INT(sb_tree_walk(scratch, "deep", enter, leave, &seen, &err), -1);
    CHECK_STR(err.message, "enough");
    CHECK_INT(sb_tree_remove(scratch, "deep", &err), 0);
    CHECK(!sb_path_exists(scratch, "deep"));
}

/* Wide and deep at once: levels whose descriptors were closed are read on. */
static void test_bushy(void) {
    struct sb_error err = {0};
    struct seen seen = {0};
    make_deep("bushy", 300);
    int at = openat(scratch, "bushy", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < 300; i++) {
        char name[16];
        for (int k = 0; k < 5; k++) {
            snprintf(name, sizeof name, "sub%d", k);
            mkdirat(at, name, 0755);
            (void)!symlinkat("/", at, k ? "link" : "skip");
        }
        mkdirat(at, "skipped", 0755);
        int skipped = openat(at, "skipped", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        mkdirat(skipped, "below", 0755);
        close(skipped);
        int next = openat(at, "directory", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        close(at);
        at = next;
    }
    close(at);
    CHECK_INT(sb_tree_walk(scratch, "bushy", enter, leave, &seen, &err), 0);
    CHECK_STR(err.message, "");
    CHECK_INT(seen.directories, 300 * 7);
    CHECK_INT(seen.files, 300 * 3);
    CHECK_INT(seen.left, 300 * 6);
    CHECK_INT(sb_tree_remove(scratch, "bushy", &err), 0);
    CHECK(!sb_path_exists(scratch, "bushy"));
}

static void test_small(void) {
    struct sb_error err = {0};
    struct seen seen = {0};
    CHECK_INT(mkdirat(scratch, "empty", 0755), 0);
    CHECK_INT(sb_tree_walk(scratch, "empty", enter, leave, &seen, &err), 0);
    CHECK_INT(seen.files + seen.directories + seen.left, 0);
    CHECK_INT(sb_tree_walk(scratch, "missing", enter, leave, &seen, &err), -1);
    CHECK(strstr(err.message, "missing"));
    CHECK_INT(symlinkat("empty", scratch, "link"), 0);
    CHECK_INT(sb_tree_walk(scratch, "link", enter, NULL, &seen, &err), -1);
    CHECK_INT(sb_tree_remove(scratch, "link", &err), 0);
    CHECK(sb_path_exists(scratch, "empty"));
    CHECK_INT(sb_tree_remove(scratch, "empty", &err), 0);
    CHECK(!sb_path_exists(scratch, "empty"));
    CHECK_INT(sb_tree_remove(scratch, "empty", &err), 0);
}

/* Last: it can't be taken back. What an interruption finds to clean up is cleaned up. */
static void test_interrupted(void) {
    struct sb_error err = {0};
    struct seen seen = {0};
    make_deep("left", 100);
    sb_interrupt_install();
    raise(SIGTERM);
    CHECK_INT(sb_tree_walk(scratch, "left", enter, leave, &seen, &err), -1);
    CHECK_INT(err.code, SB_E_INTERRUPTED);
    err = (struct sb_error){0};
    CHECK_INT(sb_tree_remove(scratch, "left", &err), 0);
    CHECK(!sb_path_exists(scratch, "left"));
}

int main(void) {
    char directory[] = "/tmp/sbuild-tree.XXXXXX";
    struct rlimit few = {128, 128};
    if (!CHECK(mkdtemp(directory) != NULL))
        return test_done();
    scratch = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &few), 0);
    test_deep();
    test_bushy();
    test_small();
    test_interrupted();
    CHECK_INT(rmdir(directory), 0);
    return test_done();
}
