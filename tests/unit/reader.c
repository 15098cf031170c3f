/* Readers of blobs: every compression, in one thread and in several, whole, damaged and cut. */
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "base/buffer.h"
#include "base/file.h"
#include "base/memory.h"
#include "layers/reader.h"
#include "tests/unit/test.h"

static struct sb_store *store;

/* Compressible, but not trivially, and different everywhere. */
static void make_data(struct sb_buf *out, size_t size) {
    uint64_t x = 88172645463325252u;
    while (out->len < size) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        sb_buf_addf(out, "%llu %s ", (unsigned long long)x % 100000, x & 64 ? "layer" : "blob");
    }
    out->len = size;
}

static void add_zstd(struct sb_buf *out, const void *data, size_t len, int window_log,
                     bool with_size) {
    ZSTD_CCtx *c = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(c, ZSTD_c_compressionLevel, 1);
    ZSTD_CCtx_setParameter(c, ZSTD_c_contentSizeFlag, with_size);
    ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, 1);
    if (window_log)
        ZSTD_CCtx_setParameter(c, ZSTD_c_windowLog, window_log);
    sb_buf_reserve(out, ZSTD_compressBound(len));
    if (with_size) {
        out->len += ZSTD_compress2(c, out->data + out->len, out->cap - out->len, data, len);
    } else {
        ZSTD_outBuffer o = {out->data + out->len, out->cap - out->len, 0};
        ZSTD_inBuffer i = {data, len, 0};
        while (ZSTD_compressStream2(c, &o, &i, ZSTD_e_continue) > 0 && i.pos < i.size)
            continue;
        ZSTD_compressStream2(c, &o, &i, ZSTD_e_end);
        out->len += o.pos;
    }
    ZSTD_freeCCtx(c);
}

static void add_zstd_frames(struct sb_buf *out, const char *data, size_t len, size_t frame) {
    for (size_t at = 0; at < len; at += frame)
        add_zstd(out, data + at, len - at < frame ? len - at : frame, 0, true);
}

static void add_gzip(struct sb_buf *out, const void *data, size_t len) {
    z_stream z = {0};
    deflateInit2(&z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
    sb_buf_reserve(out, deflateBound(&z, len));
    z.next_in = (Bytef *)data;
    z.avail_in = (uInt)len;
    z.next_out = (Bytef *)out->data + out->len;
    z.avail_out = (uInt)(out->cap - out->len);
    deflate(&z, Z_FINISH);
    out->len = out->cap - z.avail_out;
    deflateEnd(&z);
}

static int file_of(const struct sb_buf *bytes) {
    int fd = memfd_create("reader", MFD_CLOEXEC);
    struct sb_error err = {0};
    CHECK_INT(sb_fd_write(fd, bytes->data, bytes->len, "memfd", &err), 0);
    lseek(fd, 0, SEEK_SET);
    return fd;
}

/* Reads to the end; the digest is that of the bytes handed out. */
static int read_whole(struct sb_layer_reader *reader, struct sb_digest *out, uint64_t *out_size,
                      struct sb_error *err) {
    struct sb_sha256 sha;
    struct sb_digest claimed;
    uint64_t claimed_size = 0;
    sb_sha256_start(&sha);
    *out_size = 0;
    for (;;) {
        const void *data;
        size_t len;
        if (sb_layer_reader_next(reader, &data, &len, err) < 0) {
            sb_layer_reader_abort(reader);
            return -1;
        }
        if (len == 0)
            break;
        sb_sha256_add(&sha, data, len);
        *out_size += len;
    }
    *out = sb_sha256_finish(&sha);
    if (sb_layer_reader_finish(reader, &claimed, &claimed_size, err) < 0)
        return -1;
    CHECK(sb_digest_equal(out, &claimed));
    CHECK_INT(*out_size, claimed_size);
    return 0;
}

static void check_reads(const char *what, const struct sb_buf *bytes, const void *data,
                        size_t len) {
    struct sb_digest digest, expected = sb_digest_of(data, len);
    struct sb_error err = {0};
    struct sb_layer_reader *reader;
    uint64_t size;
    int fd = file_of(bytes);
    CHECK_INT(sb_layer_reader_fd(fd, &reader, &err), 0);
    close(fd);
    if (!CHECK_INT(read_whole(reader, &digest, &size, &err), 0) ||
        !CHECK(sb_digest_equal(&digest, &expected)))
        printf("    %s: %s\n", what, err.message);
    CHECK_INT(size, len);

    struct sb_descriptor descriptor = {.size = bytes->len};
    CHECK_INT(sb_blob_put(store, bytes->data, bytes->len, &descriptor.digest, &err), 0);
    CHECK_INT(sb_layer_reader_open(store, &descriptor, &reader, &err), 0);
    if (!CHECK_INT(read_whole(reader, &digest, &size, &err), 0) ||
        !CHECK(sb_digest_equal(&digest, &expected)))
        printf("    %s: %s\n", what, err.message);
}

static void check_refused(const char *what, const struct sb_buf *bytes) {
    struct sb_digest digest;
    struct sb_error err = {0};
    struct sb_layer_reader *reader;
    uint64_t size;
    int fd = file_of(bytes);
    CHECK_INT(sb_layer_reader_fd(fd, &reader, &err), 0);
    close(fd);
    if (!CHECK_INT(read_whole(reader, &digest, &size, &err), -1) ||
        !CHECK_INT(err.code, SB_E_INTEGRITY))
        printf("    %s: %s\n", what, err.message);
}

static void check_sizes(void) {
    static const size_t sizes[] = {0, 1, 511, 512, 1u << 20, (4u << 20) - 1, 4u << 20, 21000001};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        sb_autobuf struct sb_buf data = {0}, plain = {0}, gzip = {0}, zstd = {0}, frames = {0},
                                 stream = {0};
        size_t n = sizes[i];
        make_data(&data, n);
        sb_buf_add(&plain, data.data, n);
        check_reads("plain", &plain, data.data, n);
        add_gzip(&gzip, data.data, n);
        check_reads("gzip", &gzip, data.data, n);
        add_zstd(&zstd, data.data, n, 0, true);
        check_reads("zstd", &zstd, data.data, n);
        add_zstd(&stream, data.data, n, 0, false);
        check_reads("zstd without size", &stream, data.data, n);
        add_zstd_frames(&frames, data.data, n, 4u << 20);
        check_reads("zstd frames", &frames, data.data, n);
    }
}

static void check_mixtures(void) {
    sb_autobuf struct sb_buf data = {0}, gzip = {0}, zstd = {0}, tiny = {0}, wide = {0};
    size_t n = 18u << 20, third = n / 3;
    make_data(&data, n);
    for (size_t at = 0; at < n; at += third)
        add_gzip(&gzip, data.data + at, third);
    check_reads("gzip members", &gzip, data.data, n);
    for (int i = 0; i < 70000; i++)
        sb_buf_addc(&gzip, 0);
    check_reads("gzip and zeros", &gzip, data.data, n);
    sb_buf_adds(&gzip, "garbage");
    check_refused("gzip and garbage", &gzip);

    static const char skippable[] = "\x5a\x2a\x4d\x18\x06\0\0\0abcdef";
    sb_buf_add(&zstd, skippable, 14);
    add_zstd_frames(&zstd, data.data, third, 1u << 20);
    sb_buf_add(&zstd, skippable, 14);
    sb_buf_add(&zstd, skippable, 14);
    add_zstd(&zstd, data.data + third, third, 0, false); /* from here on it is streamed */
    sb_buf_add(&zstd, skippable, 14);
    add_zstd_frames(&zstd, data.data + 2 * third, third, 4u << 20);
    sb_buf_add(&zstd, skippable, 14);
    check_reads("mixed frames", &zstd, data.data, n);
    sb_buf_adds(&zstd, "garbage");
    check_refused("zstd and garbage", &zstd);

    add_zstd_frames(&tiny, data.data, 1u << 20, 100);
    check_reads("tiny frames", &tiny, data.data, 1u << 20);
    sb_buf_add(&wide, "", 0);
    add_zstd(&wide, data.data, n, 27, false);
    check_reads("128 MiB window", &wide, data.data, n);
}

static void check_limits(void) {
    sb_autobuf struct sb_buf data = {0}, wide = {0}, bomb = {0}, frame = {0}, xz = {0};
    struct sb_error err = {0};
    make_data(&data, 1u << 20);
    add_zstd(&wide, data.data, data.len, 28, false);
    check_refused("256 MiB window", &wide);

    sb_buf_add(&xz, "\xfd\x37zXZ\0..............", 20);
    struct sb_layer_reader *reader;
    struct sb_digest digest;
    uint64_t size;
    int fd = file_of(&xz);
    CHECK_INT(sb_layer_reader_fd(fd, &reader, &err), 0);
    close(fd);
    CHECK_INT(read_whole(reader, &digest, &size, &err), -1);
    CHECK(strstr(err.message, "xz") != NULL);

    /* 300 kB that say they are 8 GB. */
    sb_autofree char *zeros = sb_alloc(4u << 20);
    add_zstd(&frame, zeros, 4u << 20, 0, true);
    for (int i = 0; i < 2000; i++)
        sb_buf_add(&bomb, frame.data, frame.len);
    CHECK(bomb.len < 1000000);
    fd = file_of(&bomb);
    CHECK_INT(sb_layer_reader_fd(fd, &reader, &err), 0);
    close(fd);
    sb_layer_reader_limit(reader, 100u << 20);
    CHECK_INT(read_whole(reader, &digest, &size, &err), -1);
    CHECK_INT(err.code, SB_E_INTEGRITY);
    CHECK(size <= 100u << 20);
}

static void check_damage(void) {
    struct sb_buf forms[4] = {{0}, {0}, {0}, {0}};
    sb_autobuf struct sb_buf data = {0};
    size_t n = 14000000;
    make_data(&data, n);
    add_gzip(&forms[0], data.data, n);
    add_zstd(&forms[1], data.data, n, 0, false);
    add_zstd_frames(&forms[2], data.data, n, 4u << 20);
    add_zstd_frames(&forms[3], data.data, 1000, 4u << 20);
    for (int i = 0; i < 4; i++) {
        struct sb_buf part = forms[i];
        static const int cuts[] = {2, 3, 10, 50, 97};
        for (size_t c = 0; c < sizeof cuts / sizeof *cuts; c++) {
            part.len = cuts[c] == 2 ? forms[i].len - 1 : forms[i].len * (size_t)cuts[c] / 100 + 4;
            check_refused("cut", &part);
        }
        for (int k = 0; k < 4; k++) {
            char *byte = &forms[i].data[forms[i].len * (size_t)(k + 1) / 5];
            *byte ^= 0x20;
            check_refused("damaged", &forms[i]);
            *byte ^= 0x20;
        }
        sb_buf_free(&forms[i]);
    }
}

static void check_verification(void) {
    struct sb_error err = {0};
    struct sb_layer_reader *reader;
    sb_autobuf struct sb_buf data = {0}, blob = {0};
    make_data(&data, 9000000);
    add_zstd_frames(&blob, data.data, data.len, 4u << 20);
    struct sb_descriptor d = {.size = blob.len}, wrong;
    CHECK_INT(sb_blob_put(store, blob.data, blob.len, &d.digest, &err), 0);
    wrong = d;
    wrong.size--;
    CHECK_INT(sb_layer_reader_open(store, &wrong, &reader, &err), -1);
    CHECK_INT(err.code, SB_E_INTEGRITY);

    /* Bytes that unpack all the same, but are not the blob's. */
    static const char skippable[] = "\x5a\x2a\x4d\x18\x06\0\0\0abcdef";
    sb_buf_add(&blob, skippable, 14);
    struct sb_descriptor other = {.size = blob.len};
    CHECK_INT(sb_blob_put(store, blob.data, blob.len, &other.digest, &err), 0);
    sb_autofree char *path = sb_blob_path(&other.digest);
    int fd = openat(sb_store_fd(store), path, O_WRONLY | O_CLOEXEC);
    CHECK_INT(pwrite(fd, "X", 1, (off_t)blob.len - 1), 1);
    close(fd);
    struct sb_digest digest;
    uint64_t size;
    CHECK_INT(sb_layer_reader_open(store, &other, &reader, &err), 0);
    CHECK_INT(read_whole(reader, &digest, &size, &err), -1);
    CHECK_INT(err.code, SB_E_INTEGRITY);
    CHECK(strstr(err.message, "damaged") != NULL);

    /* Given up at once, in the middle, and at the end. */
    for (int pieces = 0; pieces < 5; pieces++) {
        CHECK_INT(sb_layer_reader_open(store, &d, &reader, &err), 0);
        const void *p;
        size_t len;
        for (int i = 0; i < pieces; i++)
            CHECK_INT(sb_layer_reader_next(reader, &p, &len, &err), 0);
        sb_layer_reader_abort(reader);
    }
    /* Finished without having been read. */
    CHECK_INT(sb_layer_reader_open(store, &d, &reader, &err), 0);
    CHECK_INT(sb_layer_reader_finish(reader, &digest, &size, &err), 0);
    CHECK_INT(size, data.len);
}

struct feeder {
    int fd;
    const struct sb_buf *bytes;
};

static void *feed(void *self) {
    struct feeder *f = self;
    for (size_t at = 0; at < f->bytes->len; at += 77777) {
        size_t n = f->bytes->len - at < 77777 ? f->bytes->len - at : 77777;
        if (sb_fd_write(f->fd, f->bytes->data + at, n, "pipe", NULL) < 0)
            break;
    }
    return NULL;
}

static void check_pipe(void) {
    sb_autobuf struct sb_buf data = {0}, blob = {0};
    struct sb_error err = {0};
    make_data(&data, 11000000);
    add_zstd_frames(&blob, data.data, data.len, 4u << 20);
    int ends[2];
    CHECK_INT(pipe2(ends, O_CLOEXEC), 0);
    struct feeder f = {ends[1], &blob};
    pthread_t thread;
    pthread_create(&thread, NULL, feed, &f);
    struct sb_layer_reader *reader;
    CHECK_INT(sb_layer_reader_fd(ends[0], &reader, &err), 0);
    const void *p;
    size_t len;
    for (int i = 0; i < 2; i++)
        CHECK_INT(sb_layer_reader_next(reader, &p, &len, &err), 0);
    /* The writer never ends: giving up must not wait for it. */
    sb_layer_reader_abort(reader);
    char rest[65536];
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    pthread_t idle = thread;
    while (pthread_tryjoin_np(idle, NULL) != 0)
        if (read(ends[0], rest, sizeof rest) < 0)
            usleep(1000);
    close(ends[0]);
    close(ends[1]);
}

int main(void) {
    char directory[] = "/var/tmp/sb-reader-XXXXXX";
    struct sb_error err = {0};
    if (!mkdtemp(directory) || sb_store_open(directory, &store, &err) < 0) {
        printf("%s\n", err.message);
        return 1;
    }
    check_sizes();
    check_mixtures();
    check_limits();
    check_damage();
    check_verification();
    check_pipe();
    sb_store_close(store);
    CHECK_INT(sb_tree_remove(AT_FDCWD, directory, &err), 0);
    return test_done();
}
