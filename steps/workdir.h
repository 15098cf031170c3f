/*
 * steps/workdir: the working directories of steps and images are there.
 *
 * As with WORKDIR of a Dockerfile a directory that is missing is made, root's with mode 0755: in
 * the layer of the first step that starts in it; or else, of what image: says itself, in the
 * recipe's last layer if that is a copy layer. A layer of other steps would have to be built again
 * whenever it ceases to be the last one: then, and without any layer, whoever runs the image makes
 * the directory, as all do. A home is made by who makes its user, not before.
 */
#ifndef SB_STEPS_WORKDIR_H
#define SB_STEPS_WORKDIR_H

#include "context/copy.h"
#include "steps/mounts.h"

/* Makes the directory in an open root, where it is missing; the last part of its name belongs to
 * owner (NULL: root). What lies in something that is mounted is left to the runtime. */
int sb_workdir_make(int root, const char *workdir, const struct sb_step_mounts *mounts,
                    const struct sb_user *owner, int64_t epoch, struct sb_error *err);

/* The image's user, when the directory is /home/USER or below; NULL: it is nobody's home. The
 * caller's to free. */
char *sb_workdir_home_of(const char *workdir, const char *user);
/* Whether it is missing in an open root as that user is: made now it would be root's and empty, and
 * useradd would leave it so. */
bool sb_workdir_awaits_user(int root, const char *workdir, const char *user);

/* Adds the directory to a sorted list, where neither it nor the layers below have it: the ground's
 * stack, which must not be partial, as every machine is to make the same. */
int sb_workdir_add(struct sb_copy_list *list, const struct sb_copy_ground *ground,
                   const char *workdir, struct sb_error *err);

#endif
