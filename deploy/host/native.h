/*
 * deploy/host/native: whether what a bundle has runs on this machine's processor.
 *
 * Looked at before anything of the service is touched: what its config says it is for, and once the
 * layers are here what its program is. A kernel that has an emulator would start either, and run it
 * many times slower: nobody gets that who didn't ask for it.
 */
#ifndef SB_DEPLOY_HOST_NATIVE_H
#define SB_DEPLOY_HOST_NATIVE_H

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"
#include "layers/platform.h"

/* Without an emulator: its own programs, and Intel's the older ones. */
bool sb_native_runs(const char *architecture);

/* Of an image's config. accepted: a platform of another processor that is wanted all the same; NULL
 * means none, below too. SB_E_FAILED names both. */
int sb_native_check_config(const json_t *config, const struct sb_platform *accepted,
                           struct sb_error *err);

/* Of a program, by its path in a root; of a script what runs it. What is no program of Linux, and
 * what can't be read, is for who starts it to find out. */
struct sb_native_program {
    int root;
    const char *program;
    const char *path, *workdir; /* $PATH and the working directory, for #!/usr/bin/env */
};
int sb_native_check_program(const struct sb_native_program *program,
                            const struct sb_platform *accepted, struct sb_error *err);

#endif
