/* Tables of contents of layers that stayed in a repository. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "builder/remote_cache_private.h"
#include "layers/compressor.h"
#include "layers/contents.h"
#include "layers/reader.h"
#include "layers/tar.h"
#include "layers/unpack.h"
#include "layers/walk.h"

/* ---- which are known ---- */

static struct sb_known_contents *find(struct sb_remote_cache *cache, const struct sb_layer *layer) {
    for (size_t i = 0; i < cache->known_count; i++) {
        struct sb_known_contents *k = &cache->known[i];
        if (sb_digest_equal(&k->diff_id, &layer->diff_id) &&
            sb_digest_equal(&k->blob, &layer->descriptor.digest))
            return k;
    }
    return NULL;
}

void sb_known_contents_add(struct sb_remote_cache *cache, const struct sb_layer *layer,
                           const struct sb_descriptor *contents, const char *repository) {
    pthread_mutex_lock(&cache->lock);
    if (!find(cache, layer)) {
        SB_GROW(cache->known, cache->known_count, cache->known_cap);
        cache->known[cache->known_count++] = (struct sb_known_contents){
            layer->diff_id, layer->descriptor.digest, *contents, sb_strdup(repository)};
    }
    pthread_mutex_unlock(&cache->lock);
}

bool sb_known_contents_find(struct sb_remote_cache *cache, const struct sb_layer *layer,
                            struct sb_known_contents *out) {
    pthread_mutex_lock(&cache->lock);
    const struct sb_known_contents *known = find(cache, layer);
    if (known) {
        *out = *known;
        out->repository = sb_strdup(known->repository);
    }
    pthread_mutex_unlock(&cache->lock);
    return known != NULL;
}

/* ---- reading ---- */

/* The blob, which the store keeps from then on. */
static int fetch(struct sb_remote_cache *cache, const struct sb_known_contents *known,
                 struct sb_buf *out, struct sb_error *err) {
    struct sb_store *store = cache->options.store;
    if (sb_blob_read(store, &known->contents, SB_CACHE_CONTENTS_LIMIT, out, NULL) == 0)
        return 0;
    sb_buf_reset(out);
    const char *slash = strchr(known->repository, '/');
    if (!slash)
        return sb_fail(err, SB_E_FAILED, "%s is no repository", known->repository);
    sb_autofree char *host = sb_strndup(known->repository, (size_t)(slash - known->repository));
    struct sb_remote *remote = sb_remote_open(cache->options.registry, host, slash + 1);
    int failed = sb_remote_blob_read(remote, &known->contents, SB_CACHE_CONTENTS_LIMIT, out, err);
    sb_remote_free(remote);
    struct sb_digest digest;
    return failed ? -1 : sb_blob_put(store, out->data, out->len, &digest, err);
}

/* The one file of the layer, into a file in memory. */
static int take_table(void *self, const struct sb_entry *entry, struct sb_entry_data *data,
                      struct sb_error *err) {
    const int *out = self;
    if (strcmp(entry->path, SB_CACHE_CONTENTS_NAME) != 0 || !S_ISREG(entry->mode) ||
        entry->size > SB_CACHE_CONTENTS_UNPACK)
        return sb_fail(err, SB_E_INTEGRITY, "it is no table of contents");
    for (;;) {
        const void *bytes;
        size_t len;
        uint64_t offset;
        if (sb_entry_data_next(data, &bytes, &len, &offset, err) < 0)
            return -1;
        if (len == 0)
            return 0;
        if (offset > SB_CACHE_CONTENTS_UNPACK ||
            pwrite(*out, bytes, len, (off_t)offset) != (ssize_t)len)
            return sb_fail(err, SB_E_FAILED, "the table of contents could not be kept in memory");
    }
}

static int unpack(int packed, int out, struct sb_error *err) {
    struct sb_layer_reader *reader;
    if (sb_layer_reader_fd(packed, &reader, err) < 0)
        return -1;
    sb_layer_reader_limit(reader, SB_CACHE_CONTENTS_UNPACK + SB_TAR_BLOCK * 8 + SB_TAR_END);
    if (sb_layer_reader_walk(reader, take_table, &out, err) < 0) {
        sb_layer_reader_abort(reader);
        return -1;
    }
    return sb_layer_reader_finish(reader, NULL, NULL, err);
}

static int open_packed(const struct sb_buf *packed, const struct sb_digest *diff_id,
                       struct sb_contents **out, struct sb_error *err) {
    sb_autoclose int in = memfd_create("contents", MFD_CLOEXEC);
    sb_autoclose int plain = memfd_create("contents", MFD_CLOEXEC);
    if (in < 0 || plain < 0)
        return sb_fail_errno(err, SB_E_FAILED, "making a file in memory");
    if (sb_fd_write(in, packed->data, packed->len, "a table of contents", err) < 0)
        return -1;
    if (lseek(in, 0, SEEK_SET) < 0)
        return sb_fail_errno(err, SB_E_FAILED, "reading a table of contents");
    if (unpack(in, plain, err) < 0)
        return -1;
    return sb_contents_open_foreign(plain, diff_id, out, err);
}

int sb_remote_contents_open(void *data, struct sb_store *store, const struct sb_layer *layer,
                            struct sb_contents **out, struct sb_error *err) {
    struct sb_remote_cache *cache = data;
    struct sb_known_contents known;
    sb_autobuf struct sb_buf packed = {0};
    (void)store;
    if (!sb_known_contents_find(cache, layer, &known))
        return sb_fail(err, SB_E_NOT_FOUND, "no table of contents is known");
    int failed = fetch(cache, &known, &packed, err);
    free(known.repository);
    return failed ? -1 : open_packed(&packed, &layer->diff_id, out, err);
}

/* ---- writing ---- */

static int make_tar(const struct sb_contents *contents, struct sb_buf *out) {
    static const char zeros[SB_TAR_BLOCK + SB_TAR_END];
    struct sb_entry entry = {.path = SB_CACHE_CONTENTS_NAME, .mode = S_IFREG | 0644};
    size_t len;
    const void *bytes = sb_contents_bytes(contents, &len);
    entry.size = len;
    if (len > SB_CACHE_CONTENTS_UNPACK || sb_tar_header(&entry, out, NULL) < 0)
        return -1;
    sb_buf_add(out, bytes, len);
    sb_buf_add(out, zeros, sb_tar_padding(len) + SB_TAR_END);
    return 0;
}

static int compress(const struct sb_buf *tar, struct sb_buf *out) {
    int level;
    size_t packed = 0, room = sb_compressor_bound(SB_COMPRESSION_GZIP, tar->len);
    if (sb_compressor_level(SB_COMPRESSION_GZIP, 0, &level, NULL) < 0)
        return -1;
    struct sb_compressor *compressor = sb_compressor_new(SB_COMPRESSION_GZIP, level);
    sb_buf_reserve(out, room + 1);
    int failed =
        sb_compressor_frame(compressor, tar->data, tar->len, out->data, room, &packed, NULL);
    sb_compressor_free(compressor);
    out->len = failed ? 0 : packed;
    return failed || packed > SB_CACHE_CONTENTS_LIMIT ? -1 : 0;
}

/* Made here, of the layer itself: what one cache says of it is not told to another. */
static int open_own(struct sb_store *store, const struct sb_layer *layer,
                    struct sb_contents **out) {
    if (sb_blob_has(store, &layer->descriptor.digest, layer->descriptor.size))
        return sb_layer_contents(store, layer, out, NULL);
    return sb_contents_open(store, &layer->diff_id, out, NULL);
}

bool sb_remote_contents_pack(struct sb_remote_cache *cache, const struct sb_layer *layer,
                             struct sb_buf *out, struct sb_digest *out_diff_id) {
    struct sb_contents *contents;
    sb_autobuf struct sb_buf tar = {0};
    if (open_own(cache->options.store, layer, &contents) < 0)
        return false;
    int failed = make_tar(contents, &tar);
    sb_contents_close(contents);
    if (failed || compress(&tar, out) < 0)
        return false;
    *out_diff_id = sb_digest_of(tar.data, tar.len);
    return true;
}
