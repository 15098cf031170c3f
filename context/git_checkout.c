#include "context/git_checkout.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/beneath.h"
#include "base/file.h"
#include "base/memory.h"
#include "document/project.h"

enum { SMALL_FILE = 1 << 16, REFS_LIMIT = 64 << 20, NESTING = 16, LINKS = 5 };

void sb_checkout_free(struct sb_checkout *c) {
    free(c->top);
    free(c->dir);
    free(c->common);
    if (c->top) {
        sb_close_descriptor(&c->dir_fd);
        sb_close_descriptor(&c->common_fd);
    }
    *c = (struct sb_checkout){0};
}

/* ---- files ---- */

/* The first line of a small file; NULL in *out when it isn't there. */
static int read_line(int dirfd, const char *dir, const char *name, char **out,
                     struct sb_error *err) {
    struct sb_error own = {0};
    struct sb_buf text = {0};
    *out = NULL;
    if (sb_beneath_read(dirfd, name, 0, SMALL_FILE, &text, &own) < 0) {
        sb_buf_free(&text);
        /* A directory where a file is sought: a ref's name that others have as their prefix. */
        if (own.code == SB_E_NOT_FOUND || strstr(own.message, "is a directory"))
            return 0;
        if (err)
            *err = own;
        return sb_error_context(err, "%s", dir);
    }
    *out = sb_buf_steal(&text);
    (*out)[strcspn(*out, "\r\n")] = '\0';
    return 0;
}

/* ---- where the checkout is ---- */

static int find_above(const char *directory, int nesting, struct sb_checkout *out,
                      struct sb_error *err);

static bool ends_in(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    return n >= m && !strcmp(text + n - m, end);
}

/* Whether the git directory of a linked work tree says that this is its place. */
static bool names_back(const char *dir, const char *entry) {
    sb_autofree char *parent = sb_path_dirname(dir);
    if (!ends_in(parent, "/worktrees")) /* elsewhere nothing is even opened */
        return false;
    sb_autoclose int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    sb_autofree char *line = NULL;
    if (fd < 0 || read_line(fd, dir, "gitdir", &line, NULL) < 0 || !line)
        return false;
    sb_autofree char *named = sb_path_join(dir, line);
    struct stat a, b;
    return lstat(named, &a) == 0 && lstat(entry, &b) == 0 && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino;
}

/* Whether it lies in the git directory of a checkout around it, as those of submodules do. */
static bool is_within(const char *dir, const char *top, int nesting) {
    sb_autofree char *parent = sb_path_dirname(top);
    sb_autocheckout struct sb_checkout around = {0};
    return nesting > 0 && top[1] && find_above(parent, nesting - 1, &around, NULL) > 0 &&
           (sb_path_is_below(dir, around.dir) || sb_path_is_below(dir, around.common));
}

static int refuse_dir(const char *entry, const char *dir, struct sb_error *err) {
    sb_fail(err, SB_E_FAILED, "%s names the git directory %s, which doesn't name it back", entry,
            dir);
    return sb_error_hint(err, "`git worktree repair` mends a work tree that was moved; or give the "
                              "version with --version, and leave git out of tags:");
}

/* The directory that a .git is or names, the caller's; NULL in *out when it names none. */
static int find_dir(const char *top, int nesting, char **out, struct sb_error *err) {
    sb_autofree char *entry = sb_path_join(top, ".git");
    struct stat st;
    *out = NULL;
    if (lstat(entry, &st) < 0)
        return 0;
    if (S_ISDIR(st.st_mode)) {
        *out = sb_steal(entry);
        return 0;
    }
    sb_autofree char *line = NULL;
    if (!S_ISLNK(st.st_mode)) {
        sb_autoclose int fd = open(top, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || read_line(fd, top, ".git", &line, err) < 0)
            return -1;
        if (!line || strncmp(line, "gitdir: ", 8) != 0)
            return 0;
    }
    sb_autofree char *named = line ? sb_path_join(top, line + 8) : sb_strdup(entry);
    sb_autofree char *dir = realpath(named, NULL);
    if (!dir || stat(dir, &st) < 0 || !S_ISDIR(st.st_mode))
        return 0;
    if (!sb_path_is_below(dir, top) && !names_back(dir, entry) && !is_within(dir, top, nesting))
        return refuse_dir(entry, dir, err);
    *out = sb_steal(dir);
    return 0;
}

/* Where refs and objects are. The one that a linked work tree names lies around its own directory.
 */
static int find_common(struct sb_checkout *c, struct sb_error *err) {
    sb_autofree char *line = NULL;
    if (read_line(c->dir_fd, c->dir, "commondir", &line, err) < 0)
        return -1;
    sb_autofree char *named = line ? sb_path_join(c->dir, line) : sb_strdup(c->dir);
    sb_autofree char *real = realpath(named, NULL);
    if (!real || !sb_path_is_below(c->dir, real))
        return sb_fail(err, SB_E_FAILED, "%s/commondir: names no directory around it", c->dir);
    c->common = sb_steal(real);
    c->common_fd = sb_directory_open(AT_FDCWD, c->common, err);
    return c->common_fd < 0 ? -1 : 0;
}

static int open_checkout(const char *top, int nesting, struct sb_checkout *out,
                         struct sb_error *err) {
    sb_autofree char *dir = NULL;
    *out = (struct sb_checkout){.dir_fd = -1, .common_fd = -1};
    if (find_dir(top, nesting, &dir, err) < 0)
        return -1;
    sb_autofree char *head = dir ? sb_path_join(dir, "HEAD") : NULL;
    if (!dir || !sb_path_exists(AT_FDCWD, head))
        return 0; /* git looks further up, too */
    out->top = sb_strdup(top);
    out->dir = sb_steal(dir);
    out->dir_fd = sb_directory_open(AT_FDCWD, out->dir, err);
    if (out->dir_fd >= 0 && find_common(out, err) == 0)
        return 1;
    sb_checkout_free(out);
    return -1;
}

static int find_above(const char *directory, int nesting, struct sb_checkout *out,
                      struct sb_error *err) {
    sb_autofree char *at = sb_strdup(directory);
    for (;;) {
        int found = open_checkout(at, nesting, out, err);
        char *slash = strrchr(at, '/');
        if (found != 0 || !slash || !at[1])
            return found;
        slash[slash == at] = '\0';
    }
}

int sb_checkout_find(const char *directory, struct sb_checkout *out, struct sb_error *err) {
    char real[PATH_MAX];
    return realpath(directory, real) ? find_above(real, NESTING, out, err) : 0;
}

int sb_checkout_open(const char *top, struct sb_checkout *out, struct sb_error *err) {
    char real[PATH_MAX];
    return realpath(top, real) ? open_checkout(real, NESTING, out, err) : 0;
}

uid_t sb_checkout_stranger(const struct sb_checkout *c) {
    sb_autofree char *entry = sb_path_join(c->top, ".git");
    const char *const paths[] = {c->top, entry, c->dir, c->common};
    for (size_t i = 0; i < 4; i++) {
        struct stat st;
        if (lstat(paths[i], &st) == 0 && !sb_owner_is_ours(st.st_uid))
            return st.st_uid;
    }
    return 0;
}

/* ---- HEAD ---- */

bool sb_is_commit(const char *text) {
    size_t n = strspn(text, "0123456789abcdef");
    return text[n] == '\0' && (n == 40 || n == 64);
}

static int find_packed_ref(const struct sb_checkout *c, const char *ref, char *out, bool *out_found,
                           struct sb_error *err) {
    sb_autobuf struct sb_buf text = {0};
    struct sb_error own = {0};
    *out_found = false;
    if (sb_beneath_read(c->common_fd, "packed-refs", 0, REFS_LIMIT, &text, &own) < 0) {
        if (own.code == SB_E_NOT_FOUND)
            return 0;
        if (err)
            *err = own;
        return sb_error_context(err, "%s", c->common);
    }
    char *rest = text.data;
    for (char *line; (line = strsep(&rest, "\n"));) {
        char *space = strchr(line, ' ');
        if (!space || strcmp(space + 1, ref) != 0)
            continue;
        *space = '\0';
        *out_found = sb_is_commit(line);
        if (*out_found)
            strcpy(out, line);
        return 0;
    }
    return 0;
}

/* "refs/heads/main": it is opened as a path, beneath the git directory. */
static bool is_ref(const char *name) {
    return !strncmp(name, "refs/", 5) && name[5] && !strstr(name, "..") && !strstr(name, "//");
}

/* Follows names of names from HEAD. */
static int follow(const struct sb_checkout *c, char *line, enum sb_head *out,
                  struct sb_head_name *name, struct sb_error *err) {
    sb_autofree char *at = line;
    for (int i = 0; i < LINKS && at && !sb_is_commit(at); i++) {
        if (strncmp(at, "ref: ", 5) != 0 || !is_ref(at + 5))
            return 0;
        sb_autofree char *ref = sb_strdup(at + 5);
        bool branch = !strncmp(ref, "refs/heads/", 11);
        snprintf(name->branch, sizeof name->branch, "%s", branch ? ref + 11 : "");
        sb_free_pointer(&at);
        if (read_line(c->common_fd, c->common, ref, &at, err) < 0)
            return -1;
        if (at)
            continue;
        bool packed;
        if (find_packed_ref(c, ref, name->commit, &packed, err) < 0)
            return -1;
        *out = packed ? SB_HEAD_COMMIT : SB_HEAD_UNBORN;
        return 0;
    }
    if (at && sb_is_commit(at)) {
        strcpy(name->commit, at);
        *out = SB_HEAD_COMMIT;
    }
    return 0;
}

int sb_checkout_head(const struct sb_checkout *c, enum sb_head *out, struct sb_head_name *out_name,
                     struct sb_error *err) {
    *out_name = (struct sb_head_name){0};
    *out = SB_HEAD_NONE;
    char *line;
    if (sb_path_exists(c->common_fd, "reftable")) {
        *out = SB_HEAD_REFTABLE;
        return 0;
    }
    if (read_line(c->dir_fd, c->dir, "HEAD", &line, err) < 0)
        return -1;
    return line ? follow(c, line, out, out_name, err) : 0;
}
