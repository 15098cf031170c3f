/*
 * steps/mounts_private: what the files behind steps/mounts.h share.
 */
#ifndef SB_STEPS_MOUNTS_PRIVATE_H
#define SB_STEPS_MOUNTS_PRIVATE_H

#include "steps/mounts.h"

/* A new file of that mode, whatever the umask. */
int sb_step_mounts_write(const char *directory, const char *name, const void *data, size_t len,
                         mode_t mode, struct sb_error *err);
/* source is taken over; destination must live as long as the mounts. */
void sb_step_mounts_add(struct sb_step_mounts *mounts, char *source, const char *destination,
                        bool directory, bool read_only);
/* An absolute place that the container itself doesn't need. */
int sb_step_mounts_check_place(const char *path, struct sb_error *err);

/* ---- mounts_inputs.c ---- */

/* Lays them out, and adds mounts; those that lie below one of them were added before. A part of
 * sb_step_mounts_begin. */
int sb_step_inputs_places(const struct sb_step *step, struct sb_step_run_context *context,
                          struct sb_step_mounts *mounts, struct sb_error *err);

/* ---- mounts_secrets.c: files on a tmpfs, in /run/secrets or where the recipe says ---- */

/* Where the files of the step's secrets are to be seen; a part of sb_step_mounts_begin. */
int sb_step_secrets_places(const struct sb_step *step, struct sb_step_mounts *mounts,
                           struct sb_error *err);
/* Makes these files, the user's; a part of sb_step_mounts_give. */
int sb_step_secrets_give(const struct sb_step *step, const struct sb_step_run_context *context,
                         const struct sb_user *user, struct sb_step_mounts *mounts,
                         struct sb_error *err);
/* No file of it is anywhere any more. */
void sb_step_secrets_end(struct sb_step_mounts *mounts);

#endif
