/*
 * layers/room: how much room the file system of a store has, for messages that say what is full.
 */
#ifndef SB_LAYERS_ROOM_H
#define SB_LAYERS_ROOM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "layers/store.h"

/* SB_E_NO_SPACE when fewer bytes are free than are needed. */
int sb_store_room(const struct sb_store *store, uint64_t needed, struct sb_error *err);

/* Fewer bytes are left than these, or next to no inodes, of the file system that a descriptor is
 * on.
 */
bool sb_room_is_out(int fd, uint64_t few);

/* To be called where something could not be written to a store, before what was begun is removed:
 * an error that says so gets to know which disk is full, and what to do. Returns -1. */
int sb_room_explain(int fd, struct sb_error *err);
/* The same where it is known that it was full, whatever it is now. */
void sb_room_tell(int fd, struct sb_error *err);

/* "/srv, where /dev/sdb1 is mounted, has 12 kB and 0 inodes left of 20 GB": of the file system that
 * a descriptor is on. The caller's to free. */
char *sb_room_text(int fd);

#endif
