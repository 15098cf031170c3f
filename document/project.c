#include "document/project.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/beneath.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"

/* ---- finding ---- */

/* A home directory that is a checkout itself holds more than one project, and the root all. */
static bool may_be_top(const char *directory) {
    const char *home = getenv("HOME");
    sb_autofree char *real = home && *home == '/' ? realpath(home, NULL) : NULL;
    return directory[1] && (!real || strcmp(real, directory) != 0);
}

/* A .git that somebody else left above the checkout makes no project of what lies between: nor does
 * one of the recipe's author in a directory that is not theirs, as /tmp. */
static bool has_git(const char *directory, uid_t author) {
    sb_autofree char *path = sb_path_join(directory, ".git");
    struct stat st, top;
    if (lstat(path, &st) < 0 || stat(directory, &top) < 0 || !may_be_top(directory))
        return false;
    return sb_owner_is_ours(st.st_uid) || (st.st_uid == author && top.st_uid == author);
}

/* The nearest directory that has a .git, else the directory itself; the caller's. */
static char *find_top(const char *directory) {
    struct stat st;
    sb_autofree char *at = sb_strdup(directory);
    if (stat(directory, &st) < 0)
        return sb_steal(at);
    while (!has_git(at, st.st_uid)) {
        char *slash = strrchr(at, '/');
        if (!slash || !at[1])
            return sb_strdup(directory);
        slash[slash == at] = '\0';
    }
    return sb_steal(at);
}

static bool is_beneath(const char *path, const char *directory) {
    return !directory[1] || sb_path_is_below(path, directory);
}

static int add_allowed(struct sb_project *p, const struct sb_strings *allowed,
                       struct sb_error *err) {
    for (size_t i = 0; allowed && i < allowed->n; i++) {
        char *real = realpath(allowed->v[i], NULL);
        if (!real)
            return sb_fail_errno(err, SB_E_USAGE, "--allow %s", allowed->v[i]);
        sb_strings_take(&p->roots, real);
    }
    return 0;
}

static void add_trusted(struct sb_project *p, const struct sb_strings *trusted) {
    for (size_t i = 0; trusted && i < trusted->n; i++) {
        sb_autofree char *real = realpath(trusted->v[i], NULL);
        if (!real || !is_beneath(p->directory, real))
            continue;
        sb_strings_add(&p->roots, real);
        p->trusted = trusted->v[i];
    }
}

int sb_project_find(const char *directory, const struct sb_project_trust *trust,
                    struct sb_project *out, struct sb_error *err) {
    *out = (struct sb_project){.directory = realpath(directory, NULL)};
    if (!out->directory)
        return sb_fail_errno(err, errno == ENOENT ? SB_E_NOT_FOUND : SB_E_IO, "%s", directory);
    out->top = find_top(out->directory);
    sb_strings_add(&out->roots, out->top);
    if (trust && add_allowed(out, trust->allowed, err) < 0) {
        sb_project_free(out);
        return -1;
    }
    if (trust)
        add_trusted(out, trust->trusted);
    return 0;
}

void sb_project_free(struct sb_project *project) {
    free(project->directory);
    free(project->top);
    sb_strings_free(&project->roots);
    *project = (struct sb_project){0};
}

/* ---- reading ---- */

/* The root that a real path lies beneath; NULL: none. */
static const char *root_of(const struct sb_project *p, const char *real) {
    for (size_t i = 0; i < p->roots.n; i++)
        if (is_beneath(real, p->roots.v[i]))
            return p->roots.v[i];
    return NULL;
}

static void fail_outside(const struct sb_project *p, const char *path, const char *real,
                         struct sb_error *err) {
    sb_autofree char *directory = sb_path_dirname(real);
    struct stat st;
    bool is_directory = stat(real, &st) == 0 && S_ISDIR(st.st_mode);
    sb_autofree char *leads = sb_path_clean(path);
    sb_autofree char *where =
        strcmp(leads, real) != 0 ? sb_format(", which is %s,", real) : sb_strdup("");
    sb_fail(err, SB_E_RECIPE, "%s%s lies outside the project %s", path, where, p->top);
    sb_error_hint(err, "to let recipes read there, add --allow %s",
                  is_directory ? real : directory);
}

char *sb_project_resolve(const struct sb_project *p, const char *path, struct sb_error *err) {
    sb_autofree char *real = realpath(path, NULL);
    int failure = errno;
    if (!real) { /* what is outside and missing is told as what is there */
        sb_autofree char *parent = sb_path_dirname(path);
        sb_autofree char *real_parent = realpath(parent, NULL);
        if (real_parent && !root_of(p, real_parent)) {
            fail_outside(p, path, real_parent, err);
            return NULL;
        }
        errno = failure;
        sb_fail_errno(err, errno == ENOENT || errno == ENOTDIR ? SB_E_NOT_FOUND : SB_E_IO, "%s",
                      path);
        return NULL;
    }
    if (!root_of(p, real)) {
        fail_outside(p, path, real, err);
        return NULL;
    }
    return sb_steal(real);
}

int sb_project_read(const struct sb_project *p, const char *path, size_t max, struct sb_buf *text,
                    struct stat *out, struct sb_error *err) {
    sb_autofree char *real = sb_project_resolve(p, path, err);
    const char *root = real ? root_of(p, real) : NULL;
    if (!root)
        return -1;
    const char *name = real + strlen(root);
    sb_autoclose int dir = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return sb_fail_errno(err, SB_E_IO, "%s", root);
    struct stat st;
    /* Without links, as there are none now: one that appears meanwhile isn't followed. */
    sb_autoclose int fd =
        sb_beneath_open(dir, name + strspn(name, "/"), SB_BENEATH_NO_LINKS, &st, err);
    if (fd < 0)
        return sb_error_context(err, "%s", root);
    if (sb_file_take(fd, &st, path, max, text, err) < 0)
        return -1;
    if (out)
        *out = st;
    return 0;
}
