#include "context/copy.h"

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
#include "base/sparse.h"

struct sb_copied *sb_copies_add(struct sb_copies *copies) {
    SB_GROW(copies->v, copies->n, copies->cap);
    copies->v[copies->n] = (struct sb_copied){0};
    return &copies->v[copies->n++];
}

void sb_copies_free(struct sb_copies *copies) {
    for (size_t i = 0; i < copies->n; i++) {
        sb_copy_list_free(&copies->v[i].list);
        sb_buf_free(&copies->v[i].listing);
    }
    free(copies->v);
    *copies = (struct sb_copies){0};
}

/* The directory of the file before: most are in the same, and needn't be looked up from the
 * context's top. */
struct place {
    const struct sb_context *context;
    int fd; /* -1: none */
    const char *path;
    size_t len;
};

static int open_at(struct place *at, const struct sb_context *context, const char *source) {
    const int context_fd = sb_context_fd(context);
    const char *slash = strrchr(source, '/');
    if (!slash)
        return sb_open_beneath(context_fd, source, SB_FILE_FLAGS, SB_BENEATH_NO_LINKS);
    const size_t len = (size_t)(slash - source);
    if (at->fd < 0 || at->context != context || at->len != len ||
        memcmp(at->path, source, len) != 0) {
        sb_autofree char *directory = sb_strndup(source, len);
        sb_close_descriptor(&at->fd);
        at->fd = sb_open_beneath(context_fd, directory, O_PATH | O_DIRECTORY, SB_BENEATH_NO_LINKS);
        at->context = context;
        at->path = source;
        at->len = len;
    }
    return at->fd < 0 ? -1 : openat(at->fd, slash + 1, SB_FILE_FLAGS | O_NOFOLLOW);
}

static int open_source(const struct sb_copy_entry *e, const struct sb_copy_from *from,
                       struct place *at, struct sb_error *err) {
    const struct sb_context *context = sb_copy_context(from, e->step, err);
    int fd = context ? open_at(at, context, e->source) : -1;
    if (!context)
        return -1;
    if (fd < 0)
        return sb_fail_errno(err, SB_E_IO, "%s/%s", sb_context_path(context), e->source);
    struct stat st;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == e->size)
        return fd;
    close(fd);
    sb_fail(err, SB_E_FAILED, "%s/%s changed while it was being copied", sb_context_path(context),
            e->source);
    return sb_error_reason(err, SB_REASON_CHANGED);
}

static int check_unchanged(const struct sb_copy_entry *e, const struct sb_copy_from *from,
                           const struct sb_digest *packed, struct sb_error *err) {
    if (sb_digest_equal(packed, &e->digest))
        return 0;
    const struct sb_context *context = sb_copy_context(from, e->step, err);
    if (!context)
        return -1;
    sb_fail(err, SB_E_FAILED, "%s/%s changed while it was being copied", sb_context_path(context),
            e->source);
    return sb_error_reason(err, SB_REASON_CHANGED);
}

/* Its content was compared with the digest when it was fetched. */
static int check_fetched(const struct sb_copy_entry *e, const struct sb_digest *packed,
                         struct sb_error *err) {
    if (sb_digest_equal(packed, &e->digest))
        return 0;
    return sb_fail(err, SB_E_INTEGRITY, "the file fetched for /%s changed meanwhile", e->path);
}

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
    return check_fetched(e, &packed, err);
}

static int pack_entry(const struct sb_copy_entry *e, const struct sb_copy_from *from,
                      const struct sb_copy_fetch *fetch, struct sb_packer *packer, int64_t epoch,
                      struct place *at, struct sb_error *err) {
    struct sb_entry entry = {.path = e->path,
                             .link = e->link,
                             .mode = e->mode,
                             .uid = e->uid,
                             .gid = e->gid,
                             .size = e->size,
                             .mtime = epoch,
                             .xattrs = e->xattrs,
                             .xattr_count = e->xattr_count};
    if (!S_ISREG(e->mode))
        return sb_packer_entry(packer, &entry, err);
    if (e->download)
        return pack_download(fetch, e, &entry, packer, err);
    sb_autoclose int fd = open_source(e, from, at, err);
    struct sb_digest packed;
    if (fd < 0 || sb_packer_entry(packer, &entry, err) < 0 ||
        sb_packer_file(packer, fd, e->source, &packed, err) < 0)
        return -1;
    return check_unchanged(e, from, &packed, err);
}

int sb_copy_pack(const struct sb_copy_list *list, const struct sb_copy_from *from,
                 const struct sb_copy_fetch *fetch, struct sb_packer *packer, int64_t epoch,
                 struct sb_error *err) {
    struct place at = {.fd = -1};
    int failed = 0;
    for (size_t i = 0; i < list->n && !failed; i++)
        failed = pack_entry(&list->v[i], from, fetch, packer, epoch, &at, err);
    sb_close_descriptor(&at.fd);
    return failed;
}

/* ---- into a mounted root ---- */

/* Where the parts of a layer are laid out, and from where. */
struct site {
    const struct sb_copy_from *from;
    const struct sb_copy_fetch *fetch;
    int root;
    int64_t epoch;
};

/* No link is on the way: the list was made for this root. */
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
            return sb_fail_errno(t->err, SB_E_IO, "reading what becomes /%s", t->e->path);
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
            return sb_fail_errno(t->err, SB_E_IO, "reading what becomes /%s", t->e->path);
        if ((hole ? copy_hole(t, end, end - at) : copy_data(t, end - at)) < 0)
            return -1;
    }
    return 0;
}

static int write_file(const struct site *site, const struct sb_copy_entry *e, int parent,
                      const char *name, struct sb_error *err) {
    struct place at = {.fd = -1};
    sb_autoclose int in = e->download ? site->fetch->open(site->fetch->data, e->download, err)
                                      : open_source(e, site->from, &at, err);
    sb_close_descriptor(&at.fd);
    if (in < 0)
        return -1;
    sb_autoclose int out =
        openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (out < 0)
        return sb_fail_errno(err, SB_E_IO, "copying to /%s", e->path);
    struct transfer t = {.e = e, .in = in, .out = out, .err = err};
    struct stat st;
    sb_sha256_start(&t.sha);
    bool sparse = fstat(in, &st) == 0 && sb_sparse_is(&st);
    if ((sparse ? copy_sparse(&t, (uint64_t)st.st_size) : copy_data(&t, UINT64_MAX)) < 0)
        return -1;
    struct sb_digest copied = sb_sha256_finish(&t.sha);
    return e->download ? check_fetched(e, &copied, err)
                       : check_unchanged(e, site->from, &copied, err);
}

/* Removes what is replaced: a file or a link. */
static int make_way(int parent, const struct sb_copy_entry *e, const char *name,
                    struct sb_error *err) {
    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
        return 0;
    return sb_fail_errno(err, SB_E_IO, "replacing /%s", e->path);
}

/* After its owner: who changes that takes file capabilities away. */
static int set_xattrs(const struct sb_copy_entry *e, int parent, const char *name,
                      struct sb_error *err) {
    sb_autoclose int fd = e->xattr_count ? openat(parent, name, SB_FILE_FLAGS | O_NOFOLLOW) : -1;
    for (size_t i = 0; i < e->xattr_count; i++)
        if (fsetxattr(fd, e->xattrs[i].name, e->xattrs[i].value, e->xattrs[i].value_len, 0) < 0)
            return sb_fail_errno(err, SB_E_IO, "setting the extended attribute %s of /%s",
                                 e->xattrs[i].name, e->path);
    return 0;
}

static int lay_out_entry(const struct site *site, const struct sb_copy_entry *e,
                         struct sb_error *err) {
    sb_autoclose int parent = open_parent_in_root(site->root, e->path, err);
    if (parent < 0)
        return -1;
    const char *slash = strrchr(e->path, '/'), *name = slash ? slash + 1 : e->path;
    if (S_ISDIR(e->mode)) {
        if (mkdirat(parent, name, 0700) < 0)
            return errno == EEXIST ? 0 : sb_fail_errno(err, SB_E_IO, "creating /%s", e->path);
    } else if (make_way(parent, e, name, err) < 0) {
        return -1;
    } else if (S_ISLNK(e->mode)) {
        if (symlinkat(e->link, parent, name) < 0)
            return sb_fail_errno(err, SB_E_IO, "copying to /%s", e->path);
    } else if (write_file(site, e, parent, name, err) < 0) {
        return -1;
    }
    struct timespec times[2] = {{.tv_sec = site->epoch}, {.tv_sec = site->epoch}};
    if (fchownat(parent, name, e->uid, e->gid, AT_SYMLINK_NOFOLLOW) < 0)
        return sb_fail_errno(err, SB_E_IO, "giving /%s to its owner", e->path);
    if (set_xattrs(e, parent, name, err) < 0)
        return -1;
    if ((!S_ISLNK(e->mode) && fchmodat(parent, name, e->mode & 07777u, 0) < 0) ||
        utimensat(parent, name, times, AT_SYMLINK_NOFOLLOW) < 0)
        return sb_fail_errno(err, SB_E_IO, "setting mode and time of /%s", e->path);
    return 0;
}

int sb_copy_lay_out(const struct sb_copy_list *list, const struct sb_copy_from *from,
                    const struct sb_copy_fetch *fetch, int root_fd, int64_t epoch,
                    struct sb_error *err) {
    const struct site site = {from, fetch, root_fd, epoch};
    for (size_t i = 0; i < list->n; i++)
        if (lay_out_entry(&site, &list->v[i], err) < 0)
            return -1;
    return 0;
}
