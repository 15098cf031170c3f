/*
 * context/outputs: files that sbuild wrote for whoever called it, so that a build which finds them
 * in its context does not take them for input: facts of a build, archives, units for review.
 *
 * They are known by what they are, never by their names: inode, size and time, as the store notes
 * them (docs/formats.md, "Outputs"). A file that somebody changed since, or made anew, is an input
 * like others.
 */
#ifndef SB_CONTEXT_OUTPUTS_H
#define SB_CONTEXT_OUTPUTS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "layers/store.h"

/* Notes a file, or a directory that was made for such files, as it is now; path is relative to
 * dirfd, and NULL for dirfd itself, which counts only beneath the working directory. What is
 * neither is passed over, and so is a failure: a later build then takes it for an input. */
void sb_outputs_note(struct sb_store *store, int dirfd, const char *path);

struct sb_output;
struct sb_outputs {
    struct sb_output *v; /* sorted */
    size_t n;
};
/* Those that the store notes, and what this process prints to, if that is a file. */
void sb_outputs_read(struct sb_store *store, struct sb_outputs *out);
void sb_outputs_free(struct sb_outputs *outputs);
/* dirfd, name: where it is, for what st does not say. */
bool sb_outputs_has(const struct sb_outputs *outputs, const struct stat *st, int dirfd,
                    const char *name);

#endif
