/*
 * steps/pip_layout: what a pip step reads of the context, beside one another as it is there, in a
 * directory that is there while the step runs.
 *
 * Requirements files and projects are copies with the content that the layer's key has, which a
 * build may write beside; archives, and directories of them, are the context's own, read-only.
 */
#ifndef SB_STEPS_PIP_LAYOUT_H
#define SB_STEPS_PIP_LAYOUT_H

#include "steps/execution.h"
#include "steps/requirements.h"

struct sb_pip_layout {
    char *directory; /* on this machine; NULL: nothing of the context is read */
    struct sb_mount *mounts;
    size_t mount_count;
    struct sb_strings paths; /* of the mounts */
};

/* at: where it is in the root. Call sb_pip_layout_free in every case. */
int sb_pip_layout_make(const struct sb_requirements *requirements,
                       const struct sb_step_run_context *context, const char *at,
                       struct sb_pip_layout *out, struct sb_error *err);
void sb_pip_layout_free(struct sb_pip_layout *layout);

#endif
