#include "layers/place.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/beneath.h"
#include "base/buffer.h"
#include "base/memory.h"

#define LINK_LIMIT 40 /* the kernel's own */

void sb_place_init(struct sb_placer *place, int root) {
    *place = (struct sb_placer){.root = root, .parent_fd = -1};
}

void sb_place_free(struct sb_placer *place) {
    if (place->parent_fd >= 0)
        close(place->parent_fd);
    place->parent_fd = -1;
    free(sb_steal(place->parent));
}

static int open_inside(const struct sb_placer *place, const char *path, uint64_t flags) {
    return place->plain ? sb_open_beneath(place->root, path, O_PATH | flags, SB_BENEATH_NO_LINKS)
                        : sb_open_in_root(place->root, path, O_PATH | flags);
}

static int place_error(struct sb_error *err, const char *path) {
    bool old = errno == ENOSYS;
    sb_fail_errno(err, SB_E_IO, "opening the directory of %s", path);
    if (old)
        sb_error_hint(err, "unpacking needs openat2, of Linux 5.6 or later");
    return -1;
}

/* ---- making what is missing, one component at a time ---- */

struct chain {
    struct sb_buf done; /* real directories, without links */
    int dir;            /* of done */
    struct sb_buf todo; /* what is still to follow, from todo.data + at */
    size_t at;
    int links;
};

static void chain_free(struct chain *c) {
    sb_buf_free(&c->done);
    sb_buf_free(&c->todo);
    if (c->dir >= 0)
        close(c->dir);
}

static int chain_move(struct chain *c, int dir, struct sb_error *err) {
    if (dir < 0)
        return sb_fail_errno(err, SB_E_IO, "opening %s", sb_buf_text(&c->done));
    if (c->dir >= 0)
        close(c->dir);
    c->dir = dir;
    return 0;
}

/* The next component of todo, or NULL; the caller's to free. */
static char *take_component(struct chain *c) {
    const char *p = sb_buf_text(&c->todo) + c->at;
    size_t slashes = strspn(p, "/"), n = strcspn(p + slashes, "/");
    c->at += slashes + n;
    return n > 0 ? sb_strndup(p + slashes, n) : NULL;
}

static int go_up(struct sb_placer *place, struct chain *c, struct sb_error *err) {
    char *slash = c->done.len ? strrchr(c->done.data, '/') : NULL;
    c->done.len = slash ? (size_t)(slash - c->done.data) : 0;
    if (c->done.data)
        c->done.data[c->done.len] = '\0';
    return chain_move(c, open_inside(place, sb_buf_text(&c->done), O_DIRECTORY), err);
}

static int follow_link(struct sb_placer *place, struct chain *c, int link, struct sb_error *err) {
    char target[PATH_MAX];
    ssize_t n = readlinkat(link, "", target, sizeof target - 1);
    if (n < 0)
        return sb_fail_errno(err, SB_E_IO, "reading a symlink");
    target[n] = '\0';
    if (++c->links > LINK_LIMIT)
        return sb_fail(err, SB_E_INTEGRITY, "its directory is behind too many symlinks");
    struct sb_buf todo = {0};
    sb_buf_addf(&todo, "%s/%s", target, sb_buf_text(&c->todo) + c->at);
    sb_buf_free(&c->todo);
    c->todo = todo;
    c->at = 0;
    if (target[0] != '/')
        return 0;
    sb_buf_reset(&c->done);
    return chain_move(c, open_inside(place, "", O_DIRECTORY), err);
}

static int set_opaque(int dir, const char *name, const char *attribute, struct sb_error *err) {
    sb_autoclose int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fsetxattr(fd, attribute, "y", 1, 0) < 0)
        return sb_fail_errno(err, SB_E_IO, "marking the directory %s as opaque", name);
    return 0;
}

/* Enters the directory name of c->dir. */
static int enter(struct chain *c, const char *name, int fd, struct sb_error *err) {
    if (c->done.len > 0)
        sb_buf_addc(&c->done, '/');
    sb_buf_adds(&c->done, name);
    return chain_move(c, fd, err);
}

static int make_one(struct sb_placer *place, struct chain *c, const char *name, bool over_whiteout,
                    struct sb_error *err) {
    if (mkdirat(c->dir, name, 0755) < 0)
        return sb_fail_errno(err, SB_E_IO, "creating the directory %s", name);
    if (over_whiteout && set_opaque(c->dir, name, place->opaque, err) < 0)
        return -1;
    int fd = openat(c->dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (enter(c, name, fd, err) < 0)
        return -1;
    if (place->made)
        place->made(place->self, c->done.data);
    return 0;
}

static int will_change(struct sb_placer *place, const struct chain *c, struct sb_error *err) {
    return place->changes ? place->changes(place->self, c->dir, sb_buf_text(&c->done), err) : 0;
}

/* name is one real component, so that opening it can't lead out. */
static int follow_component(struct sb_placer *place, struct chain *c, const char *name,
                            struct sb_error *err) {
    sb_autoclose int fd = openat(c->dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    struct stat st = {0};
    if (fd < 0 && errno == ENOENT)
        return will_change(place, c, err) < 0 ? -1 : make_one(place, c, name, false, err);
    if (fd < 0 || fstat(fd, &st) < 0)
        return sb_fail_errno(err, SB_E_IO, "%s", name);
    if (S_ISDIR(st.st_mode))
        return enter(c, name, sb_steal_fd(&fd), err);
    if (S_ISLNK(st.st_mode) && !place->plain)
        return follow_link(place, c, fd, err);
    bool whiteout = place->whiteouts && S_ISCHR(st.st_mode) && st.st_rdev == 0;
    sb_autofree char *path =
        sb_format("%s%s%s", sb_buf_text(&c->done), c->done.len ? "/" : "", name);
    if (!whiteout && !(place->gives_way && place->gives_way(place->self, path)))
        return sb_fail(err, SB_E_INTEGRITY, "%s is not a directory", path);
    if (will_change(place, c, err) < 0)
        return -1;
    if (unlinkat(c->dir, name, 0) < 0)
        return sb_fail_errno(err, SB_E_IO, "replacing %s", path);
    return make_one(place, c, name, whiteout, err);
}

static int make_directory(struct sb_placer *place, const char *path, struct sb_error *err) {
    __attribute__((cleanup(chain_free))) struct chain c = {.dir = -1};
    sb_buf_adds(&c.todo, path);
    if (chain_move(&c, open_inside(place, "", O_DIRECTORY), err) < 0)
        return -1;
    for (;;) {
        sb_autofree char *name = take_component(&c);
        if (!name)
            return sb_steal_fd(&c.dir);
        int rc = 0;
        if (!strcmp(name, ".."))
            rc = go_up(place, &c, err);
        else if (strcmp(name, ".") != 0)
            rc = follow_component(place, &c, name, err);
        if (rc < 0)
            return -1;
    }
}

/* ---- looking up ---- */

int sb_place_find(const struct sb_placer *place, const char *path, const char **out_name) {
    const char *slash = strrchr(path, '/');
    *out_name = slash ? slash + 1 : path;
    sb_autofree char *parent = slash ? sb_strndup(path, (size_t)(slash - path)) : sb_strdup("");
    return open_inside(place, parent, O_DIRECTORY);
}

int sb_place_make(struct sb_placer *place, const char *path, int *out_dir, const char **out_name,
                  struct sb_error *err) {
    const char *slash = strrchr(path, '/');
    size_t len = slash ? (size_t)(slash - path) : 0;
    *out_name = slash ? slash + 1 : path;
    if (!place->parent || strlen(place->parent) != len || memcmp(place->parent, path, len) != 0) {
        sb_place_free(place);
        sb_autofree char *parent = sb_strndup(path, len);
        int fd = open_inside(place, parent, O_DIRECTORY);
        if (fd < 0 && errno != ENOENT && errno != ENOTDIR && errno != ELOOP)
            return place_error(err, path);
        if (fd < 0 && (fd = make_directory(place, parent, err)) < 0)
            return sb_error_context(err, "%s", path);
        place->parent = sb_steal(parent);
        place->parent_fd = fd;
    }
    *out_dir = place->parent_fd;
    return 0;
}
