/*
 * steps/script: shell scripts of run steps: which command of one failed.
 *
 * A shell reads a script as it goes: under -e, what it read last is what failed. So a script of
 * several commands comes through a FIFO, a line whenever the one before was read, and nothing is
 * added to it that could change what it means.
 */
#ifndef SB_STEPS_SCRIPT_H
#define SB_STEPS_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"
#include "base/error.h"

/* How many lines of a script say something: neither empty nor a comment. */
size_t sb_script_lines(const char *script);

/* True when the words start a shell that reads a script line by line: sh, dash, ash or bash, with
 * no option that has it read something else. */
bool sb_script_is_read_by(const struct sb_strings *shell);

/* The command that ends in that line (from 1), in one line if it is continued over several, else
 * all its lines. *out_first is where it begins. The caller's to free. */
char *sb_script_command(const char *script, size_t line, size_t *out_first);

/* Makes the FIFO and feeds it, in a thread of its own, until it is stopped. script must outlive it.
 * -1 without an error: this file system or kernel can't, and the script has to go another way. */
struct sb_script_feed;
int sb_script_feed_start(int dirfd, const char *name, const char *script,
                         struct sb_script_feed **out);
/* The last line that was read; 0: none was. */
size_t sb_script_feed_stop(struct sb_script_feed *feed);

#endif
