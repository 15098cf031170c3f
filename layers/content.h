/*
 * layers/content: what is inside regular files, and their attributes: written by threads of its own
 * while the caller goes on reading entries and making names. The inside of layers/unpack.
 *
 * All that has to do with names, and so with order, is the caller's: files come here open. Small
 * files are handed over in batches, a large one piece by piece and always to one thread at a time;
 * so memory and open files stay bounded, whatever the layer.
 */
#ifndef SB_LAYERS_CONTENT_H
#define SB_LAYERS_CONTENT_H

#include <stdint.h>

#include "base/error.h"
#include "layers/entry.h"
#include "layers/unpack_options.h"
#include "layers/walk.h"

struct sb_content_writer;

/* options must outlive it. */
struct sb_content_writer *sb_content_writer_new(const struct sb_unpack_options *options);

/* A file that was begun elsewhere: its first `done` bytes are in it. What sb_entry_data_next gave
 * last, from `data` on, is still to be written, and so is all that it will give; len 0: it was the
 * end. */
struct sb_content_begun {
    uint64_t done;
    const void *data;
    size_t len;
    uint64_t offset;
};

/* Takes over fd: a new file, empty unless it was begun (else NULL). Reads all of data, and copies
 * what it needs of the entry. The error may be one of an earlier file. */
int sb_content_write(struct sb_content_writer *writer, int fd, const struct sb_entry *entry,
                     struct sb_entry_data *data, const struct sb_content_begun *begun,
                     struct sb_error *err);

/* Waits until every file is written. Afterwards more may follow. */
int sb_content_wait(struct sb_content_writer *writer, struct sb_error *err);

/* Gives up what was not waited for. NULL is allowed. */
void sb_content_writer_free(struct sb_content_writer *writer);

#endif
