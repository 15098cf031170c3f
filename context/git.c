#include "context/git.h"

#include <ctype.h>
#include <fcntl.h>
#include <fnmatch.h>
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
#include "base/semver.h"
#include "context/git_checkout.h"
#include "context/git_index.h"
#include "context/git_state.h"
#include "context/git_view.h"

enum {
    SMALL_FILE = 1 << 16,
    ODD_MOST = 20000, /* tags that look like versions, and are none */
};

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
    sb_buf_addf(out, "sbuild git history 3\n%s\n%s\n", c->top, head.commit);
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

/* ---- tags that are versions ---- */

#define LOOKS_LIKE_VERSION "v[0-9]*.[0-9]*.[0-9]*"

static bool is_version(const char *tag, struct sb_semver *out) {
    return *tag == 'v' && sb_semver_parse(tag, out);
}

/* Better: a version, and a higher one than the best so far (may be ""). */
static bool is_better(const char *tag, const char *best) {
    struct sb_semver a, b;
    return is_version(tag, &a) && (!is_version(best, &b) || sb_semver_order(&a, &b) > 0);
}

static bool looks_like_version(const char *tag) {
    return fnmatch(LOOKS_LIKE_VERSION, tag, 0) == 0;
}

/* "1.2.3", "app/v1.2.3", "v1.2": whoever set it may have meant it so. */
static bool is_near_version(const char *tag) {
    struct sb_semver version;
    return fnmatch("*[0-9].[0-9]*", tag, 0) == 0 && !is_version(tag, &version);
}

/* What git was asked about tags: lines of text, as they are remembered. */
struct tags {
    char best[256]; /* the highest version, or "" */
    char odd[256];  /* one that may be meant as a version, and is none; or "" */
};

static void take_tag(struct tags *t, const char *tag) {
    if (strlen(tag) < sizeof t->best && is_better(tag, t->best))
        strcpy(t->best, tag);
    else if (strlen(tag) < sizeof t->odd && is_near_version(tag) &&
             (!*t->odd || looks_like_version(tag)))
        strcpy(t->odd, tag);
}

/* "HEAD, tag: v1.0.0, tag: other": names have no blanks, but may end in a comma. */
static void take_decorations(struct tags *t, char *text) {
    while (text && *text) {
        char *end = strstr(text, ", ");
        if (end)
            *end = '\0';
        if (!strncmp(text, "tag: ", 5))
            take_tag(t, text + 5);
        text = end ? end + 2 : NULL;
    }
}

/* ---- git's answer ---- */

/* Hexadecimal digits, as many as git may shorten a commit to. */
static bool is_abbreviated(const char *text) {
    size_t n = strspn(text, "0123456789abcdef");
    return text[n] == '\0' && n >= 4 && n <= 64;
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

/* The lines of an answer, one after the other; "" behind the last. */
static const char *next_line(char **rest) {
    const char *line = *rest ? strsep(rest, "\n") : NULL;
    return line ? line : "";
}

/* Of a commit: how git shortens it, and its tags. */
static int ask_commit(struct asking *a, const char *commit, char *out_abbreviated,
                      struct tags *out_tags, struct sb_error *err) {
    const char *const arguments[] = {"rev-list", "--max-count=1", "--format=%h%n%D", commit, "--",
                                     NULL};
    sb_autobuf struct sb_buf answer = {0};
    if (open_view(a, err) < 0 || sb_git_view_ask(&a->view, arguments, &answer, err) < 0)
        return -1;
    char *rest = answer.data;
    next_line(&rest); /* "commit", and the whole of it */
    const char *abbreviated = next_line(&rest);
    if (!is_abbreviated(abbreviated))
        return sb_fail(err, SB_E_FAILED, "git rev-list in %s said something unexpected",
                       a->checkout->top);
    strcpy(out_abbreviated, abbreviated);
    if (rest)
        take_decorations(out_tags, strsep(&rest, "\n"));
    return 0;
}

static int ask_description(struct asking *a, struct sb_buf *answer, struct sb_error *err) {
    char abbreviated[65];
    struct tags tags = {0};
    if (ask_commit(a, "HEAD", abbreviated, &tags, err) < 0)
        return -1;
    sb_buf_addf(answer, "%s\n%s\n%s\n", abbreviated, tags.best, tags.odd);
    return 0;
}

/* ---- the nearest version ---- */

/* "v1.2.3-5-gabc123f", of which the tag and the number stay; "" when there is none. */
static void parse_description(char *text, char *out_tag, size_t size, unsigned *out_distance) {
    text[strcspn(text, "\n")] = '\0';
    *out_tag = '\0';
    char *commit = strrchr(text, '-');
    if (commit)
        *commit = '\0';
    char *distance = commit ? strrchr(text, '-') : NULL;
    if (!distance || strlen(text) >= size)
        return;
    *distance = '\0';
    strcpy(out_tag, text);
    *out_distance = (unsigned)strtoul(distance + 1, NULL, 10);
}

static int run_describe(struct asking *a, const struct sb_strings *excluded, char *out_tag,
                        size_t size, unsigned *out_distance, struct sb_error *err) {
    static const char *const first[] = {"describe", "--tags",  "--long",
                                        "--always", "--match", LOOKS_LIKE_VERSION};
    sb_autostrings struct sb_strings arguments = {0};
    sb_autobuf struct sb_buf answer = {0};
    for (size_t i = 0; i < sizeof first / sizeof *first; i++)
        sb_strings_add(&arguments, first[i]);
    for (size_t i = 0; i < excluded->n; i++)
        sb_strings_addf(&arguments, "--exclude=%s", excluded->v[i]);
    if (sb_git_view_ask(&a->view, (const char *const *)arguments.v, &answer, err) < 0)
        return -1;
    sb_buf_addc(&answer, '\0');
    parse_description(answer.data, out_tag, size, out_distance);
    return 0;
}

/* Names of tags, by further arguments of for-each-ref (up to a NULL). */
static int list_tags(struct asking *a, const char *first, const char *second, struct sb_buf *out,
                     struct sb_error *err) {
    const char *const arguments[] = {
        "for-each-ref", "--format=%(refname:strip=2)", "refs/tags", first, second, NULL};
    return sb_git_view_ask(&a->view, arguments, out, err);
}

/* Those that only look like versions, as many as a command line holds. */
static int list_odd(struct asking *a, struct sb_strings *out, struct sb_error *err) {
    sb_autobuf struct sb_buf names = {0};
    struct sb_semver version;
    if (list_tags(a, NULL, NULL, &names, err) < 0)
        return -1;
    char *rest = names.data;
    for (const char *name; *(name = next_line(&rest));)
        if (looks_like_version(name) && !is_version(name, &version) && out->n < ODD_MOST)
            sb_strings_add(out, name);
    return 0;
}

/* The nearest by the number of commits between; of several on its commit the highest. */
static int find_nearest(struct asking *a, struct tags *tags, unsigned *out_distance,
                        struct sb_error *err) {
    sb_autostrings struct sb_strings odd = {0};
    struct sb_semver version;
    char tag[256], abbreviated[65];
    if (run_describe(a, &odd, tag, sizeof tag, out_distance, err) < 0)
        return -1;
    take_tag(tags, tag);
    if (*tag && !is_version(tag, &version) &&
        (list_odd(a, &odd, err) < 0 ||
         run_describe(a, &odd, tag, sizeof tag, out_distance, err) < 0))
        return -1;
    take_tag(tags, tag);
    if (!*tags->best)
        return 0;
    sb_autofree char *ref = sb_format("refs/tags/%s", tag);
    return ask_commit(a, ref, abbreviated, tags, err);
}

/* A merge has several lines behind it: a higher version on one that the nearest is not on counts.
 */
static int find_higher(struct asking *a, struct tags *tags, unsigned *out_distance,
                       struct sb_error *err) {
    sb_autobuf struct sb_buf names = {0}, count = {0};
    sb_autofree char *but = sb_format("--no-merged=refs/tags/%s", tags->best);
    char nearest[sizeof tags->best];
    strcpy(nearest, tags->best);
    if (list_tags(a, "--merged=HEAD", but, &names, err) < 0)
        return -1;
    char *rest = names.data;
    for (const char *name; *(name = next_line(&rest));)
        if (strlen(name) < sizeof tags->best && is_better(name, tags->best))
            strcpy(tags->best, name);
    if (!strcmp(nearest, tags->best))
        return 0;
    sb_autofree char *range = sb_format("refs/tags/%s..HEAD", tags->best);
    const char *const arguments[] = {"rev-list", "--count", range, "--", NULL};
    if (sb_git_view_ask(&a->view, arguments, &count, err) < 0)
        return -1;
    *out_distance = (unsigned)strtoul(sb_buf_text(&count), NULL, 10);
    return 0;
}

/* When there is no version at all: what may have been meant as one. */
static int find_odd(struct asking *a, struct tags *tags, struct sb_error *err) {
    sb_autobuf struct sb_buf names = {0};
    if (list_tags(a, "--merged=HEAD", NULL, &names, err) < 0)
        return -1;
    char *rest = names.data;
    for (const char *name; *(name = next_line(&rest));)
        take_tag(tags, name);
    return 0;
}

static int ask_nearest(struct asking *a, struct sb_buf *answer, struct sb_error *err) {
    struct tags tags = {0};
    unsigned distance = 0;
    if (open_view(a, err) < 0 || find_nearest(a, &tags, &distance, err) < 0 ||
        (*tags.best && find_higher(a, &tags, &distance, err) < 0) ||
        (!*tags.best && !*tags.odd && find_odd(a, &tags, err) < 0))
        return -1;
    sb_buf_addf(answer, "%s\n%u\n%s\n", tags.best, distance, tags.odd);
    return 0;
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
static const struct question nearest = {"-version", read_history_facts, ask_nearest};
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

static void copy_line(char **rest, char *out, size_t size) {
    const char *line = next_line(rest);
    snprintf(out, size, "%s", line);
}

static int describe(struct asking *a, const char *memo_name, bool versions, struct sb_git *out,
                    struct sb_error *err) {
    sb_autobuf struct sb_buf words = {0}, version = {0}, dirty = {0};
    struct sb_git git = {0};
    int none = find_head(a, &git, err);
    git.checkout = true;
    if (none) {
        *out = (struct sb_git){.checkout = true};
        return none < 0 ? -1 : 0;
    }
    if (find_answer(a, &description, memo_name, &words, err) < 0)
        return -1;
    char *rest = words.data;
    copy_line(&rest, git.abbreviated, sizeof git.abbreviated);
    copy_line(&rest, git.tag, sizeof git.tag);
    copy_line(&rest, git.odd, sizeof git.odd);
    if (!is_abbreviated(git.abbreviated) ||
        strncmp(git.commit, git.abbreviated, strlen(git.abbreviated)) != 0)
        return sb_fail(err, SB_E_FAILED, "git rev-list in %s said something unexpected",
                       a->checkout->top);
    if (versions && !*git.tag) {
        if (find_answer(a, &nearest, memo_name, &version, err) < 0)
            return -1;
        rest = version.data;
        copy_line(&rest, git.tag, sizeof git.tag);
        git.distance = (unsigned)strtoul(next_line(&rest), NULL, 10);
        if (!*git.odd)
            copy_line(&rest, git.odd, sizeof git.odd);
    }
    if (find_answer(a, &state, memo_name, &dirty, err) < 0)
        return -1;
    git.dirty = strcmp(sb_buf_text(&dirty), "clean\n") != 0;
    git.shallow = sb_path_exists(a->checkout->common_fd, "shallow");
    git.found = true;
    *out = git;
    return 0;
}

int sb_git_describe(const char *directory, struct sb_store *store, const char *memo_name,
                    bool versions, struct sb_git *out, struct sb_error *err) {
    *out = (struct sb_git){0};
    sb_autocheckout struct sb_checkout c = {0};
    int found = sb_checkout_find(directory, &c, err);
    if (found <= 0)
        return found;
    autoasking struct asking a = {.checkout = &c, .store = store};
    return describe(&a, memo_name, versions, out, err);
}
