/*
 * sandbox/program: what programs in a root and programs of this machine have in common, and those
 * of this machine.
 */
#ifndef SB_SANDBOX_PROGRAM_H
#define SB_SANDBOX_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "document/pairs.h"
#include "document/settings.h"
#include "sandbox/contain.h"
#include "sandbox/step_log.h"

/* What every program starts with: PATH and HOME, in a build LANG and TZ, and with a network how
 * this machine reaches it, which is no part of what is built. */
void sb_program_environment(const char *home, bool network, bool building, struct sb_pairs *env);

/* What messages call it: the first line that says something, of name or of argv joined, not too
 * long. The caller's. */
char *sb_program_name(const char *name, const char *const *argv);

/* 0 of a status of 0; else SB_E_STEP with the status, and with the limit that was met, if any. */
int sb_program_ended(const char *name, int status, const struct sb_limits *limits,
                     enum sb_limit_met met, struct sb_error *err);

/* Runs a program of this machine (mmdebstrap) that dies, with all that it starts, when it ends or
 * when this process dies; mounts it makes are its own. Its environment is PATH, HOME=/root,
 * LANG=C.UTF-8, TZ=UTC and http_proxy and its like, then env. Output goes to the log. A non-zero
 * exit is SB_E_STEP; a program that is not installed is SB_E_NOT_FOUND, to which callers add a
 * hint. */
struct sb_host_program {
    const char *const *argv;
    const struct sb_pairs *env;            /* may be NULL */
    const char *directory;                 /* NULL: / */
    const struct sb_contain_place *places; /* not NULL: it is set apart (sandbox/contain.h) */
    size_t place_count;
    const struct sb_limits *limits; /* NULL: none */
    bool downloads;             /* it may take as long as a download (limits: {download: …}) */
    enum sb_limit_met *out_met; /* which limit it met, if any; may be NULL */
};
int sb_host_program(const struct sb_host_program *program, struct sb_step_log *log,
                    struct sb_error *err);

#endif
