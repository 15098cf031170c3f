/*
 * sandbox/root_private: what the files behind sandbox/root.h share.
 */
#ifndef SB_SANDBOX_ROOT_PRIVATE_H
#define SB_SANDBOX_ROOT_PRIVATE_H

#include "sandbox/root.h"

struct sb_root {
    char *directory; /* STORE/sbuild/tmp/ID/root-N, with stubs, upper, merged, work-M */
    char *stubs_path, *upper, *merged;
    char *shown;             /* above all trees, or NULL */
    unsigned shown_count;    /* how many there were */
    struct sb_strings trees; /* lowest first */
    struct sb_strings stubs; /* "/etc/resolv.conf": what sb_root_points added to stubs */
    struct sb_strings homes, caches, cargos; /* enum sb_root_trace: "/root" */
    unsigned mounts;                         /* how often it was mounted */
    unsigned asides;                         /* files that were set aside (root_files.c) */
    struct sb_strings secrets;               /* what such files held of which no copy may stay */
    bool mounted;
};

int sb_root_mount_overlay(struct sb_root *root, struct sb_error *err);
int sb_root_unmount_overlay(struct sb_root *root, struct sb_error *err);

/* When a program removes a stub, overlayfs marks that in the upper directory: removes those marks
 * that hide nothing of a layer. */
void sb_root_forget_stubs(struct sb_root *root);

#endif
