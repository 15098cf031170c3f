#include "builder/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/beneath.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/process.h"
#include "base/sparse.h"
#include "builder/statcache.h"

void sb_copy_list_free(struct sb_copy_list *list) {
    free(list->v);
    sb_arena_free(&list->arena);
    *list = (struct sb_copy_list){0};
}

struct resolve {
    const struct sb_stack *stack;
    struct sb_context *context;
    struct sb_copy_list *out;
    struct sb_error *err;
};

static void add(struct resolve *r, struct sb_copy_entry entry) {
    SB_GROW(r->out->v, r->out->n, r->out->cap);
    r->out->v[r->out->n++] = entry;
}

/* Permissions that don't depend on the umask or the file system of the machine that builds. */
static mode_t final_mode(const struct sb_step_copy *copy, mode_t mode) {
    if (S_ISLNK(mode))
        return S_IFLNK | 0777;
    if (S_ISDIR(mode))
        return S_IFDIR | (mode_t)(copy->directory_mode >= 0 ? copy->directory_mode : 0755);
    if (copy->file_mode >= 0)
        return S_IFREG | (mode_t)copy->file_mode;
    return S_IFREG | (mode & 0100 ? 0755 : 0644);
}

/* The directories on the way to path: as the layers below have them, or else new. */
static int add_parents(struct resolve *r, const char *path) {
    for (const char *p = strchr(path, '/'); p; p = strchr(p + 1, '/')) {
        char *parent = sb_arena_strndup(&r->out->arena, path, (size_t)(p - path));
        struct sb_entry below;
        struct sb_copy_entry entry = {.path = parent, .mode = S_IFDIR | 0755};
        if (sb_stack_find(r->stack, parent, &below)) {
            if (!S_ISDIR(below.mode))
                return sb_fail(r->err, SB_E_FAILED,
                               "/%s is not a directory in the layers below, so nothing can be "
                               "copied to /%s",
                               parent, path);
            entry.mode = below.mode;
            entry.uid = below.uid;
            entry.gid = below.gid;
        }
        add(r, entry);
    }
    return 0;
}

/* The place of "to" in the image, or NULL; *into tells whether sources go below it. */
static const char *resolve_destination(struct resolve *r, const struct sb_step_copy *copy,
                                       bool many, bool *into) {
    sb_autofree char *clean = sb_path_clean(copy->to);
    sb_autofree char *resolved = NULL;
    if (sb_stack_resolve(r->stack, clean[0] == '/' ? clean + 1 : clean, &resolved, r->err) < 0) {
        sb_error_context(r->err, "to: %s", copy->to);
        return NULL;
    }
    struct sb_entry below;
    size_t n = strlen(copy->to);
    *into = many || copy->to[n - 1] == '/' || !*resolved ||
            (sb_stack_find(r->stack, resolved, &below) && S_ISDIR(below.mode));
    return sb_arena_strdup(&r->out->arena, resolved);
}

/* A directory that the layers below have keeps their mode and owner, as `cp -r` would. */
static void keep_attributes(const struct resolve *r, struct sb_copy_entry *entry) {
    struct sb_entry below;
    if (!S_ISDIR(entry->mode) || !sb_stack_find(r->stack, entry->path, &below) ||
        !S_ISDIR(below.mode))
        return;
    entry->mode = below.mode;
    entry->uid = below.uid;
    entry->gid = below.gid;
}

static void add_input(struct resolve *r, const struct sb_step_copy *copy,
                      const struct sb_input *input, const char *path) {
    struct sb_copy_entry entry = {
        .path = path,
        .source = sb_arena_strdup(&r->out->arena, input->path),
        .mode = final_mode(copy, input->mode),
        .uid = copy->uid,
        .gid = copy->gid,
        .size = S_ISREG(input->mode) ? input->size : 0,
        .digest = input->digest,
        .link = input->link ? sb_arena_strdup(&r->out->arena, input->link) : NULL,
    };
    keep_attributes(r, &entry);
    add(r, entry);
}

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static int place_inputs(struct resolve *r, const struct sb_step_copy *copy,
                        const struct sb_input_list *inputs, const char *to, bool into) {
    const struct sb_input *first = &inputs->v[0];
    if (!S_ISDIR(first->mode)) {
        const char *path = to;
        if (into) {
            path = sb_arena_join(&r->out->arena, to, base_name(first->path));
            if (add_parents(r, path) < 0)
                return -1;
        }
        if (!*path)
            return sb_fail(r->err, SB_E_FAILED, "a file can't replace the root directory");
        add_input(r, copy, first, path);
        return 0;
    }
    if (*to)
        add_input(r, copy, first, to);
    for (size_t i = 1; i < inputs->n; i++)
        add_input(r, copy, &inputs->v[i], sb_arena_join(&r->out->arena, to, inputs->v[i].relative));
    return 0;
}

static int resolve_step(struct resolve *r, const struct sb_step *step) {
    const struct sb_step_copy *copy = &step->copy;
    sb_autofree char *place =
        step->place.file ? sb_format("%s:%d", step->place.file, step->place.line) : NULL;
    const struct sb_selection selection = {&copy->from, &copy->include, &copy->exclude, place};
    struct sb_input_lists sources = {0};
    bool into = false;
    int result = sb_context_select(r->context, &selection, &sources, r->err);
    const char *to = result < 0 ? NULL : resolve_destination(r, copy, sources.n > 1, &into);
    if (!to || add_parents(r, to) < 0)
        result = -1;
    for (size_t i = 0; i < sources.n && result == 0; i++)
        result = place_inputs(r, copy, &sources.v[i], to, into);
    sb_input_lists_free(&sources);
    return result;
}

/* The last component of "to" is the file's own name: a link there is replaced, not followed. */
static int resolve_download(struct resolve *r, const struct sb_step *step) {
    const struct sb_step_download *download = &step->download;
    sb_autofree char *clean = sb_path_clean(download->to);
    const char *name = base_name(clean);
    sb_autofree char *parent = sb_path_dirname(clean);
    sb_autofree char *resolved = NULL;
    struct sb_entry below;
    struct sb_copy_entry entry = {.mode = S_IFREG | (mode_t)download->mode,
                                  .uid = download->uid,
                                  .gid = download->gid,
                                  .download = step};
    if (!*name || !sb_digest_parse_hex(download->sha256, &entry.digest))
        return sb_fail(r->err, SB_E_FAILED, "%s names no file", download->to);
    if (sb_stack_resolve(r->stack, parent + 1, &resolved, r->err) < 0)
        return sb_error_context(r->err, "to: %s", download->to);
    entry.path = sb_arena_join(&r->out->arena, resolved, name);
    if (sb_stack_find(r->stack, entry.path, &below) && S_ISDIR(below.mode)) {
        sb_fail(r->err, SB_E_FAILED, "%s is a directory in the image", download->to);
        return sb_error_hint(r->err, "end to: with a / to put the file into it");
    }
    if (add_parents(r, entry.path) < 0)
        return -1;
    add(r, entry);
    return 0;
}

/* ---- one entry a path ---- */

struct ranked {
    struct sb_copy_entry entry;
    size_t rank; /* position before sorting: of two with one path the later wins */
};

static int compare_ranked(const void *a, const void *b) {
    const struct ranked *x = a, *y = b;
    int order = sb_path_order(x->entry.path, y->entry.path);
    return order ? order : (x->rank > y->rank) - (x->rank < y->rank);
}

static bool is_below(const char *path, const char *parent) {
    size_t n = strlen(parent);
    return !strncmp(path, parent, n) && path[n] == '/';
}

static bool is_sorted(const struct sb_copy_list *list) {
    for (size_t i = 1; i < list->n; i++)
        if (sb_path_order(list->v[i - 1].path, list->v[i].path) >= 0)
            return false;
    return true;
}

/* One entry a path: the later of two, but a directory that merely leads somewhere (no source) never
 * replaces what was copied. */
static int replace(struct sb_copy_entry *earlier, const struct sb_copy_entry *later,
                   struct sb_error *err) {
    if (later->source || later->download) {
        *earlier = *later;
        return 0;
    }
    if (S_ISDIR(earlier->mode))
        return 0;
    return sb_fail(err, SB_E_FAILED, "/%s is copied as a file, and something else below it",
                   earlier->path);
}

static int check_leaves(const struct sb_copy_list *list, struct sb_error *err) {
    const struct sb_copy_entry *leaf = NULL; /* the last entry that is not a directory */
    for (size_t i = 0; i < list->n; i++) {
        if (leaf && is_below(list->v[i].path, leaf->path))
            return sb_fail(err, SB_E_FAILED,
                           "/%s is copied as a file, and /%s as something below it", leaf->path,
                           list->v[i].path);
        if (!S_ISDIR(list->v[i].mode))
            leaf = &list->v[i];
    }
    return 0;
}

static int settle(struct sb_copy_list *list, struct sb_error *err) {
    if (is_sorted(list))
        return check_leaves(list, err);
    sb_autofree struct ranked *all = sb_realloc(NULL, list->n + 1, sizeof *all);
    for (size_t i = 0; i < list->n; i++)
        all[i] = (struct ranked){list->v[i], i};
    qsort(all, list->n, sizeof *all, compare_ranked);
    size_t n = 0;
    for (size_t i = 0; i < list->n; i++) {
        struct sb_copy_entry *last = n ? &list->v[n - 1] : NULL;
        if (!last || strcmp(last->path, all[i].entry.path) != 0)
            list->v[n++] = all[i].entry;
        else if (replace(last, &all[i].entry, err) < 0)
            return -1;
    }
    list->n = n;
    return check_leaves(list, err);
}

int sb_copy_resolve(const struct sb_step *steps, size_t count, struct sb_context *context,
                    const struct sb_stack *stack, struct sb_copy_list *out, struct sb_error *err) {
    struct resolve r = {stack, context, out, err};
    for (size_t i = 0; i < count; i++)
        if ((sb_step_downloads(&steps[i]) ? resolve_download(&r, &steps[i])
                                          : resolve_step(&r, &steps[i])) < 0)
            return sb_error_context(err, "%s:%d", steps[i].place.file, steps[i].place.line);
    return settle(out, err);
}

/* Appends a space and the number. */
static size_t add_number(char *out, size_t at, uint32_t value, unsigned base) {
    char digits[16];
    size_t n = 0;
    do
        digits[n++] = (char)('0' + value % base);
    while (value /= base);
    out[at++] = ' ';
    while (n > 0)
        out[at++] = digits[--n];
    return at;
}

void sb_copy_listing(const struct sb_copy_list *list, struct sb_buf *out) {
    for (size_t i = 0; i < list->n; i++) {
        const struct sb_copy_entry *e = &list->v[i];
        sb_buf_add(out, e->path, strlen(e->path) + 1);
        char type = S_ISDIR(e->mode) ? 'd' : S_ISLNK(e->mode) ? 'l' : 'f';
        char head[48]; /* one formatted write for each of many thousand entries is too dear */
        size_t n = 0;
        head[n++] = type;
        n = add_number(head, n, e->mode & 07777u, 8);
        n = add_number(head, n, e->uid, 10);
        n = add_number(head, n, e->gid, 10);
        head[n++] = ' ';
        sb_buf_add(out, head, n);
        if (type == 'f')
            sb_buf_add(out, sb_digest_hex(&e->digest).text, SB_DIGEST_HEX_SIZE - 1);
        else if (type == 'l') { /* a target may hold a newline: its digest can't */
            struct sb_digest target = sb_digest_of(e->link, strlen(e->link));
            sb_buf_adds(out, sb_digest_hex(&target).text);
        }
        sb_buf_addc(out, '\n');
    }
}

static int open_source(const struct sb_copy_entry *e, const struct sb_context *context,
                       struct sb_error *err) {
    int fd = sb_open_beneath(sb_context_fd(context), e->source, SB_FILE_FLAGS, SB_BENEATH_NO_LINKS);
    if (fd < 0)
        return sb_fail_errno(err, SB_E_IO, "%s/%s", sb_context_path(context), e->source);
    struct stat st;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == e->size)
        return fd;
    close(fd);
    sb_fail(err, SB_E_FAILED, "%s/%s changed while it was being copied", sb_context_path(context),
            e->source);
    err->os_errno = ESTALE;
    return -1;
}

static int check_unchanged(const struct sb_copy_entry *e, const struct sb_context *context,
                           const struct sb_digest *packed, struct sb_error *err) {
    if (sb_digest_equal(packed, &e->digest))
        return 0;
    sb_fail(err, SB_E_FAILED, "%s/%s changed while it was being copied", sb_context_path(context),
            e->source);
    err->os_errno = ESTALE;
    return -1;
}

/* Its content was compared with the digest when it was fetched. */
static int pack_download(const struct sb_copy_fetch *fetch, const struct sb_copy_entry *e,
                         struct sb_entry *entry, struct sb_packer *packer, struct sb_error *err) {
    sb_autoclose int fd = fetch->open(fetch->data, e->download, err);
    struct stat st;
    if (fd < 0)
        return -1;
    if (fstat(fd, &st) < 0)
        return sb_fail_errno(err, SB_E_IO, "/%s", e->path);
    entry->size = (uint64_t)st.st_size;
    struct sb_digest packed;
    if (sb_packer_entry(packer, entry, err) < 0 ||
        sb_packer_file(packer, fd, e->path, &packed, err) < 0)
        return -1;
    if (sb_digest_equal(&packed, &e->digest))
        return 0;
    return sb_fail(err, SB_E_INTEGRITY, "the file fetched for /%s changed meanwhile", e->path);
}

int sb_copy_pack(const struct sb_copy_list *list, const struct sb_context *context,
                 const struct sb_copy_fetch *fetch, struct sb_packer *packer, int64_t epoch,
                 struct sb_error *err) {
    for (size_t i = 0; i < list->n; i++) {
        const struct sb_copy_entry *e = &list->v[i];
        struct sb_entry entry = {.path = e->path,
                                 .link = e->link,
                                 .mode = e->mode,
                                 .uid = e->uid,
                                 .gid = e->gid,
                                 .size = e->size,
                                 .mtime = epoch};
        if (!S_ISREG(e->mode)) {
            if (sb_packer_entry(packer, &entry, err) < 0)
                return -1;
            continue;
        }
        if (e->download) {
            if (pack_download(fetch, e, &entry, packer, err) < 0)
                return -1;
            continue;
        }
        sb_autoclose int fd = open_source(e, context, err);
        struct sb_digest packed;
        if (fd < 0 || sb_packer_entry(packer, &entry, err) < 0 ||
            sb_packer_file(packer, fd, e->source, &packed, err) < 0 ||
            check_unchanged(e, context, &packed, err) < 0)
            return -1;
    }
    return 0;
}

/* ---- into a mounted root ---- */

/* Opens the directory part of path as a chroot would see it. */
static int open_parent_in_root(int root_fd, const char *path, struct sb_error *err) {
    sb_autofree char *parent = sb_path_dirname(path);
    int fd = sb_open_in_root(root_fd, parent, O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return sb_fail_errno(err, SB_E_IO, "copying to /%s", path);
    return fd;
}

/* Both ends of a file that is copied into a root, and what was copied. */
struct transfer {
    const struct sb_copy_entry *e;
    const struct sb_context *context;
    int in, out;
    struct sb_sha256 sha;
    struct sb_error *err;
};

/* Up to len bytes, or to the end. */
static int copy_data(struct transfer *t, uint64_t len) {
    char chunk[65536];
    while (len > 0) {
        ssize_t n = read(t->in, chunk, len < sizeof chunk ? (size_t)len : sizeof chunk);
        if (n < 0)
            return sb_fail_errno(t->err, SB_E_IO, "%s/%s", sb_context_path(t->context),
                                 t->e->source);
        if (n == 0)
            return 0;
        sb_sha256_add(&t->sha, chunk, (size_t)n);
        if (sb_interrupt_check(t->err) < 0 ||
            sb_fd_write(t->out, chunk, (size_t)n, t->e->path, t->err) < 0)
            return -1;
        len -= (uint64_t)n;
    }
    return 0;
}

/* A hole stays one. */
static int copy_hole(struct transfer *t, uint64_t end, uint64_t len) {
    static const char zeros[16384];
    for (; len > 0; len -= len < sizeof zeros ? len : sizeof zeros) {
        sb_sha256_add(&t->sha, zeros, len < sizeof zeros ? (size_t)len : sizeof zeros);
        if (sb_interrupt_check(t->err) < 0)
            return -1;
    }
    if (ftruncate(t->out, (off_t)end) < 0 || lseek(t->out, (off_t)end, SEEK_SET) < 0)
        return sb_fail_errno(t->err, SB_E_IO, "copying to /%s", t->e->path);
    return 0;
}

static int copy_sparse(struct transfer *t, uint64_t size) {
    for (uint64_t at = 0, end; at < size; at = end) {
        bool hole;
        if (sb_sparse_next(t->in, at, size, &end, &hole) < 0 ||
            (!hole && lseek(t->in, (off_t)at, SEEK_SET) < 0))
            return sb_fail_errno(t->err, SB_E_IO, "%s/%s", sb_context_path(t->context),
                                 t->e->source);
        if ((hole ? copy_hole(t, end, end - at) : copy_data(t, end - at)) < 0)
            return -1;
    }
    return 0;
}

static int write_file(const struct sb_copy_entry *e, const struct sb_context *context, int parent,
                      const char *name, struct sb_error *err) {
    sb_autoclose int in = open_source(e, context, err);
    if (in < 0)
        return -1;
    sb_autoclose int out =
        openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (out < 0)
        return sb_fail_errno(err, SB_E_IO, "copying to /%s", e->path);
    struct transfer t = {.e = e, .context = context, .in = in, .out = out, .err = err};
    struct stat st;
    sb_sha256_start(&t.sha);
    bool sparse = fstat(in, &st) == 0 && sb_sparse_is(&st);
    if ((sparse ? copy_sparse(&t, (uint64_t)st.st_size) : copy_data(&t, UINT64_MAX)) < 0)
        return -1;
    struct sb_digest copied = sb_sha256_finish(&t.sha);
    return check_unchanged(e, context, &copied, err);
}

/* Removes what stands in the way of a file or link; a directory is not replaced. */
static int make_way(int parent, const struct sb_copy_entry *e, const char *name,
                    struct sb_error *err) {
    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR)
        return sb_fail_errno(err, SB_E_IO, "copying to /%s", e->path);
    sb_fail(err, SB_E_FAILED, "/%s is a directory, and a file is copied to that name", e->path);
    return sb_error_hint(err, "end to: with a / to copy into the directory");
}

static int lay_out_entry(const struct sb_copy_entry *e, const struct sb_context *context,
                         int root_fd, int64_t epoch, struct sb_error *err) {
    sb_autoclose int parent = open_parent_in_root(root_fd, e->path, err);
    if (parent < 0)
        return -1;
    const char *name = base_name(e->path);
    if (S_ISDIR(e->mode)) {
        if (mkdirat(parent, name, 0700) < 0)
            return errno == EEXIST ? 0 : sb_fail_errno(err, SB_E_IO, "creating /%s", e->path);
    } else if (make_way(parent, e, name, err) < 0) {
        return -1;
    } else if (S_ISLNK(e->mode)) {
        if (symlinkat(e->link, parent, name) < 0)
            return sb_fail_errno(err, SB_E_IO, "copying to /%s", e->path);
    } else if (write_file(e, context, parent, name, err) < 0) {
        return -1;
    }
    struct timespec times[2] = {{.tv_sec = epoch}, {.tv_sec = epoch}};
    if (fchownat(parent, name, e->uid, e->gid, AT_SYMLINK_NOFOLLOW) < 0 ||
        (!S_ISLNK(e->mode) && fchmodat(parent, name, e->mode & 07777u, 0) < 0) ||
        utimensat(parent, name, times, AT_SYMLINK_NOFOLLOW) < 0)
        return sb_fail_errno(err, SB_E_IO, "setting owner and mode of /%s", e->path);
    return 0;
}

int sb_copy_lay_out(const struct sb_copy_list *list, const struct sb_context *context, int root_fd,
                    int64_t epoch, struct sb_error *err) {
    for (size_t i = 0; i < list->n; i++)
        if (lay_out_entry(&list->v[i], context, root_fd, epoch, err) < 0)
            return -1;
    return 0;
}
