/*
 * Any bytes as a blob: tar, gzip or zstd, they end in a stream or an error, in bounded memory and
 * time.
 */
#include "layers/block.h"
#include "layers/reader.h"
#include "tests/fuzz/fuzz.h"

/* A bomb must end soon. Below the size of one frame all is done on this thread; one input in 256
 * may be long enough for the others. */
static uint64_t limit_of(const uint8_t *data, size_t size) {
    return size > 0 && data[size - 1] == 0x5a ? 32u << 20 : 256u << 10;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static bool started;
    if (!started)
        sb_blocks_keep(); /* making 4 MiB anew takes longer than all the rest */
    started = true;
    struct sb_error err = {0};
    struct sb_layer_reader *reader;
    FUZZ_CHECK(sb_layer_reader_fd(fuzz_file(data, size), &reader, &err) == 0);
    sb_layer_reader_limit(reader, limit_of(data, size));
    struct sb_digest digest;
    uint64_t tar_size;
    if (sb_layer_reader_finish(reader, &digest, &tar_size, &err) < 0)
        fuzz_check_error(&err);
    return 0;
}
