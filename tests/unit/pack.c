#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/process.h"
#include "layers/contents.h"
#include "layers/pack.h"
#include "layers/tar.h"
#include "tests/unit/layer_test.h"

static struct layer_test t;

/* Bytes that compress, but not to nothing; the same in every run. */
static char *sample(size_t len) {
    char *data = sb_alloc(len + 1);
    uint64_t x = 88172645463325252u;
    for (size_t i = 0; i < len; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        data[i] = (char)(x % 251 < 120 ? 'a' + x % 7 : x >> 8);
    }
    return data;
}

static struct sb_packer *start(enum sb_compression compression, int level, int threads) {
    struct sb_pack_options options = {
        .compression = compression, .level = level, .threads = threads};
    struct sb_error err = {0};
    struct sb_packer *packer = NULL;
    if (sb_packer_start(t.store, &options, &packer, &err) < 0)
        layer_test_die("starting a packer", &err);
    return packer;
}

static void put(struct sb_packer *packer, struct sb_entry entry) {
    struct sb_error err = {0};
    if (!CHECK_INT(sb_packer_entry(packer, &entry, &err), 0))
        printf("    %s\n", err.message);
}

static struct sb_layer finish(struct sb_packer *packer) {
    struct sb_error err = {0};
    struct sb_layer layer = {0};
    if (!CHECK_INT(sb_packer_finish(packer, &layer, &err), 0))
        printf("    %s\n", err.message);
    return layer;
}

static bool same_layer(const struct sb_layer *a, const struct sb_layer *b) {
    return sb_digest_equal(&a->diff_id, &b->diff_id) && a->tar_size == b->tar_size &&
           a->descriptor.size == b->descriptor.size &&
           sb_digest_equal(&a->descriptor.digest, &b->descriptor.digest);
}

/* One large file, its data in pieces of the given size. */
static struct sb_layer pack_sample(const char *data, size_t len, size_t piece,
                                   enum sb_compression compression, int level, int threads) {
    struct sb_error err = {0};
    struct sb_packer *packer = start(compression, level, threads);
    put(packer, (struct sb_entry){.path = "d", .mode = S_IFDIR | 0755});
    put(packer, (struct sb_entry){.path = "d/big", .mode = S_IFREG | 0644, .size = len});
    for (size_t at = 0; at < len; at += piece)
        if (sb_packer_data(packer, data + at, len - at < piece ? len - at : piece, &err) < 0)
            layer_test_die("packing", &err);
    put(packer, (struct sb_entry){.path = "last", .mode = S_IFIFO | 0600});
    return finish(packer);
}

static void test_same_bytes(void) {
    const size_t len = 6 * SB_FRAME_SIZE + 12345;
    sb_autofree char *data = sample(len);
    static const int levels[] = {1, 0, 6, 12};
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        for (int method = 0; method < 3; method++) {
            if (method == SB_COMPRESSION_NONE && levels[i] != 0)
                continue;
            size_t n = levels[i] > 1 ? len / 3 : len;
            struct sb_layer one = pack_sample(data, n, n, method, levels[i], 1);
            struct sb_layer two = pack_sample(data, n, 1000003, method, levels[i], 2);
            struct sb_layer seven = pack_sample(data, n, 4097, method, levels[i], 7);
            CHECK(same_layer(&one, &two) && same_layer(&one, &seven));
            sb_autofree char *tar = layer_test_tar(&t, &one, "same.tar");
            sb_autofree char *command = sb_format("tar -xOf %s d/big | sha256sum", tar);
            sb_autofree char *said = layer_test_shell(command);
            struct sb_digest digest = sb_digest_of(data, n);
            CHECK(!strncmp(said, sb_digest_hex(&digest).text, 64));
        }
    }
}

static void test_layer_facts(void) {
    struct sb_layer empty = finish(start(SB_COMPRESSION_ZSTD, 0, 0));
    CHECK_INT(empty.tar_size, SB_TAR_END);
    CHECK_STR(empty.descriptor.media_type, SB_MEDIA_LAYER_ZSTD);
    CHECK_STR(sb_digest_text(&empty.diff_id).text,
              "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef");
    free(layer_test_tar(&t, &empty, "empty.tar"));
    struct sb_layer plain = finish(start(SB_COMPRESSION_NONE, 0, 0));
    CHECK_STR(plain.descriptor.media_type, SB_MEDIA_LAYER_TAR);
    CHECK(sb_digest_equal(&plain.diff_id, &empty.diff_id));
    CHECK(sb_digest_equal(&plain.diff_id, &plain.descriptor.digest));
    struct sb_layer gzip = finish(start(SB_COMPRESSION_GZIP, 0, 0));
    CHECK_STR(gzip.descriptor.media_type, SB_MEDIA_LAYER_GZIP);
    CHECK(sb_digest_equal(&gzip.diff_id, &empty.diff_id));

    /* gzip: no time, no name, the operating system unknown. */
    sb_autofree char *path = layer_test_blob_path(&t, &gzip);
    struct sb_error err = {0};
    sb_autobuf struct sb_buf blob = {0};
    CHECK_INT(sb_file_read(AT_FDCWD, path, 1 << 20, &blob, &err), 0);
    CHECK(blob.len > 10 && !memcmp(blob.data, "\x1f\x8b\x08\0\0\0\0\0\0\xff", 10));

    struct sb_contents *contents;
    CHECK_INT(sb_contents_open(t.store, &empty.diff_id, &contents, &err), 0);
    CHECK_INT(sb_contents_count(contents), 0);
    sb_contents_close(contents);
}

/* A content's size from nothing to beyond a frame, by way of every edge. */
static void test_sizes(void) {
    static const size_t sizes[] = {0,
                                   1,
                                   511,
                                   512,
                                   513,
                                   SB_FRAME_SIZE - 512 - 1024,
                                   SB_FRAME_SIZE - 1024,
                                   SB_FRAME_SIZE - 1023,
                                   SB_FRAME_SIZE - 512,
                                   SB_FRAME_SIZE,
                                   SB_FRAME_SIZE + 1};
    sb_autofree char *data = sample(SB_FRAME_SIZE + 1);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct sb_error err = {0};
        struct sb_packer *packer = start(SB_COMPRESSION_ZSTD, 1, 2);
        put(packer, (struct sb_entry){.path = "f", .mode = S_IFREG | 0644, .size = sizes[i]});
        CHECK_INT(sb_packer_data(packer, data, sizes[i], &err), 0);
        struct sb_layer layer = finish(packer);
        CHECK_INT(layer.tar_size, 512 + (sizes[i] + 511) / 512 * 512 + SB_TAR_END);
        free(layer_test_tar(&t, &layer, "size.tar"));
    }
}

/* ---- what must be refused ---- */

static void test_misuse(void) {
    struct sb_error err = {0};
    struct sb_layer layer;
    struct sb_entry file = {.path = "file", .mode = S_IFREG | 0644, .size = 10};
    struct sb_entry next = {.path = "next", .mode = S_IFDIR | 0755};

    struct sb_packer *packer = start(SB_COMPRESSION_ZSTD, 0, 0);
    put(packer, file);
    CHECK_INT(sb_packer_data(packer, "12345", 5, &err), 0);
    CHECK_INT(sb_packer_entry(packer, &next, &err), -1);
    CHECK_STR(err.message, "file: 5 bytes of its content are missing");
    CHECK_INT(sb_packer_finish(packer, &layer, &err), -1);

    packer = start(SB_COMPRESSION_ZSTD, 0, 0);
    put(packer, file);
    CHECK_INT(sb_packer_data(packer, "12345678901", 11, &err), -1);
    CHECK_STR(err.message, "file: more content than its size says");
    CHECK_INT(sb_packer_finish(packer, &layer, &err), -1);

    packer = start(SB_COMPRESSION_ZSTD, 0, 0);
    put(packer, file);
    CHECK_INT(sb_packer_finish(packer, &layer, &err), -1);

    packer = start(SB_COMPRESSION_ZSTD, 0, 0);
    CHECK_INT(sb_packer_entry(packer, &(struct sb_entry){.path = "/x", .mode = S_IFDIR}, &err), -1);
    sb_packer_abort(packer);
    sb_packer_abort(NULL);
    sb_packer_abort(start(SB_COMPRESSION_GZIP, 0, 3));

    static const struct sb_pack_options bad[] = {
        {.level = 23}, {.compression = SB_COMPRESSION_GZIP, .level = 13}, {.level = -1}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_INT(sb_packer_start(t.store, &bad[i], &packer, &err), -1);
}

/* ---- files ---- */

static int make_file(const void *data, size_t len) {
    sb_autofree char *path = sb_format("%s/input", t.dir);
    struct sb_error err = {0};
    unlink(path);
    CHECK_INT(sb_file_write(AT_FDCWD, path, data, len, 0600, &err), 0);
    return open(path, O_RDWR | O_CLOEXEC);
}

static int pack_fd(int fd, size_t size, struct sb_digest *digest, struct sb_layer *out,
                   struct sb_error *err) {
    struct sb_packer *packer = start(SB_COMPRESSION_ZSTD, 1, 2);
    put(packer, (struct sb_entry){.path = "input", .mode = S_IFREG | 0644, .size = size});
    if (sb_packer_file(packer, fd, "src/input", digest, err) < 0) {
        sb_packer_abort(packer);
        return -1;
    }
    *out = finish(packer);
    return 0;
}

static void test_files(void) {
    const size_t len = SB_FRAME_SIZE + 777777;
    struct sb_error err = {0};
    sb_autofree char *data = sample(len);
    static const size_t sizes[] = {0, 1, 70000, SB_FRAME_SIZE - 512, SB_FRAME_SIZE + 777777};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct sb_digest digest, expected = sb_digest_of(data, sizes[i]);
        struct sb_layer layer, again;
        sb_autoclose int fd = make_file(data, sizes[i]);
        CHECK_INT(pack_fd(fd, sizes[i], &digest, &layer, &err), 0);
        CHECK(sb_digest_equal(&digest, &expected));
        lseek(fd, 0, SEEK_SET);
        CHECK_INT(pack_fd(fd, sizes[i], NULL, &again, &err), 0);
        CHECK(same_layer(&layer, &again));
        struct sb_packer *packer = start(SB_COMPRESSION_ZSTD, 1, 2);
        put(packer, (struct sb_entry){.path = "input", .mode = S_IFREG | 0644, .size = sizes[i]});
        CHECK_INT(sb_packer_data(packer, data, sizes[i], &err), 0);
        again = finish(packer);
        CHECK(same_layer(&layer, &again));

        lseek(fd, 0, SEEK_SET);
        CHECK_INT(pack_fd(fd, sizes[i] + 1, NULL, &layer, &err), -1); /* it became shorter */
        CHECK_STR(err.message, "src/input: its size changed while it was being packed");
        lseek(fd, 0, SEEK_SET);
        if (sizes[i] > 0)
            CHECK_INT(pack_fd(fd, sizes[i] - 1, NULL, &layer, &err), -1); /* and longer */
    }
    sb_autoclose int directory = open("/", O_RDONLY | O_CLOEXEC);
    struct sb_layer layer;
    CHECK_INT(pack_fd(directory, 5, NULL, &layer, &err), -1);
    CHECK(strstr(err.message, "src/input") && err.code == SB_E_IO);
}

static void test_sparse(void) {
    struct sb_error err = {0};
    sb_autoclose int fd = make_file("begin", 5);
    const size_t size = 3 * SB_FRAME_SIZE + 100;
    CHECK_INT(pwrite(fd, "middle", 6, SB_FRAME_SIZE * 2 - 3), 6);
    CHECK_INT(ftruncate(fd, (off_t)size), 0);
    sb_autofree char *data = sb_alloc(size);
    memcpy(data, "begin", 5);
    memcpy(data + SB_FRAME_SIZE * 2 - 3, "middle", 6);
    struct sb_digest digest, expected = sb_digest_of(data, size);
    struct sb_layer sparse, dense;
    CHECK_INT(pack_fd(fd, size, &digest, &sparse, &err), 0);
    CHECK(sb_digest_equal(&digest, &expected));
    lseek(fd, 0, SEEK_SET);
    CHECK_INT(pack_fd(fd, size - 1, NULL, &dense, &err), -1);
    sb_autoclose int full = make_file(data, size);
    CHECK_INT(pack_fd(full, size, NULL, &dense, &err), 0);
    CHECK(same_layer(&sparse, &dense)); /* where the holes are is no part of a layer */

    sb_autoclose int hole = make_file("", 0);
    CHECK_INT(ftruncate(hole, (off_t)size), 0);
    CHECK_INT(pack_fd(hole, size, NULL, &sparse, &err), 0);
}

/* 8 GiB and a byte: more than a ustar header can say. Some ten seconds of processor time. */
static void test_huge_sparse(void) {
    struct sb_error err = {0};
    const uint64_t size = (8ull << 30) + 1;
    sb_autoclose int fd = make_file("begin", 5);
    CHECK_INT(ftruncate(fd, (off_t)size), 0);
    CHECK_INT(pwrite(fd, "e", 1, (off_t)size - 1), 1);
    struct sb_layer layer;
    CHECK_INT(pack_fd(fd, size, NULL, &layer, &err), 0);
    sb_autofree char *blob = layer_test_blob_path(&t, &layer);
    sb_autofree char *command = sb_format("zstd -dc %s | tar tv | awk '{print $3}'", blob);
    sb_autofree char *said = layer_test_shell(command);
    CHECK_STR(said, "8589934593\n");
}

/* ---- other programs read it ---- */

static struct sb_layer pack_oddities(void) {
    struct sb_error err = {0};
    struct sb_buf deep = {0}, name = {0};
    for (int i = 0; i < 39; i++)
        sb_buf_addf(&deep, "%s%099d", i ? "/" : "", i);
    for (int i = 0; i < 60; i++)
        sb_buf_adds(&name, "\xe9\xff");
    struct sb_packer *packer = start(SB_COMPRESSION_ZSTD, 0, 2);
    put(packer, (struct sb_entry){.path = "dev",
                                  .mode = S_IFDIR | 01777,
                                  .uid = 4000000,
                                  .gid = 3000000,
                                  .mtime = 4102444800});
    put(packer, (struct sb_entry){.path = "dev/null",
                                  .mode = S_IFCHR | 0666,
                                  .device_major = 1,
                                  .device_minor = 3,
                                  .mtime = 1});
    put(packer, (struct sb_entry){.path = "dev/sda",
                                  .mode = S_IFBLK | 0660,
                                  .device_major = 259,
                                  .device_minor = 300000});
    put(packer, (struct sb_entry){.path = "dev/pipe", .mode = S_IFIFO | 0600, .mtime = -86400});
    put(packer, (struct sb_entry){.path = deep.data, .mode = S_IFREG | 0644, .size = 3});
    CHECK_INT(sb_packer_data(packer, "abc", 3, &err), 0);
    put(packer, (struct sb_entry){
                    .path = "hard", .link = deep.data, .mode = S_IFREG | 0644, .hard_link = true});
    put(packer, (struct sb_entry){.path = "soft", .link = deep.data, .mode = S_IFLNK | 0777});
    put(packer, (struct sb_entry){.path = "odd\xff\ncaf\xe9", .mode = S_IFREG | 0644});
    put(packer, (struct sb_entry){.path = name.data, .mode = S_IFREG | 0644});
    put(packer, (struct sb_entry){.path = "\xc3\xa9", .link = name.data, .mode = S_IFLNK | 0777});
    put(packer, (struct sb_entry){.path = ".wh.gone", .mode = S_IFREG | 0600});
    sb_buf_free(&deep);
    sb_buf_free(&name);
    return finish(packer);
}

static void test_others_read_it(void) {
    struct sb_layer layer = pack_oddities();
    sb_autofree char *tar = layer_test_tar(&t, &layer, "odd.tar");
    static const char expected[] = "drwxrwxrwt 4000000/3000000 0 2100-01-01 00:00 dev/\n"
                                   "crw-rw-rw- 0/0 1,3 1970-01-01 00:00 dev/null\n"
                                   "brw-rw---- 0/0 259,300000 1970-01-01 00:00 dev/sda\n"
                                   "prw------- 0/0 0 1969-12-31 00:00 dev/pipe\n"
                                   "-rw-r--r-- 0/0 3 1970-01-01 00:00 DEEP\n"
                                   "hrw-r--r-- 0/0 0 1970-01-01 00:00 hard link to DEEP\n"
                                   "lrwxrwxrwx 0/0 0 1970-01-01 00:00 soft -> DEEP\n"
                                   "-rw-r--r-- 0/0 0 1970-01-01 00:00 odd\\377\\ncaf\\351\n"
                                   "-rw-r--r-- 0/0 0 1970-01-01 00:00 LONG\n"
                                   "lrwxrwxrwx 0/0 0 1970-01-01 00:00 \\303\\251 -> LONG\n"
                                   "-rw------- 0/0 0 1970-01-01 00:00 .wh.gone\n";
    /* GNU tar; what it warns about would be noise in every log. */
    sb_autofree char *command = sb_format(
        "LC_ALL=C TZ=UTC tar tvf %s 2>&1 | sed -E 's/ +/ /g; s,([0-9]{99}/){38}[0-9]{99},DEEP,;"
        " s/(.351.377){60}/LONG/'",
        tar);
    sb_autofree char *said = layer_test_shell(command);
    CHECK_STR(said, expected);

    sb_autofree char *python =
        sb_format("LC_ALL=C.UTF-8 python3 -c \"import tarfile, os\n"
                  "for m in tarfile.open('%s'):\n"
                  "    n = os.fsencode(m.name)\n"
                  "    print(len(n), n[:8], len(m.linkname), m.mtime, m.uid, m.size)\"",
                  tar);
    sb_autofree char *python_said = layer_test_shell(python);
    if (system("python3 -c 1 2>/dev/null") == 0)
        CHECK_STR(python_said, "3 b'dev' 0 4102444800 4000000 0\n8 b'dev/null' 0 1 0 0\n"
                               "7 b'dev/sda' 0 0 0 0\n8 b'dev/pipe' 0 -86400.0 0 0\n"
                               "3899 b'00000000' 0 0 0 3\n4 b'hard' 3899 0 0 0\n"
                               "4 b'soft' 3899 0 0 0\n9 b'odd\\xff\\ncaf' 0 0 0 0\n"
                               "120 b'\\xe9\\xff\\xe9\\xff\\xe9\\xff\\xe9\\xff' 0 0 0 0\n"
                               "2 b'\\xc3\\xa9' 120 0 0 0\n8 b'.wh.gone' 0 0 0 0\n");
}

static void test_contents(void) {
    struct sb_error err = {0};
    struct sb_layer layer = pack_oddities();
    struct sb_contents *contents;
    struct sb_entry e;
    if (!CHECK(sb_contents_open(t.store, &layer.diff_id, &contents, &err) == 0))
        return;
    CHECK_INT(sb_contents_count(contents), 11);
    CHECK(sb_contents_find(contents, "dev", &e) && e.uid == 4000000 && S_ISDIR(e.mode));
    CHECK(sb_contents_find(contents, "dev/sda", &e) && e.device_minor == 300000);
    CHECK(sb_contents_find(contents, "hard", &e) && e.hard_link && strlen(e.link) == 3899);
    CHECK(sb_contents_find(contents, ".wh.gone", &e) && e.size == 0);
    sb_contents_close(contents);
}

/* ---- trouble ---- */

static size_t count_names(const char *pattern) {
    sb_autofree char *command = sb_format("ls -d %s 2>/dev/null | wc -l", pattern);
    sb_autofree char *said = layer_test_shell(command);
    return strtoul(said, NULL, 10);
}

/* A store on a file system of 16 MB: the writing thread finds it full, the caller learns of it. */
static void test_disk_full(void) {
    struct sb_error err = {0};
    sb_autofree char *mount_point = sb_format("%s/small", t.dir);
    if (mkdir(mount_point, 0700) < 0 || mount("tmpfs", mount_point, "tmpfs", 0, "size=16m") < 0) {
        printf("pack: not allowed to mount; a full disk is not tested\n");
        return;
    }
    sb_autofree char *path = sb_format("%s/store", mount_point);
    struct sb_store *small;
    if (sb_store_open(path, &small, &err) < 0)
        layer_test_die(path, &err);
    sb_autofree char *data = sample(SB_FRAME_SIZE);
    for (int threads = 1; threads < 8; threads += 3) {
        struct sb_pack_options options = {.compression = SB_COMPRESSION_NONE, .threads = threads};
        struct sb_packer *packer;
        struct sb_layer layer;
        err = (struct sb_error){0};
        CHECK_INT(sb_packer_start(small, &options, &packer, &err), 0);
        put(packer, (struct sb_entry){.path = "f", .mode = S_IFREG, .size = 1ull << 30});
        int failed = 0;
        for (int i = 0; i < 256 && !failed; i++)
            failed = sb_packer_data(packer, data, SB_FRAME_SIZE, &err);
        CHECK(failed);
        CHECK_INT(err.code, SB_E_NO_SPACE);
        CHECK_INT(sb_packer_finish(packer, &layer, &err), -1);
    }
    sb_autofree char *blobs = sb_format("%s/blobs/sha256/*", path);
    sb_autofree char *strays = sb_format("%s/sbuild/tmp/*/.tmp*", path);
    CHECK_INT(count_names(blobs), 0);
    CHECK_INT(count_names(strays), 0);
    sb_store_close(small);
    umount(mount_point);
}

static void test_abort_midway(void) {
    sb_autofree char *data = sample(SB_FRAME_SIZE);
    struct sb_error err = {0};
    for (int frames = 1; frames < 12; frames += 3) {
        struct sb_packer *packer = start(SB_COMPRESSION_ZSTD, 0, 3);
        put(packer, (struct sb_entry){.path = "f", .mode = S_IFREG, .size = 1ull << 30});
        for (int i = 0; i < frames; i++)
            CHECK_INT(sb_packer_data(packer, data, SB_FRAME_SIZE, &err), 0);
        sb_packer_abort(packer);
    }
    sb_autofree char *strays = sb_format("%s/.tmp*", sb_store_tmp_path(t.store));
    CHECK_INT(count_names(strays), 0);
}

/* ---- while it is written ---- */

struct seen {
    struct sb_digest digest; /* of the first bytes, when half of them were there */
    uint64_t size, half;
    int told, fd;
    bool back, missing; /* it was told less than before; or what was told was not there */
};

/* What is told is there, and is what the blob has there in the end. */
static void see(void *data, int fd, uint64_t size) {
    struct seen *seen = data;
    seen->told++;
    seen->back |= size < seen->size;
    seen->size = size;
    if (fd >= 0 && seen->fd < 0)
        seen->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (seen->half > 0 || size < (12u << 20))
        return;
    sb_autofree char *bytes = sb_alloc(size);
    seen->half = size;
    seen->missing = pread(fd, bytes, size, 0) != (long)size;
    seen->digest = sb_digest_of(bytes, size);
}

static void test_watch(void) {
    enum { FRAMES = 7 };
    sb_autofree char *data = sample(FRAMES * SB_FRAME_SIZE);
    uint64_t x = 1;
    for (size_t i = 0; i + 8 <= FRAMES * SB_FRAME_SIZE; i += 8) { /* that does not compress */
        x = x * 6364136223846793005u + 1442695040888963407u;
        memcpy(data + i, &x, 8);
    }
    for (int threads = 1; threads <= 3; threads++) {
        struct sb_error err = {0};
        struct seen seen = {.fd = -1};
        const struct sb_blob_watch watch = {see, &seen};
        struct sb_pack_options options = {.threads = threads, .watch = &watch};
        struct sb_packer *packer;
        data[0] = (char)threads; /* a blob that is there already is the same, but for its name */
        CHECK_INT(sb_packer_start(t.store, &options, &packer, &err), 0);
        put(packer,
            (struct sb_entry){.path = "f", .mode = S_IFREG | 0644, .size = FRAMES * SB_FRAME_SIZE});
        CHECK_INT(sb_packer_data(packer, data, FRAMES * SB_FRAME_SIZE, &err), 0);
        struct sb_layer layer = finish(packer);
        CHECK(seen.told >= FRAMES / 2 && !seen.back && !seen.missing);
        CHECK(seen.size <= layer.descriptor.size && seen.half > 0);
        sb_autofree char *bytes = sb_alloc(seen.half);
        sb_autoclose int fd =
            sb_blob_open(t.store, &layer.descriptor.digest, layer.descriptor.size, &err);
        CHECK_INT(pread(fd, bytes, seen.half, 0), (long)seen.half);
        struct sb_digest digest = sb_digest_of(bytes, seen.half);
        CHECK(sb_digest_equal(&digest, &seen.digest));
        CHECK_INT(fcntl(seen.fd, F_GETFL) & (O_ACCMODE | O_DIRECT), O_RDONLY);
        close(seen.fd);
    }
    struct seen seen = {.fd = -1};
    const struct sb_blob_watch watch = {see, &seen};
    struct sb_pack_options options = {.threads = 2, .watch = &watch};
    struct sb_error err = {0};
    struct sb_packer *packer;
    CHECK_INT(sb_packer_start(t.store, &options, &packer, &err), 0);
    put(packer, (struct sb_entry){.path = "f", .mode = S_IFREG, .size = 1ull << 30});
    CHECK_INT(sb_packer_data(packer, data, FRAMES * SB_FRAME_SIZE, &err), 0);
    sb_packer_abort(packer);
    CHECK(seen.told == 0 || seen.size == 0); /* it is told that nothing comes of it */
    close(seen.fd);
}

/* Last: the process stays interrupted. */
static void test_interrupted(void) {
    struct sb_error err = {0};
    struct sb_layer layer;
    sb_interrupt_install();
    struct sb_packer *packer = start(SB_COMPRESSION_ZSTD, 0, 2);
    put(packer, (struct sb_entry){.path = "f", .mode = S_IFREG, .size = 1ull << 30});
    raise(SIGTERM);
    sb_autofree char *data = sample(SB_FRAME_SIZE);
    int failed = 0;
    for (int i = 0; i < 3 && !failed; i++)
        failed = sb_packer_data(packer, data, SB_FRAME_SIZE, &err);
    CHECK(failed);
    CHECK_INT(err.code, SB_E_INTERRUPTED);
    CHECK_INT(sb_packer_finish(packer, &layer, &err), -1);
}

int main(void) {
    t = layer_test_start();
    test_same_bytes();
    test_layer_facts();
    test_sizes();
    test_misuse();
    test_files();
    test_sparse();
    if (getenv("SB_TEST_SLOW"))
        test_huge_sparse();
    test_others_read_it();
    test_contents();
    test_disk_full();
    test_abort_midway();
    test_watch();
    test_interrupted();
    layer_test_end(&t);
    return test_done();
}
