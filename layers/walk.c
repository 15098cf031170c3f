/*
 * Entries of a tar or a zip, through libarchive. sbuild never leaves the "C" locale, in which
 * libarchive gives names as the bytes they are: what is not ASCII it can't convert, warns, and
 * passes on. Whatever it would let pass and sbuild does not want is refused here, so that
 * everything above deals with clean entries only.
 */
#include "layers/walk.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/map.h"
#include "base/memory.h"
#include "base/process.h"
#include "layers/attributes.h"
#include "layers/block.h"
#include "layers/through.h"

#define XATTR_COUNT_LIMIT 1024
#define XATTR_NAME_LIMIT  255
#define BLOCK             512

struct sb_entry_data {
    struct archive *archive;
    const char *kind;               /* "tar", "zip" */
    struct sb_layer_reader *reader; /* NULL: libarchive reads the file itself */
    struct sb_error *read_error;    /* of the reader, while libarchive was calling it */
    struct sb_error read_error_of;
    bool readable;
    uint64_t size;
    bool in_header;  /* libarchive reads headers, which it keeps in memory */
    uint64_t header; /* bytes that it was given meanwhile, but for what it had of that piece */
    uint64_t given;  /* bytes of the tar so far */
    bool padded;     /* and then some zeros */
};

struct walk {
    struct sb_entry_data data;
    bool at_entry;
    struct sb_buf path, link;
    struct sb_xattr *xattrs;
    size_t xattr_count, xattr_cap;
    bool of_layer; /* names through its own symlinks are made plain */
    struct sb_through through;
    struct sb_map types; /* of entries that are neither files nor directories */
    struct sb_seen directories;
    struct sb_buf parent; /* of the entry before */
    uint64_t names, content;
    uint64_t content_end; /* of the last entry, in the tar; 0: not known */
};

/* ---- libarchive ---- */

/* What its zip reader deciphers with, tables of functions. Encrypted zips are refused, so these
 * take the place of its own: linked with them, every process would begin with what a cryptographic
 * library has to find out of the processor. There are more than any version calls. */
static int refuse_cipher(void) {
    return -1;
}
typedef int cipher(void);
#define NONE refuse_cipher, refuse_cipher, refuse_cipher, refuse_cipher
extern cipher *const __archive_cryptor[], *const __archive_hmac[];
cipher *const __archive_cryptor[] = {NONE, NONE, NONE, NONE};
cipher *const __archive_hmac[] = {NONE, NONE, NONE, NONE};
#undef NONE

/* Some writers leave out what a tar ends in, or a part of it: the zeros that fill the last block,
 * and two blocks of them. Nothing that anybody wrote is missing then. */
static size_t fill_block(struct sb_entry_data *data, const void **out) {
    static const char zeros[BLOCK];
    size_t missing = data->padded ? 0 : (size_t)(-data->given % BLOCK);
    data->padded = true;
    *out = zeros;
    return missing;
}

static la_ssize_t read_more(struct archive *archive, void *self, const void **out) {
    struct sb_entry_data *data = self;
    size_t len;
    if (sb_layer_reader_next(data->reader, out, &len, &data->read_error_of) < 0) {
        data->read_error = &data->read_error_of;
        archive_set_error(archive, EIO, "reading failed");
        return -1;
    }
    if (data->in_header && data->header > SB_HEADER_LIMIT) {
        sb_fail(&data->read_error_of, SB_E_INTEGRITY,
                "the tar archive is damaged: the headers of one entry have more than %llu bytes",
                SB_HEADER_LIMIT);
        data->read_error = &data->read_error_of;
        archive_set_error(archive, EIO, "too much");
        return -1;
    }
    data->header += len;
    if (len == 0)
        len = fill_block(data, out);
    else
        data->given += len;
    return (la_ssize_t)len;
}

/* What libarchive, or the reader below it, just said. */
static int tar_error(const struct sb_entry_data *data, struct sb_error *err) {
    if (data->read_error) {
        if (err)
            *err = *data->read_error;
        return -1;
    }
    const char *text = archive_error_string(data->archive);
    return sb_fail(err, SB_E_INTEGRITY, "the %s archive is damaged: %s", data->kind,
                   text ? text : "its end is missing");
}

static int start(struct walk *w, struct sb_layer_reader *reader, struct sb_error *err) {
    w->data.reader = reader;
    w->data.kind = "tar";
    struct archive *a = w->data.archive = archive_read_new();
    if (!a)
        return sb_fail(err, SB_E_FAILED, "starting libarchive");
    if (archive_read_support_format_tar(a) != ARCHIVE_OK ||
        archive_read_support_format_empty(a) != ARCHIVE_OK ||
        archive_read_open(a, &w->data, NULL, read_more, NULL) != ARCHIVE_OK)
        return tar_error(&w->data, err);
    return 0;
}

static void end(struct walk *w) {
    archive_read_free(w->data.archive);
    sb_buf_free(&w->path);
    sb_buf_free(&w->link);
    free(w->xattrs);
    sb_map_free(&w->types);
    sb_seen_free(&w->directories);
    sb_buf_free(&w->parent);
    sb_through_free(&w->through);
}

int sb_entry_data_next(struct sb_entry_data *data, const void **out, size_t *out_len,
                       uint64_t *out_offset, struct sb_error *err) {
    la_int64_t offset = 0;
    *out_len = 0;
    while (data->readable && *out_len == 0) {
        int rc = archive_read_data_block(data->archive, out, out_len, &offset);
        if (rc == ARCHIVE_EOF)
            data->readable = false;
        else if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN)
            return tar_error(data, err);
    }
    if (!data->readable)
        *out_len = 0;
    else if (offset < 0 || (uint64_t)offset > data->size ||
             *out_len > data->size - (uint64_t)offset)
        return sb_fail(err, SB_E_INTEGRITY, "the %s archive is damaged: data beyond a file's end",
                       data->kind);
    *out_offset = *out_len ? (uint64_t)offset : data->size;
    return 0;
}

struct sb_block *sb_entry_data_hold(struct sb_entry_data *data, const void *p, size_t len) {
    return data->reader ? sb_layer_reader_hold(data->reader, p, len) : NULL;
}

/* ---- one entry ---- */

/* "./a//b/" becomes "a/b"; "" is the root. False for a ".." anywhere. */
static bool clean_path(const char *path, struct sb_buf *out) {
    sb_buf_reset(out);
    sb_buf_reserve(out, 1);
    out->data[0] = '\0';
    for (const char *p = path; *p;) {
        size_t n = strcspn(p, "/");
        if (n == 2 && p[0] == '.' && p[1] == '.')
            return false;
        if (n > 0 && !(n == 1 && p[0] == '.')) {
            if (out->len > 0)
                sb_buf_addc(out, '/');
            sb_buf_add(out, p, n);
        }
        p += n;
        while (*p == '/')
            p++;
    }
    return true;
}

static int take_name(const struct walk *w, const char *name, const char *what, struct sb_buf *out,
                     struct sb_error *err) {
    const char *kind = w->data.kind;
    if (!name)
        return sb_fail(err, SB_E_INTEGRITY, "the %s archive has an entry without a %s", kind, what);
    if (strlen(name) > 2 * SB_PATH_LIMIT)
        return sb_fail(err, SB_E_INTEGRITY, "a %s in the %s archive has more than %d bytes", what,
                       kind, SB_PATH_LIMIT);
    if (!clean_path(name, out))
        return sb_fail(err, SB_E_INTEGRITY,
                       "the %s \"%s\" in the %s archive leads out of it with \"..\"", what, name,
                       kind);
    if (out->len > SB_PATH_LIMIT)
        return sb_fail(err, SB_E_INTEGRITY, "a %s in the %s archive has more than %d bytes: %s",
                       what, kind, SB_PATH_LIMIT, out->data);
    return 0;
}

static int compare_xattrs(const void *a, const void *b) {
    return strcmp(((const struct sb_xattr *)a)->name, ((const struct sb_xattr *)b)->name);
}

/* The attributes point into the archive's entry. bsdtar writes each twice, in two spellings. */
static int take_xattrs(struct walk *w, struct archive_entry *e, struct sb_error *err) {
    w->xattr_count = 0;
    int count = archive_entry_xattr_reset(e);
    if (count > XATTR_COUNT_LIMIT)
        return sb_fail(err, SB_E_INTEGRITY, "%s has %d extended attributes, and %d are allowed",
                       w->path.data, count, XATTR_COUNT_LIMIT);
    const char *name;
    const void *value;
    size_t len;
    while (archive_entry_xattr_next(e, &name, &value, &len) == ARCHIVE_OK) {
        if (!name || !*name || strlen(name) > XATTR_NAME_LIMIT || len > SB_XATTR_LIMIT)
            return sb_fail(err, SB_E_INTEGRITY,
                           "%s has an extended attribute with a bad name or of more than %d bytes",
                           w->path.data, SB_XATTR_LIMIT);
        if (sb_xattr_is_hosts(name))
            continue;
        SB_GROW(w->xattrs, w->xattr_count, w->xattr_cap);
        w->xattrs[w->xattr_count++] = (struct sb_xattr){(char *)name, (char *)value, len};
    }
    if (w->xattr_count > 1)
        qsort(w->xattrs, w->xattr_count, sizeof *w->xattrs, compare_xattrs);
    size_t kept = 0;
    for (size_t i = 0; i < w->xattr_count; i++)
        if (kept == 0 || strcmp(w->xattrs[kept - 1].name, w->xattrs[i].name) != 0)
            w->xattrs[kept++] = w->xattrs[i];
    w->xattr_count = kept;
    return 0;
}

/* Type and link. tar does not say what a hard link leads to: only the entry before it does. */
static int take_type(struct walk *w, struct archive_entry *e, struct sb_entry *out,
                     struct sb_error *err) {
    const char *hard = archive_entry_hardlink(e);
    mode_t type = archive_entry_filetype(e), permissions = archive_entry_perm(e) & 07777;
    out->mode = type | permissions;
    if (hard) {
        if (take_name(w, hard, "link target", &w->link, err) < 0 ||
            (w->of_layer && sb_through_resolve(&w->through, &w->link, err) < 0))
            return -1;
        uint64_t *known = sb_map_find(&w->types, w->link.data);
        out->hard_link = true;
        out->link = w->link.data;
        out->mode = (known && *known ? (mode_t)*known : S_IFREG) | permissions;
        return 0;
    }
    switch (type) {
    case AE_IFREG:
        out->size = (uint64_t)archive_entry_size(e);
        return 0;
    case AE_IFLNK:
        out->link = archive_entry_symlink(e);
        if (out->link && *out->link && strlen(out->link) < SB_PATH_LIMIT)
            return 0;
        return sb_fail(err, SB_E_INTEGRITY, "the symlink %s has no target, or one too long",
                       w->path.data);
    case AE_IFCHR:
    case AE_IFBLK:
        out->device_major = (uint32_t)archive_entry_rdevmajor(e);
        out->device_minor = (uint32_t)archive_entry_rdevminor(e);
        return 0;
    case AE_IFDIR:
    case AE_IFIFO:
        return 0;
    default:
        return sb_fail(err, SB_E_INTEGRITY, "%s is of a kind that layers can't hold", w->path.data);
    }
}

/* libarchive reads "-1.25" as -1 s and 0.25 s: its fraction points the wrong way. */
static void take_time(struct archive_entry *e, struct sb_entry *out) {
    long nsec = archive_entry_mtime_nsec(e);
    out->mtime = archive_entry_mtime(e);
    out->mtime_nsec = nsec > 0 && nsec < 1000000000 ? (uint32_t)nsec : 0;
    if (out->mtime < 0 && out->mtime > INT64_MIN && out->mtime_nsec > 0) {
        out->mtime--;
        out->mtime_nsec = 1000000000 - out->mtime_nsec;
    }
}

static int take_numbers(struct walk *w, struct archive_entry *e, struct sb_entry *out,
                        struct sb_error *err) {
    la_int64_t uid = archive_entry_uid(e), gid = archive_entry_gid(e);
    if (uid < 0 || uid >= UINT32_MAX || gid < 0 || gid >= UINT32_MAX)
        return sb_fail(err, SB_E_INTEGRITY, "%s has an impossible owner, %lld:%lld", w->path.data,
                       (long long)uid, (long long)gid);
    out->uid = (uint32_t)uid;
    out->gid = (uint32_t)gid;
    take_time(e, out);
    if (out->size > SB_CONTENT_LIMIT - w->content)
        return sb_fail(err, SB_E_INTEGRITY, "%s: the files of the layer have more than %llu bytes",
                       w->path.data, SB_CONTENT_LIMIT);
    w->content += out->size;
    return 0;
}

static void remember_type(struct walk *w, const struct sb_entry *entry) {
    mode_t type = entry->mode & S_IFMT;
    bool plain = type == S_IFREG || type == S_IFDIR;
    if (!plain)
        *sb_map_put(&w->types, entry->path) = type;
    else if (w->types.n > 0 && sb_map_find(&w->types, entry->path))
        *sb_map_put(&w->types, entry->path) = 0;
}

/* A directory that is not mentioned is there all the same: some long names stand for thousands. */
static int count_parents(struct walk *w, const char *path, size_t len, struct sb_error *err) {
    if (w->parent.len == len && !memcmp(sb_buf_text(&w->parent), path, len))
        return 0;
    sb_buf_reset(&w->parent);
    sb_buf_add(&w->parent, path, len);
    while (len > 0 && sb_seen_add_n(&w->directories, path, len)) {
        w->names += SB_ENTRY_COST + len;
        while (len > 0 && path[len - 1] != '/')
            len--;
        len -= len > 0;
    }
    return w->names > SB_NAMES_LIMIT ? sb_names_too_many("the layer", err) : 0;
}

static int count_names(struct walk *w, const struct sb_entry *entry, struct sb_error *err) {
    const char *slash = strrchr(entry->path, '/');
    if (slash && count_parents(w, entry->path, (size_t)(slash - entry->path), err) < 0)
        return -1;
    if (S_ISDIR(entry->mode))
        sb_seen_add_n(&w->directories, entry->path, strlen(entry->path));
    return sb_names_count(&w->names, entry, "the layer", err);
}

static int visit_entry(struct walk *w, struct archive_entry *e, sb_entry_visit *visit, void *self,
                       struct sb_error *err) {
    struct sb_entry entry = {0};
    if (archive_entry_is_data_encrypted(e) == 1 || archive_entry_is_metadata_encrypted(e) == 1)
        return sb_fail(err, SB_E_INTEGRITY, "the %s archive is encrypted", w->data.kind);
    if (take_name(w, archive_entry_pathname(e), "name", &w->path, err) < 0)
        return -1;
    if (w->path.len == 0)
        return 0;
    if (w->of_layer && sb_through_resolve(&w->through, &w->path, err) < 0)
        return -1;
    if (take_type(w, e, &entry, err) < 0 || take_numbers(w, e, &entry, err) < 0 ||
        take_xattrs(w, e, err) < 0)
        return -1;
    entry.path = w->path.data;
    entry.xattrs = w->xattrs;
    entry.xattr_count = w->xattr_count;
    if (count_names(w, &entry, err) < 0)
        return -1;
    remember_type(w, &entry);
    if (w->of_layer)
        sb_through_note(&w->through, &entry);
    bool plain = S_ISREG(entry.mode) && !entry.hard_link && archive_entry_sparse_count(e) == 0;
    uint64_t at = w->data.reader ? (uint64_t)archive_filter_bytes(w->data.archive, 0) : 0;
    w->content_end = plain && w->data.reader ? at + entry.size : 0;
    w->data.readable = S_ISREG(entry.mode) && !entry.hard_link && entry.size > 0;
    w->data.size = entry.size;
    return visit(self, &entry, &w->data, err);
}

/* What is left of the entry before goes by first: it is no header. */
static int next_header(struct walk *w, struct archive_entry **out) {
    int status = w->at_entry ? archive_read_data_skip(w->data.archive) : ARCHIVE_OK;
    w->at_entry = true;
    if (status != ARCHIVE_OK && status != ARCHIVE_WARN && status != ARCHIVE_EOF)
        return status;
    w->data.in_header = true;
    w->data.header = 0;
    status = archive_read_next_header(w->data.archive, out);
    w->data.in_header = false;
    return status;
}

static int walk(struct walk *w, sb_entry_visit *visit, void *self, struct sb_error *err) {
    int rc = 0;
    while (rc == 0) {
        struct archive_entry *e;
        int status = next_header(w, &e);
        if (status == ARCHIVE_EOF) {
            if (w->data.padded && w->content_end > w->data.given)
                rc = sb_fail(err, SB_E_INTEGRITY,
                             "the tar archive is damaged: it ends within the file %s",
                             sb_buf_text(&w->path));
            break;
        }
        if (status != ARCHIVE_OK && status != ARCHIVE_WARN)
            rc = tar_error(&w->data, err);
        else
            rc = visit_entry(w, e, visit, self, err);
        rc = rc < 0 ? rc : sb_interrupt_check(err);
    }
    return rc;
}

static int walk_tar(struct sb_layer_reader *reader, bool of_layer, sb_entry_visit *visit,
                    void *self, struct sb_error *err) {
    struct walk w = {.of_layer = of_layer};
    int rc = start(&w, reader, err);
    if (rc == 0)
        rc = walk(&w, visit, self, err);
    end(&w);
    return rc;
}

int sb_layer_reader_walk(struct sb_layer_reader *reader, sb_entry_visit *visit, void *self,
                         struct sb_error *err) {
    return walk_tar(reader, false, visit, self, err);
}

/* ---- zip ---- */

/* libarchive keeps all of a directory of files in memory, which may be as long as the file: how
 * many entries it can find there at most. */
static int check_zip(int fd, uint64_t size, struct sb_error *err) {
    static const char signature[] = {'P', 'K', 1, 2};
    const uint64_t most = SB_NAMES_LIMIT / SB_ENTRY_COST;
    uint64_t found = 0;
    size_t kept = sizeof signature - 1;
    if (size / 46 <= most) /* bytes of one */
        return 0;
    sb_autofree char *chunk = sb_alloc(1u << 20);
    for (uint64_t at = 0; at < size;) {
        ssize_t n = pread(fd, chunk, 1u << 20, (off_t)at);
        if (n <= 0)
            return sb_fail_errno(err, SB_E_IO, "reading a zip archive");
        const char *p = chunk, *stop = chunk + n;
        while ((p = memmem(p, (size_t)(stop - p), signature, sizeof signature)) && ++found <= most)
            p++;
        if (found > most)
            return sb_names_too_many("the zip archive", err);
        if (sb_interrupt_check(err) < 0)
            return -1;
        at += (uint64_t)n - ((uint64_t)n > kept && at + (uint64_t)n < size ? kept : 0);
    }
    return 0;
}

static int start_zip(struct walk *w, int fd, struct sb_error *err) {
    w->data.kind = "zip";
    struct archive *a = w->data.archive = archive_read_new();
    if (!a)
        return sb_fail(err, SB_E_FAILED, "starting libarchive");
    if (archive_read_support_format_zip(a) != ARCHIVE_OK || lseek(fd, 0, SEEK_SET) < 0 ||
        archive_read_open_fd(a, fd, 65536) != ARCHIVE_OK)
        return tar_error(&w->data, err);
    return 0;
}

struct zip {
    sb_entry_visit *visit;
    void *self;
    struct walk *walk;
    uint64_t limit;
};

/* Permissions as unzip leaves them with an umask of 022; where the owner could not even read, there
 * were none. */
static int visit_zip(void *self, const struct sb_entry *entry, struct sb_entry_data *data,
                     struct sb_error *err) {
    const struct zip *zip = self;
    struct sb_entry plain = *entry;
    if (zip->walk->content > zip->limit)
        return sb_fail(err, SB_E_INTEGRITY, "it unpacks to more than the %llu bytes allowed",
                       (unsigned long long)zip->limit);
    if (S_ISREG(entry->mode) || S_ISDIR(entry->mode))
        plain.mode = entry->mode & (S_IFMT | 0755);
    if (!(plain.mode & 0400))
        plain.mode |= S_ISDIR(plain.mode) ? 0755 : 0644;
    return zip->visit(zip->self, &plain, data, err);
}

int sb_zip_walk(int fd, sb_entry_visit *visit, void *self, struct sb_error *err) {
    struct walk w = {0};
    struct zip zip = {visit, self, &w, 0};
    struct stat st;
    if (fstat(fd, &st) < 0)
        return sb_fail_errno(err, SB_E_IO, "reading a zip archive");
    zip.limit = sb_unpack_limit((uint64_t)st.st_size);
    if (check_zip(fd, (uint64_t)st.st_size, err) < 0)
        return -1;
    /* A name that is marked as UTF-8 is converted, and in the "C" locale there is none then. */
    locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    locale_t before = utf8 ? uselocale(utf8) : (locale_t)0;
    int rc = start_zip(&w, fd, err);
    if (rc == 0)
        rc = walk(&w, visit_zip, &zip, err);
    end(&w);
    if (utf8) {
        uselocale(before);
        freelocale(utf8);
    }
    return rc;
}

/* ---- layers ---- */

static int walk_layer(struct sb_store *store, const struct sb_layer *layer, sb_entry_visit *visit,
                      void *self, struct sb_error *err) {
    struct sb_layer_reader *reader;
    struct sb_digest diff_id;
    if (sb_layer_reader_open_known(store, &layer->descriptor, &reader, err) < 0)
        return -1;
    if (layer->tar_size > 0)
        sb_layer_reader_limit(reader, layer->tar_size);
    if (walk_tar(reader, true, visit, self, err) < 0) {
        sb_layer_reader_abort(reader);
        return -1;
    }
    if (sb_layer_reader_finish(reader, &diff_id, NULL, err) < 0)
        return -1;
    if (!sb_digest_equal(&layer->diff_id, &diff_id))
        return sb_fail(err, SB_E_INTEGRITY, "its diff ID is %s, and the image config says %s",
                       sb_digest_text(&diff_id).text, sb_digest_text(&layer->diff_id).text);
    return 0;
}

int sb_layer_walk(struct sb_store *store, const struct sb_layer *layer, sb_entry_visit *visit,
                  void *self, struct sb_error *err) {
    if (walk_layer(store, layer, visit, self, err) < 0)
        return sb_error_context(err, "the layer %s",
                                sb_digest_text(&layer->descriptor.digest).text);
    return 0;
}
