/*
 * builder/step_mounts_private: what the files behind builder/step_mounts.h share.
 */
#ifndef SB_BUILDER_STEP_MOUNTS_PRIVATE_H
#define SB_BUILDER_STEP_MOUNTS_PRIVATE_H

#include "builder/step_mounts.h"

/* A new file of that mode, whatever the umask. */
int sb_step_mounts_write(const char *directory, const char *name, const void *data, size_t len,
                         mode_t mode, struct sb_error *err);
/* source is taken over; destination must live as long as the mounts. */
void sb_step_mounts_add(struct sb_step_mounts *mounts, char *source, const char *destination,
                        bool directory, bool read_only);
/* An absolute place that the container itself doesn't need. */
int sb_step_mounts_check_place(const char *path, struct sb_error *err);

#endif
