/* context/git: real checkouts of every kind, and when its memory may answer instead of git. */
#include "context/git.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/process.h"
#include "context/git_index.h"
#include "tests/unit/test.h"

static char *directory; /* the checkouts are below it; the working directory is one of them */
static struct sb_store *store;

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
    if (!CHECK(sb_git_describe(".", store, "memo", true, &git, &err) == 0))
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

/* git runs once for each of its two answers, and again only when something changed. For a
 * configuration that may matter it runs once more, and thrice where the nearest version is another
 * commit's. */
enum { BOTH = 2, NEAREST = 3 };

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
        CHECK(sb_git_describe(".", store, "nowhere/memo", true, &fresh, NULL) == 0);
        CHECK(asked() >= BOTH);
        CHECK(!memcmp(&git, &fresh, sizeof git));
    }
    CHECK_STR(describe().tag, "v1.0.0");
    CHECK(sb_file_write(sb_store_private_fd(store), "memo-tag", "rubbish", 7, 0644, NULL) == 0);
    CHECK(sb_file_write(sb_store_private_fd(store), "memo-state", "", 0, 0644, NULL) == 0);
    sh("git config core.fileMode true; chmod -x a");
    asked();
    CHECK(describe().found);
    CHECK_INT(asked(), BOTH + NEAREST + 1); /* where this git's own configuration is isn't known */
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
    CHECK(asked() > 0);
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
    if (sb_git_describe(".", store, "none", true, &git, &err) == 0) {
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
    CHECK(sb_git_describe(".", store, "none", true, &git, &err) < 0);
    CHECK_INT(err.code, SB_E_NOT_FOUND);
    CHECK(strstr(err.message, "git") && strstr(err.hint, "install git"));
    CHECK(!git.found);
    setenv("PATH", path, 1);
    test_foreign_owner();
    sh("git tag v1.0.0; echo garbage >.git/index");
    CHECK(sb_git_describe(".", store, "none", true, &git, &err) < 0);
    CHECK(err.message[0] != '\0');
    sh("echo garbage >.git/HEAD");
    CHECK(sb_git_describe(".", store, "none", true, &git, &err) == 0 && !git.found);
    sh("rm .git/HEAD");
    CHECK(sb_git_describe(".", store, "none", true, &git, &err) == 0 && !git.found);
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
    sb_autofree char *memo = sb_path_join(directory, "store");
    sb_autofree char *path = sb_format("%s:%s", bin, getenv("PATH"));
    setenv("PATH", path, 1);
    return mkdir(bin, 0755) == 0 && sb_store_open(memo, &store, NULL) == 0 &&
           sb_file_write(AT_FDCWD, wrapper, script, strlen(script), 0755, NULL) == 0;
}

/* ---- what a checkout must not make happen ---- */

/* Each would run the program or read what lies elsewhere; answers stay what they are. */
static void test_nothing_runs(void) {
    sb_autofree char *evil = sb_format("%s/evil", directory);
    sb_autofree char *ran = sb_format("%s/ran", directory);
    sb_autofree char *script = sb_format("#!/bin/sh\ntouch %s\ncat\n", ran);
    CHECK_INT(sb_file_write(AT_FDCWD, evil, script, strlen(script), 0755, NULL), 0);
    static const char *const settings[] = {"filter.evil.clean",
                                           "filter.evil.process",
                                           "filter.evil.smudge",
                                           "core.fsmonitor",
                                           "core.sshCommand",
                                           "core.pager",
                                           "core.editor",
                                           "core.askPass",
                                           "core.gitProxy",
                                           "diff.external",
                                           "diff.evil.textconv",
                                           "diff.evil.command",
                                           "gpg.program",
                                           "credential.helper",
                                           "alias.status",
                                           "alias.describe",
                                           "core.alternateRefsCommand",
                                           "uploadpack.packObjectsHook",
                                           "trace2.eventTarget",
                                           "merge.evil.driver",
                                           "sequence.editor",
                                           "interactive.diffFilter"};
    enter_checkout("evil-settings");
    sh("git tag v1.0.0; echo '* filter=evil diff=evil merge=evil' >.gitattributes; git add .;"
       "git commit -qm two");
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        sb_autofree char *set = sb_format("git config %s %s", settings[i], evil);
        sh(set);
    }
    sb_autofree char *include = sb_format(
        "mkdir hooks; for h in post-index-change pre-commit reference-transaction; do cp %s "
        "hooks/$h; done; git config core.hooksPath hooks; git config include.path %s/included;"
        "printf '[core]\\n\\tfsmonitor = %s\\n' >%s/included; git config filter.evil.required true;"
        "git config core.worktree /etc",
        evil, directory, evil, directory);
    sh(include);
    unlink(ran);
    sh("echo changed >src/b; touch a");
    struct sb_git git = describe();
    CHECK(git.found && git.dirty && git.distance == 1);
    CHECK_STR(git.tag, "v1.0.0");
    CHECK(access(ran, F_OK) < 0);
    CHECK(access("/etc/.git", F_OK) < 0);
}

/* A partial clone whose missing object would be fetched by a program. */
static void test_nothing_is_fetched(void) {
    sb_autofree char *ran = sb_format("%s/ran", directory);
    struct sb_error err = {0};
    struct sb_git git;
    enter_checkout("evil-partial");
    sb_autofree char *script = sb_format(
        "git config core.repositoryFormatVersion 1; git config extensions.partialClone origin;"
        "git config remote.origin.promisor true; git config remote.origin.url ssh://host/x;"
        "git config core.sshCommand %s/evil; git config remote.origin.uploadpack %s/evil;"
        "git config protocol.allow always;"
        "t=$(git rev-parse HEAD^{tree}); rm -f .git/objects/$(echo $t | cut -c1-2)/*",
        directory, directory);
    sh(script);
    unlink(ran);
    CHECK(sb_git_describe(".", store, "none", true, &git, &err) < 0);
    CHECK_INT(err.code, SB_E_FAILED);
    CHECK(access(ran, F_OK) < 0);
    sh("git config remote.origin.url 'ext::sh -c true'");
    CHECK(sb_git_describe(".", store, "none", true, &git, &err) < 0);
}

/* A submodule has a git directory of its own, with all that may be in one. */
static void test_evil_submodule(void) {
    sb_autofree char *ran = sb_format("%s/ran", directory);
    enter_checkout("evil-super");
    sh("git -c protocol.file.allow=always submodule --quiet add ../tags sub; git commit -qm sub");
    CHECK(!describe().dirty);
    sb_autofree char *script =
        sb_format("cd sub; echo '* filter=evil' >../.git/modules/sub/info/attributes;"
                  "git config filter.evil.clean %s/evil; git config core.fsmonitor %s/evil",
                  directory, directory);
    sh(script);
    unlink(ran);
    sh("touch sub/a");
    describe();
    CHECK(access(ran, F_OK) < 0);
    sh("cd sub; rm ../.git/modules/sub/info/attributes; git config --unset core.fsmonitor;"
       "git checkout -qf; cd ..");
    CHECK(!describe().dirty);
    sh("cd sub; git commit -q --allow-empty -m more");
    CHECK(describe().dirty);
    sh("git add sub");
    CHECK(describe().dirty); /* staged */
    sh("git commit -qm moved");
    CHECK(!describe().dirty);
    sh("rm -r sub; mkdir sub"); /* not checked out */
    CHECK(!describe().dirty);
}

static void check_refused(const char *what, const char *message) {
    struct sb_error err = {0};
    struct sb_git git;
    alarm(20); /* whoever waits is ended */
    if (!CHECK(sb_git_describe(".", store, "none", true, &git, &err) < 0) ||
        !CHECK(strstr(err.message, message)))
        printf("    %s: %s\n", what, err.message);
    CHECK(!strstr(err.message, "root:"));
    alarm(0);
}

/* Something else in a file's place, and links that lead out. */
static void test_odd_files(void) {
    static const char *const files[] = {".git/HEAD",
                                        ".git/config",
                                        ".git/index",
                                        ".git/packed-refs",
                                        ".git/shallow",
                                        ".git/refs/heads/main",
                                        ".git/info/attributes",
                                        ".git/objects/info/alternates",
                                        ".git/objects/pack/pack-0.idx",
                                        ".gitattributes",
                                        "src/.gitattributes"};
    enter_checkout("odd");
    sh("git pack-refs --all; git update-ref refs/heads/main HEAD; git config x.y z; touch -d "
       "yesterday a");
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        sb_autofree char *fifo =
            sb_format("rm -rf ../kept; cp -a . ../kept; rm -f %s; mkfifo %s", files[i], files[i]);
        sb_autofree char *link = sb_format("rm -f %s; ln -s /etc/passwd %s", files[i], files[i]);
        sh(fifo);
        check_refused(files[i], strstr(files[i], "git/objects/")     ? "neither a file"
                                : strstr(files[i], ".gitattributes") ? "is no file"
                                                                     : "is a FIFO");
        sh(link);
        if (!strstr(files[i], ".gitattributes"))
            check_refused(files[i],
                          strstr(files[i], "git/objects/") ? "neither a file" : "symbolic link");
        sh("cd ..; rm -rf odd; mv kept odd");
        CHECK(chdir("../odd") == 0);
    }
    sh("rm -rf .git/refs/tags; ln -s /etc .git/refs/tags");
    check_refused("refs/tags", ".git/refs/tags: ");
    sh("rm .git/refs/tags; echo '[garbage' >../bad; cp .git/config ../good; cp ../bad .git/config;"
       "echo abbrev >>.git/config");
    check_refused("config", "odd/.git/config");
    sh("cp ../good .git/config; mkdir .git/refs/tags; mkfifo .git/refs/tags/v1.0.0; ln -s "
       "/etc/passwd "
       ".git/refs/tags/v2.0.0");
    alarm(20);
    CHECK_STR(describe().tag, "");
    alarm(0);
}

/* A .git that names the git directory of somebody else's checkout. */
static void test_foreign_dir(void) {
    enter("foreign-dir");
    sb_autofree char *file = sb_format("echo gitdir: %s/tags/.git >.git", directory);
    sh(file);
    check_refused("a file", "doesn't name it back");
    sb_autofree char *link = sb_format("rm .git; ln -s %s/tags/.git .git", directory);
    sh(link);
    check_refused("a link", "doesn't name it back");
    sb_autofree char *worktree =
        sb_format("rm .git; echo gitdir: %s/layouts/.git/worktrees/linked >.git", directory);
    sh(worktree);
    check_refused("another's work tree", "doesn't name it back");
    sb_autofree char *common = sb_format(
        "rm .git; git init -q; git commit -q --allow-empty -m x; echo %s/tags/.git >.git/commondir",
        directory);
    sh(common);
    check_refused("commondir", "names no directory around it");
    sb_autofree char *objects =
        sb_format("rm -r .git; git init -q; git commit -q --allow-empty -m x; rm -rf .git/objects;"
                  "ln -s %s/tags/.git/objects .git/objects",
                  directory);
    sh(objects);
    check_refused("objects", "is no directory");
    sh("rm -r .git; git init -q; git commit -q --allow-empty -m x; mkdir ../heap;"
       "echo $PWD/../heap >.git/objects/info/alternates");
    check_refused("alternates", "no git repository's");
    sh("printf '\"%s/../heap\"\\n' \"$PWD\" >.git/objects/info/alternates");
    check_refused("quoted alternates", "in quotes");
    sh("echo $PWD/none/../../heap >.git/objects/info/alternates");
    check_refused("alternates by way of nowhere", "no git repository's");
    sb_autofree char *clone = sb_format(
        "rm -rf .git; git clone -q --shared %s/tags shared; git -C shared describe --tags",
        directory);
    sh(clone);
    CHECK(chdir("shared") == 0 && describe().found); /* whose alternate is one */
}

/* What needs a filter to be compared is unchanged while nothing touched it. */
static void test_filters(void) {
    enter_checkout("filters");
    sh("git config --global filter.upper.clean 'tr a-z A-Z';"
       "git config --global filter.upper.smudge 'tr A-Z a-z'; echo '*.up filter=upper' >"
       ".gitattributes; echo text >one.up; echo text >src/two.up; git add .; git commit -qm up");
    CHECK(!describe().dirty);
    sh("rm one.up src/two.up; git checkout -q .; touch -r one.up .git/index"); /* racy */
    CHECK(!describe().dirty);
    settle();
    CHECK(!describe().dirty);
    sh("echo more >>src/two.up");
    CHECK(describe().dirty);
    sh("git checkout -q .");
    CHECK(!describe().dirty);
    sh("touch -d yesterday one.up"); /* nobody can tell without the filter */
    CHECK(describe().dirty);
    sh("git checkout -q .; git status >/dev/null");
    CHECK(!describe().dirty);
    sh("echo x >>a");
    CHECK(describe().dirty);
    sh("git checkout -q a; git config --global --remove-section filter.upper");
}

/* What decides how files are compared is still heeded. */
static void test_conversions(void) {
    enter_checkout("conversions");
    sh("git config core.autocrlf true; printf 'x\\r\\ny\\r\\n' >crlf; git add crlf; git commit -qm "
       "crlf;"
       "touch -d yesterday crlf");
    CHECK(!describe().dirty);
    sh("git config core.autocrlf false");
    CHECK(describe().dirty);
    sh("git config core.fileMode false; git config core.autocrlf input; chmod +x a src/b");
    CHECK(!describe().dirty);
    sh("git config core.fileMode true");
    CHECK(describe().dirty);
    sh("chmod -x a src/b; echo '*.id ident' >.gitattributes; echo '$Id$' >x.id; git add .;"
       "git commit -qm id; rm x.id; git checkout x.id 2>/dev/null; touch -d yesterday x.id");
    CHECK(!describe().dirty);
    sh("git config core.sparseCheckout true; mkdir -p .git/info;"
       "printf '/a\\n/.gitattributes\\n' >.git/info/sparse-checkout; git read-tree -mu HEAD; test "
       "! -e src/b");
    CHECK(!describe().dirty);
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
    test_nothing_runs();
    test_nothing_is_fetched();
    test_evil_submodule();
    test_odd_files();
    test_foreign_dir();
    test_filters();
    test_conversions();
    struct sb_error err = {0};
    sb_store_close(store);
    CHECK(chdir("/") == 0 && sb_tree_remove(AT_FDCWD, directory, &err) == 0);
    return test_done();
}
