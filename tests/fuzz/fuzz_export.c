/*
 * Several layers (tests/fuzz/layers.h), exported as one root file system: what
 * comes out is a tar that needs no whiteouts, has clean names, no file twice, and links to nothing
 * that is not there before. The blobs are this file's.
 */
#include "base/map.h"
#include "layers/block.h"
#include "layers/reader.h"
#include "layers/rootfs.h"
#include "layers/store.h"
#include "layers/tar.h"
#include "layers/walk.h"
#include "layers/whiteout.h"
#include "tests/fuzz/layers.h"

static struct sb_store *store;
static struct sb_buf tars[LAYERS_MOST];
static struct sb_digest digests[LAYERS_MOST];

static int file_of(const struct sb_buf *text) {
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    FUZZ_CHECK(fd >= 0 && write(fd, text->data, text->len) == (ssize_t)text->len);
    FUZZ_CHECK(lseek(fd, 0, SEEK_SET) == 0);
    return fd;
}

int sb_blob_open(struct sb_store *of, const struct sb_digest *digest, uint64_t size,
                 struct sb_error *err) {
    (void)of;
    (void)size;
    for (size_t i = 0; i < LAYERS_MOST; i++)
        if (sb_digest_equal(digest, &digests[i]))
            return file_of(&tars[i]);
    return sb_fail(err, SB_E_NOT_FOUND, "no such blob");
}

/* As sb_archive writes it, in memory. */
static void write_layer(const struct made_layers *layers, size_t layer) {
    struct sb_buf *tar = &tars[layer];
    sb_buf_reset(tar);
    for (size_t i = 0; i < layers->n; i++) {
        const struct sb_entry *e = &layers->v[i].entry;
        if (layers->v[i].layer != layer || sb_tar_header(e, tar, NULL) < 0)
            continue;
        if (e->size > 0) {
            static const char content[SB_TAR_BLOCK] = "123";
            sb_buf_add(tar, content, sizeof content);
        }
    }
    static const char end[SB_TAR_END];
    sb_buf_add(tar, end, sizeof end);
    digests[layer] = sb_digest_of(tar->data, tar->len);
}

struct seen {
    struct sb_map files;
};

static int check_entry(void *self, const struct sb_entry *entry, struct sb_entry_data *data,
                       struct sb_error *err) {
    struct seen *seen = self;
    (void)data;
    (void)err;
    FUZZ_CHECK(sb_whiteout_kind(entry->path) == SB_WHITEOUT_NO);
    FUZZ_CHECK(!entry->hard_link || sb_map_find(&seen->files, entry->link));
    *sb_map_put(&seen->files, entry->path) = 1;
    return 0;
}

static void check_archive(int fd) {
    struct seen seen = {0};
    struct sb_layer_reader *reader;
    struct sb_error err = {0};
    FUZZ_CHECK(lseek(fd, 0, SEEK_SET) == 0 && sb_layer_reader_fd(fd, &reader, &err) == 0);
    FUZZ_CHECK(sb_layer_reader_walk(reader, check_entry, &seen, &err) == 0);
    FUZZ_CHECK(sb_layer_reader_finish(reader, NULL, NULL, &err) == 0);
    sb_map_free(&seen.files);
}

static void export(const struct sb_image *image) {
    struct sb_error err = {0};
    struct sb_archive archive = {.fd = fuzz_file("", 0), .what = "fuzz"};
    if (sb_rootfs_write(store, image, &archive, &err) < 0) {
        fuzz_check_error(&err);
    } else {
        FUZZ_CHECK(sb_archive_finish(&archive, &err) == 0);
        check_archive(archive.fd);
    }
    sb_archive_free(&archive);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct made_layers layers;
    struct sb_error err = {0};
    if (!store) {
        FUZZ_CHECK(sb_store_open(fuzz_directory(), &store, &err) == 0);
        sb_blocks_keep();
    }
    made_layers_read(data, size, &layers);
    struct sb_image image;
    sb_image_init(&image, "amd64", NULL);
    for (size_t i = 0; i < layers.layers; i++) {
        write_layer(&layers, i);
        const struct sb_layer layer = {.descriptor = {SB_MEDIA_LAYER_TAR, digests[i], tars[i].len},
                                       .diff_id = digests[i]};
        sb_image_add_layer(&image, &layer, NULL, NULL);
    }
    export(&image);
    sb_image_free(&image);
    made_layers_free(&layers);
    return 0;
}
