/*
 * context/file_digest: the SHA-256 of a file of a context: holes aren't read, and whoever waits for
 * a large one is told how far it is.
 */
#ifndef SB_CONTEXT_FILE_DIGEST_H
#define SB_CONTEXT_FILE_DIGEST_H

#include <stdint.h>
#include <sys/stat.h>

#include "base/digest.h"
#include "base/error.h"

/* Called every second or so, first after one. */
struct sb_file_digest_watch {
    void (*tell)(void *data, uint64_t bytes);
    void *data;
};

/* From the file's beginning; st is its own. out_size: what was read, which differs from what st
 * says when the file was changed meanwhile. */
int sb_file_digest(int fd, const struct stat *st, const struct sb_file_digest_watch *watch,
                   struct sb_digest *out, uint64_t *out_size, struct sb_error *err);

#endif
