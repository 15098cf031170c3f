/*
 * tests/bench/unpack: what unpacking a layer costs, beside the least it could cost.
 *
 *     unpack TREE DIRECTORY
 *
 * TREE is packed once with zstd; DIRECTORY is scratch space, which the caller removes. The least is
 * sha256 of the blob, zstd -d, and sha256 of the tar: the processor time of these on the same
 * bytes, measured here, divided by the cores. Writing the files is not in it.
 */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zstd.h>

#include "base/file.h"
#include "base/memory.h"
#include "layers/trees.h"
#include "layers/unpack.h"

static double now(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static _Noreturn void die(const struct sb_error *err) {
    fprintf(stderr, "unpack: %s\n", err->message);
    exit(1);
}

static struct sb_layer pack(struct sb_store *store, const char *tree) {
    struct sb_error err = {0};
    struct sb_pack_options options = {.compression = SB_COMPRESSION_ZSTD};
    struct sb_tree_pack_options tree_options = {.overlay = true, .epoch = INT64_MAX};
    struct sb_packer *packer;
    struct sb_layer layer;
    if (sb_packer_start(store, &options, &packer, &err) < 0 ||
        sb_tree_pack(packer, tree, &tree_options, &err) < 0 ||
        sb_packer_finish(packer, &layer, &err) < 0)
        die(&err);
    return layer;
}

/* The processor time of it; reading the file is in it. */
static double least(struct sb_store *store, const struct sb_layer *layer) {
    struct sb_error err = {0};
    static unsigned char in_block[1 << 20], out_block[1 << 20];
    int fd = sb_blob_open(store, &layer->descriptor.digest, layer->descriptor.size, &err);
    if (fd < 0)
        die(&err);
    ZSTD_DCtx *zstd = ZSTD_createDCtx();
    struct sb_sha256 packed, tar;
    sb_sha256_start(&packed);
    sb_sha256_start(&tar);
    double start = now(CLOCK_THREAD_CPUTIME_ID);
    for (ssize_t n; (n = read(fd, in_block, sizeof in_block)) > 0;) {
        sb_sha256_add(&packed, in_block, (size_t)n);
        for (ZSTD_inBuffer in = {in_block, (size_t)n, 0}; in.pos < in.size;) {
            ZSTD_outBuffer out = {out_block, sizeof out_block, 0};
            if (ZSTD_isError(ZSTD_decompressStream(zstd, &out, &in)))
                exit(1);
            sb_sha256_add(&tar, out_block, out.pos);
        }
    }
    double spent = now(CLOCK_THREAD_CPUTIME_ID) - start;
    ZSTD_freeDCtx(zstd);
    close(fd);
    return spent;
}

static void unpack(struct sb_store *store, const struct sb_layer *layer, const char *directory) {
    struct sb_error err = {0};
    struct sb_unpack_options options = {.form = SB_UNPACK_OVERLAY};
    if (mkdir(directory, 0755) < 0)
        exit(1);
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || sb_unpack_layer(store, layer, fd, &options, &err) < 0)
        die(&err);
    close(fd);
}

static void measure(struct sb_store *store, const struct sb_layer *layer, const char *directory,
                    double floor) {
    sync(); /* or writing what came before is in the time */
    double start = now(CLOCK_MONOTONIC);
    pid_t pid = fork();
    if (pid == 0) {
        unpack(store, layer, directory);
        _exit(0);
    }
    int status = 1;
    struct rusage usage;
    if (pid < 0 || wait4(pid, &status, 0, &usage) < 0 || status != 0)
        exit(1);
    double wall = now(CLOCK_MONOTONIC) - start;
    double cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                 (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    printf("unpack: %.2f s, peak %.1f MB: %.2f times the least; %.2f s of processor time\n", wall,
           (double)usage.ru_maxrss / 1024, wall / floor, cpu);
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: unpack TREE DIRECTORY\n");
        return 2;
    }
    struct sb_error err = {0};
    struct sb_store *store;
    sb_autofree char *blobs = sb_format("%s/store", argv[2]);
    if (sb_store_open(blobs, &store, &err) < 0)
        die(&err);
    struct sb_layer layer = pack(store, argv[1]);
    double spent = least(store, &layer);
    cpu_set_t set;
    int cores = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    printf("tar %.1f MB, blob %.1f MB; sha256, zstd -d, sha256: %.2f s, %.2f s on %d cores\n",
           (double)layer.tar_size / 1e6, (double)layer.descriptor.size / 1e6, spent, spent / cores,
           cores);
    /* Nothing is removed in between: ext4 is slow where it has just freed many inodes. */
    for (int i = 0; i < 3; i++) {
        sb_autofree char *files = sb_format("%s/files-%d", argv[2], i);
        measure(store, &layer, files, spent / cores);
    }
    sb_store_close(store);
    return 0;
}
