/*
 * deploy/host/initfile: the first process of services (init/main.c), which this program carries
 * along: what a generation needs to start lies in its root, whatever becomes of the sbuild that
 * made it.
 */
#ifndef SB_DEPLOY_HOST_INITFILE_H
#define SB_DEPLOY_HOST_INITFILE_H

#include "base/error.h"

/* Puts it beneath a directory, which nobody writes to meanwhile, whatever has that name there.
 * shared is the store's private directory, where it is kept for all generations, which link to it;
 * -1: a copy. label is the SELinux context that a copy gets; NULL: none. */
int sb_initfile_write(int dir, int shared, const char *label, struct sb_error *err);

#endif
