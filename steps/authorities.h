/*
 * steps/authorities: whose certificates programs of steps believe, beside the image's own: what the
 * settings name (steps: {authorities: FILE}), for networks that open every connection.
 *
 * While a program with the network runs, one file has all of them, and variables of many programs
 * name it. Nothing of that is in a layer, an image or a key.
 */
#ifndef SB_STEPS_AUTHORITIES_H
#define SB_STEPS_AUTHORITIES_H

#include "steps/mounts.h"

/* That the file is there, and holds certificates and no private key. */
int sb_step_authorities_check(const struct sb_settings *settings, struct sb_error *err);

/* Puts the file into the directory that sb_step_mounts_begin has made a place for, and names it in
 * env, which is complete but for that. root is the step's. What the variables name already (a file
 * of the image) is believed, too. Nothing, where the settings name none or there is no network. */
int sb_step_authorities_give(const struct sb_step_mounts *mounts, int root, struct sb_pairs *env,
                             struct sb_error *err);

#endif
