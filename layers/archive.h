/*
 * layers/archive: writing a tar to a descriptor. The inside of layers/export.
 *
 * Small writes are gathered. Each regular file is followed by exactly its size in data.
 */
#ifndef SB_LAYERS_ARCHIVE_H
#define SB_LAYERS_ARCHIVE_H

#include "base/buffer.h"
#include "base/error.h"
#include "layers/entry.h"

struct sb_archive {
    int fd;           /* the caller's */
    const char *what; /* in messages */
    struct sb_buf pending;
    uint64_t left; /* of the current file */
    uint64_t size;
};

int sb_archive_entry(struct sb_archive *archive, const struct sb_entry *entry,
                     struct sb_error *err);
int sb_archive_data(struct sb_archive *archive, const void *data, size_t len, struct sb_error *err);
int sb_archive_zeros(struct sb_archive *archive, uint64_t len, struct sb_error *err);
/* A regular file of root's, mode 0644, time 0; with data, or to be followed by it. */
int sb_archive_file(struct sb_archive *archive, const char *path, const void *data, uint64_t size,
                    struct sb_error *err);
int sb_archive_directory(struct sb_archive *archive, const char *path, struct sb_error *err);
/* Ends the archive, and writes what is pending. */
int sb_archive_finish(struct sb_archive *archive, struct sb_error *err);
void sb_archive_free(struct sb_archive *archive); /* the memory; writes nothing */

#endif
