#include "builder/git.h"

#include <ctype.h>
#include <fcntl.h>
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
#include "builder/git_checkout.h"
#include "builder/git_index.h"
#include "builder/git_state.h"
#include "builder/git_view.h"

enum { SMALL_FILE = 1 << 16 };

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
static bool read_history_facts(const struct sb_checkout *c, int64_t started_ns,
                               struct sb_buf *out) {
    struct sb_head_name head;
    enum sb_head kind;
    if (sb_checkout_head(c, &kind, &head, NULL) < 0 || kind != SB_HEAD_COMMIT)
        return false;
    sb_buf_addf(out, "sbuild git history 2\n%s\n%s\n", c->top, head.commit);
    return add_stat(out, c->common, "packed-refs", started_ns) &&
           add_stat(out, c->common, "refs/tags", started_ns) &&
           add_stat(out, c->common, "shallow", started_ns) &&
           add_stat(out, c->common, "config", started_ns);
}

/* The same for whether tracked files differ from the commit. */
static bool read_tree_facts(const struct sb_checkout *c, int64_t started_ns, struct sb_buf *out) {
    struct sb_head_name head;
    enum sb_head kind;
    struct sb_digest tree;
    if (sb_checkout_head(c, &kind, &head, NULL) < 0 || kind != SB_HEAD_COMMIT ||
        strlen(head.commit) != 40)
        return false;
    sb_buf_addf(out, "sbuild git tree 2\n%s\n%s\n", c->top, head.commit);
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

/* Everything that answering takes. The view is opened when git is asked for the first time. */
struct asking {
    const struct sb_checkout *checkout;
    struct sb_store *store;
    bool opened;
    struct sb_git_view view;
};

static int open_view(struct asking *a, struct sb_error *err) {
    if (a->opened)
        return 0;
    const char *scratch = sb_store_tmp_path(a->store);
    if (!scratch)
        return sb_fail_errno(err, SB_E_IO, "making a temporary directory in %s",
                             sb_store_path(a->store));
    if (sb_git_view_open(a->checkout, scratch, NULL, &a->view, err) < 0)
        return -1;
    a->opened = true;
    return 0;
}

static void asking_end(struct asking *a) {
    if (a->opened)
        sb_git_view_close(&a->view);
}
#define autoasking __attribute__((cleanup(asking_end)))

static int ask_description(struct asking *a, struct sb_buf *answer, struct sb_error *err) {
    static const char *const arguments[] = {
        "describe", "--tags", "--match", "v[0-9]*.[0-9]*.[0-9]*", "--long", "--always", NULL};
    return open_view(a, err) < 0 ? -1 : sb_git_view_ask(&a->view, arguments, answer, err);
}

static int ask_state(struct asking *a, struct sb_buf *answer, struct sb_error *err) {
    bool dirty;
    if (open_view(a, err) < 0 ||
        sb_git_state(&a->view, sb_store_tmp_path(a->store), &dirty, err) < 0)
        return -1;
    sb_buf_adds(answer, dirty ? "dirty\n" : "clean\n");
    return 0;
}

/* Commit and branch, where they are not to be read from files. 1: there is no commit. */
static int ask_head(struct asking *a, struct sb_git *out, struct sb_error *err) {
    static const char *const arguments[] = {"rev-parse", "HEAD", "--symbolic-full-name", "HEAD",
                                            NULL};
    static const char branches[] = "refs/heads/";
    sb_autobuf struct sb_buf answer = {0}, complaint = {0};
    if (open_view(a, err) < 0)
        return -1;
    int status = sb_git_view_run(&a->view, arguments, &answer, &complaint, err);
    if (status != 0)
        return status < 0 ? -1 : 1;
    char *rest = answer.data;
    const char *commit = strsep(&rest, "\n"), *ref = rest ? strsep(&rest, "\n") : NULL;
    if (!commit || !sb_is_commit(commit) || !ref)
        return sb_fail(err, SB_E_FAILED, "git rev-parse in %s said something unexpected",
                       a->checkout->top);
    strcpy(out->commit, commit);
    if (!strncmp(ref, branches, strlen(branches)))
        snprintf(out->branch, sizeof out->branch, "%s", ref + strlen(branches));
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
    if (found) {
        sb_buf_adds(answer, memo.data + facts->len);
        sb_store_use_note(dirfd, name);
    }
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
    bool (*facts)(const struct sb_checkout *c, int64_t started_ns, struct sb_buf *out);
    int (*ask)(struct asking *a, struct sb_buf *answer, struct sb_error *err);
};
static const struct question description = {"-tag", read_history_facts, ask_description};
static const struct question state = {"-state", read_tree_facts, ask_state};

/* Git's answer, remembered or new. */
static int find_answer(struct asking *a, const struct question *q, const char *memo_name,
                       struct sb_buf *answer, struct sb_error *err) {
    int64_t started = now_ns();
    int memo_dirfd = sb_store_private_fd(a->store);
    sb_autofree char *memo = sb_format("%s%s", memo_name, q->suffix);
    sb_autobuf struct sb_buf facts = {0}, again = {0};
    bool certain = q->facts(a->checkout, started, &facts);
    if (certain && recall(memo_dirfd, memo, &facts, answer))
        return 0;
    if (q->ask(a, answer, err) < 0)
        return -1;
    /* Only if nothing changed while git looked. */
    if (certain && q->facts(a->checkout, started, &again) && again.len == facts.len &&
        !memcmp(again.data, facts.data, facts.len))
        remember(memo_dirfd, memo, &facts, sb_buf_text(answer));
    return 0;
}

/* 1 when there is no commit. */
static int find_head(struct asking *a, struct sb_git *out, struct sb_error *err) {
    struct sb_head_name name;
    enum sb_head head;
    if (sb_checkout_head(a->checkout, &head, &name, err) < 0)
        return -1;
    if (head == SB_HEAD_REFTABLE)
        return ask_head(a, out, err);
    strcpy(out->commit, name.commit);
    strcpy(out->branch, name.branch);
    return head != SB_HEAD_COMMIT;
}

static int describe(struct asking *a, const char *memo_name, struct sb_git *out,
                    struct sb_error *err) {
    const char *top = a->checkout->top;
    sb_autobuf struct sb_buf words = {0}, dirty = {0};
    struct sb_git git = {0};
    int none = find_head(a, &git, err);
    if (none)
        return none < 0 ? -1 : 0;
    if (find_answer(a, &description, memo_name, &words, err) < 0 ||
        find_answer(a, &state, memo_name, &dirty, err) < 0)
        return -1;
    if (words.len == 0 || !parse_description(words.data, &git) ||
        strncmp(git.commit, git.abbreviated, strlen(git.abbreviated)) != 0)
        return sb_fail(err, SB_E_FAILED, "git describe in %s said something unexpected", top);
    git.dirty = strcmp(sb_buf_text(&dirty), "clean\n") != 0;
    git.shallow = sb_path_exists(a->checkout->common_fd, "shallow");
    git.found = true;
    *out = git;
    return 0;
}

int sb_git_describe(const char *directory, struct sb_store *store, const char *memo_name,
                    struct sb_git *out, struct sb_error *err) {
    *out = (struct sb_git){0};
    sb_autocheckout struct sb_checkout c = {0};
    int found = sb_checkout_find(directory, &c, err);
    if (found <= 0)
        return found;
    autoasking struct asking a = {.checkout = &c, .store = store};
    return describe(&a, memo_name, out, err);
}
