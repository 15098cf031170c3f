#include "layers/pack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/process.h"
#include "layers/contents.h"
#include "layers/frames.h"
#include "layers/tar.h"

/* Files smaller than this are read whole: looking for holes would cost more than reading them. */
#define SPARSE_MIN (64u << 10)
/* A file whose content is hashed as well is read in pieces that stay in a core's cache. */
#define HASHED_READ (256u << 10)
/* Reading ahead pays from here on. */
#define READAHEAD_MIN (1u << 20)

struct sb_packer {
    struct sb_store *store;
    struct sb_frames *frames;
    struct sb_contents_writer *contents;
    struct sb_buf header;
    struct sb_buf path; /* of the current entry */
    uint64_t left;      /* bytes of its content that are still to come */
    size_t padding;     /* zero bytes after them */
    uint64_t names;     /* of all entries, as layers/entry.h counts them */
    bool broken;        /* an entry was left half written: there will be no layer */
};

int sb_packer_start(struct sb_store *store, const struct sb_pack_options *options,
                    struct sb_packer **out, struct sb_error *err) {
    struct sb_frames *frames;
    if (sb_frames_start(store, options, &frames, err) < 0)
        return -1;
    struct sb_packer *packer = sb_alloc(sizeof *packer);
    packer->store = store;
    packer->frames = frames;
    packer->contents = sb_contents_start();
    *out = packer;
    return 0;
}

/* Called before anything else is written: the entry before must be whole. */
static int check_whole(struct sb_packer *packer, struct sb_error *err) {
    if (packer->broken)
        return sb_fail(err, SB_E_FAILED, "%s: was not packed whole", sb_buf_text(&packer->path));
    if (packer->left > 0)
        return sb_fail(err, SB_E_FAILED, "%s: %llu bytes of its content are missing",
                       sb_buf_text(&packer->path), (unsigned long long)packer->left);
    return 0;
}

static int end_content(struct sb_packer *packer, struct sb_error *err) {
    if (packer->left > 0 || packer->padding == 0)
        return 0;
    size_t padding = packer->padding;
    packer->padding = 0;
    return sb_frames_put_zeros(packer->frames, padding, err);
}

static int write_entry(struct sb_packer *packer, const struct sb_entry *entry,
                       struct sb_error *err) {
    if (check_whole(packer, err) < 0 || sb_interrupt_check(err) < 0)
        return -1;
    if (sb_names_count(&packer->names, entry, "the layer", err) < 0) {
        if (err)
            err->code = SB_E_FAILED; /* nothing is damaged: readers would refuse it */
        return -1;
    }
    sb_buf_reset(&packer->header);
    if (sb_tar_header(entry, &packer->header, err) < 0 ||
        sb_frames_put(packer->frames, packer->header.data, packer->header.len, err) < 0)
        return -1;
    struct sb_entry listed = *entry;
    if (!S_ISREG(entry->mode) || entry->hard_link)
        listed.size = 0;
    sb_contents_add(packer->contents, &listed);
    sb_buf_reset(&packer->path);
    sb_buf_adds(&packer->path, entry->path);
    packer->left = listed.size;
    packer->padding = sb_tar_padding(listed.size);
    return 0;
}

/* Whatever fails leaves the stream in the middle of something. */
static int mark(struct sb_packer *packer, int failed) {
    packer->broken |= failed < 0;
    return failed;
}

int sb_packer_entry(struct sb_packer *packer, const struct sb_entry *entry, struct sb_error *err) {
    return mark(packer, write_entry(packer, entry, err));
}

static int too_much(struct sb_packer *packer, struct sb_error *err) {
    return sb_fail(err, SB_E_FAILED, "%s: more content than its size says",
                   sb_buf_text(&packer->path));
}

int sb_packer_data(struct sb_packer *packer, const void *data, size_t len, struct sb_error *err) {
    if (len > packer->left)
        return mark(packer, too_much(packer, err));
    packer->left -= len;
    if (sb_frames_put(packer->frames, data, len, err) < 0)
        return mark(packer, -1);
    return mark(packer, end_content(packer, err));
}

/* ---- files ---- */

struct source {
    int fd;
    const char *what;
    struct sb_sha256 *sha; /* NULL when no one asked for the content's digest */
};

static int changed(const struct source *source, struct sb_error *err) {
    sb_fail(err, SB_E_FAILED, "%s: its size changed while it was being packed", source->what);
    return sb_error_hint(err, "make sure that nothing writes to it during the build");
}

/* Reads len bytes from the current offset; when they are the file's last, looks in the same call
 * whether more come. */
static int copy_data(struct sb_packer *packer, const struct source *source, uint64_t len,
                     struct sb_error *err) {
    while (len > 0) {
        size_t room;
        unsigned char *to = sb_frames_room(packer->frames, &room, err);
        if (!to)
            return -1;
        if (source->sha && room > HASHED_READ)
            room = HASHED_READ;
        size_t want = len < room ? (size_t)len : room;
        bool last = want == packer->left;
        ssize_t n = read(source->fd, to, want + last);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return sb_fail_errno(err, SB_E_IO, "reading %s", source->what);
        if (n == 0 || (size_t)n > want)
            return changed(source, err);
        if (source->sha)
            sb_sha256_add(source->sha, to, (size_t)n);
        sb_frames_advance(packer->frames, (size_t)n);
        packer->left -= (size_t)n;
        len -= (size_t)n;
    }
    return 0;
}

static int copy_zeros(struct sb_packer *packer, const struct source *source, uint64_t len,
                      struct sb_error *err) {
    static const char zeros[16384];
    for (uint64_t n = source->sha ? len : 0; n > 0;) {
        if (sb_interrupt_check(err) < 0)
            return -1;
        size_t piece = n < sizeof zeros ? (size_t)n : sizeof zeros;
        sb_sha256_add(source->sha, zeros, piece);
        n -= piece;
    }
    packer->left -= len;
    return sb_frames_put_zeros(packer->frames, len, err);
}

/* Reads the data between holes. */
static int copy_sparse(struct sb_packer *packer, const struct source *source,
                       struct sb_error *err) {
    off_t size = (off_t)packer->left;
    for (off_t at = 0; at < size;) {
        off_t data = lseek(source->fd, at, SEEK_DATA);
        if (data < 0 && errno != ENXIO)
            return sb_fail_errno(err, SB_E_IO, "reading %s", source->what);
        if (data < 0 || data > size)
            data = size;
        if (copy_zeros(packer, source, (uint64_t)(data - at), err) < 0)
            return -1;
        if (data == size)
            break;
        off_t hole = lseek(source->fd, data, SEEK_HOLE);
        if (hole < 0 || lseek(source->fd, data, SEEK_SET) < 0)
            return sb_fail_errno(err, SB_E_IO, "reading %s", source->what);
        if (hole > size)
            hole = size;
        if (copy_data(packer, source, (uint64_t)(hole - data), err) < 0)
            return -1;
        at = hole;
    }
    return 0;
}

/* From the file's beginning, and on a file system that can tell. */
static bool has_holes(int fd, const struct stat *st) {
    return st->st_blocks < st->st_size / 512 && lseek(fd, 0, SEEK_CUR) == 0 &&
           lseek(fd, 0, SEEK_HOLE) >= 0 && lseek(fd, 0, SEEK_SET) == 0;
}

static int copy_file(struct sb_packer *packer, const struct source *source, struct sb_error *err) {
    char more;
    if (packer->left == 0 && read(source->fd, &more, 1) > 0)
        return changed(source, err);
    if (packer->left < SPARSE_MIN)
        return copy_data(packer, source, packer->left, err);
    struct stat st;
    if (fstat(source->fd, &st) < 0)
        return sb_fail_errno(err, SB_E_IO, "reading %s", source->what);
    if (S_ISREG(st.st_mode) && has_holes(source->fd, &st)) {
        if ((uint64_t)st.st_size != packer->left)
            return changed(source, err);
        return copy_sparse(packer, source, err);
    }
    if (packer->left >= READAHEAD_MIN)
        posix_fadvise(source->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    return copy_data(packer, source, packer->left, err);
}

int sb_packer_file(struct sb_packer *packer, int fd, const char *what, struct sb_digest *digest_out,
                   struct sb_error *err) {
    struct sb_sha256 sha;
    struct source source = {.fd = fd, .what = what, .sha = digest_out ? &sha : NULL};
    if (digest_out)
        sb_sha256_start(&sha);
    if (copy_file(packer, &source, err) < 0 || end_content(packer, err) < 0)
        return mark(packer, -1);
    if (digest_out)
        *digest_out = sb_sha256_finish(&sha);
    return 0;
}

/* ---- the end ---- */

/* Frees the packer but for what was taken from it. */
static void release(struct sb_packer *packer) {
    sb_frames_abort(packer->frames);
    sb_contents_abort(packer->contents);
    sb_buf_free(&packer->header);
    sb_buf_free(&packer->path);
    free(packer);
}

void sb_packer_abort(struct sb_packer *packer) {
    if (packer)
        release(packer);
}

int sb_packer_finish(struct sb_packer *packer, struct sb_layer *out, struct sb_error *err) {
    struct sb_layer layer;
    int failed = check_whole(packer, err);
    if (!failed)
        failed = sb_frames_put_zeros(packer->frames, SB_TAR_END, err);
    if (!failed)
        failed = sb_frames_finish(sb_steal(packer->frames), &layer, err);
    if (!failed)
        failed = sb_contents_finish(sb_steal(packer->contents), packer->store, &layer.diff_id, err);
    if (!failed)
        *out = layer;
    release(packer);
    return failed;
}
