#include "layers/compressor.h"

#include <libdeflate.h>
#include <stdlib.h>
#include <zstd.h>

#include "base/memory.h"

#define ZSTD_LEVEL 3
#define GZIP_LEVEL 6
#define GZIP_MAX   12

struct sb_compressor {
    enum sb_compression method;
    int level;
    ZSTD_CCtx *zstd;
    struct libdeflate_compressor *gzip;
};

int sb_compressor_level(enum sb_compression method, int level, int *out, struct sb_error *err) {
    int standard = method == SB_COMPRESSION_ZSTD ? ZSTD_LEVEL : GZIP_LEVEL;
    int most = method == SB_COMPRESSION_ZSTD ? ZSTD_maxCLevel() : GZIP_MAX;
    if (level < 0 || level > most)
        return sb_fail(err, SB_E_FAILED, "compression level %d: %s has the levels 1 to %d", level,
                       method == SB_COMPRESSION_ZSTD ? "zstd" : "gzip", most);
    *out = level ? level : standard;
    return 0;
}

struct sb_compressor *sb_compressor_new(enum sb_compression method, int level) {
    struct sb_compressor *c = sb_alloc(sizeof *c);
    c->method = method;
    c->level = level;
    return c;
}

void sb_compressor_free(struct sb_compressor *compressor) {
    if (!compressor)
        return;
    ZSTD_freeCCtx(compressor->zstd);
    if (compressor->gzip)
        libdeflate_free_compressor(compressor->gzip);
    free(compressor);
}

size_t sb_compressor_bound(enum sb_compression method, size_t len) {
    if (method == SB_COMPRESSION_ZSTD)
        return ZSTD_compressBound(len);
    return libdeflate_gzip_compress_bound(NULL, len);
}

static int zstd_frame(struct sb_compressor *c, const void *data, size_t len, void *out,
                      size_t out_cap, size_t *out_len, struct sb_error *err) {
    if (!c->zstd) {
        c->zstd = ZSTD_createCCtx();
        if (!c->zstd ||
            ZSTD_isError(ZSTD_CCtx_setParameter(c->zstd, ZSTD_c_compressionLevel, c->level)))
            return sb_fail(err, SB_E_FAILED, "zstd: no memory for level %d", c->level);
    }
    size_t n = ZSTD_compress2(c->zstd, out, out_cap, data, len);
    if (ZSTD_isError(n))
        return sb_fail(err, SB_E_FAILED, "zstd: %s", ZSTD_getErrorName(n));
    *out_len = n;
    return 0;
}

static int gzip_frame(struct sb_compressor *c, const void *data, size_t len, void *out,
                      size_t out_cap, size_t *out_len, struct sb_error *err) {
    if (!c->gzip && !(c->gzip = libdeflate_alloc_compressor(c->level)))
        return sb_fail(err, SB_E_FAILED, "gzip: no memory for level %d", c->level);
    *out_len = libdeflate_gzip_compress(c->gzip, data, len, out, out_cap);
    return *out_len ? 0 : sb_fail(err, SB_E_FAILED, "gzip: a frame grew beyond its bound");
}

int sb_compressor_frame(struct sb_compressor *compressor, const void *data, size_t len, void *out,
                        size_t out_cap, size_t *out_len, struct sb_error *err) {
    if (compressor->method == SB_COMPRESSION_ZSTD)
        return zstd_frame(compressor, data, len, out, out_cap, out_len, err);
    return gzip_frame(compressor, data, len, out, out_cap, out_len, err);
}
