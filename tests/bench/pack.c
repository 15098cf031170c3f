/*
 * tests/bench/pack: what packing a tree costs, beside the least it could cost.
 *
 *     pack TREE [THREADS] [zstd|gzip]
 *
 * The least is sha256 of the tar, zstd -3 of it in one stream, and sha256 of what comes out: the
 * processor time of these on the same bytes, measured here, divided by the cores. The promise of
 * the design is at most 1.2 times that. On a machine with other work to do, the processor time says
 * more than the wall clock.
 */
#include <fcntl.h>
#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zstd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/thread.h"
#include "layers/trees.h"

struct result {
    double wall, cpu;
    long peak_kib;
    struct sb_layer layer;
};

static double now(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static _Noreturn void die(const struct sb_error *err) {
    fprintf(stderr, "pack: %s\n", err->message);
    exit(1);
}

static struct sb_layer pack(struct sb_store *store, const char *tree,
                            const struct sb_pack_options *options) {
    struct sb_error err = {0};
    struct sb_tree_pack_options tree_options = {.epoch = INT64_MAX};
    struct sb_packer *packer;
    struct sb_layer layer;
    if (sb_packer_start(store, options, &packer, &err) < 0 ||
        sb_tree_pack(packer, tree, &tree_options, &err) < 0 ||
        sb_packer_finish(packer, &layer, &err) < 0)
        die(&err);
    return layer;
}

/* In a process of its own, for its peak memory and processor time. */
static struct result pack_apart(struct sb_store *store, const char *tree,
                                const struct sb_pack_options *options) {
    struct result *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    double start = now(CLOCK_MONOTONIC);
    pid_t pid = fork();
    if (pid == 0) {
        shared->layer = pack(store, tree, options);
        struct rusage usage;
        getrusage(RUSAGE_SELF, &usage);
        shared->peak_kib = usage.ru_maxrss;
        shared->cpu = now(CLOCK_PROCESS_CPUTIME_ID);
        _exit(0);
    }
    int status = 1;
    if (pid < 0 || waitpid(pid, &status, 0) < 0 || status != 0)
        exit(1);
    shared->wall = now(CLOCK_MONOTONIC) - start;
    return *shared;
}

static void hash_blob(struct sb_store *store, const struct sb_descriptor *d, double *cpu,
                      struct sb_digest *out) {
    struct sb_error err = {0};
    static unsigned char block[1 << 20];
    int fd = sb_blob_open(store, &d->digest, d->size, &err);
    if (fd < 0)
        die(&err);
    struct sb_sha256 sha;
    sb_sha256_start(&sha);
    for (ssize_t n; (n = read(fd, block, sizeof block)) > 0;) {
        double start = now(CLOCK_THREAD_CPUTIME_ID);
        sb_sha256_add(&sha, block, (size_t)n);
        *cpu += now(CLOCK_THREAD_CPUTIME_ID) - start;
    }
    close(fd);
    *out = sb_sha256_finish(&sha);
}

/* zstd -3, as the program does it: one stream; reading and writing are not counted. */
static uint64_t compress_tar(struct sb_store *store, const struct sb_descriptor *tar, double *cpu,
                             double *hash_cpu) {
    struct sb_error err = {0};
    static unsigned char in_block[1 << 20], out_block[1 << 20];
    int fd = sb_blob_open(store, &tar->digest, tar->size, &err);
    if (fd < 0)
        die(&err);
    ZSTD_CCtx *zstd = ZSTD_createCCtx();
    struct sb_sha256 sha;
    sb_sha256_start(&sha);
    uint64_t size = 0;
    for (ssize_t n = 1; n > 0;) {
        n = read(fd, in_block, sizeof in_block);
        ZSTD_inBuffer in = {in_block, n > 0 ? (size_t)n : 0, 0};
        size_t more = 1;
        while (n > 0 ? in.pos < in.size : more > 0) {
            ZSTD_outBuffer out = {out_block, sizeof out_block, 0};
            double start = now(CLOCK_THREAD_CPUTIME_ID);
            more = ZSTD_compressStream2(zstd, &out, &in, n > 0 ? ZSTD_e_continue : ZSTD_e_end);
            double middle = now(CLOCK_THREAD_CPUTIME_ID);
            sb_sha256_add(&sha, out_block, out.pos);
            *hash_cpu += now(CLOCK_THREAD_CPUTIME_ID) - middle;
            *cpu += middle - start;
            size += out.pos;
        }
    }
    ZSTD_freeCCtx(zstd);
    close(fd);
    return size;
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "usage: pack TREE [THREADS] [zstd|gzip]\n");
        return 2;
    }
    struct sb_error err = {0};
    char scratch[] = "/var/tmp/sbuild-bench-XXXXXX";
    struct sb_store *store;
    if (!mkdtemp(scratch) || sb_store_open(scratch, &store, &err) < 0)
        die(&err);
    struct sb_pack_options options = {.compression = SB_COMPRESSION_NONE};
    struct sb_layer tar = pack(store, argv[1], &options); /* warms the page cache too */
    options.threads = argc > 2 ? atoi(argv[2]) : 0;
    options.compression =
        argc > 3 && !strcmp(argv[3], "gzip") ? SB_COMPRESSION_GZIP : SB_COMPRESSION_ZSTD;

    double hash = 0, hash_packed = 0, zstd = 0;
    struct sb_digest digest;
    hash_blob(store, &tar.descriptor, &hash, &digest);
    uint64_t packed = compress_tar(store, &tar.descriptor, &zstd, &hash_packed);
    double least = (hash + zstd + hash_packed) / sb_core_count();
    printf("tar %.1f MB; sha256 %.2f s, zstd -3 %.2f s (%.1f MB), sha256 %.2f s: %.2f s on %d"
           " cores\n",
           (double)tar.tar_size / 1e6, hash, zstd, (double)packed / 1e6, hash_packed, least,
           sb_core_count());
    for (int i = 0; i < 3; i++) {
        struct result r = pack_apart(store, argv[1], &options);
        if (!sb_digest_equal(&r.layer.diff_id, &tar.diff_id) ||
            !sb_digest_equal(&digest, &tar.diff_id))
            printf("the diff IDs DIFFER\n");
        sb_autofree char *path = sb_blob_path(&r.layer.descriptor.digest);
        unlinkat(sb_store_fd(store), path, 0); /* or the next run has nothing to write */
        printf("pack: %.2f s, %.1f MB, peak %.1f MB: %.2f times the least; %.2f s of processor"
               " time, over the cores %.2f times\n",
               r.wall, (double)r.layer.descriptor.size / 1e6, (double)r.peak_kib / 1024,
               r.wall / least, r.cpu, r.cpu / sb_core_count() / least);
    }
    sb_store_close(store);
    return sb_tree_remove(AT_FDCWD, scratch, &err) < 0;
}
