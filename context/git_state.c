#include "context/git_state.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "context/git_index.h"

enum { NESTING = 10, FILTERED_MOST = 1000, SUBMODULES_MOST = 1000 };

/* ---- what the index lists ---- */

struct submodule {
    char *path;
    char commit[65];
};

struct survey {
    const char *top;
    struct sb_buf directory; /* of the entry before */
    struct submodule *submodules;
    size_t count, cap;
    char *odd;    /* a .gitattributes that git would wait for */
    bool changed; /* a file that git was told not to look at is not as it last saw it */
};

static void survey_free(struct survey *s) {
    for (size_t i = 0; i < s->count; i++)
        free(s->submodules[i].path);
    free(s->submodules);
    free(s->odd);
    sb_buf_free(&s->directory);
}
#define autosurvey __attribute__((cleanup(survey_free)))

static void add_submodule(struct survey *s, const char *path, const char *commit) {
    SB_GROW(s->submodules, s->count, s->cap);
    struct submodule *module = &s->submodules[s->count++];
    module->path = sb_strdup(path);
    snprintf(module->commit, sizeof module->commit, "%s", commit);
}

/* Git reads the attributes of each directory that it compares a file in. */
static void check_attributes(struct survey *s, const char *path) {
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) + 1 : 0;
    const char *before = sb_buf_text(&s->directory);
    if (s->directory.len == n + 1 && !strncmp(before + 1, path, n))
        return;
    sb_buf_reset(&s->directory);
    sb_buf_addc(&s->directory, '/'); /* never empty: the top has none before it */
    sb_buf_add(&s->directory, path, n);
    sb_autofree char *name = sb_format("%s/%.*s.gitattributes", s->top, (int)n, path);
    struct stat st;
    if (!s->odd && lstat(name, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode))
        s->odd = sb_steal(name);
}

/* git update-index --assume-unchanged, --skip-worktree: what is built is what is there. */
static void check_unwatched(struct survey *s, const struct sb_git_index_entry *entry) {
    if ((!entry->assumed && !entry->skipped) || entry->mode == SB_GIT_SUBMODULE)
        return;
    sb_autofree char *path = sb_format("%s/%s", s->top, entry->path);
    struct stat st;
    bool there = lstat(path, &st) == 0;
    s->changed = s->changed || (there ? !sb_git_index_matches(entry, &st) : !entry->skipped);
}

static bool visit(void *data, const struct sb_git_index_entry *entry) {
    struct survey *s = data;
    check_attributes(s, entry->path);
    check_unwatched(s, entry);
    if (entry->mode != SB_GIT_SUBMODULE)
        return true;
    char commit[41];
    for (size_t i = 0; i < 20; i++)
        snprintf(commit + 2 * i, 3, "%02x", entry->object[i]);
    add_submodule(s, entry->path, commit);
    return s->count <= SUBMODULES_MOST;
}

/* "160000 COMMIT 0\tPATH\0" among others: for an index that isn't read here. */
static int list_submodules(const struct sb_git_view *view, struct survey *s, struct sb_error *err) {
    static const char *const arguments[] = {"ls-files", "--stage", "-z", NULL};
    sb_autobuf struct sb_buf list = {0};
    if (sb_git_view_ask(view, arguments, &list, err) < 0)
        return -1;
    const char *p = sb_buf_text(&list), *end = p + list.len;
    for (; p < end; p += strlen(p) + 1) {
        const char *tab = strchr(p, '\t');
        size_t n = strlen(p) > 7 ? strcspn(p + 7, " \t") : 0;
        if (!tab)
            continue;
        check_attributes(s, tab + 1);
        if (strncmp(p, "160000 ", 7) != 0 || n > 64 || s->count > SUBMODULES_MOST)
            continue;
        sb_autofree char *commit = sb_strndup(p + 7, n);
        add_submodule(s, tab + 1, commit);
    }
    return 0;
}

static int look_over(const struct sb_git_view *view, struct survey *s, struct sb_error *err) {
    sb_autobuf struct sb_buf index = {0};
    struct stat st;
    s->top = view->checkout->top;
    bool known = sb_git_index_load(view->checkout->dir, &index, &st) &&
                 sb_git_index_read(sb_buf_text(&index), index.len, visit, s);
    if (!known) {
        survey_free(s);
        *s = (struct survey){.top = view->checkout->top};
        if (list_submodules(view, s, err) < 0)
            return -1;
    }
    if (s->odd)
        return sb_fail(err, SB_E_FAILED, "%s: is no file", s->odd);
    if (s->count > SUBMODULES_MOST)
        return sb_fail(err, SB_E_FAILED, "%s: more than %d submodules", s->top, SUBMODULES_MOST);
    return 0;
}

/* ---- files with filters ---- */

struct match {
    const struct sb_strings *paths;
    int top_fd;
    size_t matching;
};

static bool is_among(const struct sb_strings *paths, const char *path) {
    for (size_t i = 0; i < paths->n; i++)
        if (!strcmp(paths->v[i], path))
            return true;
    return false;
}

static bool match_entry(void *data, const struct sb_git_index_entry *entry) {
    struct match *m = data;
    struct stat st;
    if (is_among(m->paths, entry->path) &&
        fstatat(m->top_fd, entry->path, &st, AT_SYMLINK_NOFOLLOW) == 0)
        m->matching += S_ISREG(st.st_mode) && sb_git_index_matches(entry, &st);
    return true;
}

/* Whether all are as git last saw them. */
static bool are_as_seen(const struct sb_checkout *c, const struct sb_strings *paths) {
    sb_autobuf struct sb_buf index = {0};
    struct stat st;
    sb_autoclose int top_fd = open(c->top, O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct match m = {.paths = paths, .top_fd = top_fd};
    return top_fd >= 0 && sb_git_index_load(c->dir, &index, &st) &&
           sb_git_index_read(sb_buf_text(&index), index.len, match_entry, &m) &&
           m.matching == paths->n;
}

static bool names_filter(const char *value) {
    return strcmp(value, "unspecified") != 0 && strcmp(value, "unset") != 0 &&
           strcmp(value, "set") != 0;
}

/* Whether each has a filter: "PATH\0filter\0VALUE\0" of each. */
static int have_filters(const struct sb_git_view *view, const struct sb_strings *paths, bool *out,
                        struct sb_error *err) {
    sb_autostrings struct sb_strings arguments = {0};
    sb_autobuf struct sb_buf answer = {0};
    static const char *const first[] = {"check-attr", "-z", "filter", "--"};
    for (size_t i = 0; i < 4; i++)
        sb_strings_add(&arguments, first[i]);
    sb_strings_copy(&arguments, paths);
    if (sb_git_view_ask(view, (const char *const *)arguments.v, &answer, err) < 0)
        return -1;
    size_t fields = 0, filters = 0;
    const char *end = sb_buf_text(&answer) + answer.len;
    for (const char *p = sb_buf_text(&answer); p < end; p += strlen(p) + 1)
        if (fields++ % 3 == 2)
            filters += names_filter(p);
    *out = filters == paths->n;
    return 0;
}

/* ---- one checkout ---- */

/* Takes apart "XY PATH\0…": paths whose content may differ from the index, and nothing else. False
 * when something differs for certain. */
static bool only_content(const struct sb_buf *status, struct sb_strings *out_paths) {
    const char *end = sb_buf_text(status) + status->len;
    for (const char *p = sb_buf_text(status); p < end; p += strlen(p) + 1) {
        if (strncmp(p, " M ", 3) != 0 || out_paths->n == FILTERED_MOST)
            return false;
        sb_strings_add(out_paths, p + 3);
    }
    return true;
}

static int files_state(const struct sb_git_view *view, bool *out_dirty, struct sb_error *err) {
    /* Not `describe --dirty`, which writes the index anew now and then. */
    static const char *const arguments[] = {"status",
                                            "--porcelain",
                                            "-z",
                                            "--untracked-files=no",
                                            "--no-renames",
                                            "--ignore-submodules=all",
                                            NULL};
    sb_autobuf struct sb_buf status = {0};
    sb_autostrings struct sb_strings paths = {0};
    bool filtered = false;
    if (sb_git_view_ask(view, arguments, &status, err) < 0)
        return -1;
    *out_dirty = status.len > 0;
    if (!*out_dirty || !only_content(&status, &paths))
        return 0;
    if (!are_as_seen(view->checkout, &paths))
        return 0; /* changed, or nobody can tell */
    if (have_filters(view, &paths, &filtered, err) < 0)
        return -1;
    *out_dirty = !filtered;
    return 0;
}

/* ---- submodules ---- */

static int state_of(const struct sb_git_view *view, const char *scratch, int nesting,
                    bool *out_dirty, struct sb_error *err);

static int submodule_state(const struct sb_git_view *around, const struct submodule *module,
                           const char *scratch, int nesting, bool *out_dirty,
                           struct sb_error *err) {
    sb_autofree char *top = sb_path_join(around->checkout->top, module->path);
    sb_autocheckout struct sb_checkout c = {0};
    struct sb_git_view view;
    struct sb_head_name name;
    enum sb_head head;
    struct stat st;
    *out_dirty = false;
    if (lstat(top, &st) < 0 || !S_ISDIR(st.st_mode)) {
        *out_dirty = true;
        return 0;
    }
    int found = sb_checkout_open(top, &c, err);
    if (found <= 0) /* one that nobody initialised is as it should be */
        return found;
    if (nesting == 0)
        return sb_fail(err, SB_E_FAILED, "%s: submodules more than %d deep", top, NESTING);
    if (sb_checkout_head(&c, &head, &name, err) < 0)
        return -1;
    if (head == SB_HEAD_COMMIT && strcmp(name.commit, module->commit) != 0) {
        *out_dirty = true;
        return 0;
    }
    if (sb_git_view_open(&c, scratch, around, &view, err) < 0)
        return -1;
    int failed = state_of(&view, scratch, nesting - 1, out_dirty, err);
    sb_git_view_close(&view);
    return failed;
}

/* What `git status` was told not to look at: those of the index that the commit has not. */
static int staged_state(const struct sb_git_view *view, bool *out_dirty, struct sb_error *err) {
    static const char *const arguments[] = {
        "diff-index", "--cached", "--raw", "--ignore-submodules=none", "HEAD", "--", NULL};
    sb_autobuf struct sb_buf changes = {0};
    if (sb_git_view_ask(view, arguments, &changes, err) < 0)
        return -1;
    *out_dirty = changes.len > 0;
    return 0;
}

static int state_of(const struct sb_git_view *view, const char *scratch, int nesting,
                    bool *out_dirty, struct sb_error *err) {
    autosurvey struct survey s = {0};
    *out_dirty = false;
    if (look_over(view, &s, err) < 0)
        return -1;
    if (s.changed)
        *out_dirty = true;
    else if (files_state(view, out_dirty, err) < 0)
        return -1;
    if (!*out_dirty && s.count && staged_state(view, out_dirty, err) < 0)
        return -1;
    for (size_t i = 0; i < s.count && !*out_dirty; i++)
        if (submodule_state(view, &s.submodules[i], scratch, nesting, out_dirty, err) < 0)
            return -1;
    return 0;
}

int sb_git_state(const struct sb_git_view *view, const char *scratch, bool *out_dirty,
                 struct sb_error *err) {
    return state_of(view, scratch, NESTING, out_dirty, err);
}
