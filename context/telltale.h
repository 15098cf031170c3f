/*
 * context/telltale: what lies in many contexts, and in no image on purpose: histories, keys,
 * passwords.
 *
 * The list is short, as a warning that is wrong once is read by nobody again: names that always
 * hold such things, and nothing that only may. Whoever writes a name into the recipe, or with "!"
 * into the ignore file, means it, and is told nothing.
 */
#ifndef SB_CONTEXT_TELLTALE_H
#define SB_CONTEXT_TELLTALE_H

#include <pthread.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/buffer.h"

/* What was found; safe from several threads. Start from SB_TELLTALE_START. */
struct sb_telltale {
    pthread_mutex_t lock;
    struct sb_strings paths; /* in the context */
};
#define SB_TELLTALE_START                                                                          \
    { .lock = PTHREAD_MUTEX_INITIALIZER }

/* Whether the last part of a path, of such a file type, is one of them. */
bool sb_telltale_is(const char *path, mode_t mode);
void sb_telltale_add(struct sb_telltale *told, const char *path);

/* The warning: what was found by the step at place, and the lines that leave it out. NULL when
 * nothing was; else the caller's. */
char *sb_telltale_text(const struct sb_telltale *told, const char *place, const char *context,
                       const char *ignore_name);
void sb_telltale_free(struct sb_telltale *told);

#endif
