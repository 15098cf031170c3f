/*
 * builder/trial: a program run in an image, or where a step failed: in the sandbox that steps have,
 * on a layer that is thrown away.
 */
#ifndef SB_BUILDER_TRIAL_H
#define SB_BUILDER_TRIAL_H

#include "base/error.h"
#include "builder/failed.h"
#include "document/settings.h"
#include "layers/image.h"
#include "sandbox/streams.h"
#include "steps/execution.h"

struct sb_trial {
    struct sb_store *store;
    const struct sb_settings *settings;
    const struct sb_image *image;
    const struct sb_failed *failed; /* on image; or NULL */
    const struct sb_strings *trees; /* of the image (sb_trial_trees) */
    const char *const *argv;        /* NULL: what the image runs, or where a step failed a shell */
    bool shell;                     /* a shell, instead */
    const char *user, *workdir;     /* NULL: the image's, or the step's */
    const struct sb_pairs *env;     /* beside theirs */
    bool network_given, network;    /* else the step's, or none */
    const struct sb_secrets *secrets; /* that were given: all as files, or those of the step */
    struct sb_streams *streams;
};

/* Whether this machine runs programs of the image's architecture; before namespaces are entered. */
int sb_trial_check(struct sb_store *store, const struct sb_image *image, struct sb_error *err);
/* Unpacks the layers that aren't yet. Namespaces have been entered. */
int sb_trial_trees(struct sb_store *store, const struct sb_image *image, struct sb_strings *out,
                   struct sb_error *err);
/* out_status: what the program ended with. An error is no program's. */
int sb_trial_run(const struct sb_trial *trial, int *out_status, struct sb_error *err);

#endif
