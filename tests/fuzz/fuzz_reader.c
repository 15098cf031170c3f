/*
 * Fuzzing the reader of blobs: any bytes end in a stream or an error, in bounded memory and time.
 */
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "layers/unpack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct sb_error err = {0};
    struct sb_layer_reader *reader;
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size || lseek(fd, 0, SEEK_SET) < 0 ||
        sb_layer_reader_fd(fd, &reader, &err) < 0)
        __builtin_trap();
    close(fd);
    sb_layer_reader_limit(reader, 64u << 20); /* a bomb must end soon */
    struct sb_digest digest;
    uint64_t tar_size;
    if (sb_layer_reader_finish(reader, &digest, &tar_size, &err) < 0 && err.code == SB_E_NONE)
        __builtin_trap();
    return 0;
}
