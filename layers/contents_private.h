/*
 * layers/contents_private: what a table of contents is made of. The inside of layers/contents.
 */
#ifndef SB_LAYERS_CONTENTS_PRIVATE_H
#define SB_LAYERS_CONTENTS_PRIVATE_H

#include "base/buffer.h"
#include "layers/contents.h"

struct sb_record {
    uint32_t path, link; /* offsets of strings; link 0: none */
    uint32_t mode;
    uint32_t uid, gid;
    uint32_t nanoseconds; /* of the mtime; HARD_LINK is or-ed into it */
    int64_t mtime;
    uint64_t size; /* of a device: its major number times 2^32 plus its minor number */
};
_Static_assert(sizeof(struct sb_record) == 40, "a record has no gaps");

#define HARD_LINK (1u << 31)

struct sb_contents_item {
    struct sb_record record; /* in the host's byte order, offsets into the writer's strings */
    size_t number;
};

struct sb_contents_writer {
    struct sb_contents_item *items;
    size_t count, cap;
    struct sb_buf strings;
};

/* Of the entries that were added leaves what is there at the layer's end, in order of path
 * (layers/contents_end.c). SB_E_INTEGRITY for what can't be unpacked. */
int sb_contents_leave(struct sb_contents_writer *writer, struct sb_error *err);
/* The same without looking at what entries say of one another: of one path the last. */
void sb_contents_leave_last(struct sb_contents_writer *writer);

#endif
