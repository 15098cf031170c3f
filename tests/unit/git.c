/* builder/git: real checkouts of every kind, and when its memory may answer instead of git. */
#include "builder/git.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/process.h"
#include "builder/git_index.h"
#include "tests/unit/test.h"

static char *directory; /* the checkouts are below it; the working directory is one of them */
static int memo_fd;

/* Runs a script, and fails the test when it fails. */
static bool sh(const char *script) {
    const char *const argv[] = {"sh", "-euc", script, NULL};
    struct sb_error err = {0};
    sb_autobuf struct sb_buf out = {0}, diagnostics = {0};
    int status = sb_process_capture(argv, NULL, 1 << 20, &out, &diagnostics, &err);
    if (!CHECK_INT(status, 0))
        printf("    %s\n%s%s%s\n", script, err.message, sb_buf_text(&out),
               sb_buf_text(&diagnostics));
    return status == 0;
}

/* A new empty directory, which becomes the working directory. */
static void enter(const char *name) {
    sb_autofree char *path = sb_path_join(directory, name);
    CHECK(mkdir(path, 0755) == 0 && chdir(path) == 0);
}

static void enter_checkout(const char *name) {
    enter(name);
    sh("git init -q -b main .; mkdir -p src/deep; echo a >a; echo b >src/b; echo c >src/deep/c;"
       "git add .; git commit -qm one");
}

/* The wrapper of git in PATH writes a line for each call. */
static int asked(void) {
    sb_autofree char *log = sb_path_join(directory, "asked");
    struct sb_buf text = {0};
    sb_file_read(AT_FDCWD, log, 1 << 20, &text, NULL);
    unlink(log);
    int n = 0;
    for (const char *p = sb_buf_text(&text); *p; p++)
        n += *p == '\n';
    sb_buf_free(&text);
    return n;
}

static struct sb_git describe(void) {
    struct sb_git git;
    struct sb_error err = {0};
    if (!CHECK(sb_git_describe(".", memo_fd, "memo", &git, &err) == 0))
        printf("    %s\n", err.message);
    return git;
}

/* Long enough for the last change to be certain, and then once to have it remembered. */
static void settle(void) {
    usleep(70000);
    describe();
    asked();
}

static void test_kinds(void) {
    enter("kinds");
    struct sb_git git = describe();
    CHECK(!git.found && !git.dirty && !git.commit[0] && !git.branch[0]);
    CHECK(mkdir(".git", 0755) == 0); /* an empty one is none */
    CHECK(!describe().found);
    sh("git init -q -b main .");
    CHECK(!describe().found);
    sh("echo a >a; git add a");
    CHECK(!describe().found);
    CHECK_INT(asked(), 2); /* by the scripts alone */
    sh("git commit -qm one");
    git = describe();
    CHECK(git.found && !git.dirty && !git.shallow);
    CHECK_STR(git.branch, "main");
    CHECK_STR(git.tag, "");
    CHECK_INT(strlen(git.commit), 40);
    CHECK_INT(strlen(git.abbreviated), 7);
    CHECK(!strncmp(git.commit, git.abbreviated, 7));
    sh("git config core.abbrev 12");
    CHECK_INT(strlen(describe().abbreviated), 12);
    sh("git checkout -q --detach");
    git = describe();
    CHECK(git.found && !git.branch[0]);
    sh("git checkout -q -b 'feature/größe#1'; git pack-refs --all --prune");
    CHECK_STR(describe().branch, "feature/größe#1");
    sh("git symbolic-ref refs/heads/alias refs/heads/main; git symbolic-ref HEAD refs/heads/alias");
    git = describe();
    CHECK(git.found && !strcmp(git.branch, "main"));
}

static void test_tags(void) {
    enter_checkout("tags");
    sh("git tag other; git tag v1; git tag v1.2; git tag x1.2.3");
    CHECK_STR(describe().tag, "");
    sh("git tag v0.1.0");
    CHECK_STR(describe().tag, "v0.1.0");
    sh("echo more >a; git commit -qam two; echo more >>a; git commit -qam three");
    struct sb_git git = describe();
    CHECK_STR(git.tag, "v0.1.0");
    CHECK_INT(git.distance, 2);
    sh("git tag -a -m annotated v0.2.0-rc.1");
    git = describe();
    CHECK_STR(git.tag, "v0.2.0-rc.1");
    CHECK_INT(git.distance, 0);
    sh("git pack-refs --all");
    CHECK_STR(describe().tag, "v0.2.0-rc.1");
    sh("git tag -d v0.2.0-rc.1 v0.1.0");
    CHECK_STR(describe().tag, "");
    sh("git tag v1.0.0-5-gabc123f; echo x >>a");
    git = describe();
    CHECK_STR(git.tag, "v1.0.0-5-gabc123f");
    CHECK(git.dirty);
}

static void test_dirty(void) {
    enter_checkout("dirty");
    CHECK(!describe().dirty);
    sh("echo untracked >new");
    CHECK(!describe().dirty);
    static const char *const changes[] = {
        "echo x >>src/b",
        "echo X >a", /* of the same size */
        "rm src/deep/c",
        "chmod +x a",
        "rm a; ln -s src a",
        "echo x >>a; git add a",
        "git rm -q --cached a",
        "git add -N new",
        "mv src moved; ln -s moved src",
    };
    for (size_t k = 0; k < 2 * sizeof changes / sizeof *changes; k++) {
        size_t i = k / 2;
        if (k % 2)
            settle(); /* now with the clean answer remembered, now without */
        sh(changes[i]);
        if (!CHECK(describe().dirty))
            printf("    %s\n", changes[i]);
        settle();
        if (!CHECK(describe().dirty))
            printf("    %s\n", changes[i]);
        sh("[ ! -e moved ] || { rm src; mv moved src; }; git reset -q --hard; echo untracked >new");
        CHECK(!describe().dirty);
    }
}

/* git runs once for each of its two answers, and again only when something changed. */
static void test_memory(void) {
    enter_checkout("memory");
    settle();
    for (int i = 0; i < 3; i++)
        CHECK(!describe().dirty);
    CHECK_INT(asked(), 0);
    sh("touch untracked src/deep/untracked");
    CHECK(!describe().dirty);
    CHECK_INT(asked(), 0);
    CHECK(chdir("src/deep") == 0 && describe().found && chdir("../..") == 0);
    CHECK_INT(asked(), 0);
    static const char *const changes[] = {
        "touch a",
        "echo x >>src/b",
        "rm a",
        "git checkout -q -f",
        "git tag v1.0.0",
        "git tag -f v1.0.0 HEAD",
        "git branch -m trunk",
        "git commit -q --allow-empty -m more",
        "git pack-refs --all",
        "git config core.fileMode false",
        "chmod +x a",
        "echo 'a text' >.git/info/attributes",
        "git checkout -q --detach",
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        sh(changes[i]);
        asked();
        describe();
        if (!CHECK(asked() > 0))
            printf("    %s\n", changes[i]);
        settle();
        struct sb_git git = describe(), fresh;
        if (!CHECK_INT(asked(), 0))
            printf("    %s\n", changes[i]);
        CHECK(sb_git_describe(".", memo_fd, "nowhere/memo", &fresh, NULL) == 0);
        CHECK_INT(asked(), 2);
        CHECK(!memcmp(&git, &fresh, sizeof git));
    }
    CHECK_STR(describe().tag, "v1.0.0");
    CHECK(sb_file_write(memo_fd, "memo-tag", "rubbish", 7, 0644, NULL) == 0);
    CHECK(sb_file_write(memo_fd, "memo-state", "", 0, 0644, NULL) == 0);
    CHECK(describe().found);
    CHECK_INT(asked(), 2);
}

/* Changes that follow one another, or an answer, within the clock's grain. */
static void test_quick_changes(void) {
    enter_checkout("quick");
    for (int i = 0; i < 60; i++) {
        bool change = i % 2 == 0;
        usleep((useconds_t)(i * 1700));
        int fd = open("a", O_WRONLY);
        CHECK(write(fd, change ? "X\n" : "a\n", 2) == 2);
        close(fd);
        if (!CHECK_INT(describe().dirty, change) || !CHECK_INT(describe().dirty, change))
            break;
    }
}

/* Where times are finer than the tick, the test above can't tell: the rule itself. */
static void test_racy(void) {
    const int64_t second = 1000000000, now = 1700000000 * second + 123456789;
    CHECK(sb_git_is_racy(now, now) && sb_git_is_racy(now + 5, now));
    CHECK(sb_git_is_racy(now - second / 100, now));
    CHECK(!sb_git_is_racy(now - second / 10, now));
    CHECK(
        sb_git_is_racy(1700000000 * second - second, now)); /* of a file system that has seconds */
    CHECK(!sb_git_is_racy(1700000000 * second - 3 * second, now));
}

static void test_layouts(void) {
    enter_checkout("layouts");
    sh("git tag v1.0.0; git worktree add -q -b side ../linked");
    CHECK(chdir("../linked") == 0);
    struct sb_git git = describe();
    CHECK(git.found && !git.dirty);
    CHECK_STR(git.branch, "side");
    CHECK_STR(git.tag, "v1.0.0");
    settle();
    CHECK(!describe().dirty);
    CHECK_INT(asked(), 0);
    sh("echo x >>a");
    CHECK(describe().dirty);
    CHECK(chdir("../layouts") == 0);
    CHECK(!describe().dirty);

    static const char *const versions[] = {"2", "3", "4"};
    for (size_t i = 0; i < 3; i++) {
        sb_autofree char *script = sb_format(
            "git update-index --index-version %s; "
            "i=0; while [ $i -lt 300 ]; do mkdir -p d$i; echo $i >d$i/file-$i; i=$((i+1)); "
            "done; git add .; git commit -qm %s --allow-empty; "
            "git update-index --skip-worktree src/b",
            versions[i], versions[i]);
        sh(script);
        settle();
        CHECK(!describe().dirty);
        CHECK_INT(asked(), 0);
        sh("echo x >>d299/file-299");
        CHECK(describe().dirty);
        sh("git checkout -q d299; git update-index --no-skip-worktree src/b");
    }
}

/* Kinds of index that are git's alone to read: right answers, never remembered. */
static void test_foreign_layouts(void) {
    enter_checkout("foreign");
    sh("git update-index --split-index; echo d >d; git add d; git commit -qm two");
    settle();
    CHECK(!describe().dirty);
    CHECK_INT(asked(), 1);
    sh("echo x >>a");
    CHECK(describe().dirty);

    enter_checkout("super");
    sh("git -c protocol.file.allow=always submodule --quiet add ../tags sub; git commit -qm sub");
    settle();
    CHECK(!describe().dirty);
    sh("echo x >>sub/a");
    CHECK(describe().dirty);
    CHECK(chdir("sub") == 0 && describe().dirty);

    enter("sha256");
    sh("git init -q -b main --object-format=sha256 .; echo a >a; git add a; git commit -qm one");
    settle();
    struct sb_git git = describe();
    CHECK(git.found && !git.dirty && strlen(git.commit) == 64);
    sh("echo x >>a");
    CHECK(describe().dirty);

    enter("shallow-parent");
    sb_autofree char *clone =
        sb_format("git clone -q --depth 1 file://%s/layouts shallow", directory);
    sh(clone);
    CHECK(chdir("shallow") == 0);
    git = describe();
    CHECK(git.found && git.shallow && !git.dirty);
    CHECK_STR(git.tag, "");
}

static void test_environment(void) {
    enter_checkout("environment");
    sb_autofree char *other = sb_format("%s/tags/.git", directory);
    setenv("GIT_DIR", other, 1);
    setenv("GIT_INDEX_FILE", "/nonexistent", 1);
    setenv("LC_ALL", "de_DE.UTF-8", 1);
    struct sb_git git = describe();
    CHECK(git.found && !git.dirty);
    CHECK_STR(git.tag, "");
    unsetenv("GIT_DIR");
    unsetenv("GIT_INDEX_FILE");
    setenv("LC_ALL", "C.UTF-8", 1);
    sh("git config core.fsmonitor 'touch ran; false'; echo x >>a");
    CHECK(describe().dirty);
    CHECK(access("ran", F_OK) < 0);
}

static void test_foreign_owner(void) {
    struct sb_error err = {0};
    struct sb_git git;
    if (geteuid() != 0) {
        TEST_SKIP("a checkout of another user can only be made by root");
        return;
    }
    unsetenv("SUDO_UID");
    sh("chown -R 12345 .");
    if (sb_git_describe(".", memo_fd, "none", &git, &err) == 0) {
        TEST_SKIP("this git is too old to look at owners");
    } else {
        CHECK(strstr(err.message, "dubious ownership") || strstr(err.message, "unsafe repository"));
        CHECK(strstr(err.hint, "safe.directory"));
    }
    sh("chown -R 0 .");
}

static void test_failures(void) {
    struct sb_error err = {0};
    struct sb_git git;
    enter_checkout("failures");
    sb_autofree char *path = sb_strdup(getenv("PATH"));
    setenv("PATH", "/nonexistent", 1);
    CHECK(sb_git_describe(".", memo_fd, "none", &git, &err) < 0);
    CHECK_INT(err.code, SB_E_NOT_FOUND);
    CHECK(strstr(err.message, "git") && strstr(err.hint, "install git"));
    CHECK(!git.found);
    setenv("PATH", path, 1);
    test_foreign_owner();
    sh("git tag v1.0.0; echo garbage >.git/index");
    CHECK(sb_git_describe(".", memo_fd, "none", &git, &err) < 0);
    CHECK(err.message[0] != '\0');
    sh("echo garbage >.git/HEAD");
    CHECK(sb_git_describe(".", memo_fd, "none", &git, &err) == 0 && !git.found);
    sh("rm .git/HEAD");
    CHECK(sb_git_describe(".", memo_fd, "none", &git, &err) == 0 && !git.found);
}

/* A clean environment, and a git in PATH that counts. */
static bool prepare(const char *real_git) {
    setenv("HOME", directory, 1);
    setenv("GIT_CONFIG_NOSYSTEM", "1", 1);
    setenv("GIT_CEILING_DIRECTORIES", directory, 1);
    static const char *const identity[] = {"GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL",
                                           "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"};
    for (size_t i = 0; i < 4; i++)
        setenv(identity[i], "someone@example.org", 1);
    sb_autofree char *bin = sb_path_join(directory, "bin");
    sb_autofree char *wrapper = sb_path_join(bin, "git");
    sb_autofree char *script =
        sb_format("#!/bin/sh\necho \"$1\" >>%s/asked\nexec %s \"$@\"\n", directory, real_git);
    sb_autofree char *memo = sb_path_join(directory, "memos");
    sb_autofree char *path = sb_format("%s:%s", bin, getenv("PATH"));
    setenv("PATH", path, 1);
    return mkdir(bin, 0755) == 0 && mkdir(memo, 0755) == 0 &&
           sb_file_write(AT_FDCWD, wrapper, script, strlen(script), 0755, NULL) == 0 &&
           (memo_fd = open(memo, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) >= 0;
}

int main(void) {
    char template[] = "/var/tmp/sb-git.XXXXXX";
    sb_autofree char *git = sb_process_find("git");
    if (!git) {
        TEST_SKIP("git is not installed");
        return test_done();
    }
    if (!(directory = mkdtemp(template)) || !prepare(git))
        return 1;
    test_kinds();
    test_tags();
    test_dirty();
    test_memory();
    test_quick_changes();
    test_racy();
    test_layouts();
    test_foreign_layouts();
    test_environment();
    test_failures();
    struct sb_error err = {0};
    CHECK(chdir("/") == 0 && sb_tree_remove(AT_FDCWD, directory, &err) == 0);
    return test_done();
}
