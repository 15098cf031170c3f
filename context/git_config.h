/*
 * context/git_config: what of git's configuration may reach a view (context/git_view.h), and
 * whether there is any.
 *
 * To parse a configuration is git's to do, and takes as long as all else that it is asked. So text
 * that has none of the words that matter isn't given to it.
 */
#ifndef SB_CONTEXT_GIT_CONFIG_H
#define SB_CONTEXT_GIT_CONFIG_H

#include <stdbool.h>

#include "base/buffer.h"

/* Called for each setting of what `git config -z --list` wrote. */
typedef void sb_git_config_visit(void *data, const char *key, const char *value);
void sb_git_config_read(const struct sb_buf *list, sb_git_config_visit *visit, void *data);

/* Visitors that append a setting, if it can do no harm, to the struct sb_buf of a configuration:
 * one of the checkout, and one of this user or the machine. */
void sb_git_config_add(void *out, const char *key, const char *value);
void sb_git_config_add_own(void *out, const char *key, const char *value);

/* False when a configuration surely has nothing to add, but what git does anyway. */
bool sb_git_config_matters(const char *text);

/* True when those of this user and the machine have nothing to add. stranger: they are asked for
 * safe.directory, too. */
bool sb_git_config_is_plain(bool stranger);

#endif
