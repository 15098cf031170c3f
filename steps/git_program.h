/*
 * steps/git_program: what git of this machine is told for whatever it does here, and what its
 * failures mean.
 *
 * Servers and repositories are hostile: it sees nobody's configuration, no hooks, filters, helpers
 * or templates, and speaks http, https and git alone.
 */
#ifndef SB_STEPS_GIT_PROGRAM_H
#define SB_STEPS_GIT_PROGRAM_H

#include <stdbool.h>

#include "base/error.h"
#include "document/pairs.h"
#include "steps/execution.h"

/* The variables that say so. credentials: lines as git-credential-store keeps them, which are in
 * one of these; NULL: none. Free them with sb_git_environment_forget in any case. */
int sb_git_environment(const struct sb_secret *credentials, struct sb_pairs *env,
                       struct sb_error *err);
void sb_git_environment_forget(struct sb_pairs *env);

/* For scripts: "near URL" is true of the local link, where clouds keep credentials, of names for
 * that, and of addresses in forms that could be it; "why" says so. A name or a redirect may lead
 * there all the same: as root the filter of steps keeps it (sandbox/egress.h). */
#define SB_GIT_NEAR                                                                                \
    "near() { # URL: the local link, names of metadata, addresses in odd forms\n"                  \
    "  host=${1#*://} && host=${host%%/*} && host=${host%:*} && host=${host%.}\n"                  \
    "  case $host in\n"                                                                            \
    "  169.254.* | 100.100.100.200 | 168.63.129.16 | 192.0.0.192) return 0 ;;\n"                   \
    "  metadata | metadata.google.internal | metadata.goog | instance-data*) return 0 ;;\n"        \
    "  '' | *[!0-9A-Za-z._-]*) return 0 ;;\n"                                                      \
    "  esac\n"                                                                                     \
    "  case ${host##*.} in 0[xX]*) return 0 ;; *[!0-9]*) return 1 ;; esac\n"                       \
    "  case $host in 0[0-9xX]* | *.0[0-9xX]*) return 0 ;; *.*.*.*) return 1 ;; esac\n"             \
    "}\n"                                                                                          \
    "why() { echo 'no server is asked at addresses of the local link, nor at ones that are "       \
    "written in "                                                                                  \
    "another way than by name or as 192.0.2.1'; }\n"

/* Whether this machine has git, and git-lfs if that is wanted: SB_E_NOT_FOUND. */
int sb_git_check(bool lfs, struct sb_error *err);
/* Adds what to do about what git said, if that is known. Returns -1. */
int sb_git_hint(const char *said, struct sb_error *err);

#endif
