/*
 * tests/bench/unpack: what unpacking layers costs, beside the least it could cost.
 *
 *     unpack TREE DIRECTORY                 one layer, made of a tree
 *     unpack STORE IMAGE DIRECTORY [TRIES]  all layers of an image in a store, one after the other
 *
 * DIRECTORY is scratch space, which the caller removes. The least is sha256 of the blobs, zstd -d,
 * sha256 of the tar, and writing the tar into one file: the processor time of these on the same
 * bytes, measured here, divided by the cores.
 */
#include <fcntl.h>
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
#include "base/thread.h"
#include "base/uncached.h"
#include "layers/image.h"
#include "layers/trees.h"
#include "layers/unpack.h"

struct layers {
    struct sb_store *store;
    struct sb_layer *v;
    size_t n;
};

struct least {
    double reading, writing; /* processor seconds */
};

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

static struct layers pack_tree(const char *tree, const char *directory) {
    struct sb_error err = {0};
    struct layers l = {.v = sb_alloc(sizeof *l.v), .n = 1};
    sb_autofree char *path = sb_format("%s/store", directory);
    if (sb_store_open(path, &l.store, &err) < 0)
        die(&err);
    l.v[0] = pack(l.store, tree);
    return l;
}

static struct layers of_image(const char *store, const char *name) {
    struct sb_error err = {0};
    struct sb_descriptor descriptor;
    struct sb_image image;
    struct layers l = {0};
    if (sb_store_open(store, &l.store, &err) < 0 ||
        sb_store_resolve(l.store, name, &descriptor, &err) < 0 ||
        sb_image_load(l.store, &descriptor, &image, &err) < 0)
        die(&err);
    l.n = image.layer_count;
    l.v = sb_alloc((l.n + 1) * sizeof *l.v);
    for (size_t i = 0; i < l.n; i++)
        l.v[i] = image.layers[i].layer;
    sb_image_free(&image);
    return l;
}

/* ---- the least ---- */

struct least_run {
    struct sb_sha256 packed, tar;
    ZSTD_DCtx *zstd;
    int file;
    off_t size;
    struct least least;
    unsigned char in[1 << 20], out[1 << 20];
};

static void write_least(struct least_run *r, size_t len) {
    double start = now(CLOCK_THREAD_CPUTIME_ID);
    if (pwrite(r->file, r->out, len, r->size) != (ssize_t)len)
        exit(1);
    r->least.writing += now(CLOCK_THREAD_CPUTIME_ID) - start;
    r->size += (off_t)len;
}

/* Reading the file is in it. */
static void read_least(struct least_run *r, struct sb_store *store, const struct sb_layer *layer) {
    struct sb_error err = {0};
    int fd = sb_blob_open(store, &layer->descriptor.digest, layer->descriptor.size, &err);
    if (fd < 0)
        die(&err);
    ssize_t n;
    do {
        double start = now(CLOCK_THREAD_CPUTIME_ID);
        n = sb_read_uncached(fd, r->in, sizeof r->in);
        sb_sha256_add(&r->packed, r->in, n > 0 ? (size_t)n : 0);
        for (ZSTD_inBuffer in = {r->in, n > 0 ? (size_t)n : 0, 0}; in.pos < in.size;) {
            ZSTD_outBuffer out = {r->out, sizeof r->out, 0};
            if (ZSTD_isError(ZSTD_decompressStream(r->zstd, &out, &in)))
                exit(1);
            sb_sha256_add(&r->tar, r->out, out.pos);
            r->least.reading += now(CLOCK_THREAD_CPUTIME_ID) - start;
            write_least(r, out.pos);
            start = now(CLOCK_THREAD_CPUTIME_ID);
        }
    } while (n > 0);
    close(fd);
}

static int scratch_file(const char *directory, const char *name) {
    sb_autofree char *path = sb_format("%s/%s", directory, name);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        exit(1);
    return fd;
}

static struct least measure_least(const struct layers *l, const char *directory) {
    struct least_run *r = sb_alloc(sizeof *r);
    r->zstd = ZSTD_createDCtx();
    r->file = scratch_file(directory, "least");
    sb_sha256_start(&r->packed);
    sb_sha256_start(&r->tar);
    for (size_t i = 0; i < l->n; i++)
        read_least(r, l->store, &l->v[i]);
    close(r->file);
    ZSTD_freeDCtx(r->zstd);
    struct least least = r->least;
    free(r);
    return least;
}

/* ---- the real thing ---- */

static void unpack(const struct layers *l, const char *directory) {
    struct sb_error err = {0};
    struct sb_unpack_options options = {.form = SB_UNPACK_OVERLAY};
    for (size_t i = 0; i < l->n; i++) {
        sb_autofree char *path = sb_format("%s-%zu", directory, i);
        if (mkdir(path, 0755) < 0)
            exit(1);
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || sb_unpack_layer(l->store, &l->v[i], fd, &options, &err) < 0)
            die(&err);
        close(fd);
    }
}

static void measure(const struct layers *l, const char *directory, double floor) {
    sync(); /* or writing what came before is in the time */
    double start = now(CLOCK_MONOTONIC);
    pid_t pid = fork();
    if (pid == 0) {
        unpack(l, directory);
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
    if (argc < 3 || argc > 5) {
        fprintf(stderr, "usage: unpack TREE DIRECTORY\n"
                        "       unpack STORE IMAGE DIRECTORY [TRIES]\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    const char *directory = argv[argc == 3 ? 2 : 3];
    struct layers l = argc == 3 ? pack_tree(argv[1], directory) : of_image(argv[1], argv[2]);
    struct least least = measure_least(&l, directory);
    double sum = least.reading + least.writing;
    int cores = sb_core_count();
    printf("sha256, zstd -d, sha256: %.2f s; writing: %.2f s; all on %d "
           "cores: %.2f s\n",
           least.reading, least.writing, cores, sum / cores);
    /* Nothing is removed in between: ext4 is slow where it has just freed many inodes. */
    for (int i = 0; i < (argc == 5 ? atoi(argv[4]) : 3); i++) {
        sb_autofree char *files = sb_format("%s/files-%d", directory, i);
        measure(&l, files, sum / cores);
    }
    free(l.v);
    sb_store_close(l.store);
    return 0;
}
