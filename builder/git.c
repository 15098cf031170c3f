#include "builder/git.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/process.h"
#include "builder/git_index.h"

enum { SMALL_FILE = 1 << 16, REFS_LIMIT = 64 << 20, ANSWER_LIMIT = 64 << 20 };

/* ---- where the checkout is ---- */

struct checkout {
    char *top;    /* of the work tree */
    char *dir;    /* the git directory: HEAD and index */
    char *common; /* refs and packed-refs: another one for a linked work tree */
};

static void checkout_free(struct checkout *c) {
    free(c->top);
    free(c->dir);
    free(c->common);
}
#define autocheckout __attribute__((cleanup(checkout_free)))

/* The first line of a small file, without its newline; NULL when it can't be read. */
static char *read_line(const char *dir, const char *name) {
    sb_autofree char *path = sb_path_join(dir, name);
    struct sb_buf text = {0};
    if (sb_file_read(AT_FDCWD, path, SMALL_FILE, &text, NULL) < 0) {
        sb_buf_free(&text);
        return NULL;
    }
    char *line = sb_buf_steal(&text);
    line[strcspn(line, "\r\n")] = '\0';
    return line;
}

/* .git is a directory, or a file that names one (linked work trees, submodules). */
static bool open_git_entry(const char *top, struct checkout *out) {
    sb_autofree char *entry = sb_path_join(top, ".git");
    struct stat st;
    if (stat(entry, &st) < 0)
        return false;
    sb_autofree char *line = S_ISDIR(st.st_mode) ? NULL : read_line(top, ".git");
    if (!S_ISDIR(st.st_mode) && (!line || strncmp(line, "gitdir: ", 8) != 0))
        return false;
    sb_autofree char *dir = line ? sb_path_join(top, line + 8) : sb_strdup(entry);
    sb_autofree char *head = sb_path_join(dir, "HEAD");
    if (!sb_path_exists(AT_FDCWD, head))
        return false; /* git looks further up, too */
    out->dir = sb_steal(dir);
    sb_autofree char *common = read_line(out->dir, "commondir");
    out->common = common ? sb_path_join(out->dir, common) : sb_strdup(out->dir);
    out->top = sb_strdup(top);
    return true;
}

static bool find_checkout(const char *directory, struct checkout *out) {
    char real[PATH_MAX];
    if (!realpath(directory, real))
        return false;
    for (;;) {
        if (open_git_entry(real, out))
            return true;
        char *slash = strrchr(real, '/');
        if (!slash || !real[1])
            return false;
        if (slash == real)
            real[1] = '\0';
        else
            *slash = '\0';
    }
}

/* ---- HEAD ---- */

static bool is_commit(const char *text) {
    size_t n = strspn(text, "0123456789abcdef");
    return text[n] == '\0' && (n == 40 || n == 64);
}

static void set_branch(struct sb_git *out, const char *branch) {
    snprintf(out->branch, sizeof out->branch, "%s", branch);
}

static bool find_packed_ref(const struct checkout *c, const char *ref, char *out, size_t size) {
    sb_autofree char *path = sb_path_join(c->common, "packed-refs");
    sb_autobuf struct sb_buf text = {0};
    if (sb_file_read(AT_FDCWD, path, REFS_LIMIT, &text, NULL) < 0)
        return false;
    char *rest = text.data;
    for (char *line; (line = strsep(&rest, "\n"));) {
        char *space = strchr(line, ' ');
        if (!space || strcmp(space + 1, ref) != 0)
            continue;
        *space = '\0';
        if (!is_commit(line) || strlen(line) >= size)
            return false;
        strcpy(out, line);
        return true;
    }
    return false;
}

enum head {
    HEAD_COMMIT,
    HEAD_UNBORN,  /* a branch without commits yet */
    HEAD_UNKNOWN, /* not of the ordinary kinds: git is to say */
};

static enum head read_head(const struct checkout *c, struct sb_git *out) {
    sb_autofree char *reftable = sb_path_join(c->common, "reftable");
    sb_autofree char *head = read_line(c->dir, "HEAD");
    if (!head || sb_path_exists(AT_FDCWD, reftable))
        return HEAD_UNKNOWN;
    if (is_commit(head)) {
        strcpy(out->commit, head);
        return HEAD_COMMIT;
    }
    static const char branches[] = "ref: refs/heads/";
    if (strncmp(head, branches, strlen(branches)) != 0)
        return HEAD_UNKNOWN;
    set_branch(out, head + strlen(branches));
    const char *ref = head + strlen("ref: ");
    sb_autofree char *commit = read_line(c->common, ref);
    if (commit && is_commit(commit)) {
        strcpy(out->commit, commit);
        return HEAD_COMMIT;
    }
    if (commit)
        return HEAD_UNKNOWN; /* a branch that is a name for another one */
    return find_packed_ref(c, ref, out->commit, sizeof out->commit) ? HEAD_COMMIT : HEAD_UNBORN;
}

/* ---- what an answer depends on ---- */

/* False when the file changed so shortly before started_ns that its next change may not show. */
static bool add_stat(struct sb_buf *out, const char *dir, const char *name, int64_t started_ns) {
    sb_autofree char *path = sb_path_join(dir, name);
    struct stat st;
    if (stat(path, &st) < 0) {
        sb_buf_addf(out, "%s -\n", name);
        return true;
    }
    sb_buf_addf(out, "%s %llu %lld %lld.%09ld %lld.%09ld\n", name, (unsigned long long)st.st_ino,
                (long long)st.st_size, (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec,
                (long long)st.st_ctim.tv_sec, st.st_ctim.tv_nsec);
    return !sb_git_is_racy((int64_t)st.st_ctim.tv_sec * 1000000000 + st.st_ctim.tv_nsec,
                           started_ns);
}

/* What the nearest tag depends on, as text; false when that can't be said with certainty. */
static bool read_history_facts(const struct checkout *c, int64_t started_ns, struct sb_buf *out) {
    struct sb_git head = {0};
    if (read_head(c, &head) != HEAD_COMMIT)
        return false;
    sb_buf_addf(out, "sbuild git history 1\n%s\n%s\n", c->top, head.commit);
    return add_stat(out, c->common, "packed-refs", started_ns) &&
           add_stat(out, c->common, "refs/tags", started_ns) &&
           add_stat(out, c->common, "shallow", started_ns) &&
           add_stat(out, c->common, "config", started_ns);
}

/* The same for whether tracked files differ from the commit. */
static bool read_tree_facts(const struct checkout *c, int64_t started_ns, struct sb_buf *out) {
    struct sb_git head = {0};
    struct sb_digest tree;
    if (read_head(c, &head) != HEAD_COMMIT || strlen(head.commit) != 40)
        return false;
    sb_buf_addf(out, "sbuild git tree 1\n%s\n%s\n", c->top, head.commit);
    if (!add_stat(out, c->common, "config", started_ns) ||
        !add_stat(out, c->common, "info/attributes", started_ns) ||
        !add_stat(out, c->dir, "config.worktree", started_ns) ||
        !sb_git_tree_state(c->dir, c->top, started_ns, &tree))
        return false;
    sb_buf_addf(out, "%s\n", sb_digest_hex(&tree).text);
    return true;
}

/* ---- git's answer ---- */

/* Hexadecimal digits, as many as git may shorten a commit to. */
static bool is_abbreviated(const char *text) {
    size_t n = strspn(text, "0123456789abcdef");
    return text[n] == '\0' && n >= 4 && n <= 64;
}

/* "v1.2.3-5-gabc123f" or "abc123f". */
static bool parse_description(char *text, struct sb_git *out) {
    text[strcspn(text, "\n")] = '\0';
    char *commit = strrchr(text, '-');
    if (!commit) {
        if (!is_abbreviated(text))
            return false;
        strcpy(out->abbreviated, text);
        return true;
    }
    *commit = '\0';
    char *distance = strrchr(text, '-');
    if (commit[1] != 'g' || !is_abbreviated(commit + 2) || !distance ||
        !isdigit((unsigned char)distance[1]))
        return false;
    *distance = '\0';
    strcpy(out->abbreviated, commit + 2);
    out->distance = (unsigned)strtoul(distance + 1, NULL, 10);
    if (strlen(text) < sizeof out->tag)
        strcpy(out->tag, text);
    return true;
}

static int explain_failure(const struct checkout *c, const char *complaint, struct sb_error *err) {
    sb_fail(err, SB_E_FAILED, "git in %s: %.*s", c->top, (int)strcspn(complaint, "\n"), complaint);
    if (strstr(complaint, "dubious ownership") || strstr(complaint, "unsafe repository"))
        return sb_error_hint(err, "run git config --global --add safe.directory %s", c->top);
    return -1;
}

/* This process's environment without what it says of another checkout. */
static void clean_environment(struct sb_strings *out) {
    static const char *const cleared[] = {"GIT_DIR=",
                                          "GIT_WORK_TREE=",
                                          "GIT_COMMON_DIR=",
                                          "GIT_INDEX_FILE=",
                                          "GIT_OBJECT_DIRECTORY=",
                                          "GIT_ALTERNATE_OBJECT_DIRECTORIES=",
                                          "GIT_NAMESPACE=",
                                          "GIT_PREFIX=",
                                          "GIT_SHALLOW_FILE=",
                                          "GIT_OPTIONAL_LOCKS=",
                                          "LC_ALL=",
                                          NULL};
    for (char **e = environ; *e; e++) {
        size_t i = 0;
        while (cleared[i] && strncmp(*e, cleared[i], strlen(cleared[i])) != 0)
            i++;
        if (!cleared[i])
            sb_strings_add(out, *e);
    }
    sb_strings_add(out, "GIT_OPTIONAL_LOCKS=0");
    sb_strings_add(out, "LC_ALL=C"); /* its words are looked at */
}

/* Runs git where the checkout is, without the one program that the checkout's configuration could
 * have it run at this. 0, or git's status. */
static int run_git(const struct checkout *c, const char *const *arguments, struct sb_buf *answer,
                   struct sb_buf *complaint, struct sb_error *err) {
    sb_autostrings struct sb_strings env = {0}, argv = {0};
    static const char *const git[] = {"git", "--no-pager", "-c", "core.fsmonitor=false", NULL};
    for (size_t i = 0; git[i]; i++)
        sb_strings_add(&argv, git[i]);
    for (; *arguments; arguments++)
        sb_strings_add(&argv, *arguments);
    clean_environment(&env);
    int status = sb_process_capture_env((const char *const *)argv.v, (const char *const *)env.v,
                                        c->top, ANSWER_LIMIT, answer, complaint, err);
    if (status < 0 && err && err->code == SB_E_NOT_FOUND)
        sb_error_hint(err, "install git, or leave git out of tags: and give version:");
    return status;
}

/* 1 when git says that this is no checkout of its own (a mount point in between, a broken .git). */
static int ask_git(const struct checkout *c, const char *const *arguments, struct sb_buf *answer,
                   struct sb_error *err) {
    sb_autobuf struct sb_buf complaint = {0};
    int status = run_git(c, arguments, answer, &complaint, err);
    if (status <= 0)
        return status;
    if (strstr(sb_buf_text(&complaint), "not a git repository"))
        return 1;
    return explain_failure(c, sb_buf_text(&complaint), err);
}

static int ask_description(const struct checkout *c, struct sb_buf *answer, struct sb_error *err) {
    static const char *const arguments[] = {
        "describe", "--tags", "--match", "v[0-9]*.[0-9]*.[0-9]*", "--long", "--always", NULL};
    return ask_git(c, arguments, answer, err);
}

/* Not `describe --dirty`, which writes the index anew now and then. */
static int ask_state(const struct checkout *c, struct sb_buf *answer, struct sb_error *err) {
    static const char *const arguments[] = {"status", "--porcelain", "--untracked-files=no",
                                            "--no-renames", NULL};
    sb_autobuf struct sb_buf changes = {0};
    int status = ask_git(c, arguments, &changes, err);
    sb_buf_adds(answer, changes.len ? "dirty\n" : "clean\n");
    return status;
}

/* Commit and branch, where they are not to be read from files. */
static int ask_head(const struct checkout *c, struct sb_git *out, struct sb_error *err) {
    static const char *const arguments[] = {"rev-parse", "HEAD", "--symbolic-full-name", "HEAD",
                                            NULL};
    sb_autobuf struct sb_buf answer = {0}, complaint = {0};
    int status = run_git(c, arguments, &answer, &complaint, err);
    if (status < 0)
        return -1;
    const char *text = sb_buf_text(&complaint);
    if (status > 0 &&
        (strstr(text, "not a git repository") || strstr(text, "ambiguous argument 'HEAD'")))
        return 1;
    if (status > 0)
        return explain_failure(c, text, err);
    char *rest = answer.data;
    const char *commit = strsep(&rest, "\n"), *ref = rest ? strsep(&rest, "\n") : NULL;
    if (!commit || !is_commit(commit) || !ref)
        return sb_fail(err, SB_E_FAILED, "git rev-parse in %s said something unexpected", c->top);
    strcpy(out->commit, commit);
    if (!strncmp(ref, "refs/heads/", strlen("refs/heads/")))
        set_branch(out, ref + strlen("refs/heads/"));
    return 0;
}

/* ---- the memory ---- */

static void remember(int dirfd, const char *name, const struct sb_buf *facts, const char *answer) {
    sb_autobuf struct sb_buf text = {0};
    sb_buf_add(&text, facts->data, facts->len);
    sb_buf_adds(&text, answer);
    sb_autofree char *parent = sb_path_dirname(name);
    sb_autoclose int dir = openat(dirfd, parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const char *slash = strrchr(name, '/');
    if (dir >= 0) /* half a file matches nothing */
        sb_file_publish(dir, dir, slash ? slash + 1 : name, text.data, text.len, NULL);
}

/* The remembered answer, if all that it depends on is as it was. */
static bool recall(int dirfd, const char *name, const struct sb_buf *facts, struct sb_buf *answer) {
    struct sb_buf memo = {0};
    bool found = sb_file_read(dirfd, name, SMALL_FILE, &memo, NULL) == 0 && memo.len > facts->len &&
                 !memcmp(memo.data, facts->data, facts->len);
    if (found)
        sb_buf_adds(answer, memo.data + facts->len);
    sb_buf_free(&memo);
    return found;
}

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

struct question {
    const char *suffix; /* of the name of its memory */
    bool (*facts)(const struct checkout *c, int64_t started_ns, struct sb_buf *out);
    int (*ask)(const struct checkout *c, struct sb_buf *answer, struct sb_error *err);
};
static const struct question description = {"-tag", read_history_facts, ask_description};
static const struct question state = {"-state", read_tree_facts, ask_state};

/* Git's answer, remembered or new; 1 when there is no checkout. */
static int find_answer(const struct checkout *c, const struct question *q, int memo_dirfd,
                       const char *memo_name, struct sb_buf *answer, struct sb_error *err) {
    int64_t started = now_ns();
    sb_autofree char *memo = sb_format("%s%s", memo_name, q->suffix);
    sb_autobuf struct sb_buf facts = {0}, again = {0};
    bool certain = q->facts(c, started, &facts);
    if (certain && recall(memo_dirfd, memo, &facts, answer))
        return 0;
    int status = q->ask(c, answer, err);
    /* Only if nothing changed while git looked. */
    if (status == 0 && certain && q->facts(c, started, &again) && again.len == facts.len &&
        !memcmp(again.data, facts.data, facts.len))
        remember(memo_dirfd, memo, &facts, sb_buf_text(answer));
    return status;
}

int sb_git_describe(const char *directory, int memo_dirfd, const char *memo_name,
                    struct sb_git *out, struct sb_error *err) {
    *out = (struct sb_git){0};
    autocheckout struct checkout c = {0};
    if (!find_checkout(directory, &c))
        return 0;
    struct sb_git git = {0};
    enum head head = read_head(&c, &git);
    if (head == HEAD_UNBORN)
        return 0;
    sb_autobuf struct sb_buf words = {0}, dirty = {0};
    int status = head == HEAD_UNKNOWN ? ask_head(&c, &git, err) : 0;
    if (status == 0)
        status = find_answer(&c, &description, memo_dirfd, memo_name, &words, err);
    if (status == 0)
        status = find_answer(&c, &state, memo_dirfd, memo_name, &dirty, err);
    if (status)
        return status < 0 ? -1 : 0;
    if (words.len == 0 || !parse_description(words.data, &git) ||
        strncmp(git.commit, git.abbreviated, strlen(git.abbreviated)) != 0)
        return sb_fail(err, SB_E_FAILED, "git describe in %s said something unexpected", c.top);
    git.dirty = strcmp(sb_buf_text(&dirty), "clean\n") != 0;
    sb_autofree char *shallow = sb_path_join(c.common, "shallow");
    git.shallow = sb_path_exists(AT_FDCWD, shallow);
    git.found = true;
    *out = git;
    return 0;
}
