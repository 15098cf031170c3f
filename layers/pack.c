#include "layers/pack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/process.h"
#include "base/sparse.h"
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
    const struct sb_pack_progress *progress;
    uint64_t packed, asked; /* bytes of content; how many when the clock was last looked at */
    double told;            /* by the clock, when who watches was last told; 0: not yet */
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
    packer->progress = options->progress;
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

/* That many bytes of the current entry's content went into the stream. */
static void count(struct sb_packer *packer, uint64_t len) {
    enum { STEP = 64 << 20 }; /* some tens of milliseconds */
    packer->left -= len;
    packer->packed += len;
    if (!packer->progress || packer->packed - packer->asked < STEP)
        return;
    packer->asked = packer->packed;
    double now = sb_clock_seconds();
    if (packer->told == 0)
        packer->told = now;
    if (now - packer->told < 1)
        return;
    packer->told = now;
    packer->progress->tell(packer->progress->data, packer->packed);
}

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
        count(packer, (uint64_t)n);
        len -= (size_t)n;
    }
    return 0;
}

static void hash_zeros(struct sb_sha256 *sha, size_t len) {
    static const char zeros[16384];
    for (size_t n; len > 0; len -= n) {
        n = len < sizeof zeros ? len : sizeof zeros;
        sb_sha256_add(sha, zeros, n);
    }
}

/* A frame's worth at a time, which the threads take over while the next is hashed here. */
static int copy_zeros(struct sb_packer *packer, const struct source *source, uint64_t len,
                      struct sb_error *err) {
    while (len > 0) {
        size_t piece = len < SB_FRAME_SIZE ? (size_t)len : SB_FRAME_SIZE;
        if (sb_interrupt_check(err) < 0)
            return -1;
        if (source->sha)
            hash_zeros(source->sha, piece);
        if (sb_frames_put_zeros(packer->frames, piece, err) < 0)
            return -1;
        count(packer, piece);
        len -= piece;
    }
    return 0;
}

/* Reads the data between holes. */
static int copy_sparse(struct sb_packer *packer, const struct source *source,
                       struct sb_error *err) {
    uint64_t size = packer->left;
    for (uint64_t at = 0, end; at < size; at = end) {
        bool hole;
        if (sb_sparse_next(source->fd, at, size, &end, &hole) < 0 ||
            (!hole && lseek(source->fd, (off_t)at, SEEK_SET) < 0))
            return sb_fail_errno(err, SB_E_IO, "reading %s", source->what);
        if ((hole ? copy_zeros(packer, source, end - at, err)
                  : copy_data(packer, source, end - at, err)) < 0)
            return -1;
    }
    return 0;
}

/* From the file's beginning, and on a file system that can tell. */
static bool has_holes(int fd, const struct stat *st) {
    return sb_sparse_is(st) && lseek(fd, 0, SEEK_CUR) == 0 && lseek(fd, 0, SEEK_HOLE) >= 0 &&
           lseek(fd, 0, SEEK_SET) == 0;
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
    if (has_holes(source->fd, &st)) {
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
