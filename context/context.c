#include "context/context.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/beneath.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/process.h"
#include "context/context_private.h"
#include "context/statcache.h"
#include "layers/entry.h"

#define IGNORE_FILE_LIMIT (1u << 20)
#define LINKS_LIMIT       40 /* as Linux */

static int read_ignore_file(struct sb_context *context, struct sb_error *err) {
    static const char *const names[] = {".sbuildignore", ".dockerignore"};
    context->ignore_name = names[1];
    for (size_t i = 0; i < 2; i++) {
        sb_autobuf struct sb_buf text = {0};
        struct sb_error missing = {0};
        if (sb_beneath_read(context->fd, names[i], 0, IGNORE_FILE_LIMIT, &text, &missing) == 0) {
            sb_autofree char *origin = sb_path_join(context->path, names[i]);
            context->ignore_name = names[i];
            return sb_ignore_parse(sb_buf_text(&text), text.len, origin, &context->ignore, err);
        }
        if (missing.code != SB_E_NOT_FOUND) {
            *err = missing;
            return sb_error_context(err, "%s", context->path);
        }
    }
    return 0;
}

static int find_store(struct sb_context *context, struct sb_store *store, struct sb_error *err) {
    return stat(sb_store_path(store), &context->store) < 0
               ? sb_fail_errno(err, SB_E_IO, "%s", sb_store_path(store))
               : 0;
}

int sb_context_open(const char *directory, struct sb_store *store, struct sb_context **out,
                    struct sb_error *err) {
    char real[PATH_MAX];
    if (!realpath(directory, real))
        return sb_fail_errno(err, SB_E_NOT_FOUND, "the context %s", directory);
    struct sb_context *c = sb_alloc(sizeof *c);
    c->path = sb_strdup(real);
    c->fd = sb_directory_open(AT_FDCWD, real, err);
    if (c->fd < 0 || find_store(c, store, err) < 0 || read_ignore_file(c, err) < 0) {
        sb_context_close(c);
        return -1;
    }
    struct sb_digest id = sb_digest_of(real, strlen(real));
    int private_fd = sb_store_private_fd(store);
    if (mkdirat(private_fd, "stat", 0755) < 0 && errno != EEXIST) {
        sb_context_close(c);
        return sb_fail_errno(err, SB_E_IO, "%s/sbuild/stat", sb_store_path(store));
    }
    sb_outputs_read(store, &c->outputs);
    sb_autofree char *name = sb_format("stat/%.32s", sb_digest_hex(&id).text);
    c->stats = sb_statcache_open(private_fd, name);
    *out = c;
    return 0;
}

struct sb_context *sb_context_of_tree(int fd, const struct sb_context_tree *tree) {
    struct sb_context *c = sb_alloc(sizeof *c);
    c->path = sb_format("%s:", tree->title);
    c->fd = fd;
    c->ignore_name = ".dockerignore";
    c->tree = *tree;
    c->tree.title = NULL;
    return c;
}

void sb_context_close(struct sb_context *context) {
    if (!context)
        return;
    sb_outputs_free(&context->outputs);
    sb_strings_free(&context->left_out);
    if (context->stats)
        sb_statcache_close(context->stats);
    sb_ignore_free(context->ignore);
    sb_close_descriptor(&context->fd);
    free(context->path);
    free(context);
}

const struct sb_strings *sb_context_left_out(const struct sb_context *context) {
    return &context->left_out;
}

int sb_context_fd(const struct sb_context *context) {
    return context->fd;
}

const char *sb_context_path(const struct sb_context *context) {
    return context->path;
}

void sb_context_listen(struct sb_context *context, const struct sb_context_listener *listener) {
    context->listener = *listener;
}

/* ---- scanning: context/scan.c walks, this finds the source ---- */

char *sb_context_clean(const struct sb_context *context, const char *source, struct sb_error *err) {
    sb_autofree char *clean = sb_path_clean(source);
    if (clean[0] != '/' && strcmp(clean, "..") != 0 && strncmp(clean, "../", 3) != 0)
        return sb_steal(clean);
    sb_fail(err, SB_E_RECIPE, "%s: the source lies outside the context %s", source, context->path);
    sb_error_hint(err, "give a path relative to the context, or move context: up");
    return NULL;
}

/* Opens the directory that holds the source, refusing links on the way. */
static int open_parent(struct sb_context *c, const char *clean, struct sb_error *err) {
    sb_autofree char *parent = sb_path_dirname(clean);
    int fd = dup(c->fd);
    char *rest = parent;
    for (char *part; fd >= 0 && (part = strsep(&rest, "/"));) {
        int next = openat(fd, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int saved = errno;
        close(fd);
        errno = saved;
        fd = next;
    }
    if (fd >= 0)
        return fd;
    if (errno == ENOTDIR || errno == ELOOP)
        sb_fail(err, SB_E_NOT_FOUND,
                "%s/%s: a part of the path is not a directory (links are not followed)", c->path,
                clean);
    else
        sb_fail_errno(err, SB_E_NOT_FOUND, "%s/%s", c->path, clean);
    return sb_context_hint_missing(c, clean, err);
}

static bool names_directory(const char *source) {
    size_t n = strlen(source);
    return (n > 0 && source[n - 1] == '/') || (n > 1 && !strcmp(source + n - 2, "/."));
}

/* The target of clean when it is a link; else NULL. */
static char *read_link(struct sb_context *c, const char *clean, struct sb_error *err) {
    const char *slash = strrchr(clean, '/');
    sb_autoclose int parent = open_parent(c, clean, err);
    char target[PATH_MAX];
    ssize_t n =
        parent < 0 ? -1 : readlinkat(parent, slash ? slash + 1 : clean, target, sizeof target);
    return n > 0 && (size_t)n < sizeof target ? sb_strndup(target, (size_t)n) : NULL;
}

int sb_context_follow(struct sb_context *c, const char *source, char **clean,
                      struct sb_error *err) {
    for (int links = 0; names_directory(source) && strcmp(*clean, ".") != 0; links++) {
        struct sb_error ignored = {0};
        sb_autofree char *target = read_link(c, *clean, &ignored);
        if (!target)
            return 0; /* what else it is is told by who opens it */
        sb_autofree char *directory = sb_path_dirname(*clean);
        sb_autofree char *joined = sb_path_join(directory, target);
        char *next = sb_path_clean(joined);
        free(*clean);
        *clean = next;
        if (target[0] != '/' && links < LINKS_LIMIT && strcmp(next, "..") != 0 &&
            strncmp(next, "../", 3) != 0)
            continue;
        sb_fail(err, SB_E_RECIPE, "%s: the symbolic link leads to %.200s, %s", source, target,
                links < LINKS_LIMIT ? "outside the context" : "and round and round");
        return sb_error_hint(err, "name a directory below the context; without the / at its end, "
                                  "the link itself is copied");
    }
    return 0;
}

/* What was laid out of an image is the builder's; in the image it is somebody else's. */
static void set_owners(const struct sb_context *c, struct sb_input_list *list, size_t first) {
    for (size_t i = first; i < list->n && c->tree.find; i++) {
        struct sb_input *input = &list->v[i];
        struct sb_entry entry;
        if (!c->tree.find(c->tree.data, input->path, &entry))
            continue;
        input->mode = (input->mode & S_IFMT) | (entry.mode & 07777);
        input->uid = entry.uid;
        input->gid = entry.gid;
        input->owned = true;
        input->xattrs = entry.xattrs;
        input->xattr_count = entry.xattr_count;
    }
}

static int take(struct sb_context *context, const char *source, const struct sb_scan *how,
                struct sb_input_list *list, struct sb_error *err) {
    struct sb_scan scan = *how;
    scan.context_fd = context->fd;
    scan.context_path = context->path;
    scan.store = &context->store;
    scan.outputs = &context->outputs;
    scan.left_out = &context->left_out;
    scan.stats = context->stats;
    scan.ignore = context->ignore;
    scan.ignore_name = context->ignore_name;
    scan.listener = &context->listener;
    scan.of_image = context->tree.find;
    if (!strcmp(source, "."))
        return sb_scan_run(&scan, context->fd, ".", "", list, err);
    sb_autoclose int parent = open_parent(context, source, err);
    if (parent < 0)
        return -1;
    const char *slash = strrchr(source, '/');
    const char *name = slash ? slash + 1 : source;
    struct stat st;
    if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        sb_fail_errno(err, SB_E_NOT_FOUND, "%s/%s", context->path, source);
        return sb_context_hint_missing(context, source, err);
    }
    int has = sb_context_has(context, source, S_ISDIR(st.st_mode), err);
    if (has == 0) {
        sb_fail(err, SB_E_NOT_FOUND, "%s/%s: left out by the context's %s", context->path, source,
                context->ignore_name);
        sb_error_hint(err, "add !%s to %s, or name another source", source, context->ignore_name);
    }
    return has > 0 ? sb_scan_run(&scan, parent, name, source, list, err) : -1;
}

int sb_context_take(struct sb_context *context, const char *source, const struct sb_scan *how,
                    struct sb_input_list *list, struct sb_error *err) {
    size_t first = list->n;
    if (take(context, source, how, list, err) < 0)
        return -1;
    set_owners(context, list, first);
    return 0;
}

int sb_context_scan(struct sb_context *context, const char *source, const struct sb_ignore *exclude,
                    struct sb_input_list *out, struct sb_error *err) {
    const struct sb_scan how = {.exclude = exclude};
    sb_autofree char *clean = sb_context_clean(context, source, err);
    if (!clean || sb_context_follow(context, source, &clean, err) < 0)
        return -1;
    return sb_context_take(context, clean, &how, out, err);
}

int sb_context_check_path(struct sb_context *context, const char *path,
                          const struct sb_ignore *exclude, bool deep, struct sb_error *err) {
    const struct sb_scan how = {.exclude = exclude, .check = true, .alone = !deep};
    struct sb_input_list list = {0};
    sb_autofree char *clean = sb_context_clean(context, path, err);
    int result = clean ? sb_context_take(context, clean, &how, &list, err) : -1;
    if (result == 0 && list.n > 0 && S_ISLNK(list.v[0].mode)) {
        result = sb_fail(err, SB_E_NOT_FOUND, "%s/%s is a symbolic link", context->path, clean);
        sb_error_hint(err, "name what it leads to: what a step reads is not reached through links");
    }
    sb_input_list_free(&list);
    return result;
}
