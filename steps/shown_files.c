#include "steps/shown_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/beneath.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/process.h"
#include "base/tree.h"
#include "layers/xattrs.h"
#include "steps/inputs.h"

#define NANOSECONDS INT64_C(1000000000)
#define COPY_LIMIT  (UINT64_C(256) << 20) /* bytes that are copied for one program */
#define LONG_AGO    INT64_C(475286400)    /* seconds: 1985, before any package */

void sb_shown_files_free(struct sb_shown_files *files) {
    for (size_t i = 0; i < files->n; i++)
        free(files->v[i].path);
    free(files->v);
    *files = (struct sb_shown_files){0};
}

void sb_shown_files_add(struct sb_shown_files *files, const char *name, int64_t time) {
    SB_GROW(files->v, files->n, files->cap);
    files->v[files->n++] = (struct sb_shown_file){.path = sb_inputs_path(name), .time = time};
}

static struct timespec spec_of(int64_t time) {
    int64_t below = time % NANOSECONDS;
    below += below < 0 ? NANOSECONDS : 0;
    return (struct timespec){(time - below) / NANOSECONDS, below};
}

static int64_t time_of(const struct stat *st) {
    return st->st_mtim.tv_sec * NANOSECONDS + st->st_mtim.tv_nsec;
}

/* Nothing is followed: the root is what programs of an image made of it. */
static int open_parent(int root, const char *path, const char **out_name) {
    const char *slash = strrchr(path, '/');
    *out_name = slash ? slash + 1 : path;
    sb_autofree char *parent = sb_strndup(path, slash ? (size_t)(slash - path) : 0);
    return sb_open_beneath(root, parent, O_PATH | O_DIRECTORY, SB_BENEATH_NO_LINKS);
}

static bool look(int root, const char *path, struct stat *out) {
    const char *name;
    sb_autoclose int parent = open_parent(root, path, &name);
    return parent >= 0 && fstatat(parent, name, out, AT_SYMLINK_NOFOLLOW) == 0;
}

static int touch(int root, const char *path, int64_t time) {
    const char *name;
    sb_autoclose int parent = open_parent(root, path, &name);
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, spec_of(time)};
    return parent < 0 ? -1 : utimensat(parent, name, times, AT_SYMLINK_NOFOLLOW);
}

/* ---- copies of what is below ---- */

struct copying {
    int root, to; /* the root as it is, and the directory that is to be shown above */
    uint64_t budget;
    size_t copied;
};

static int copy_attributes(int from, int to, const struct stat *st) {
    struct sb_xattrs xattrs = {0};
    int failed = fchown(to, st->st_uid, st->st_gid) < 0 || fchmod(to, st->st_mode & 07777u) < 0 ||
                 sb_xattrs_read(&xattrs, from, -1, "", false, "", NULL) < 0;
    for (size_t i = 0; i < xattrs.n && !failed; i++)
        failed = fsetxattr(to, xattrs.v[i].name, xattrs.v[i].value, xattrs.v[i].value_len, 0) < 0;
    sb_xattrs_free(&xattrs);
    return failed ? -1 : 0;
}

/* The directories on the way, with what the root says of them. */
static int copy_parents(const struct copying *c, const char *path) {
    for (const char *p = strchr(path, '/'); p; p = strchr(p + 1, '/')) {
        sb_autofree char *parent = sb_strndup(path, (size_t)(p - path));
        struct stat st;
        sb_autoclose int from =
            sb_open_beneath(c->root, parent, O_RDONLY | O_DIRECTORY, SB_BENEATH_NO_LINKS);
        if (from < 0 || fstat(from, &st) < 0)
            return -1;
        if (mkdirat(c->to, parent, 0700) < 0) {
            if (errno != EEXIST)
                return -1;
            continue;
        }
        sb_autoclose int to =
            sb_open_beneath(c->to, parent, O_RDONLY | O_DIRECTORY, SB_BENEATH_NO_LINKS);
        if (to < 0 || copy_attributes(from, to, &st) < 0)
            return -1;
    }
    return 0;
}

static int copy_bytes(int from, int to, struct sb_error *err) {
    char chunk[65536];
    for (off_t at = 0;;) {
        ssize_t n = pread(from, chunk, sizeof chunk, at);
        if (n <= 0)
            return (int)n;
        if (sb_interrupt_check(err) < 0 || sb_fd_write(to, chunk, (size_t)n, "a copy", err) < 0)
            return -1;
        at += n;
    }
}

static int copy_file(struct copying *c, const struct sb_shown_file *file, struct sb_error *err) {
    struct stat st;
    struct sb_error ignored = {0};
    sb_autoclose int from =
        sb_beneath_open(c->root, file->path, SB_BENEATH_NO_LINKS, &st, &ignored);
    if (from < 0 || (uint64_t)st.st_size > c->budget || copy_parents(c, file->path) < 0)
        return -1;
    c->budget -= (uint64_t)st.st_size;
    sb_autoclose int to =
        openat(c->to, file->path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (to >= 0 && copy_bytes(from, to, err) == 0 && copy_attributes(from, to, &st) == 0 &&
        touch(c->to, file->path, file->time) == 0)
        return 0;
    if (to >= 0) /* half a file must not be shown */
        unlinkat(c->to, file->path, 0);
    return -1;
}

/* Directories get the times that they have in the root. */
static int date_directory(void *self, const struct sb_tree_entry *e, struct sb_error *err) {
    const struct copying *c = self;
    struct stat st;
    (void)err;
    if (e->type == DT_DIR && look(c->root, e->path, &st))
        touch(c->to, e->path, time_of(&st));
    return 0;
}

static int finish_copies(struct copying *c, const char *directory, struct sb_error *err) {
    struct stat st;
    if (fstat(c->root, &st) < 0 || fchmod(c->to, st.st_mode & 07777u) < 0 ||
        fchown(c->to, st.st_uid, st.st_gid) < 0 ||
        sb_tree_walk(AT_FDCWD, directory, date_directory, NULL, c, err) < 0)
        return err->code ? -1 : sb_fail_errno(err, SB_E_IO, "%s", directory);
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, st.st_mtim};
    futimens(c->to, times);
    return 0;
}

/* ---- showing ---- */

/* One file: 1, it is shown; 0, there is none; -1, it can't be. */
static int apply(struct copying *c, int upper, struct sb_shown_file *file, struct sb_error *err) {
    struct stat st, own;
    if (!look(c->root, file->path, &st))
        return 0;
    if (!S_ISREG(st.st_mode))
        return -1;
    if (time_of(&st) >= file->time)
        return 1; /* written by a program of this layer */
    file->was = time_of(&st);
    if (look(upper, file->path, &own)) {
        if (touch(c->root, file->path, file->time) < 0)
            return -1;
    } else {
        if (copy_file(c, file, err) < 0)
            return -1;
        c->copied++;
    }
    file->done = true;
    return 1;
}

static void forget(json_t *times, const char *path) {
    sb_autofree char *name = sb_inputs_name(path);
    json_object_del(times, name);
}

static int apply_all(struct sb_shown_files *files, struct copying *c, int upper, json_t *times,
                     bool *told, struct sb_error *err) {
    for (size_t i = 0; i < files->n; i++) {
        struct sb_error own = {0};
        int shown = apply(c, upper, &files->v[i], &own);
        if (own.code == SB_E_INTERRUPTED || own.code == SB_E_NO_SPACE) {
            *err = own;
            return -1;
        }
        if (shown <= 0)
            forget(times, files->v[i].path);
        *told = *told && shown >= 0;
    }
    return 0;
}

int sb_shown_files_apply(struct sb_shown_files *files, struct sb_root *root, json_t *times,
                         bool *told, struct sb_error *err) {
    if (files->n == 0)
        return 0;
    sb_autofree char *directory = sb_root_make_shown(root, err);
    if (!directory)
        return -1;
    struct copying c = {.budget = COPY_LIMIT};
    c.root = sb_directory_open(AT_FDCWD, sb_root_path(root), err);
    c.to = sb_directory_open(AT_FDCWD, directory, err);
    sb_autoclose int upper = sb_directory_open(AT_FDCWD, sb_root_upper(root), err);
    int failed = c.root < 0 || c.to < 0 || upper < 0 ? -1 : 0;
    if (!failed)
        failed = apply_all(files, &c, upper, times, told, err);
    if (!failed && c.copied > 0)
        failed = finish_copies(&c, directory, err);
    sb_close_descriptor(&c.root);
    sb_close_descriptor(&c.to);
    sb_close_descriptor(&upper); /* the root is mounted anew */
    return failed || c.copied == 0 ? failed : sb_root_show(root, directory, err);
}

void sb_shown_files_restore(struct sb_shown_files *files, const struct sb_root *root) {
    sb_autoclose int merged =
        files->n ? open(sb_root_path(root), O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    sb_autoclose int upper =
        files->n ? open(sb_root_upper(root), O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    struct stat st;
    for (size_t i = 0; i < files->n && merged >= 0; i++)
        if (files->v[i].done && look(upper, files->v[i].path, &st) && S_ISREG(st.st_mode) &&
            time_of(&st) == files->v[i].time)
            touch(merged, files->v[i].path, files->v[i].was);
    sb_shown_files_free(files);
}

/* ---- dating back ---- */

struct dating {
    int64_t newest, back;
};

static int find_newest(void *self, const struct sb_tree_entry *e, struct sb_error *err) {
    struct dating *d = self;
    struct stat st;
    (void)err;
    if (fstatat(e->dir, e->name, &st, AT_SYMLINK_NOFOLLOW) == 0 && time_of(&st) > d->newest)
        d->newest = time_of(&st);
    return 0;
}

static int date_back(void *self, const struct sb_tree_entry *e, struct sb_error *err) {
    const struct dating *d = self;
    struct stat st;
    if (fstatat(e->dir, e->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    int64_t time = time_of(&st) - d->back;
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT},
                                spec_of(time > NANOSECONDS ? time : NANOSECONDS)};
    if (utimensat(e->dir, e->name, times, AT_SYMLINK_NOFOLLOW) < 0)
        return sb_fail_errno(err, SB_E_IO, "setting the time of %.200s", e->path);
    return 0;
}

int sb_shown_files_date_back(struct sb_store *store, const char *path, struct sb_error *err) {
    struct dating d = {0};
    int private = sb_store_private_fd(store);
    if (sb_tree_walk(private, path, find_newest, NULL, &d, err) < 0)
        return -1;
    d.back = d.newest - LONG_AGO * NANOSECONDS;
    if (d.back <= 0)
        return 0;
    if (sb_tree_walk(private, path, date_back, NULL, &d, err) < 0)
        return sb_error_context(err, "%s/sbuild/%s", sb_store_path(store), path);
    return 0;
}
