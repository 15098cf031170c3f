/*
 * steps/run: a script in the image.
 */
#ifndef SB_STEPS_RUN_H
#define SB_STEPS_RUN_H

#include <stdbool.h>

#include "base/buffer.h"

/* run: SCRIPT or {script, shell, workdir, user}. */
struct sb_run {
    char *script;
    int line;                /* of the recipe file, where the script's first is */
    bool literal;            /* and its other lines are below that */
    struct sb_strings shell; /* default: that of build:, else sh -eu */
    char *workdir;           /* default: the image's so far, else / */
    char *user;              /* default: root */
};

#endif
